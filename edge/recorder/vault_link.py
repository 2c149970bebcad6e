"""The recorder's line to the vault: `ports.Keeper` over its Unix socket.

The outbox's thread uses one, the self-test's thread another: no test stands before footage.
"""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path
from typing import Final, TypeVar

from edge.errors import BadMessage, VaultAway
from edge.messages import Answer, ToVault, Trial, TrialAnswer, decode, encode
from edge.wire import connect, receive_frame, send_frame

# A write on a worn SD card can stall for seconds; past this the line is taken for dead and made anew.
_PATIENCE_S: Final = 15.0
# What the kernel may hold for the vault (as far as net.core.wmem_max lets it): with the usual 0.2 MB the two processes
# wait for each other ten times a piece.
_IN_BETWEEN: Final = 1024 * 1024  # bytes

A = TypeVar("A", Answer, TrialAnswer)


class VaultLink:
    """Connects when it must, and again after any trouble."""

    def __init__(self, path: Path, *, patience_s: float = _PATIENCE_S) -> None:
        self._path = path
        self._patience_s = patience_s
        self._sock: socket.socket | None = None

    def tell(self, message: ToVault, payload: bytes = b"") -> Answer:
        """Hand over one message and wait for its answer. Raises VaultAway."""
        return self._exchange(Answer, message, payload)[0]

    def attempt(self, trial: Trial, payload: bytes = b"") -> tuple[TrialAnswer, memoryview]:
        """The same for a message of the self-test; with what the vault read back. Raises VaultAway."""
        return self._exchange(TrialAnswer, trial, payload)

    def close(self) -> None:
        """End a waiting `tell` from another thread, and hang up. Idempotent."""
        if self._sock is not None:
            with contextlib.suppress(OSError):  # already gone
                self._sock.shutdown(socket.SHUT_RDWR)
        self._hang_up()

    def _exchange(self, kind: type[A], message: ToVault | Trial, payload: bytes) -> tuple[A, memoryview]:
        try:
            sock = self._sock = self._sock or self._connected()
            send_frame(sock, encode(message), payload)
            frame = receive_frame(sock)
            if frame is None:
                raise BadMessage("the vault closed the line")
            return decode(kind, frame[0]), frame[1]
        except (OSError, BadMessage) as err:
            self._hang_up()
            raise VaultAway(f"the vault does not answer: {err}") from err

    def _connected(self) -> socket.socket:
        sock = connect(self._path, patience_s=self._patience_s)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _IN_BETWEEN)
        return sock

    def _hang_up(self) -> None:
        sock, self._sock = self._sock, None
        if sock is not None:
            sock.close()
