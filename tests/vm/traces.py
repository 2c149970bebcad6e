"""Does a file hold a piece of known media? Holes are passed over. Pure search, by numpy.

A file is looked at in windows of 16 bytes, end to end, and each is looked up among all windows of the media, which begin at
every byte of them. Any 31 bytes in a row hold such a window of the file, so a copy of 31 bytes or more is found at whatever
offset and in whatever container it lies.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

WINDOW: Final = 16  # bytes
_VARIED: Final = 10  # different bytes that a window must have: silence and one colour are not known media
_CHUNK: Final = 8 << 20
_SLOTS_BITS: Final = 25
# Fibonacci hashing: Knuth, The Art of Computer Programming 3, 6.4; the second factor is as odd.
_SPREAD, _SPREAD_2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)
_DOWN: Final = np.uint64(64 - _SLOTS_BITS)

Words = NDArray[np.uint64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """`data_bytes` were looked at; windows of the media lie at `offsets`, in their order."""

    data_bytes: int
    offsets: tuple[int, ...]


class Media:
    """Known media, in parts. Raises ValueError when nothing in them tells them from anything else."""

    def __init__(self, parts: Iterable[bytes]) -> None:
        self._parts = tuple(parts)
        self._keys: Words = np.unique(np.concatenate([np.empty(0, np.uint64), *map(_keys_of, self._parts)]))
        if not len(self._keys):
            raise ValueError("no window of these media tells them from anything else")
        self._slots = np.zeros(1 << _SLOTS_BITS, np.bool_)
        self._slots[self._keys >> _DOWN] = True

    def __len__(self) -> int:
        """How many windows are looked for."""
        return len(self._keys)

    def find(self, path: Path, *, start: int = 0) -> Found:
        """Look through a file from `start` on."""
        data_bytes, offsets = 0, []
        for at, data in _chunks(path, start // WINDOW * WINDOW):
            data_bytes += len(data)
            offsets += [at + place * WINDOW for place in self._places(data)]
        return Found(data_bytes=data_bytes, offsets=tuple(offsets))

    def _places(self, data: bytes) -> list[int]:
        words: Words = np.frombuffer(data, "<u8", len(data) // WINDOW * 2)
        if not words.any():
            return []
        keys = _key(words[::2], words[1::2])
        likely = np.flatnonzero(self._slots[keys >> _DOWN])
        places = np.minimum(np.searchsorted(self._keys, keys[likely]), len(self._keys) - 1)
        found: Sequence[int] = likely[self._keys[places] == keys[likely]].tolist()
        # Two windows may have one key.
        windows = [(place, data[place * WINDOW : (place + 1) * WINDOW]) for place in found]
        return [place for place, window in windows if any(window in part for part in self._parts)]


def _keys_of(part: bytes) -> Words:
    """Of the windows that begin at each byte of a part, but for those that could be anything."""
    if len(part) < WINDOW:
        return np.empty(0, np.uint64)
    rows = np.lib.stride_tricks.sliding_window_view(np.frombuffer(part, np.uint8), WINDOW)
    ordered = np.sort(rows, axis=1)
    different = 1 + np.count_nonzero(ordered[:, 1:] != ordered[:, :-1], axis=1)
    pairs = np.ascontiguousarray(rows[different >= _VARIED]).view("<u8")
    return _key(pairs[:, 0], pairs[:, 1])


def _key(first: Words, second: Words) -> Words:
    return (first ^ (second * _SPREAD_2)) * _SPREAD


def _chunks(path: Path, start: int) -> Iterator[tuple[int, bytes]]:
    """What is not a hole, with its offsets, which are multiples of a window's length."""
    with path.open("rb", buffering=0) as file:
        end = os.fstat(file.fileno()).st_size
        while start < end:
            try:
                start = os.lseek(file.fileno(), start, os.SEEK_DATA) // WINDOW * WINDOW
            except OSError:  # nothing but a hole from here on
                return
            hole = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            while start < hole:
                data = os.pread(file.fileno(), min(_CHUNK, hole - start), start)
                yield start, data
                start += len(data)
