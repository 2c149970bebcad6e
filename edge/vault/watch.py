"""The two enforcers watch each other: what purge notes of each run, and what each makes of the other.

    store/purge.json          purge's newest run
    store/disagreement.json   the vault's newest disagreement with purge, to be seen for a day

Neither is signed or believed for a deletion: they only raise faults.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

from edge.clock import SECOND
from edge.durable import Disk
from edge.errors import BadMessage, StoreError
from edge.messages import decode, encode
from edge.ports import Clock
from edge.vault import retention
from edge.vault.retention import DAY_NS, OVERDUE_NS, Life, Now
from edge.vault.store import Store

SILENT_NS: Final = 3 * 3600 * SECOND  # the timer runs hourly
EARLY_NS: Final = 10 * SECOND  # between purge's deletion and the vault's look
_SHOWN_NS: Final = DAY_NS


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """One run of purge, written at its end."""

    boot_id: str
    boot_ns: int
    powered_on_ns: int
    wall_ns: int
    deleted: int
    late: tuple[str, ...]  # the vault should have deleted these; the first few
    failed: str  # the first thing that could not be done; empty: all that was due is gone


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """What the vault did not agree with, and when by the powered-on counter."""

    powered_on_ns: int
    what: str


N = TypeVar("N", Note, Disagreement)


def is_late(life: Life, now: Now) -> bool:
    """The vault should have deleted it more than five minutes ago.

    By the powered-on counter alone: a wall clock may have become trusted this second, and nobody was late then.
    """
    return now.powered_on_ns - life.powered_on_ns > retention.end_ns(life) + OVERDUE_NS


def objection(note: Note, now: Now, started_ns: int) -> str:
    """What a vault that started at `started_ns` has against a run of purge; empty: nothing."""
    if note.failed:
        return f"purge: {note.failed}"
    if note.late and note.boot_id == now.boot_id and started_ns < note.boot_ns - OVERDUE_NS:
        return f"purge had to delete what was due for more than 5 minutes while this vault ran: {', '.join(note.late)}"
    return ""


def silence(note: Note, now: Now) -> str:
    """Purge ran once and does not any more; empty: it does."""
    age_ns = now.boot_ns - note.boot_ns if note.boot_id == now.boot_id else now.powered_on_ns - note.powered_on_ns
    if 0 <= age_ns <= SILENT_NS:
        return ""
    # Below zero: the powered-on counter was lost, and nobody knows how long ago it was.
    return f"the last run was {age_ns / (3600 * SECOND):.1f} h ago" if age_ns > 0 else "nobody knows when it last ran"


class Watch:
    """The vault's eye on purge. One thread at a time, under the keeper's lock."""

    def __init__(self, disk: Disk, store: Store, clock: Clock) -> None:
        self._disk = disk
        self._store = store
        self._started_ns = clock.boot_ns()
        self._last = _read(Disagreement, store.disagreement)
        self._is_kept = True

    def missing(self, clip: str, life: Life | None, now: Now) -> None:
        """A clip is gone that this vault did not delete."""
        left_ns = 0 if life is None else retention.left_ns(life, now)
        if left_ns > EARLY_NS:
            self._object(
                now.powered_on_ns, f"{clip} was deleted {left_ns // SECOND} s before its hour by this vault's reckoning"
            )

    def look(self, now: Now) -> tuple[str, str]:
        """The newest disagreement, for at least a day and until purge is sound again; and purge's silence."""
        note = _read(Note, self._store.purge_note)
        objected = "" if note is None else objection(note, now, self._started_ns)
        if note is not None and objected:
            self._object(note.powered_on_ns, objected)
        last = self._last
        if last is not None and last.powered_on_ns > now.powered_on_ns:  # the counter was lost: a day from now
            self._last = last = replace(last, powered_on_ns=now.powered_on_ns)
            self._is_kept = False
        self._keep()
        is_recent = last is not None and now.powered_on_ns - last.powered_on_ns < _SHOWN_NS
        shown = last.what if last is not None and is_recent else objected
        return shown, "" if note is None else silence(note, now)

    def _object(self, powered_on_ns: int, what: str) -> None:
        if self._last is None or powered_on_ns > self._last.powered_on_ns:
            self._last = Disagreement(powered_on_ns=powered_on_ns, what=what)
            self._is_kept = False

    def _keep(self) -> None:
        if self._is_kept or self._last is None:
            return
        try:
            write(self._disk, self._store.disagreement, self._last)
        except StoreError:
            return  # the disk has faults of its own; what is not kept is tried again at the next look
        self._is_kept = True


def write(disk: Disk, path: Path, value: N) -> None:
    """Make a note last. Raises StoreError."""
    disk.replace(path, encode(value) + b"\n")


def _read(kind: type[N], path: Path) -> N | None:
    """What was noted last; None when there is nothing that can be read."""
    try:
        return decode(kind, path.read_bytes())
    except (OSError, BadMessage):
        return None
