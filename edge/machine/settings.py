"""How the machine is set up: swap that comes back at the next boot, the journal, the watchdog, the clock.

Warnings: the recorder judges what is now.

Sources: rpi-swap-generator(8) and swap.conf(5) of rpi-swap; dphys-swapfile(8); zram-generator.conf(5); journald.conf(5).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from edge.machine.finding import Finding, fine, wrong
from edge.machine.reading import is_enabled, lines, setting, word

_RPI_SWAP: Final = "systemd/system-generators/rpi-swap-generator"
_IN_RAM: Final = ("none", "zram")
_ZRAM_GENERATOR: Final = ("usr/lib", "usr/local/lib", "run", "etc")


def swap(root: Path) -> list[Finding]:
    """Swap on a disk that is off now and comes back."""
    found = [*_rpi_swap(root), *_fstab(root), *_zram_generator(root)]
    if is_enabled(root, "dphys-swapfile.service"):
        found.append(
            _comes(
                "dphys-swapfile makes a swap file",
                "systemctl disable --now dphys-swapfile && systemctl mask dphys-swapfile",
            )
        )
    return found or [fine("swap-at-boot", "nothing brings swap on a disk at the next boot")]


def _comes(what: str, fix: str) -> Finding:
    return wrong("swap-at-boot", f"{what} at the next boot, and then the recorder will refuse", fix)


def _rpi_swap(root: Path) -> list[Finding]:
    if not any((root / where / _RPI_SWAP).exists() for where in ("lib", "usr/lib", "etc")):
        return []
    mechanism = setting(root, "rpi/swap.conf", "Main", "Mechanism") or "auto"
    if mechanism in _IN_RAM:
        return []
    fix = "put [Main] and Mechanism=none in a file in /etc/rpi/swap.conf.d/ and restart the machine"
    return [_comes(f"rpi-swap (Mechanism={mechanism}) makes swap that is written to the card", fix)]


def _fstab(root: Path) -> list[Finding]:
    swaps = [line.split() for line in lines(root / "etc/fstab") if not line.lstrip().startswith("#")]
    return [
        _comes(f"/etc/fstab switches swap on {fields[0]} on", "remove this line from /etc/fstab")
        for fields in swaps
        if len(fields) > 2 and fields[2] == "swap" and "noauto" not in "".join(fields[3:4]).split(",")
    ]


def _zram_generator(root: Path) -> list[Finding]:
    files = [path for where in _ZRAM_GENERATOR for path in sorted((root / where).glob("systemd/zram-generator.conf"))]
    files += [
        path
        for where in _ZRAM_GENERATOR
        for path in sorted((root / where).glob("systemd/zram-generator.conf.d/*.conf"))
    ]
    return [
        _comes(f"{path.name} gives compressed swap a writeback-device", f"remove that line from {path.name}")
        for path in files
        if any(line.strip().startswith("writeback-device") for line in lines(path))
    ]


def journal(root: Path) -> list[Finding]:
    """The journal in RAM: it holds nothing of a room, and need not outlive a boot; the ledger has a file of its own."""
    storage = setting(root, "systemd/journald.conf", "Journal", "Storage") or "auto"
    if storage == "persistent" or (storage == "auto" and (root / "var/log/journal").is_dir()):
        fix = "put [Journal] and Storage=volatile in a file in /etc/systemd/journald.conf.d/"
        return [wrong("journal", f"the journal is kept on the disk (Storage={storage})", fix)]
    return [fine("journal", f"in RAM (Storage={storage})")]


def watchdog(root: Path) -> list[Finding]:
    """The hardware watchdog, which starts the machine anew when the kernel or systemd hangs."""
    devices = sorted((root / "sys/class/watchdog").glob("watchdog[0-9]*"))
    if any(word(device / "state") == "active" for device in devices):
        return [fine("watchdog", "the hardware watchdog is active")]
    if not devices:
        return [wrong("watchdog", "there is no hardware watchdog", "dtparam=watchdog=on in /boot/firmware/config.txt")]
    asked = setting(root, "systemd/system.conf", "Manager", "RuntimeWatchdogSec")
    if asked in {None, "0", "off"}:
        fix = "put [Manager] and RuntimeWatchdogSec=14 in a file in /etc/systemd/system.conf.d/ and restart the machine"
        return [wrong("watchdog", "nobody uses the hardware watchdog: a machine that hangs stays so", fix)]
    return [fine("watchdog", f"systemd is to use it (RuntimeWatchdogSec={asked})")]


def clock(*, is_trusted: bool) -> list[Finding]:
    """Whether a network source keeps the clock right; without it clips expire by the time that the machine was on."""
    if is_trusted:
        return [fine("clock", "kept right by the network")]
    fix = (
        "timedatectl set-ntp true; if the network has a time server of its own, name it in /etc/systemd/timesyncd.conf"
    )
    return [wrong("clock", "no network source keeps the clock right", fix)]
