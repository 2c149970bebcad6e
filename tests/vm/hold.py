"""Stops one thread of the machine for good: `hold.py THREAD`, in the guest, until it is killed itself.

As a debugger does it, since a signal stops a whole process, and none stops process 1. A plain script.
"""

import ctypes
import os
import signal
import sys

_SEIZE, _INTERRUPT = 0x4206, 0x4207  # ptrace(2)
_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)

for request in (_SEIZE, _INTERRUPT):
    if _libc.ptrace(request, int(sys.argv[1]), None, None) < 0:
        sys.exit(os.strerror(ctypes.get_errno()))
signal.pause()
