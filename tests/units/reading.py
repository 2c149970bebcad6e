"""Reads a unit as systemd does: the file, then the drop-in for all units of this name, the last word counts."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Final

SYSTEMD: Final = Path(__file__).parents[2] / "systemd"
SANDBOX: Final = SYSTEMD / "spreekkamer-.service.d" / "10-sandbox.conf"
SERVICES: Final = ("guard", "record", "keep", "show", "purge")

# Several lines of one of these add up (systemd.exec(5), systemd.resource-control(5)); an empty one forgets those before.
_LISTS: Final = frozenset(
    {
        "Wants", "Before", "ReadWritePaths", "ReadOnlyPaths", "InaccessiblePaths", "DeviceAllow", "SystemCallFilter",
        "SupplementaryGroups", "RestrictAddressFamilies", "LoadCredential", "Environment", "IPAddressAllow",
    }
)  # fmt: skip

Unit = dict[str, str]  # each key with what it says; a list's lines are parted by " | "


def read(*files: Path) -> Unit:
    """What these files say together."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for file in files:
        for line in file.read_text("utf-8").splitlines():
            if not line or line.startswith(("#", "[")):
                continue
            key, equals, value = line.partition("=")
            assert equals, f"{file.name}: {line!r} is no setting"
            if not value or key not in _LISTS:
                found[key].clear()
            found[key].append(value)
    return {key: " | ".join(filter(None, values)) for key, values in found.items()}


def service(name: str, *more: Path) -> Unit:
    """One of SERVICES, with the sandbox of all and drop-ins after it."""
    return read(SYSTEMD / f"spreekkamer-{name}.service", SANDBOX, *more)
