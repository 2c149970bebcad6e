"""Everything that the vault does to its disk, with the machine stopping or the disk failing at each single effect of it.

And writes of which only the first bytes arrive. Whatever it was: what was acknowledged stands, the next start makes the
store whole, what was not done can be done again, and every clip goes at its hour with its entries in the ledger.
"""

from __future__ import annotations

import copy
import json
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Literal

import pytest

from edge.clock import SECOND
from edge.errors import Refused
from edge.messages import ToVault, Verb
from edge.status import VaultStatus
from edge.vault import passes
from edge.vault.keeper import RECORDER_BACK_NS, Keeper
from edge.vault.ledger import Action
from edge.vault.purge import purge
from tests.vault.support import (
    CLIP,
    HOUR,
    Crash,
    FaultyDisk,
    Recorder,
    SimClock,
    ask,
    assert_ledger,
    birth,
    close,
    config,
    is_kept,
    make_clip,
    open_keeper,
    quick_folder,
    segment,
)

DAMAGED, IN_TRASH, BEGUN, OPEN, UNBORN = (f"20261118T08532{number}Z-abcd" for number in range(5))
PAYLOAD: Final = b"sealed " * 1000
EFFECTS_LIMIT: Final = 300  # of one deed; more would mean that it never comes to an end

Fault = Literal["crash", "fails once", "fails from then on"]


@dataclass(slots=True, kw_only=True)
class Bench:
    """A store, its vault if it runs, and the disk that is about to go wrong."""

    root: Path
    clock: SimClock
    disk: FaultyDisk
    keeper: Keeper | None = None

    @property
    def vault(self) -> Keeper:
        assert self.keeper is not None
        return self.keeper

    def open(self) -> Keeper:
        """Start the vault anew, with its first pass."""
        self.keeper = None
        keeper = open_keeper(self.root, self.clock, disk=self.disk)
        passes.pass_through(keeper)
        self.keeper = keeper
        return keeper

    def file(self, name: str, clip: str = CLIP) -> Path:
        return self.root / "store" / "clips" / clip / name


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """What is done to the disk: `act` says whether it was acknowledged, `stands` whether it is so."""

    prepare: Callable[[Bench], None]
    act: Callable[[Bench], bool]
    stands: Callable[[Bench, VaultStatus], bool]
    starts_itself: bool = False


def nothing(_: Bench) -> None: ...


def a_clip(bench: Bench, *, closed: bool = True) -> None:
    make_clip(bench.vault, bench.clock, closed=closed)


def a_birth(bench: Bench) -> None:
    Recorder(bench.vault).must(birth(bench.clock))


def an_interrupted_clip(bench: Bench) -> None:
    make_clip(bench.vault, bench.clock, closed=False).hang_up()
    bench.clock.advance(2 * RECORDER_BACK_NS)
    passes.tick(bench.vault)
    assert bench.file("manifest.json").exists()


def a_held_clip(bench: Bench) -> None:
    a_clip(bench)
    assert ask(bench.vault, Verb.HOLD, reason="police-report", days=20).error == ""


def a_store_with_things_to_mend(bench: Bench) -> None:
    for clip in (CLIP, DAMAGED, IN_TRASH, BEGUN, OPEN):
        make_clip(bench.vault, bench.clock, clip=clip, closed=clip != OPEN)
    bench.vault.ledger.append(Action.CLIP_DELETE, BEGUN, "begun")
    bench.vault.ledger.append(Action.CLIP_DELETE, IN_TRASH, "begun")
    store = bench.root / "store"
    (store / "clips" / IN_TRASH).rename(store / "trash" / IN_TRASH)
    bench.file("birth.json", DAMAGED).write_bytes(b"{")
    bench.file("0002.age.tmp").write_bytes(b"half")
    bench.file("", UNBORN).mkdir()
    bench.file("birth.json.sig", UNBORN).write_bytes(b"half")
    (store / "powered-on.json.tmp").write_bytes(b"half")
    bench.clock.reboot()


def tell(message: Callable[[Bench], ToVault], payload: bytes, bench: Bench) -> bool:
    return Recorder(bench.vault).tell(message(bench), payload).is_durable


def request(verb: Verb, reason: str, days: int, bench: Bench) -> bool:
    return ask(bench.vault, verb, reason=reason, days=days).error == ""


def pass_of_the_hour(bench: Bench) -> bool:
    bench.clock.advance(72 * HOUR)
    passes.tick(bench.vault)
    return not is_kept(bench.root)


def purge_of_the_hour(bench: Bench) -> bool:
    bench.clock.advance(72 * HOUR)
    return not purge(config(bench.root), clock=bench.clock, disk=bench.disk).failed


def start(bench: Bench) -> bool:
    try:
        return not {"store", "delete-failed"} & {fault.code for fault in bench.open().status().faults}
    except Refused:
        return False


def is_gone(bench: Bench, _: VaultStatus) -> bool:
    return not is_kept(bench.root)


def holds(name: str, bench: Bench, _: VaultStatus) -> bool:
    return bench.file(name).read_bytes() == PAYLOAD


def is_mended(bench: Bench, status: VaultStatus) -> bool:
    assert not is_kept(bench.root, IN_TRASH)
    assert not is_kept(bench.root, BEGUN)
    return {clip.id for clip in status.clips} == {CLIP, DAMAGED, OPEN}


DEEDS: dict[str, Deed] = {
    "birth": Deed(
        prepare=nothing,
        act=partial(tell, lambda bench: birth(bench.clock, pressed_ns=0), b""),
        stands=lambda bench, status: status.clips_total == 1 and bench.file("birth.json.sig").exists(),
    ),
    "segment": Deed(
        prepare=a_birth,
        act=partial(tell, lambda _: segment(0), PAYLOAD),
        stands=partial(holds, "0000.age"),
    ),
    "close": Deed(
        prepare=partial(a_clip, closed=False),
        act=partial(tell, lambda _: close(2), b""),
        stands=lambda _, status: status.clips[0].state == "complete",
    ),
    "reopening": Deed(
        prepare=an_interrupted_clip,
        act=partial(tell, lambda _: segment(2), PAYLOAD),
        stands=partial(holds, "0002.age"),
    ),
    "hold": Deed(
        prepare=a_clip,
        act=partial(request, Verb.HOLD, "police-report", 20),
        stands=lambda _, status: status.clips[0].held,
    ),
    "release": Deed(
        prepare=a_held_clip,
        act=partial(request, Verb.RELEASE, "", 0),
        stands=lambda _, status: not status.clips[0].held,
    ),
    "outcome": Deed(
        prepare=a_clip,
        act=partial(request, Verb.OUTCOME, "threat", 0),
        stands=lambda _, status: status.clips[0].outcome == "threat",
    ),
    "deletion by a person": Deed(
        prepare=a_clip,
        act=partial(request, Verb.DELETE, "objection", 0),
        stands=is_gone,
    ),
    "deletion at its hour": Deed(prepare=a_clip, act=pass_of_the_hour, stands=is_gone),
    "deletion by purge": Deed(prepare=a_clip, act=purge_of_the_hour, stands=is_gone),
    "start": Deed(prepare=a_store_with_things_to_mend, act=start, stands=is_mended, starts_itself=True),
}


@pytest.fixture
def folder() -> Iterator[Path]:
    with quick_folder() as path:
        yield path


@pytest.mark.parametrize("fault", ["crash", "fails once", "fails from then on"])
@pytest.mark.parametrize("name", DEEDS)
def test_nothing_acknowledged_is_lost_and_nothing_is_kept_at_any_effect(folder: Path, name: str, fault: Fault) -> None:
    deed = DEEDS[name]
    model = Bench(root=folder / "model", clock=SimClock(), disk=FaultyDisk())
    model.open()
    deed.prepare(model)
    for number in range(EFFECTS_LIMIT):
        bench = Bench(root=folder / str(number), clock=copy.copy(model.clock), disk=FaultyDisk())
        shutil.copytree(model.root, bench.root)
        if not deed.starts_itself:
            bench.open()
        is_done = attempt(bench, deed, fault, number)
        was_reached = bench.disk.has_struck
        if was_reached and fault != "crash":
            assert_shown(bench, fault)
        bench.disk.mend()
        if fault == "crash" and number % 2:
            bench.clock.reboot()  # the power was cut; else the process alone was killed
        assert_whole(bench, deed, is_done=is_done)
        assert_goes_at_its_hour(bench)
        shutil.rmtree(bench.root)
        if not was_reached:
            assert is_done
            assert number > 3
            return
    pytest.fail("it never comes to an end")


def attempt(bench: Bench, deed: Deed, fault: Fault, number: int) -> bool:
    """Do it with the fault at this effect; was it acknowledged?"""
    if fault == "crash":
        bench.disk.crash_at(number)
    else:
        bench.disk.fail_at(number, goes_on=fault == "fails from then on")
    try:
        return deed.act(bench)
    except Crash:
        bench.keeper = None
        return False


def assert_shown(bench: Bench, fault: Fault) -> None:
    """A disk that goes on failing is a fault on display, unless the vault could not even start."""
    if bench.keeper is None:
        return
    passes.pass_through(bench.keeper)
    faults = {found.code for found in bench.keeper.status().faults}
    if fault == "fails from then on":
        assert "store" in faults
    else:
        assert not faults & {"store", "delete-failed", "overdue"}, "one failure, and the next pass did not make it good"
        assert list((bench.root / "store" / "trash").iterdir()) == []


def assert_whole(bench: Bench, deed: Deed, *, is_done: bool) -> None:
    if bench.keeper is not None and is_done:
        assert deed.stands(bench, bench.keeper.status()), "acknowledged, and not so"
    status = bench.open().status()
    store = bench.root / "store"
    assert list((store / "trash").iterdir()) == []
    assert list(store.rglob("*.tmp")) == []
    assert {path.name for path in (store / "clips").iterdir()} == {clip.id for clip in status.clips}
    assert_ledger(bench.root)
    assert told(bench, "clip-delete") <= told(bench, "clip-deleted"), "what was begun is not finished by a start"
    assert not any(is_kept(bench.root, clip) for clip in told(bench, "clip-deleted"))
    if is_done:
        assert deed.stands(bench, status), "acknowledged, and lost by a restart"
    deed.act(bench)
    assert deed.stands(bench, bench.vault.status()), "what was not done could not be done again"


def assert_goes_at_its_hour(bench: Bench) -> None:
    clips = [path.name for path in (bench.root / "store" / "clips").iterdir()]
    bench.clock.advance(28 * 24 * HOUR)
    passes.tick(bench.vault)
    assert list((bench.root / "store" / "clips").iterdir()) == []
    assert told(bench, "clip-delete") & told(bench, "clip-deleted") >= set(clips)
    assert_ledger(bench.root)


def told(bench: Bench, action: str) -> set[str]:
    """The clips of which the ledger tells this."""
    book = bench.root / "store" / "ledger.jsonl"
    found = [json.loads(line) for line in book.read_bytes().splitlines()] if book.exists() else []
    return {entry["object"] for entry in found if entry["action"] == action}


def test_a_hold_after_a_deletion_that_failed_stands_after_a_restart(folder: Path) -> None:
    bench = Bench(root=folder, clock=SimClock(), disk=FaultyDisk())
    bench.open()
    a_clip(bench)
    bench.disk.fail_at(4, goes_on=False)  # the rename, after the entry
    assert not request(Verb.DELETE, "objection", 0, bench)
    bench.disk.mend()
    assert told(bench, "clip-delete") == {CLIP}
    assert is_kept(folder)
    assert request(Verb.HOLD, "police-report", 20, bench)
    bench.clock.advance(19 * 24 * HOUR)
    bench.open()
    assert is_kept(folder)
    bench.clock.advance(24 * HOUR)
    passes.tick(bench.vault)
    assert not is_kept(folder)


def test_a_clip_whose_deletion_a_start_finished_does_not_come_back(folder: Path) -> None:
    bench = Bench(root=folder, clock=SimClock(), disk=FaultyDisk())
    bench.open()
    a_clip(bench)
    bench.disk.crash_at(4)  # the rename, after the entry
    with pytest.raises(Crash):
        request(Verb.DELETE, "objection", 0, bench)
    bench.disk.mend()
    bench.open()
    assert not is_kept(folder)
    assert Recorder(bench.vault).tell(birth(bench.clock)).is_final
    assert not is_kept(folder)


def test_a_full_disk_at_the_turn_of_the_year_or_after_a_cut_line_stops_no_start_and_no_deletion(folder: Path) -> None:
    for turn in ("year", "line"):
        bench = Bench(root=folder / turn, clock=SimClock(), disk=FaultyDisk())
        bench.open()
        a_clip(bench)
        book = bench.root / "store" / "ledger.jsonl"
        if turn == "year":
            bench.clock.advance(60 * 24 * HOUR)
        else:
            book.write_bytes(book.read_bytes() + b'{"seq":')
            bench.clock.advance(72 * HOUR)
        bench.disk.is_full = True
        for _ in range(2):
            bench.open()
            assert not is_kept(bench.root)
            assert bench.vault.status().faults
        bench.disk.mend()
        Recorder(bench.vault).must(birth(bench.clock, clip=OPEN, incident="another"))
        assert_ledger(bench.root)


def a_whole_story(bench: Bench) -> list[bytes]:
    """A clip from its birth to its end, a hold and a minute; the segments that were acknowledged."""
    safe: list[bytes] = []
    try:
        keeper = bench.open()
        recorder = Recorder(keeper)
        recorder.must(birth(bench.clock))
        for number in range(3):
            recorder.must(segment(number), PAYLOAD)
            safe.append(PAYLOAD)
        recorder.must(close(3))
        assert ask(keeper, Verb.HOLD, reason="police-report", days=20).error == ""
        bench.clock.advance(61 * SECOND)
        passes.tick(keeper)
    except Crash:
        bench.keeper = None
    return safe


def assert_survived(bench: Bench, safe: list[bytes]) -> None:
    """Two starts in a row, everything that was acknowledged, and the end of the story."""
    bench.clock.reboot()
    for _ in range(2):
        bench.open()
        for number, payload in enumerate(safe):
            assert bench.file(f"{number:04d}.age").read_bytes() == payload
        assert list((bench.root / "store").rglob("*.tmp")) == []
        assert_ledger(bench.root)
    assert_goes_at_its_hour(bench)


TORN: dict[str, int] = {  # and how many times it is written before the one that is torn
    "ledger.jsonl": 2,
    "birth.json": 0,
    "birth.json.sig": 0,
    "0001.age": 0,
    "manifest.json": 0,
    "hold-1.json": 0,
    "powered-on.json": 1,
    "device.key": 0,
    "device.pub.pem": 0,
}


@pytest.mark.parametrize("name", TORN)
def test_a_write_of_which_only_some_bytes_arrive_costs_nothing_that_was_acknowledged(folder: Path, name: str) -> None:
    seeded = random.Random(name)
    for turn, size in enumerate([0, 1, *(seeded.randrange(2, 200) for _ in range(4))]):
        bench = Bench(root=folder / str(turn), clock=SimClock(), disk=FaultyDisk())
        bench.disk.tear(name, size, after=TORN[name])
        safe = a_whole_story(bench)
        assert bench.keeper is None, "this write never came"
        bench.disk.mend()
        assert_survived(bench, safe)


def test_a_catalog_torn_anywhere_costs_nothing(folder: Path) -> None:
    seeded = random.Random(5)
    for turn in range(12):
        bench = Bench(root=folder / str(turn), clock=SimClock(), disk=FaultyDisk())
        safe = a_whole_story(bench)
        bench.vault.stop()
        bench.keeper = None
        catalog = bench.root / "store" / "catalog.sqlite"
        content = bytearray(catalog.read_bytes())
        at = seeded.randrange(len(content))
        torn = content[:at] if turn % 2 else content[:at] + seeded.randbytes(512) + content[at + 512 :]
        catalog.write_bytes(torn)
        assert_survived(bench, safe)
