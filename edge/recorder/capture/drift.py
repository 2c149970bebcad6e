"""A microphone's samples laid on this machine's clock: smooth, without gaps or clicks, for as long as it runs. Pure.

Two crystals never agree: at 200 ppm sound and picture are 0.7 s apart after an hour. And the moments at which blocks
are seen to have come jitter by milliseconds, so placing each block by its own moment would tear the sound apart.

    PhaseLock   from jittering moments to the time of each block, and so the true rate of the device
    Evener      from samples at the device's rate to samples at exactly 48 kHz of this clock
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.clock import MILLISECOND, SECOND

# The loop's bandwidth. A step of 200 ppm costs 0.7 ms on the way; 5 ms of jitter bends the pitch by less than 0.1 %.
# Loop: F. Adriaensen, "Using a DLL to filter time", Linux Audio Conference 2005.
_BANDWIDTH_HZ: Final = 0.02
# A block can be seen late (a busy processor, a driver that counts in periods) but never before it was heard: the
# earliest of half a second is the true one.
_WINDOW: Final = 25
# More than this between the loop and what is seen is no drift: samples were lost, or the first block came late.
_LOST_NS: Final = 15 * MILLISECOND
_GAP: Final = 480  # samples; 10 ms without samples is a gap, less is bridged
_TAPS: Final = 3  # samples of the block before, so that a curve can be laid across the seam

Samples = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """When a block was heard, in nanoseconds of BOOTTIME."""

    start_ns: float
    end_ns: float


class PhaseLock:
    """Follows one device. `drift_ppm` is how much faster its clock runs than this machine's, as far as is known."""

    def __init__(self, rate: int) -> None:
        self._nominal_ns = SECOND / rate
        self._sample_ns = self._nominal_ns
        self._zero_ns: int | None = None
        self._next_ns = 0.0  # from zero: when the next block begins
        self._lateness: deque[float] = deque(maxlen=_WINDOW)  # full: the oldest goes, it is half a second old

    @property
    def drift_ppm(self) -> float:
        return (self._nominal_ns / self._sample_ns - 1) * 1e6

    def place(self, samples: int, seen_ns: int, *, is_torn: bool = False) -> Span:
        """When the next `samples` were heard. `seen_ns`: their first one, BOOTTIME, late or just right.

        `is_torn`: samples were lost before them.
        """
        if self._zero_ns is None:
            self._zero_ns = seen_ns
        late_ns = seen_ns - self._zero_ns - self._next_ns
        self._lateness.append(late_ns)
        least_ns = late_ns if is_torn else min(self._lateness)
        if is_torn or least_ns < -_LOST_NS or (least_ns > _LOST_NS and len(self._lateness) == _WINDOW):
            self._next_ns += least_ns
            self._lateness.clear()
            least_ns = 0.0
        start_ns = self._next_ns
        turn = 2 * math.pi * _BANDWIDTH_HZ * samples * self._nominal_ns / SECOND
        self._next_ns += samples * self._sample_ns + math.sqrt(2) * turn * least_ns
        self._sample_ns += turn * turn * least_ns / samples
        return Span(start_ns=self._zero_ns + start_ns, end_ns=self._zero_ns + self._next_ns)


class Evener:
    """Gives one sample for each tick of the 48 kHz clock, by a curve through the four samples around it."""

    def __init__(self) -> None:
        self._before: Samples = np.zeros(_TAPS, np.float32)
        self._next: int | None = None  # the tick of the next sample to give

    def put(self, block: Samples, *, start: float, end: float) -> tuple[int, Samples]:
        """The ticks that this block completes: the first one, and a sample for each.

        `start` and `end`: where the block lies, in ticks. Blocks that follow each other give ticks without gaps; after
        a gap the ticks start anew; what overlaps the block before is left out.
        """
        step = (end - start) / len(block)
        if self._next is None or start - self._next > _GAP:
            self._next, self._before = math.ceil(start), np.zeros(_TAPS, np.float32)
        first = self._next
        # The last two samples wait for the two that follow them.
        ticks = np.arange(first, max(first, math.ceil(start + (len(block) - 2) * step)))
        self._next = first + len(ticks)
        around = np.concatenate((self._before, block))
        self._before = around[-_TAPS:]
        places = np.maximum((ticks - start) / step + _TAPS, 1.0)
        index = np.minimum(places.astype(np.int64), len(around) - 3)
        return first, _curve(around, index, (places - index).astype(np.float32))


def _curve(samples: Samples, index: NDArray[np.int64], part: Samples) -> Samples:
    """Catmull-Rom: through the samples at `index` and behind it, as steep as their neighbours say."""
    a, b, c, d = (samples[index + shift] for shift in (-1, 0, 1, 2))
    bent = c - a + part * (2 * a - 5 * b + 4 * c - d + part * (3 * (b - c) + d - a))
    return (b + part * bent / 2).astype(np.float32)
