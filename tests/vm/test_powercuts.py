"""The plug is pulled at random instants: what was acknowledged is there, and what was half-made is not taken for whole.

Each cut lies in one of four scenes. What the room acknowledged up to then was brought outside before the cut; what it has
after the next boot is copied out and judged with the stock tools and the desk's own checks.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from edge.clock import SECOND
from edge.desk import verify_clip, verify_ledger
from tests.support import evidence
from tests.support.processes import CLOCK, IS_LONG
from tests.vm.image import Image
from tests.vm.machine import IS_FAST, new_machine
from tests.vm.room import VIVID, Room, clip_of

pytestmark = pytest.mark.vm

CUTS: Final = 20 if IS_LONG or IS_FAST else 8
SEED: Final = 20261122
COMMAND: Final = "spreekkamer {} --config /etc/spreekkamer/config.toml"
WHY: Final = "--reason test --actor officer"
_SLOWER: Final = 1 if IS_FAST else 5  # a scene of the emulated machine takes so much longer


@dataclass(slots=True, kw_only=True)
class Promised:
    """What was acknowledged so far, as known outside."""

    hashes: dict[str, str] = field(default_factory=dict)  # of segments, by clip/NNNN.age
    complete: set[str] = field(default_factory=set)  # clips said to be safe as a whole
    heads: list[str] = field(default_factory=list)  # of the ledger, in their order
    deleting: set[str] = field(default_factory=set)  # asked for: may be there whole, or gone
    deleted: set[str] = field(default_factory=set)  # said to be gone

    def note(self, seen: dict[str, Any]) -> None:
        self.hashes |= seen["acknowledged"]
        clip = clip_of(seen)
        if clip and clip["safe_ns"] is not None:
            self.complete.add(clip["clip"])
        if seen["vault"]:
            head = seen["vault"]["ledger"]["head"]
            if head not in self.heads:
                self.heads.append(head)
            self.deleted |= {clip["id"] for clip in seen["vault"]["deleted"]}

    @property
    def clips(self) -> set[str]:
        """Those of which a segment was acknowledged."""
        return {name.split("/")[0] for name in self.hashes}


class Cutter:
    """Plays scenes in a room, and pulls the plug in the midst of them."""

    def __init__(self, room: Room, chance: random.Random) -> None:
        self.room = room
        self.promised = Promised()
        self._chance = chance

    def listening(self) -> float:
        return 3 * _SLOWER

    def in_a_clip(self) -> float:
        self.room.press()
        return 6 * _SLOWER

    def closing(self) -> float:
        self._record()
        self.room.reset()
        return _SLOWER

    def deleting(self) -> float:
        self._record()
        self.room.reset()
        seen = self.room.wait(lambda seen: (clip := clip_of(seen)) and clip["safe_ns"], what="the whole clip")
        self.promised.note(seen)
        number = clip_of(seen)["clip"]
        took_s = self._asked_for("clips list")
        self.promised.deleting.add(number)
        self.room.machine.sh(f"systemd-run --quiet --collect {COMMAND.format(f'clips delete {number} {WHY}')}")
        # Most of that is the command's start, so the deletion comes near its end.
        CLOCK.sleep(0.8 * took_s)
        return 0.4 * took_s

    def _record(self) -> None:
        self.room.press()
        is_under_way = self.room.wait(
            lambda seen: (clip := clip_of(seen)) and clip["is_open"] and clip["segments_safe"] >= 3,
            what="three segments",
        )
        self.promised.note(is_under_way)

    def _asked_for(self, words: str) -> float:
        """How long a command to the vault takes here, in seconds."""
        begun_ns = CLOCK.boot_ns()
        self.room.machine.sh(COMMAND.format(words), patience_s=600)
        return (CLOCK.boot_ns() - begun_ns) / SECOND

    def cut(self, scene: Callable[[], float]) -> float:
        """Play a scene, and cut within so many seconds after it began; how many."""
        after_s = self._chance.random() * scene()
        until_ns = CLOCK.boot_ns() + round(after_s * SECOND)
        while CLOCK.boot_ns() < until_ns:
            self.promised.note(self.room.look())
        self.room.machine.power_cut()
        return after_s


@pytest.fixture
def room(product: Image, tmp_path: Path) -> Iterator[Room]:
    """A room with a camera whose pictures are encoded, that listens."""
    with new_machine(product) as machine:
        machine.start()
        room = Room(machine, tmp_path)
        room.watch()
        room.furnish(camera=VIVID, width=320, height=180, fps=5, ring_s=10)
        room.wait_state("listening")
        yield room


def test_what_was_acknowledged_outlives_power_cuts(room: Room, tmp_path: Path) -> None:
    cutter = Cutter(room, random.Random(SEED))
    scenes = [cutter.in_a_clip, cutter.deleting, cutter.closing, cutter.listening]
    for number in range(CUTS):
        scene = scenes[number % len(scenes)]
        after_s = cutter.cut(scene)
        room.machine.restart()
        room.watch()
        seen = room.wait_state("listening")
        promised = cutter.promised
        assert room.cut_off() == []
        found = judged(room.store(tmp_path / "store"), room.key, promised)
        shown = {clip["id"]: clip["state"] for clip in seen["vault"]["clips"]}
        assert shown == found, "the vault lists what is on the disk"
        print(
            f"cut {number + 1}: {scene.__name__} after {after_s:.2f} s; {len(promised.hashes)} segments acknowledged, "
            f"{sorted(shown.values())} listed"
        )
    assert cutter.promised.hashes, "nothing was ever acknowledged"


def judged(store: Path, key: Path, promised: Promised) -> dict[str, str]:
    """What a store holds after a cut, each clip with its state; raises AssertionError where a promise was broken."""
    for head in promised.heads:
        assert verify_ledger.check(store / "ledger.jsonl", head).is_ok, f"the ledger of {head} is not in this one"
    there = {folder.name: folder for folder in evidence.folders(store)}
    assert not list((store / "trash").glob("*")), "a deletion that was cut off was not finished"
    for gone in promised.deleting - there.keys():
        assert evidence.told(store, "clip-deleted", gone) == ["gone"], f"{gone} went without one receipt"
    assert not promised.deleted & there.keys(), "a deleted clip is back"
    assert promised.clips - promised.deleting <= there.keys(), "an acknowledged clip is gone"
    for name, digest in promised.hashes.items():
        clip, segment = name.split("/")
        if clip in there:
            assert hashlib.sha256((there[clip] / segment).read_bytes()).hexdigest() == digest, (
                f"{name} is not as it was"
            )
    return {name: state_of(folder, key, is_promised=name in promised.complete) for name, folder in there.items()}


def state_of(folder: Path, key: Path, *, is_promised: bool) -> str:
    """What a clip is by what its folder proves; each of its segments opens with stock age, in their order from the first."""
    segments = evidence.segments(folder)
    assert [segment.name for segment in segments] == [f"{number:04}.age" for number in range(len(segments))]
    if segments:
        evidence.opened(folder, key)
    evidence.record(folder, "birth.json")
    if not (folder / "manifest.json").exists():  # the vault waits for its recorder, which will not come back
        state = "interrupted"
    else:
        state = evidence.record(folder, "manifest.json")["state"]
        assert (found := verify_clip.check(folder, key=folder.parents[1] / "device.pub.pem")).is_ok, found
    assert state == "complete" or not is_promised, f"{folder.name} was said to be safe as a whole, and is {state}"
    return state
