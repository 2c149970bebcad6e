"""The panel's memory over its own death."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edge.clock import SECOND
from edge.errors import StoreError
from edge.messages import Event, Mode, encode
from edge.panel import saved
from edge.panel.contact import Contact
from edge.panel.saved import Saved
from tests.panel.support import Bench, HandClock, config


@pytest.fixture
def made(tmp_path: Path) -> Saved:
    """What a panel in an incident saves."""
    settings = config(tmp_path / "run")
    with Bench(settings) as bench:
        bench.use(Contact.CONVERSATION)
        bench.press()
    found = saved.load(settings.paths.panel_state, "boot-1").saved
    assert found is not None
    return found


def test_what_is_saved_is_found_again(tmp_path: Path, made: Saved) -> None:
    path = tmp_path / "incident.json"
    saved.save(path, made)
    assert saved.load(path, "boot-1") == saved.Loaded(saved=made, is_first_start=False)
    assert made.panel.incident is not None
    assert made.used == (Contact.CONVERSATION,)
    assert path.stat().st_mode & 0o777 == 0o600


def test_another_boot_starts_afresh(tmp_path: Path, made: Saved) -> None:
    path = tmp_path / "incident.json"
    saved.save(path, made)
    assert saved.load(path, "boot-2") == saved.Loaded(saved=None, is_first_start=True)


def test_every_torn_file_is_a_problem_and_no_end(tmp_path: Path, made: Saved) -> None:
    path = tmp_path / "incident.json"
    raw = encode(made)
    for length in range(len(raw)):
        path.write_bytes(raw[:length])
        found = saved.load(path, "boot-1")
        assert found.saved is None
        assert not found.is_first_start
        assert "incident.json" in found.problem


def test_a_file_whose_parts_contradict_each_other_is_a_problem(tmp_path: Path, made: Saved) -> None:
    path = tmp_path / "incident.json"
    path.write_bytes(encode(replace(made, panel=replace(made.panel, incident=None))))
    assert "contradict" in saved.load(path, "boot-1").problem


def test_a_write_that_fails_leaves_the_last_one(tmp_path: Path, made: Saved) -> None:
    path = tmp_path / "incident.json"
    saved.save(path, made)
    (tmp_path / "incident.json.tmp").mkdir()
    with pytest.raises(StoreError, match="directory"):
        saved.save(path, replace(made, used=()))
    assert saved.load(path, "boot-1").saved == made


def test_an_unreadable_file_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "incident.json").mkdir()
    assert "cannot be read" in saved.load(tmp_path / "incident.json", "boot-1").problem


def test_a_restart_resumes_the_incident_with_the_alarm_on(tmp_path: Path) -> None:
    settings, clock = config(tmp_path / "run"), HandClock()
    with Bench(settings, clock) as bench:
        bench.press()
        before = bench.status()
    clock.now_ns += SECOND
    with Bench(settings, clock) as bench:
        assert bench.was_relay_high_at_once
        assert bench.is_relay_high()
        assert bench.status().incident == before.incident
        assert bench.status().mode is Mode.RECORD
        assert [event.event for event in bench.status().events] == [Event.PANEL_START, Event.PRESS, Event.PANEL_START]
        assert [event.seq for event in bench.status().events] == [1, 2, 3]


def test_an_incident_whose_time_was_up_during_the_restart_is_over(tmp_path: Path) -> None:
    settings, clock = config(tmp_path / "run"), HandClock()
    with Bench(settings, clock) as bench:
        bench.press()
        incident = bench.status().incident
    assert incident is not None
    clock.now_ns += 400 * SECOND
    with Bench(settings, clock) as bench:
        assert not bench.is_relay_high()
        assert bench.status().incident == incident
        over = next(event for event in bench.status().events if event.event is Event.INCIDENT_OVER)
        assert over.at_ns == incident.until_ns


def test_a_button_closed_at_machine_boot_is_a_fault_and_no_press(tmp_path: Path) -> None:
    with Bench(config(tmp_path / "run"), used=(Contact.PANIC,)) as bench:
        assert not bench.is_relay_high()
        assert bench.fault_codes == {"button-held"}
        assert bench.count(Event.PRESS) == 0
        bench.use(Contact.PANIC, is_used=False)
        bench.wait(0.1)
        assert bench.fault_codes == set()
        bench.press()
        assert bench.is_relay_high()


def test_a_button_pressed_while_the_panel_restarted_is_a_press(tmp_path: Path) -> None:
    settings, clock = config(tmp_path / "run"), HandClock()
    with Bench(settings, clock):
        pass
    with Bench(settings, clock, used=(Contact.PANIC,)) as bench:
        assert bench.is_relay_high()
        assert bench.status().mode is Mode.RECORD


def test_a_button_held_over_a_restart_is_one_press(tmp_path: Path) -> None:
    settings, clock = config(tmp_path / "run"), HandClock()
    with Bench(settings, clock) as bench:
        bench.use(Contact.PANIC)
    with Bench(settings, clock, used=(Contact.PANIC,)) as bench:
        assert bench.is_relay_high()
        assert bench.count(Event.PRESS) == 1


def test_with_a_corrupt_memory_a_closed_button_calls_for_help(tmp_path: Path) -> None:
    settings = config(tmp_path / "run")
    settings.paths.panel_state.parent.mkdir(parents=True)
    settings.paths.panel_state.write_text("{")
    with Bench(settings, used=(Contact.PANIC,)) as bench:
        assert bench.is_relay_high()


def test_a_corrupt_memory_is_a_fault_until_somebody_presses_or_resets(tmp_path: Path) -> None:
    settings = config(tmp_path / "run")
    settings.paths.panel_state.parent.mkdir(parents=True)
    settings.paths.panel_state.write_text("{")
    with Bench(settings) as bench:
        assert bench.fault_codes == {"panel-memory"}
        bench.press()
        assert bench.is_relay_high()
        assert bench.fault_codes == set()


def test_switches_thrown_while_the_panel_was_away_count(tmp_path: Path) -> None:
    settings, clock = config(tmp_path / "run"), HandClock()
    with Bench(settings, clock) as bench:
        bench.press()
    with Bench(settings, clock, used=(Contact.PRIVACY, Contact.CONVERSATION)) as bench:
        assert bench.status().mode is Mode.PRIVATE
        assert bench.is_relay_high()
    with Bench(settings, clock, used=(Contact.RESET,)) as bench:
        assert bench.status().mode is Mode.OFF
        assert not bench.is_relay_high()


def test_private_and_pressed_while_the_panel_was_away_is_not_recorded(tmp_path: Path) -> None:
    settings, clock = config(tmp_path / "run"), HandClock()
    with Bench(settings, clock):
        pass
    with Bench(settings, clock, used=(Contact.PRIVACY, Contact.PANIC)) as bench:
        assert bench.is_relay_high()
        assert bench.status().incident is None


def test_switches_that_are_on_at_machine_boot_count(tmp_path: Path) -> None:
    with Bench(config(tmp_path / "run"), used=(Contact.CONVERSATION,)) as bench:
        assert bench.status().mode is Mode.LISTEN
