"""Whether the camera sees and the microphone hears: a few numbers of one small picture and of one second of sound,
and the judgement of them over time.

Pure; `capture/look.py` brings the pictures and the sound. No picture outlives its measure: what is kept of it are a
mean, an amount of outline and a checksum a tile. A thread of `look` calls `Judge`. Without numpy: twenty small pictures
a minute cost less in plain Python than numpy and its thread cost to start.

What can be told apart, and what cannot:
- light without outlines is something before the lens, or a light into it: always a fault
- a dim room has outlines too, in proportion to its light, and noise averages out over a tile: no fault
- black without outlines is a covered lens, a dead sensor or a dark room, which look alike: a fault where somebody is
  in the room, who would sit in the light; else only remarked
- noise makes each picture of a still room another one, in every tile: what is bit for bit the same is frozen
"""

from __future__ import annotations

import math
import zlib
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from operator import mul
from typing import Final

WIDTH: Final = 160  # pixels; any picture is squeezed into this
HEIGHT: Final = 90
_TILE: Final = 10  # pixels a side; averages noise down by 10, and still shows a person as several tiles

# Shades of 256, as full range. Measured on the real clips of the tests, as shot / at 0.15 and 0.05 of their light with
# noise of 4 / covered, with noise of 2 to 12: outlines of 53 to 105 / 8 to 17, 2.8 to 4.5 / 0.2 to 0.8.
_OUTLINES: Final = 2.0
_OUTLINES_SHARE: Final = 0.05  # of the mean; clips 0.45 to 1.1 in any light, a hand out of focus 0.06, paper 0.005
_CLEARLY: Final = 1.5  # so many times better before it is right again
# The mean of a covered lens with the strongest noise was 5, that of a clip at 0.15 of its light 13 to 20.
_BLACK: Final = 32.0

# A tile with fewer shades between its darkest and brightest pixel is left out: a wall that is too bright or too dark
# for noise is the same each time.
_TEXTURE: Final = 6
_TOLD_TILES: Final = 12  # fewer than these tell nothing
# Through x264 at 60 to 4200 kbit/s, with noise of 0.3 to 2 shades (less than the light itself has), at most 0.14 of a
# still room's tiles were the same; of a frozen picture 1.00, and 0.85 with a clock that the camera writes into it. That
# is once the encoder rests: one that holds to a bit rate may take five key pictures for it.
_SAME: Final = 0.5
# Looks to compare with: an encoder that rests may go to and fro between two qualities.
_COMPARED: Final = 2

_LEAST_DB: Final = -120.0
# Relative to full scale. Sound that goes to and fro by the least step of 16 bits has 20 log10(1/32768) = -90.3 dB; the
# faintest microphone (MEMS, 65 dB signal-to-noise ratio, AES17 full scale at 120 dB SPL) hisses at -91 + its gain.
_SILENT_DB: Final = -90.0
_HEARD_DB: Final = -84.0
# AAC rounds off what was cut flat at full scale, so nearly full scale counts. Of a film's sound that was cut flat at 2,
# 8 and 20 times its peak: at most 0.001, 0.044 and 0.18 a second.
_FULL_SCALE: Final = 0.95
_CLIPPED_SHARE: Final = 0.02
_UNCLIPPED_SHARE: Final = 0.005
# One sample of so many is looked at. AAC comes in pieces of 1024, which is no multiple: no tone falls between the samples.
_EVERY: Final = 5

# Looks in a row. Two: one may fall into a flash of light or a step past the lens. Three of sound: a shout cuts flat too.
_WRONG_PICTURES: Final = 2
_WRONG_SOUNDS: Final = 3
_RIGHT: Final = 3


class Code(StrEnum):
    """What may be wrong; the code of the fault."""

    DARK = "camera-dark"
    FROZEN = "camera-frozen"
    SILENT = "sound-silent"
    CLIPPED = "sound-clipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One picture in numbers."""

    level: float  # mean, 0 to 255
    outlines: float  # shades by which one tile in ten stands out from those beside it
    tiles: tuple[int, ...] = field(repr=False)  # a checksum each, 0 where there is nothing to see


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """One second of sound in numbers."""

    level_db: float  # of full scale, without any constant part
    clipped: float  # share of the samples, 0 to 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Ailment:
    """Something that is wrong, as it was last measured. English."""

    code: Code
    detail: str
    fix: str
    is_ambiguous: bool = False  # a dark room looks the same: wrong only while somebody is there


def measure_picture(grey: memoryview, line: int = WIDTH) -> Seen:
    """The numbers of HEIGHT lines of `line` bytes each, whose first WIDTH are shades of grey, 0 (black) to 255."""
    means: list[float] = []
    tiles: list[int] = []
    tile = bytearray(_TILE * _TILE)
    for top in range(0, HEIGHT * line, _TILE * line):
        for left in range(top, top + WIDTH, _TILE):
            for row in range(_TILE):
                start = left + row * line
                tile[row * _TILE : (row + 1) * _TILE] = grey[start : start + _TILE]
            means.append(sum(tile) / len(tile))
            tiles.append(zlib.crc32(tile) if max(tile) - min(tile) >= _TEXTURE else 0)
    tile[:] = bytes(len(tile))
    contrasts = sorted(_contrasts(means))
    return Seen(level=sum(means) / len(means), outlines=contrasts[len(contrasts) * 9 // 10], tiles=tuple(tiles))


def _contrasts(means: list[float]) -> list[float]:
    """Second differences: light that fades over the picture, as behind a hand or paper, has none."""
    a_row = WIDTH // _TILE
    inner = [at for at in range(len(means)) if 0 < at % a_row < a_row - 1]
    across = [abs(means[at - 1] - 2 * means[at] + means[at + 1]) for at in inner]
    down = [abs(means[at - a_row] - 2 * means[at] + means[at + a_row]) for at in range(a_row, len(means) - a_row)]
    return across + down


def measure_sound(pieces: Iterable[memoryview[float]]) -> Heard:
    """The numbers of mono samples, as floats of full scale from -1 to 1, in pieces; at least one sample."""
    count, clipped, total, squares = 0, 0, 0.0, 0.0
    for piece in pieces:
        samples = piece[::_EVERY].tolist()
        count += len(samples)
        total += sum(samples)
        squares += sum(map(mul, samples, samples))
        if max(samples) >= _FULL_SCALE or min(samples) <= -_FULL_SCALE:
            clipped += sum(abs(sample) >= _FULL_SCALE for sample in samples)
    # Not the plain level: G.711 says silence with a constant.
    spread = math.sqrt(max(0.0, squares / count - (total / count) ** 2))
    return Heard(level_db=max(_LEAST_DB, 20 * math.log10(spread)) if spread > 0 else _LEAST_DB, clipped=clipped / count)


class Judge:
    """What is wrong, from measures some seconds apart. One camera, one microphone, one capture."""

    def __init__(self) -> None:
        self._seen: deque[Seen] = deque(maxlen=_COMPARED)
        self._heard: Heard | None = None
        self._watches = {
            Code.DARK: _Watch(_WRONG_PICTURES),
            Code.FROZEN: _Watch(_WRONG_PICTURES),
            Code.SILENT: _Watch(_WRONG_SOUNDS),
            Code.CLIPPED: _Watch(_WRONG_SOUNDS),
        }

    def see(self, seen: Seen) -> None:
        """Take in another picture; not the same one twice."""
        limit = max(_OUTLINES, _OUTLINES_SHARE * seen.level)
        self._watches[Code.DARK].put(_verdict(-seen.outlines, wrong=-limit, right=-_CLEARLY * limit))
        self._watches[Code.FROZEN].put(_is_frozen(self._seen, seen))
        self._seen.append(seen)

    def hear(self, heard: Heard) -> None:
        """Take in another second of sound."""
        self._watches[Code.SILENT].put(_verdict(-heard.level_db, wrong=-_SILENT_DB, right=-_HEARD_DB))
        self._watches[Code.CLIPPED].put(_verdict(heard.clipped, wrong=_CLIPPED_SHARE, right=_UNCLIPPED_SHARE))
        self._heard = heard

    @property
    def is_in_doubt(self) -> bool:
        """The last look said otherwise than what is told: look again soon."""
        return any(watch.against for watch in self._watches.values())

    def found(self) -> tuple[Ailment, ...]:
        """What is wrong now."""
        return tuple(self._ailment(code) for code, watch in self._watches.items() if watch.is_told)

    def _ailment(self, code: Code) -> Ailment:
        match code:
            case Code.DARK:
                level = self._seen[-1].level
                if level < _BLACK:
                    what = "black: the lens is covered, or the room is dark"
                    return Ailment(code=code, detail=_seen(what, level), fix=_UNCOVER, is_ambiguous=True)
                what = "without outlines: something is before the lens, or a light shines into it"
                return Ailment(code=code, detail=_seen(what, level), fix=_UNCOVER)
            case Code.FROZEN:
                return Ailment(code=code, detail="the camera gives the same picture again and again", fix=_RESTART)
            case Code.SILENT:
                return Ailment(code=code, detail=self._sound_detail("the microphone hears nothing"), fix=_UNMUTE)
            case Code.CLIPPED:
                return Ailment(code=code, detail=self._sound_detail("the sound is cut off, too loud"), fix=_TURN_DOWN)

    def _sound_detail(self, what: str) -> str:
        heard = self._heard
        return what if heard is None else f"{what} ({heard.level_db:.0f} dB of full scale, {heard.clipped:.0%} cut off)"


_UNCOVER: Final = "take away what is before the lens, switch on the light, or turn the camera away from it"
_RESTART: Final = "take the camera's power away and give it back"
_UNMUTE: Final = "switch the microphone on, turn it up, look at its cable"
_TURN_DOWN: Final = "turn the microphone down"


def _seen(what: str, level: float) -> str:
    return f"the picture is {what} (level {level:.0f} of 255)"


class _Watch:
    """One thing that may be wrong. It is told after some wrong looks in a row, and taken back after some right ones."""

    def __init__(self, wrong: int) -> None:
        self.is_told = False
        self.against = 0  # looks in a row that say otherwise
        self._wrong = wrong

    def put(self, is_wrong: bool | None) -> None:
        """One look; None when it tells nothing."""
        if is_wrong is None:
            return
        self.against = 0 if is_wrong == self.is_told else self.against + 1
        if self.against >= (_RIGHT if self.is_told else self._wrong):
            self.is_told, self.against = is_wrong, 0


def _verdict(value: float, *, wrong: float, right: float) -> bool | None:
    """True from `wrong` upwards, False from `right` downwards; between the two it stays as it is."""
    if value > wrong:
        return True
    return False if value < right else None


def _is_frozen(before: deque[Seen], now: Seen) -> bool | None:
    """Most tiles with something to see are the same as at one of the last looks; None where none could tell."""
    shares = [share for each in before if (share := _same(each, now)) is not None]
    return max(shares) >= _SAME if shares else None


def _same(before: Seen, now: Seen) -> float | None:
    told = [(was, is_now) for was, is_now in zip(before.tiles, now.tiles, strict=True) if was]
    return sum(was == is_now for was, is_now in told) / len(told) if len(told) >= _TOLD_TILES else None
