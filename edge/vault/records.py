"""What the vault writes about a clip: signed JSON values, each bound to its clip and its kind. Values only.

A signature covers the exact bytes of the file. `kind` and `clip` are inside, so that no record can stand in for
another, or for the same record of another clip.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeVar

from edge.errors import BadMessage
from edge.messages import Birth, ClipFacts, HoldReason, Outcome, decode, encode

BIRTH: Final = "birth.json"
PRESS_WALL: Final = "press-wall.json"
MANIFEST: Final = "manifest.json"
SIGHTING: Final = "sighting.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class BirthRecord:
    """A clip's birth and its promise. Nanoseconds; `*_ns` on BOOTTIME of `boot_id` unless the name says otherwise."""

    kind: Literal["birth"] = "birth"
    clip: str
    incident: str
    pressed_ns: int
    pressed_wall_ns: int
    is_wall_trusted: bool
    boot_id: str
    powered_on_ns: int  # the device's counter at the press
    born_powered_on_ns: int  # the counter at the birth: orders the clips of one incident
    retention_s: int  # the promise: gone at this age
    continues: str | None
    pre_roll_asked_ms: int
    sources: tuple[str, ...]
    software: str

    def is_birth_of(self, message: Birth) -> bool:
        """The recorder tells of the same birth again."""
        return (
            self.clip == message.clip
            and self.incident == message.incident
            and self.pressed_ns == message.pressed_ns
            and self.pressed_wall_ns == message.pressed_wall_ns
            and self.is_wall_trusted == message.is_wall_trusted
            and self.boot_id == message.boot_id
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PressWall:
    """The press's true wall time, worked out when the clock became trusted in the same boot."""

    kind: Literal["press-wall"] = "press-wall"
    clip: str
    pressed_wall_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldRecord:
    """A hold, or its release; the one with the highest number counts. It stands by itself, should the birth be lost."""

    kind: Literal["hold"] = "hold"
    clip: str
    number: int  # that of its file's name, so that an old one cannot be put back under a new name
    is_released: bool
    reason: HoldReason | None  # None: a release
    actor: str
    uid: int
    at_wall_ns: int
    is_wall_trusted: bool
    press_powered_on_ns: int
    press_wall_ns: int | None  # only when a trusted clock knew it
    until_age_ns: int  # the clip's age at which the hold ends


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeRecord:
    """What it was, from the closed list."""

    kind: Literal["outcome"] = "outcome"
    clip: str
    number: int
    outcome: Outcome
    actor: str
    uid: int
    at_wall_ns: int
    is_wall_trusted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """When a clip without a sound birth was first seen: its 72 hours count from here."""

    kind: Literal["sighting"] = "sighting"
    clip: str
    powered_on_ns: int
    wall_ns: int | None
    keep_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentEntry:
    """One segment in the manifest. `chain` is the SHA-256 of the chain before it and its own hash, both as hex text."""

    name: str
    bytes: int
    sha256: str
    chain: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A finished clip, for custody (R23)."""

    kind: Literal["manifest"] = "manifest"
    clip: str
    state: Literal["complete", "interrupted"]
    incident: str
    continues: str | None
    pressed_at: str  # ISO, UTC
    pressed_wall_ns: int
    is_wall_trusted: bool
    pressed_ns: int
    boot_id: str
    powered_on_ns: int
    birth_sha256: str  # the chain starts here
    segments: tuple[SegmentEntry, ...]
    media_ms: int | None  # how far the picture reaches; None: interrupted, and nobody knows any more
    facts: ClipFacts | None  # None: the recorder did not come back to tell
    sources: tuple[str, ...]
    software: str
    ledger_head: str  # at that moment: with it the manifest vouches for the ledger up to there


R = TypeVar("R", BirthRecord, PressWall, HoldRecord, OutcomeRecord, Sighting, Manifest)


def to_bytes(record: R) -> bytes:
    return encode(record) + b"\n"


def from_bytes(kind: type[R], clip: str, raw: bytes) -> R:
    """The record in `raw`. Raises BadMessage when it is not a `kind` of this clip."""
    record = decode(kind, raw)
    if record.clip != clip:
        raise BadMessage(f"a {record.kind} of another clip")
    return record
