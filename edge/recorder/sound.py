"""The sound track of a clip: one unbroken row of AAC packets on the picture's time line, silence where there is none.

Pure. The container's writer holds the picture back while it waits for sound (measured: 11 s with a dead
microphone), so this track never waits: what has not come within `PATIENCE_S` becomes silence, and is told as a gap.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from edge.clock import MILLISECOND, SECOND
from edge.packet import SOUND_FRAME, SOUND_RATE, Packet

# ALSA through PortAudio delivers about 0.2 s late, an RTSP camera up to 0.3 s; with 1 s segments and sealing, 0.5 s
# keeps the loss at a power cut under the 2 s of R17.
PATIENCE_S: Final = 0.5
# Sound that starts this much before the end of the track is a seam between two rounds or connections: it is moved
# by that little. 10 ms is half of the 20 ms that sound and picture may differ.
_OVERLAP: Final = SOUND_RATE // 100
_GAP_NS: Final = 100 * MILLISECOND  # shorter silences are seams, not gaps that a person would miss


class Placed(NamedTuple):
    """One AAC packet at `at` samples (48 kHz) after the track's zero."""

    data: bytes
    at: int

    def __repr__(self) -> str:
        return f"Placed({len(self.data)} bytes, at={self.at})"


class SoundTrack:
    """Places packets, in samples from `zero_ns` (BOOTTIME). `silence` is one AAC packet of silence."""

    def __init__(self, zero_ns: int, silence: bytes) -> None:
        self._zero_ns = zero_ns
        self._silence = silence
        self._end = 0
        self.gaps_ns: list[tuple[int, int]] = []  # start and length from zero, neighbours joined
        self.largest_shift = 0  # samples by which a packet had to be moved
        self.dropped = 0

    @property
    def end_ns(self) -> int:
        """The track is complete to here, BOOTTIME."""
        return self._zero_ns + self._end * SECOND // SOUND_RATE

    def put(self, packet: Packet) -> list[Placed]:
        """Place one packet, with silence before it if it comes after a gap. Sound from before the end is dropped."""
        at = round((packet.pts_ns - self._zero_ns) * SOUND_RATE / SECOND)
        if at < self._end - _OVERLAP:
            self.dropped += 1
            return []
        placed = self._fill((at - self._end) // SOUND_FRAME)
        # What is left of a gap is shorter than a packet: the one before it is shown that much longer.
        start = max(at, self._end)
        self.largest_shift = max(self.largest_shift, start - at)
        self._end = start + SOUND_FRAME
        return [*placed, Placed(data=packet.data, at=start)]

    def reach(self, until_ns: int) -> list[Placed]:
        """Silence up to `until_ns` (BOOTTIME), as far as whole packets fit."""
        return self._fill((until_ns - self.end_ns) * SOUND_RATE // SECOND // SOUND_FRAME)

    def _fill(self, count: int) -> list[Placed]:
        if count <= 0:
            return []
        placed = [Placed(data=self._silence, at=self._end + number * SOUND_FRAME) for number in range(count)]
        start_ns = self._end * SECOND // SOUND_RATE
        self._end += count * SOUND_FRAME
        if self.gaps_ns and start_ns - sum(self.gaps_ns[-1]) < _GAP_NS:
            start_ns, _ = self.gaps_ns.pop()
        self.gaps_ns.append((start_ns, self._end * SECOND // SOUND_RATE - start_ns))
        return placed

    def told_gaps_ms(self, from_ns: int) -> tuple[tuple[int, int], ...]:
        """The gaps that a person would miss, start and length in milliseconds after `from_ns` (BOOTTIME)."""
        lead_ns = from_ns - self._zero_ns
        told = [(max(start - lead_ns, 0), start - lead_ns + length) for start, length in self.gaps_ns]
        return tuple(
            (start // MILLISECOND, (end - start) // MILLISECOND) for start, end in told if end - start >= _GAP_NS
        )
