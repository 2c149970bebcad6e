"""What waits for one receiver, and how telling it goes. Bounded by count. Callers: the notifier's event loop.

`channel` may be called from any thread: it reads numbers, each of them whole.
"""

from __future__ import annotations

import asyncio
import random
from typing import Final

from edge.clock import SECOND
from edge.ports import Clock
from service.notify.events import Event, Kind
from service.rooms import FAILING_S, Channel

LIMIT: Final = 64  # beyond it the oldest that is no press is dropped, and counted
_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 30.0


def pause_s(failures: int, chance: float) -> float:
    """How long to wait after so many failures in a row; `chance` from 0 to 1 keeps devices from coming all at once."""
    longest_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** min(failures - 1, 16))
    return longest_s * (0.5 + 0.5 * chance)


class Outbox:
    """The events for one receiver. At least once: who is told twice finds the same id."""

    def __init__(self, name: str, clock: Clock) -> None:
        self.name = name
        self._clock = clock
        self._waiting: list[Event] = []
        self._tried: set[str] = set()  # of those that wait
        self._sent: set[str] = set()  # of those too: the receiver may have them all the same
        self._in_flight: str | None = None
        self._dropped = 0
        self._dropped_before = 0  # at the last outage that was told
        self._failures = 0
        self._failing_ns: int | None = None
        self._changed = asyncio.Event()
        self._pressed = asyncio.Event()

    # ---- what is to be told

    def put(self, event: Event) -> None:
        """One more; a fault that is gone before it was told is not told at all."""
        if event.kind is Kind.FAULT_GONE and (untold := self._find(event.ends)) is not None:
            was_sent = untold.id in self._sent or untold.id == self._in_flight
            self._remove(untold)
            if not was_sent:
                return
        if event.kind is Kind.ALIVE:
            self._waiting = [other for other in self._waiting if other.kind is not Kind.ALIVE]
        if self._find(event.id) is not None:
            return
        self._waiting.append(event)
        if len(self._waiting) > LIMIT:
            self._drop(next((old for old in self._waiting if old.kind is not Kind.PRESS), self._waiting[0]))
        self._changed.set()
        if event.kind is Kind.PRESS:
            self._pressed.set()

    async def next(self) -> Event:
        """Wait for the next to tell: a press that was not tried yet goes before all."""
        while True:
            self._changed.clear()
            now_ns = self._clock.boot_ns()
            for event in [old for old in self._waiting if old.until_ns is not None and now_ns > old.until_ns]:
                self._drop(event)
            if self._waiting:
                fresh = (one for one in self._waiting if one.kind is Kind.PRESS and one.id not in self._tried)
                event = next(fresh, self._waiting[0])
                if self._in_flight is not None:  # nobody knows how that went
                    self._sent.add(self._in_flight)
                self._tried.add(event.id)
                self._in_flight = event.id
                return event
            await self._changed.wait()

    # ---- how it went

    def delivered(self, event: Event) -> None:
        """The receiver has it."""
        self._in_flight = None
        self._remove(event)
        self.reached()

    def reached(self) -> None:
        """The receiver is there; after an outage, or when something was dropped, it is told so."""
        seconds = 0 if self._failing_ns is None else (self._clock.boot_ns() - self._failing_ns) // SECOND
        dropped = self._dropped - self._dropped_before
        self._failures, self._failing_ns, self._dropped_before = 0, None, self._dropped
        if seconds >= FAILING_S or dropped:
            name = f"outage-{self.name}-{self._clock.boot_id[:8]}-{self._clock.boot_ns() // SECOND}"
            self.put(Event(kind=Kind.OUTAGE, id=name, seconds=seconds, dropped=dropped))

    def failed(self, event: Event | None = None, *, was_sent: bool = True) -> None:
        """It did not arrive, as far as is known; others have their turn before it is tried again."""
        self._failures += 1
        if self._failing_ns is None:
            self._failing_ns = self._clock.boot_ns()
        if event is None:
            return
        self._in_flight = None
        if event in self._waiting:
            self._waiting.remove(event)
            self._waiting.append(event)
            if was_sent:
                self._sent.add(event.id)

    async def pause(self) -> None:
        """Wait before the next try; a press ends the wait, for the receiver may just be there again."""
        self._pressed.clear()
        try:
            async with asyncio.timeout(pause_s(self._failures, random.random())):  # noqa: S311 - no secret hangs on it
                await self._pressed.wait()
        except TimeoutError:
            pass  # the usual end

    def channel(self, now_ns: int) -> Channel:
        """How it goes, for the page."""
        failing_ns = self._failing_ns
        failing_s = None if failing_ns is None else round((now_ns - failing_ns) / SECOND, 1)
        return Channel(name=self.name, failing_seconds=failing_s, waiting=len(self._waiting), dropped=self._dropped)

    def _find(self, name: str | None) -> Event | None:
        return next((event for event in self._waiting if event.id == name), None)

    def _remove(self, event: Event) -> None:
        if event in self._waiting:
            self._waiting.remove(event)
        self._tried.discard(event.id)
        self._sent.discard(event.id)

    def _drop(self, event: Event) -> None:
        self._remove(event)
        if event.kind is not Kind.ALIVE:  # the next one says the same
            self._dropped += 1
