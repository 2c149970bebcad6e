"""From what was read to what it shows: each point is shown, is not in order, or was not seen. Pure.

What could not be read is "unseen" and never fine. A point says nothing of a person, and names no clip.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from edge.config import Config
from edge.machine.finding import Finding, State
from edge.machine.sandbox import Unit, excused
from edge.prove.kernel import Process
from edge.prove.running import Name, Running
from edge.status import RecorderStatus, VaultStatus

# The ring forgets four times a second; a reader may look just before.
_RING_SLACK_S: Final = 0.5
_TRANSIT_S: Final = 10.0  # while a clip is made the ring is the way to it, also where nothing is promised
_NETWORK: Final = ("netlink", "packet", "raw", "tcp", "udp", "unknown")
_LISTENERS: Final = ("/dev/video", "/dev/media", "/dev/v4l", "/dev/snd/", "/dev/dma_heap")
_PINS: Final = "/dev/gpiochip"

Value = str | int | float


class Seen(StrEnum):
    """How a point came out."""

    SHOWN = "shown"
    FAILED = "failed"
    UNSEEN = "unseen"


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One claim. `process` is empty for the machine; `values` are what it is judged by."""

    code: str
    process: str = ""
    seen: Seen
    values: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that was read."""

    config: Config
    running: Sequence[Running]
    recorder: RecorderStatus | None
    vault: VaultStatus | None
    units: Sequence[Unit] | None
    findings: Sequence[Finding]


def points(evidence: Evidence) -> list[Point]:
    """Every point, in the order in which a person reads them."""
    found: list[Point] = []
    for running in evidence.running:
        found += _of_process(evidence, running)
    return [*found, *_of_ring(evidence), *_of_machine(evidence), *_of_ledger(evidence.vault)]


def _judged(code: str, process: str, is_good: bool | None, **values: Value) -> Point:
    seen = Seen.UNSEEN if is_good is None else Seen.SHOWN if is_good else Seen.FAILED
    return Point(code=code, process=process, seen=seen, values=values)


def _named(names: Sequence[str]) -> str:
    return ", ".join(names)


def _of_process(evidence: Evidence, running: Running) -> list[Point]:
    name, process = running.name, running.process
    found = [
        _judged("running", name, running.answers, pid=process.pid if process else 0),
        *_rights(name, process),
        _disks(evidence.config.paths.store, name, process),
    ]
    if name != "service":
        found.append(_network(evidence.config.camera.source, name, process))
    if name != "vault":
        found.append(_away_from_store(evidence.config.paths.store, name, process))
    if name != "recorder":
        found.append(_away_from_devices(name, process))
    if name == "recorder":
        found += _memory(process, evidence.recorder)
    return found


def _rights(name: Name, process: Process | None) -> list[Point]:
    rights = process.rights if process else None
    if rights is None:
        return [
            _judged(code, name, None) for code in ("account", "capabilities", "no-new-privileges", "filter", "core")
        ]
    return [
        _judged("account", name, rights.uid != 0, uid=rights.uid),
        _judged("capabilities", name, rights.capabilities == 0, capabilities=f"{rights.capabilities:x}"),
        _judged("no-new-privileges", name, rights.has_no_new_privileges),
        _judged("filter", name, rights.is_filtered),
        _judged("core", name, rights.core_limit == "0", limit=rights.core_limit),
    ]


def _disks(store: Path, name: Name, process: Process | None) -> Point:
    """The vault may write to its store, the others to no disk at all."""
    if process is None or process.writable_disks is None:
        return _judged("disks", name, None)
    others = [place for place in process.writable_disks if name != "vault" or Path(place) != store]
    return _judged("disks", name, not others, places=_named(others))


def _network(camera: str, name: Name, process: Process | None) -> Point:
    if process is None or process.sockets is None or process.own_spaces is None:
        return _judged("network", name, None)
    reaching = {kind: count for kind, count in process.sockets.items() if kind in _NETWORK}
    values: dict[str, Value] = {"sockets": _named([f"{count} {kind}" for kind, count in reaching.items()])}
    if name == "recorder" and "PrivateNetwork" in excused(name, camera):
        return Point(code="network", process=name, seen=Seen.UNSEEN, values={**values, "why": "network camera"})
    is_alone = "net" in process.own_spaces
    return _judged("network", name, is_alone and not reaching, alone=int(is_alone), **values)


def _away_from_store(store: Path, name: Name, process: Process | None) -> Point:
    if process is None or process.open is None:
        return _judged("away-from-store", name, None)
    inside = [path for path in process.open.paths if Path(path).is_relative_to(store)]
    return _judged("away-from-store", name, not inside, files=len(inside))


def _away_from_devices(name: Name, process: Process | None) -> Point:
    """No camera, no microphone; and only the panel has the pins."""
    if process is None or process.open is None:
        return _judged("away-from-devices", name, None)
    allowed = (_PINS,) if name == "panel" else ()
    held = [path for path in process.open.devices if not path.startswith(allowed or ("\0",))]
    if name == "panel":
        held = [path for path in held if path.startswith(_LISTENERS)]
    return _judged("away-from-devices", name, not held, devices=_named(held))


def _memory(process: Process | None, said: RecorderStatus | None) -> list[Point]:
    """The recorder's memory, and what it wrote."""
    memory = process.memory if process else None
    found: list[Point] = []
    if memory is None or said is None:
        found += [_judged(code, "recorder", None) for code in ("locked", "swapped")]
    else:
        is_locked = memory.ring_loose == 0 and memory.ring >= said.ring.bytes and memory.locked >= memory.ring
        values = {"locked": memory.locked, "ring": memory.ring, "loose": memory.ring_loose, "held": said.ring.bytes}
        found += [
            _judged("locked", "recorder", is_locked, **values),
            _judged("swapped", "recorder", memory.swapped == 0, bytes=memory.swapped),
        ]
    is_dumpable = process.is_dumpable if process else None
    found.append(_judged("dumpable", "recorder", None if is_dumpable is None else not is_dumpable))
    opened = process.open if process else None
    found.append(_judged("no-file", "recorder", None))
    if opened is not None:
        found[-1] = _judged("no-file", "recorder", not opened.writable, files=_named(opened.writable))
    return [*found, _written(process, said)]


def _written(process: Process | None, said: RecorderStatus | None) -> Point:
    """The kernel counts from the start; reading a program for the first time that day may mark it as read, which counts.

    What it wrote since a camera was first open is the recorder's own count, and only counts where the kernel's is not 0.
    """
    total = process.write_bytes if process else None
    if total is None or said is None:
        return _judged("written", "recorder", None)
    return _judged("written", "recorder", said.write_bytes == 0, total=total, since_camera=said.write_bytes)


def _of_ring(evidence: Evidence) -> list[Point]:
    said = evidence.recorder
    if said is None:
        return [_judged("ring", "recorder", None)]
    ring = said.ring
    most = (ring.promised_seconds or _TRANSIT_S) + _RING_SLACK_S
    is_bounded = ring.oldest_seconds <= most and ring.bytes <= ring.cap_bytes
    values: dict[str, Value] = {"oldest": ring.oldest_seconds, "promised": ring.promised_seconds, "bytes": ring.bytes}
    return [_judged("ring", "recorder", is_bounded, cap=ring.cap_bytes, state=said.state.value, **values)]


def _of_machine(evidence: Evidence) -> list[Point]:
    by_code: dict[str, list[Finding]] = {}
    for finding in evidence.findings:
        by_code.setdefault(finding.code, []).append(finding)

    def are_fine(*codes: str) -> bool | None:
        found = [finding for code in codes for finding in by_code.get(code, [])]
        return all(finding.state is State.OK for finding in found) if found else None

    wrong = [finding for finding in evidence.findings if finding.state is not State.OK]
    return [
        _judged("swap", "", are_fine("swap", "zram-writeback")),
        _judged("core-pattern", "", are_fine("core-dumps")),
        _sandbox(evidence),
        _judged("check", "", not any(f.refuses for f in wrong), warnings=len([f for f in wrong if not f.refuses])),
    ]


def _sandbox(evidence: Evidence) -> Point:
    if evidence.units is None:
        return _judged("sandbox", "", False, keys="systemd")
    camera = evidence.config.camera.source
    weak = [
        f"{unit.name}: {key}"
        for unit in evidence.units
        for key in (unit.weakened(camera) if unit.is_there else ["LoadState"])
    ]
    return _judged("sandbox", "", not weak, keys=_named(weak))


def _of_ledger(vault: VaultStatus | None) -> list[Point]:
    if vault is None:
        return [_judged(code, "", None) for code in ("ledger", "anchored")]
    ledger = vault.ledger
    return [
        _judged("ledger", "", ledger.entries > 0, entries=ledger.entries, head=ledger.head),
        _judged("anchored", "", None if ledger.anchored_at is None else True, at=ledger.anchored_at or ""),
    ]
