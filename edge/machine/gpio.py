"""What the kernel tells of GPIO chips and lines, without claiming one. The layouts are those of <linux/gpio.h>."""

from __future__ import annotations

import fcntl
import os
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

HEADERS: Final = ("pinctrl-rp1", "pinctrl-bcm2711", "pinctrl-bcm2835")  # the chips of a Raspberry Pi's 40 pins

_CHIP_INFO: Final = struct.Struct("32s32sI")  # name, label, lines
_GET_CHIP_INFO: Final = 0x8044B401  # _IOR(0xB4, 0x01, 68 bytes)
_LINE_INFO: Final = struct.Struct("32s32sIIQ176x")  # name, consumer, offset, number of attributes, flags
_GET_LINE_INFO: Final = 0xC100B405  # _IOWR(0xB4, 0x05, 256 bytes)
_USED: Final = 1  # GPIO_V2_LINE_FLAG_USED
_HEADER_LINES: Final = 28  # BCM 0 to 27


@dataclass(frozen=True, slots=True, kw_only=True)
class Chip:
    """A GPIO chip. `users` names who holds a line, by line; "" for one who gave no name. None: it could not be asked."""

    name: str
    label: str = ""
    lines: int = 0
    users: dict[int, str] = field(default_factory=dict)
    error: str = ""


def chips(root: Path) -> list[Chip]:
    """All chips of this machine."""
    return [_asked(path) for path in sorted((root / "dev").glob("gpiochip[0-9]*"))]


def _asked(path: Path) -> Chip:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as err:
        return Chip(name=path.name, error=err.strerror or "cannot be opened")
    try:
        _, label, lines = _CHIP_INFO.unpack(fcntl.ioctl(fd, _GET_CHIP_INFO, bytes(_CHIP_INFO.size)))
        users = {line: who for line in range(min(lines, _HEADER_LINES)) if (who := _user(fd, line)) is not None}
        return Chip(name=path.name, label=_text(label), lines=lines, users=users)
    except OSError as err:
        return Chip(name=path.name, error=err.strerror or "cannot be asked")
    finally:
        os.close(fd)


def _user(fd: int, line: int) -> str | None:
    asked = _LINE_INFO.pack(b"", b"", line, 0, 0)
    _, consumer, _, _, flags = _LINE_INFO.unpack(fcntl.ioctl(fd, _GET_LINE_INFO, asked))
    return _text(consumer) if flags & _USED else None


def _text(raw: bytes) -> str:
    return raw.rstrip(b"\0").decode("utf-8", "replace")
