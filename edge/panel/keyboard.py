"""A panel without pins: lines on a stream move the contacts of the mock board, so the whole GPIO way is exercised.

    panic 1       the contact is used          reset 0       it is let go          ready       present levels are told

Contacts have their names in `[panel]`; `panic` moves both contacts of a pair. Whatever the speed of the lines, a
contact that is used stays so for as long as the quickest finger would stay on it. First come the contacts that are used already, then `ready`. The end of the
stream ends the reader and nothing else. Thread: its own, `keyboard`.
"""

from __future__ import annotations

import logging
import os
import selectors
import threading
from collections.abc import Callable
from typing import Final, Literal, Self

from edge.errors import Refused
from edge.panel.contact import Contact
from edge.ports import Clock

_log = logging.getLogger(__name__)

READY_PATIENCE_S: Final = 2.0  # then the panel starts with the levels it has been told: help waits for nobody
FINGER_S: Final = 0.02  # R4: a press of 20 ms counts; what is far shorter is a glitch
_NAMES: Final = frozenset(contact.value for contact in Contact)
_LINE_LIMIT: Final = 4096  # bytes without a newline; a longer line is thrown away


def parse(line: str) -> tuple[Contact, bool] | Literal["ready"]:
    """One line. Raises Refused when it says nothing that a panel has."""
    match line.split():
        case ["ready"]:
            return "ready"
        case [name, "0" | "1" as level] if name in _NAMES:
            return Contact(name), level == "1"
    raise Refused(f"{line[:40]!r}: say one of {', '.join(Contact)} and 0 or 1, or ready")


class Keyboard:
    """Reads `stream` (a file descriptor) and calls `drive(contact, is_used)` for each line."""

    def __init__(self, stream: int, drive: Callable[[Contact, bool], None], clock: Clock) -> None:
        self._stream = stream
        self._drive = drive
        self._clock = clock
        self._ready = threading.Event()
        self._is_closed = False
        self._wake = os.eventfd(0, os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._read, name="keyboard", daemon=True)
        self._thread.start()

    def wait_ready(self, patience_s: float = READY_PATIENCE_S) -> bool:
        """Wait for `ready` or the end of the stream; False when neither came."""
        return self._ready.wait(patience_s)

    def _read(self) -> None:
        have = b""
        with selectors.SelectSelector() as selector:  # epoll refuses a stream that is a regular file or /dev/null
            selector.register(self._stream, selectors.EVENT_READ)
            selector.register(self._wake, selectors.EVENT_READ)
            while all(key.fd != self._wake for key, _ in selector.select()):
                got = os.read(self._stream, _LINE_LIMIT)
                if not got:
                    break
                *lines, have = (have + got).split(b"\n")
                have = have if len(have) < _LINE_LIMIT else b""
                for line in lines:
                    self._obey(line.decode("utf-8", "replace").strip())
        self._ready.set()

    def _obey(self, line: str) -> None:
        try:
            meant = parse(line)
            if meant == "ready":
                self._ready.set()
            else:
                self._move(*meant)
        except Refused as err:
            _log.warning("keyboard: %s", err)

    def _move(self, contact: Contact, is_used: bool) -> None:
        if not is_used:
            self._clock.sleep(FINGER_S)
        self._drive(contact, is_used)

    def close(self) -> None:
        """Stop reading. Idempotent."""
        if self._is_closed:
            return
        self._is_closed = True
        os.eventfd_write(self._wake, 1)
        self._thread.join(2.0)
        if self._thread.is_alive():
            raise TimeoutError("the keyboard's reader did not end")
        os.close(self._wake)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
