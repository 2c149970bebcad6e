"""Pictures that a library's thread gave and nobody has read yet, in a short queue that stays decodable. Pure; no lock."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One encoded picture as it came. `stamp_us`: when it was seen, on the sensor's clock; None when that is not said."""

    data: bytes = field(repr=False)
    is_key: bool
    stamp_us: int | None
    arrival_ns: int


class Backlog:
    """Pictures on their way to the reader, at most `limit`. It begins with one that can be decoded, also when it was full:
    then the oldest go, up to the next key picture. `dropped`: how many went and were not told yet. Pure.
    """

    def __init__(self, limit: int) -> None:
        self.dropped = 0
        self._limit = limit
        self._waiting: deque[Seen] = deque()
        self._needs_key = True

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, seen: Seen) -> None:
        self._needs_key = self._needs_key and not seen.is_key
        if self._needs_key:
            self.dropped += 1
            return
        self._waiting.append(seen)
        if len(self._waiting) > self._limit:
            self._drop_oldest()

    def take(self) -> Seen | None:
        """The oldest picture; None for each one that was dropped before it."""
        if self.dropped:
            self.dropped -= 1
            return None
        return self._waiting.popleft()

    def clear(self) -> None:
        self._waiting.clear()

    def _drop_oldest(self) -> None:
        self._waiting.popleft()
        self.dropped += 1
        while self._waiting and not self._waiting[0].is_key:
            self._waiting.popleft()
            self.dropped += 1
        self._needs_key = not self._waiting
