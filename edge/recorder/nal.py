"""H.264 and H.265 pictures are rows of units (NAL). Cameras put a start code before each, MP4 its length. Pure.

    annex B   00 00 01 and the unit: as cameras and encoders give it, and decoders take it
    sized     the unit's length in four bytes, big-endian, and the unit: as the adapters bring it and it is held, so that
              at a press nobody has to look through 30 seconds of pictures for start codes

Sources: ITU-T H.264 and H.265, annex B; ISO/IEC 14496-15, 5.3.
"""

from __future__ import annotations

from typing import Final

_CODECS: Final = frozenset({"h264", "hevc"})
_START: Final = b"\x00\x00\x01"
_LENGTH: Final = 4  # bytes


def shown(data: bytes, codec: str) -> bytes:
    """A held picture as decoders take it. Raises ValueError when it is not what it says."""
    return to_annex_b(data) if codec in _CODECS else data


def to_sized(annex_b: bytes) -> bytes:
    """The same units with their lengths; what stands before the first start code is none, so noise becomes nothing."""
    parts: list[bytes] = []
    for unit in annex_b.split(_START)[1:]:
        # A unit never ends in zeros: those belong to the next start code, or fill up.
        whole = unit.rstrip(b"\x00")
        if whole:
            parts += (len(whole).to_bytes(_LENGTH, "big"), whole)
    return b"".join(parts)


def says_sized(extradata: bytes, codec: str) -> bool:
    """What a file says of a whole track (avcC, hvcC): its pictures' units have lengths, of four bytes."""
    at = {"h264": 4, "hevc": 21}.get(codec)
    if at is None or extradata[:1] != b"\x01" or len(extradata) <= at:
        return False
    return extradata[at] & 3 == _LENGTH - 1


def is_sized(data: bytes) -> bool:
    """Lengths lead from its beginning to its end."""
    at = 0
    while at < len(data):
        at += _LENGTH + int.from_bytes(data[at : at + _LENGTH], "big")
    return at == len(data)


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
