"""The pins of a Raspberry Pi's header for gpiozero, through lgpio: the chip by its label, edges on our own thread.

gpiozero's own lgpio pins take the chip by a number that has changed between kernels, look into /proc for the model,
and share lgpio's one callback thread, which ends for good at the first exception and cannot be started again. Here
lgpio tells the edges through a pipe of ours (its `notify_open`), which the thread `pins` reads.

lgpio's debounce and watchdog are not used: they compare MONOTONIC with REALTIME (lg issue 19), and the watchdog's level
2 would be an edge to gpiozero. Importing this imports lgpio, which makes its pipes in LG_WD and moves there.
"""

from __future__ import annotations

import logging
import os
import selectors
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import lgpio
from gpiozero.pins.lgpio import LGPIOFactory, LGPIOPin

from edge.errors import Refused
from edge.ports import Clock

_log = logging.getLogger(__name__)

LgpioError: Final = lgpio.error

# The chip of the 40-pin header by its label, and the revision code of one board that has it: all that gpiozero takes
# from the model is where the header's pins are, which is the same on all of them.
BOARDS: Final = {
    "pinctrl-rp1": 0xC04170,  # 5, CM5, 500
    "pinctrl-bcm2711": 0xC03111,  # 4, CM4, 400
    "pinctrl-bcm2835": 0x902120,  # Zero 2 W, 3
}
DEVICES: Final = Path("/dev")
_REPORT: Final = struct.Struct("QBBBBI")  # timestamp, chip, gpio, level, flags, padding
_BEAT_S: Final = 0.25
_BATCH: Final = 64 * _REPORT.size  # bytes at a read; a pipe gives whole reports, since each write is smaller than 4 KiB

Heard = Callable[[int, int, int, int], None]  # chip, gpio, level (0 or 1), nanoseconds on the kernel's clock


def find_chip() -> tuple[int, str]:
    """The number and the label of the chip with the header's pins. Raises Refused when there is none."""
    seen: list[str] = []
    for number in sorted(int(path.name.removeprefix("gpiochip")) for path in DEVICES.glob("gpiochip[0-9]*")):
        try:
            handle = lgpio.gpiochip_open(number)
        except lgpio.error as err:
            seen.append(f"gpiochip{number} ({err})")
            continue
        try:
            _, _, _, label = lgpio.gpio_get_chip_info(handle)
        finally:
            lgpio.gpiochip_close(handle)
        if label in BOARDS:
            return number, label
        seen.append(f"gpiochip{number} ({label})")
    raise Refused(
        f"no GPIO chip of a Raspberry Pi's header ({', '.join(BOARDS)}): found {', '.join(seen) or 'none'}; "
        "is this user in the group gpio?"
    )


class Alerts:
    """Reads the edges that lgpio reports through a pipe, and tells each to who listens to its pin. Thread: `pins`.

    What a listener raises stays here: the next edge is told all the same.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.handle: int = lgpio.notify_open()
        self._pipe = os.open(f".lgd-nfy{self.handle}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self._listeners: dict[int, Heard] = {}
        self._is_closing = False
        self.beat_ns = clock.boot_ns()
        threading.Thread(target=self._run, name="pins", daemon=True).start()

    def listen(self, gpio: int, heard: Heard) -> None:
        self._listeners[gpio] = heard

    def forget(self, gpio: int) -> None:
        self._listeners.pop(gpio, None)

    def _run(self) -> None:
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(self._pipe, selectors.EVENT_READ)
                while not self._is_closing:
                    is_there = selector.select(_BEAT_S)
                    self.beat_ns = self._clock.boot_ns()
                    if is_there and not self._read():
                        _log.error("lgpio closed its pipe: no more edges from it")
                        return
        finally:
            os.close(self._pipe)

    def _read(self) -> bool:
        try:
            raw = os.read(self._pipe, _BATCH)
        except BlockingIOError:  # it was said to be there, and is not
            return True
        for tick_ns, chip, gpio, level, flags, _ in _REPORT.iter_unpack(raw[: len(raw) // _REPORT.size * _REPORT.size]):
            heard = self._listeners.get(gpio)
            if heard is None or flags or level not in {0, 1}:
                continue
            try:
                heard(chip, gpio, level, tick_ns)
            except Exception:  # noqa: BLE001 - one listener's mistake must not make the other pins deaf
                _log.exception("an edge of GPIO%d was not dealt with", gpio)
        return bool(raw)

    def close(self) -> None:
        """Stop reading, without waiting: the thread may hang, and is left to itself then. Idempotent."""
        if self._is_closing:
            return
        self._is_closing = True
        self._listeners.clear()
        try:
            lgpio.notify_close(self.handle)
        except lgpio.error as err:
            _log.warning("a pipe of lgpio was not closed: %s", err)


class HeaderFactory(LGPIOFactory):  # type: ignore[misc]  # gpiozero has no types
    """gpiozero's pins of the header's chip. Raises Refused when it is not there."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        number, self._label = find_chip()
        super().__init__(chip=number)
        self.pin_class = HeaderPin
        self.alerts = Alerts(clock)

    def _get_revision(self) -> int:
        return BOARDS[self._label]

    def restart(self) -> None:
        """Read edges anew, on another pipe and another thread. Pins that are watched must be watched again."""
        self.alerts.close()
        self.alerts = Alerts(self._clock)

    def close(self) -> None:
        super().close()
        if hasattr(self, "alerts"):
            self.alerts.close()


class HeaderPin(LGPIOPin):  # type: ignore[misc]  # gpiozero has no types
    """A pin whose edges come through `Alerts`."""

    factory: Any

    def _enable_event_detect(self) -> None:
        flags = lgpio.gpio_get_mode(self.factory._handle, self._number) & self.GPIO_LINE_FLAGS_MASK
        alerts = self.factory.alerts
        alerts.listen(self._number, self._call_when_changed)
        lgpio.gpio_claim_alert(self.factory._handle, self._number, lgpio.BOTH_EDGES, flags, alerts.handle)

    def _disable_event_detect(self) -> None:
        self.factory.alerts.forget(self._number)
        flags = lgpio.gpio_get_mode(self.factory._handle, self._number) & self.GPIO_LINE_FLAGS_MASK
        lgpio.gpio_claim_input(self.factory._handle, self._number, flags)
