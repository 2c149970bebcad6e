"""Is a copied clip what the device wrote? Offline, by public keys and hashes alone. Reads, never writes.

Nothing here comes from the code that writes it: the format is that of docs/verify.md, which tells how to check the
same by hand. A clip proves that the device of a public key made it; which device that is, only a key or a fingerprint
noted elsewhere can say.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from edge.clock import SECOND, iso
from edge.desk.verify_shapes import (
    HASH,
    PUBLIC_KEY,
    Is,
    count,
    each,
    fingerprint_of,
    first_unlike,
    is_claim,
    is_hash,
    is_number,
    is_text,
    is_whole,
    json_object,
    like,
    loaded_key,
    or_none,
    parsed_key,
    plain,
)
from edge.errors import Refused

_RECORD_LIMIT: Final = 16 * 1024 * 1024  # a manifest of 9999 segments has 2.5 MB
_CLIP: Final = re.compile(r"\d{8}T\d{6}Z-[2-9a-z]{4}", re.ASCII)
_SEGMENT: Final = re.compile(r"\d{4}\.age", re.ASCII)
_NUMBERED: Final = re.compile(r"(hold|outcome)-([1-9]\d{0,3})\.json", re.ASCII)


# What a record holds. A field that is not named here is passed over.


def _is_clip(value: object) -> bool:
    return isinstance(value, str) and _CLIP.fullmatch(value) is not None


def _is_segment_name(value: object) -> bool:
    return isinstance(value, str) and _SEGMENT.fullmatch(value) is not None


def _is_gap(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(is_whole, value))


_SEGMENT_ENTRY: Final = {"name": _is_segment_name, "bytes": is_whole, "sha256": is_hash, "chain": is_hash}
_FACTS: Final = {
    "pre_roll_asked_ms": is_whole,
    "pre_roll_delivered_ms": is_whole,
    "post_roll_ms": is_whole,
    "picture_frames": is_whole,
    "picture_gaps_ms": each(_is_gap),
    "sound_gaps_ms": each(_is_gap),
    "frames_dropped": is_whole,
    "sound_dropped": is_whole,
    "sound_offset_ms": or_none(is_number),
    "picture": is_text,
    "sound": or_none(is_text),
    "ended_by": is_text,
}
_BORN: Final = {  # what birth and manifest both say
    "incident": is_text,
    "continues": or_none(_is_clip),
    "pressed_ns": is_whole,
    "boot_id": is_text,
    "powered_on_ns": is_whole,
    "sources": each(is_text),
    "software": is_text,
}
_PRESS: Final = {"pressed_wall_ns": is_whole, "is_wall_trusted": is_claim}
_ACT: Final = {"number": is_whole, "actor": is_text, "at_wall_ns": is_whole, "is_wall_trusted": is_claim}
_SHAPES: Final[Mapping[str, Mapping[str, Is]]] = {
    "birth": {**_BORN, **_PRESS, "retention_s": is_whole, "pre_roll_asked_ms": is_whole},
    "press-wall": {"pressed_wall_ns": is_whole},
    "hold": {
        **_ACT,
        "is_released": is_claim,
        "reason": or_none(is_text),
        "press_powered_on_ns": is_whole,
        "until_age_ns": is_whole,
    },
    "outcome": {**_ACT, "outcome": is_text},
    "manifest": {
        **_BORN,
        **_PRESS,
        "state": is_text,
        "pressed_at": is_text,
        "birth_sha256": is_hash,
        "segments": each(like(_SEGMENT_ENTRY)),
        "media_ms": or_none(is_whole),
        "facts": or_none(like(_FACTS)),
        "ledger_head": is_hash,
    },
}
_ENDED: Final = {
    "until": "its time, or a reset",
    "private": "the private switch",
    "panel-lost": "the panel did not come back",
    "stop": "the recorder was stopped",
    "failed": "it could not be made to its end",
    "source-changed": "the camera's form changed; another clip continues it",
    "too-large": "its size",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong, and in which file."""

    file: str
    what: str

    def __str__(self) -> str:
        return f"{plain(self.file)}: {self.what}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipFound:
    """What a check of a clip's folder found: what its sound records tell, and everything that is wrong."""

    clip: str
    facts: tuple[tuple[str, str], ...]
    problems: tuple[Problem, ...]

    @property
    def is_ok(self) -> bool:
        return not self.problems

    def __str__(self) -> str:
        lines = [f"clip {self.clip or '(unknown)'}"]
        lines += [f"  {name:<20}{plain(value)}" for name, value in self.facts]
        lines += [f"  WRONG  {problem}" for problem in self.problems]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Record:
    """One record: its exact bytes, its fields of the right types, and whether the device signed it."""

    name: str
    raw: bytes
    fields: Mapping[str, Any]
    is_signed: bool


def check(folder: Path, *, key: Path | None = None, fingerprint: str = "") -> ClipFound:
    """Check a clip's folder, whole. `key` or `fingerprint` say which device it must come from.

    Raises Refused when the folder or the given key cannot be read.
    """
    return _Check(folder, key, fingerprint).run()


class _Check:
    """One check of one folder; `run` once."""

    def __init__(self, folder: Path, key: Path | None, fingerprint: str) -> None:
        self._folder = folder
        self._problems: list[Problem] = []
        self._unsigned: list[str] = []
        self._sound = 0
        try:
            with os.scandir(folder) as entries:
                kinds = {entry.name: entry.is_file(follow_symlinks=False) for entry in entries}
        except OSError as err:
            raise Refused(f"{folder}: cannot be read: {err.strerror}; give the folder of one clip") from err
        self._names = sorted(kinds)
        for name in self._names:
            if not kinds[name]:
                self._wrong(name, "not a plain file")
        self._files = frozenset(name for name in self._names if kinds[name])
        self._is_pinned = key is not None or bool(fingerprint)
        self._key = self._device_key(key, fingerprint)

    def run(self) -> ClipFound:
        birth = self._record("birth.json", "birth", "nothing says when the button was pressed")
        manifest = self._record("manifest.json", "manifest", "nothing says which segments there were")
        press_wall = self._record("press-wall.json", "press-wall")
        holds, outcomes = self._numbered("hold"), self._numbered("outcome")
        stored = {name: found for name in self._files if _SEGMENT.fullmatch(name) and (found := self._hashed(name))}
        clip = self._owner(birth, manifest, stored)
        others = [record for record in (press_wall, *holds, *outcomes) if record is not None]
        for record in (birth, manifest, *others):
            if record is not None and record.fields["clip"] != clip:
                self._wrong(record.name, f"of clip {record.fields['clip']}, not of {clip}")
        birth, manifest = _of(clip, birth), _of(clip, manifest)
        if manifest is not None:
            self._segments(manifest.fields["segments"], stored)
            self._chain(manifest.fields)
        if birth is not None and manifest is not None:
            self._agree(birth, manifest, _of(clip, press_wall))
        if birth is not None:
            self._of_this_press(holds, birth)
        self._strangers()
        self._signatures()
        facts = self._facts(_signed(birth), _signed(manifest), _signed(press_wall), holds, outcomes)
        return ClipFound(clip=clip, facts=facts, problems=tuple(self._problems))

    def _wrong(self, name: str, what: str) -> None:
        self._problems.append(Problem(file=name, what=what))

    # Whose it is

    def _device_key(self, given: Path | None, fingerprint: str) -> Ed25519PublicKey | None:
        """The key to check with; None when there is none, or when it is not the one that was asked for."""
        wanted = re.sub(r"[\s:]", "", fingerprint).lower()
        if fingerprint and not HASH.fullmatch(wanted):
            raise Refused(f"{fingerprint[:80]!r} is not a fingerprint: 64 hexadecimal digits")
        here = self._key_in_folder()
        if given is not None:
            key = loaded_key(given)
            if wanted and fingerprint_of(key) != wanted:
                raise Refused(f"{given}: its fingerprint is {fingerprint_of(key)}, not the one that was given")
            if here is not None and fingerprint_of(here) != fingerprint_of(key):
                self._wrong(PUBLIC_KEY, f"the key of another device ({fingerprint_of(here)}), not the one given")
            return key
        if here is None:
            if PUBLIC_KEY not in self._names:
                self._wrong(PUBLIC_KEY, "missing: put the device's public key here, or give it with --key")
            return None
        if wanted and fingerprint_of(here) != wanted:
            self._wrong(PUBLIC_KEY, f"the key of another device: its fingerprint is {fingerprint_of(here)}")
            return None
        return here

    def _key_in_folder(self) -> Ed25519PublicKey | None:
        raw = self._read(PUBLIC_KEY) if PUBLIC_KEY in self._files else None
        if raw is None:
            return None
        key = parsed_key(raw)
        if key is None:
            self._wrong(PUBLIC_KEY, "not an Ed25519 public key in PEM")
        elif raw != key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo):
            self._wrong(PUBLIC_KEY, "changed: the same key, but not as the device writes it")
        return key

    def _signatures(self) -> None:
        """Tell which records are not signed; when none is, the key is the likelier culprit."""
        if self._sound == 0 and len(self._unsigned) > 1:
            records = ", ".join(self._unsigned)
            self._wrong(PUBLIC_KEY, f"signed none of {records}: it is another device's key, or they are")
            return
        for name in self._unsigned:
            self._wrong(name, "not signed by the device: changed, or another device's (or its signature was changed)")

    def _owner(self, birth: _Record | None, manifest: _Record | None, stored: Mapping[str, tuple[str, int]]) -> str:
        """Whose folder this is: its name says so, else the manifest that fits a segment, else the birth."""
        if _CLIP.fullmatch(self._folder.resolve().name):
            return self._folder.resolve().name
        fits = manifest is not None and any(
            stored.get(entry["name"], ("", 0))[0] == entry["sha256"] for entry in manifest.fields["segments"]
        )
        chosen = manifest if fits or birth is None else birth
        return "" if chosen is None else str(chosen.fields["clip"])

    # Reading

    def _read(self, name: str) -> bytes | None:
        try:
            with (self._folder / name).open("rb") as file:
                raw = file.read(_RECORD_LIMIT + 1)
        except OSError as err:
            self._wrong(name, f"cannot be read: {err.strerror}")
            return None
        if len(raw) > _RECORD_LIMIT:
            self._wrong(name, "longer than any record")
            return None
        return raw

    def _hashed(self, name: str) -> tuple[str, int] | None:
        try:
            with (self._folder / name).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest(), file.tell()
        except OSError as err:
            self._wrong(name, f"cannot be read: {err.strerror}")
            return None

    def _record(self, name: str, kind: str, without: str = "") -> _Record | None:
        """A record that can be used, signed or not. `without` says why it must be there."""
        if name not in self._names and without:
            self._wrong(name, f"missing: {without}")
        raw = self._read(name) if name in self._files else None
        if raw is None:
            return None
        is_signed = self._is_signed(name, raw)
        fields = json_object(raw)
        if fields is None:
            self._wrong(name, "not a record: no JSON object")
            return None
        if fields.get("kind") != kind or not _is_clip(fields.get("clip")):
            self._wrong(name, f"not a {kind} of a clip: its kind is {plain(json.dumps(fields.get('kind')))}")
            return None
        odd = first_unlike(_SHAPES[kind], fields)
        if odd:
            self._wrong(name, f"{odd} is missing or is not what it should be")
            return None
        return _Record(name=name, raw=raw, fields=fields, is_signed=is_signed)

    def _is_signed(self, name: str, raw: bytes) -> bool:
        signature_name = f"{name}.sig"
        if signature_name not in self._names:
            self._wrong(name, f"not signed: {signature_name} is missing")
            return False
        signature = self._read(signature_name) if signature_name in self._files else None
        if self._key is None or signature is None:
            return False
        try:
            self._key.verify(signature, raw)
        except InvalidSignature:
            self._unsigned.append(name)
            return False
        self._sound += 1
        return True

    def _numbered(self, kind: str) -> list[_Record]:
        """The records `hold-1.json`, `hold-2.json` … in their order."""
        numbers = sorted(
            int(match[2]) for name in self._names if (match := _NUMBERED.fullmatch(name)) and match[1] == kind
        )
        for number in sorted(set(range(1, max(numbers, default=0))) - set(numbers)):
            self._wrong(f"{kind}-{number}.json", f"missing: there is a {kind}-{numbers[-1]}.json")
        found = [record for number in numbers if (record := self._record(f"{kind}-{number}.json", kind))]
        for record in found:
            if record.name != (its := f"{kind}-{record.fields['number']}.json"):
                self._wrong(record.name, f"holds what belongs in {its}")
        return found

    # Comparing

    def _segments(self, entries: Sequence[Mapping[str, Any]], stored: Mapping[str, tuple[str, int]]) -> None:
        places = {entry["sha256"]: entry["name"] for entry in reversed(entries)}
        wanted = {entry["name"]: (entry["sha256"], entry["bytes"]) for entry in entries}
        for name, (sha256, size) in wanted.items():
            if name not in stored:
                if name not in self._names:
                    self._wrong(name, f"missing: a segment of {size} bytes")
                continue
            found, found_size = stored[name]
            if found == sha256:
                continue
            if found in places:
                self._wrong(name, f"exchanged: holds what belongs in {places[found]}")
            elif found_size != size:
                self._wrong(name, f"{'cut short' if found_size < size else 'too long'}: {found_size} bytes, not {size}")
            else:
                self._wrong(name, "changed or foreign: not the bytes that the manifest names")
        for name in sorted(stored.keys() - wanted.keys()):
            place = places.get(stored[name][0])
            self._wrong(name, f"not in the manifest{f': holds what belongs in {place}' if place else ', put in'}")

    def _chain(self, manifest: Mapping[str, Any]) -> None:
        chain = manifest["birth_sha256"]
        for number, entry in enumerate(manifest["segments"]):
            chain = hashlib.sha256(f"{chain}{entry['sha256']}".encode()).hexdigest()
            if entry["name"] != f"{number:04d}.age":
                self._wrong("manifest.json", f"names {entry['name']} where {number:04d}.age belongs")
                return
            if entry["chain"] != chain:
                self._wrong("manifest.json", f"the chain breaks at {entry['name']}")
                return

    def _agree(self, birth: _Record, manifest: _Record, press_wall: _Record | None) -> None:
        """What birth and manifest both say must be the same."""
        if hashlib.sha256(birth.raw).hexdigest() != manifest.fields["birth_sha256"]:
            self._wrong("birth.json", "not the birth that the manifest was made from")
        for field in _BORN:
            if birth.fields[field] != manifest.fields[field]:
                self._wrong("manifest.json", f"{field} is not that of the birth")
        wall_ns = manifest.fields["pressed_wall_ns"]
        source = birth
        if manifest.fields["is_wall_trusted"] and not birth.fields["is_wall_trusted"]:
            if press_wall is None:
                if "press-wall.json" not in self._names:
                    self._wrong("press-wall.json", "missing: the manifest's time of the press rests on it")
                return
            source = press_wall
        if wall_ns != source.fields["pressed_wall_ns"] or manifest.fields["pressed_at"] != iso(wall_ns):
            self._wrong("manifest.json", f"the time of the press is not that of {source.name}")

    def _of_this_press(self, holds: Sequence[_Record], birth: _Record) -> None:
        for hold in holds:
            if hold.fields["press_powered_on_ns"] != birth.fields["powered_on_ns"]:
                self._wrong(hold.name, "counts from another press than the birth's")

    def _strangers(self) -> None:
        for name in self._names:
            record = name.removesuffix(".sig")
            is_record = record in ("birth.json", "press-wall.json", "manifest.json") or _NUMBERED.fullmatch(record)
            if is_record and name != record and record not in self._names:
                self._wrong(name, f"a signature without {record}")
            elif name == "sighting.json":
                self._wrong(name, "the vault found no sound birth here; this note of it is not signed")
            elif not is_record and name != PUBLIC_KEY and not _SEGMENT.fullmatch(name):
                self._wrong(name, "does not belong to a clip")

    # Telling

    def _facts(
        self,
        birth: Mapping[str, Any] | None,
        manifest: Mapping[str, Any] | None,
        press_wall: Mapping[str, Any] | None,
        holds: Sequence[_Record],
        outcomes: Sequence[_Record],
    ) -> tuple[tuple[str, str], ...]:
        """What the signed records tell, for a person to read."""
        told: list[tuple[str, str]] = []
        if self._key is not None and self._sound:
            whose = "as given" if self._is_pinned else "compare it with the one noted at installation"
            told.append(("signed by", f"device key {fingerprint_of(self._key)} ({whose})"))
        if manifest is not None:
            told += _told_by_manifest(manifest)
        if birth is not None:
            if manifest is None:
                told.append(("pressed", _pressed(birth)))
            told.append(("promised", f"{birth['pre_roll_asked_ms'] / 1000:g} s before the press, kept {_hours(birth)}"))
            told.append(("continues", birth["continues"] or "no other clip"))
        if press_wall is not None:
            told.append(("press, corrected", f"{iso(press_wall['pressed_wall_ns'])}, once the network kept the clock"))
        if holds and holds[-1].is_signed and birth is not None:
            wall_ns = (press_wall or manifest or birth)["pressed_wall_ns"]
            told.append(("hold", _told_by_hold(holds[-1].fields, wall_ns)))
        if outcomes and outcomes[-1].is_signed:
            told.append(("outcome", f"{outcomes[-1].fields['outcome']}, by {outcomes[-1].fields['actor']}"))
        if manifest is not None:
            told.append(("ledger's head", manifest["ledger_head"]))
        return tuple(told)


def _told_by_manifest(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    reach = "an unknown length" if manifest["media_ms"] is None else f"{manifest['media_ms'] / 1000:g} s of picture"
    facts = manifest["facts"]
    told = [("pressed", _pressed(manifest))]
    told.append(("footage", f"{count(len(manifest['segments']), 'segment', 'segments')}, {reach}, {manifest['state']}"))
    if facts is None:
        told.append(("recorder", "did not come back to tell about gaps, drops and the end"))
    else:
        asked, delivered = facts["pre_roll_asked_ms"] / 1000, facts["pre_roll_delivered_ms"] / 1000
        offset = facts["sound_offset_ms"]
        told += [
            ("before the press", f"{delivered:g} s, asked {asked:g} s"),
            ("after the press", f"{facts['post_roll_ms'] / 1000:g} s"),
            ("picture gaps", _gaps(facts["picture_gaps_ms"])),
            ("sound gaps", _gaps(facts["sound_gaps_ms"]) if facts["sound"] else "no sound"),
            (
                "dropped",
                (
                    f"{count(facts['frames_dropped'], 'picture', 'pictures')}, {facts['sound_dropped']} of sound "
                    f"(in the clip: {count(facts['picture_frames'], 'picture', 'pictures')})"
                ),
            ),
            ("sound's offset", "no sound" if offset is None else f"corrected by at most {offset:g} ms"),
            ("ended by", _ENDED.get(facts["ended_by"], facts["ended_by"])),
            ("form", f"{facts['picture']}; {facts['sound'] or 'no sound'}"),
        ]
    told.append(("source", ", ".join(manifest["sources"]) or "none"))
    told.append(("software", manifest["software"]))
    return told


def _pressed(record: Mapping[str, Any]) -> str:
    trust = "the network kept the clock" if record["is_wall_trusted"] else "the clock was NOT kept by the network"
    return f"{iso(record['pressed_wall_ns'])}, {trust}; {record['pressed_ns'] / SECOND:.3f} s after boot {record['boot_id']}"


def _told_by_hold(hold: Mapping[str, Any], pressed_wall_ns: int) -> str:
    if hold["is_released"]:
        return f"released, by {hold['actor']}"
    return f"until {iso(pressed_wall_ns + hold['until_age_ns'])} ({hold['reason']}, by {hold['actor']})"


def _hours(birth: Mapping[str, Any]) -> str:
    return f"{birth['retention_s'] / 3600:g} h"


def _gaps(gaps: Sequence[Sequence[int]]) -> str:
    return ", ".join(f"{length / 1000:g} s at {start / 1000:g} s" for start, length in gaps) or "none"


def _of(clip: str, record: _Record | None) -> _Record | None:
    return record if record is not None and record.fields["clip"] == clip else None


def _signed(record: _Record | None) -> Mapping[str, Any] | None:
    return record.fields if record is not None and record.is_signed else None
