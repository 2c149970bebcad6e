"""A stand-in for the module `lgpio` with the interface of the real one (0.2.2), down to its pipes and its move to LG_WD.

Only what gpiozero and `edge.panel.header` use. `Wires` is what a test has in its hands: it moves the lines, and can take
the pipes away as a library does that has lost them.
"""

from __future__ import annotations

import os
import struct
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

import edge.panel
from edge.clock import SystemClock
from edge.panel.board import Board, open_board

LINES: Final = 54
CLOCK: Final = SystemClock()


class Error(Exception):
    """`lgpio.error`."""

    def __init__(self, value: str) -> None:
        self.value = value

    def __str__(self) -> str:
        return repr(self.value)


@dataclass
class _Line:
    use: str = ""  # input, output, alert
    flags: int = 0
    level: int | None = None  # None: nothing drives it, so its bias does
    notify: int | None = None


@dataclass
class Wires:
    """The chips of a machine by number and label, and the lines of the one that has the header."""

    chips: dict[int, str]
    unopenable: frozenset[int] = frozenset()
    lines: list[_Line] = field(default_factory=lambda: [_Line() for _ in range(LINES)])
    pipes: dict[int, int] = field(default_factory=dict)
    opened: dict[int, int] = field(default_factory=dict)  # handle: chip

    def level(self, gpio: int) -> int:
        line = self.lines[gpio]
        return line.level if line.level is not None else int(bool(line.flags & Lgpio.SET_PULL_UP))

    def move(self, gpio: int, level: int, *, tick_ns: int | None = None) -> None:
        """Drive a line, and have its edge told if it is watched."""
        before, self.lines[gpio].level = self.level(gpio), level
        if before != level:
            self.tell(gpio, level, tick_ns=tick_ns)

    def tell(self, gpio: int, level: int, *, tick_ns: int | None = None) -> None:
        line = self.lines[gpio]
        pipe = self.pipes.get(line.notify) if line.use == "alert" and line.notify is not None else None
        if pipe is not None:
            tick_ns = CLOCK.boot_ns() if tick_ns is None else tick_ns
            os.write(pipe, struct.pack("QBBBBI", tick_ns, next(iter(self.opened.values())), gpio, level, 0, 0))

    def lose_pipes(self) -> None:
        """As lgpio does after a write that failed: it says nothing more, to nobody."""
        for pipe in self.pipes.values():
            os.close(pipe)
        self.pipes.clear()


class Lgpio:
    """The module's names. Bound to `Wires` by `install`."""

    RISING_EDGE: Final = 1
    FALLING_EDGE: Final = 2
    BOTH_EDGES: Final = 3
    SET_ACTIVE_LOW: Final = 4
    SET_PULL_UP: Final = 32
    SET_PULL_DOWN: Final = 64
    SET_PULL_NONE: Final = 128
    error: Final = Error

    def __init__(self, wires: Wires) -> None:
        self.wires = wires
        if "LG_WD" in os.environ:
            os.chdir(os.environ["LG_WD"])

    def _line(self, handle: int, gpio: int) -> _Line:
        if handle not in self.wires.opened:
            raise Error("unknown handle")
        if gpio >= LINES:
            raise Error("bad GPIO number")
        return self.wires.lines[gpio]

    def gpiochip_open(self, gpiochip: int) -> int:
        if gpiochip not in self.wires.chips or gpiochip in self.wires.unopenable:
            raise Error("can not open gpiochip")
        handle = len(self.wires.opened) | gpiochip << 16
        self.wires.opened[handle] = gpiochip
        return handle

    def gpiochip_close(self, handle: int) -> int:
        if self.wires.opened.pop(handle, None) is None:
            raise Error("unknown handle")
        return 0

    def gpio_get_chip_info(self, handle: int) -> list[Any]:
        number = self.wires.opened[handle]
        return [0, LINES, f"gpiochip{number}", self.wires.chips[number]]

    def gpio_get_mode(self, handle: int, gpio: int) -> int:
        line = self._line(handle, gpio)
        return line.flags | {"": 0, "input": 1 << 8, "output": 2 | 1 << 9, "alert": 1 << 10}[line.use]

    def gpio_claim_input(self, handle: int, gpio: int, lFlags: int = 0) -> int:  # noqa: N803 - as the real one
        line = self._line(handle, gpio)
        if line.use == "input":
            return 0  # nothing to do, says lgpio, whatever the flags
        line.use, line.flags, line.notify = "input", lFlags, None
        return 0

    def gpio_claim_output(self, handle: int, gpio: int, level: int = 0, lFlags: int = 0) -> int:  # noqa: N803
        line = self._line(handle, gpio)
        if line.use != "output":
            line.use, line.flags, line.level, line.notify = "output", lFlags, level, None
        return 0

    def gpio_claim_alert(
        self,
        handle: int,
        gpio: int,
        eFlags: int,  # noqa: N803
        lFlags: int = 0,  # noqa: N803
        notify_handle: int | None = None,
    ) -> int:
        line = self._line(handle, gpio)
        assert eFlags == self.BOTH_EDGES
        line.use, line.flags, line.notify = "alert", lFlags, notify_handle
        return 0

    def gpio_free(self, handle: int, gpio: int) -> int:
        line = self._line(handle, gpio)
        line.use, line.flags, line.notify = "", 0, None
        return 0

    def gpio_read(self, handle: int, gpio: int) -> int:
        self._line(handle, gpio)
        return self.wires.level(gpio)

    def gpio_write(self, handle: int, gpio: int, level: int) -> int:
        line = self._line(handle, gpio)
        if line.use != "output":
            raise Error("GPIO is not an output")
        line.level = int(level)
        return 0

    def notify_open(self) -> int:
        handle = max(self.wires.pipes, default=0) + 1
        path = f".lgd-nfy{handle}"
        Path(path).unlink(missing_ok=True)
        os.mkfifo(path)
        self.wires.pipes[handle] = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        return handle

    def notify_close(self, handle: int) -> int:
        pipe = self.wires.pipes.pop(handle, None)
        if pipe is None:
            raise Error("unknown handle")
        os.close(pipe)
        return 0

    def callback(
        self, handle: int, gpio: int, edge: int = RISING_EDGE, func: Callable[..., None] | None = None
    ) -> None:
        raise AssertionError("the shared thread of lgpio is not to be used")


USED: Final = tuple(name for name in vars(Lgpio) if not name.startswith("_"))


def _forget() -> None:
    for name in ("gpiozero.pins.lgpio", "edge.panel.header"):
        sys.modules.pop(name, None)
    vars(edge.panel).pop("header", None)


@contextmanager
def installed(wires: Wires, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Board]:
    """A board of real kind on these wires; `folder` stands for /dev and for the folder of the pipes."""
    module = types.ModuleType("lgpio")
    monkeypatch.setenv("LG_WD", str(folder))
    monkeypatch.chdir(folder)  # put back afterwards, wherever lgpio goes
    stand_in = Lgpio(wires)
    for name in USED:
        setattr(module, name, getattr(stand_in, name))
    monkeypatch.setitem(sys.modules, "lgpio", module)
    _forget()  # each test has its own wires
    for number in wires.chips:
        (folder / f"gpiochip{number}").touch()
    from edge.panel import header

    monkeypatch.setattr(header, "DEVICES", folder)
    try:
        with open_board("lgpio", CLOCK) as board:
            yield board
    finally:
        wires.lose_pipes()
        _forget()
