"""The half-yearly drill: a synthetic clip waits to be opened with the officer's key, and the code that it shows to be told.

    store/drill/   0000.age (while it waits; `age -d` opens it), drill.json (when, the code's salted hash, last opening)

MAKE    1. ledger entry "drill-made"  2. the one before is unlinked, the folder synced  3. drill.json is replaced
        4. 0000.age. Cut before 4: a drill without its file is due again.
OPENED  1. ledger entry "drill-opened"  2. drill.json is replaced  3. 0000.age is unlinked, the folder synced
        4. look: it is gone. Cut after 2: the start removes the file.

It shows that the key still opens what this device seals; who holds the disk could guess six digits. It is no clip, and
no clip waits for it: the keeper's lock is not taken. Callers: as in `selftest`, and the visitors' threads (`fetch`,
`confirm`).
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from edge.clock import SECOND
from edge.durable import TEMP_SUFFIX, Disk
from edge.errors import BadMessage, Refused, StoreError
from edge.messages import DrillMade, decode, encode
from edge.status import DrillStatus
from edge.vault.faults import Faults
from edge.vault.ledger import Action, Ledger
from edge.vault.moment import Moment
from edge.vault.retention import DAY_NS, Now
from edge.vault.store import Store

SEALED: Final = "0000.age"  # as a clip's first segment is called
EVERY_NS: Final = 182 * DAY_NS
WAITS_NS: Final = 14 * DAY_NS  # beyond this it is a fault
TRIES: Final = 5  # wrong codes in TRIES_NS
TRIES_NS: Final = 3600 * SECOND
DRILL_LIMIT: Final = 4 * 1024 * 1024  # bytes; ten seconds of the test card are a twentieth
_CODE: Final = re.compile(r"\d{6}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The newest drill, as it is written down."""

    made: Moment
    recipients: str  # SHA-256 of the keys that it is sealed to
    waiting: Moment | None  # since when one waits, whichever: a newer one does not set this forward. None: opened
    salt: str
    code_sha256: str
    opened: Moment | None  # the last opening of any


class Drill:
    """The newest drill. Everything that changes it happens under its own lock."""

    def __init__(self, *, disk: Disk, store: Store, faults: Faults, ledger: Ledger, now: Callable[[], Now]) -> None:
        self._disk = disk
        self._folder = store.drill
        self._sealed = store.drill / SEALED
        self._file = store.drill / "drill.json"
        self._faults = faults
        self._ledger = ledger
        self._now = now
        self._lock = threading.Lock()
        self._record = read(self._file)
        self._wrong_ns: deque[int] = deque(maxlen=TRIES)  # since this start: who can restart the vault needs no guess

    def sweep(self) -> None:
        """Remove what a crash left. Raises StoreError."""
        if not self._folder.is_dir():
            return
        left = list(self._folder.glob("*" + TEMP_SUFFIX))
        if self._record is None or self._record.waiting is None:
            left.append(self._sealed)
        for path in left:
            self._disk.unlink(path)
        self._disk.sync_folder(self._folder)

    def is_due(self, recipients: str) -> bool:
        """None was made yet, or for half a year, or for these keys; or the one that waits was lost."""
        record = self._record
        if record is None or record.recipients != recipients or record.made.age_ns(self._now()) > EVERY_NS:
            return True
        return record.waiting is not None and not self._sealed.exists()

    def make(self, message: DrillMade, sealed: bytes | memoryview, *, uid: int) -> None:
        """Procedure MAKE. Raises StoreError."""
        if not 0 < len(sealed) <= DRILL_LIMIT:
            raise StoreError(f"a drill of {len(sealed)} bytes is not taken")
        with self._lock:
            made = Moment.of(self._now())
            before = self._record
            self._ledger.append(Action.DRILL_MADE, "drill", "made", uid=uid)
            self._disk.make_folder(self._folder)
            self._remove()
            self._write(
                Record(
                    made=made,
                    recipients=message.recipients,
                    waiting=before.waiting if before and before.waiting else made,
                    salt=message.salt,
                    code_sha256=message.code_sha256,
                    opened=before.opened if before else None,
                )
            )
            self._disk.create(self._sealed, sealed)

    def fetch(self) -> bytes:
        """The sealed clip that waits. Raises Refused when none does, StoreError."""
        self._waiting()
        try:
            return self._sealed.read_bytes()
        except OSError as err:
            raise StoreError(
                f"{self._sealed}: cannot be read: {err.strerror}; the next self-test makes another"
            ) from err

    def confirm(self, code: str, *, actor: str, uid: int) -> None:
        """Procedure OPENED, if this is the code that the clip shows. Raises Refused (and counts it), StoreError."""
        with self._lock:
            record, now = self._waiting(), self._now()
            if not _CODE.fullmatch(code):
                raise Refused("the code is the six digits that the drill's picture shows")
            if len(self._wrong_ns) == TRIES and (left_ns := self._wrong_ns[0] + TRIES_NS - now.boot_ns) > 0:
                raise Refused(
                    f"{TRIES} wrong codes within the hour; try again in {left_ns // (60 * SECOND) + 1} minutes"
                )
            if not hmac.compare_digest(hashlib.sha256((record.salt + code).encode()).hexdigest(), record.code_sha256):
                self._wrong_ns.append(now.boot_ns)
                self._ledger.append(Action.DRILL_WRONG_CODE, "drill", "refused", actor=actor, uid=uid)
                raise Refused(
                    "this is not the code that the drill's picture shows; look again, and mind the newest one"
                )
            self._ledger.append(Action.DRILL_OPENED, "drill", "opened", actor=actor, uid=uid)
            self._write(replace(record, waiting=None, salt="", code_sha256="", opened=Moment.of(now)))
            self.show_faults(now)
            self._remove()
            if os.path.lexists(self._sealed):
                raise StoreError(f"{self._sealed}: still there after it was removed")

    def status(self, now: Now) -> DrillStatus:
        """Since when one waits, and when one was last opened."""
        waiting = self._record.waiting if self._record else None
        opened = self._record.opened if self._record else None
        return DrillStatus(
            waiting_since=waiting.at(now) if waiting else None,
            waiting_s=waiting.age_s(now) if waiting else None,
            opened_at=opened.at(now) if opened else None,
            opened_s=opened.age_s(now) if opened else None,
        )

    def show_faults(self, now: Now) -> None:
        """Show or clear that nobody opens it."""
        waiting = self._record.waiting if self._record else None
        age_ns = waiting.age_ns(now) if waiting else 0
        detail = f"nobody has opened a drill for {age_ns // DAY_NS} days" if age_ns > WAITS_NS else ""
        fix = "spreekkamer drill fetch, open it with the officer's key, spreekkamer drill confirm"
        self._faults.show("drill-waiting", detail, fix, now.boot_ns)

    def _waiting(self) -> Record:
        if self._record is None or self._record.waiting is None:
            raise Refused("no drill is waiting; the recorder's self-test makes one when it is due")
        return self._record

    def _remove(self) -> None:
        self._disk.unlink(self._sealed)
        self._disk.sync_folder(self._folder)

    def _write(self, record: Record) -> None:
        self._disk.replace(self._file, encode(record) + b"\n")
        self._record = record


def read(path: Path) -> Record | None:
    """The drill that was written down last; None when there is nothing, or nothing that can be read: one is due then."""
    try:
        return decode(Record, path.read_bytes())
    except (OSError, BadMessage):
        return None
