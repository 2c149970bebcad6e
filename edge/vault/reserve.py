"""Space for the next clips: one file that owns it beforehand, and gives it back segment by segment while a clip comes in.

So nothing else on the disk can take the room that a clip of full length will need, and a disk that is too small shows
while the room is calm. The file's content is nothing: allocated and never written. Callers hold the keeper's lock.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final

from edge.durable import Disk
from edge.errors import StoreError

SLACK_BYTES: Final = 4 * 1024 * 1024  # never reserved: for births, ledger, catalog and whatever else lives on this disk


class Reserve:
    """The reserve of one store."""

    def __init__(self, disk: Disk, path: Path, wanted_bytes: int) -> None:
        self.wanted_bytes = wanted_bytes
        self._disk = disk
        self._path = path
        self._held_bytes = self._found()

    @property
    def held_bytes(self) -> int:
        return self._held_bytes

    @property
    def short_bytes(self) -> int:
        """How much is missing; not above zero: all is there."""
        return self.wanted_bytes - self._held_bytes

    def give(self, size: int) -> None:
        """Give back the space of a segment that is about to be written. Never raises: its writing tells what is wrong."""
        if self._held_bytes:
            with contextlib.suppress(StoreError):
                self._resize(max(0, self._held_bytes - size))

    def fill(self) -> None:
        """Take what is missing, or as much as there is; a smaller wish gives the rest back. Raises StoreError."""
        self._held_bytes = self._found()  # whoever needed space in a hurry may have removed it
        most = self._held_bytes + self._disk.free_bytes(self._path.parent) - SLACK_BYTES
        self._resize(max(0, min(self.wanted_bytes, most)))

    def _found(self) -> int:
        return self._path.stat().st_size if self._path.exists() else 0

    def _resize(self, size: int) -> None:
        if size == self._held_bytes:
            return
        if size == 0:
            self._disk.unlink(self._path)
        elif size < self._held_bytes:
            self._disk.let_go(self._path, size)  # an fsync here took as long as the segment's own
        else:
            self._disk.allocate(self._path, size)
        self._held_bytes = size
