"""What must be known of a camera's JPEG picture without decoding it, and what cameras leave out of it. Pure.

Marker codes and tables: ITU-T T.81, annexes B and K.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import Final

_START: Final = b"\xff\xd8"
_END: Final = b"\xff\xd9"
_FILL, _TABLES, _SCAN = 0xFF, 0xC4, 0xDA
_FRAMES: Final = (0xC0, 0xC1, 0xC2)  # baseline, extended, progressive: what players take
# The scan of a picture of one colour is one code over and over, and becomes at least so many times smaller (320x240:
# 40 times); that of anything with an outline or noise in it hardly does.
_FLAT: Final = 15

# The Huffman tables that nearly every encoder uses (T.81, K.3 to K.6: light DC and AC, colour DC and AC). Webcams take
# them for granted and leave them out to save 420 bytes a picture (USB video class, MJPEG payload); files may not.
_USUAL: Final = bytes.fromhex(
    "0000010501010101010100000000000000000102030405060708090a0b"
    "100002010303020403050504040000017d01020300041105122131410613516107227114328191a1082342b1c11552d1"
    "f02433627282090a161718191a25262728292a3435363738393a434445464748494a535455565758595a636465666768"
    "696a737475767778797a838485868788898a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4"
    "c5c6c7c8c9cad2d3d4d5d6d7d8d9dae1e2e3e4e5e6e7e8e9eaf1f2f3f4f5f6f7f8f9fa"
    "0100030101010101010101010000000000000102030405060708090a0b"
    "1100020102040403040705040400010277000102031104052131061241510761711322328108144291a1b1c109233352"
    "f0156272d10a162434e125f11718191a262728292a35363738393a434445464748494a535455565758595a6364656667"
    "68696a737475767778797a82838485868788898a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2"
    "c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae2e3e4e5e6e7e8e9eaf2f3f4f5f6f7f8f9fa"
)
_USUAL_TABLES: Final = b"\xff\xc4" + (len(_USUAL) + 2).to_bytes(2, "big") + _USUAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Jpeg:
    """One whole picture that any player decodes."""

    data: bytes = field(repr=False)
    width: int  # pixels
    height: int


def whole(data: bytes) -> Jpeg | None:
    """The picture in `data`, with its Huffman tables and without what the driver left behind its end.

    None when it is no JPEG, or is cut short. Damage in the midst of it is not seen: such buffers the driver itself
    marks and keeps back.
    """
    if not data.startswith(_START):
        return None
    at, size, has_tables = len(_START), (0, 0), False
    while True:
        if data[at : at + 1] != b"\xff" or at + 4 > len(data):
            return None
        code, end = data[at + 1], at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if code == _FILL:
            at += 1
            continue
        if code == _SCAN:
            break
        if code in _FRAMES:
            size = int.from_bytes(data[at + 7 : at + 9], "big"), int.from_bytes(data[at + 5 : at + 7], "big")
        has_tables = has_tables or code == _TABLES
        at = end
    # Inside a scan 0xff is always followed by a zero or a restart mark, so the first end mark is the picture's.
    stop = data.find(_END, end)
    if stop < 0 or not all(size):
        return None
    tables = b"" if has_tables else _USUAL_TABLES
    return Jpeg(data=b"".join((data[:at], tables, data[at : stop + 2])), width=size[0], height=size[1])


def is_flat(data: bytes) -> bool:
    """The picture shows one colour: a covered lens or a dark room, which look the same each time."""
    scan = data[data.rfind(bytes([_FILL, _SCAN])) :]
    return len(zlib.compress(scan, 1)) * _FLAT < len(scan)
