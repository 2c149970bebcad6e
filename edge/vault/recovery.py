"""What a start finds and puts right, before anyone is answered. Called once, by the vault, under the store's lock.

START   1. temp files in the store's folder are removed  2. what is in trash is deleted to the end, with its receipt
        3. a deletion whose entry stands in the ledger without a receipt is begun anew, or gets its receipt
        4. each clip's folder is read: one without birth and footage is removed, temp files too; a clip without a sound
        birth gets a sighting, so that its hours count.
Each step may be cut and done again. A clip that fails is told and passed over: it must not keep the others waiting.
Clips without manifest stay open here; `passes` closes them as interrupted when no recorder comes back with them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from edge.durable import Disk
from edge.errors import NoSuchClip, StoreError
from edge.messages import CLIP_ID
from edge.vault import clips, reading
from edge.vault.ledger import Action, Ledger
from edge.vault.reading import Clip, Memo
from edge.vault.retention import Now
from edge.vault.signing import DeviceKey
from edge.vault.store import Store

_LOOK_BACK: Final = 256  # entries; a deletion's two entries stand together but for those of the other enforcer


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """What is in the store after a start."""

    clips: dict[str, Clip]
    begun: tuple[str, ...]  # deletions that could not be finished either
    failed: tuple[str, ...]


def recover(
    *, disk: Disk, store: Store, key: DeviceKey, ledger: Ledger, memos: Mapping[str, Memo], now: Now, keep_ns: int
) -> Recovered:
    """Procedure START. `keep_ns` is the life of a clip whose birth is lost. Raises StoreError when nothing can be read."""
    failed: list[str] = []
    found: dict[str, Clip] = {}

    def attempt(step: Callable[[str], None], number: str) -> None:
        try:
            step(number)
        except StoreError as err:
            failed.append(str(err))

    def finish(number: str) -> None:
        clips.finish(disk, store, number, partial(_receipt, ledger, number))

    def delete(number: str) -> None:
        clips.delete(disk, store, number, partial(_receipt, ledger, number))

    def take_up(number: str) -> None:
        clip = reading.read(store, number, key, memos.get(number))
        if clip is None:
            clips.sweep_unborn(disk, store, number)
            return
        found[number] = clip
        if clip.has_temps:
            clips.sweep_temps(disk, store.clip(number))
        if clip.life is None:
            ledger.append(Action.CLIP_DAMAGED, number, "; ".join(clip.problems))
            found[number] = clips.sighted(disk, store, key, clip, now, keep_ns=keep_ns)

    attempt(lambda _: clips.sweep_temps(disk, store.root), "")
    for number in reading.ids(store.trash):
        attempt(finish, number)
    begun = _begun(ledger)
    for number in begun:
        attempt(delete, number)
    with reading.reading_many():
        for number in reading.ids(store.clips):
            attempt(take_up, number)
    return Recovered(clips=found, begun=tuple(number for number in begun if number in found), failed=tuple(failed))


def _begun(ledger: Ledger) -> list[str]:
    """Deletions with an entry and no receipt. A hold that came after it takes the clip out: the deletion had failed."""
    settled: set[str] = set()
    begun: list[str] = []
    for entry in ledger.newest(_LOOK_BACK):
        clip = str(entry.get("object", ""))
        if entry.get("action") in (Action.CLIP_DELETED, Action.CLIP_HELD):
            settled.add(clip)
        elif entry.get("action") == Action.CLIP_DELETE and clip not in settled and CLIP_ID.fullmatch(clip):
            settled.add(clip)
            begun.append(clip)
    return begun


def _receipt(ledger: Ledger, clip: str) -> None:
    ledger.append(Action.CLIP_DELETED, clip, "gone", detail={"finished": "after-interruption"})


def read_or_none(
    store: Store, number: str, key: DeviceKey, memo: Memo | None = None, *, with_contents: bool = True
) -> Clip | None:
    """A clip's folder, or None when the other enforcer took it away meanwhile."""
    try:
        return reading.read(store, number, key, memo, with_contents=with_contents)
    except NoSuchClip:
        return None
