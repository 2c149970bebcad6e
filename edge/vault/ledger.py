"""The ledger: what was done with clips and at the panel, one JSON line an entry, chained. Never footage, never a person.

`prev` is the SHA-256 of the line before, its exact bytes without the newline; the first line has 64 zeros. The head is
that hash of the last line: noted elsewhere, it shows a later cut or rewriting. Two processes write (the vault, the
second enforcer), one at a time under the store's lock; whoever finds that the file grew, or is another one, reads on.

Append: 1. take the lock; 2. read what another process added; 3. write the line and fsync; 4. if another process, gone
on without the lock, wrote or turned the year in between, take the own line off again and repeat from 2.
Open: 1. a half line at the end (power cut) is cut off, and an entry says how long it was and what its hash was;
2. a last line that is not JSON stays (the verifier shows it), is chained over, and an entry says so; 3. a file without
a line goes on from the newest year, and its first entry names that year's file.
Turn of the year: 1. rename to the year's name, fsync the folder; 2. open. Cut before 2: the next open does it.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Any, Final

from edge.clock import iso, utc
from edge.durable import Disk
from edge.errors import StoreError, StoreFull
from edge.ports import Clock
from edge.vault import ledger_files
from edge.vault.ledger_files import hash_of, parsed
from edge.vault.retention import Now
from edge.vault.store import Store, StoreLock

GENESIS: Final = "0" * 64
RESERVE_BYTES: Final = 64 * 1024  # about 150 entries: every deletion of a full disk
_ATTEMPTS: Final = 5
_UNREAD: Final = (-1, -1)  # no file has it: the next append opens anew


class Action(StrEnum):
    """The closed list of what an entry may say."""

    LEDGER_REPAIRED = "ledger-repaired"
    LEDGER_CONTINUED = "ledger-continued"  # the first of a file that goes on from another year's
    LEDGER_FOLDED = "ledger-folded"
    LEDGER_ANCHORED = "ledger-anchored"
    CLIP_BORN = "clip-born"
    CLIP_CLOSED = "clip-closed"
    CLIP_REOPENED = "clip-reopened"
    CLIP_DELETE = "clip-delete"  # about to
    CLIP_DELETED = "clip-deleted"  # gone, checked
    CLIP_HELD = "clip-held"
    CLIP_RELEASED = "clip-released"
    CLIP_OUTCOME = "clip-outcome"
    CLIP_FETCHED = "clip-fetched"
    CLIP_DAMAGED = "clip-damaged"
    PANEL = "panel"
    SELF_TEST = "self-test"
    DRILL_MADE = "drill-made"
    DRILL_OPENED = "drill-opened"
    DRILL_WRONG_CODE = "drill-wrong-code"
    PROOF_SIGNED = "proof-signed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A line: its number, the SHA-256 that the next one follows from, and when it was written."""

    seq: int = 0
    sha256: str = GENESIS
    at: str = ""  # ISO, UTC; empty where there is none


def closing_year(first: int | None, newest_closed: int | None, now: Now) -> int | None:
    """The name of a year that is over and is to have a file of its own; None while it goes on.

    `first` is the year of the file's first trusted entry. Only a trusted clock ends a year, and never with a name that
    is not later than those before (a network time that lied and was put right).
    """
    if first is None or not now.is_trusted:
        return None
    name = first if newest_closed is None else max(first, newest_closed + 1)
    return name if utc(now.wall_ns).year > name else None


class Ledger:
    """The ledger of one store. Any thread."""

    def __init__(self, disk: Disk, store: Store, lock: StoreLock, clock: Clock, *, origin: str) -> None:
        """Read the end of the file and repair it. Raises StoreError, but not when only the space for an entry is missing."""
        self._disk = disk
        self._store = store
        self._path = store.ledger
        self._reserve = store.ledger_reserve
        self._lock = lock
        self._clock = clock
        self._origin = origin
        self._file = (0, 0)  # inode and size as they were read, or written
        self._last = Head()
        with lock.held():
            with contextlib.suppress(StoreFull):  # deleting is what makes space, and needs this start
                self._open()
            self._anchored_at = self._find_anchoring()

    @property
    def last(self) -> Head:
        """The last line."""
        return self._last

    @property
    def head(self) -> str:
        """SHA-256 of the last line."""
        return self._last.sha256

    @property
    def anchored_at(self) -> str | None:
        """When a head was last said to be noted outside the device; ISO, UTC."""
        return self._anchored_at

    def append(
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
        """Write one entry and make it last. Raises StoreError; on a full disk the reserve is given up first."""
        facts: dict[str, Any] = {
            "action": action.value,
            "object": obj,
            "result": result,
            "origin": origin or self._origin,
            "actor": actor,
            "uid": uid,
            "detail": dict(detail or {}),
        }
        with self._lock.held():
            for _ in range(_ATTEMPTS):
                self._catch_up()
                wall_ns = self._clock.wall_ns()
                line = self._line(facts, wall_ns)
                inode, size = self._file
                at = self._write(line)
                inode_now, _ = self._stat()
                if at == size and inode_now == (inode or inode_now):
                    self._file = (inode_now, size + len(line))
                    self._last = Head(seq=self._last.seq + 1, sha256=hash_of(line[:-1]), at=iso(wall_ns))
                    if action is Action.LEDGER_ANCHORED:
                        self._anchored_at = self._last.at
                    return
                self._take_back(inode if at == size else inode_now, at)
            raise StoreError(f"{self._path}: another process keeps writing to it without its lock")

    def turn_year(self, now: Now) -> bool:
        """Give a year that is over its own file and go on in a new one; True when that was done. Raises StoreError."""
        with self._lock.held():
            self._catch_up()
            closed = ledger_files.closed_years(self._store, with_folded=True)
            first = ledger_files.first_year(self._path) if now.is_trusted and self._file[1] else None
            year = closing_year(first, closed[-1] if closed else None, now)
            if year is None:
                return False
            if not self._lock.is_shared:
                raise StoreError(f"{self._path}: another process keeps the store's lock; the year ends when it lets go")
            self._disk.rename(self._path, self._store.ledger_of(year))
            self._open()
            return True

    def keep_reserve(self) -> bool:
        """Set space aside for the entries of a full disk; False while there is none."""
        if self._reserve.exists():
            return True
        try:
            self._disk.allocate(self._reserve, RESERVE_BYTES)
        except StoreError:
            return False
        return True

    def of_this_boot(self, *actions: Action) -> Iterator[dict[str, Any]]:
        """The entries of these actions written since the machine started, newest first; reads no further back."""
        boot_id = self._clock.boot_id
        wanted = _words(actions)
        here = f'"boot_id":"{boot_id}"'.encode()
        for line in self._lines():
            # Only what looks right is parsed: a year's boot holds tens of thousands of lines.
            if here in line and not any(word in line for word in wanted):
                continue
            entry = parsed(line)
            if entry is None:
                continue  # the verifier points at it
            if entry.get("boot_id") != boot_id:
                return
            if entry.get("action") in actions:
                yield entry

    def of(self, *actions: Action) -> Iterator[dict[str, Any]]:
        """The entries of these actions, newest first, as far back as there is detail; the others are not parsed."""
        wanted = _words(actions)
        for line in self._lines():
            entry = parsed(line) if any(word in line for word in wanted) else None
            if entry is not None and entry.get("action") in actions:
                yield entry

    def newest(self, count: int) -> list[dict[str, Any]]:
        """The newest entries, newest first."""
        return [entry for entry, _ in zip(self._entries(), range(count), strict=False)]

    def find(self, sha256: str) -> Head | None:
        """The line of this hash, as far back as there is detail; takes no lock."""
        for line in self._lines():
            if hash_of(line) == sha256 and (entry := parsed(line)) is not None:
                return _head_of(line, entry)
        return None

    def _line(self, facts: Mapping[str, Any], wall_ns: int) -> bytes:
        entry = {
            "seq": self._last.seq + 1,
            "prev": self._last.sha256,
            **facts,
            "at": iso(wall_ns),
            "wall_ns": wall_ns,
            "is_wall_trusted": self._clock.is_trusted(),
            "boot_id": self._clock.boot_id,
            "boot_ns": self._clock.boot_ns(),
        }
        return json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"

    def _write(self, line: bytes) -> int:
        try:
            return self._disk.append(self._path, line)
        except StoreFull:
            if not self._reserve.exists():
                raise
            self._disk.unlink(self._reserve)
            self._disk.sync_folder(self._reserve.parent)
            return self._disk.append(self._path, line)

    def _take_back(self, inode: int, at: int) -> None:
        """Cut off what was written at `at` of a file, which may have got a year's name meanwhile."""
        for path in ledger_files.newest_first(self._store):
            if path.exists() and path.stat().st_ino == inode:
                self._disk.truncate(path, at)
                return

    def _catch_up(self) -> None:
        if self._stat() != self._file:
            self._open()

    def _stat(self) -> tuple[int, int]:
        """Inode and size; zeros while there is no file."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return 0, 0
        except OSError as err:
            raise StoreError(f"{self._path}: cannot be read: {err.strerror}") from err
        return found.st_ino, found.st_size

    def _open(self) -> None:
        try:
            self._read_end()
        except StoreError:
            self._file = _UNREAD  # what this opening has to tell is not told yet
            raise

    def _read_end(self) -> None:
        half = self._cut_half_line()
        last = next(self._lines(), None)
        entry = None if last is None else parsed(last)
        if last is None:
            self._last = Head()
        elif entry is not None:
            self._last = _head_of(last, entry)
        else:
            before = next((int(entry["seq"]) for entry in self._entries()), 0)
            self._last = Head(seq=before, sha256=hash_of(last))
        if self._file[1] == 0 and last is not None:
            self._go_on()
        if half:
            self.append(
                Action.LEDGER_REPAIRED,
                "ledger",
                "half-line-removed",
                detail={"bytes": len(half), "sha256": hash_of(half)},
            )
        elif last is not None and entry is None:
            self.append(Action.LEDGER_REPAIRED, "ledger", "unreadable-line-left", detail={"sha256": hash_of(last)})

    def _cut_half_line(self) -> bytes:
        """Cut off what follows the last newline, which is returned, and remember the file as it is then."""
        inode, size = self._stat()
        end, half = next(ledger_files.backwards(self._path)) if size else (0, b"")
        if half:
            self._disk.truncate(self._path, end)
        self._file = (inode, end if half else size)
        return half

    def _go_on(self) -> None:
        """The first entry of a new file: it names the one before, and carries the newest anchoring over."""
        year = ledger_files.closed_years(self._store)[-1]
        anchored_at = self._find_anchoring()
        detail = {} if anchored_at is None else {"anchored_at": anchored_at}
        self.append(Action.LEDGER_CONTINUED, self._store.ledger_of(year).name, "chain-goes-on", detail=detail)

    def _find_anchoring(self) -> str | None:
        """When a head was last anchored; reads back to the beginning of one year at most, and parses two lines."""
        for entry in self.of(Action.LEDGER_ANCHORED, Action.LEDGER_CONTINUED):
            if entry["action"] == Action.LEDGER_ANCHORED:
                return str(entry.get("at"))
            detail = entry.get("detail")
            anchored_at = detail.get("anchored_at") if isinstance(detail, dict) else None
            return anchored_at if isinstance(anchored_at, str) else None
        return None

    def _lines(self) -> Iterator[bytes]:
        """Lines, newest first."""
        for path in ledger_files.newest_first(self._store):
            if path.exists():
                yield from (line for _, line in islice(ledger_files.backwards(path), 1, None))

    def _entries(self) -> Iterator[dict[str, Any]]:
        """Entries, newest first; the verifier points at what is none."""
        return (entry for line in self._lines() if (entry := parsed(line)) is not None)


def _words(actions: tuple[Action, ...]) -> list[bytes]:
    return [f'"action":"{action}"'.encode() for action in actions]


def _head_of(line: bytes, entry: Mapping[str, Any]) -> Head:
    return Head(seq=int(entry["seq"]), sha256=hash_of(line), at=str(entry.get("at", "")))
