"""The pins of this machine: real ones through lgpio, or imagined ones. Never another library silently."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, Self

from gpiozero.exc import GPIOZeroError

from edge.clock import SECOND
from edge.errors import Refused
from edge.ports import Clock

_WITHOUT_LGPIO: Final = (
    "lgpio is not installed: apt install python3-lgpio, or set GPIOZERO_PIN_FACTORY=mock on a machine without pins"
)
_EDGE_AGE_NS: Final = 5 * SECOND  # an edge is dealt with long before; a time beyond it is of another clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """Pins, and what their library may raise. `factory` is gpiozero's."""

    kind: Literal["lgpio", "mock"]
    factory: Any
    errors: tuple[type[Exception], ...]

    def edge_ns(self, ticks: float, now_ns: int) -> int:
        """When an edge was, on BOOTTIME. Imagined pins tick on a clock that no test moves: for them it is now."""
        return kernel_ns(round(ticks * SECOND), now_ns) if self.kind == "lgpio" else now_ns

    @property
    def beat_ns(self) -> int | None:
        """When the thread that brings edges last said that it lives; None where it brings them on the caller's."""
        beat_ns: int | None = self.factory.alerts.beat_ns if self.kind == "lgpio" else None
        return beat_ns

    def restart(self) -> None:
        """Bring edges on a new thread; every pin must be watched anew."""
        if self.kind == "lgpio":
            self.factory.restart()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.factory.close()


def kernel_ns(tick_ns: int, now_ns: int) -> int:
    """The kernel's time of an edge on BOOTTIME.

    The kernel stamps on CLOCK_MONOTONIC, which is BOOTTIME on a machine that never sleeps, and an appliance does not.
    A kernel before 5.7 stamps on wall time, and one that slept lies behind: neither is near `now_ns`, which counts then.
    """
    return tick_ns if 0 <= now_ns - tick_ns <= _EDGE_AGE_NS else now_ns


def open_board(kind: str, clock: Clock) -> Board:
    """The pins through `lgpio`, or imagined ones through `mock`.

    Raises Refused when `kind` is neither, its library is missing, or there are no pins here.
    """
    if kind == "mock":
        from gpiozero.pins.mock import MockFactory  # noqa: PLC0415 - the one that is not used is not imported

        return Board(kind="mock", factory=MockFactory(), errors=(GPIOZeroError, OSError))
    if kind != "lgpio":
        raise Refused(f"GPIOZERO_PIN_FACTORY={kind}: the panel knows lgpio (a Raspberry Pi) and mock (a laptop)")
    try:
        from edge.panel import header  # noqa: PLC0415 - only on a Pi
    except ImportError as err:
        raise Refused(_WITHOUT_LGPIO) from err
    errors = (GPIOZeroError, OSError, header.LgpioError)
    try:
        return Board(kind="lgpio", factory=header.HeaderFactory(clock), errors=errors)
    except errors as err:
        raise Refused(f"the GPIO pins cannot be opened: {err}; is this user in the group gpio?") from err
