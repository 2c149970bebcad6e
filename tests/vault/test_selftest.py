"""The vault's half of the self-test: to the disk and back, a result that lasts, and never a clip."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.clock import SECOND, iso
from edge.durable import Disk
from edge.errors import StoreError
from edge.messages import Probe, Step, TrialAnswer
from edge.recorder.selftest import AGAIN_NS
from edge.vault import passes, process
from edge.vault.keeper import Keeper
from tests.support import evidence
from tests.vault.support import (
    CLIP,
    HOUR,
    RecordingDisk,
    SimClock,
    config,
    make_clip,
)
from tests.vault.trials import (
    DAY,
    SEALED,
    T,
    codes,
    conclude,
    confirm,
    drill_made,
    entries,
    is_without_clips,
    make_drill,
    names,
    open_watched,
    recorder_of,
    run,
    stopped_each_time,
    tell,
)


@pytest.fixture
def clock() -> SimClock:
    return SimClock()


# --- the probe


def test_a_probe_comes_back_from_the_disk_and_leaves_nothing(tmp_path: Path, clock: SimClock) -> None:
    disk = RecordingDisk()
    keeper = open_watched(tmp_path, clock, disk)
    disk.effects.clear()
    assert tell(keeper, Probe(), SEALED) == (TrialAnswer(failed=None, error="", is_drill_due=False), SEALED)
    of_probe = [what for what, name in disk.effects if name in ("probe.age", "probe.age.tmp")]
    assert of_probe[-5:] == ["write", "fsync", "create", "remove", "remove"], "as a segment, and gone"
    assert disk.effects[-1] == ("fsync", "selftest")
    assert names(tmp_path / "store" / "selftest") == []
    assert is_without_clips(tmp_path, keeper)


class HurtDisk(Disk):
    """Does to the probe what `hurts` says, before the effect of this name, or once it is "stored"; else a disk as any."""

    def __init__(self) -> None:
        self.hurts: dict[str, Callable[[Path], None]] = {}

    def effect(self, what: str, path: Path, call: Callable[[], T]) -> T:
        def hurt() -> T:
            self.hurts[what](path)
            return call()

        is_probe = path.name == "probe.age" or (what == "write" and path.name == "probe.age.tmp")
        return super().effect(what, path, hurt if is_probe and what in self.hurts else call)

    def create(self, path: Path, data: bytes | memoryview) -> None:
        super().create(path, data)
        if path.name == "probe.age" and "stored" in self.hurts:
            self.hurts["stored"](path)

    def unlink(self, path: Path) -> None:
        if not (path.name == "probe.age" and "unlink" in self.hurts):
            super().unlink(path)


def no_space(_: Path) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def no_answer(_: Path) -> None:
    raise OSError(errno.EIO, "Input/output error")


def full(disk: HurtDisk) -> None:
    disk.hurts["write"] = no_space


def worn(disk: HurtDisk) -> None:
    disk.hurts["create"] = no_answer


def undeletable(disk: HurtDisk) -> None:
    disk.hurts["stored"] = lambda _: disk.hurts.update(remove=no_answer)


def untrue(disk: HurtDisk) -> None:
    """It says that the file is gone."""
    disk.hurts["unlink"] = no_answer


def forgetful(disk: HurtDisk) -> None:
    disk.hurts["stored"] = lambda probe: probe.unlink()


def wrong(disk: HurtDisk) -> None:
    def flip(probe: Path) -> None:
        probe.write_bytes(probe.read_bytes()[:-1] + b"!")

    disk.hurts["stored"] = flip


@pytest.mark.parametrize(
    ("ail", "step", "says"),
    [
        (full, Step.STORE, "No space left"),
        (worn, Step.STORE, "Input/output"),
        (undeletable, Step.DELETE, "Input/output"),
        (untrue, Step.DELETE, "still there"),
        (forgetful, Step.READ_BACK, "cannot be read"),
        (wrong, Step.COMPARE, "other bytes"),
    ],
)
def test_recorder_and_vault_find_what_a_bad_disk_does_and_pass_on_a_good_one(
    tmp_path: Path, clock: SimClock, ail: Callable[[HurtDisk], None], step: Step, says: str
) -> None:
    disk = HurtDisk()
    keeper = open_watched(tmp_path, clock, disk)
    test = recorder_of(keeper, clock)
    ail(disk)
    run(test)
    status = keeper.status()
    assert (status.self_test.is_passed, status.self_test.failed) == (False, step.value)
    (fault,) = [fault for fault in status.faults if fault.code == "self-test-failed"]
    assert fault.detail.startswith(f"{step.value}: ")
    assert says in fault.detail
    assert fault.fix
    assert "self-test-failed" in codes(keeper), "and stays over a pass"
    assert entries(tmp_path, "self-test") == [("self-test", "failed", "")]

    disk.hurts.clear()
    clock.advance(AGAIN_NS)
    run(test)
    assert keeper.status().self_test.is_passed
    assert "self-test-failed" not in codes(keeper)
    assert entries(tmp_path, "self-test") == [("self-test", "failed", ""), ("self-test", "passed", "")]
    assert names(tmp_path / "store" / "selftest") == ["result.json"]
    assert is_without_clips(tmp_path, keeper)


def test_a_machine_that_stops_at_any_moment_of_a_probe_leaves_nothing_after_the_next_start(
    tmp_path: Path, clock: SimClock
) -> None:
    def act(keeper: Keeper) -> None:
        tell(keeper, Probe(), SEALED)
        conclude(keeper)

    for root, keeper in stopped_each_time(tmp_path, clock, act):
        assert set(names(root / "store" / "selftest")) <= {"result.json"}
        assert is_without_clips(root, keeper)
        act(keeper)
        assert keeper.status().self_test.is_passed
        evidence.ledger(root / "store")


@pytest.mark.parametrize("payload", [b"", bytes(5 << 20)], ids=["nothing", "5 MiB"])
def test_a_probe_of_a_size_that_no_recorder_sends_is_not_taken(tmp_path: Path, clock: SimClock, payload: bytes) -> None:
    keeper = open_watched(tmp_path, clock)
    answer, found = tell(keeper, Probe(), payload)
    assert (answer.failed, found) == (Step.STORE, b"")
    assert tell(keeper, drill_made(), payload)[0].failed is Step.DRILL
    assert names(tmp_path / "store" / "selftest") == names(tmp_path / "store" / "drill") == []


def test_a_press_waits_for_no_test_however_long_the_disk_takes_for_it(tmp_path: Path, clock: SimClock) -> None:
    holds, let_go = threading.Event(), threading.Event()
    disk = HurtDisk()

    def stall(_: Path) -> None:
        holds.set()
        assert let_go.wait(30.0)

    disk.hurts["write"] = stall
    keeper = open_watched(tmp_path, clock, disk)
    thread = threading.Thread(target=tell, args=(keeper, Probe(), SEALED))
    thread.start()
    assert holds.wait(30.0)
    make_clip(keeper, clock)
    passes.pass_through(keeper)
    assert keeper.status().clips_total == 1
    let_go.set()
    thread.join(30.0)
    assert not thread.is_alive()
    assert names(tmp_path / "store" / "clips") == [CLIP]


# --- the result and its age


def test_a_result_outlives_restart_and_reboot_with_its_true_age(tmp_path: Path, clock: SimClock) -> None:
    keeper = open_watched(tmp_path, clock)
    assert keeper.status().self_test.is_passed is None
    conclude(keeper)
    at = keeper.status().self_test.at
    clock.advance(2 * HOUR)
    clock.wall += 20 * 365 * DAY  # a clock that jumps, and is not trusted
    clock.trusted = False
    keeper = open_watched(tmp_path, clock)
    assert keeper.status().self_test.is_passed
    assert keeper.status().self_test.age_s == 2 * 3600
    keeper.stop()
    clock.wall -= 20 * 365 * DAY
    clock.reboot(off_ns=10 * HOUR)
    keeper = open_watched(tmp_path, clock)
    assert keeper.status().self_test.age_s == 2 * 3600, "the time without power is not known yet"
    clock.trusted = True
    assert keeper.status().self_test.age_s == 12 * 3600
    assert keeper.status().self_test.at == at


def test_a_test_under_a_clock_of_1970_is_not_fifty_years_old_once_the_time_is_known(
    tmp_path: Path, clock: SimClock
) -> None:
    true_wall_ns, clock.wall, clock.trusted = clock.wall, SECOND, False
    keeper = open_watched(tmp_path, clock)
    conclude(keeper)
    make_drill(keeper)
    clock.advance(HOUR)
    clock.wall, clock.trusted = true_wall_ns + HOUR, True
    status = keeper.status()
    assert (status.self_test.age_s, status.drill.waiting_s) == (3600, 3600)
    assert status.self_test.at == iso(true_wall_ns)
    assert codes(keeper) & {"self-test-overdue", "drill-waiting"} == set()


def test_a_room_that_never_tests_itself_is_a_fault_after_an_hour(tmp_path: Path, clock: SimClock) -> None:
    keeper = open_watched(tmp_path, clock)
    clock.advance(HOUR)
    assert "self-test-overdue" not in codes(keeper)
    clock.advance(SECOND)
    assert "self-test-overdue" in codes(keeper)
    conclude(keeper)
    assert "self-test-overdue" not in {fault.code for fault in keeper.status().faults}, "at once"


def test_a_self_test_of_a_day_and_a_half_ago_is_a_fault(tmp_path: Path, clock: SimClock) -> None:
    keeper = open_watched(tmp_path, clock)
    conclude(keeper)
    clock.advance(36 * HOUR)
    assert "self-test-overdue" not in codes(keeper)
    clock.advance(SECOND)
    assert "self-test-overdue" in codes(keeper)
    keeper = open_watched(tmp_path, clock)
    assert "self-test-overdue" not in codes(keeper), "after a start it has an hour to test itself"
    clock.advance(HOUR + SECOND)
    assert "self-test-overdue" in codes(keeper)


def test_a_room_without_camera_is_not_asked_for_self_tests(tmp_path: Path, clock: SimClock) -> None:
    keeper = process.open_keeper(config(tmp_path), clock, Disk(), None)
    clock.advance(100 * DAY)
    assert codes(keeper) & {"self-test-overdue", "self-test-failed"} == set()


def test_a_result_that_cannot_be_written_is_shown_all_the_same(tmp_path: Path, clock: SimClock) -> None:
    class Full(Disk):
        def replace(self, path: Path, data: bytes, *, mode: int = 0o600) -> None:
            if path.name == "result.json":
                raise StoreError(f"{path}: No space left on device")
            super().replace(path, data)

    keeper = open_watched(tmp_path, clock, Full())
    assert conclude(keeper, Step.WATCH).failed is Step.STORE
    assert keeper.status().self_test.failed == "watch"
    assert "self-test-failed" in codes(keeper)


@pytest.mark.parametrize("damage", [b"", b"{}", b"\0" * 200, b'{"at": 3}'])
def test_a_damaged_result_or_drill_is_as_good_as_none(tmp_path: Path, clock: SimClock, damage: bytes) -> None:
    keeper = open_watched(tmp_path, clock)
    conclude(keeper)
    make_drill(keeper)
    (tmp_path / "store" / "selftest" / "result.json").write_bytes(damage)
    (tmp_path / "store" / "drill" / "drill.json").write_bytes(damage)
    keeper = open_watched(tmp_path, clock)
    assert keeper.status().self_test.is_passed is None
    assert names(tmp_path / "store" / "drill") == ["drill.json"], "a drill whose code nobody knows is no use"
    assert conclude(keeper).is_drill_due
    make_drill(keeper)
    assert confirm(keeper) == ""
