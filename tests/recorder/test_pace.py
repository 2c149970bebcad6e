"""In calm packets are fetched together; from a press on each comes at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge.clock import SECOND, SystemClock
from edge.recorder.capture.fixture import FixtureSource
from edge.recorder.capture.pace import GATHER_NS, Pace
from tests.recorder.conftest import Rooms
from tests.recorder.room import TestRoom
from tests.recorder.streams import BOTH, SimClock

CLOCK = SystemClock()
FAR_NS = 3600 * SECOND


@contextmanager
def gathering(pace: Pace, closed: threading.Event) -> Iterator[threading.Event]:
    """A thread that gathers for an hour; the event that it has ended."""
    begun, ended = threading.Event(), threading.Event()

    def run() -> None:
        begun.set()
        pace.gather(CLOCK, CLOCK.boot_ns() + FAR_NS, closed)
        ended.set()

    threading.Thread(target=run, daemon=True).start()
    assert begun.wait(5)
    yield ended


def test_hurry_ends_a_waiting_and_nobody_waits_until_it_is_over() -> None:
    pace, closed = Pace(), threading.Event()
    with gathering(pace, closed) as ended:
        pace.hurry(is_on=True)
        assert ended.wait(5)
    pace.gather(CLOCK, CLOCK.boot_ns() + FAR_NS, closed)
    pace.hurry(is_on=False)
    with gathering(pace, closed) as ended:
        assert not ended.wait(0.1), "it waits again"
        pace.hurry(is_on=True)
        assert ended.wait(5)


def test_closing_ends_a_waiting_and_every_later_one() -> None:
    pace, closed = Pace(), threading.Event()
    with gathering(pace, closed) as ended:
        closed.set()
        pace.wake()
        assert ended.wait(5)
    pace.gather(CLOCK, CLOCK.boot_ns() + FAR_NS, closed)


@pytest.mark.parametrize("is_on", [False, True])
def test_a_recording_gives_packets_together_in_calm_and_each_at_its_moment_in_hurry(
    rooms: Rooms, *, is_on: bool
) -> None:
    pace, clock = Pace(), SimClock()
    pace.hurry(is_on=is_on)
    source = FixtureSource(rooms("h264", "aac"), BOTH, clock, pace)
    late_ns, wakings = [], set()
    while clock.now_ns < 5 * SECOND + SimClock().now_ns:
        packet = source.read()
        late_ns.append(clock.now_ns - packet.arrival_ns)
        wakings.add(clock.now_ns)
    assert min(late_ns) >= 0, "nothing comes before its moment"
    if is_on:
        assert len(wakings) > 25 * 5, "one for each picture at least"
        # What stands behind another in the file waits for it: sound for a picture, not longer than one is shown.
        assert max(late_ns) <= SECOND // 25
    else:
        assert len(wakings) <= 5 * SECOND / GATHER_NS + 1
        assert SECOND // 25 < max(late_ns) <= GATHER_NS + SECOND // 25


def test_a_press_hurries_the_sources_and_the_end_of_its_clip_calms_them(rooms: Rooms, tmp_path: Path) -> None:
    with TestRoom(folder=tmp_path, video=rooms("h264", "aac")) as room:
        room.until_held(1.0)
        paces = [capture.pace for capture in room.recorder._sources.captures]
        assert paces
        assert not any(pace.is_hurried for pace in paces)
        room.press(post_s=1.0)
        room.until(lambda: all(pace.is_hurried for pace in paces))
        room.wait_closed()
        room.until(lambda: not any(pace.is_hurried for pace in paces))
