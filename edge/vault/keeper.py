"""The shelf: a store's clips as they are now, and what is done to them from every side: put, write, note, delete, show.

One lock, held over the disk's work, so that everything happens in one order; hashing happens outside it. The view of
the clips has a lock of its own, never held over I/O, so that status answers while the disk stalls. Not here: what the
recorder sends (`ingest`), what time brings (`passes`), what a person asks (`requests`). Callers: the threads of those
three, and the status thread (`status`).
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from operator import methodcaller
from typing import Any, Final

from edge.clock import SECOND
from edge.config import RETENTION_S
from edge.durable import Disk
from edge.errors import NoSuchClip, StoreError
from edge.machine.priority import yield_to_others
from edge.ports import Clock
from edge.status import CLIPS_SHOWN, DeletedClip, LedgerStatus, VaultStatus
from edge.vault import clips, recovery, retention, snapshot
from edge.vault.button import Button
from edge.vault.catalog import Catalog
from edge.vault.drill import Drill
from edge.vault.faults import Faults
from edge.vault.ledger import Action, Ledger
from edge.vault.powered_on import PoweredOn
from edge.vault.reading import Clip, Memo
from edge.vault.reserve import Reserve
from edge.vault.retention import Now
from edge.vault.selftest import SelfTest
from edge.vault.signing import DeviceKey
from edge.vault.store import Store, StoreLock, checked
from edge.vault.tally import EXPIRED
from edge.vault.watch import Watch

RECORDER_BACK_NS: Final = 30 * SECOND  # after this a clip whose recorder is gone is closed as interrupted
_DELETED_SHOWN: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the configuration asks of the vault."""

    retention_s: int
    is_self_tested: bool  # there is a camera and a key, so the recorder tests itself daily


@dataclass(slots=True, kw_only=True)
class OpenClip:
    """A clip that is being written, or was when its recorder was lost. Under the keeper's lock."""

    link: object | None  # the connection that writes it
    lost_ns: int  # since when there is none
    # SHA-256 and size by number, made or being made; those of before a restart are missing.
    hashes: dict[int, Future[tuple[str, int]]] = field(default_factory=dict)

    def give_up(self, now_ns: int) -> None:
        """Its recorder will not come back: the next tick closes it as interrupted."""
        self.link, self.lost_ns = None, now_ns - RECORDER_BACK_NS - 1

    def is_given_up(self, now_ns: int) -> bool:
        return self.link is None and now_ns - self.lost_ns > RECORDER_BACK_NS


class Keeper:
    """The keeping of one store. Whoever changes a clip, an open clip or the events holds `lock`; reading needs none."""

    def __init__(
        self,
        *,
        disk: Disk,
        store: Store,
        lock: StoreLock,
        key: DeviceKey,
        clock: Clock,
        ledger: Ledger,
        powered_on: PoweredOn,
        catalog: Catalog | None,
        reserve: Reserve,
        terms: Terms,
        faults: Faults,
    ) -> None:
        self.disk = disk
        self.store = store
        self.key = key
        self.clock = clock
        self.ledger = ledger
        self.powered_on = powered_on
        self.reserve = reserve
        self.terms = terms
        self.faults = faults
        self.watch = Watch(disk, store, clock)
        self.lock = threading.RLock()
        # Beside all else and after it: only a resend, the end of a clip and `ingest`'s bound wait for a hash.
        self.hashing = ThreadPoolExecutor(1, thread_name_prefix="hashing", initializer=yield_to_others)
        self.store_lock = lock  # shared with the other enforcer; taken after `lock`
        self.open_clips: dict[str, OpenClip] = {}
        self.panel_events: dict[str, set[int]] = {}  # numbers that stand in the ledger, by run; `ingest` bounds it
        self.begun: set[str] = set()  # deletions that the start could not finish: `passes` goes on with them
        self.next_pass_ns = 0  # set by a pass, brought forward by `put`
        self.last_pass_ns: int | None = None  # of `passes`, for the status
        self.free_bytes = 0  # of `passes`, for the status
        self.self_test = SelfTest(
            disk=disk, store=store, faults=faults, note=self.note, now=self.now, is_expected=terms.is_self_tested
        )
        self.button = Button(disk, store.button, faults, self.now())
        self.drill = Drill(disk=disk, store=store, faults=faults, ledger=ledger, now=self.now)
        self._catalog = catalog
        self._view = threading.Lock()
        self._clips: dict[str, Clip] = {}
        self._gone: set[str] = set()  # deleted in this boot: their recorder may still be sending
        self._deleted: deque[DeletedClip] = deque(maxlen=_DELETED_SHOWN)
        self._started_ns = clock.boot_ns()
        self._damaged_keep_ns = min(RETENTION_S, terms.retention_s) * SECOND
        with self.lock:
            self.failed_at_start = self._start()  # for the faults, until the first pass tries again

    def now(self) -> Now:
        return self.powered_on.now()

    def clip(self, number: str) -> Clip:
        """The clip of this number. Raises NoSuchClip."""
        clip = self._clips.get(checked(number))
        if clip is None:
            raise NoSuchClip(f"no clip {number} in the store" + (": it was deleted" if self.is_gone(number) else ""))
        return clip

    def find(self, number: str) -> Clip | None:
        return self._clips.get(number)

    def all(self) -> list[Clip]:
        """All clips, in no order."""
        with self._view:
            return list(self._clips.values())

    def is_gone(self, number: str) -> bool:
        """It was deleted in this boot, so whatever its recorder still sends is refused."""
        return number in self._gone

    def is_recording(self, clip: str) -> bool:
        """A recorder is writing it now."""
        state = self.open_clips.get(clip)
        return state is not None and state.link is not None

    def opened(self, number: str) -> OpenClip:
        """What is known of the writing of an open clip; made when nothing was."""
        return self.open_clips.setdefault(number, OpenClip(link=None, lost_ns=0))

    def delete(self, number: str, reason: str, *, origin: str, actor: str = "", uid: int | None = None) -> None:
        """Procedure DELETE. Raises StoreError; what was begun is finished at a later pass.

        A person's deletion needs its ledger entry first; one at its hour goes on without, and the fault shows it.
        """
        with self.lock, self.store_lock.held():
            clip = self.clip(number)
            detail: dict[str, str | int] = {"reason": reason, "segments": clip.segments, "bytes": clip.size}
            if reason == EXPIRED and clip.life is not None:
                detail["late_s"] = retention.late_s(clip.life, self.now())
            who: dict[str, Any] = {"actor": actor, "uid": uid, "origin": origin, "detail": detail}
            if actor:
                self.ledger.append(Action.CLIP_DELETE, number, "begun", **who)
            else:
                self.note(Action.CLIP_DELETE, number, "begun", **who)
            try:
                clips.delete(
                    self.disk, self.store, number, lambda: self.note(Action.CLIP_DELETED, number, "gone", **who)
                )
            finally:
                if not self.store.clip(number).exists():
                    self.forget(number, is_gone=not self.store.trashed(number).exists())

    def write(self, number: str, name: str, record: bytes) -> Clip:
        """Add a signed record to a clip's folder; the clip as it is then. Raises StoreError."""
        before = self.clip(number)
        clips.write_signed(self.disk, self.store.clip(number), self.key, name, record)
        self.take_up(number, before.memo)
        return self.clip(number)

    def note(
        self,
        action: Action,
        obj: str,
        result: str,
        *,
        actor: str = "",
        uid: int | None = None,
        origin: str = "",
        detail: Mapping[str, str | int] | None = None,
    ) -> None:
        """A ledger entry for what must go on even when the ledger cannot be written; then a fault shows it."""
        try:
            self.ledger.append(action, obj, result, actor=actor, uid=uid, origin=origin, detail=detail)
        except StoreError as err:
            self.faults.set("ledger", str(err), "make space or mend the disk of paths.store", self.clock.boot_ns())
        else:
            self.faults.clear("ledger")

    def take_up(self, number: str, memo: Memo | None) -> None:
        """Put a clip on the shelf as its folder tells it; nothing when the folder is gone. Raises StoreError."""
        clip = recovery.read_or_none(self.store, number, self.key, memo)
        if clip is None:
            return
        if clip.life is None:
            self.note(Action.CLIP_DAMAGED, number, "; ".join(clip.problems))
            clip = clips.sighted(self.disk, self.store, self.key, clip, self.now(), keep_ns=self._damaged_keep_ns)
        self.put(clip)

    def put(self, clip: Clip) -> None:
        """This is how the clip is now; a pass comes no later than its hour."""
        with self._view:
            self._clips[clip.id] = clip
        self._in_catalog(lambda catalog: catalog.put({clip.id: clip.memo}))
        if clip.life is not None:
            now = self.now()
            self.next_pass_ns = min(self.next_pass_ns, now.boot_ns + max(0, retention.left_ns(clip.life, now)))

    def forget(self, number: str, *, is_gone: bool) -> None:
        """Take a deleted clip off the shelf; `is_gone` is False while a part of it is still in trash."""
        self.open_clips.pop(number, None)
        self._gone.add(number)
        with self._view:
            self._clips.pop(number, None)
            if is_gone:
                self._deleted.append(DeletedClip(id=number, at_ns=self.clock.boot_ns()))
        self._in_catalog(lambda catalog: catalog.forget([number]))

    def status(self) -> VaultStatus:
        """The vault now. Does not wait for the disk."""
        now = self.now()
        with self._view:
            held = list(self._clips.values())
            deleted = tuple(self._deleted)
        last = self.ledger.last
        return VaultStatus(
            as_of_ns=now.boot_ns,
            started_ns=self._started_ns,
            clips=snapshot.statuses(snapshot.newest_first(held)[:CLIPS_SHOWN], now, self.is_recording),
            clips_total=len(held),
            deleted=deleted,
            free_bytes=self.free_bytes,
            reserved_bytes=self.reserve.held_bytes,
            reserve_wanted_bytes=self.reserve.wanted_bytes,
            last_pass_ns=self.last_pass_ns,
            is_clock_trusted=now.is_trusted,
            ledger=LedgerStatus(head=last.sha256, entries=last.seq, anchored_at=self.ledger.anchored_at),
            self_test=self.self_test.status(now),
            drill=self.drill.status(now),
            button=self.button.status(now),
            faults=self.faults.all(),
        )

    def save_counter(self, *, is_last: bool = False) -> None:
        """Save the powered-on counter when that is due; a fault shows when it cannot be."""
        if not (is_last or self.powered_on.is_save_due):
            return
        try:
            with self.store_lock.held():
                self.powered_on.save()
        except StoreError as err:
            fix = "make space or mend the disk of paths.store; until then a reboot adds to the clips' lives"
            self.faults.set("counter", str(err), fix, self.clock.boot_ns())
        else:
            self.faults.clear("counter")

    def stop(self) -> None:
        """Save the counter and close the catalog."""
        with self.lock:
            self.save_counter(is_last=True)
            self._in_catalog(methodcaller("close"))
            self._catalog = None

    def _start(self) -> tuple[str, ...]:
        """Procedure START; what could not be done. Raises StoreError when the store cannot be read."""
        memos: dict[str, Memo] = {}
        if self._catalog is not None:
            try:
                memos = self._catalog.all()
            except StoreError as err:
                self._lose_catalog(err)
        with self.store_lock.held():
            now = self.now()
            found = recovery.recover(
                disk=self.disk,
                store=self.store,
                key=self.key,
                ledger=self.ledger,
                memos=memos,
                now=now,
                keep_ns=self._damaged_keep_ns,
            )
        # After it: what it deleted is gone too.
        for entry in self.ledger.of_this_boot(Action.CLIP_DELETED, Action.PANEL):
            if entry.get("action") == Action.CLIP_DELETED:
                self._gone.add(str(entry.get("object")))
            elif entry.get("action") == Action.PANEL:
                match entry.get("detail"):  # whatever else stands there is not ours, and may not stop the start
                    case {"run": str(run), "number": int(event)}:
                        self.panel_events.setdefault(run, set()).add(event)
        for sweep in (self.self_test.sweep, self.drill.sweep):
            with contextlib.suppress(StoreError):  # met again by the next self-test, which tells it
                sweep()
        before = [clip for clip in found.clips.values() if clip.birth and clip.birth.boot_id != now.boot_id]
        self.powered_on.not_below(max((clip.life.powered_on_ns for clip in before if clip.life), default=0))
        self.begun = set(found.begun)
        self._clips = found.clips
        changed = {number: clip.memo for number, clip in found.clips.items() if memos.get(number) != clip.memo}
        self._in_catalog(lambda catalog: catalog.put(changed))
        self._in_catalog(methodcaller("forget", memos.keys() - found.clips.keys()))
        for number, clip in found.clips.items():
            if clip.state == "open":
                self.open_clips[number] = state = OpenClip(link=None, lost_ns=now.boot_ns)
                if clip.birth is None or clip.birth.boot_id != now.boot_id:
                    state.give_up(now.boot_ns)  # what its recorder held in RAM is gone
        return found.failed

    def _in_catalog(self, change: Any) -> None:
        if self._catalog is None:
            return
        try:
            change(self._catalog)
        except StoreError as err:
            self._lose_catalog(err)

    def _lose_catalog(self, err: StoreError) -> None:
        """Go on without: it is only an index, and the next start makes it again."""
        self._catalog = None
        fix = "none needed: it is made again at the next start; if it comes back, look at the disk"
        self.faults.set("catalog", str(err), fix, self.clock.boot_ns())
