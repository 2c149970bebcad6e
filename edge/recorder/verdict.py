"""Whether the answer to "may this room listen?" is still the one that the recorder started with. No I/O of its own.

It changes when somebody switches swap on or off, cures what was wrong, or when the review date passes or a network tells
the date; a conversation that is on is ended by no date (R31). The process then ends, and the one that is started in its
place acts on the new answer. Caller: the main loop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from edge.clock import SECOND
from edge.machine.preflight import Today
from edge.ports import Clock

ASK_NS: Final = 5 * SECOND  # a few small files are read; a fault is on display within so long


class Verdict:
    """`may_listen` is the answer of `today`, at the start; `ask` gives the one of now for a day."""

    def __init__(self, *, may_listen: bool, today: Today, ask: Callable[[Today], bool], clock: Clock) -> None:
        self._may_listen = may_listen
        self._today = today
        self._ask = ask
        self._clock = clock
        self._due_ns = clock.boot_ns() + ASK_NS

    def has_changed(self, *, is_in_conversation: bool) -> bool:
        """Asks anew if that is due; else, and when nothing has changed, no."""
        now_ns = self._clock.boot_ns()
        if now_ns < self._due_ns:
            return False
        self._due_ns = now_ns + ASK_NS
        if not is_in_conversation:
            self._today = Today.of(self._clock)
        return self._ask(self._today) is not self._may_listen
