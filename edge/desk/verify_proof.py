"""Is a pack of evidence what the device signed? Offline, by a public key and hashes alone. Reads, never writes.

Nothing here comes from the code that writes it: the format is that of docs/prove.md, which tells how to check the same
by hand. That the evidence is true nobody can check afterwards; that it is what the device signed then, anybody.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature

from edge.desk.verify_shapes import PUBLIC_KEY, fingerprint_of, json_object, loaded_key, plain
from edge.errors import Refused

_SUMS: Final = "SHA256SUMS"
_STATEMENT: Final = "statement.txt"
_BESIDE: Final = frozenset({_SUMS, _STATEMENT, f"{_STATEMENT}.sig", PUBLIC_KEY})
_LISTED: Final = re.compile(r"([0-9a-f]{64})  ([A-Za-z0-9.]+)", re.ASCII)
_SAYS: Final = re.compile(
    rb"spreekkamer proof 1\nfiles ([0-9a-f]{64})\n"
    rb"at (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ) (trusted|untrusted)\nledger (\d{1,18}) ([0-9a-f]{64})\n",
    re.ASCII,
)
_LIMIT: Final = 16 * 1024 * 1024  # bytes of a file


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What is wrong, and what the pack says of itself where nothing is."""

    problems: tuple[str, ...]
    says: str

    @property
    def is_ok(self) -> bool:
        return not self.problems


def check(folder: Path, *, key: Path | None = None, fingerprint: str = "") -> Found:
    """Check a pack. `key` or `fingerprint` is the device's, noted elsewhere. Raises Refused when there is no pack at all."""
    if not (folder / _STATEMENT).is_file():
        raise Refused(f"{folder}: holds no {_STATEMENT}; name the folder that `spreekkamer prove` made")
    public = loaded_key(key or folder / PUBLIC_KEY)
    of_key = fingerprint_of(public)
    problems: list[str] = []
    if fingerprint and fingerprint.strip().lower().replace(":", "") != of_key:
        problems.append(f"the key is of another device: its fingerprint is {of_key}")
    statement, sums = _content(folder / _STATEMENT), _content(folder / _SUMS)
    try:
        public.verify(_content(folder / f"{_STATEMENT}.sig"), statement)
    except InvalidSignature:
        problems.append(f"{_STATEMENT}: not signed by this device, or changed since")
    said = _SAYS.fullmatch(statement)
    if said is None:
        problems.append(f"{_STATEMENT}: not a statement about a proof")
    elif hashlib.sha256(sums).hexdigest() != said[1].decode():
        problems.append(f"{_SUMS}: not the list that was signed")
    problems += _files(folder, sums)
    return Found(problems=tuple(problems), says="" if said is None else _told(folder, said, of_key))


def _files(folder: Path, sums: bytes) -> list[str]:
    """Every listed file is as it was listed, and nothing lies beside them."""
    listed: dict[str, str] = {}
    for line in sums.decode("utf-8", "replace").splitlines():
        if entry := _LISTED.fullmatch(line):
            listed[entry[2]] = entry[1]
        else:
            return [f"{_SUMS}: {plain(line, 80)!r} is no line of a list of hashes"]
    problems = [
        f"{plain(path.name, 80)}: not in the list, put in later"
        for path in sorted(folder.iterdir())
        if path.name not in _BESIDE and path.name not in listed
    ]
    for name, sha256 in listed.items():
        if not (folder / name).is_file():
            problems.append(f"{name}: missing")
        elif hashlib.sha256(_content(folder / name)).hexdigest() != sha256:
            problems.append(f"{name}: changed since it was signed")
    return problems


def _told(folder: Path, said: re.Match[bytes], of_key: str) -> str:
    at, trust, seq, head = (group.decode() for group in said.groups()[1:])
    clock = "a clock kept right by the network" if trust == "trusted" else "a clock that nothing kept right"
    lines = [
        f"signed at {at} by {clock}, with the key {of_key}",
        f"ledger: up to entry {seq}, head {head}",
    ]
    proof = json_object(_content(folder / "proof.json")) if (folder / "proof.json").is_file() else None
    judged = proof.get("points") if proof else None
    if isinstance(judged, list):
        seen = [str(point.get("seen")) for point in judged if isinstance(point, dict)]
        counts = ", ".join(f"{seen.count(kind)} {kind}" for kind in ("shown", "failed", "unseen"))
        lines.append(f"points: {counts}")
    return "\n".join(lines)


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            found = file.read(_LIMIT + 1)
    except OSError as err:
        raise Refused(f"{path}: cannot be read: {err.strerror}") from err
    if len(found) > _LIMIT:
        raise Refused(f"{path}: larger than any file of a proof")
    return found
