"""What is wrong with the panel now, each fault told once in the journal when it comes and when it goes. Main loop only."""

from __future__ import annotations

import logging

from edge.status import Fault

_log = logging.getLogger(__name__)

_MOST = 32  # keeps the snapshot small; the first ones are told, since later ones often follow from them
_DETAIL_LIMIT = 300  # characters


class Faults:
    """Open faults by their key. A key is the fault's code, unless several of one code can be open."""

    def __init__(self) -> None:
        self._open: dict[str, Fault] = {}

    def show(self, code: str, detail: str, fix: str, *, at_ns: int, key: str = "") -> None:
        """The fault is there; `since` is when it was first shown."""
        known = self._open.get(key or code)
        if known is None and len(self._open) >= _MOST:
            return
        if known is None:
            _log.error("fault %s: %s; %s", code, detail, fix)
        since_ns = at_ns if known is None else known.since_ns
        self._open[key or code] = Fault(code=code, detail=detail[:_DETAIL_LIMIT], fix=fix, since_ns=since_ns)

    def clear(self, key: str) -> None:
        """The fault is not there, or not any more."""
        if self._open.pop(key, None) is not None:
            _log.warning("mended: %s", key)

    def all(self) -> tuple[Fault, ...]:
        return tuple(self._open.values())
