"""Opening a sealed clip on the officer's computer: each segment with the officer's key, into one playable file.

What `age -d -i KEY 0000.age; age -d -i KEY 0001.age; …` gives, put together. The device never does this.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pyrage

from edge.desk.keys import identity_in
from edge.durable import Disk
from edge.errors import Refused

_SEGMENT: Final = re.compile(r"\d{4,6}\.age", re.ASCII)


def open_clip(folder: Path, key: Path, to: Path, *, disk: Disk | None = None, is_partial: bool = False) -> int:
    """Open a clip's folder into the new file `to` (0600); how many segments it holds.

    `is_partial`: leave out what is missing or does not open, instead of refusing. Raises Refused (no clip there, a
    segment missing or not to be opened with this key, `to` exists), StoreError (the disk of `to`). Nothing is left then.
    """
    identity = identity_in(key)
    if to.exists():
        raise Refused(f"{to}: exists; choose a new file")
    try:
        paths = sorted(path for path in folder.iterdir() if _SEGMENT.fullmatch(path.name))
    except OSError as err:
        raise Refused(f"{folder}: cannot be read: {err.strerror}") from err
    if not paths:
        raise Refused(f"{folder}: holds no sealed segment (0000.age); name the folder that `clips fetch` made")
    if not is_partial:
        _refuse_gaps(folder, paths)
    opened = _Opened(paths, identity, key, is_partial=is_partial)
    (Disk() if disk is None else disk).create_from(to, opened.pieces())
    return opened.count


class _Opened:
    """The plain segments, one at a time."""

    def __init__(self, paths: Sequence[Path], identity: pyrage.x25519.Identity, key: Path, *, is_partial: bool) -> None:
        self.count = 0
        self._paths = paths
        self._identity = identity
        self._key = key
        self._is_partial = is_partial

    def pieces(self) -> Iterator[bytes]:
        for path in self._paths:
            try:
                plain: bytes = pyrage.decrypt(path.read_bytes(), [self._identity])
            except (pyrage.DecryptError, OSError) as err:
                if self._is_partial:
                    continue
                raise Refused(f"{path}: cannot be opened with {self._key}: {err}; --partial leaves it out") from err
            self.count += 1
            yield plain
        if not self.count:
            raise Refused(f"{self._key} opens nothing of {self._paths[0].parent}: it is sealed to other keys")


def _refuse_gaps(folder: Path, paths: Sequence[Path]) -> None:
    for number, path in enumerate(paths):
        if int(path.stem) != number:
            raise Refused(f"{folder}: {number:04d}.age is missing; --partial opens the others")
