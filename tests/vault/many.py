"""A store with thousands of clips, made in a second or two: whole clips as the vault writes them, without its fsyncs."""

from __future__ import annotations

import hashlib
from pathlib import Path

from edge.clock import SECOND
from edge.durable import Disk
from edge.messages import CLIP_ID_ALPHABET, encode
from edge.ports import Clock
from edge.vault import signing
from edge.vault.manifest import segment_name
from edge.vault.powered_on import PoweredOn, Saved
from edge.vault.records import BIRTH, MANIFEST, BirthRecord, Manifest, SegmentEntry, to_bytes
from edge.vault.retention import DAY_NS, Now
from edge.vault.signing import SIGNATURE_SUFFIX, DeviceKey
from edge.vault.store import Store

SEALED = b"sealed" * 20


def number_of(index: int) -> str:
    """The clip's number; the higher the index, the later."""
    tail, base = "", len(CLIP_ID_ALPHABET)
    for place in range(4):
        tail = CLIP_ID_ALPHABET[index // base**place % base] + tail
    return f"20261122T101502Z-{tail}"


def make_many(
    store: Store,
    clock: Clock,
    count: int,
    *,
    age_s: int = 0,
    keep_s: int = 72 * 3600,
    first: int = 0,
    segments: int = 3,
) -> None:
    """Clips pressed `age_s` ago; the store is made when there is none, by a device that ran for a year."""
    disk = Disk()
    for folder in (store.root, store.clips, store.trash):
        disk.make_folder(folder)
    key = signing.load_or_make(disk, store, None)
    if not store.powered_on.exists():
        saved = Saved(powered_on_ns=365 * DAY_NS, boot_id=clock.boot_id, boot_ns=clock.boot_ns())
        disk.replace(store.powered_on, encode(saved))
    now = PoweredOn(disk, store.powered_on, clock).now()
    for index in range(first, first + count):
        number = number_of(index)
        folder = store.clip(number)
        folder.mkdir()
        names = [segment_name(each) for each in range(segments)]
        for name in names:
            (folder / name).write_bytes(SEALED)
        birth = _birth(number, now, age_s * SECOND, keep_s)
        _signed(folder, key, BIRTH, to_bytes(birth))
        _signed(folder, key, MANIFEST, to_bytes(_manifest(birth, names)))


def _signed(folder: Path, key: DeviceKey, name: str, raw: bytes) -> None:
    (folder / name).write_bytes(raw)
    (folder / (name + SIGNATURE_SUFFIX)).write_bytes(key.sign(raw))


def _birth(number: str, now: Now, age_ns: int, keep_s: int) -> BirthRecord:
    return BirthRecord(
        clip=number,
        incident=f"of-{number}",
        pressed_ns=now.boot_ns - age_ns,
        pressed_wall_ns=now.wall_ns - age_ns,
        is_wall_trusted=now.is_trusted,
        boot_id=now.boot_id,
        powered_on_ns=now.powered_on_ns - age_ns,
        born_powered_on_ns=now.powered_on_ns - age_ns,
        retention_s=keep_s,
        continues=None,
        pre_roll_asked_ms=30_000,
        sources=("camera",),
        software="spreekkamer 0.1.0",
    )


def _manifest(birth: BirthRecord, names: list[str]) -> Manifest:
    sha256 = hashlib.sha256(SEALED).hexdigest()
    return Manifest(
        clip=birth.clip,
        state="complete",
        incident=birth.incident,
        continues=None,
        pressed_at="2026-11-22T10:15:02Z",
        pressed_wall_ns=birth.pressed_wall_ns,
        is_wall_trusted=birth.is_wall_trusted,
        pressed_ns=birth.pressed_ns,
        boot_id=birth.boot_id,
        powered_on_ns=birth.powered_on_ns,
        birth_sha256=hashlib.sha256(to_bytes(birth)).hexdigest(),
        segments=tuple(SegmentEntry(name=name, bytes=len(SEALED), sha256=sha256, chain=sha256) for name in names),
        media_ms=1000 * len(names),
        facts=None,
        sources=birth.sources,
        software=birth.software,
        ledger_head="0" * 64,
    )
