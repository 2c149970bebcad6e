"""What goes wrong while a clip is made is told, bounded, and takes nothing else with it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from edge.clock import SECOND, SystemClock
from edge.messages import Answer, Birth, Close, Segment, ToVault
from edge.packet import Format
from edge.recorder.mux import Mux
from edge.recorder.outbox import Outbox, Parcel
from edge.recorder.recording import _piece
from tests.recorder.conftest import Rooms
from tests.recorder.room import MemoryKeeper, TestRoom
from tests.support.processes import until


class Choking(Mux):
    """A container that fails on a picture, as libav does on one that it does not understand."""

    pictures_left = 0

    def put_picture(self, data: bytes, *, pts_ns: int, dts_ns: int, duration_ns: int, is_key: bool) -> None:
        if self.pictures_left == 0:
            raise ValueError("a picture that the container refuses")
        self.pictures_left -= 1
        super().put_picture(data, pts_ns=pts_ns, dts_ns=dts_ns, duration_ns=duration_ns, is_key=is_key)


def faults(room: TestRoom) -> dict[str, str]:
    return {fault.code: fault.detail for fault in room.recorder.status().faults}


def test_a_clip_that_cannot_be_made_is_closed_and_told_and_another_is_tried(rooms: Rooms, tmp_path: Path) -> None:
    made: list[float] = []

    def container(picture: Format, has_sound: bool) -> Mux:
        made.append(clock.boot_ns() / SECOND)
        if len(made) > 2:
            return Mux(picture, has_sound=has_sound)
        choking = Choking(picture, has_sound=has_sound)
        choking.pictures_left = 60
        return choking

    clock = SystemClock()
    with TestRoom(folder=tmp_path, video=rooms("h264", "aac"), container=container) as room:
        room.until_held()
        room.press(post_s=60)
        why = "making it failed (ValueError: a picture that the container refuses)"
        room.until(lambda: why in faults(room).get("clip-incomplete", ""))
        first, second = room.wait_closed(2)
        room.until(lambda: len(made) == 3)
        room.until(lambda: room.recorder.status().clip is not None and len(room.keeper.births) == 3)
        room.until(lambda: "clip-incomplete" not in faults(room))
        room.reset()
        third = room.wait_closed(3)[2]
    assert [room.facts(clip).ended_by for clip in (first, second, third)] == ["failed", "failed", "until"]
    assert len({birth.incident for birth in room.keeper.births.values()}) == 1
    assert len(room.opened(third)) > 0
    assert min(after - before for before, after in pairwise(made)) >= 2, "a storm of births"


def test_what_is_wrong_with_one_parcel_is_told_and_holds_up_no_footage() -> None:
    class Odd(MemoryKeeper):
        failures = 2

        def tell(self, message: ToVault, payload: bytes = b"") -> Answer:
            if isinstance(message, Segment) and self.failures:
                self.failures -= 1
                raise RuntimeError("nobody expected this")
            return super().tell(message, payload)

    keeper = Odd()
    outbox = Outbox(keeper, SystemClock(), cap_bytes=1000)
    clip = "20261122T101502Z-k3f9"
    outbox.put(Parcel(message=birth(clip)))
    outbox.put(Parcel(message=Segment(clip=clip, number=0, media_until_ms=1), payload=b"sealed"))
    with keeper.changed:
        assert keeper.changed.wait_for(lambda: keeper.births, 10)

    def trouble() -> str | None:
        return outbox.trouble

    until(lambda: trouble() is not None, patience_s=10)
    assert trouble() == "handing over failed: nobody expected this"
    assert outbox.drain(patience_s=10)
    assert trouble() is None
    assert keeper.segments[clip][0][1] == b"sealed"
    outbox.close()


def test_what_the_vault_will_never_take_is_shown_with_its_reason(rooms: Rooms, tmp_path: Path) -> None:
    class Strict(MemoryKeeper):
        def tell(self, message: ToVault, payload: bytes = b"") -> Answer:
            if isinstance(message, Close):
                return Answer(is_durable=False, error="this clip was deleted", is_final=True)
            return super().tell(message, payload)

    with TestRoom(folder=tmp_path, video=rooms("h264", "aac"), keeper=Strict()) as room:
        room.until_held(0.5)
        room.press(post_s=0.3)
        room.until(lambda: "vault-refused" in faults(room))
        assert faults(room)["vault-refused"] == "close: this clip was deleted"


def test_a_ring_that_is_too_small_is_a_fault_that_says_what_fits(rooms: Rooms, tmp_path: Path) -> None:
    room = TestRoom(
        folder=tmp_path, video=rooms("mjpeg", None, seconds=4, size=(1920, 1080)), ring_s=60, ring_mebibytes=8
    )
    with room:
        room.until(lambda: "ring-short" in faults(room))
        assert faults(room)["ring-short"].endswith("of 60 s fit in 8 MiB")


@pytest.mark.parametrize(
    ("left_mib", "waiting_mib", "piece_mib"), [(30, 0, 2), (4.5, 0, 1.5), (1, 0, 1), (30, 1, 2), (2, 3, 3), (30, 50, 4)]
)
def test_a_piece_of_the_pre_roll_grows_while_the_vault_is_behind(
    left_mib: float, waiting_mib: float, piece_mib: float
) -> None:
    assert _piece(round(left_mib * 1024 * 1024), round(waiting_mib * 1024 * 1024)) == piece_mib * 1024 * 1024


def birth(clip: str) -> Birth:
    return Birth(
        clip=clip,
        incident="incident",
        pressed_ns=1,
        pressed_wall_ns=1,
        is_wall_trusted=False,
        boot_id="boot",
        pre_roll_asked_ms=0,
        sources=(),
        software="test",
    )
