"""The parameter sets of H.264 and H.265: what a stream says of itself, and without which no key picture can be shown.

Reads only what stands in front of a picture; pictures themselves are never looked into. Bytes come from the network,
so anything may be in them: what makes no sense is refused as ValueError. Pure.

Sources: ITU-T H.264 7.3.2.1 and E.1, ITU-T H.265 7.3.2.2 and 7.3.3.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_START: Final = b"\x00\x00\x01"
_LONGEST: Final = 16_384  # pixels a side, beyond any camera
_DEEPEST: Final = 16  # pictures that may be waited for, by both standards
# Profiles of H.264 whose set also says how colours are held.
_WITH_COLOUR: Final = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
_BASELINE: Final = 66  # the profile that knows no B-frames
_ODD_PIXELS: Final = 255  # aspect_ratio_idc: width and height of a pixel follow


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequence:
    """What a sequence's set says: pixels, and how many pictures come before one that is shown earlier."""

    width: int
    height: int
    reorder: int | None  # None: not said


class ParameterSets:
    """The newest sets of one stream; `complete` puts them before a key picture that came without."""

    def __init__(self, codec: str) -> None:
        self._codec = codec
        # Sequence and picture sets, and H.265's video sets, in the order in which a decoder needs them.
        self._kinds = (7, 8) if codec == "h264" else (32, 33, 34)
        self._sets: dict[int, list[bytes]] = {}
        self.sequence: Sequence | None = None

    def learn(self, data: bytes) -> None:
        """Take over the sets in front of a picture (Annex B). Raises ValueError when one cannot be read."""
        found = self._found(data)
        sequences = found.get(self._kinds[-2], [])
        if sequences and sequences != self._sets.get(self._kinds[-2]):
            self.sequence = read_sequence(sequences[-1], self._codec)
        self._sets |= found

    def complete(self, key: bytes) -> bytes | None:
        """The key picture with sets in front, its own or those learned; None while some are not known."""
        if len(self._found(key)) == len(self._kinds):
            return key
        if len(self._sets) < len(self._kinds):
            return None
        return b"".join(b"\x00" + _START + unit for kind in self._kinds for unit in self._sets[kind]) + key

    def is_beginning(self, data: bytes) -> bool:
        """The first slice is the first of its picture; True also where there is none."""
        head = 1 if self._codec == "h264" else 2
        slices = (start + head for start, kind in _units(data, self._codec) if _is_slice(kind, self._codec))
        start = next(slices, len(data))
        return data[start : start + 1] >= b"\x80" or start >= len(data)

    def _found(self, data: bytes) -> dict[int, list[bytes]]:
        found: dict[int, list[bytes]] = {}
        for kind, unit in _leading_units(data, self._codec):
            if kind in self._kinds:
                found.setdefault(kind, []).append(unit)
        return found


def read_sequence(unit: bytes, codec: str) -> Sequence:
    """What a sequence's set (one unit, without its start code) says. Raises ValueError when it says nothing sensible."""
    found = _h264(unit) if codec == "h264" else _hevc(unit)
    if not (0 < found.width <= _LONGEST and 0 < found.height <= _LONGEST and (found.reorder or 0) <= _DEEPEST):
        raise ValueError(f"a picture of {found.width}x{found.height} that waits for {found.reorder}")
    return found


def _units(data: bytes, codec: str) -> Iterator[tuple[int, int]]:
    """Where each unit begins, behind its start code, and its kind."""
    start = data.find(_START)
    while 0 <= start < len(data) - len(_START):
        start += len(_START)
        yield start, data[start] & 31 if codec == "h264" else data[start] >> 1 & 63
        start = data.find(_START, start)


def _is_slice(kind: int, codec: str) -> bool:
    return 1 <= kind <= 5 if codec == "h264" else kind < 32


def _leading_units(data: bytes, codec: str) -> Iterator[tuple[int, bytes]]:
    """Kind and bytes of the units in front of the first slice."""
    for start, kind in _units(data, codec):
        if _is_slice(kind, codec):
            return
        end = data.find(_START, start)
        yield kind, (data[start:] if end < 0 else data[start:end]).rstrip(b"\x00")


class _Bits:
    """Reads a unit bit by bit. Raises ValueError beyond its end."""

    def __init__(self, unit: bytes) -> None:
        plain = unit.replace(b"\x00\x00\x03", b"\x00\x00")  # the third byte only keeps start codes out
        self._left = len(plain) * 8
        self._value = int.from_bytes(plain, "big")

    def take(self, count: int) -> int:
        """`count` bits, the highest first."""
        if count > self._left:
            raise ValueError("a parameter set is cut short")
        self._left -= count
        return self._value >> self._left & ((1 << count) - 1)

    def number(self) -> int:
        """A number of variable length: so many zeros, a one, and as many bits again (Exp-Golomb, ue)."""
        zeros = 0
        while not self.take(1):
            zeros += 1
            if zeros > 32:
                raise ValueError("a parameter set holds no numbers")
        return (1 << zeros) - 1 + self.take(zeros)

    def signed(self) -> int:
        """The same, alternating about zero (se)."""
        number = self.number()
        return (number + 1) // 2 if number & 1 else -(number // 2)

    def skip(self, *counts: int) -> None:
        for count in counts:
            self.take(count)

    def skip_numbers(self, count: int) -> None:
        for _ in range(count):
            self.number()


def _h264(unit: bytes) -> Sequence:
    bits = _Bits(unit)
    bits.skip(8)
    profile = bits.take(8)
    bits.skip(16)  # constraints, level
    bits.number()  # id
    colour = _h264_colour(bits) if profile in _WITH_COLOUR else 1
    bits.number()  # bits of the frame number
    order = bits.number()
    if order == 0:
        bits.number()
    elif order == 1:
        bits.skip(1)
        bits.skip_numbers(2)  # signed ones, as long
        bits.skip_numbers(_few(bits.number(), 255))
    bits.number()  # reference pictures
    bits.skip(1)
    width, units_high = (bits.number() + 1) * 16, bits.number() + 1
    is_progressive = bits.take(1)
    bits.skip(1 if is_progressive else 2)
    height = units_high * 16 * (2 - is_progressive)
    if bits.take(1):
        # Crops count in samples of colour: half as many in 4:2:0 (1), and in 4:2:2 (2) half as wide.
        step_x, step_y = 2 if colour in {1, 2} else 1, (2 if colour == 1 else 1) * (2 - is_progressive)
        left, right, top, bottom = (bits.number() for _ in range(4))
        width, height = width - (left + right) * step_x, height - (top + bottom) * step_y
    # Where order is not said, decoding order is showing order (2), or the profile has no B-frames.
    reorder = 0 if order == 2 or profile == _BASELINE else None
    if bits.take(1):
        said = _h264_reorder(bits)
        reorder = reorder if said is None else said
    return Sequence(width=width, height=height, reorder=reorder)


def _h264_colour(bits: _Bits) -> int:
    """chroma_format_idc; what follows it up to the scaling lists is passed over."""
    colour = bits.number()
    if colour == 3:
        bits.skip(1)
    bits.skip_numbers(2)
    bits.skip(1)
    if bits.take(1):
        for number in range(8 if colour != 3 else 12):
            if bits.take(1):
                _pass_scaling_list(bits, 16 if number < 6 else 64)
    return colour


def _pass_scaling_list(bits: _Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.signed()) % 256
        last = following or last


def _h264_reorder(bits: _Bits) -> int | None:
    """max_num_reorder_frames, at the very end of the usability information; None when it is not there."""
    if bits.take(1) and bits.take(8) == _ODD_PIXELS:
        bits.skip(32)
    if bits.take(1):
        bits.skip(1)
    if bits.take(1):
        bits.skip(4)
        if bits.take(1):
            bits.skip(24)
    if bits.take(1):
        bits.skip_numbers(2)
    if bits.take(1):
        bits.skip(32, 32, 1)
    has_buffers = False
    for _ in range(2):
        if bits.take(1):
            _pass_buffers(bits)
            has_buffers = True
    bits.skip(1 if has_buffers else 0)
    bits.skip(1)
    if not bits.take(1):
        return None
    bits.skip(1)
    bits.skip_numbers(4)
    return bits.number()


def _pass_buffers(bits: _Bits) -> None:
    count = _few(bits.number() + 1, 32)
    bits.skip(8)
    for _ in range(count):
        bits.skip_numbers(2)
        bits.skip(1)
    bits.skip(20)


def _hevc(unit: bytes) -> Sequence:
    bits = _Bits(unit)
    bits.skip(16, 4)
    layers = bits.take(3)
    bits.skip(1)
    _pass_profiles(bits, layers)
    bits.number()  # id
    colour = bits.number()
    if colour == 3:
        bits.skip(1)
    width, height = bits.number(), bits.number()
    if bits.take(1):
        step_x, step_y = 2 if colour in {1, 2} else 1, 2 if colour == 1 else 1
        left, right, top, bottom = (bits.number() for _ in range(4))
        width, height = width - (left + right) * step_x, height - (top + bottom) * step_y
    bits.skip_numbers(3)  # bits a sample, bits of the order
    reorder = 0
    for _ in range(layers + 1 if bits.take(1) else 1):
        bits.number()
        reorder = bits.number()  # that of the last, which is the whole stream
        bits.number()
    return Sequence(width=width, height=height, reorder=reorder)


def _pass_profiles(bits: _Bits, layers: int) -> None:
    bits.skip(88, 8)
    present = [(bits.take(1), bits.take(1)) for _ in range(layers)]
    if layers:
        bits.skip(2 * (8 - layers))
    for has_profile, has_level in present:
        bits.skip(88 * has_profile, 8 * has_level)


def _few(count: int, limit: int) -> int:
    if count > limit:
        raise ValueError("a parameter set counts without end")
    return count
