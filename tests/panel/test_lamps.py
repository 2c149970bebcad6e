"""What the lamps tell."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from edge.clock import MILLISECOND, SECOND
from edge.config import OutputPin
from edge.errors import Refused
from edge.messages import Lamp, Report
from edge.panel.board import open_board
from edge.panel.lamps import PATTERNS, Output, Show, lit, official, resident
from tests.panel.support import HandClock

OFFICIAL = set(Show) - {Show.CAMERA_ON, Show.CAMERA_OFF, Show.CAMERA_UNKNOWN}


def told(lamp: Lamp, *, sent_ns: int = 100, is_camera_on: bool = True) -> Report:
    return Report(lamp=lamp, is_camera_on=is_camera_on, clip=None, sent_ns=sent_ns)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param({}, Show.ALARM_WORKS, id="nothing heard yet: the alarm works"),
        pytest.param({"report": told(Lamp.READY)}, Show.ALARM_WORKS, id="all in order"),
        pytest.param({"report": told(Lamp.NOT_READY), "is_private": True}, Show.PRIVATE, id="private"),
        pytest.param({"report": told(Lamp.READY), "has_fault": True}, Show.FAULT, id="a fault of the panel"),
        pytest.param({"report": told(Lamp.FAULT)}, Show.FAULT, id="a fault of the recorder"),
        pytest.param({"is_private": True, "has_fault": True}, Show.FAULT, id="a fault while private"),
        pytest.param({"report": told(Lamp.SAFE)}, Show.SAFE, id="the clip is safe"),
        pytest.param({"report": told(Lamp.SAFE), "has_fault": True}, Show.FAULT, id="safe, but something is wrong"),
        pytest.param(
            {"is_maintained": True, "has_fault": True}, Show.MAINTENANCE, id="in maintenance faults are expected"
        ),
        pytest.param(
            {"is_maintained": True, "alarm_pressed_ns": 50}, Show.RECEIVED, id="a press comes before that too"
        ),
        pytest.param({"report": told(Lamp.READY), "is_tested": True}, Show.RECEIVED, id="a test press lights it"),
        pytest.param({"alarm_pressed_ns": 50}, Show.RECEIVED, id="pressed, recorder silent"),
        pytest.param({"alarm_pressed_ns": 50, "has_fault": True}, Show.RECEIVED, id="the press comes before a fault"),
        pytest.param({"alarm_pressed_ns": 50, "report": told(Lamp.FAULT)}, Show.RECEIVED, id="and before its fault"),
        pytest.param({"alarm_pressed_ns": 50, "report": told(Lamp.RECORDING)}, Show.RECORDING, id="recording"),
        pytest.param({"alarm_pressed_ns": 50, "report": told(Lamp.SAFE)}, Show.SAFE, id="safe while help comes"),
        pytest.param({"alarm_pressed_ns": 150, "report": told(Lamp.SAFE)}, Show.RECEIVED, id="an older clip was safe"),
    ],
)
def test_the_official_is_told(given: dict[str, Any], expected: Show) -> None:
    calm: dict[str, Any] = {
        "alarm_pressed_ns": None,
        "is_tested": False,
        "is_maintained": False,
        "is_private": False,
        "has_fault": False,
        "report": None,
    }
    assert official(**calm | given) is expected


@pytest.mark.parametrize(
    ("report", "is_heard", "expected"),
    [
        (None, True, Show.CAMERA_OFF),
        (told(Lamp.READY), True, Show.CAMERA_ON),
        (told(Lamp.READY, is_camera_on=False), True, Show.CAMERA_OFF),
        (told(Lamp.READY), False, Show.CAMERA_UNKNOWN),
        (told(Lamp.READY, is_camera_on=False), False, Show.CAMERA_OFF),
    ],
)
def test_the_resident_is_told(report: Report | None, is_heard: bool, expected: Show) -> None:
    assert resident(report=report, is_heard=is_heard) is expected


def changes(show: Show, seconds: int) -> list[tuple[int, bool]]:
    """When the lamp changes, in nanoseconds, and to what."""
    at_ns, seen = 0, list[tuple[int, bool]]()
    while at_ns < seconds * SECOND:
        is_lit, until_ns = lit(show, at_ns)
        seen.append((at_ns, is_lit))
        if until_ns is None:
            break
        assert until_ns > at_ns
        at_ns = until_ns
    return seen


@pytest.mark.parametrize("show", sorted(OFFICIAL))
def test_the_officials_lamp_is_never_dark_for_two_seconds(show: Show) -> None:
    seen = changes(show, 60)
    assert seen[0][1]
    dark = [after - at for (at, is_lit), (after, _) in itertools.pairwise(seen) if not is_lit]
    assert max(dark, default=0) < 2 * SECOND


@pytest.mark.parametrize("show", sorted(Show))
def test_no_lamp_flashes_more_than_three_times_a_second(show: Show) -> None:
    lit_at = [at for at, is_lit in changes(show, 60) if is_lit]
    for first in lit_at:
        assert sum(first <= at < first + SECOND for at in lit_at) <= 3


def test_what_the_official_is_told_looks_different_each_time() -> None:
    assert len({PATTERNS[show] for show in OFFICIAL}) == len(OFFICIAL)


def test_a_pattern_is_lit_and_dark_when_it_says() -> None:
    assert [lit(Show.FAULT, at * MILLISECOND)[0] for at in (0, 199, 200, 1999, 2000)] == [
        True,
        True,
        False,
        False,
        True,
    ]


def test_an_output_is_off_until_told_and_off_when_closed() -> None:
    with open_board("mock", HandClock()) as board:
        pin = board.factory.pin("GPIO5")
        with Output("alarm", OutputPin(pin=5), board) as relay:
            assert pin.function == "output"
            assert not pin.state
            relay.set(is_on=True)
            assert pin.state
        assert not any(seen.state for seen in pin.states[-1:])


def test_a_resumed_alarm_is_on_from_the_first_moment() -> None:
    with open_board("mock", HandClock()) as board, Output("alarm", OutputPin(pin=5), board, is_on=True) as relay:
        assert relay.is_on
        assert board.factory.pin("GPIO5").state


def test_a_pin_that_is_taken_is_refused() -> None:
    taken = OutputPin(pin=5)
    with (
        open_board("mock", HandClock()) as board,
        Output("alarm", taken, board),
        pytest.raises(Refused, match="lamp_official: pin 5 cannot be used"),
    ):
        Output("lamp_official", taken, board)
