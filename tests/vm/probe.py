# ruff: noqa: PTH108, PTH110, PTH116, PTH118
"""Tries everything that a sandbox should forbid, and prints as JSON what it could do. Started inside a unit's sandbox.

A plain script for the guest's own Python: it imports nothing of ours. It makes a file in every folder and opens every
device, so it runs in the virtual machine only. `os` and not pathlib, for what is asked is the kernel.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import socket
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

STORE = "/var/lib/spreekkamer"
# What must be hidden from everybody but its owner; the test has put something there.
SECRETS = (
    "/root/officer.key",
    "/home/officer/officer.key",
    "/media/stick/officer.key",
    "/etc/credstore/spreekkamer.device.key",
)
SOCKETS = (
    "panel/status",
    "panel-link/wanted",
    "recorder/status",
    "vault/status",
    "vault-ingest/ingest",
    "vault-clips/clips",
)
# The kernel's own, and what the host lends read-only.
SKIPPED = {"/proc", "/sys", "/project", "/wheels"}
# Opening these does something to the machine, whoever does it.
LEFT_ALONE = ("/dev/watchdog", "/dev/ptmx", "/dev/vport", "/dev/virtio-ports", "/dev/hvc", "/dev/console", "/dev/tty")
KINDS = {
    "AF_INET": socket.SOCK_STREAM,
    "AF_INET6": socket.SOCK_DGRAM,
    "AF_NETLINK": socket.SOCK_RAW,
    "AF_PACKET": socket.SOCK_RAW,
}

_libc = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWUSER, _MS_BIND, _IO_URING_SETUP = 0x10000000, 4096, 425
_PTRACE_SEIZE = 0x4206  # unlike an attachment it does not stop whom it watches


def can(attempt: Callable[..., object], *arguments: object) -> bool:
    """It raised nothing, and did not say no."""
    try:
        return attempt(*arguments) is not False
    except (OSError, ValueError):
        return False


def directories() -> Iterator[str]:
    """Every directory that can be seen."""
    for folder, below, _ in os.walk("/"):
        below[:] = [name for name in below if os.path.join(folder, name) not in SKIPPED]
        yield folder


def create(folder: str, content: bytes = b"") -> None:
    """A file with this content, and away again."""
    path = os.path.join(folder, f".probe-{os.getpid()}")
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        if content:
            os.write(file, content)
    finally:
        os.close(file)
        os.unlink(path)


def is_device(path: str) -> bool:
    mode = os.stat(path).st_mode
    return stat.S_ISCHR(mode) or stat.S_ISBLK(mode)


def devices() -> Iterator[str]:
    for folder, _, names in os.walk("/dev"):
        for name in names:
            path = os.path.realpath(os.path.join(folder, name))  # /dev/char has them all again
            if not path.startswith(LEFT_ALONE) and can(is_device, path):
                yield path


def opened(path: str) -> None:
    os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_NOCTTY))


def reach(name: str) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(2)
        sock.connect(f"/run/spreekkamer/{name}.sock")


def made(name: str) -> None:
    socket.socket(getattr(socket, name), KINDS[name]).close()


def of_libc(name: str, *arguments: object) -> bool:
    return int(getattr(_libc, name)(*arguments)) >= 0


def mount() -> bool:
    return of_libc("mount", b"/etc", b"/mnt", None, _MS_BIND, None) and of_libc("umount", b"/mnt")


def executable_memory() -> None:
    mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()


def in_a_child(attempt: Callable[..., object], *arguments: object) -> bool:
    """What cannot be undone is tried by a child that ends."""
    pid = os.fork()
    if pid == 0:
        os._exit(0 if can(attempt, *arguments) else 1)
    return os.waitpid(pid, 0)[1] == 0


def main() -> None:
    if not os.path.exists("/etc/spreekkamer-vm"):
        sys.exit("probe: only in the virtual machine")
    print(
        json.dumps(
            {
                "uid": os.getuid(),
                "creates_in": [folder for folder in directories() if can(create, folder)],
                "writes_in": [folder for folder in directories() if can(create, folder, b"x")],
                "opens": sorted({path for path in devices() if can(opened, path)}),
                "makes_sockets": [name for name in KINDS if can(made, name)],
                "reads_store": can(os.listdir, STORE),
                "reads_secrets": [path for path in SECRETS if can(Path(path).read_bytes)],
                "reaches": [name for name in SOCKETS if can(reach, name)],
                "sees_others": os.path.exists("/proc/1/cmdline"),
                "unshares": in_a_child(of_libc, "unshare", _CLONE_NEWUSER),
                "mounts": can(mount),
                "traces": in_a_child(of_libc, "ptrace", _PTRACE_SEIZE, os.getpid(), 0, 0),
                "makes_rings": of_libc("syscall", _IO_URING_SETUP, 1, ctypes.byref(ctypes.create_string_buffer(256))),
                "runs_what_it_writes": can(executable_memory),
                "knows_whether_the_clock_is_right": of_libc("adjtimex", ctypes.create_string_buffer(256)),
            }
        )
    )


if __name__ == "__main__":
    main()
