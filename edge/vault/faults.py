"""What is wrong with the vault now, by code. Any thread; its lock is never held over anything slow."""

from __future__ import annotations

import threading
from typing import Final

from edge.status import Fault

_DETAIL_LIMIT: Final = 240  # characters; a snapshot has a bound


class Faults:
    """The faults on display. Setting one again keeps the time since when it is there."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: dict[str, Fault] = {}

    def set(self, code: str, detail: str, fix: str, now_ns: int) -> None:
        with self._lock:
            before = self._faults.get(code)
            since_ns = now_ns if before is None else before.since_ns
            self._faults[code] = Fault(code=code, detail=detail[:_DETAIL_LIMIT], fix=fix, since_ns=since_ns)

    def clear(self, code: str) -> None:
        with self._lock:
            self._faults.pop(code, None)

    def show(self, code: str, detail: str, fix: str, now_ns: int) -> None:
        """Set when there is something to say, else clear."""
        if detail:
            self.set(code, detail, fix, now_ns)
        else:
            self.clear(code)

    def all(self) -> tuple[Fault, ...]:
        with self._lock:
            return tuple(self._faults.values())
