"""The set-up tries the wires with a person, on mock pins that the test moves as a hand would."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Final

import pytest

from edge.config import AlarmPin, InputPin, OutputPin, Panel, PanicPin
from edge.errors import Refused
from edge.panel.board import Board, open_board
from edge.setup import texts
from edge.setup.talk import Judge
from edge.setup.wiring import try_wires
from tests.vault.support import SimClock

CLOCK: Final = SimClock()
PANEL: Final = Panel(
    panic=PanicPin(pin=5, contact="pair", pin_closed=6),
    alarm=AlarmPin(pin=26),
    reset=InputPin(pin=16),
    lamp_official=OutputPin(pin=20),
)
PANIC, PANIC_CLOSED, RESET = texts.WIRES["panic"], texts.WIRES["panic_closed"], texts.WIRES["reset"]


class Hand:
    """Whoever stands at the panel: does what a text on the screen makes him do, and answers what he is asked."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self.shown: list[str] = []
        self.does: dict[str, Callable[[], None]] = {}  # when this text is shown
        self.answer = "j"
        self.on_when_asked: list[int] = []  # outputs that are still on when it is asked whether they went off
        self.wants_on = False
        self.is_reset_stuck = False
        self.does[texts.ALARM_FIRST] = self.rests  # taking a mock pin lets it go

    def rests(self) -> None:
        self.move(5, is_closed=False)
        self.move(6, is_closed=True)
        self.move(16, is_closed=self.is_reset_stuck)

    def move(self, pin: int, *, is_closed: bool) -> None:
        wire = self.board.factory.pin(pin)
        (wire.drive_low if is_closed else wire.drive_high)()

    def say(self, text: str) -> None:
        self.shown.append(text)
        if text in self.does:
            self.does[text]()

    def ask(self, question: str, default: str = "", judge: Judge | None = None) -> str:
        self.shown.append(question)
        if question.startswith(texts.ASK_SAW):
            self.on_when_asked.extend(pin for pin in (26, 20) if self.board.factory.pin(pin).state)
        return self.answer

    def ask_hidden(self, question: str) -> str:
        raise AssertionError(question)

    def skips(self) -> bool:
        return self.wants_on

    def uses(self, name: str, *pins: tuple[int, bool]) -> None:
        """Asked for `name`: these pins are moved, and once that was seen, moved back."""
        wanted = texts.USE_NOW.format(wire=name)

        def begin() -> None:
            self.does[texts.SEEN] = end
            for pin, is_closed in pins:
                self.move(pin, is_closed=is_closed)

        def end() -> None:
            for pin, is_closed in pins:
                self.move(pin, is_closed=not is_closed)

        self.does[wanted] = begin

    def gives_up_on(self, name: str) -> None:
        def begin() -> None:
            self.wants_on = True

        self.does[texts.USE_NOW.format(wire=name)] = begin


@pytest.fixture
def hand() -> Iterator[Hand]:
    with open_board("mock", CLOCK) as board:
        yield Hand(board)


def tried(hand: Hand) -> tuple[str, ...]:
    return try_wires(PANEL, hand.board, CLOCK, hand, skips=hand.skips)


def press(hand: Hand) -> None:
    hand.uses(PANIC, (5, True), (6, False))
    hand.uses(PANIC_CLOSED, (5, True), (6, False))


def test_a_panel_that_is_wired_well_is_seen_to_be_so(hand: Hand) -> None:
    press(hand)
    hand.uses(RESET, (16, True))
    assert tried(hand) == ()
    assert hand.shown.index(texts.ALARM_FIRST) == 0
    assert texts.AT_REST in hand.shown
    assert hand.shown.count(texts.SEEN) == 3
    assert hand.shown.count(texts.LET_GO) == 3


def test_a_button_on_another_pin_is_named(hand: Hand) -> None:
    press(hand)
    hand.uses(RESET, (5, True), (6, False))
    hand.does[texts.OTHER_SEEN.format(wire=PANIC, wanted=RESET)] = lambda: setattr(hand, "wants_on", True)
    assert tried(hand) == (RESET,)
    assert texts.NOT_SEEN in hand.shown


def test_half_a_pair_that_does_not_move_is_found(hand: Hand) -> None:
    hand.uses(PANIC, (5, True))  # the second contact stays closed
    hand.gives_up_on(PANIC_CLOSED)
    assert set(tried(hand)) == {PANIC_CLOSED, RESET}


def test_a_contact_that_is_used_at_rest_is_found(hand: Hand) -> None:
    hand.is_reset_stuck = True
    press(hand)
    hand.uses(RESET, (16, True))  # it moves all the same
    assert tried(hand) == (RESET,)
    assert texts.NOT_AT_REST.format(wire=RESET) in hand.shown


def test_a_button_that_stays_pressed_is_not_fine(hand: Hand) -> None:
    press(hand)

    def stuck() -> None:
        hand.move(16, is_closed=True)
        hand.does[texts.SEEN] = lambda: setattr(hand, "wants_on", True)

    hand.does[texts.USE_NOW.format(wire=RESET)] = stuck
    assert tried(hand) == (RESET,)
    assert texts.LET_GO not in hand.shown[hand.shown.index(texts.USE_NOW.format(wire=RESET)) :]


def test_relay_and_lamp_are_switched_on_and_off_again(hand: Hand) -> None:
    press(hand)
    hand.uses(RESET, (16, True))
    tried(hand)
    for pin in (26, 20):
        states = [state.state for state in hand.board.factory.pin(pin).states]
        assert [state for state, _ in itertools.groupby(states)][-3:] == [False, True, False]
    assert hand.on_when_asked == []


def test_a_relay_that_nobody_heard_is_told(hand: Hand) -> None:
    press(hand)
    hand.uses(RESET, (16, True))
    hand.answer = "n"
    assert tried(hand) == (texts.WIRES["alarm"], texts.WIRES["lamp_official"])


def test_pins_that_somebody_else_holds_are_refused(hand: Hand) -> None:
    from gpiozero import InputDevice

    with InputDevice(16, pull_up=True, pin_factory=hand.board.factory), pytest.raises(Refused, match="16"):
        tried(hand)
