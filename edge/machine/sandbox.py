"""What each unit's sandbox must come to, in systemd's own words, and whether it does. The table is the promise, not the unit file.

"The one that calls for help depends on nobody, the one that listens cannot write, the one that writes cannot read, the
one that shows can touch nothing": a drop-in that weakens a line of it is told with its key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge.machine import systemctl
from edge.machine.finding import Finding, fine, wrong

Show = Callable[[str, Sequence[str]], "dict[str, str] | None"]

_EVERYBODY: Final[Mapping[str, str]] = {
    "NoNewPrivileges": "yes",
    "CapabilityBoundingSet": "",
    "AmbientCapabilities": "",
    "LimitCORE": "0",
    "MemorySwapMax": "0",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "DevicePolicy": "closed",
    "PrivateNetwork": "yes",
    "RestrictAddressFamilies": "AF_UNIX",
    "IPAddressDeny": "0.0.0.0/0 ::/0",
    "ProtectProc": "invisible",
    "ProtectControlGroups": "yes",
    "ProtectKernelModules": "yes",
    "ProtectKernelTunables": "yes",
    "RestrictNamespaces": "yes",
    "RestrictSUIDSGID": "yes",
    "LockPersonality": "yes",
    "MemoryDenyWriteExecute": "yes",
}

# By process: the keys whose value is promised; where it is a list, in any order. A unit may do more, never less.
PROMISED: Final[Mapping[str, Mapping[str, str]]] = {
    "panel": _EVERYBODY,
    "recorder": {**_EVERYBODY, "LimitFSIZE": "0", "LimitMEMLOCK": "infinity"},
    "vault": {**_EVERYBODY, "PrivateDevices": "yes"},
    "service": {**_EVERYBODY, "LimitFSIZE": "0", "PrivateDevices": "yes"},
}
# What the drop-ins in systemd/examples may take back: a camera's or a message's address (IPAddressDeny= stands all the
# same), and what a Raspberry Pi's camera cannot do without.
_REACHING_OUT: Final = frozenset({"PrivateNetwork", "RestrictAddressFamilies"})
_RIBBON: Final = frozenset({"LimitFSIZE", "RestrictAddressFamilies"})
_SHIPPED: Final = "/spreekkamer-.service.d/10-sandbox.conf"
UNITS: Final = {
    "panel": "spreekkamer-guard.service",
    "recorder": "spreekkamer-record.service",
    "vault": "spreekkamer-keep.service",
    "service": "spreekkamer-show.service",
}
_STATE: Final = ("LoadState", "ActiveState", "UnitFileState", "MainPID", "User", "DropInPaths")


def excused(process: str, camera: str) -> frozenset[str]:
    """The keys that a unit may have another value of, with this camera."""
    if process == "service" or (process == "recorder" and camera.startswith("rtsp:")):
        return _REACHING_OUT
    return _RIBBON if process == "recorder" and camera == "picamera" else frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A unit as systemd has it in force."""

    process: str
    name: str
    shown: Mapping[str, str]

    @property
    def is_there(self) -> bool:
        return self.shown.get("LoadState") == "loaded"

    @property
    def drop_ins(self) -> list[str]:
        """Those that do not come with the product."""
        return [path for path in self.shown.get("DropInPaths", "").split() if not path.endswith(_SHIPPED)]

    def weakened(self, camera: str) -> dict[str, str]:
        """The keys that are not as promised, with what they are instead."""
        return {
            key: is_now
            for key, wanted in PROMISED[self.process].items()
            if key not in excused(self.process, camera)
            and sorted((is_now := self.shown.get(key, "unknown")).split()) != sorted(wanted.split())
        }


def units(root: Path, show: Show = systemctl.show) -> list[Unit] | None:
    """All four units; None when no systemd runs this machine, or none that answers."""
    if not (root / systemctl.RUNS).is_dir():
        return None
    found: list[Unit] = []
    for process, name in UNITS.items():
        shown = show(name, (*_STATE, *PROMISED[process]))
        if shown is None:
            return None
        found.append(Unit(process=process, name=name, shown=shown))
    return found


def judge(units: Sequence[Unit] | None, *, camera: str) -> list[Finding]:
    """Whether the units are installed, and none is weaker than promised. `camera` is camera.source."""
    if units is None:
        detail = "no systemd runs the processes here, so nothing but their own care keeps them apart"
        return [wrong("units", detail, "on the appliance: sudo ./install.sh")]
    found: list[Finding] = []
    for unit in units:
        if not unit.is_there:
            found.append(wrong("units", f"{unit.name} is not installed", "sudo ./install.sh"))
            continue
        by = f" (changed by {' '.join(unit.drop_ins)})" if unit.drop_ins else ""
        for key, is_now in unit.weakened(camera).items():
            detail = f"{unit.name} has {key}={is_now}, not {key}={PROMISED[unit.process][key]}{by}"
            found.append(wrong("sandbox", detail, f"take {key}= out of the drop-in (systemctl edit {unit.name})"))
    return found or [fine("units", "installed, and no sandbox is weaker than promised")]
