"""The vault's half of the drill: it waits for the officer's key, and is counted as nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pyrage
import pytest

from edge.clock import SECOND
from edge.messages import Probe, Reply, Verb
from edge.recorder import testcard
from edge.recorder.selftest import EVERY_NS
from edge.vault import passes
from edge.vault.keeper import Keeper
from tests.support import evidence
from tests.vault.support import (
    CLIP,
    Recorder,
    SimClock,
    birth,
    make_clip,
)
from tests.vault.trials import (
    CODE,
    DAY,
    OFFICER,
    SEALED,
    ask,
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


def test_a_drill_goes_from_the_recorder_to_the_officer_and_its_code_back(tmp_path: Path, clock: SimClock) -> None:
    keeper = open_watched(tmp_path, clock)
    test = recorder_of(keeper, clock)
    run(test)
    assert keeper.status().drill.waiting_s == 0
    fetched, sealed = ask(keeper, Verb.DRILL_FETCH)
    assert fetched == Reply(data={"name": "0000.age"})
    shown = testcard.watch(pyrage.decrypt(sealed, [OFFICER]))
    (code,) = set(shown.codes)
    assert len(shown.codes) == 100, "ten seconds to read it"
    assert is_without_clips(tmp_path, keeper)
    clock.advance(DAY)
    assert confirm(keeper, code) == ""
    status = open_watched(tmp_path, clock).status()
    assert (status.drill.waiting_since, status.drill.opened_s) == (None, 0)
    assert names(tmp_path / "store" / "drill") == ["drill.json"]
    wanted = [("drill-made", "made", ""), ("drill-opened", "opened", "incident officer")]
    assert entries(tmp_path, "drill-made", "drill-opened") == wanted
    clock.advance(EVERY_NS)
    run(test)
    assert keeper.status().drill.waiting_since is None, "the next one is in half a year"


def test_the_page_s_files_hold_no_code(tmp_path: Path, clock: SimClock) -> None:
    keeper = open_watched(tmp_path, clock)
    make_drill(keeper, "987654")
    assert confirm(keeper, "987654") == ""
    for path in (tmp_path / "store").rglob("*"):
        assert not path.is_file() or b"987654" not in path.read_bytes(), path


def test_wrong_codes_are_counted_and_five_in_an_hour_are_enough(tmp_path: Path, clock: SimClock) -> None:
    keeper = open_watched(tmp_path, clock)
    make_drill(keeper)
    for nonsense in ("", "12345", "0123456", "01234a", "０１２３４５"):
        assert "six digits" in confirm(keeper, nonsense)
    assert entries(tmp_path, "drill-wrong-code") == []
    for wrong in range(5):
        assert "not the code" in confirm(keeper, f"99999{wrong}")
        clock.advance(60 * SECOND)
    assert entries(tmp_path, "drill-wrong-code") == [("drill-wrong-code", "refused", "incident officer")] * 5
    assert "try again in 56 minutes" in confirm(keeper), "the right one has to wait too"
    clock.advance(55 * 60 * SECOND)
    assert confirm(keeper) == ""
    assert "no drill is waiting" in confirm(keeper)


def test_a_code_without_a_role_is_refused(tmp_path: Path, clock: SimClock) -> None:
    keeper = open_watched(tmp_path, clock)
    make_drill(keeper)
    assert "by role" in confirm(keeper, actor="")
    assert entries(tmp_path, "drill-opened", "drill-wrong-code") == []


def test_without_a_drill_there_is_nothing_to_fetch_or_confirm(tmp_path: Path, clock: SimClock) -> None:
    keeper = open_watched(tmp_path, clock)
    assert "no drill is waiting" in ask(keeper, Verb.DRILL_FETCH)[0].error
    assert "no drill is waiting" in confirm(keeper)
    make_drill(keeper)
    (tmp_path / "store" / "drill" / "0000.age").unlink()
    assert "cannot be read" in ask(keeper, Verb.DRILL_FETCH)[0].error
    assert conclude(keeper).is_drill_due, "a lost one is made anew"


def test_a_drill_is_due_half_a_year_after_the_last_one_by_either_clock(tmp_path: Path, clock: SimClock) -> None:
    keeper = open_watched(tmp_path, clock)
    assert conclude(keeper).is_drill_due
    make_drill(keeper)
    assert not conclude(keeper).is_drill_due
    assert confirm(keeper) == ""
    clock.advance(182 * DAY)
    assert not conclude(keeper).is_drill_due
    clock.advance(SECOND)
    assert conclude(keeper).is_drill_due
    make_drill(keeper)
    keeper.stop()
    clock.reboot(off_ns=183 * DAY)  # off in a drawer, and the network knows the time
    assert conclude(open_watched(tmp_path, clock)).is_drill_due
    clock.trusted = False
    assert not conclude(open_watched(tmp_path, clock)).is_drill_due


def test_new_keys_are_drilled_at_once(tmp_path: Path, clock: SimClock) -> None:
    keeper = open_watched(tmp_path, clock)
    make_drill(keeper)
    assert conclude(keeper, keys="2" * 64).is_drill_due
    make_drill(keeper, "777777", keys="2" * 64)
    assert not conclude(keeper, keys="2" * 64).is_drill_due
    assert "not the code" in confirm(keeper, CODE)
    assert confirm(keeper, "777777") == ""


def test_a_failed_test_makes_no_drill(tmp_path: Path, clock: SimClock) -> None:
    keeper = open_watched(tmp_path, clock)
    test = recorder_of(keeper, clock)
    (tmp_path / "store" / "selftest").write_bytes(b"in the way")
    run(test)
    assert keeper.status().self_test.failed == "store"
    assert names(tmp_path / "store" / "drill") == []


def test_a_drill_that_waits_for_two_weeks_is_a_fault_and_a_newer_one_does_not_hide_it(
    tmp_path: Path, clock: SimClock
) -> None:
    keeper = open_watched(tmp_path, clock)
    make_drill(keeper)
    clock.advance(14 * DAY)
    assert "drill-waiting" not in codes(keeper)
    clock.advance(SECOND)
    assert "drill-waiting" in codes(keeper)
    make_drill(keeper, "222222")
    assert "drill-waiting" in codes(keeper)
    keeper = open_watched(tmp_path, clock)
    assert "drill-waiting" in codes(keeper)
    assert confirm(keeper, "222222") == ""
    assert "drill-waiting" not in {fault.code for fault in keeper.status().faults}, "at once"


def test_the_retention_of_clips_does_not_look_at_a_drill(tmp_path: Path, clock: SimClock) -> None:
    keeper = open_watched(tmp_path, clock)
    make_clip(keeper, clock)
    make_drill(keeper)
    clock.advance(10 * DAY)
    passes.pass_through(keeper)
    assert names(tmp_path / "store" / "clips") == []
    assert (tmp_path / "store" / "drill" / "0000.age").read_bytes() == SEALED


def test_a_machine_that_stops_while_a_drill_is_made_never_waits_for_a_code_that_is_not_shown(
    tmp_path: Path, clock: SimClock
) -> None:
    """Either the file and the code belong together, or another drill is due."""
    newer = SEALED + b"newer"

    def act(keeper: Keeper) -> None:
        tell(keeper, drill_made("222222"), newer)

    for root, keeper in stopped_each_time(tmp_path, clock, act, make_drill):
        if conclude(keeper).is_drill_due:
            act(keeper)
        sealed = ask(keeper, Verb.DRILL_FETCH)[1]
        assert confirm(keeper, "222222" if sealed == newer else CODE) == ""
        assert names(root / "store" / "drill") == ["drill.json"]
        evidence.ledger(root / "store")


def test_a_machine_that_stops_while_a_drill_is_confirmed_has_it_opened_or_still_waiting(
    tmp_path: Path, clock: SimClock
) -> None:
    def act(keeper: Keeper) -> None:
        assert confirm(keeper) == ""

    for root, keeper in stopped_each_time(tmp_path, clock, act, make_drill):
        if keeper.status().drill.waiting_since is not None:
            act(keeper)
        assert keeper.status().drill.opened_s == 0
        assert names(root / "store" / "drill") == ["drill.json"]
        assert ("drill-opened", "opened", "incident officer") in entries(root, "drill-opened")


def test_a_clip_beside_tests_and_drills_is_kept_as_ever(tmp_path: Path, clock: SimClock) -> None:
    keeper = open_watched(tmp_path, clock)
    recorder = Recorder(keeper)
    recorder.must(birth(clock))
    tell(keeper, Probe(), SEALED)
    conclude(keeper)
    make_drill(keeper)
    (row,) = json.loads(ask(keeper, Verb.LIST)[1])
    assert (row["id"], row["state"]) == (CLIP, "recording")
