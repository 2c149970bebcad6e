"""The second enforcer, a process of its own run by a timer: deletes what is due by the births alone.

It needs neither the vault (dead or frozen) nor the catalog nor a sound configuration, and reads the same signed births
by the same rules, so it never deletes a clip before its hour. It waits at most 10 s for the store's lock, then goes on.
What it did it notes in the store, for the vault to see (`watch`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from edge.clock import SECOND
from edge.config import RETENTION_S, Config, StoreConfig
from edge.durable import Disk
from edge.errors import StoreError
from edge.ports import Clock
from edge.vault import catalog, clips, reading, recovery, retention, signing, watch
from edge.vault.ledger import Action, Ledger
from edge.vault.powered_on import PoweredOn
from edge.vault.reading import Clip
from edge.vault.retention import Life, Now
from edge.vault.signing import DeviceKey
from edge.vault.store import Store, StoreLock
from edge.vault.tally import EXPIRED

ORIGIN: Final = "purge"
_NAMED: Final = 3  # clips that a line names
_FAILURE_LIMIT: Final = 240  # characters of the note


@dataclass(frozen=True, slots=True, kw_only=True)
class Purged:
    """What one run did."""

    deleted: tuple[str, ...] = ()
    late: tuple[str, ...] = ()  # were due for more than five minutes, so the vault should have deleted them
    failed: tuple[str, ...] = ()
    is_store_there: bool = True

    @property
    def complaints(self) -> tuple[str, ...]:
        """What a person must see to, a line each."""
        said = [f"{len(self.deleted)} deleted, but: {self.failed[0]}"] if self.failed else []
        if self.late:
            said.append(
                f"the vault should have deleted {len(self.late)} more than 5 minutes ago ({_some(self.late)}): "
                "see that `spreekkamer keep` runs and answers"
            )
        return tuple(said)


def purge(
    config: Config | StoreConfig, *, clock: Clock, credentials: Path | None = None, disk: Disk | None = None
) -> Purged:
    """Delete what is due. Whatever fails is told in the answer and in the store's note, after every clip was tried."""
    store = Store(root=config.paths.store)
    if not store.clips.is_dir():
        return Purged(is_store_there=False)
    run = _Run(Disk() if disk is None else disk, store, clock)
    with run.going_on():
        run.enforce(credentials, min(RETENTION_S, config.retention.seconds) * SECOND)
    return Purged(deleted=run.deleted, late=tuple(run.late), failed=tuple(run.failed))


class _Run:
    """One run: what fails is gathered, and the rest goes on."""

    def __init__(self, disk: Disk, store: Store, clock: Clock) -> None:
        self.deleted: tuple[str, ...] = ()
        self.late: list[str] = []
        self.failed: list[str] = []
        self._disk = disk
        self._store = store
        self._clock = clock
        self._lock = StoreLock(disk, store, clock)
        self._memos = catalog.peek(store)
        self._ledger: Ledger | None = None

    @contextlib.contextmanager
    def going_on(self) -> Iterator[None]:
        try:
            yield
        except StoreError as err:
            self.failed.append(str(err))

    def enforce(self, credentials: Path | None, keep_ns: int) -> None:
        """`keep_ns` is the life of a clip whose birth is lost. Raises StoreError when the lock's file cannot be opened."""
        read = self._read(credentials)
        with self._lock.held():
            now = self._counted(read[1] if read else None).now()
            with self.going_on():
                self._ledger = Ledger(self._disk, self._store, self._lock, self._clock, origin=ORIGIN)
            if read:
                self._delete_due(*read, now, keep_ns)
            with self.going_on():
                self._empty_trash()
            with self.going_on():
                watch.write(self._disk, self._store.purge_note, self._noted(now))

    def _read(self, credentials: Path | None) -> tuple[DeviceKey, dict[str, Clip]] | None:
        found: dict[str, Clip] = {}
        try:
            key = signing.load(self._store, credentials)
            numbers = reading.ids(self._store.clips)
        except StoreError as err:
            self.failed.append(str(err))
            return None
        with reading.reading_many():
            for number in numbers:
                with self.going_on():  # one folder that cannot be read does not save the others
                    clip = self._look(number, key)
                    if clip is not None:
                        found[number] = clip
        return key, found

    def _look(self, number: str, key: DeviceKey) -> Clip | None:
        return recovery.read_or_none(self._store, number, key, self._memos.get(number), with_contents=False)

    def _counted(self, found: Mapping[str, Clip] | None) -> PoweredOn:
        if found is None:  # nobody knows what a lost counter stood at: nothing is saved
            return PoweredOn(self._disk, self._store.powered_on, self._clock)
        newest_ns = max((clip.counter_ns for clip in found.values()), default=0)
        powered_on = PoweredOn(self._disk, self._store.powered_on, self._clock, at_least_ns=newest_ns)
        with self.going_on():
            powered_on.save()  # due or not, so that a power cut never puts the note in the counter's future
        return powered_on

    def _delete_due(self, key: DeviceKey, found: dict[str, Clip], now: Now, keep_ns: int) -> None:
        lives = self._lives(found, key, now, keep_ns)
        # Those that are due are read again under the lock: a hold may have come while it was waited for.
        again = {number: found[number] for number in retention.due(lives.items(), now)}
        for number in again:
            with self.going_on():
                clip = self._look(number, key)
                if clip is None or clip.life is None:
                    del lives[number]
                else:
                    lives[number] = clip.life
        self.late = sorted(number for number in again if number in lives and watch.is_late(lives[number], now))
        passed = retention.enforce(lives.items(), now, lambda number: self._delete(again[number], now))
        self.deleted = passed.deleted
        self.failed += [why for _, why in passed.failed]

    def _lives(self, found: dict[str, Clip], key: DeviceKey, now: Now, keep_ns: int) -> dict[str, Life]:
        lives: dict[str, Life] = {}
        for number, clip in found.items():
            with self.going_on():
                known = clip if clip.life else clips.sighted(self._disk, self._store, key, clip, now, keep_ns=keep_ns)
                if known.life is not None:
                    lives[number] = known.life
        return lives

    def _empty_trash(self) -> None:
        for number in reading.ids(self._store.trash):
            with self.going_on():
                clips.finish(self._disk, self._store, number, partial(self._note, Action.CLIP_DELETED, number, {}))

    def _delete(self, clip: Clip, now: Now) -> None:
        detail: dict[str, str | int] = {"reason": EXPIRED, "segments": clip.segments}
        if clip.life is not None:
            detail["late_s"] = retention.late_s(clip.life, now)
        self._note(Action.CLIP_DELETE, clip.id, detail)
        clips.delete(self._disk, self._store, clip.id, lambda: self._note(Action.CLIP_DELETED, clip.id, detail))

    def _note(self, action: Action, clip: str, detail: Mapping[str, str | int]) -> None:
        if self._ledger is None:  # deletion goes on without; the failure is this run's result
            return
        with self.going_on():
            self._ledger.append(action, clip, "gone" if action is Action.CLIP_DELETED else "begun", detail=detail)

    def _noted(self, now: Now) -> watch.Note:
        return watch.Note(
            boot_id=now.boot_id,
            boot_ns=now.boot_ns,
            powered_on_ns=now.powered_on_ns,
            wall_ns=now.wall_ns,
            deleted=len(self.deleted),
            late=tuple(self.late[:_NAMED]),
            failed=self.failed[0][:_FAILURE_LIMIT] if self.failed else "",
        )


def _some(clips: tuple[str, ...]) -> str:
    return ", ".join(clips[:_NAMED]) + (", …" if len(clips) > _NAMED else "")
