"""What a process tells systemd of itself (sd_notify(3)): it is ready, it makes progress, how it is, it ends.

A datagram to the socket that NOTIFY_SOCKET names. Where there is none, as on a laptop, nobody is told anything.
Callers: each process's main loop, and only when it has made progress; a thread that merely turns proves nothing.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping
from typing import Final, Self

from edge.ports import Clock

_FEEDS: Final = 4  # within the limit of the watchdog, so that one late turn is none too late
_MICROSECOND: Final = 1_000  # nanoseconds; WATCHDOG_USEC is in them


class Notifier:
    """Tells what is news, and nothing twice. Never waits for systemd, never raises: no process depends on being heard."""

    def __init__(self, clock: Clock, environment: Mapping[str, str] = os.environ) -> None:
        self._clock = clock
        self._address = environment.get("NOTIFY_SOCKET", "").replace("@", "\0", 1)
        self._feed_every_ns = _watchdog_ns(environment) // _FEEDS
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        self._is_ready = False
        self._fed_ns = clock.boot_ns()
        self._status = ""

    def alive(self, status: str) -> None:
        """This process works: READY=1 the first time, WATCHDOG=1 as often as is asked for, STATUS= when it changes."""
        now_ns = self._clock.boot_ns()
        is_fed = bool(self._feed_every_ns) and now_ns - self._fed_ns >= self._feed_every_ns
        news = [
            *([] if self._is_ready else ["READY=1"]),
            *(["WATCHDOG=1"] if is_fed else []),
            *([] if status == self._status else [f"STATUS={status}"]),
        ]
        if news and self._told(news):
            self._is_ready, self._status = True, status
            self._fed_ns = now_ns if is_fed else self._fed_ns

    def stopping(self) -> None:
        """It ends; what takes time now is no hang."""
        self._told(["STOPPING=1"])

    def _told(self, news: list[str]) -> bool:
        with contextlib.suppress(OSError):  # systemd is busy or being replaced: told again at the next turn
            if self._address:
                self._socket.sendto("\n".join(news).encode(), self._address)
            return True
        return False

    def close(self) -> None:
        """Idempotent."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping()
        self.close()


def _watchdog_ns(environment: Mapping[str, str]) -> int:
    """The watchdog's limit; 0 when nobody watches this process (sd_watchdog_enabled(3))."""
    limit, pid = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", str(os.getpid()))
    return int(limit) * _MICROSECOND if limit.isascii() and limit.isdigit() and pid == str(os.getpid()) else 0
