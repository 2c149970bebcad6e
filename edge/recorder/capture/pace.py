"""How a camera's packets are fetched: together in calm, each at once from a press on.

Each waking of a source's thread costs as much processor as ten packets, and in calm nobody waits for them. At a press the
newest pictures are what the end of the pre-roll waits for. One a capture; called by the loop and the source's thread.
"""

from __future__ import annotations

import threading
from typing import Final

from edge.clock import MILLISECOND
from edge.ports import Clock

# Two to three wakings a second; a fifth of what `Timeline` takes for a clock that stalls.
GATHER_NS: Final = 400 * MILLISECOND


class Pace:
    """Begins calm."""

    def __init__(self) -> None:
        self.is_hurried = False
        self._wake = threading.Event()

    def hurry(self, *, is_on: bool) -> None:
        """From now on wait for nothing (or let packets gather again). Ends a waiting."""
        self.is_hurried = is_on
        self.wake()

    def wake(self) -> None:
        """End a waiting: the source was closed."""
        self._wake.set()

    def gather(self, clock: Clock, until_ns: int, closed: threading.Event) -> None:
        """Wait until then, unless there is hurry or the source is closed. One thread."""
        self._wake.clear()  # before it is asked: what is set after that ends the waiting
        if not self.is_hurried and not closed.is_set():
            clock.sleep_until(until_ns, self._wake)
