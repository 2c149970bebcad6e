"""When each picture is decoded, from when it is shown: a network camera tells only the latter. Pure.

Pictures come in decoding order. With B-frames one that is shown later comes first, and `depth` pictures wait at a
time; a decoding time is then the smallest showing time of those that wait. Nothing is ever left out: what comes after
it should have been shown is shown at once.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import Final

_DEEPEST: Final = 16  # both standards


class DecodingOrder:
    """Times in ticks; `step` is about one picture. Decoding times rise strictly and never pass showing times."""

    def __init__(self, step: int) -> None:
        self.step = step
        self._far = 50 * step  # no camera makes a picture wait for so many: its clock was set
        self._depth: int | None = None
        self._learned = 0
        self._waiting: list[int] = []
        self._newest: int | None = None
        self._last = 0

    @property
    def depth(self) -> int:
        """How many pictures wait at a time."""
        return self._learned if self._depth is None else self._depth

    def tell(self, depth: int | None) -> None:
        """What the stream says of itself; None: it is found out by the pictures that come too late."""
        self._depth = depth

    def place(self, pts: int) -> tuple[int, int]:
        """When it is shown and when it is decoded."""
        if self._newest is None or abs(pts - self._newest) > self._far:
            # The run-up is as long again as it need be: the first one is then taken to have been seen that long ago,
            # and none that follows would be shown before it came.
            self._waiting, self._newest, self._last = [], pts, pts - (2 * self.depth + 1) * self.step
        self._newest = max(pts, self._newest)
        heappush(self._waiting, pts)
        is_full = len(self._waiting) > self.depth
        dts = max(heappop(self._waiting) if is_full else min(self._last + self.step, pts), self._last + 1)
        if dts > pts:
            self._is_late(pts)
            pts = dts
        self._last = dts
        return pts, dts

    def _is_late(self, pts: int) -> None:
        if pts in self._waiting:
            self._waiting.remove(pts)
            heapify(self._waiting)
        if self._depth is None:
            self._learned = min(self._learned + 1, _DEEPEST)
