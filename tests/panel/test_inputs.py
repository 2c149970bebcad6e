"""Buttons and switches through gpiozero's own mock pins."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

import pytest

from edge.clock import MILLISECOND, SECOND
from edge.config import AlarmPin, InputPin, OutputPin, Panel, PanicPin
from edge.errors import Refused
from edge.messages import Event, Mode
from edge.panel.board import kernel_ns, open_board
from edge.panel.contact import PANIC, Contact, Edge
from edge.panel.inbox import Inbox
from edge.panel.inputs import Inputs
from edge.panel.lamps import Output
from tests.panel.support import IS_LONG, PIN_CLOSED, PINS, Bench, HandClock, config


def bouncing(chance: random.Random, *, to: bool) -> list[tuple[int, bool]]:
    """A contact on its way: levels and for how long each lasts, some 0 to 30 ms of bounce in all."""
    left_ns = chance.randrange(30 * MILLISECOND)
    steps = [(0, to)]
    while left_ns > 0 and chance.random() < 0.9:
        step_ns = chance.randrange(1, 5 * MILLISECOND)
        left_ns -= step_ns
        steps += [(step_ns, not steps[-1][1])]
    return steps if steps[-1][1] is to else [*steps, (chance.randrange(MILLISECOND), to)]


@pytest.mark.parametrize("kind", ["no", "nc", "pair"])
def test_a_storm_of_bouncing_presses_loses_none_and_doubles_none(tmp_path: Path, kind: str) -> None:
    chance = random.Random(kind)
    presses = 10_000 if IS_LONG else 1000 if kind == "no" else 250
    second = {"pin_closed": PIN_CLOSED} if kind == "pair" else {}
    panic = {"panic": {"pin": 17, "contact": kind, **second}}
    pins: dict[str, Any] = {name: {"pin": pin} for name, pin in PINS.items() if name in {"reset", "alarm"}} | panic
    with Bench(config(tmp_path / "run", panel=pins)) as bench:
        contacts = [contact for contact in PANIC if contact in bench.inputs.contacts]
        wires = {contact: bench.inputs._watched[contact] for contact in contacts}
        resets = 0
        for number in range(1, presses + 1):
            first_ns = bench.clock.now_ns
            for is_closing in (True, False):
                steps: list[tuple[int, Contact, bool]] = []
                for contact in contacts:
                    at_ns = 0 if contact is Contact.PANIC else chance.randrange(5 * MILLISECOND)
                    for step_ns, level in bouncing(chance, to=is_closing):
                        at_ns += step_ns
                        steps.append((at_ns, contact, level))
                start_ns = bench.clock.now_ns
                for at_ns, contact, level in sorted(steps, key=lambda step: step[0]):
                    bench.until(start_ns + at_ns)
                    wires[contact].drive(is_used=level)
                bench.wait(chance.choice([0.02, 0.1, chance.uniform(0.1, 0.5)]) if is_closing else 0.1)
            newest = bench.status().events[-1]
            assert (newest.event, newest.seq) == (Event.PRESS, 1 + number + resets)
            # A pair's press has the time of that contact which is first seen to be no spark.
            assert 0 <= newest.at_ns - first_ns <= (5 * MILLISECOND if kind == "pair" else 0)
            assert bench.is_relay_high()
            if number % 7 == 0:
                bench.use(Contact.RESET)
                bench.use(Contact.RESET, is_used=False)
                bench.wait(0.1)
                resets += 1
                assert not bench.is_relay_high()
        assert "contact-thread" not in bench.fault_codes
        assert not bench.fault_codes & {"button-cut", "button-short", "button-half"}


def test_a_spark_on_the_wire_is_no_press(tmp_path: Path) -> None:
    with Bench(config(tmp_path / "run")) as bench:
        bench.edge(Contact.PANIC, is_used=True)
        bench.wait(0.0029)
        bench.edge(Contact.PANIC, is_used=False)
        bench.wait(1)
        assert not bench.is_relay_high()
        assert bench.count(Event.PRESS) == 0


def test_a_press_of_twenty_milliseconds_has_the_alarm_on_after_five(tmp_path: Path) -> None:
    with Bench(config(tmp_path / "run")) as bench:
        bench.edge(Contact.PANIC, is_used=True)
        bench.wait(0.005)
        assert bench.is_relay_high()
        bench.wait(0.015)
        bench.edge(Contact.PANIC, is_used=False)
        bench.wait(1)
        assert bench.is_relay_high()
        assert bench.count(Event.PRESS) == 1


@pytest.mark.parametrize("kind", ["no", "pair"])
@pytest.mark.parametrize("used", ["", "conversation", "privacy", "attention", "reset", "conversation privacy"])
@pytest.mark.parametrize("is_second", [False, True])
def test_a_press_in_every_state_calls_for_help(tmp_path: Path, kind: str, used: str, is_second: bool) -> None:
    second = {"pin_closed": PIN_CLOSED} if kind == "pair" else {}
    pins: dict[str, Any] = {name: {"pin": pin} for name, pin in PINS.items()}
    with Bench(config(tmp_path / "run", panel=pins | {"panic": {"pin": 17, "contact": kind, **second}})) as bench:
        for name in used.split():
            bench.use(Contact(name))
            bench.wait(1)
        if is_second:
            bench.press()
        bench.press()
        assert bench.is_relay_high()
        assert bench.count(Event.PRESS) + bench.count(Event.PRESS_PRIVATE) == 1 + is_second


def test_a_button_held_for_an_hour_is_one_press_and_a_fault(tmp_path: Path) -> None:
    with Bench(config(tmp_path / "run")) as bench:
        bench.use(Contact.PANIC)
        bench.wait(59)
        assert "button-held" not in bench.fault_codes
        bench.wait(3600)
        assert bench.count(Event.PRESS) == 1
        assert "button-held" in bench.fault_codes
        bench.use(Contact.PANIC, is_used=False)
        bench.wait(0.1)
        assert "button-held" not in bench.fault_codes
        bench.press()
        assert bench.is_relay_high()


def test_every_contact_of_the_panel_does_what_it_is_for(tmp_path: Path) -> None:
    with Bench(config(tmp_path / "run")) as bench:
        bench.use(Contact.CONVERSATION)
        assert bench.status().mode is Mode.LISTEN
        bench.use(Contact.PRIVACY)
        assert bench.status().mode is Mode.PRIVATE
        bench.wait(1)
        bench.use(Contact.PRIVACY, is_used=False)
        bench.use(Contact.ATTENTION)
        assert bench.count(Event.ATTENTION) == 1
        bench.use(Contact.TEST_KEY)
        bench.press()
        assert bench.count(Event.PRESS_TEST) == 1
        bench.wait(1)
        bench.use(Contact.TEST_KEY, is_used=False)
        bench.press()
        assert bench.status().mode is Mode.RECORD
        bench.use(Contact.RESET)
        assert bench.status().mode is Mode.LISTEN
        assert not bench.is_relay_high()
        bench.use(Contact.CONVERSATION, is_used=False)
        assert bench.status().mode is Mode.OFF


def test_a_cut_wire_of_a_normally_closed_button_calls_for_help(tmp_path: Path) -> None:
    pins = {name: {"pin": pin} for name, pin in PINS.items()} | {"panic": {"pin": 17, "contact": "nc"}}
    with Bench(config(tmp_path / "run", panel=pins)) as bench:
        bench.board.factory.pin("GPIO17").drive_high()  # pulled up, and nothing pulls it down any more
        bench.wait(0.005)
        assert bench.is_relay_high()


def test_a_press_between_reading_the_level_and_watching_is_not_lost() -> None:
    clock, inbox = HandClock(), Inbox()
    panel = Panel.model_validate({"panic": {"pin": 17}, "alarm": {"pin": 5}})
    with open_board("mock", clock) as board, Inputs(panel, board, clock, inbox) as inputs:
        assert inputs.levels() == {Contact.PANIC: False}
        inputs.drive(Contact.PANIC, is_used=True)
        inputs.watch()
        edge = inbox.get(0)
        assert isinstance(edge, Edge)
        assert edge.is_used


def test_an_exception_in_a_callback_stays_there_and_becomes_a_fault(tmp_path: Path) -> None:
    with Bench(config(tmp_path / "run")) as bench:
        good = bench.clock.boot_ns

        def broken() -> int:
            raise RuntimeError("a bug")

        bench.clock.boot_ns = broken  # type: ignore[method-assign]
        bench.inputs.drive(Contact.ATTENTION, is_used=True)
        bench.clock.boot_ns = good  # type: ignore[method-assign]
        bench.press()
        assert bench.is_relay_high()
        assert "contact-thread" in bench.fault_codes


def test_a_flood_on_another_wire_does_not_make_a_press_wait() -> None:
    inbox = Inbox()
    for number in range(100_001):
        inbox.put(Edge(contact=Contact.ATTENTION, is_used=number % 2 == 0, at_ns=number))
    press = Edge(contact=Contact.PANIC, is_used=True, at_ns=7)
    inbox.put(press)
    assert inbox.get(0) == press


def test_after_a_flood_the_switches_are_as_they_are(tmp_path: Path) -> None:
    with Bench(config(tmp_path / "run")) as bench:
        for number in range(2001):
            bench.inputs.drive(Contact.ATTENTION, is_used=number % 2 == 0)
            if number == 1000:
                bench.inputs.drive(Contact.PRIVACY, is_used=True)
        bench.settle()
        bench.wait(0.1)
        assert bench.status().is_private
        for number in range(2001):
            bench.inputs.drive(Contact.PANIC, is_used=number % 2 == 0)
        bench.settle()
        bench.wait(0.1)
        assert bench.is_relay_high()
        assert bench.count(Event.PRESS_PRIVATE) == 1
        assert Contact.PANIC in bench.guard._reading.used
        assert "contact-thread" not in bench.fault_codes


def test_a_broken_contact_beside_the_button_is_a_problem_and_no_end() -> None:
    # GPIO 17 twice: the configuration refuses that, and gpiozero too.
    panel = Panel.model_construct(
        panic=PanicPin(pin=17),
        attention=InputPin(pin=17),
        alarm=AlarmPin(pin=5),
        reset=None,
        privacy=None,
        conversation=None,
    )
    clock, inbox = HandClock(), Inbox()
    with open_board("mock", clock) as board, Inputs(panel, board, clock, inbox) as inputs:
        assert [problem.split(":")[0] for problem in inputs.problems] == ["panel.attention"]
        inputs.watch()
        inputs.drive(Contact.PANIC, is_used=True)
        assert inbox._panic


def test_without_its_button_a_panel_does_not_start() -> None:
    panel = Panel.model_validate({"panic": {"pin": 17}, "alarm": {"pin": 5}})
    with (
        open_board("mock", HandClock()) as board,
        Output("alarm", OutputPin(pin=17), board),
        pytest.raises(Refused, match=r"panel\.panic: pin 17 cannot be read"),
    ):
        Inputs(panel, board, HandClock(), Inbox())


def test_without_lgpio_the_panel_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lgpio", None)
    with pytest.raises(Refused, match="python3-lgpio"):
        open_board("lgpio", HandClock())


@pytest.mark.parametrize("kind", ["pigpio", "native", "", "MOCK"])
def test_no_other_pin_library_is_taken_instead(kind: str) -> None:
    with pytest.raises(Refused, match="the panel knows lgpio"):
        open_board(kind, HandClock())


def test_the_time_of_a_press_is_that_of_its_edge(tmp_path: Path) -> None:
    with Bench(config(tmp_path / "run")) as bench:
        bench.inputs.drive(Contact.PANIC, is_used=True)
        edge_ns = bench.clock.now_ns
        bench.clock.now_ns += 8 * MILLISECOND  # the loop is late by three
        bench.settle()
        incident = bench.status().incident
        assert incident is not None
        assert incident.pressed_ns == edge_ns
        assert bench.status().alarm_latency_ns == 8 * MILLISECOND
        assert bench.status().events[-1].wall_ns == bench.clock.wall_ns() - 8 * MILLISECOND


@pytest.mark.parametrize(
    ("tick_ns", "expected_ns"),
    [
        pytest.param(100 * SECOND - 7 * MILLISECOND, 100 * SECOND - 7 * MILLISECOND, id="the kernel's time"),
        pytest.param(100 * SECOND, 100 * SECOND, id="this very instant"),
        pytest.param(100 * SECOND + 1, 100 * SECOND, id="not in the future"),
        pytest.param(60 * SECOND, 100 * SECOND, id="of a clock that stood still in sleep"),
        pytest.param(1_795_000_000 * SECOND, 100 * SECOND, id="of the wall clock, as old kernels stamp"),
    ],
)
def test_an_edge_has_the_kernels_time_where_that_can_be(tick_ns: int, expected_ns: int) -> None:
    assert kernel_ns(tick_ns, 100 * SECOND) == expected_ns
