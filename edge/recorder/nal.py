"""H.264 and H.265 pictures are rows of units (NAL). Cameras put a start code before each, MP4 its length. Pure.

    annex B   00 00 01 and the unit: as cameras and encoders give it, and decoders take it
    sized     the unit's length in four bytes, big-endian, and the unit: as it is held, so that at a press nobody has
              to look through 30 seconds of pictures for start codes

Sources: ITU-T H.264 and H.265, annex B; ISO/IEC 14496-15, 5.3.
"""

from __future__ import annotations

from typing import Final

from edge.packet import RawPacket

_CODECS: Final = frozenset({"h264", "hevc"})
_START: Final = b"\x00\x00\x01"
_LENGTH: Final = 4  # bytes


def held(raw: RawPacket) -> RawPacket:
    """The packet as the ring holds it; without data where it should have units and has none."""
    return raw._replace(data=to_sized(raw.data)) if raw.format.codec in _CODECS else raw


def shown(data: bytes, codec: str) -> bytes:
    """A held picture as decoders take it. Raises ValueError when it is not what it says."""
    return to_annex_b(data) if codec in _CODECS else data


def to_sized(annex_b: bytes) -> bytes:
    """The same units with their lengths; what stands before the first start code is none."""
    parts: list[bytes] = []
    for unit in annex_b.split(_START)[1:]:
        # A unit never ends in zeros: those belong to the next start code, or fill up.
        whole = unit.rstrip(b"\x00")
        if whole:
            parts += (len(whole).to_bytes(_LENGTH, "big"), whole)
    return b"".join(parts)


def to_annex_b(sized: bytes) -> bytes:
    """The same units with start codes. Raises ValueError when the lengths do not fit."""
    parts: list[bytes] = []
    at = 0
    while at < len(sized):
        start = at + _LENGTH
        at = start + int.from_bytes(sized[at:start], "big")
        if at > len(sized):
            raise ValueError("a picture's units are longer than the picture")
        parts += (b"\x00" + _START, sized[start:at])
    return b"".join(parts)
