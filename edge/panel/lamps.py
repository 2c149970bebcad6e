"""The alarm relay and the lamps on GPIO pins, and what the lamps say. With `inputs.py` the only file on gpiozero.

The official's lamp is never dark for as long as two seconds while the panel lives, so dark means dead and nothing
else. No pattern flashes more than three times a second (WCAG 2.3.1). Called by the main loop only.

    alarm works     steady                        private      steady with a wink every three seconds
    press received  even, two times a second      recording    even, once in two seconds
    clip safe       two flashes                   fault        one flash
                                                  maintenance  three flashes
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, Self

from gpiozero import OutputDevice

from edge.clock import MILLISECOND
from edge.config import OutputPin
from edge.errors import Refused
from edge.messages import Lamp, Report
from edge.panel.board import Board


class Show(StrEnum):
    """What a lamp tells."""

    ALARM_WORKS = "alarm-works"
    PRIVATE = "private"
    RECEIVED = "received"
    RECORDING = "recording"
    SAFE = "safe"
    FAULT = "fault"
    MAINTENANCE = "maintenance"
    CAMERA_ON = "camera-on"
    CAMERA_OFF = "camera-off"
    CAMERA_UNKNOWN = "camera-unknown"


# Milliseconds lit, dark, lit, dark, … over and over; one lit number alone is steady, () is dark.
PATTERNS: Final[Mapping[Show, tuple[int, ...]]] = {
    Show.ALARM_WORKS: (1000,),
    Show.PRIVATE: (2900, 100),
    Show.RECEIVED: (250, 250),
    Show.RECORDING: (1000, 1000),
    Show.SAFE: (200, 200, 200, 1400),
    Show.FAULT: (200, 1800),
    Show.MAINTENANCE: (200, 200, 200, 200, 200, 1200),
    Show.CAMERA_ON: (1000,),
    Show.CAMERA_OFF: (),
    Show.CAMERA_UNKNOWN: (1000, 1000),
}


def official(
    *,
    alarm_pressed_ns: int | None,
    is_tested: bool,
    is_maintained: bool,
    is_private: bool,
    has_fault: bool,
    report: Report | None,
) -> Show:
    """What the official's lamp tells. `report` is None when the recorder is not heard.

    While the alarm is on (`alarm_pressed_ns`: its last press) the press comes before any fault, and only a report
    from after the press says more than that it was received. In maintenance faults are expected.
    """
    lamp = Lamp.NOT_READY if report is None else report.lamp
    if alarm_pressed_ns is not None:
        if report is None or report.sent_ns < alarm_pressed_ns:
            return Show.RECEIVED
        return {Lamp.RECORDING: Show.RECORDING, Lamp.SAFE: Show.SAFE}.get(lamp, Show.RECEIVED)
    if is_tested:
        return Show.RECEIVED
    if is_maintained:
        return Show.MAINTENANCE
    if has_fault or lamp is Lamp.FAULT:
        return Show.FAULT
    if lamp is Lamp.RECORDING:
        return Show.RECORDING
    if lamp is Lamp.SAFE:
        return Show.SAFE
    return Show.PRIVATE if is_private else Show.ALARM_WORKS


def resident(*, report: Report | None, is_heard: bool) -> Show:
    """What the resident's lamp tells. A recorder that fell silent with its camera on may still have it on."""
    if report is None or not report.is_camera_on:
        return Show.CAMERA_OFF
    return Show.CAMERA_ON if is_heard else Show.CAMERA_UNKNOWN


def lit(show: Show, now_ns: int) -> tuple[bool, int | None]:
    """Whether the lamp is lit at an instant, and when that changes; None when it stays so."""
    pattern = PATTERNS[show]
    if len(pattern) < 2:
        return bool(pattern), None
    length_ns = sum(pattern) * MILLISECOND
    until_ns = now_ns - now_ns % length_ns
    is_lit = False
    for part_ms in pattern:
        is_lit = not is_lit
        until_ns += part_ms * MILLISECOND
        if now_ns < until_ns:
            break
    return is_lit, until_ns


class Output:
    """A relay or a lamp, active high: off when the machine starts, because its pin is pulled down (facts 17)."""

    def __init__(self, name: str, pin: OutputPin, board: Board, *, is_on: bool = False) -> None:
        """Take the pin and set it. Raises Refused when that cannot be."""
        self._name = f"panel.{name}: pin {pin.pin}"
        self._errors = board.errors
        self._is_on = is_on
        try:
            self._device = OutputDevice(pin.pin, active_high=True, initial_value=is_on, pin_factory=board.factory)
        except board.errors as err:
            raise Refused(f"{self._name} cannot be used: {err}") from err

    @property
    def is_on(self) -> bool:
        """As it was last set."""
        return self._is_on

    def set(self, *, is_on: bool) -> None:
        """Switch it, also when it should be so already. Raises Refused when the pin does not take it."""
        try:
            self._device.value = is_on
        except self._errors as err:
            raise Refused(f"{self._name} cannot be switched: {err}") from err
        self._is_on = is_on

    def close(self) -> None:
        """Off, and give the pin back. Idempotent."""
        if self._device.closed:
            return
        try:
            self.set(is_on=False)
        finally:
            self._device.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
