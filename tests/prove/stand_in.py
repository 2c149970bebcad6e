"""A process that is to the kernel what the recorder is under its unit; spoiled in the ways that its arguments name.

Started as root, with a file as its first argument; says `ready` and waits to be killed.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import socket
import struct
import sys
from pathlib import Path

from edge.recorder.memory import Chunk, Heap, hide_process

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 4, 22, 24, 38
_CLONE_NEWNET = 0x40000000
_ALLOW_ALL = struct.pack("HBBI", 0x06, 0, 0, 0x7FFF0000)  # BPF_RET | BPF_K, SECCOMP_RET_ALLOW
NOBODY = 65534


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def done(result: int) -> None:
    assert result == 0, os.strerror(ctypes.get_errno())


def main(file: Path, *spoiled: str) -> None:
    ring = Chunk()
    ring.view[:6] = b"marker"
    kept: list[object] = [ring]
    if "lock" not in spoiled:
        assert Heap().lock()
    else:
        done(_LIBC.munlockall())
    if "network" not in spoiled:
        done(_LIBC.unshare(_CLONE_NEWNET))
    if "socket" in spoiled:
        kept.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    if "file" in spoiled:
        kept.append(file.open("ab"))
    if "written" in spoiled:
        with file.open("ab") as disk:
            disk.write(bytes(8192))
            disk.flush()
            os.fsync(disk.fileno())
    kept.append(file.open("rb"))
    if "filter" not in spoiled:
        program = _Program(1, _ALLOW_ALL)
        done(_LIBC.prctl(_PR_SET_SECCOMP, 2, ctypes.byref(program), 0, 0))
    if "capabilities" not in spoiled:
        number = 0
        while _LIBC.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0) == 0:
            number += 1
    if "privileges" not in spoiled:
        done(_LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    if "core" in spoiled:
        most = resource.getrlimit(resource.RLIMIT_CORE)[1]
        resource.setrlimit(resource.RLIMIT_CORE, (most, most))
    else:
        hide_process()
    if "account" not in spoiled:
        os.setgroups([])
        os.setresuid(NOBODY, NOBODY, NOBODY)
    done(_LIBC.prctl(_PR_SET_DUMPABLE, int("dumpable" in spoiled), 0, 0, 0))
    print("ready", flush=True)
    signal.pause()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
