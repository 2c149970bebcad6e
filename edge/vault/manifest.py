"""The manifest of a finished clip: what is in it, each segment's hash, and a chain over them. Pure; `clips` writes it.

The chain can be followed with stock tools: it starts with `sha256sum birth.json`, and each link is
`printf %s%s CHAIN_BEFORE SHA256_OF_SEGMENT | sha256sum`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Literal

from edge.clock import iso
from edge.messages import ClipFacts
from edge.vault.records import BirthRecord, Manifest, SegmentEntry


def segment_name(number: int) -> str:
    return f"{number:04d}.age"


def chained(birth: bytes, segments: Sequence[tuple[str, int]]) -> tuple[SegmentEntry, ...]:
    """The segments, given as hash and size in their order, with the chain that starts at the birth's bytes."""
    entries: list[SegmentEntry] = []
    chain = hashlib.sha256(birth).hexdigest()
    for number, (sha256, size) in enumerate(segments):
        chain = hashlib.sha256(f"{chain}{sha256}".encode()).hexdigest()
        entries.append(SegmentEntry(name=segment_name(number), bytes=size, sha256=sha256, chain=chain))
    return tuple(entries)


def build(
    birth: BirthRecord,
    birth_bytes: bytes,
    segments: Sequence[tuple[str, int]],
    *,
    state: Literal["complete", "interrupted"],
    true_wall_ns: int | None,
    media_ms: int | None,
    facts: ClipFacts | None,
    ledger_head: str,
) -> Manifest:
    """The manifest. `true_wall_ns` is the press's wall time if a trusted clock ever knew it."""
    wall_ns = birth.pressed_wall_ns if true_wall_ns is None else true_wall_ns
    return Manifest(
        clip=birth.clip,
        state=state,
        incident=birth.incident,
        continues=birth.continues,
        pressed_at=iso(wall_ns),
        pressed_wall_ns=wall_ns,
        is_wall_trusted=true_wall_ns is not None,
        pressed_ns=birth.pressed_ns,
        boot_id=birth.boot_id,
        powered_on_ns=birth.powered_on_ns,
        birth_sha256=hashlib.sha256(birth_bytes).hexdigest(),
        segments=chained(birth_bytes, segments),
        media_ms=media_ms,
        facts=facts,
        sources=birth.sources,
        software=birth.software,
        ledger_head=ledger_head,
    )
