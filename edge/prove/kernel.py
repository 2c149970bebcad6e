"""What the kernel tells of one process, from /proc. Reads, never writes; what may not be read is None, never a good value.

Formats: proc_pid_status(5), proc_pid_smaps(5), proc_pid_io(5), proc_pid_fdinfo(5), proc_pid_mountinfo(5), proc_net(5).
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")
_KIB: Final = 1024
# No disk is behind these. An overlay may have one, a fuseblk has.
_WITHOUT_DISK: Final = frozenset(
    [
        "autofs",
        "binfmt_misc",
        "bpf",
        "cgroup",
        "cgroup2",
        "configfs",
        "debugfs",
        "devpts",
        "devtmpfs",
        "efivarfs",
        "fusectl",
        "hugetlbfs",
        "mqueue",
        "nsfs",
        "proc",
        "pstore",
        "ramfs",
        "rpc_pipefs",
        "securityfs",
        "selinuxfs",
        "sysfs",
        "tmpfs",
        "tracefs",
    ]
)
_SPACES: Final = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
_TABLES: Final = {"tcp": 9, "tcp6": 9, "udp": 9, "udp6": 9, "raw": 9, "raw6": 9, "packet": 8, "netlink": 9, "unix": 6}
_HARMLESS: Final = frozenset({"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """The memory of a process, in bytes. `ring` is what a fork would find zeroed (`wf`), as nothing but the ring is."""

    locked: int
    swapped: int
    ring: int
    ring_loose: int  # of it: not locked, or part of a core dump


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """What a process may do."""

    uid: int
    capabilities: int  # all sets together, the bounding set too
    has_no_new_privileges: bool
    is_filtered: bool  # seccomp, by a filter
    core_limit: str  # bytes, or "unlimited"


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """What a process holds open."""

    kinds: dict[str, int]  # how many of each kind
    writable: tuple[str, ...]  # files on a file system, open for writing
    devices: tuple[str, ...]  # but for /dev/null and its like
    paths: tuple[str, ...]  # files and folders


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process. Each part is None where it may not be read."""

    pid: int
    memory: Memory | None
    rights: Rights | None
    is_dumpable: bool | None
    write_bytes: int | None
    open: Open | None
    sockets: dict[str, int] | None  # how many of each family; "unknown" where no table has it
    own_spaces: tuple[str, ...] | None  # namespaces that are not those of the machine's first process
    writable_disks: tuple[str, ...] | None  # where a disk is mounted writable for this process


def look(pid: int, proc: Path = PROC) -> Process | None:
    """The process as it is now; None when there is none of this number."""
    folder = proc / str(pid)
    if not folder.is_dir():
        return None
    status = _fields(folder / "status")
    opened, inodes = _opened(folder)
    return Process(
        pid=pid,
        memory=_memory(status, folder),
        rights=_rights(status, folder),
        is_dumpable=_is_dumpable(status, folder),
        write_bytes=_number(_fields(folder / "io"), "write_bytes"),
        open=opened,
        sockets=None if inodes is None else _families(inodes, (folder / "net", proc / "net")),
        own_spaces=_own_spaces(folder, proc),
        writable_disks=_writable_disks(folder),
    )


def holder_of(port: int, proc: Path = PROC) -> int | None:
    """The process that listens at a TCP port, and is not the one that started it for another (systemd)."""
    inodes = {
        fields[9]
        for table in ("tcp", "tcp6")
        for fields in _rows(proc / "net" / table)
        if len(fields) > 9 and fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port
    }
    for folder in proc.glob("[0-9]*"):
        _, held = _opened(folder)
        if folder.name != "1" and held and inodes & held:
            return int(folder.name)
    return None


def _text(path: Path) -> str | None:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return None


def _fields(path: Path) -> dict[str, str]:
    """Lines of `name: value`."""
    return {
        name: value.strip() for name, _, value in (line.partition(":") for line in (_text(path) or "").splitlines())
    }


def _rows(path: Path) -> Iterator[list[str]]:
    for line in (_text(path) or "").splitlines()[1:]:
        yield line.split()


def _number(fields: dict[str, str], name: str) -> int | None:
    value = fields.get(name, "").split()
    return int(value[0]) if value and value[0].isdigit() else None


def _memory(status: dict[str, str], folder: Path) -> Memory | None:
    locked, swapped, smaps = _number(status, "VmLck"), _number(status, "VmSwap"), _text(folder / "smaps")
    if locked is None or swapped is None or not smaps:
        return None
    ring = loose = size = 0
    for line in smaps.splitlines():
        if found := re.match(r"Size:\s+(\d+) kB", line):
            size = int(found[1])
        elif line.startswith("VmFlags:") and "wf" in (flags := line.split()):
            ring += size
            loose += 0 if {"lo", "dd"} <= set(flags) else size
    return Memory(locked=locked * _KIB, swapped=swapped * _KIB, ring=ring * _KIB, ring_loose=loose * _KIB)


def _rights(status: dict[str, str], folder: Path) -> Rights | None:
    limits = re.search(r"^Max core file size\s+(\S+)\s+(\S+)", _text(folder / "limits") or "", re.MULTILINE)
    sets = [status.get(name, "") for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")]
    if limits is None or not all(sets) or "Seccomp" not in status:
        return None
    capabilities = 0
    for one in sets:
        capabilities |= int(one, 16)
    return Rights(
        uid=int(status["Uid"].split()[1]),
        capabilities=capabilities,
        has_no_new_privileges=status.get("NoNewPrivs") == "1",
        is_filtered=status["Seccomp"] == "2",
        core_limit=limits[2],
    )


def _is_dumpable(status: dict[str, str], folder: Path) -> bool | None:
    """The kernel gives the files of an undumpable process to root; those of a process of root say nothing (proc(5))."""
    try:
        owner = (folder / "status").stat().st_uid
        uid = int(status["Uid"].split()[1])
    except (OSError, KeyError):
        return None
    return None if uid == 0 else owner == uid


def _opened(folder: Path) -> tuple[Open | None, frozenset[str] | None]:
    """What it holds open, and the inodes of its sockets."""
    kinds: Counter[str] = Counter()
    writable, devices, paths, inodes = [], [], [], set()
    try:
        numbers = list((folder / "fd").iterdir())
    except OSError:
        return None, None
    for descriptor in numbers:
        try:
            name, mode = os.fspath(descriptor.readlink()), descriptor.stat().st_mode
        except OSError:
            continue  # closed in the meantime
        flags = int(_fields(folder / "fdinfo" / descriptor.name).get("flags", "0"), 8)
        kind = _kind(name, mode)
        kinds[kind] += 1
        if socket := re.fullmatch(r"socket:\[(\d+)\]", name):
            inodes.add(socket[1])
        if kind == "file" and flags & os.O_ACCMODE != os.O_RDONLY:
            writable.append(name)
        if kind == "device" and name not in _HARMLESS:
            devices.append(name)
        if kind in {"file", "folder"}:
            paths.append(name)
    found = Open(
        kinds=dict(sorted(kinds.items())),
        writable=tuple(sorted(writable)),
        devices=tuple(sorted(devices)),
        paths=tuple(sorted(paths)),
    )
    return found, frozenset(inodes)


def _kind(name: str, mode: int) -> str:
    if name.startswith("/memfd:"):
        return "memory"
    if stat.S_ISSOCK(mode):
        return "socket"
    if stat.S_ISFIFO(mode):
        return "pipe"
    if stat.S_ISDIR(mode):
        return "folder"
    if stat.S_ISREG(mode):
        return "file"
    return "device" if stat.S_ISCHR(mode) or stat.S_ISBLK(mode) else "event"


def _families(inodes: frozenset[str], nets: tuple[Path, ...]) -> dict[str, int]:
    """A socket that systemd handed over belongs to the machine's network, and stands in its tables alone."""
    found: dict[str, str] = {}
    for net in nets:
        for table, column in _TABLES.items():
            for fields in _rows(net / table):
                if len(fields) > column and fields[column] in inodes:
                    found.setdefault(fields[column], table.removesuffix("6"))
    return dict(sorted(Counter(found.get(inode, "unknown") for inode in inodes).items()))


def _own_spaces(folder: Path, proc: Path) -> tuple[str, ...] | None:
    try:
        pairs = [((folder / "ns" / name).readlink(), (proc / "1" / "ns" / name).readlink()) for name in _SPACES]
    except OSError:
        return None
    return tuple(name for name, (mine, first) in zip(_SPACES, pairs, strict=True) if mine != first)


def _writable_disks(folder: Path) -> tuple[str, ...] | None:
    mounts = _text(folder / "mountinfo")
    if not mounts:
        return None
    found = set()
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        with contextlib.suppress(ValueError, IndexError):
            kind, _, whole = after.split(maxsplit=2)
            is_writable = "rw" in before.split()[5].split(",") and "rw" in whole.split(",")
            if is_writable and kind not in _WITHOUT_DISK:
                found.add(before.split()[4])
    return tuple(sorted(found))
