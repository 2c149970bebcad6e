"""One device through everything that can befall it, in any order; a model that knows better says what must be true.

The model counts for itself how long the device really ran and what a trusted clock really said, and gives each clip an
age as an interval. The least is what the vault must know: time that it saw run, but for a minute a reboot and for what
nobody could write down. The most is what it may believe: all time that the device ran, and every trusted clock. A clip
may go when the most reaches its end, and must be gone when the least does. A network that lies is believed, by design.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, TypeVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from edge.clock import SECOND
from edge.errors import Refused
from edge.messages import DeleteReason, HoldReason, Outcome, Reply, Verb
from edge.vault import passes
from edge.vault.keeper import Keeper
from edge.vault.purge import purge
from tests.vault.support import (
    IS_LONG,
    START_WALL_NS,
    UID,
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
    open_keeper,
    quick_folder,
    segment,
)

STEPS = 20_000 if IS_LONG else 3_000
STEPS_EACH = 50
CLIPS_AT_ONCE = 5

MINUTE = 60 * SECOND
DAY = 24 * 3600 * SECOND
YEAR = 365 * DAY
KEEP = 3 * DAY  # promised at the birth
CAP = 28 * DAY  # the most that a hold can reach

NOBODY = "x\ny"  # not a role
ACTORS = st.sampled_from(["officer", "team-lead"] * 3 + [NOBODY])
CLIPS = st.integers(0, CLIPS_AT_ONCE - 1)
KINDS = st.sampled_from(["power", "process", "disk"])
CUTS = st.one_of(st.none(), st.none(), st.none(), st.tuples(st.integers(0, 45), KINDS))
LENGTHS = st.sampled_from([8, 64, 488, 3600, 12 * 3600, 24 * 3600]).map(lambda s: s * SECOND)
# How far the wall clock is from the truth (None: it goes on as it was), is it trusted, does it stand still.
CLOCKS: list[tuple[int | None, bool, bool]] = [
    *[(0, True, False)] * 3,
    (None, False, False),
    (-100 * YEAR, False, False),
    (10 * YEAR, False, False),
    (-DAY, False, False),
    (None, False, True),
    (0, True, True),
    (10 * YEAR, True, False),
    (-10 * YEAR, True, False),
]

T = TypeVar("T")
Cut = tuple[int, str]  # before the n-th effect the power goes, or the process dies, or at it the disk fails once


@dataclass(slots=True, kw_only=True)
class Told:
    """What is true of one clip, whatever the vault thinks."""

    id: str
    boot_id: str
    pressed_ns: int  # BOOTTIME
    ran_ns: int  # how long the device had really run at the press
    forgotten_ns: int  # `Device.forgotten_ns` at the press
    walls: set[int]  # what a trusted clock may have said of the press
    is_wall_noted: bool  # surely one of them stands in the store
    hold_ns: tuple[int, int] = (0, 0)  # the age at which its hold ends: at least, at most
    hands: set[tuple[str, int]] = field(default_factory=set)  # who may have had it in hand
    safe: list[bytes] = field(default_factory=list)  # acknowledged segments
    is_born: bool = False  # its birth was acknowledged
    may_go: bool = True


class Device(RuleBasedStateMachine):
    """A device with its vault; a rule is something that happens to it, and `settle` follows each."""

    steps: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        Device.steps -= 1  # `settle` also runs before the first step
        self.folder = ExitStack()
        self.root = self.folder.enter_context(quick_folder())
        self.clock = SimClock()
        self.disk = FaultyDisk()
        self.keeper: Keeper | None = None
        self.true_ns = START_WALL_NS
        self.ran_ns = 0
        self.written_ns = 0  # `ran_ns` when the counter could last be written
        self.forgotten_ns = 0  # at most so much of `ran_ns` was lost with reboots
        self.clips: dict[str, Told] = {}
        self.gone: dict[str, str] = {}  # the boot in which an enforcer surely wrote that it went; else ""
        self.born = 0
        self.is_new_boot = False  # it began in this step

    def teardown(self) -> None:
        self.folder.close()

    # The room and its people

    @initialize()
    def begin(self) -> None:
        self.open()
        self.create(segments=1, end="closed", cut=None)

    @precondition(lambda self: self.keeper and len(self.clips) < CLIPS_AT_ONCE)
    @rule(segments=st.integers(1, 3), end=st.sampled_from(["closed", "open", "left"]), cut=CUTS)
    def create(self, segments: int, end: str, cut: Cut | None) -> None:
        self.born += 1
        told = Told(
            id=f"20261118T{self.born:06d}Z-k3f9",
            boot_id=self.clock.boot_id,
            pressed_ns=self.clock.boot_ns(),
            ran_ns=self.ran_ns,
            forgotten_ns=self.forgotten_ns,
            walls={self.clock.wall} if self.clock.trusted else set(),
            is_wall_noted=self.clock.trusted,
        )
        self.clips[told.id] = told
        self.act(cut, lambda: self.record(told, segments, end))

    def record(self, told: Told, segments: int, end: str) -> None:
        recorder = Recorder(self.vault)
        if not recorder.tell(birth(self.clock, clip=told.id, incident=f"of-{told.id}")).is_durable:
            assert self.is_hit
            return
        told.is_born, told.may_go = True, False
        for _ in range(segments):
            self.send(recorder, told)
        if end == "closed":
            recorder.tell(close(segments, clip=told.id))
        elif end == "left":
            recorder.hang_up()

    def send(self, recorder: Recorder, told: Told) -> None:
        payload = f"{told.id} {len(told.safe)}".encode() * 10
        if recorder.tell(segment(len(told.safe), clip=told.id), payload).is_durable:
            told.safe.append(payload)

    @precondition(lambda self: self.keeper and self.clips)
    @rule(which=CLIPS, cut=CUTS)
    def recorder_goes_on(self, which: int, cut: Cut | None) -> None:
        told = self.one(which)
        self.act(cut, lambda: self.send(Recorder(self.vault), told))

    @precondition(lambda self: self.keeper and self.clock.boot_id in self.gone.values())
    @rule()
    def recorder_tells_of_what_was_deleted(self) -> None:
        number = max(number for number, boot_id in self.gone.items() if boot_id == self.clock.boot_id)
        answer = Recorder(self.vault).tell(birth(self.clock, clip=number, incident=f"of-{number}"))
        assert answer.is_final
        assert not answer.is_durable

    @precondition(lambda self: self.keeper and self.clips)
    @rule(
        which=CLIPS,
        days=st.sampled_from([20, 9, 24, 5, 1, 28, 0, 10**6]),
        reason=st.sampled_from([*HoldReason, *HoldReason, "benefit-file"]),
        actor=ACTORS,
        cut=CUTS,
    )
    def hold(self, which: int, days: int, reason: str, actor: str, cut: Cut | None) -> None:
        told = self.one(which)
        least, most = (age + days * DAY for age in self.age(told))
        may_be = days > 0 and reason in set(HoldReason) and actor != NOBODY
        answer = self.act(cut, lambda: ask(self.vault, Verb.HOLD, clip=told.id, actor=actor, reason=reason, days=days))
        if answer and not answer.error:
            assert may_be
            assert least <= CAP
            told.hold_ns, told.may_go = (least, most), False
        elif self.is_unsure(answer) and may_be:
            told.hold_ns = min(told.hold_ns[0], least), max(told.hold_ns[1], most)
        else:
            assert not may_be or most > CAP
            return
        told.hands.add((actor, UID))

    @precondition(lambda self: self.keeper and self.clips)
    @rule(which=CLIPS, actor=ACTORS, cut=CUTS)
    def release(self, which: int, actor: str, cut: Cut | None) -> None:
        told = self.one(which)
        least, most = self.age(told)
        answer = self.act(cut, lambda: ask(self.vault, Verb.RELEASE, clip=told.id, actor=actor))
        if answer and not answer.error:
            assert least < told.hold_ns[1]
            told.hold_ns = (0, 0)
        elif self.is_unsure(answer):
            told.hold_ns = (0, told.hold_ns[1])
        else:
            assert actor == NOBODY or most >= told.hold_ns[0]
            return
        told.hands.add((actor, UID))

    @precondition(lambda self: self.keeper and self.clips)
    @rule(which=CLIPS, outcome=st.sampled_from([*Outcome, Outcome.NO_INCIDENT, "rude"]), actor=ACTORS, cut=CUTS)
    def outcome(self, which: int, outcome: str, actor: str, cut: Cut | None) -> None:
        told = self.one(which)
        answer = self.act(cut, lambda: ask(self.vault, Verb.OUTCOME, clip=told.id, actor=actor, reason=outcome))
        may_delete = outcome == Outcome.NO_INCIDENT and bool(told.hands - {(actor, UID)})
        if answer and (answer.data or {}).get("deleted"):
            assert may_delete, "one person alone made it go"
            self.must_be_gone(told)
        elif (answer and not answer.error) or self.is_unsure(answer):
            told.may_go |= may_delete and self.is_unsure(answer)
            told.hands.add((actor, UID))
        else:
            assert outcome == "rude" or actor == NOBODY

    @precondition(lambda self: self.keeper and self.clips)
    @rule(which=CLIPS, reason=st.sampled_from([*DeleteReason, "because"]), actor=ACTORS, cut=CUTS)
    def delete(self, which: int, reason: str, actor: str, cut: Cut | None) -> None:
        told = self.one(which)
        least, most = self.age(told)
        answer = self.act(cut, lambda: ask(self.vault, Verb.DELETE, clip=told.id, actor=actor, reason=reason))
        if answer and not answer.error:
            assert most >= told.hold_ns[0], "a held clip was deleted"
            self.must_be_gone(told)
        elif self.is_unsure(answer):
            told.may_go = True
        else:
            assert reason == "because" or actor == NOBODY or least < told.hold_ns[1]

    # Time, power, processes

    @rule(length=LENGTHS, cut=CUTS)
    def time_passes(self, length: int, cut: Cut | None) -> None:
        self.act(cut, lambda: self.live(length))
        if self.keeper:
            self.assert_nothing_overdue()  # by its own ticks, no pass was asked for

    def live(self, length: int) -> None:
        for _ in range(8):
            self.run(length // 8)
            if self.keeper:
                self.witness()
                passes.tick(self.keeper)
                self.wrote()

    @precondition(lambda self: self.clips)
    @rule(which=CLIPS, is_past=st.booleans(), is_watched=st.booleans())
    def the_hour_of_a_clip_comes(self, which: int, is_past: bool, is_watched: bool) -> None:
        """To seconds before it may go, or to the very instant at which it must be gone."""
        told = self.one(which)
        (least, most), (first, last) = self.age(told), self.end(told)
        length = last - least if is_past else first - most - 8 * SECOND
        if length <= 0:
            return
        if not is_watched:
            self.stop(is_clean=False)
        self.live(length + 7)  # divided by eight

    @rule(length=LENGTHS, is_clean=st.booleans())
    def time_passes_without_the_vault(self, length: int, is_clean: bool) -> None:
        self.stop(is_clean=is_clean)
        self.run(length)

    @rule(cut=CUTS)
    def purge(self, cut: Cut | None) -> None:
        self.witness()
        purged = self.act(cut, lambda: purge(config(self.root), clock=self.clock, disk=self.disk))
        assert not purged or not purged.failed or self.is_hit
        if purged:
            self.assert_nothing_overdue()

    @rule(off_s=st.sampled_from([0, 3600, 80 * 3600, 400 * 24 * 3600]), is_clean=st.booleans(), is_online=st.booleans())
    def reboot(self, off_s: int, is_clean: bool, is_online: bool) -> None:
        self.stop(is_clean=is_clean)
        self.boot(off_s * SECOND)
        if is_online:
            self.clock.trusted, self.clock.wall = True, self.true_ns

    @rule(is_clean=st.booleans(), cut=CUTS)
    def vault_restarts(self, is_clean: bool, cut: Cut | None) -> None:
        self.stop(is_clean=is_clean)
        self.act(cut, self.open)

    @rule(how=st.sampled_from(CLOCKS))
    def clock_is_set(self, how: tuple[int | None, bool, bool]) -> None:
        off_ns, self.clock.trusted, self.clock.is_stuck = how
        if self.clock.trusted and off_ns != 0:
            self.gone = dict.fromkeys(self.gone, "")  # years may end and be folded, and this boot's entries with them
        if off_ns is not None:
            self.clock.wall = max(0, self.true_ns + off_ns)

    # What breaks

    @rule(how=st.sampled_from(["fine", "fine", "full", "failing"]))
    def disk_is(self, how: str) -> None:
        self.disk.is_full, self.disk.is_failing = how == "full", how == "failing"

    @rule(how=st.sampled_from(["removed", "random", "cut"]), is_running=st.booleans(), seed=st.integers(0, 99))
    def catalog_is_damaged(self, how: str, is_running: bool, seed: int) -> None:
        if not is_running:
            self.stop(is_clean=True)
        self.damage("catalog.sqlite", how, seed)

    @precondition(lambda self: not self.disk.is_broken)
    @rule(how=st.sampled_from(["removed", "random", "cut"]), seed=st.integers(0, 99))
    def counter_is_damaged(self, how: str, seed: int) -> None:
        self.stop(is_clean=True)
        self.damage("powered-on.json", how, seed)
        # The newest birth stands in for it.
        births = [told.ran_ns for told in self.clips.values() if (self.place(told) / "birth.json").exists()]
        self.forgotten_ns += self.ran_ns - max(births, default=0)

    # What must be true

    @invariant()
    def settle(self) -> None:
        """The vault is started if it can be, a pass is made, and everything is looked at."""
        Device.steps += 1
        self.disk.disarm()
        self.open()
        if self.keeper:
            self.witness()
            passes.pass_through(self.keeper)
            self.assert_nothing_overdue()
        for told in list(self.clips.values()):
            if not self.place(told).exists():
                assert told.may_go, "it went before its hour"
            if not is_kept(self.root, told.id):
                is_told = told.is_born and self.keeper and not self.disk.is_broken and not self.is_new_boot
                self.gone[told.id] = self.clock.boot_id if is_told else ""
                del self.clips[told.id]
            elif self.place(told).exists():
                for number, payload in enumerate(told.safe):
                    assert (self.place(told) / f"{number:04d}.age").read_bytes() == payload
        self.is_new_boot = False
        assert not any(is_kept(self.root, number) for number in self.gone), "it came back"
        assert_ledger(self.root)
        if not self.keeper:
            return
        faults = {fault.code for fault in self.keeper.status().faults}
        if self.disk.is_failing:
            assert faults, "a broken disk shows no fault"
            return
        assert not faults & {"overdue", "clip-damaged"}
        assert self.disk.is_full or "delete-failed" not in faults
        assert list((self.root / "store" / "trash").iterdir()) == []
        if not self.disk.is_full and self.clock.trusted:
            for told in self.clips.values():
                told.is_wall_noted |= told.boot_id == self.clock.boot_id

    def assert_nothing_overdue(self) -> None:
        if self.disk.is_failing or self.disk.has_struck:
            return
        for told in self.clips.values():
            if self.age(told)[0] >= self.end(told)[1]:
                assert not is_kept(self.root, told.id), "it is there after its hour"

    def must_be_gone(self, told: Told) -> None:
        assert not is_kept(self.root, told.id), "a person was told that it is gone"
        told.may_go = True

    # The model

    def age(self, told: Told) -> tuple[int, int]:
        """How old the clip is: at least, at most."""
        most = self.ran_ns - told.ran_ns
        least = max(0, most - (self.forgotten_ns - told.forgotten_ns))
        if self.clock.trusted and told.walls:
            most = max(most, self.clock.wall - min(told.walls))
            if told.is_wall_noted:
                least = max(least, self.clock.wall - max(told.walls))
        return least, most

    def end(self, told: Told) -> tuple[int, int]:
        """The age at which the clip goes: at least, at most."""
        first, last = (min(CAP, max(KEEP, hold)) for hold in told.hold_ns)
        return first, last

    def witness(self) -> None:
        """An enforcer is about to look: what it may learn, and what it may delete."""
        for told in self.clips.values():
            if self.clock.trusted and told.boot_id == self.clock.boot_id and not told.is_wall_noted:
                told.walls.add(self.clock.wall - (self.clock.boot_ns() - told.pressed_ns))
            told.may_go |= self.age(told)[1] >= self.end(told)[0]

    def run(self, ns: int) -> None:
        self.clock.advance(ns)
        self.true_ns += ns
        self.ran_ns += ns

    def boot(self, off_ns: int) -> None:
        self.forgotten_ns += MINUTE + self.ran_ns - self.written_ns
        self.written_ns = self.ran_ns
        self.true_ns += off_ns
        self.clock.reboot()
        self.is_new_boot = True
        self.clock.trusted = self.clock.is_stuck = False

    def wrote(self) -> None:
        if not self.is_hit:
            self.written_ns = self.ran_ns

    # Its parts

    @property
    def vault(self) -> Keeper:
        assert self.keeper is not None
        return self.keeper

    def one(self, which: int) -> Told:
        return list(self.clips.values())[which % len(self.clips)]

    def place(self, told: Told) -> Path:
        return self.root / "store" / "clips" / told.id

    def is_unsure(self, answer: Reply | None) -> bool:
        """It was cut, or the disk failed it: what was asked may be there or not."""
        return answer is None or self.is_hit

    @property
    def is_hit(self) -> bool:
        """The disk failed in this step, or may have."""
        return self.disk.is_broken or self.disk.has_struck

    def act(self, cut: Cut | None, call: Callable[[], T]) -> T | None:
        """Do it; None when the machine or the process stopped in it."""
        number, kind = cut or (0, "")
        if kind == "disk":
            self.disk.fail_at(number, goes_on=False)
        elif kind:
            self.disk.crash_at(number)
        try:
            return call()
        except Crash:
            self.keeper = None
            self.disk.disarm()
            if kind == "power":
                self.boot(0)
            return None

    def open(self) -> None:
        if self.keeper:
            return
        try:
            keeper = open_keeper(self.root, self.clock, disk=self.disk)
        except Refused:
            assert self.disk.is_failing or self.disk.has_struck, "a vault that could start does not"
            return
        self.witness()
        passes.pass_through(keeper)
        self.keeper = keeper
        self.wrote()

    def stop(self, *, is_clean: bool) -> None:
        if self.keeper and is_clean:
            self.keeper.stop()
            self.wrote()
        self.keeper = None

    def damage(self, name: str, how: str, seed: int) -> None:
        file = self.root / "store" / name
        content = file.read_bytes() if file.exists() else b""
        if how == "removed":
            file.unlink(missing_ok=True)
        elif how == "random":
            file.write_bytes(random.Random(seed).randbytes(len(content)))
        else:
            file.write_bytes(content[: len(content) * seed // 100])


def test_no_order_of_events_defeats_deletion_or_a_promise() -> None:
    run_state_machine_as_test(
        Device,
        settings=settings(
            max_examples=STEPS // (STEPS_EACH - 15),  # some end sooner
            stateful_step_count=STEPS_EACH,
            derandomize=True,
            database=None,
            report_multiple_bugs=False,
            phases=[Phase.generate, Phase.shrink] if IS_LONG else [Phase.generate],  # shrinking takes minutes
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert Device.steps >= STEPS
