"""Time as it can go wrong: reboots, power cuts, jumping and lying clocks, outages; against a model that knows better."""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.clock import SECOND
from edge.desk import verify_ledger
from edge.durable import Disk
from edge.vault import passes, retention
from edge.vault.keeper import Keeper
from edge.vault.purge import purge
from edge.vault.retention import CAP_NS, DAY_NS, Life, Now
from tests.vault.support import CLIP, START_WALL_NS, SimClock, config, make_clip, open_keeper

KEEP_S = 600
LONG = os.environ.get("SPREEKKAMER_LONG") == "1"

T = TypeVar("T")


class QuickDisk(Disk):
    """Time is the subject here, not power cuts of the disk: no fsync."""

    def effect(self, what: str, path: Path, call: Callable[[], T]) -> T:
        if what == "fsync":
            return None  # type: ignore[return-value]
        return super().effect(what, path, call)


def now(*, powered_on: int = 0, wall: int = 0, trusted: bool = False) -> Now:
    return Now(boot_id="b", boot_ns=0, wall_ns=wall, is_trusted=trusted, powered_on_ns=powered_on)


@pytest.mark.parametrize(
    ("life_wall", "at", "age"),
    [
        (None, now(powered_on=70), 60),
        (None, now(powered_on=70, wall=999, trusted=True), 60),  # the press's clock was not trusted
        (500, now(powered_on=70, wall=999, trusted=False), 60),  # this clock is not trusted
        (500, now(powered_on=70, wall=999, trusted=True), 499),
        (500, now(powered_on=70, wall=510, trusted=True), 60),
        (500, now(powered_on=0, wall=0, trusted=True), 0),  # a lost counter and a clock set back: not below zero
    ],
)
def test_age_is_the_larger_of_what_is_sure(life_wall: int | None, at: Now, age: int) -> None:
    assert retention.age_ns(Life(powered_on_ns=10, wall_ns=life_wall, keep_ns=1), at) == age


def test_nothing_reaches_beyond_four_weeks() -> None:
    life = Life(powered_on_ns=0, wall_ns=None, keep_ns=40 * DAY_NS, hold_ns=90 * DAY_NS)
    assert retention.end_ns(life) == CAP_NS
    assert retention.due([("a", life)], now(powered_on=CAP_NS)) == ["a"]
    assert retention.due([("a", life)], now(powered_on=CAP_NS - 1)) == []


def test_what_cannot_be_deleted_does_not_save_the_next() -> None:
    from edge.errors import StoreError

    gone: list[str] = []

    def delete(clip: str) -> None:
        if clip == "stuck":
            raise StoreError("it is stuck")
        gone.append(clip)

    lives = [(clip, Life(powered_on_ns=0, wall_ns=None, keep_ns=1)) for clip in ("stuck", "other")]
    passed = retention.enforce(lives, now(powered_on=5), delete)
    assert gone == ["other"]
    assert passed.failed == (("stuck", "it is stuck"),)


class World:
    """A device, its vault, and what really happens to it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clock = SimClock()
        self.disk = QuickDisk()
        self.true_ns = START_WALL_NS
        self.on_ns = 0  # how long the device really ran since the press
        self.reboots = 0
        self.keeper: Keeper | None = None
        self.is_wall_known = False  # a trusted clock saw the press's boot after the press
        self.press_boot = 0

    def open(self) -> Keeper:
        if self.keeper is None:
            self.keeper = open_keeper(self.root, self.clock, retention_s=KEEP_S, disk=self.disk)
            passes.pass_through(self.keeper)
        return self.keeper

    def press(self, *, trusted: bool, wall: int) -> None:
        self.clock.trusted = trusted
        self.clock.wall = self.true_ns if trusted else wall
        make_clip(self.open(), self.clock, segments=1)
        self.is_wall_known = trusted
        self.press_boot = self.clock.boots
        self.pressed_ns = self.true_ns

    def run(self, seconds: int, *, with_vault: bool) -> None:
        while seconds > 0:
            step = min(20, seconds)
            seconds -= step
            self.true_ns += step * SECOND
            self.on_ns += step * SECOND
            self.clock.advance(step * SECOND)
            if with_vault:
                passes.tick(self.open())

    def restart_vault(self) -> None:
        if self.keeper is not None:
            self.keeper.stop()
        self.keeper = None

    def power_cut(self, off_s: int) -> None:
        self.keeper = None  # nothing is saved
        self.true_ns += off_s * SECOND
        self.clock.reboot(off_ns=0)
        self.clock.trusted = False  # until the network says otherwise
        self.reboots += 1

    def jump(self, wall: int) -> None:
        self.clock.trusted, self.clock.wall = False, wall

    def synchronise(self) -> None:
        self.clock.trusted, self.clock.wall = True, self.true_ns
        passes.pass_through(self.open())
        if self.clock.boots == self.press_boot:
            self.is_wall_known = True

    def check(self) -> None:
        passes.pass_through(self.open())
        is_there = (self.root / "store" / "clips" / CLIP).exists()
        keep_ns = KEEP_S * SECOND
        if not is_there:
            assert self.true_ns - self.pressed_ns >= keep_ns, "deleted early"
        if self.on_ns >= keep_ns + self.reboots * 60 * SECOND:
            assert not is_there, "kept beyond the powered-on time that was promised"
        if self.clock.trusted and self.is_wall_known and self.true_ns - self.pressed_ns >= keep_ns:
            assert not is_there, "kept although a trusted clock says that its hour has come"
        assert verify_ledger.check(self.root / "store" / "ledger.jsonl").is_ok


WALLS = st.sampled_from([0, START_WALL_NS, START_WALL_NS + 10 * 365 * DAY_NS, START_WALL_NS - DAY_NS])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("run"), st.integers(1, 400)),
        st.tuples(st.just("vault down"), st.integers(1, 400)),
        st.tuples(st.just("power cut"), st.integers(0, 5000)),
        st.tuples(st.just("power cut, vault late"), st.integers(1, 400)),
        st.tuples(st.just("jump"), WALLS),
        st.tuples(st.just("synchronise"), st.just(0)),
        st.tuples(st.just("restart vault"), st.just(0)),
        st.tuples(st.just("purge"), st.just(0)),
        st.tuples(st.just("catalog lost"), st.just(0)),
    ),
    max_size=12,
)


@settings(
    max_examples=1500 if LONG else 120,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=not LONG,
)
@given(trusted=st.booleans(), wall=WALLS, steps=STEPS)
def test_a_clip_never_goes_early_and_never_lives_longer_than_promised(
    trusted: bool, wall: int, steps: list[tuple[str, int]]
) -> None:
    with tempfile.TemporaryDirectory() as name:
        world = World(Path(name))
        world.press(trusted=trusted, wall=wall)
        for what, value in steps:
            match what:
                case "run":
                    world.run(value, with_vault=True)
                case "vault down":
                    world.restart_vault()
                    world.run(value, with_vault=False)
                case "power cut":
                    world.power_cut(value)
                case "power cut, vault late":
                    world.power_cut(10)
                    world.run(value, with_vault=False)
                case "jump":
                    world.jump(value)
                case "synchronise":
                    world.synchronise()
                case "restart vault":
                    world.restart_vault()
                case "purge":
                    purge(config(world.root, retention_s=KEEP_S), clock=world.clock, disk=world.disk)
                case _:
                    world.restart_vault()
                    (world.root / "store" / "catalog.sqlite").unlink(missing_ok=True)
            world.check()


def test_many_short_boots_lose_at_most_a_minute_each(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.press(trusted=False, wall=0)
    seeded = random.Random(7)
    while (tmp_path / "store" / "clips" / CLIP).exists():
        world.run(seeded.randint(80, 99), with_vault=True)
        world.check()
        world.power_cut(10)
        world.check()
        assert world.reboots < 30, "it never goes"


def test_a_vault_that_starts_days_after_the_machine_counts_those_days(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.press(trusted=False, wall=0)
    world.power_cut(10)
    world.run(KEEP_S, with_vault=False)
    world.check()
    assert not (tmp_path / "store" / "clips" / CLIP).exists()
