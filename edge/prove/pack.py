"""`spreekkamer prove`: reads a running room, judges what it read, has the vault sign it, and writes one folder. Runs as root.

1. look at everything  2. make the files in RAM  3. the vault signs the digest of their list, and its ledger tells of it
4. the folder is written beside its name, and gets it. Nothing is written before the vault has signed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from edge.clock import iso
from edge.config import Config
from edge.durable import Disk, refuse_used
from edge.errors import Refused, VaultAway
from edge.machine import sandbox
from edge.machine.check import check
from edge.machine.preflight import ROOT, Seal, Today
from edge.messages import Request, Verb
from edge.ports import Clock
from edge.prove import programs, words
from edge.prove.points import Evidence, Point, Seen, points
from edge.prove.running import answer, service
from edge.status import PanelStatus, RecorderStatus, VaultStatus
from edge.vault.client import ask

FORMAT: Final = "spreekkamer proof 1"
PROOF: Final = "proof.json"
TEXT: Final = "bewijs.txt"
PROGRAMS: Final = "programs.sha256"
SUMS: Final = "SHA256SUMS"
STATEMENT: Final = "statement.txt"
PUBLIC_KEY: Final = "device.pub.pem"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """The vault's statement about the pack, its signature, and the key to check it with."""

    statement: bytes
    signature: bytes
    public_key: bytes


def prove(config: Config, to: Path, *, seal: Seal, clock: Clock, actor: str, disk: Disk | None = None) -> list[Point]:
    """Write the pack to the folder `to`, which must not exist or be empty; all points, as they came out.

    Raises Refused (the folder, or the vault's own words), VaultAway, StoreError (the disk of the folder).
    """
    disk = Disk() if disk is None else disk
    refuse_used(to)
    evidence = look(config, seal=seal, clock=clock)
    judged = points(evidence)
    programs_list = programs.listing()
    proof = _proof(evidence, judged, clock, programs_list)
    files = {
        TEXT: words.text(proof, judged).encode(),
        PROGRAMS: programs_list,
        PROOF: json.dumps(proof, indent=1, ensure_ascii=False).encode() + b"\n",
    }
    sums = "".join(f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files)).encode()
    signed = _signed(config, hashlib.sha256(sums).hexdigest(), actor)
    files |= {
        SUMS: sums,
        STATEMENT: signed.statement,
        f"{STATEMENT}.sig": signed.signature,
        PUBLIC_KEY: signed.public_key,
    }
    with disk.made_whole(to) as half:
        disk.create_together(half, files)
    return judged


def look(config: Config, *, seal: Seal, clock: Clock) -> Evidence:
    """Read everything once."""
    units = sandbox.units(ROOT)
    panel, _ = answer(config, "panel", PanelStatus)
    recorder, recorder_said = answer(config, "recorder", RecorderStatus)
    vault, vault_said = answer(config, "vault", VaultStatus)
    shown = service(config, next((unit for unit in units or () if unit.process == "service"), None))
    return Evidence(
        config=config,
        running=(panel, recorder, vault, shown),
        recorder=recorder_said,
        vault=vault_said,
        units=units,
        findings=check(config, seal=seal, today=Today.of(clock)),
    )


def failed(judged: list[Point]) -> int:
    return sum(point.seen is Seen.FAILED for point in judged)


def _signed(config: Config, digest: str, actor: str) -> Signed:
    reply = ask(config.paths, Request(verb=Verb.PROOF_SIGN, digest=digest, actor=actor))
    if reply.error:
        raise Refused(reply.error)
    match reply.data:
        case {"statement": str(statement), "signature": str(signature), "public_key": str(public_key)}:
            return Signed(
                statement=statement.encode(), signature=bytes.fromhex(signature), public_key=public_key.encode()
            )
    raise VaultAway(f"the vault at {config.paths.clips_socket} answers something else; is it of this version?")


def _proof(evidence: Evidence, judged: list[Point], clock: Clock, programs_list: bytes) -> dict[str, Any]:
    """All that the text says and all that it was judged by. What processes hold open is counted, not named."""
    recorder, vault = evidence.recorder, evidence.vault
    return {
        "format": FORMAT,
        "made_at": iso(clock.wall_ns()),
        "is_clock_trusted": clock.is_trusted(),
        "is_made_by_root": os.geteuid() == 0,
        "room": evidence.config.room.name,
        "building": evidence.config.room.building,
        "camera": evidence.config.camera.source.partition(":")[0],
        "microphone": evidence.config.microphone.mode,
        "versions": programs.versions(),
        "programs": {"sha256": hashlib.sha256(programs_list).hexdigest(), "files": programs_list.count(b"\n")},
        "points": [asdict(point) for point in judged],
        "processes": {running.name: _kernel(running.process) for running in evidence.running},
        "units": None if evidence.units is None else {unit.name: dict(unit.shown) for unit in evidence.units},
        "ring": None if recorder is None else asdict(recorder.ring),
        "ledger": None if vault is None else asdict(vault.ledger),
        "findings": [asdict(finding) for finding in evidence.findings],
    }


def _kernel(process: Any) -> Mapping[str, Any] | None:
    if process is None:
        return None
    found = asdict(process)
    if found["open"] is not None:  # the vault's files have the numbers of clips in their names
        found["open"] = {"kinds": found["open"]["kinds"], "writable": len(found["open"]["writable"])}
    return found
