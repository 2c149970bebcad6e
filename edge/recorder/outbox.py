"""Sealed segments wait here, in RAM, until the vault says durable. Only sealed bytes and figures, never plain footage.

One thread hands them over in order, one at a time, again and again until each is answered. Capture never waits
for it. Bound: `cap_bytes` of payload; beyond it `put` refuses and the clip keeps what it has and says so.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from edge.errors import VaultAway
from edge.messages import Answer, Happened, Ping, ToVault
from edge.ports import Clock, Keeper

_log = logging.getLogger(__name__)

_RETRY_S: Final = 0.2  # the vault's own restart takes about half a second
_FULL_RETRY_S: Final = 1.0  # a full disk is mended by a deletion, not by asking faster
_PING_S: Final = 2.0  # with nothing to hand over: a vault that is away shows before a press
_EVENTS_CAP: Final = 256  # small messages without payload; the panel repeats its newest 64 anyway


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """A message, its payload, and whom to tell that it is durable (on the outbox's thread).

    With `on_refused` it is told once and let go when the vault does not take it: whoever made it says it again, and
    it does not stand before footage.
    """

    message: ToVault
    payload: bytes = b""
    on_safe: Callable[[int], None] | None = None
    on_refused: Callable[[], None] | None = None

    def __repr__(self) -> str:
        return f"Parcel({self.message.kind}, {len(self.payload)} bytes)"


class Outbox:
    """Thread: `outbox`, its own. `put` may be called from any thread."""

    def __init__(self, keeper: Keeper, clock: Clock, *, cap_bytes: int) -> None:
        self._keeper = keeper
        self._clock = clock
        self._cap_bytes = cap_bytes
        self._waiting: deque[Parcel] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self.trouble: str | None = None  # what the vault last said instead of "durable"
        self.refused: str | None = None  # the last thing that the vault will never take, and why
        self.is_reached = False
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)
        self._thread.start()

    def put(self, parcel: Parcel) -> bool:
        """Queue one parcel; False when there is no room for it."""
        with self._changed:
            size = len(parcel.payload)
            if size and self._bytes + size > self._cap_bytes:
                return False
            if isinstance(parcel.message, Happened) and len(self._waiting) >= _EVENTS_CAP:
                return False
            self._waiting.append(parcel)
            self._bytes += size
            self._changed.notify_all()
            return True

    @property
    def waiting_bytes(self) -> int:
        """Payload not yet durable."""
        return self._bytes

    @property
    def is_alive(self) -> bool:
        """Its thread runs, whether or not there is a vault."""
        return self._thread.is_alive()

    def drain(self, *, patience_s: float) -> bool:
        """Wait until everything is durable; False when it is not after `patience_s`."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting, patience_s)

    def close(self) -> None:
        """Stop handing over. What still waits is lost with this process. Idempotent."""
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()
        self._keeper.close()
        self._thread.join(5.0)

    def _run(self) -> None:
        while not self._stopping.is_set():
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._stopping.is_set(), _PING_S)
                if self._stopping.is_set():
                    return
                parcel = self._waiting[0] if self._waiting else None
            try:
                pause_s = self._ping() if parcel is None else self._hand_over(parcel)
            except Exception as err:  # noqa: BLE001 - whatever it is, footage waits behind it: told, and tried again
                _log.exception("%r", parcel)
                self.trouble, pause_s = f"handing over failed: {err}", _FULL_RETRY_S
            if pause_s:
                self._stopping.wait(pause_s)

    def _ping(self) -> float:
        return _RETRY_S if self._told(Ping()) is None else 0.0

    def _hand_over(self, parcel: Parcel) -> float:
        """Try once. 0 when this parcel is done with, else how long to wait before the next try."""
        message = parcel.message
        answer = self._told(message, parcel.payload)
        if answer is None:
            return _RETRY_S
        if answer.is_durable:
            if parcel.on_safe is not None:
                parcel.on_safe(self._clock.boot_ns())
        elif parcel.on_refused is not None:
            parcel.on_refused()
        elif answer.is_final:
            self.refused = f"{message.kind}: {answer.error}"
        else:
            return _FULL_RETRY_S
        with self._changed:
            self._waiting.popleft()
            self._bytes -= len(parcel.payload)
            self._changed.notify_all()
        return 0.0

    def _told(self, message: ToVault, payload: bytes = b"") -> Answer | None:
        """The vault's answer; None when there is none."""
        try:
            answer = self._keeper.tell(message, payload)
        except VaultAway as err:
            self.is_reached, self.trouble = False, str(err)
            return None
        self.is_reached = True
        self.trouble = None if answer.is_durable else answer.error
        return answer
