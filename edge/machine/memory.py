"""Can what is in RAM reach a disk? Swap, write-back of compressed swap, core dumps, locking, the memory controller.

What cannot be seen does not count as in order: a unit may hide `/proc/swaps` from the process that asks.
"""

from __future__ import annotations

import os
import re
import resource
from pathlib import Path
from typing import Final

from edge.machine.finding import Finding, fine, wrong
from edge.machine.reading import lines, word

# Besides the ring: the interpreter, the video library's touched pages and packets on their way.
_PROCESS_BYTES: Final = 160 * 1024 * 1024
_MIB: Final = 1024 * 1024


def swap(root: Path, *, refuses: bool) -> list[Finding]:
    """Swap that is on now. Compressed swap that stays in RAM is allowed."""
    try:
        table = (root / "proc/swaps").read_text("utf-8", "replace").splitlines()[1:]
    except OSError:
        return [_without_table(root, refuses=refuses)]
    names = [line.split()[0] for line in table if line.strip()]
    on_disk = [name for name in names if not re.fullmatch(r"/dev/zram\d+", name)]
    if not on_disk:
        return [fine("swap", f"only {', '.join(names)}, which stays in RAM" if names else "none")]
    return [
        wrong(
            "swap",
            f"swap on {name}: what is in RAM could reach a disk",
            "switch swap off: swapoff -a, and remove it from /etc/fstab (on Raspberry Pi OS: rpi-swap, dphys-swapfile)",
            refuses=refuses,
        )
        for name in on_disk
    ]


def _without_table(root: Path, *, refuses: bool) -> Finding:
    """A kernel without swap has no /proc/swaps, and says so in /proc/meminfo; a hidden /proc has neither."""
    if any(re.fullmatch(r"SwapTotal:\s+0 kB", line) for line in lines(root / "proc/meminfo")):
        return fine("swap", "this kernel knows no swap")
    return wrong(
        "swap",
        "whether swap is on cannot be seen: /proc/swaps cannot be read",
        "leave ProcSubset=pid out of the unit, so that the process sees /proc/swaps",
        refuses=refuses,
    )


def zram(root: Path, *, refuses: bool) -> list[Finding]:
    """Compressed swap that writes back to a file or card, which /proc/swaps does not show."""
    found = [
        wrong(
            "zram-writeback",
            f"{backing.parent.name} writes back to {device}: what is in RAM could reach a disk",
            "set Mechanism=none in /etc/rpi/swap.conf.d/ and restart the machine",
            refuses=refuses,
        )
        for backing in sorted((root / "sys/block").glob("zram*/backing_dev"))
        if (device := word(backing)) not in {"", "none", None}
    ]
    return found or [fine("zram-writeback", "no compressed swap writes back to a disk")]


def core_dumps(root: Path, *, refuses: bool) -> list[Finding]:
    """What the kernel does with the memory of a process that crashes.

    The recorder allows itself no core file (RLIMIT_CORE 0) and is not dumpable. A program is handed the memory in spite
    of that limit (core(5)), whether by a pipe or, in newer kernels, by a socket; so only a file's name is harmless.
    """
    pattern = word(root / "proc/sys/kernel/core_pattern")
    if pattern is None:
        if (root / "proc/sys/kernel").is_dir():
            return [fine("core-dumps", "this kernel makes none")]
        return [
            wrong(
                "core-dumps",
                "what becomes of a crash's memory cannot be seen: /proc/sys/kernel/core_pattern cannot be read",
                "leave ProcSubset=pid out of the unit",
                refuses=refuses,
            )
        ]
    if pattern.startswith(("|", "@")):
        taker = pattern.lstrip("|@").split()
        return [
            wrong(
                "core-dumps",
                f"crashes are handed to {taker[0] if taker else 'a program'}, which may write memory to a disk",
                "sysctl kernel.core_pattern=core (and remove apport or systemd-coredump)",
                refuses=refuses,
            )
        ]
    return [fine("core-dumps", f"a file ({pattern or 'core'}), and the recorder allows itself none")]


def can_lock(wanted_bytes: int) -> bool:
    """Whether this process may lock that much memory (RLIMIT_MEMLOCK, or being root)."""
    soft, _hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    return os.geteuid() == 0 or soft == resource.RLIM_INFINITY or soft >= wanted_bytes


def locking(ring_mebibytes: int, *, refuses: bool) -> list[Finding]:
    """Whether this process may lock the ring and what passes through it."""
    wanted = ring_mebibytes * _MIB + _PROCESS_BYTES
    if can_lock(wanted):
        return [fine("memory-lock", f"{wanted // _MIB} MiB of RAM can be locked")]
    return [
        wrong(
            "memory-lock",
            f"this process may not lock {wanted // _MIB} MiB of RAM",
            "raise the limit: LimitMEMLOCK=infinity in the unit, or `ulimit -l unlimited` in a shell",
            refuses=refuses,
        )
    ]


def memory_controller(root: Path, *, refuses: bool) -> list[Finding]:
    """A stock Raspberry Pi boots without it, and then MemorySwapMax=0 and MemoryMax= of the units do nothing."""
    if "memory" in (word(root / "sys/fs/cgroup/cgroup.controllers") or "").split():
        return [fine("memory-controller", "the limits on memory in the units hold")]
    return [
        wrong(
            "memory-controller",
            "the kernel has no memory controller, so that the units' limits on memory and swap do nothing",
            "add cgroup_enable=memory cgroup_memory=1 to the one line of /boot/firmware/cmdline.txt and restart the machine",
            refuses=refuses,
        )
    ]
