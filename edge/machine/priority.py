"""How much of the machine a thread takes when others want it too."""

from __future__ import annotations

import contextlib
import os
import threading
from typing import Final

_NICENESS: Final = 10  # a tenth of what the others get


def yield_to_others() -> None:
    """The calling thread alone, for good: what it does later is done all the same.

    Nothing where a sandbox forbids it, as the units' does (`SystemCallFilter=~@resources`).
    """
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
