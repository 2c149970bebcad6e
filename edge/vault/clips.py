"""The folder of one clip: the numbered procedures that change it. No decisions about time; `reading` reads it back.

    store/clips/<id>/   birth.json 0000.age 0001.age … press-wall.json hold-1.json … outcome-1.json … manifest.json
    sighting.json, in want of a sound birth; each JSON has a detached signature beside it (`birth.json.sig`)

CREATE  1. ledger entry, the folder  2. the signature, the birth: temp, fsync, link, in this order  3. fsync the folder, fsync its
        parent. Only then is the birth acknowledged. Cut before 3: a folder without birth and segments, swept at start.
APPEND  1. the segment's temp file, fsync  2. link to its name  3. fsync the folder. Only then is it acknowledged.
        Cut before 3: the recorder sends it again; a temp file is swept at start.
CLOSE   1. ledger entry  2. the manifest's signature, the manifest, fsync the folder. Cut before 2: the clip is open,
        and becomes complete when the recorder closes it again, or interrupted when it does not come back.
HOLD    1. ledger entry  2. the signature, the record (a hold, a release, an outcome), fsync the folder. Only then is it
        answered. Cut before 2: the ledger tells of what was asked and is not there; nobody was told that it is.
DELETE  1. ledger entry "clip-delete"  2. rename the folder to store/trash, fsync both parents  3. overwrite the header
        of each segment, which holds its key, as far as that can be done; unlink every file
        4. fsync the folder, remove it, fsync trash  5. look: it is in neither place  6. ledger entry "clip-deleted".
        Cut after 1: the entry without receipt is found at start and the deletion begun anew. Cut after 2: what is in
        trash is finished from 3 at start and at each pass. Cut after 4: only the receipt is missing; start writes it.

A folder is written by the vault alone; both enforcers delete. All raise StoreError.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

from edge.durable import TEMP_SUFFIX, Disk
from edge.errors import StoreError
from edge.vault import records
from edge.vault.manifest import segment_name
from edge.vault.reading import SEGMENT, Clip, life_of_sighting, names_in
from edge.vault.records import BirthRecord, Sighting
from edge.vault.retention import Now
from edge.vault.signing import SIGNATURE_SUFFIX, DeviceKey
from edge.vault.store import Store

_AGE_HEADER_BYTES: Final = 4096  # of 16 recipients: about 1.7 kB


def sighted(disk: Disk, store: Store, key: DeviceKey, clip: Clip, now: Now, *, keep_ns: int) -> Clip:
    """The clip with a life counted from now, noted beside it: it has no sound birth, and must not live for ever."""
    sighting = Sighting(
        clip=clip.id,
        powered_on_ns=now.powered_on_ns,
        wall_ns=now.wall_ns if now.is_trusted else None,
        keep_ns=keep_ns,
    )
    write_signed(disk, store.clip(clip.id), key, records.SIGHTING, records.to_bytes(sighting))
    return replace(clip, life=life_of_sighting(sighting))


def create(disk: Disk, store: Store, key: DeviceKey, birth: BirthRecord) -> None:
    """Procedure CREATE."""
    folder = store.clip(birth.clip)
    disk.make_folder(folder)
    if any(SEGMENT.fullmatch(name) for name in names_in(folder)):
        raise StoreError(f"{folder}: holds footage already")
    write_signed(disk, folder, key, records.BIRTH, records.to_bytes(birth))


def append(disk: Disk, store: Store, clip: str, number: int, sealed: bytes | memoryview) -> None:
    """Procedure APPEND."""
    path = store.clip(clip) / segment_name(number)
    if path.exists():  # an attempt that failed after its link, so it was never acknowledged
        disk.unlink(path)
    disk.create(path, sealed)


def write_signed(disk: Disk, folder: Path, key: DeviceKey, name: str, raw: bytes) -> None:
    """A record and its signature; the signature first, so that a record is never without.

    What an attempt that failed left under these names was never acknowledged, and goes first.
    """
    disk.unlink(folder / name)
    disk.unlink(folder / (name + SIGNATURE_SUFFIX))
    disk.create_together(folder, {name + SIGNATURE_SUFFIX: key.sign(raw), name: raw})


def reopen(disk: Disk, store: Store, clip: str) -> None:
    """Take back the manifest of an interrupted clip: its recorder came back with the rest."""
    folder = store.clip(clip)
    disk.unlink(folder / records.MANIFEST)
    disk.unlink(folder / (records.MANIFEST + SIGNATURE_SUFFIX))
    disk.sync_folder(folder)


def delete(disk: Disk, store: Store, clip: str, receipt: Callable[[], None]) -> None:
    """Procedure DELETE from 2 on; the caller wrote entry 1, and `receipt` writes entry 6."""
    folder, trashed = store.clip(clip), store.trashed(clip)
    if folder.exists():
        if trashed.exists():  # an earlier one with this number that could not be removed
            _empty(disk, trashed)
        disk.rename(folder, trashed)
    finish(disk, store, clip, receipt)


def finish(disk: Disk, store: Store, clip: str, receipt: Callable[[], None]) -> None:
    """Procedure DELETE from 3 on."""
    folder, trashed = store.clip(clip), store.trashed(clip)
    _empty(disk, trashed)
    if os.path.lexists(trashed) or os.path.lexists(folder):
        raise StoreError(f"{trashed}: still there after it was removed")
    receipt()


def sweep_temps(disk: Disk, folder: Path) -> None:
    """Remove temp files that a crash left."""
    names = [name for name in names_in(folder) if name.endswith(TEMP_SUFFIX)]
    for name in names:
        disk.unlink(folder / name)
    if names:
        disk.sync_folder(folder)


def sweep_unborn(disk: Disk, store: Store, clip: str) -> None:
    """Remove a folder that never got a birth."""
    _empty(disk, store.clip(clip))


def _empty(disk: Disk, folder: Path) -> None:
    if not folder.exists():
        return
    _empty_files(disk, folder, names_in(folder))
    disk.sync_folder(folder)
    disk.remove_folder(folder)


def _empty_files(disk: Disk, folder: Path, names: Iterable[str]) -> None:
    for name in names:
        path = folder / name
        if path.is_dir() and not path.is_symlink():  # nobody of ours makes one; it may not save the clip
            _empty(disk, path)
            continue
        if SEGMENT.fullmatch(name):
            # The header alone holds what the officer's key opens. Tried, not promised: flash may keep the old page.
            with contextlib.suppress(StoreError):
                disk.deface(path, _AGE_HEADER_BYTES)
        disk.unlink(path)
