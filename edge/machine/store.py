"""Is the store there, is it the vault's alone, does it lie on a disk that can do what is promised, and is there room?"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge.machine.finding import Finding, fine, wrong
from edge.machine.reading import below, lines

KEEP_USER: Final = "spreekkamer-keep"
_RESERVE: Final = "clips.reserve"
# Hard links, owners and an fsync that means it: without them a segment can be told safe and be gone.
_FIT: Final = ("btrfs", "ext2", "ext3", "ext4", "f2fs", "xfs")
_IN_RAM: Final = ("overlay", "ramfs", "tmpfs")
_OTHERS: Final = stat.S_IWGRP | stat.S_IRWXO
_MB: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What was read of the store. `free_bytes` counts what the reserve holds; None: it could not be seen."""

    path: Path
    is_there: bool
    kind: str = ""  # of its file system
    device: str = ""
    options: frozenset[str] = frozenset()
    owner: int = 0
    keeper: int | None = None  # the vault's user, where the machine has one
    mode: int = 0
    free_bytes: int | None = None


def read(root: Path, path: Path) -> Facts:
    """Look at the store, and at the disk that it is on, or will be on."""
    here = below(root, path)
    mount = _mount_of(root, path)
    try:
        found = here.stat()
    except OSError:
        return Facts(path=path, is_there=False, kind=mount.kind, device=mount.device, options=mount.options)
    return Facts(
        path=path,
        is_there=stat.S_ISDIR(found.st_mode),
        kind=mount.kind,
        device=mount.device,
        options=mount.options,
        owner=found.st_uid,
        keeper=_uid_of(root, KEEP_USER),
        mode=stat.S_IMODE(found.st_mode),
        free_bytes=_free_bytes(here),
    )


def judge(facts: Facts, *, wanted_bytes: int, refuses: bool) -> list[Finding]:
    """`wanted_bytes` is the space of the clips that must always fit."""
    return [_place(facts), _disk(facts, refuses=refuses), *_discard(facts), *_room(facts, wanted_bytes)]


def _place(facts: Facts) -> Finding:
    if not facts.is_there:
        detail = f"{facts.path} is not there; the vault makes it at its start"
        return wrong("store", detail, "start spreekkamer keep once, then look again")
    if facts.mode & _OTHERS:
        detail = f"{facts.path} is open to others (mode {facts.mode:04o})"
        return wrong("store", detail, f"chmod 700 {facts.path}")
    if facts.keeper is not None and facts.owner != facts.keeper:
        detail = f"{facts.path} belongs to user {facts.owner}, not to {KEEP_USER}"
        return wrong("store", detail, f"chown -R {KEEP_USER}: {facts.path}")
    return fine("store", f"{facts.path}, mode {facts.mode:04o}, is the vault's alone")


def _disk(facts: Facts, *, refuses: bool) -> Finding:
    code = "store-disk"
    if "ro" in facts.options:
        fix = "mount the data partition writable; look in the journal why it is not"
        return wrong(code, f"{facts.path} lies on a read-only {facts.kind}", fix, refuses=refuses)
    if facts.kind in _IN_RAM:
        detail = f"{facts.path} lies on {facts.kind}: a power cut takes every clip and the ledger"
        return wrong(code, detail, "give the store a partition of its own (ext4)")
    if facts.kind not in _FIT:
        detail = f"{facts.path} lies on {facts.kind or 'an unknown file system'}, which cannot keep a clip safely"
        return wrong(code, detail, f"use one of {', '.join(_FIT)}", refuses=refuses)
    return fine(code, f"{facts.kind} on {facts.device}")


def _discard(facts: Facts) -> list[Finding]:
    """Only a card is told which blocks are free by a mount option; the vault may not say it itself."""
    if not facts.device.startswith("/dev/mmcblk") or "discard" in facts.options:
        return []
    detail = f"{facts.device} is not told which blocks are free, so that the card keeps deleted bytes longer"
    return [wrong("store-discard", detail, "add the option discard to the data partition in /etc/fstab")]


def _room(facts: Facts, wanted_bytes: int) -> list[Finding]:
    if facts.free_bytes is None:
        return []
    found, wanted = facts.free_bytes // _MB, wanted_bytes // _MB
    if facts.free_bytes < wanted_bytes:
        detail = f"{found} MB for the next clips, and {wanted} MB are wanted"
        return [wrong("store-space", detail, "make space, use a larger disk, or lower retention.reserve_clips")]
    return [fine("store-space", f"{found} MB for the next clips, {wanted} MB are wanted")]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mount:
    point: Path
    kind: str
    device: str
    options: frozenset[str]


def _mount_of(root: Path, path: Path) -> _Mount:
    """The mount that holds a path (proc_pid_mountinfo(5)): the last one of the longest point above it."""
    best = _Mount(point=Path("/"), kind="", device="", options=frozenset())
    for line in lines(root / "proc/self/mountinfo"):
        before, _, after = line.partition(" - ")
        fields, rest = before.split(), after.split()
        if len(fields) < 6 or len(rest) < 3:
            continue
        point = Path(re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), fields[4]))
        if path.is_relative_to(point) and len(point.parts) >= len(best.point.parts):
            options = frozenset(fields[5].split(",")) | frozenset(rest[2].split(","))
            best = _Mount(point=point, kind=rest[0], device=rest[1], options=options)
    return best


def _uid_of(root: Path, user: str) -> int | None:
    for line in lines(root / "etc/passwd"):
        fields = line.split(":")
        if fields[0] == user and len(fields) > 2 and fields[2].isdigit():
            return int(fields[2])
    return None


def _free_bytes(store: Path) -> int | None:
    try:
        disk = os.statvfs(store)
        reserve = store / _RESERVE
        return disk.f_bavail * disk.f_frsize + (reserve.stat().st_size if reserve.exists() else 0)
    except OSError:
        return None
