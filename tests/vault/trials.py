"""What the vault's tests of self-test and drill share: a room that tests itself, and what is said to its vault."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import pyrage
import pytest

from edge.durable import Disk
from edge.messages import DrillMade, ProbeResult, Reply, Request, Step, Trial, TrialAnswer, Verb
from edge.recorder.capture.encode import silence
from edge.recorder.memory import Heap
from edge.recorder.mux import Mux
from edge.recorder.seal import Sealer
from edge.recorder.selftest import SelfTest
from edge.status import VaultStatus
from edge.vault import ingest, passes, process
from edge.vault.keeper import Keeper
from edge.vault.requests import Visit, reply
from tests.support import evidence
from tests.vault.support import (
    HOUR,
    UID,
    Crash,
    CrashingDisk,
    RecordingDisk,
    SimClock,
    config,
)

DAY: Final = 24 * HOUR
SEALED: Final = b"age-encryption.org/v1\n" + bytes(range(256)) * 40
OFFICER: Final = pyrage.x25519.Identity.generate()
KEYS: Final = "1" * 64
CODE: Final = "012345"
T = TypeVar("T")


def open_watched(root: Path, clock: SimClock, disk: Disk | None = None) -> Keeper:
    """The keeper of a room with a camera and a key, whose recorder tests itself."""
    room = config(root)
    watched = room.model_copy(
        update={
            "camera": room.camera.model_copy(update={"source": "fixture:room.mp4"}),
            "seal": room.seal.model_copy(update={"recipients": (str(OFFICER.to_public()),)}),
        }
    )
    return process.open_keeper(watched, clock, disk or Disk(), None)


def tell(keeper: Keeper, trial: Trial, payload: bytes = b"") -> tuple[TrialAnswer, bytes]:
    return ingest.attempt(keeper, trial, payload, uid=UID)


def conclude(keeper: Keeper, failed: Step | None = None, *, keys: str = KEYS) -> TrialAnswer:
    return tell(keeper, ProbeResult(failed=failed, detail="so it is" if failed else "", recipients=keys))[0]


def drill_made(code: str = CODE, *, keys: str = KEYS) -> DrillMade:
    return DrillMade(salt="salt", code_sha256=hashlib.sha256(b"salt" + code.encode()).hexdigest(), recipients=keys)


def make_drill(keeper: Keeper, code: str = CODE, *, keys: str = KEYS) -> None:
    answer, _ = tell(keeper, drill_made(code, keys=keys), SEALED)
    assert answer.failed is None, answer.error


def ask(keeper: Keeper, verb: Verb, **fields: Any) -> tuple[Reply, bytes]:
    return reply(keeper, Request(verb=verb, **fields), Visit(uid=UID))


def confirm(keeper: Keeper, code: str = CODE, *, actor: str = "incident officer") -> str:
    """What is said against it; nothing when the drill is done."""
    return ask(keeper, Verb.DRILL_CONFIRM, code=code, actor=actor)[0].error


def codes(keeper: Keeper) -> set[str]:
    """The faults on display after a pass."""
    passes.pass_through(keeper)
    return {fault.code for fault in keeper.status().faults}


def entries(root: Path, *actions: str) -> list[tuple[str, str, str]]:
    """Of the ledger, which must verify: action, result, actor."""
    found = [(entry["action"], entry["result"], entry["actor"]) for entry in evidence.ledger(root / "store")]
    return [entry for entry in found if entry[0] in actions]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def is_without_clips(root: Path, keeper: Keeper) -> bool:
    """Nothing that a test or a drill did counts as a clip, here or after the next start."""
    status: VaultStatus = keeper.status()
    rows = ask(keeper, Verb.LIST)[1]
    return (status.clips_total, status.clips, rows, names(root / "store" / "clips")) == (0, (), b"[]", [])


@dataclass
class Line:
    """The recorder's line to a real keeper, without the socket."""

    keeper: Keeper

    def attempt(self, trial: Trial, payload: bytes = b"") -> tuple[TrialAnswer, memoryview]:
        answer, found = ingest.attempt(self.keeper, trial, payload, uid=UID)
        return answer, memoryview(found)

    def close(self) -> None:
        """Nothing is open."""


def recorder_of(keeper: Keeper, clock: SimClock) -> SelfTest:
    return SelfTest(
        vault=Line(keeper),
        sealer=Sealer([str(OFFICER.to_public())]),
        clock=clock,
        heap=Heap(),
        container=lambda picture, has_sound: Mux(picture, has_sound=has_sound),
        silence=silence(),
        first_s=0.0,
    )


def run(test: SelfTest) -> None:
    test.tick(is_idle=True)
    assert test.wait(patience_s=30.0)


def effects(root: Path, act: Callable[[Keeper], object], prepare: Callable[[Keeper], object] | None = None) -> int:
    """How many effects an action has."""
    clock, disk = SimClock(), RecordingDisk()
    keeper = open_watched(root, clock, disk)
    if prepare is not None:
        prepare(keeper)
    disk.effects.clear()
    act(keeper)
    assert len(disk.effects) > 3
    return len(disk.effects)


def stopped_each_time(
    root: Path, clock: SimClock, act: Callable[[Keeper], object], prepare: Callable[[Keeper], object] | None = None
) -> Iterator[tuple[Path, Keeper]]:
    """The store, and its keeper after the next start, of a machine that stopped before each effect of `act`."""
    for at in range(effects(root / "count", act, prepare)):
        disk = CrashingDisk(10**9)
        keeper = open_watched(root / str(at), clock, disk)
        if prepare is not None:
            prepare(keeper)
        disk.left = at
        with pytest.raises(Crash):
            act(keeper)
        yield root / str(at), open_watched(root / str(at), clock)
