"""What waits for the panel's main loop: edges of contacts and reports of the recorder. Any thread puts, one gets.

The panic button has a lane of its own, which is emptied first: noise on the wire of another contact, however much,
does not make a press wait.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import Final

from edge.messages import Report
from edge.panel.contact import PANIC, Contact, Edge

_SIZE: Final = 256  # each lane; several times the bounce of the worst press


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A report of the recorder, or None when it hung up (a process that ended has closed its camera)."""

    report: Report | None
    at_ns: int


class Overflow:
    """Edges were thrown away: read the levels of all contacts anew."""


class Inbox:
    """Two bounded lanes. `put` never blocks for long and never raises."""

    def __init__(self, size: int = _SIZE) -> None:
        self._size = size
        self._arrived = threading.Condition()
        # Full: the newest edge is thrown away. The alarm cannot be lost by that: edges come in turns, so the waiting
        # ones hold presses. Afterwards the level is read anew.
        self._panic: deque[Edge] = deque()
        # Full: a report is thrown away, since it is repeated. For an edge all that wait are thrown away, and the
        # levels are read anew.
        self._others: deque[Edge | Heard] = deque()
        self._has_overflowed = False

    def put(self, item: Edge | Heard) -> None:
        with self._arrived:
            if isinstance(item, Edge) and item.contact in PANIC:
                if len(self._panic) < self._size:
                    self._panic.append(item)
                else:
                    self._has_overflowed = True
            elif len(self._others) < self._size:
                self._others.append(item)
            elif isinstance(item, Edge):
                self._others.clear()
                self._has_overflowed = True
            self._arrived.notify()

    def get(self, patience_s: float) -> Edge | Heard | Overflow | None:
        """The next thing, waiting for it at most `patience_s`; None when there is none."""
        with self._arrived:
            if not self._arrived.wait_for(self._has_something, max(0.0, patience_s)):
                return None
            if self._panic:
                return self._panic.popleft()
            if self._has_overflowed:
                self._has_overflowed = False
                return Overflow()
            return self._others.popleft()

    def take_panic(self) -> list[Edge]:
        """All edges of the panic button that wait, oldest first."""
        with self._arrived:
            taken = list(self._panic)
            self._panic.clear()
            return taken

    def waiting(self) -> dict[Contact, int]:
        """When the oldest edge that waits came, of each contact that has one."""
        with self._arrived:
            edges = [item for item in (*self._panic, *self._others) if isinstance(item, Edge)]
        return {edge.contact: edge.at_ns for edge in reversed(edges)}

    def _has_something(self) -> bool:
        return bool(self._panic or self._others or self._has_overflowed)
