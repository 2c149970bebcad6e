"""Where everything lies in the store, and the lock that the vault and the second enforcer share. No logic."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge.durable import Disk
from edge.errors import NoSuchClip
from edge.messages import CLIP_ID
from edge.ports import Clock

_CLIPS: Final = "clips"
DEVICE_PUBLIC: Final = "device.pub.pem"  # a fetched clip has it beside its files, to be checked with


def checked(clip: str) -> str:
    """A clip's number, or NoSuchClip: nothing that is not one ever becomes part of a path."""
    if len(clip) > 64 or not CLIP_ID.fullmatch(clip):
        raise NoSuchClip(f"{clip[:40]!r} is not a clip's number (like 20261122T101502Z-k3f9)")
    return clip


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """The paths of a store."""

    root: Path

    @property
    def clips(self) -> Path:
        return self.root / _CLIPS

    @property
    def trash(self) -> Path:
        """Clips that are being deleted: nothing ever leaves it but into nothing."""
        return self.root / "trash"

    @property
    def ledger(self) -> Path:
        return self.root / "ledger.jsonl"

    def ledger_of(self, year: int) -> Path:
        """A year of the ledger that is over."""
        return self.root / f"ledger-{year:04d}.jsonl"

    def ledger_checkpoint(self, year: int) -> Path:
        """What is left of a year when it is older than 24 months."""
        return self.root / f"ledger-{year:04d}.folded.json"

    @property
    def ledger_reserve(self) -> Path:
        return self.root / "ledger.reserve"

    @property
    def clip_reserve(self) -> Path:
        return self.root / "clips.reserve"

    @property
    def selftest(self) -> Path:
        """Probes of the self-test, and how the newest one ended. Never a clip."""
        return self.root / "selftest"

    @property
    def drill(self) -> Path:
        """The drill that waits to be opened with the officer's key. Never a clip."""
        return self.root / "drill"

    @property
    def button(self) -> Path:
        """When the panic button was last seen to work."""
        return self.root / "button.json"

    @property
    def catalog(self) -> Path:
        return self.root / "catalog.sqlite"

    @property
    def lock(self) -> Path:
        return self.root / "lock"

    @property
    def powered_on(self) -> Path:
        return self.root / "powered-on.json"

    @property
    def purge_note(self) -> Path:
        """The second enforcer's newest run."""
        return self.root / "purge.json"

    @property
    def disagreement(self) -> Path:
        """The newest disagreement of the two enforcers."""
        return self.root / "disagreement.json"

    @property
    def device_key(self) -> Path:
        return self.root / "device.key"

    @property
    def device_public(self) -> Path:
        return self.root / DEVICE_PUBLIC

    def clip(self, clip: str) -> Path:
        return self.clips / checked(clip)

    def clip_text(self, clip: str) -> str:
        """The path of `clip` as text: putting a path together costs as much as listing the folder."""
        return f"{self.root}/{_CLIPS}/{checked(clip)}"

    def trashed(self, clip: str) -> Path:
        return self.trash / checked(clip)


class StoreLock:
    """One writer of the ledger and one deleter at a time, among threads and processes. A thread may enter it again."""

    def __init__(self, disk: Disk, store: Store, clock: Clock) -> None:
        self._disk = disk
        self._path = store.lock
        self._clock = clock
        self._threads = threading.RLock()
        self._depth = 0
        self.is_shared = True  # False while we went on without the other process

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Enter; after `LOCK_PATIENCE_S` go on without it, because a frozen process must not hold up a deletion."""
        with self._threads, contextlib.ExitStack() as stack:
            if self._depth == 0:
                self.is_shared = stack.enter_context(self._disk.locked(self._path, self._clock))
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
