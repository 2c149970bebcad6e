"""The yearly figures of a store: which files of the ledger there are, and how far each was counted. Reads only.

After a start the ledger is read from its oldest line in slices, one at each tick, so that no deletion waits for it;
then line by line as it grows, whoever writes. A year that was folded tells its numbers by its checkpoint, if this
device signed it. Nothing is stored: the ledger is what was counted from.

Callers: the vault's main thread (`catch_up`), the figures socket's (`counted`).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from edge.clock import utc
from edge.errors import StoreError
from edge.figures import Counted
from edge.messages import encode
from edge.status import SNAPSHOT_LIMIT
from edge.vault import ledger_files
from edge.vault.retention import Now
from edge.vault.signing import SIGNATURE_SUFFIX, DeviceKey
from edge.vault.store import Store
from edge.vault.tally import Tally, by_period

_SLICE: Final = 2_000  # lines at one tick: 20 ms on a server's core, a tenth of a second on a small Pi

log = logging.getLogger("spreekkamer.vault")


@dataclass(slots=True)
class _Read:
    """One file, as far as it was read. A file keeps its inode when its year ends and it gets its year's name."""

    tally: Tally = field(default_factory=Tally)
    offset: int = 0
    last: bytes = b""  # the line before `offset`: while it stands there, what was counted still is the file


class Figures:
    """What was counted."""

    def __init__(self, store: Store, key: DeviceKey) -> None:
        self._store = store
        self._key = key
        self._files: dict[int, _Read] = {}  # by inode
        self._folded: dict[int, Mapping[str, Mapping[str, int]]] = {}  # by year: counts by month
        self._seen = (-1, -1)  # inode and size of the newest file when all was counted
        self._days: tuple[tuple[str, Mapping[str, int]], ...] = ()
        self._is_whole = False

    def catch_up(self) -> None:
        """Count what came since the last call, at most a slice of it. What cannot be read is tried again."""
        try:
            newest = self._newest()
            if newest == self._seen:
                return
            self._is_whole = self._read_on()
            self._seen = newest if self._is_whole else (-1, -1)
        except (StoreError, OSError) as err:
            self._is_whole, self._seen = False, (-1, -1)
            log.warning("the figures cannot be counted: %s", err)
            return
        read = [day for file in self._files.values() for day in file.tally.days.items()]
        folded = [month for months in self._folded.values() for month in months.items()]
        self._days = tuple(sorted((*folded, *((day, dict(counts)) for day, counts in read)), key=lambda pair: pair[0]))

    def counted(self, now: Now) -> bytes:
        """What is told to who asks: JSON of `Counted`."""
        today = f"{utc(now.wall_ns):%Y-%m-%d}"
        over = [(day, counts) for day, counts in self._days if day != today]
        return bounded(
            Counted(
                as_of_ns=now.boot_ns,
                today=today,
                since=over[0][0] if over else "",
                is_whole=self._is_whole,
                months=by_period(over, 7),
                years=by_period(over, 4),
            )
        )

    def _newest(self) -> tuple[int, int]:
        try:
            found = self._store.ledger.stat()
        except FileNotFoundError:
            return 0, 0
        return found.st_ino, found.st_size

    def _read_on(self) -> bool:
        """Read one slice, of the oldest file that has one; True when all is read."""
        left = _SLICE
        closed = ledger_files.closed_years(self._store)
        every = ledger_files.closed_years(self._store, with_folded=True)
        self._folded = {year: self._checkpoint(year) for year in every if year not in closed}
        there: set[int] = set()
        for path in (*map(self._store.ledger_of, closed), self._store.ledger):
            if not path.exists():
                continue
            inode = path.stat().st_ino
            there.add(inode)
            left -= self._read(path, inode, left)
            if left <= 0:
                return False
        for inode in self._files.keys() - there:
            del self._files[inode]
        return True

    def _read(self, path: Path, inode: int, limit: int) -> int:
        """Count at most `limit` further lines of a file; how many."""
        file = self._files.setdefault(inode, _Read())
        with path.open("rb") as lines:
            lines.seek(max(0, file.offset - len(file.last)))
            if lines.read(len(file.last)) != file.last:  # cut off, or another file: counted anew
                file = self._files[inode] = _Read()
                lines.seek(0)
            count = 0
            while count < limit and (line := lines.readline()).endswith(b"\n"):
                count += 1
                file.offset, file.last = lines.tell(), line
                if (entry := ledger_files.parsed(line[:-1])) is not None:
                    file.tally.add(entry)
        return count

    def _checkpoint(self, year: int) -> Mapping[str, Mapping[str, int]]:
        """A folded year's figures; nothing when this device did not sign them (`verify ledger` says what is wrong)."""
        if year in self._folded:
            return self._folded[year]
        path = self._store.ledger_checkpoint(year)
        try:
            raw = path.read_bytes()
            signature = path.with_name(path.name + SIGNATURE_SUFFIX).read_bytes()
            if not self._key.is_signed(raw, signature):
                return {}
            return dict(_by_month(json.loads(raw)["figures"]))
        except (FileNotFoundError, ValueError, LookupError, TypeError, AttributeError):
            return {}


def _by_month(figures: Mapping[str, Mapping[str, int]]) -> Iterator[tuple[str, Mapping[str, int]]]:
    for month, counts in figures.items():
        yield month, {name: int(count) for name, count in counts.items()}


def bounded(counted: Counted) -> bytes:
    """The snapshot's JSON; without its oldest months where all of them do not fit."""
    while len(raw := encode(counted)) > SNAPSHOT_LIMIT and counted.months:
        kept = sorted(counted.months)[len(counted.months) // 2 + 1 :]
        counted = replace(counted, months={month: counted.months[month] for month in kept})
    return raw
