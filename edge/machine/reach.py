"""Who can reach this machine? Remote shells, radios, open ports, the page. Warnings: the recorder has no network."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Final

from edge.config import Page
from edge.machine.finding import Finding, fine, wrong
from edge.machine.reading import is_enabled, lines

_LISTENS: Final = "0A"  # TCP_LISTEN in proc_net_tcp(5)
_KNOWN: Final = {22: "SSH", 111: "portmap", 139: "file sharing", 445: "file sharing", 631: "printing", 5900: "VNC"}
_OFF: Final = "systemctl disable --now {0} && systemctl mask {0}"


def remote_shells(root: Path) -> list[Finding]:
    """Raspberry Pi Connect gives a shell and a screen through the maker's servers."""
    found = [path for name in ("rpi-connect", "rpi-connectd") if (path := root / "usr/bin" / name).exists()]
    if found:
        detail = "Raspberry Pi Connect is installed: a shell from outside"
        return [wrong("remote-shell", detail, "apt purge rpi-connect rpi-connect-lite")]
    return [fine("remote-shell", "Raspberry Pi Connect is not installed")]


def radios(root: Path) -> list[Finding]:
    """Bluetooth, and the service that tells the whole network about this machine."""
    found: list[Finding] = []
    if list((root / "sys/class/bluetooth").glob("hci*")) or is_enabled(root, "bluetooth.service"):
        fix = f"dtoverlay=disable-bt in /boot/firmware/config.txt; {_OFF.format('bluetooth.service')}"
        found.append(wrong("bluetooth", "bluetooth is on", fix))
    if (root / "run/avahi-daemon/pid").exists() or is_enabled(root, "avahi-daemon.service"):
        found.append(
            wrong(
                "avahi",
                "avahi tells the network about this machine",
                _OFF.format("avahi-daemon.socket avahi-daemon.service"),
            )
        )
    return found or [fine("radios", "no bluetooth, no avahi")]


def ports(root: Path, page: Page) -> list[Finding]:
    """TCP ports that other machines can reach, besides the page's."""
    if not any((root / "proc/net" / table).exists() for table in ("tcp", "tcp6")):
        return [wrong("open-ports", "the open ports cannot be seen", "run this as root")]
    others = sorted({port for port in _listening(root) if port != page.port})
    if not others:
        return [fine("open-ports", "none but the page's")]
    named = ", ".join(f"{port} ({_KNOWN[port]})" if port in _KNOWN else str(port) for port in others)
    fix = "switch off what listens (ss -ltnp shows it), or let the firewall keep it from other machines"
    return [wrong("open-ports", f"other machines can reach TCP port {named}", fix)]


def _listening(root: Path) -> list[int]:
    """Ports at an address that is not this machine's own."""
    found: list[int] = []
    for table in ("tcp", "tcp6"):
        for line in lines(root / "proc/net" / table)[1:]:
            fields = line.split()
            address, _, port = fields[1].rpartition(":") if len(fields) > 3 else ("", "", "")
            if port and fields[3] == _LISTENS and not _address(address).is_loopback:
                found.append(int(port, 16))
    return found


def _address(hexadecimal: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Four-byte words in the machine's order, which is little-endian on all that this runs on."""
    raw = bytes.fromhex(hexadecimal)
    turned = b"".join(raw[at : at + 4][::-1] for at in range(0, len(raw), 4))
    address = ipaddress.ip_address(turned)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return address if mapped is None else mapped


def page(root: Path, page: Page) -> list[Finding]:
    """Who can read the page, as configured and as it is: the socket unit may say something else."""
    if page.is_wide:  # the configuration refuses it without one of these
        guard = "with a password over TLS" if page.password_hash is not None and page.has_tls else "through its proxies"
        return [fine("page", f"from other machines {guard} (page.bind = {page.bind})")]
    if page.port in _listening(root):
        detail = f"other machines can reach TCP port {page.port}, though page.bind is {page.bind}"
        return [wrong("page", detail, "systemctl cat spreekkamer-show.socket; see ListenStream there")]
    return [fine("page", f"on this machine alone (page.bind = {page.bind})")]
