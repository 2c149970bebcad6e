"""Chunks of RAM that never reach a disk: private, locked, left out of core dumps, zeroed in a forked child.

A chunk is an anonymous private mapping of its own. `mmap.mmap(-1, n)` is a shared mapping unless told otherwise:
it would survive a fork and refuse MADV_WIPEONFORK. After all flags are set /proc/self/smaps shows `lo wf dd`.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import resource
from typing import Final

from edge.machine import freed

CHUNK: Final = 1024 * 1024  # bytes
_MADV_WIPEONFORK: Final = 18  # <asm-generic/mman-common.h>; not in Python's mmap before 3.13
_MCL_CURRENT: Final = 1
_MCL_FUTURE: Final = 2
_MCL_ONFAULT: Final = 4
_PR_SET_DUMPABLE: Final = 4
_ZEROS: Final = memoryview(bytes(64 * 1024))  # a slice of it is no copy

_libc = ctypes.CDLL(None, use_errno=True)


class Chunk:
    """`size` zeroed bytes of locked RAM. `is_locked` is false where the machine does not allow locking."""

    __slots__ = ("_map", "is_locked", "size", "view")

    def __init__(self, size: int = CHUNK) -> None:
        self.size = size
        self._map = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._map.madvise(mmap.MADV_DONTDUMP)
        self._map.madvise(_MADV_WIPEONFORK)
        self.view = memoryview(self._map)
        address = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        self.is_locked = _libc.mlock(ctypes.c_void_p(address), ctypes.c_size_t(size)) == 0

    def __repr__(self) -> str:
        return f"Chunk({self.size} bytes, {'locked' if self.is_locked else 'NOT locked'})"

    def wipe(self, start: int = 0, end: int | None = None) -> None:
        """Write zeros over [start, end)."""
        stop = self.size if end is None else end
        while start < stop:
            step = min(stop - start, len(_ZEROS))
            self.view[start : start + step] = _ZEROS[:step]
            start += step

    def is_zero(self) -> bool:
        """Read every byte back and see only zeros."""
        return self._map[:] == bytes(self.size)

    def close(self) -> None:
        """Wipe and give the memory back to the kernel (unmapping unlocks). Idempotent."""
        if self._map.closed:
            return
        self.wipe()
        self.view.release()
        self._map.close()


class Heap:
    """This process's memory beside the ring: what passes through libraries on its way. Made once, before the first thread.

    What is freed is used again until `give_back`. Otherwise each piece of a clip and each decoded picture got fresh pages
    from the kernel: 11,000 of them for a pre-roll of 15 MB, a third of the time that sealing it took.
    """

    def __init__(self) -> None:
        self.is_locked = False
        freed.use_again()

    def lock(self) -> bool:
        """Keep all of this process out of swap, not the ring alone; False where that may not be done.

        Pages are locked as they are touched (MCL_ONFAULT), so that the video library's unused pages cost nothing.
        Without an unlimited RLIMIT_MEMLOCK mlockall would make later allocations fail, so it is left out then; the
        ring's chunks are locked one by one in any case.
        """
        soft, _hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
        is_allowed = os.geteuid() == 0 or soft == resource.RLIM_INFINITY
        self.is_locked = is_allowed and _libc.mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT) == 0
        return self.is_locked

    def give_back(self) -> None:
        """Give every page that nothing lives in back to the kernel, which zeroes it: what a clip passed through is gone then.

        The kernel takes no locked page, so for some 5 ms nothing is locked: a machine that has anywhere to swap to is not
        listened on (R3). Raises OSError when the memory cannot be locked again.
        """
        if self.is_locked:
            _libc.munlockall()
        _libc.malloc_trim(ctypes.c_size_t(0))
        if self.is_locked and not self.lock():
            raise OSError(ctypes.get_errno(), "mlockall")


def hide_process() -> None:
    """Keep this process's memory out of core dumps and from debuggers. Raises OSError when the kernel refuses."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_DUMPABLE)")
