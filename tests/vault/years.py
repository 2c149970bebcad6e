"""A ledger over years, made by the vault's own code on a simulated clock."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from edge.clock import SECOND
from edge.durable import Disk
from edge.vault import folding
from edge.vault.ledger import Action, Ledger
from edge.vault.retention import Now
from edge.vault.signing import DeviceKey, load_or_make
from edge.vault.store import Store, StoreLock
from tests.vault.support import SimClock

ROLE = "officer seven"


def wall(year: int, month: int = 1, day: int = 1) -> int:
    return int(datetime(year, month, day, 12, tzinfo=UTC).timestamp()) * SECOND


class PatientClock(SimClock):
    """Waits for a lock in real time, for as long as it takes: for two real processes."""

    def sleep(self, seconds: float) -> None:
        time.sleep(0.001)


@dataclass(slots=True, kw_only=True)
class Years:
    """One store's ledger, and what time brings it."""

    root: Path
    disk: Disk = field(default_factory=Disk)
    clock: SimClock = field(default_factory=SimClock)
    store: Store = field(init=False)
    key: DeviceKey = field(init=False)
    ledger: Ledger = field(init=False)

    def __post_init__(self) -> None:
        self.store = Store(root=self.root)
        self.disk.make_folder(self.root)
        self.key = load_or_make(self.disk, self.store, None)
        self.open()

    def open(self) -> None:
        self.ledger = self.another()

    def another(self, origin: str = "vault") -> Ledger:
        """As another process opens it."""
        return Ledger(self.disk, self.store, StoreLock(self.disk, self.store, self.clock), self.clock, origin=origin)

    def at(self, year: int, month: int = 1, day: int = 1) -> None:
        self.clock.wall = wall(year, month, day)

    def now(self) -> Now:
        return Now(
            boot_id=self.clock.boot_id,
            boot_ns=self.clock.boot_ns(),
            wall_ns=self.clock.wall_ns(),
            is_trusted=self.clock.is_trusted(),
            powered_on_ns=self.clock.boot_ns(),
        )

    def step(self) -> None:
        """What a pass does with the ledger."""
        self.ledger.turn_year(self.now())
        folding.fold_due(self.disk, self.store, self.key, self.ledger, self.now())

    def live(self, first: int, last: int) -> None:
        """From March of the first year to March of the last, a press and a hold each quarter."""
        for year in range(first, last + 1):
            for month in (3, 6, 9, 12) if year < last else (3,):
                self.quarter(year, month)
        self.step()

    def quarter(self, year: int, month: int) -> None:
        self.at(year, month)
        self.step()
        self.ledger.append(Action.PANEL, f"incident-{year}-{month}", "press", detail={"run": "a", "number": month})
        self.ledger.append(Action.CLIP_HELD, f"clip-{year}-{month}", "held", actor=ROLE, uid=7)

    def anchor(self) -> None:
        last = self.ledger.last
        detail: dict[str, str | int] = {"seq": last.seq}
        self.ledger.append(Action.LEDGER_ANCHORED, last.sha256, "noted-outside", actor="dpo", uid=8, detail=detail)

    def names(self) -> list[str]:
        """The ledger's files, oldest first."""
        return sorted(path.name for path in self.root.glob("ledger*") if not path.name.endswith((".sig", ".reserve")))

    def lines(self) -> list[bytes]:
        """All lines that there are, oldest first."""
        return [
            line
            for path in sorted(self.root.glob("ledger*.jsonl"), key=_in_order)
            for line in path.read_bytes().splitlines()
        ]


def _in_order(path: Path) -> str:
    return "~" if path.name == "ledger.jsonl" else path.name
