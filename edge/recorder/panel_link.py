"""The recorder's line to the panel: hears what is wanted, tells what the lamps need. Thread: `panel-link`."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from edge.errors import BadMessage
from edge.messages import Report, Wanted, decode, encode
from edge.wire import connect, receive_frame, send_frame

_PATIENCE_S: Final = 3.0  # the panel speaks four times a second
_RETRY_S: Final = 0.1  # the panel restarts in half a second, and an incident may be open


class PanelLink:
    """Calls `hear` with each wish, on its own thread; asks for a fresh `report` once for each."""

    def __init__(self, path: Path, hear: Callable[[Wanted], None], report: Callable[[], Report]) -> None:
        self._path = path
        self._hear = hear
        self._report = report
        self._sock: socket.socket | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="panel-link", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Its thread runs, whether or not there is a panel."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Hang up. Idempotent."""
        self._stopping.set()
        sock = self._sock
        if sock is not None:
            with contextlib.suppress(OSError):  # already gone
                sock.shutdown(socket.SHUT_RDWR)
        self._thread.join(2 * _PATIENCE_S)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                with connect(self._path, patience_s=_PATIENCE_S) as sock:
                    self._sock = sock
                    self._listen(sock)
            except (OSError, BadMessage):
                pass  # the loop sees its silence, and shows it
            finally:
                self._sock = None
            self._stopping.wait(_RETRY_S)

    def _listen(self, sock: socket.socket) -> None:
        while not self._stopping.is_set():
            frame = receive_frame(sock)
            if frame is None:
                raise BadMessage("it closed the line")
            self._hear(decode(Wanted, frame[0]))
            send_frame(sock, encode(self._report()))
