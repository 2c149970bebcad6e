"""A button that nobody has tried for too long is told, over reboots, until somebody presses it."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.messages import Event
from edge.vault import passes
from edge.vault.button import OVERDUE_NS
from edge.vault.keeper import Keeper
from edge.vault.retention import DAY_NS
from tests.vault.support import Recorder, SimClock, happened, open_keeper


def is_told(keeper: Keeper) -> bool:
    passes.pass_through(keeper)
    return "test-overdue" in {fault.code for fault in keeper.status().faults}


def test_a_store_that_never_saw_a_press_waits_as_long_for_the_first_test(tmp_path: Path) -> None:
    clock = SimClock()
    keeper = open_keeper(tmp_path, clock)
    assert keeper.status().button.pressed_at is None
    clock.advance(OVERDUE_NS)
    assert not is_told(keeper)
    keeper.stop()
    clock.reboot(off_ns=DAY_NS)
    keeper = open_keeper(tmp_path, clock)
    assert is_told(keeper)


@pytest.mark.parametrize("event", [Event.PRESS, Event.PRESS_PRIVATE, Event.PRESS_TEST])
def test_each_press_shows_that_the_button_works_and_is_remembered(tmp_path: Path, event: Event) -> None:
    clock = SimClock()
    keeper = open_keeper(tmp_path, clock)
    clock.advance(OVERDUE_NS + DAY_NS)
    assert is_told(keeper)
    Recorder(keeper).must(happened(1, event=event))
    assert "test-overdue" not in {fault.code for fault in keeper.status().faults}, "at once"
    keeper.stop()
    clock.advance(3 * DAY_NS)
    keeper = open_keeper(tmp_path, clock)
    assert keeper.status().button.age_s == 3 * 24 * 3600
    clock.advance(OVERDUE_NS - 3 * DAY_NS)
    assert not is_told(keeper)
    clock.advance(DAY_NS)
    assert is_told(keeper)


def test_other_events_are_no_test(tmp_path: Path) -> None:
    clock = SimClock()
    keeper = open_keeper(tmp_path, clock)
    clock.advance(OVERDUE_NS + DAY_NS)
    Recorder(keeper).must(happened(1, event=Event.ATTENTION))
    assert is_told(keeper)
    assert keeper.status().button.pressed_at is None
