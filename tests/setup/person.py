"""A person at a terminal: the real command behind a real pseudo-terminal, read and typed into."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from edge.clock import SECOND, SystemClock

CLOCK: Final = SystemClock()
PATIENCE_S: Final = 30.0  # for a machine under load; nothing waits that long when it works
CTRL_C: Final = "\x03"
CTRL_D: Final = "\x04"


class Person:
    """Reads the screen of one `spreekkamer setup` and answers."""

    def __init__(self, process: subprocess.Popen[bytes], screen: int) -> None:
        self.process = process
        self._screen = screen
        self.shown = ""
        self._read_to = 0

    def waits_for(self, text: str) -> None:
        """Until this is on the screen, after what was waited for before."""
        deadline_ns = CLOCK.boot_ns() + round(PATIENCE_S * SECOND)
        while (at := self.shown.find(text, self._read_to)) < 0:
            assert CLOCK.boot_ns() < deadline_ns, f"{text!r} was not shown: {self.shown[self._read_to :]!r}"
            assert self._take(1.0), f"it ended without {text!r}: {self.shown[self._read_to :]!r}"
        self._read_to = at + len(text)

    def types(self, text: str) -> None:
        os.write(self._screen, text.encode())

    def answers(self, question: str, answer: str = "") -> None:
        self.waits_for(question)
        self.waits_for(": ")
        self.types(f"{answer}\n")

    def sees_the_end(self) -> int:
        """The rest of the screen, and the exit code."""
        deadline_ns = CLOCK.boot_ns() + round(PATIENCE_S * SECOND)
        while self._take(1.0):
            assert CLOCK.boot_ns() < deadline_ns, "it does not end"
        return self.process.wait(PATIENCE_S)

    def _take(self, patience_s: float) -> bool:
        """What has come; False when the other side is gone."""
        if not select.select([self._screen], [], [], patience_s)[0]:
            return True
        try:
            part = os.read(self._screen, 65536)
        except OSError:  # EIO: nobody has the terminal open any more
            return False
        self.shown += part.decode("utf-8", "replace").replace("\r\n", "\n")
        return bool(part)


@contextlib.contextmanager
def at_a_terminal(*arguments: str | Path, pins: str = "mock") -> Iterator[Person]:
    """`spreekkamer setup …` in a terminal of its own."""
    screen, terminal = os.openpty()
    process = subprocess.Popen(
        [
            "env",
            "--default-signal=INT",  # ignored in what a shell runs in the background, these tests perhaps
            "setsid",
            "--ctty",
            "--wait",
            sys.executable,
            "-W",
            "error",
            "-B",
            "-m",
            "edge",
            "setup",
            *map(str, arguments),
        ],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=os.environ | {"GPIOZERO_PIN_FACTORY": pins},
    )
    os.close(terminal)
    try:
        yield Person(process, screen)
    finally:
        process.kill()
        process.wait(PATIENCE_S)
        os.close(screen)
