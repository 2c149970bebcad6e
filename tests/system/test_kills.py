"""`kill -9` of any process, and of all, at seeded instants of an incident: the alarm, the footage and the clip survive."""

from __future__ import annotations

import json
import random
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge.clock import SECOND
from edge.messages import Incident
from edge.status import PanelStatus, RecorderState, RecorderStatus
from tests.support import evidence
from tests.support.evidence import FRAME_NS, ROOM, seconds
from tests.support.processes import CLOCK, COMMANDS, IS_LONG, Four, Room, eventually, memory_folder, until

ALARM_BACK_S = 1.0  # after the kill, the restart included
LOSS_S = 2.0  # invariant 4
TIMES = 40 if IS_LONG else 3  # of each: 200 and 15 kills
ALL = tuple(COMMANDS)


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with memory_folder() as folder:
        yield Room(tmp_path / "D", folder / "run", ROOM, ring_s=3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """What was known just before the kill."""

    incident: Incident
    killed_ns: int
    panel: PanelStatus
    recorder: RecorderStatus
    zero_ns: int  # when the recorder played frame 0

    @property
    def clip(self) -> str | None:
        clip = self.recorder.clip
        return clip.clip if clip is not None and clip.incident == self.incident.id else None

    @property
    def acknowledged(self) -> int:
        return self.recorder.clip.segments_safe if self.clip and self.recorder.clip else 0

    @property
    def is_pre_roll_safe(self) -> bool:
        return bool(self.clip and self.recorder.clip and self.recorder.clip.pre_roll_safe_ns)


def zero_ns(recorder: RecorderStatus) -> int:
    """When frame 0 was played: the recording begins with a key frame, and a ring that is not full still holds it."""
    assert recorder.ring.seconds < recorder.ring.promised_seconds - 1, (
        "the ring is full: its oldest frame is not frame 0"
    )
    return recorder.as_of_ns - round(recorder.ring.seconds * SECOND)


def test_a_kill_at_any_instant_ends_neither_the_alarm_nor_the_clip(
    room: Room, tmp_path: Path, victim: str, capsys: pytest.CaptureFixture[str]
) -> None:
    victims = ALL if victim == "all" else (victim,)
    chance = random.Random(f"kills of {victim}")
    backs, losses = [], []
    with Four(room) as four:
        zero = zero_ns(four.wait_listening())
        for turn in range(TIMES):
            four.wait_ring(1.2)
            before = struck(four, victims, chance.uniform(0, 2.5), zero)
            if "recorder" in victims:
                zero = zero_ns(recording_again(four, before))
            after = alarm_again(four, before, has_restarted="panel" in victims)
            backs.append(seconds((after.alarm_on_ns or 0) - before.killed_ns) if "panel" in victims else 0.0)
            assert backs[-1] <= ALARM_BACK_S, f"turn {turn}: the alarm came back after {backs[-1]:.2f} s"
            goes_on(four, before, segments=2 if "recorder" in victims else 1)
            four.reset()
            four.wait_safe(before.incident.id)
            four.wait_listening()
            losses.append(kept(four, before, tmp_path, was_recorder_killed="recorder" in victims))
            assert losses[-1] <= LOSS_S, f"turn {turn}: {losses[-1]:.2f} s were lost"
        if "service" in victims:
            page_answers(room)
    with capsys.disabled():
        print(
            f"\n  {victim}: {TIMES} kills; alarm back after {max(backs):.3f} s, lost {max(losses):.3f} s at worst",
            end="",
        )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "victim" in metafunc.fixturenames:
        metafunc.parametrize("victim", [*ALL, "all"])


def struck(four: Four, victims: tuple[str, ...], after_s: float, zero: int) -> Before:
    """A press, and the kill so many seconds later."""
    incident = four.press()
    due_ns = CLOCK.boot_ns() + round(after_s * SECOND)
    while True:
        panel, recorder = four.room.panel(), four.room.recorder()
        assert panel is not None
        assert recorder is not None
        if (left_ns := due_ns - CLOCK.boot_ns()) <= 0:
            break
        CLOCK.sleep(min(0.01, seconds(left_ns)))
    killed_ns = four.kill(*victims)
    return Before(incident=incident, killed_ns=killed_ns, panel=panel, recorder=recorder, zero_ns=zero)


def alarm_again(four: Four, before: Before, *, has_restarted: bool) -> PanelStatus:
    """The panel's first word after the kill. One that lives must never have switched the alarm off."""

    def speaks() -> PanelStatus | None:
        panel = four.room.panel()
        is_new = panel is not None and (panel.started_ns > before.killed_ns) == has_restarted
        return panel if is_new else None

    after = eventually(speaks, what="the panel's word")
    assert after.is_alarm_on
    assert after.incident is not None
    assert after.incident.id == before.incident.id
    if not has_restarted:
        assert after.alarm_on_ns == before.panel.alarm_on_ns
    return after


def recording_again(four: Four, before: Before) -> RecorderStatus:
    def records() -> RecorderStatus | None:
        now = four.room.recorder()
        is_so = now is not None and now.started_ns > before.killed_ns and now.state is RecorderState.RECORDING
        return now if is_so and now and now.ring.seconds > 0 else None

    return eventually(records, what="the recorder's return")


def goes_on(four: Four, before: Before, *, segments: int) -> None:
    """The incident is recorded: so many segments more are durable."""
    first = four.room.recorder()
    assert first is not None
    base = first.clip.segments_safe if first.clip and first.clip.incident == before.incident.id else 0

    def has_more() -> bool:
        recorder = four.room.recorder()
        clip = recorder.clip if recorder else None
        return clip is not None and clip.incident == before.incident.id and clip.segments_safe >= base + segments

    until(has_more, what="more of the clip")


def kept(four: Four, before: Before, to: Path, *, was_recorder_killed: bool) -> float:
    """Everything that must be true of the incident's clips; how much of what came before the kill is lost, in seconds."""
    store, key = four.room.config.paths.store, four.room.place.key
    of_incident = [
        folder
        for folder in evidence.folders(store)
        if json.loads((folder / "birth.json").read_bytes())["incident"] == before.incident.id
    ]
    births = sorted((evidence.record(folder, "birth.json") for folder in of_incident), key=_by_birth)
    assert [birth["continues"] for birth in births] == [None, *(birth["clip"] for birth in births)][: len(births)]
    assert evidence.told(store, "panel", before.incident.id).count("press") == 1
    assert len(births) == (2 if was_recorder_killed and before.clip and before.acknowledged else 1) or (
        was_recorder_killed and len(births) == 2  # the birth was written, and the answer on its way
    )
    first = store / "clips" / births[0]["clip"]
    if before.clip:
        assert len(evidence.segments(first)) >= before.acknowledged
    for birth in births:
        folder = store / "clips" / birth["clip"]
        if not evidence.segments(folder):
            continue
        clip = evidence.opened_file(folder, key, to)
        found = evidence.numbers(clip)
        assert evidence.breaks(found) == []
        # Killed soon after its birth, a clip may hold its beginning and no picture yet.
        assert found or (folder == first and was_recorder_killed)
        assert not found or evidence.decoding_errors(clip) == ""
    if not was_recorder_killed:
        last = evidence.record(first, "manifest.json")
        assert last["state"] == "complete"
        assert last["facts"]["picture_gaps_ms"] == []
        return 0.0
    assert evidence.record(store / "clips" / births[-1]["clip"], "manifest.json")["state"] == "complete"
    if not before.is_pre_roll_safe:
        return 0.0
    found = evidence.numbers(to / f"{first.name}.mp4")
    if not found:
        return seconds(before.killed_ns - before.incident.pressed_ns)
    index = evidence.unrolled(found[-1], near_ns=before.killed_ns, zero_ns=before.zero_ns)
    return seconds(before.killed_ns - (before.zero_ns + (index + 1) * FRAME_NS))


def _by_birth(birth: dict[str, int]) -> int:
    return birth["born_powered_on_ns"]


def page_answers(room: Room) -> None:
    """The page is served again: nothing else in an incident waits for it, so here it may still be starting."""
    address = f"http://127.0.0.1:{room.config.page.port}/api/v1/status"

    def state() -> str | None:
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                return str(json.loads(answer.read())["state"])
        except OSError:
            return None

    assert eventually(state, what="the page") == "listening"
