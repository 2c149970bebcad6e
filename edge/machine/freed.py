"""What becomes of memory that this process has freed (glibc)."""

from __future__ import annotations

import ctypes
from typing import Final

_M_TRIM_THRESHOLD: Final = -1  # <malloc.h>
_M_MMAP_THRESHOLD: Final = -3
# Bytes: a piece of the pre-roll is 4 MiB and the rest of a picture, and takes up to twice that while it is sealed.
_REUSED: Final = 10 * 1024 * 1024
_KEPT: Final = 24 * 1024 * 1024


def use_again() -> None:
    """Freed buffers of up to 10 MiB, and 24 MiB of them, are used again instead of going back to the kernel.

    With glibc's own limits each piece of a clip, on each of its ways, got fresh pages, and a page that is touched for the
    first time costs as much as copying two. Called once, before the first thread.
    """
    libc = ctypes.CDLL(None)
    libc.mallopt(_M_MMAP_THRESHOLD, _REUSED)
    libc.mallopt(_M_TRIM_THRESHOLD, _KEPT)
