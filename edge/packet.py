"""One encoded packet of picture or sound on its way from a source to the ring and into a clip. Values only.

Named tuples: thousands a minute are made and let go while listening, and a frozen dataclass takes three times as long.
None shows its bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple


class Track(StrEnum):
    """The two things that can be held of a room."""

    PICTURE = "picture"
    SOUND = "sound"


SOUND_RATE: Final = 48_000  # samples a second, one channel
SOUND_FRAME: Final = 1024  # samples in one AAC packet


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """How a track is encoded. The adapters bring every source to one of these forms, so that the pieces of two
    connections fit together and a clip can start at any key frame:

    picture  h264 or hevc with each unit's length (`recorder/nal.py`) and the parameter sets in front of every key
             frame, or mjpeg
    sound    aac: AAC-LC, 48 kHz, mono, 1024 samples a packet
    """

    codec: str
    width: int = 0  # pixels; picture only
    height: int = 0

    def __str__(self) -> str:
        return (
            f"{self.codec} {self.width}x{self.height}" if self.width else f"{self.codec} {SOUND_RATE // 1000} kHz mono"
        )


SOUND: Final = Format(codec="aac")


class RawPacket(NamedTuple):
    """A packet as a source gave it: its own clock, in ticks of `tick_ns` nanoseconds (a fraction, num/den)."""

    track: Track
    format: Format
    data: bytes
    pts: int | None  # ticks on the source's clock; None when the source gave none
    dts: int | None
    duration: int  # ticks; 0 when unknown
    tick: tuple[int, int]  # seconds per tick as numerator, denominator
    is_key: bool
    arrival_ns: int  # BOOTTIME when the packet came

    def __repr__(self) -> str:
        return f"RawPacket({self.track}, {len(self.data)} bytes, pts={self.pts}, dts={self.dts}, key={self.is_key})"


class Packet(NamedTuple):
    """A packet on this machine's clock. `pts_ns` is when it was seen or heard, `dts_ns` its place in decoding order.

    Promise of `timestamps.py`: dts_ns <= pts_ns, dts_ns rises strictly within a track, and pts_ns lies near
    arrival_ns (at most 0.2 s ahead of it, at most 2 s behind).
    """

    track: Track
    format: Format
    data: bytes
    pts_ns: int  # BOOTTIME
    dts_ns: int
    duration_ns: int
    is_key: bool
    arrival_ns: int
    generation: int  # rises each time the source is opened or its clock jumps: a gap may lie between two

    def __repr__(self) -> str:
        return f"Packet({self.track}, {len(self.data)} bytes, pts={self.pts_ns}, key={self.is_key}, g{self.generation})"
