"""The pins of a header through lgpio: on a stand-in with its interface, and side by side with gpiozero's mock pins."""

from __future__ import annotations

import importlib.util
import inspect
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edge.clock import MILLISECOND, SECOND
from edge.config import OutputPin, Panel
from edge.errors import Refused
from edge.messages import Event
from edge.panel.board import Board, open_board
from edge.panel.contact import GLITCH_NS, Contact, Edge
from edge.panel.guard import Guard
from edge.panel.inbox import Inbox
from edge.panel.inputs import Inputs
from edge.panel.lamps import Output
from edge.panel.process import build
from tests.panel.stand_in import CLOCK, USED, Lgpio, Wires, installed
from tests.panel.support import PATIENCE_S, config

PI_5 = {0: "gpio-brcmstb@107d508500", 4: "pinctrl-rp1", 10: "gpio-brcmstb@107d517c00"}
PANEL = {"panic": {"pin": 17}, "reset": {"pin": 27, "contact": "nc"}, "alarm": {"pin": 5}}


@dataclass
class Rig:
    """A board, and hands on its wires."""

    board: Board
    move: Callable[[int, int], None]
    level: Callable[[int], int]
    is_output: Callable[[int], bool]


@contextmanager
def mock_rig() -> Iterator[Rig]:
    with open_board("mock", CLOCK) as board:

        def pin(gpio: int) -> Any:
            return board.factory.pin(f"GPIO{gpio}")

        yield Rig(
            board=board,
            move=lambda gpio, level: pin(gpio).drive_high() if level else pin(gpio).drive_low(),
            level=lambda gpio: int(pin(gpio).state),
            is_output=lambda gpio: pin(gpio).function == "output",
        )


@pytest.fixture(params=["mock", "lgpio"])
def rig(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    if request.param == "mock":
        with mock_rig() as made:
            yield made
        return
    wires = Wires(chips=PI_5)
    with installed(wires, tmp_path, monkeypatch) as board:
        yield Rig(
            board=board,
            move=wires.move,
            level=wires.level,
            is_output=lambda gpio: wires.lines[gpio].use == "output",
        )


@pytest.fixture
def header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Wires, Board]]:
    wires = Wires(chips=PI_5)
    with installed(wires, tmp_path, monkeypatch) as board:
        yield wires, board


def told(inbox: Inbox) -> tuple[Contact, bool]:
    """The next edge that was seen."""
    while True:
        edge = inbox.get(PATIENCE_S)
        assert isinstance(edge, Edge), "no edge came"
        if edge.is_seen:
            return edge.contact, edge.is_used


# ---- the same on both


def test_contacts_rest_when_nothing_drives_them_but_their_pull(rig: Rig) -> None:
    with Inputs(Panel.model_validate(PANEL), rig.board, CLOCK, Inbox()) as inputs:
        assert inputs.levels() == {Contact.PANIC: False, Contact.RESET: True}  # an `nc` contact that hangs is used
        rig.move(27, 0)
        rig.move(17, 0)
        assert inputs.levels() == {Contact.PANIC: True, Contact.RESET: False}


def test_every_edge_comes_in_order_with_its_contact(rig: Rig) -> None:
    inbox = Inbox()
    with Inputs(Panel.model_validate(PANEL), rig.board, CLOCK, inbox) as inputs:
        rig.move(27, 0)
        assert inputs.watch() == ()
        for gpio, level in [(17, 0), (17, 1), (17, 0)]:
            rig.move(gpio, level)
        assert [told(inbox) for _ in range(3)] == [(Contact.PANIC, is_used) for is_used in (True, False, True)]
        rig.move(27, 1)
        assert told(inbox) == (Contact.RESET, True)


def test_watched_anew_edges_come_again(rig: Rig) -> None:
    inbox = Inbox()
    with Inputs(Panel.model_validate(PANEL), rig.board, CLOCK, inbox) as inputs:
        inputs.watch()
        assert inputs.watch_anew() == ()
        rig.move(17, 0)
        assert told(inbox) == (Contact.PANIC, True)
        assert inputs.levels()[Contact.PANIC]


def test_an_output_is_off_until_told_on_when_told_and_off_when_given_back(rig: Rig) -> None:
    with Output("alarm", OutputPin(pin=5), rig.board) as relay:
        assert rig.is_output(5)
        assert rig.level(5) == 0
        relay.set(is_on=True)
        assert rig.level(5) == 1
        relay.set(is_on=False)
        assert rig.level(5) == 0
        relay.set(is_on=True)
    assert rig.level(5) == 0


def test_a_resumed_alarm_is_on_from_the_first_moment(rig: Rig) -> None:
    with Output("alarm", OutputPin(pin=5), rig.board, is_on=True):
        assert rig.level(5) == 1


def test_a_pin_for_two_things_is_refused(rig: Rig) -> None:
    with Output("alarm", OutputPin(pin=5), rig.board), pytest.raises(Refused, match="lamp: pin 5 cannot be used"):
        Output("lamp", OutputPin(pin=5), rig.board)


# ---- the chip


@pytest.mark.parametrize(
    ("chips", "expected"),
    [
        pytest.param(PI_5, 4, id="Pi 5, older kernel"),
        pytest.param({0: "pinctrl-rp1", 10: "gpio-brcmstb@107d508500"}, 0, id="Pi 5, newer kernel"),
        pytest.param({0: "pinctrl-bcm2711", 1: "raspberrypi-exp-gpio"}, 0, id="Pi 4"),
        pytest.param({0: "raspberrypi-exp-gpio", 1: "pinctrl-bcm2835"}, 1, id="Zero 2 W"),
    ],
)
def test_the_chip_is_found_by_its_label(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chips: dict[int, str], expected: int
) -> None:
    wires = Wires(chips=chips)
    with installed(wires, tmp_path, monkeypatch) as board:
        assert board.factory.chip == expected
        assert list(wires.opened.values()) == [expected], "the others are closed"
        with Inputs(Panel.model_validate(PANEL), board, CLOCK, Inbox()) as inputs:
            assert inputs.contacts == {Contact.PANIC, Contact.RESET}


@pytest.mark.parametrize(
    ("wires", "said"),
    [
        (Wires(chips={}), "found none"),
        (Wires(chips={0: "gpio-mockup"}), r"gpiochip0 \(gpio-mockup\)"),
        (Wires(chips={0: "pinctrl-rp1"}, unopenable=frozenset({0})), "can not open gpiochip.*group gpio"),
    ],
)
def test_without_the_chip_of_a_header_the_panel_says_what_it_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wires: Wires, said: str
) -> None:
    with pytest.raises(Refused, match=said), installed(wires, tmp_path, monkeypatch):
        pass


def test_the_stand_in_has_the_interface_of_the_real_lgpio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LG_WD", str(tmp_path))  # importing it makes a pipe there, and goes there
    monkeypatch.chdir(tmp_path)
    if importlib.util.find_spec("lgpio") is None:
        pytest.skip("lgpio is not installed here")
    import lgpio

    for name in USED:
        real, ours = getattr(lgpio, name), getattr(Lgpio, name)
        if not inspect.isfunction(real):
            assert isinstance(ours, type) or ours == real, name
            continue
        told = [(one.name, one.default) for one in inspect.signature(real).parameters.values()]
        assert [(one.name, one.default) for one in inspect.signature(ours).parameters.values()][1:] == told, name


# ---- the thread


def test_an_edge_has_the_kernels_time_however_late_it_is_told(header: tuple[Wires, Board]) -> None:
    wires, board = header
    inbox = Inbox()
    with Inputs(Panel.model_validate({"panic": {"pin": 17}, "alarm": {"pin": 5}}), board, CLOCK, inbox) as inputs:
        inputs.watch()
        inbox.get(0)
        tick_ns = CLOCK.boot_ns() - 700 * MILLISECOND
        wires.move(17, 0, tick_ns=tick_ns)
        edge = inbox.get(PATIENCE_S)
        assert isinstance(edge, Edge)
        assert abs(edge.at_ns - tick_ns) < 1000  # ticks go through gpiozero as seconds


def test_an_exception_in_a_listener_ends_no_edges(header: tuple[Wires, Board]) -> None:
    wires, board = header
    heard: list[int] = []

    def listener(chip: int, gpio: int, level: int, tick_ns: int) -> None:
        heard.append(level)
        raise RuntimeError("a bug")

    inbox = Inbox()
    with Inputs(Panel.model_validate(PANEL), board, CLOCK, inbox) as inputs:
        wires.move(27, 0)
        inputs.watch()
        board.factory.alerts.listen(17, listener)
        wires.move(17, 0)
        wires.move(17, 1)
        wires.move(27, 1)
        assert told(inbox) == (Contact.RESET, True)
        assert heard == [0, 1]


def test_a_watchdog_report_is_no_edge(header: tuple[Wires, Board]) -> None:
    wires, board = header
    inbox = Inbox()
    with Inputs(Panel.model_validate({"panic": {"pin": 17}, "alarm": {"pin": 5}}), board, CLOCK, inbox) as inputs:
        inputs.watch()
        wires.tell(17, 2)
        wires.move(17, 0)
        assert told(inbox) == (Contact.PANIC, True)


def turn_until(guard: Guard, holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        guard.turn()
        assert time.monotonic() < deadline


@pytest.fixture
def guarded(header: tuple[Wires, Board], tmp_path: Path) -> Iterator[tuple[Wires, Guard]]:
    wires, board = header
    wires.lines[27].level = 0  # an `nc` reset, at rest
    with ExitStack() as stack:
        settings = config(tmp_path / "run", panel=PANEL)
        guard = build(stack, settings, (), board=board, clock=CLOCK, set_levels=lambda inputs: None)
        yield wires, guard


def faults(guard: Guard) -> dict[str, str]:
    return {fault.code: fault.detail for fault in guard._snapshot(CLOCK.boot_ns()).faults}


def presses(guard: Guard) -> int:
    return sum(event.event is Event.PRESS for event in guard._snapshot(CLOCK.boot_ns()).events)


def test_a_press_on_the_wire_switches_the_relay_on(guarded: tuple[Wires, Guard]) -> None:
    wires, guard = guarded
    wires.move(17, 0)
    turn_until(guard, lambda: wires.level(5) == 1)
    latency_ns = guard._snapshot(CLOCK.boot_ns()).alarm_latency_ns
    assert latency_ns is not None
    assert latency_ns >= GLITCH_NS


def test_when_the_library_loses_its_pipe_edges_are_read_anew_with_the_alarm_on(guarded: tuple[Wires, Guard]) -> None:
    wires, guard = guarded
    wires.move(17, 0)
    turn_until(guard, lambda: wires.level(5) == 1)
    wires.move(17, 1)
    lost_ns = CLOCK.boot_ns()
    wires.lose_pipes()
    turn_until(guard, lambda: "read anew" in faults(guard).get("contact-thread", ""))
    assert len(wires.pipes) == 1
    assert wires.level(5) == 1, "the alarm stayed on all the while"
    assert guard._restarted_ns is not None
    assert guard._restarted_ns - lost_ns < PATIENCE_S * SECOND
    wires.move(17, 0)
    turn_until(guard, lambda: presses(guard) == 2)


def test_a_thread_that_hangs_is_replaced(guarded: tuple[Wires, Guard]) -> None:
    wires, guard = guarded
    go_on = threading.Event()
    guard._inputs._board.factory.alerts.listen(27, lambda *_: go_on.wait(PATIENCE_S))
    try:
        wires.move(27, 1)  # its listener never comes back
        wires.move(17, 0)  # and this waits behind it
        turn_until(guard, lambda: presses(guard) == 1)
        assert wires.level(5) == 1
        turn_until(guard, lambda: guard._restarted_ns is not None)
        wires.move(17, 1)
        turn_until(guard, lambda: Contact.PANIC not in guard._reading.used)
        wires.move(17, 0)
        turn_until(guard, lambda: presses(guard) == 2)
        assert guard._reading.unproven in {(), (Contact.RESET,)}, "the button's edges came on the new thread"
    finally:
        go_on.set()
