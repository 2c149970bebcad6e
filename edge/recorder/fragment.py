"""The bytes of one fragment of an MP4: what is in it (`moof`), and the packets themselves (`mdat`). Pure.

Its offsets count from its own beginning, so that fragments are put behind each other as they come. Source: ISO/IEC
14496-12, 8.8.4 to 8.8.8, 8.8.12 and 8.1.1.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

_BOX: Final = struct.Struct(">I4s")  # a box's length, itself included, and its name
_NUMBER_BYTES: Final = 16  # an mfhd
_TRACK_BYTES: Final = 64  # a traf without its packets
_PACKET_BYTES: Final = 16
_FROM_MOOF: Final = 0x020000  # tfhd: offsets count from the moof
_LONG: Final = 1 << 24  # tfdt: version 1, 64 bits of time
# trun: the data's offset, and for each packet its duration, size, flags and how much later it is shown than decoded.
_FIELDS: Final = 0x000F01
_KEY: Final = 0x02000000  # it refers to no other
_NOT_KEY: Final = 0x01010000  # it does, and nobody can begin at it


class Run:
    """The packets of one track in one fragment; times in the track's ticks."""

    def __init__(self, track: int) -> None:
        self.parts: list[bytes] = []
        self.size = 0
        self._track = track
        self._dts = 0  # of the first packet
        self._table: list[int] = []

    def __repr__(self) -> str:
        return f"Run(track {self._track}, {len(self.parts)} packets, {self.size} bytes)"

    @property
    def head_bytes(self) -> int:
        """How long its `head` is."""
        return _TRACK_BYTES + _PACKET_BYTES * len(self.parts)

    def add(self, data: bytes, *, dts: int, shown_later: int, duration: int, is_key: bool) -> None:
        """Put one packet behind the others; `duration` is the time from its `dts` to the next one's."""
        if not self.parts:
            self._dts = dts
        self._table += (duration, len(data), _KEY if is_key else _NOT_KEY, shown_later)
        self.parts.append(data)
        self.size += len(data)

    def head(self, at: int) -> bytes:
        """Its `traf`; `at`: where its first packet begins, from the fragment's beginning."""
        return _box(
            b"traf",
            _box(b"tfhd", struct.pack(">II", _FROM_MOOF, self._track)),
            _box(b"tfdt", struct.pack(">IQ", _LONG, self._dts)),
            _box(b"trun", struct.pack(f">III{len(self._table)}I", _FIELDS, len(self.parts), at, *self._table)),
        )


def fragment(number: int, runs: Sequence[Run]) -> bytes:
    """One fragment, its packets track by track; nothing when there are none. `number` rises from 1."""
    filled = [run for run in runs if run.parts]
    if not filled:
        return b""
    at = 2 * _BOX.size + _NUMBER_BYTES + sum(run.head_bytes for run in filled)
    heads = []
    for run in filled:
        heads.append(run.head(at))
        at += run.size
    moof = _box(b"moof", _box(b"mfhd", struct.pack(">II", 0, number)), *heads)
    mdat = _BOX.pack(_BOX.size + sum(run.size for run in filled), b"mdat")
    # One joining, into memory of just that size: growing a buffer to megabytes takes longer than all of the rest.
    return b"".join([moof, mdat, *(part for run in filled for part in run.parts)])


def _box(name: bytes, *contents: bytes) -> bytes:
    inside = b"".join(contents)
    return _BOX.pack(_BOX.size + len(inside), name) + inside
