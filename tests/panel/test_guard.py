"""The shell around the incident: what comes first, and what happens when something else does not work."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from edge.clock import MILLISECOND, SECOND
from edge.errors import Refused
from edge.messages import Event, Lamp, Mode, Report, Wanted
from edge.panel import saved, state
from edge.panel.contact import GLITCH_NS, Contact
from edge.panel.hearing import LOST_NS
from edge.panel.inbox import Heard
from edge.panel.inputs import Inputs
from tests.panel.support import PIN_CLOSED, Bench, HandClock, config

DAY_NS = 24 * 3600 * SECOND
PAIR = {"pin": 17, "contact": "pair", "pin_closed": PIN_CLOSED}


def hear(bench: Bench, lamp: Lamp | None, *, is_camera_on: bool = True) -> None:
    report = None
    if lamp is not None:
        report = Report(lamp=lamp, is_camera_on=is_camera_on, clip=None, sent_ns=bench.clock.now_ns)
    bench.inbox.put(Heard(report=report, at_ns=bench.clock.now_ns))
    bench.settle()


def test_the_relay_is_on_before_anything_is_saved_or_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Bench(config(tmp_path / "run")) as bench:
        seen: dict[str, bool] = {}
        told = bench.guard._wanted

        def save(*_: object) -> None:
            seen["saved"] = bench.is_relay_high()

        def tell(now_ns: int) -> Wanted:
            seen["told"] = bench.is_relay_high()
            return told(now_ns)

        monkeypatch.setattr(saved, "save", save)
        monkeypatch.setattr(bench.guard, "_wanted", tell)
        bench.inputs.drive(Contact.PANIC, is_used=True)
        bench.guard.turn()
        bench.clock.now_ns += GLITCH_NS
        bench.guard.turn()
        assert seen == {"saved": True, "told": True}


def test_what_is_told_to_the_recorder_has_been_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = config(tmp_path / "run")
    with Bench(settings) as bench:
        told = bench.guard._wanted
        modes: list[tuple[Mode, Mode]] = []

        def tell(now_ns: int) -> Wanted:
            found = saved.load(settings.paths.panel_state, "boot-1").saved
            assert found is not None
            modes.append((state.wanted(found.panel)[0], told(now_ns).mode))
            return told(now_ns)

        monkeypatch.setattr(bench.guard, "_wanted", tell)
        bench.press()
        assert (Mode.RECORD, Mode.RECORD) in modes
        assert all(remembered is mode for remembered, mode in modes)


def test_a_memory_that_cannot_be_written_is_a_fault_and_the_alarm_works(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file where a folder should be")
    with Bench(config(tmp_path / "run")) as bench:
        bench.press()
        assert bench.is_relay_high()
        assert {"panel-memory-write", "panel-link", "panel-status"} <= bench.fault_codes
        (tmp_path / "run").unlink()
        bench.wait(6)
        assert bench.fault_codes == {"recorder-silent"}
        found = saved.load(config(tmp_path / "run").paths.panel_state, "boot-1").saved
        assert found is not None
        assert found.panel.incident == bench.status().incident


def test_a_relay_that_does_not_obey_is_told_again_until_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Bench(config(tmp_path / "run")) as bench:

        def stuck(*, is_on: bool) -> None:
            raise Refused("panel.alarm: pin 5 cannot be switched: gone")

        with monkeypatch.context() as broken:
            broken.setattr(bench.relay, "set", stuck)
            bench.press()
            assert "relay" in bench.fault_codes
            assert not bench.status().is_alarm_on
            assert bench.status().mode is Mode.RECORD
        bench.wait(0.3)
        assert bench.is_relay_high()
        assert bench.status().is_alarm_on
        assert "relay" not in bench.fault_codes


def test_a_test_press_pulses_the_relay_for_a_second_and_lights_the_lamp(tmp_path: Path) -> None:
    with Bench(config(tmp_path / "run")) as bench:
        bench.use(Contact.TEST_KEY)
        bench.use(Contact.PANIC)
        assert bench.is_relay_high()
        assert not bench.status().is_alarm_on
        assert bench.status().lamp == "received"
        bench.wait(0.9)
        assert bench.is_relay_high()
        bench.wait(0.2)
        assert not bench.is_relay_high()


def test_the_reset_held_for_ten_seconds_with_the_test_key_on_is_maintenance(tmp_path: Path) -> None:
    with Bench(config(tmp_path / "run", room={"name": "room", "arming": "always"})) as bench:
        bench.use(Contact.TEST_KEY)
        bench.use(Contact.RESET)
        bench.wait(9.7)
        assert bench.status().maintenance_until_ns is None
        bench.wait(0.5)
        until_ns = bench.status().maintenance_until_ns
        assert until_ns is not None
        assert bench.status().mode is Mode.OFF
        assert bench.status().lamp == "maintenance"
        bench.wait(60)  # held on: asked once
        assert bench.status().maintenance_until_ns == until_ns
        bench.use(Contact.RESET, is_used=False)
        bench.use(Contact.TEST_KEY, is_used=False)
        assert bench.status().lamp == "maintenance"
        bench.clock.now_ns = until_ns
        bench.settle()
        assert bench.status().maintenance_until_ns is None
        assert bench.status().mode is Mode.LISTEN


def test_in_maintenance_the_button_calls_for_help(tmp_path: Path) -> None:
    with Bench(config(tmp_path / "run")) as bench:
        bench.use(Contact.TEST_KEY)
        bench.use(Contact.RESET)
        bench.wait(11)
        bench.use(Contact.TEST_KEY, is_used=False)
        bench.press()
        assert bench.is_relay_high()
        assert bench.status().is_alarm_on
        assert bench.status().lamp == "received"


def test_an_alarm_by_pulse_is_on_while_its_relay_rests(tmp_path: Path) -> None:
    pins = {"panic": {"pin": 17}, "alarm": {"pin": 5, "signal": "pulse"}}
    with Bench(config(tmp_path / "run", panel=pins)) as bench:
        bench.use(Contact.PANIC)
        assert bench.is_relay_high()
        bench.wait(1)
        assert not bench.is_relay_high()
        assert bench.status().is_alarm_on


@pytest.mark.parametrize(("pin", "level", "code"), [(PIN_CLOSED, True, "button-cut"), (17, False, "button-short")])
def test_a_wire_of_a_pair_that_breaks_calls_for_help_and_is_a_fault_within_a_second(
    tmp_path: Path, pin: int, level: bool, code: str
) -> None:
    pins = {"panic": PAIR, "alarm": {"pin": 5}, "reset": {"pin": 27}}
    with Bench(config(tmp_path / "run", panel=pins)) as bench:
        wire = bench.board.factory.pin(f"GPIO{pin}")
        hear(bench, Lamp.READY)
        wire.drive_high() if level else wire.drive_low()
        bench.wait(0.005)
        assert bench.is_relay_high()
        bench.wait(0.9)
        assert bench.fault_codes == {code}
        bench.use(Contact.RESET)
        bench.wait(100)
        other = bench.board.factory.pin(f"GPIO{17 if pin == PIN_CLOSED else PIN_CLOSED}")
        other.drive_low() if level else other.drive_high()  # pressed with the wire broken
        bench.wait(0.005)
        assert bench.is_relay_high()
        assert bench.count(Event.PRESS) == 2


@pytest.mark.parametrize("closed", [True, False])
def test_a_pair_at_the_machines_start_is_no_press(tmp_path: Path, closed: bool) -> None:
    used = (Contact.PANIC,) if closed else (Contact.PANIC_CLOSED,)  # the button is held; a wire is cut
    with Bench(config(tmp_path / "run", panel={"panic": PAIR, "alarm": {"pin": 5}}), used=used) as bench:
        bench.wait(1)
        assert not bench.is_relay_high()
        assert bench.count(Event.PRESS) == 0
        assert bench.fault_codes == {"button-held" if closed else "button-cut"}


def test_a_pair_pressed_while_the_panel_restarted_is_one_press(tmp_path: Path) -> None:
    settings, clock = config(tmp_path / "run", panel={"panic": PAIR, "alarm": {"pin": 5}}), HandClock()
    with Bench(settings, clock):
        pass
    with Bench(settings, clock, used=(Contact.PANIC,)) as bench:
        assert bench.is_relay_high()
        assert bench.count(Event.PRESS) == 1
    with Bench(settings, clock, used=(Contact.PANIC,)) as bench:
        assert bench.count(Event.PRESS) == 1


def test_a_wire_that_is_cut_stays_a_fault_over_a_restart(tmp_path: Path) -> None:
    settings, clock = config(tmp_path / "run", panel={"panic": PAIR, "alarm": {"pin": 5}}), HandClock()
    for _ in range(2):
        with Bench(settings, clock, used=(Contact.PANIC_CLOSED,)) as bench:
            bench.wait(1)
            assert bench.fault_codes == {"button-cut"}


def test_a_button_whose_edges_are_not_heard_calls_for_help_and_is_heard_again(tmp_path: Path) -> None:
    with Bench(config(tmp_path / "run")) as bench:
        hear(bench, Lamp.READY)
        bench.board.factory.pin("GPIO17").when_changed = None  # deaf
        bench.inputs.drive(Contact.PANIC, is_used=True)
        bench.wait(0.3)
        assert bench.is_relay_high(), "its level was read"
        hear(bench, Lamp.READY)
        bench.wait(1.3)
        assert "contact-thread" in bench.fault_codes
        assert bench.is_relay_high()
        assert bench.count(Event.PRESS) == 1
        bench.use(Contact.PANIC, is_used=False)
        bench.wait(1)
        bench.use(Contact.RESET)
        bench.press()
        assert bench.is_relay_high(), "its edges come again"
        hear(bench, Lamp.READY)
        bench.wait(60)
        assert "contact-thread" not in bench.fault_codes


def test_while_edges_are_not_heard_a_press_of_twenty_milliseconds_is_not_lost(tmp_path: Path) -> None:
    with Bench(config(tmp_path / "run")) as bench:
        bench.inputs.watch_anew = lambda: ("none can be had",)  # type: ignore[method-assign]
        pin = bench.board.factory.pin("GPIO17")
        pin.when_changed = None
        bench.inputs.drive(Contact.PANIC, is_used=True)
        bench.wait(2)
        bench.inputs.drive(Contact.PANIC, is_used=False)
        bench.wait(1)
        for number in range(2, 30):
            bench.wait(0.1 + number / 1000)
            bench.inputs.drive(Contact.PANIC, is_used=True)
            bench.wait(0.02)
            bench.inputs.drive(Contact.PANIC, is_used=False)
            bench.wait(0.1)
            assert bench.count(Event.PRESS) == number
        assert "none can be had" in bench.detail("contact-thread")


def test_a_contact_that_cannot_be_read_is_a_fault_and_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Bench(config(tmp_path / "run")) as bench:
        with monkeypatch.context() as broken:

            def unreadable(_: object) -> bool:
                raise OSError("gone")

            broken.setattr(type(bench.board.factory.pin("GPIO27")), "_get_state", unreadable)
            bench.wait(0.3)
            assert "reset" in bench.detail("contact-unreadable")
            bench.press()
            assert bench.relay.is_on
        bench.wait(0.6)
        assert bench.is_relay_high()
        assert "contact-unreadable" not in bench.fault_codes


def test_a_recorder_that_is_not_heard_for_three_seconds_is_a_fault_and_the_alarm_works(tmp_path: Path) -> None:
    with Bench(config(tmp_path / "run")) as bench:
        bench.wait(2.9)
        assert bench.fault_codes == set()
        hear(bench, Lamp.READY)
        assert bench.status().is_recorder_heard
        assert bench.status().lamp == "alarm-works"
        bench.wait(2.9)
        assert bench.fault_codes == set()
        bench.wait(0.2)
        assert bench.fault_codes == {"recorder-silent"}
        assert not bench.status().is_recorder_heard
        assert bench.status().lamp == "fault"
        bench.press()
        assert bench.is_relay_high()
        assert bench.status().lamp == "received"
        hear(bench, Lamp.RECORDING)
        assert bench.fault_codes == set()
        assert bench.status().lamp == "recording"


def test_the_residents_lamp_is_lit_while_the_camera_is_on(tmp_path: Path) -> None:
    with Bench(config(tmp_path / "run")) as bench:
        pin = bench.board.factory.pin("GPIO13")
        pin.clear_states()
        hear(bench, Lamp.READY)
        hear(bench, Lamp.READY, is_camera_on=False)
        hear(bench, Lamp.READY)
        hear(bench, None)  # its process ended
        assert [seen.state for seen in pin.states] == [False, True, False, True, False]


def test_the_residents_lamp_does_not_go_dark_for_good_when_the_recorder_hangs(tmp_path: Path) -> None:
    with Bench(config(tmp_path / "run")) as bench:
        hear(bench, Lamp.READY)
        bench.wait(10)
        seen = set()
        for _ in range(40):
            bench.wait(0.1)
            seen.add(bool(bench.board.factory.pin("GPIO13").state))
        assert seen == {True, False}


def test_the_officials_lamp_blinks_by_itself(tmp_path: Path) -> None:
    with Bench(config(tmp_path / "run")) as bench:
        bench.use(Contact.PANIC)
        pin = bench.board.factory.pin("GPIO6")
        pin.clear_states()
        bench.wait(10)
        assert len(pin.states) == pytest.approx(40, abs=2)  # twice on and twice off a second


def test_a_panel_without_lamps_and_switches_is_a_complete_alarm_button(tmp_path: Path) -> None:
    with Bench(config(tmp_path / "run", panel={"panic": {"pin": 17}, "alarm": {"pin": 5}})) as bench:
        bench.press()
        assert bench.is_relay_high()
        bench.wait(300)
        assert not bench.is_relay_high()
        assert bench.count(Event.INCIDENT_OVER) == 1


def test_what_is_wanted_is_said_four_times_a_second(tmp_path: Path) -> None:
    with Bench(config(tmp_path / "run")) as bench:
        sent: list[int] = []
        outlets = bench.guard._outlets
        outlets.publish = lambda wanted: sent.append(wanted.sent_ns)  # type: ignore[method-assign]
        bench.wait(10)
        gaps = [after - before for before, after in itertools.pairwise(sent)]
        assert max(gaps) <= SECOND // 4
        assert len(sent) == pytest.approx(40, abs=1)


def test_a_thread_of_the_pins_that_is_lost_for_good_asks_for_a_restart_but_not_while_the_alarm_is_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Bench(config(tmp_path / "run")) as bench:
        beat_ns = bench.clock.now_ns
        monkeypatch.setattr(Inputs, "beat_ns", property(lambda _: beat_ns))

        def is_sound() -> bool:
            return bench.guard.is_sound

        bench.wait(LOST_NS / SECOND - 1)
        assert is_sound(), "it is being replaced within the process"
        bench.wait(1)
        assert not is_sound()
        bench.use(Contact.PANIC)
        assert bench.is_relay_high()
        assert is_sound(), "a restart would let the relay go"


@pytest.mark.parametrize("contact", [Contact.PANIC, Contact.CONVERSATION])
def test_bounce_that_waited_while_the_panel_was_held_up_is_still_one_use(tmp_path: Path, contact: Contact) -> None:
    """Seen in the virtual machine: each bounce that the loop took up late counted as a press of its own."""
    with Bench(config(tmp_path)) as bench:
        bounce(bench, contact, is_used=True)
        bench.clock.now_ns += 300 * MILLISECOND  # the panel was not given the processor
        bench.settle()
        assert [event.event for event in bench.status().events][1:] == [EVENTS[contact][0]]
        bounce(bench, contact, is_used=False)
        bench.clock.now_ns += 300 * MILLISECOND
        bench.settle()
        assert [event.event for event in bench.status().events][1:] == [
            event for event in EVENTS[contact] if event is not None
        ]


def test_however_much_of_a_bounce_waits_the_relay_is_on_at_the_first_turn(tmp_path: Path) -> None:
    with Bench(config(tmp_path)) as bench:
        bounce(bench, Contact.PANIC, is_used=True)
        bench.guard.turn()
        assert bench.is_relay_high()


EVENTS = {
    Contact.PANIC: (Event.PRESS, None),
    Contact.CONVERSATION: (Event.CONVERSATION_START, Event.CONVERSATION_END),
}


def bounce(bench: Bench, contact: Contact, *, is_used: bool) -> None:
    """Twenty edges in 20 ms, of which nobody takes up any."""
    for number in range(19):
        bench.inputs.drive(contact, is_used=is_used == (number % 2 == 0))
        bench.clock.now_ns += MILLISECOND
