"""The seams: what is faked in tests, or has several makers. Real and fake pass the same contract tests."""

from __future__ import annotations

import threading
from typing import Protocol

from edge.messages import Answer, ToVault
from edge.packet import RawPacket


class Clock(Protocol):
    """`clock.SystemClock`; tests drive a simulated one."""

    @property
    def boot_id(self) -> str: ...
    def boot_ns(self) -> int: ...
    def wall_ns(self) -> int: ...
    def is_trusted(self) -> bool: ...
    def sleep(self, seconds: float) -> None: ...
    def sleep_until(self, until_ns: int, wake: threading.Event) -> bool: ...


class Source(Protocol):
    """An open camera or microphone. One reader thread; `close` may come from any thread and unblocks `read`."""

    @property
    def name(self) -> str:
        """What people may read: no address, no credentials."""

    def read(self) -> RawPacket:
        """The next packet, in decoding order. Raises SourceLost when there is no more, or after close."""

    def close(self) -> None: ...


class Keeper(Protocol):
    """The vault as the recorder sees it: one message, one answer, in order."""

    def tell(self, message: ToVault, payload: bytes = b"") -> Answer:
        """Hand over one message. Raises VaultAway when no answer comes in time; telling again is harmless."""

    def close(self) -> None: ...
