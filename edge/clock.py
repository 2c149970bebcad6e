"""The only file that asks what time it is, or sleeps.

BOOTTIME (nanoseconds since the machine started, also counting suspend, never set back) orders, measures and
expires. Wall time (nanoseconds since 1970, UTC) is for people, and counts for expiry only while the kernel says
that a network source keeps it right.
"""

from __future__ import annotations

import ctypes
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

SECOND: Final = 1_000_000_000
MILLISECOND: Final = 1_000_000

# adjtimex(2): return value when the clock is not synchronised; a struct timex is 208 bytes on 64-bit Linux.
_TIME_ERROR: Final = 5
_TIMEX_BYTES: Final = 256


class SystemClock:
    """The machine's clocks. Any thread may call it."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._boot_id = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()

    @property
    def boot_id(self) -> str:
        """The kernel's random name of this boot: BOOTTIME values compare only within one."""
        return self._boot_id

    def boot_ns(self) -> int:
        """Nanoseconds since boot, counting suspend."""
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    def wall_ns(self) -> int:
        """Nanoseconds since 1970-01-01 UTC, right or wrong."""
        return time.time_ns()

    def is_trusted(self) -> bool:
        """The kernel's clock is synchronised by the network (adjtimex; a battery clock leaves it unsynchronised)."""
        timex = ctypes.create_string_buffer(_TIMEX_BYTES)  # modes = 0: only read
        state: int = self._libc.adjtimex(timex)
        return 0 <= state < _TIME_ERROR

    def sleep(self, seconds: float) -> None:
        """Sleep; for loops that nothing needs to wake."""
        time.sleep(seconds)

    def sleep_until(self, until_ns: int, wake: threading.Event) -> bool:
        """Sleep until a BOOTTIME instant or until `wake` is set; True if `wake` ended it."""
        while (left_ns := until_ns - self.boot_ns()) > 0:
            if wake.wait(left_ns / SECOND):
                return True
        return wake.is_set()


def utc(wall_ns: int) -> datetime:
    """Wall nanoseconds as an aware UTC datetime, whole seconds kept exact."""
    return datetime.fromtimestamp(wall_ns // SECOND, UTC).replace(microsecond=wall_ns % SECOND // 1000)


def iso(wall_ns: int) -> str:
    """Wall nanoseconds as people and files write them: `2026-11-22T10:15:02Z`."""
    return utc(wall_ns).strftime("%Y-%m-%dT%H:%M:%SZ")


def stamp(wall_ns: int) -> str:
    """Wall nanoseconds as the first half of a clip's number: `20261122T101502Z`."""
    return utc(wall_ns).strftime("%Y%m%dT%H%M%SZ")
