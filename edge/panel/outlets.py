"""The panel's sockets: wanted by others, never needed for the alarm. Called by the main loop only."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Final, Self, TypeVar

from edge.clock import SECOND
from edge.config import Paths
from edge.errors import Refused
from edge.messages import Wanted, encode
from edge.panel.faults import Faults
from edge.panel.inbox import Inbox
from edge.panel.link import Link
from edge.ports import Clock
from edge.status import PanelStatus
from edge.wire import SnapshotSocket

S = TypeVar("S")

_RETRY_NS: Final = 2 * SECOND  # for sockets that could not be opened


class Outlets:
    """What is wanted, for the recorder; the status, for whoever asks. What cannot be opened is tried again."""

    def __init__(
        self, paths: Paths, clock: Clock, inbox: Inbox, faults: Faults, status: Callable[[], PanelStatus]
    ) -> None:
        self._paths = paths
        self._clock = clock
        self._inbox = inbox
        self._faults = faults
        self._status = status
        self._link: Link | None = None
        self._snapshots: SnapshotSocket | None = None
        self._due_ns = 0

    def publish(self, wanted: Wanted) -> None:
        """Say it to all who listen, now."""
        if self._link is not None:
            self._link.publish(wanted)

    def open(self, now_ns: int, wanted: Callable[[], Wanted]) -> None:
        """Open what is not open (any more), unless that was tried a moment ago."""
        if now_ns < self._due_ns:
            return
        self._due_ns = now_ns + _RETRY_NS
        if self._link is None or not self._link.is_alive:
            self._link = self._opened("panel-link", lambda: Link(self._paths.panel_socket, self._clock, self._inbox))
            self.publish(wanted())
        if self._snapshots is None:
            path = self._paths.status_socket("panel")
            self._snapshots = self._opened("panel-status", lambda: SnapshotSocket(path, lambda: encode(self._status())))

    def _opened(self, code: str, make: Callable[[], S]) -> S | None:
        try:
            opened = make()
        except (Refused, OSError) as err:
            fix = "check paths.run; the alarm works, but nobody else hears of it"
            self._faults.show(code, str(err), fix, at_ns=self._clock.boot_ns())
            return None
        self._faults.clear(code)
        return opened

    def close(self) -> None:
        """Stop telling others. Idempotent."""
        with ExitStack() as stack:
            for socket in (self._snapshots, self._link):
                if socket is not None:
                    stack.callback(socket.close)
        self._snapshots = self._link = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
