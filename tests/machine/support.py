"""A made-up machine in a folder, in order in every respect, and a room in it. A test spoils one thing at a time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any, Final

from edge.config import Config
from edge.errors import Refused
from edge.machine.finding import Finding, State
from edge.machine.preflight import Today
from tests.recorder.room import GOVERNANCE

SWAPS: Final = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
TCP: Final = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
TODAY: Final = Today(date=date(2026, 11, 22), is_trusted=True)
RECIPIENT: Final = "age1" + "q" * 58
CAMERA: Final = "/dev/v4l/by-id/usb-Camera-video-index0"

_FILES: Final = {
    "proc/swaps": SWAPS,
    "proc/meminfo": "MemTotal: 4000000 kB\nSwapTotal:       0 kB\n",
    "proc/sys/kernel/core_pattern": "core\n",
    "proc/self/cgroup": "0::/system.slice/spreekkamer-record.service\n",
    "proc/self/mountinfo": "22 1 179:2 / / rw,relatime - ext4 /dev/mmcblk0p2 rw,discard\n",
    "proc/net/tcp": TCP,
    "proc/net/tcp6": TCP,
    "proc/asound/cards": " 1 [Mic            ]: USB-Audio - USB Microphone\n                      Maker\n",
    "proc/asound/pcm": "01-00: USB Audio : USB Audio : capture 1\n",
    "sys/block/zram0/backing_dev": "none\n",
    "sys/fs/cgroup/cgroup.controllers": "cpuset cpu io memory pids\n",
    "sys/class/watchdog/watchdog0/state": "active\n",
    "etc/passwd": "root:x:0:0::/root:/bin/sh\n",
    "etc/fstab": "# /swapfile none swap sw 0 0\n/dev/mmcblk0p2 / ext4 defaults 0 1\n",
    CAMERA[1:]: "",
}


def machine(root: Path) -> Path:
    """A machine with nothing to object to, below `root`."""
    for path, text in _FILES.items():
        put(root, path, text)
    (root / "var/lib/spreekkamer").mkdir(parents=True, mode=0o700)
    return root


def put(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def enable(root: Path, unit: str) -> None:
    """As `systemctl enable` does."""
    link = root / "etc/systemd/system/multi-user.target.wants" / unit
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(f"/lib/systemd/system/{unit}")


def room(**changed: Any) -> Config:
    """A room with a real camera; a section of it is replaced by `name={...}`, or left out by `name=None`."""
    sections: dict[str, Any] = {
        "room": {"name": "Test"},
        "governance": GOVERNANCE,
        "camera": {"source": f"v4l2:{CAMERA}"},
        "panel": {"panic": {"pin": "17"}, "alarm": {"pin": "5"}},
        "retention": {"reserve_clips": "0"},
        **changed,
    }
    config = Config.model_validate_strings({name: section for name, section in sections.items() if section is not None})
    return config.model_copy(update={"seal": config.seal.model_copy(update={"recipients": (RECIPIENT,)})})


def recorded(**changed: Any) -> Config:
    """The same room with a recording for a camera."""
    return room(camera={"source": "fixture:room.mp4"}, **changed)


def seal(recipients: Sequence[str]) -> None:
    """Can seal to anybody at all."""
    if not recipients:
        raise Refused("seal.recipients is empty")


def told(findings: Sequence[Finding]) -> dict[str, str]:
    """What is not in order: state and detail by code."""
    return {found.code: f"{found.state}: {found.detail}" for found in findings if found.state is not State.OK}
