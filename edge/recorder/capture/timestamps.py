"""From a source's own clock to this machine's BOOTTIME: repaired, or rejected. Pure; one per opened source.

All tracks of a source share one clock, so what belongs together stays together. The first packet ties that clock
to its arrival; after that the source's own spacing is kept and arrival only bounds it. A clock that runs a little
fast or slow is seen by the least late packets of each while, and led back. One that stalls, steps back or jumps is
tied anew, to the packet before or to the arrival, as a new generation.
"""

from __future__ import annotations

from typing import Final

from edge.clock import MILLISECOND, SECOND
from edge.packet import Packet, RawPacket, Track
from edge.recorder.capture.pace import GATHER_NS

# Cameras deliver within about a second (RTSP jitter buffers 0.2 to 0.5 s, B-frames 0.1 s). A stamp that says its
# packet is older than this is a clock that stalled or jumped, and would let the ring hold more than it promises.
LATEST_S: Final = 2
# A stamp ahead of its packet's arrival by less than this is arrival jitter: the first packet came late. The clock
# then slides back, slowly enough that no two packets change places.
_JITTER: Final = 200 * MILLISECOND
_SLIDE: Final = 5 * MILLISECOND
# Packets that gathered before they were fetched (`pace.py`) are dated by when they were: up to this late, and a picture.
_FETCHED: Final = GATHER_NS + 50 * MILLISECOND
# Of so many packets some come without delay: when even those come later than at the beginning, the clock is slow.
# Crystals differ by up to 200 ppm, which is 2 ms in this while.
_WHILE: Final = 10 * SECOND
# Two packets that arrive closer than this with the same stamp are one packet sent twice, not a stalled clock.
_REPEAT: Final = 1 * MILLISECOND


class Timeline:
    """Turns RawPackets of one source into Packets. `jumps` counts the times its clock had to be tied anew."""

    def __init__(self, generation: int) -> None:
        self.generation = generation
        self.jumps = 0
        self.rejected = 0
        self._offset_ns: int | None = None
        self._last: dict[Track, tuple[int, int]] = {}  # dts and arrival of the newest packet
        self._tied_by: tuple[Track, int] | None = None  # and when this while began
        self._earliest_ns: int | None = None  # of this while: how early its least late packet was, mostly below 0
        self._usual_ns: int | None = None  # of the first while

    def place(self, raw: RawPacket) -> Packet | None:
        """The packet on BOOTTIME; None when it is empty, or repeats or precedes the one before it."""
        dts = raw.dts if raw.dts is not None else raw.pts
        pts = raw.pts if raw.pts is not None else raw.dts
        if pts is None or dts is None:
            return self._accept(raw, raw.arrival_ns, raw.arrival_ns)
        pts_ns, dts_ns = _to_ns(pts, raw.tick), _to_ns(min(dts, pts), raw.tick)
        if pts_ns - dts_ns > LATEST_S * SECOND:
            dts_ns = pts_ns  # no camera waits that long for a later picture: its decoding time says nothing
        if self._offset_ns is None:
            self._offset_ns = self._tie(raw, pts_ns, dts_ns)
            self._watch(raw)
        early_ns = pts_ns + self._offset_ns - raw.arrival_ns
        last_dts_ns, last_arrival_ns = self._last.get(raw.track, (None, 0))
        is_behind = last_dts_ns is not None and dts_ns + self._offset_ns <= last_dts_ns
        is_repeat = is_behind and raw.arrival_ns - last_arrival_ns < _REPEAT
        if early_ns > _JITTER or early_ns < -LATEST_S * SECOND or (is_behind and not is_repeat):
            self._offset_ns = self._tie(raw, pts_ns, dts_ns)
            self._watch(raw)
            self.jumps += 1
            self.generation += 1
        elif early_ns > 0:
            self._offset_ns -= min(early_ns, _SLIDE)
            self._offset_ns += self._drift_ns(raw, 0)
        else:
            self._offset_ns += self._drift_ns(raw, early_ns)
        return self._accept(raw, pts_ns + self._offset_ns, dts_ns + self._offset_ns)

    def _watch(self, raw: RawPacket) -> None:
        """The clock was tied: begin to watch it."""
        self._tied_by, self._earliest_ns, self._usual_ns = (raw.track, raw.arrival_ns), None, None

    def _drift_ns(self, raw: RawPacket, early_ns: int) -> int:
        """By how much the clock is to be led on (or back), once a while."""
        if self._tied_by is None or raw.track is not self._tied_by[0]:
            return 0  # sound and picture do not take equally long, and one of them may stop
        if raw.arrival_ns - self._tied_by[1] < _WHILE:
            self._earliest_ns = early_ns if self._earliest_ns is None else max(self._earliest_ns, early_ns)
            return 0
        before_ns = early_ns if self._earliest_ns is None else self._earliest_ns
        self._tied_by, self._earliest_ns = (raw.track, raw.arrival_ns), early_ns
        if self._usual_ns is None:
            self._usual_ns = before_ns
        return max(-_SLIDE, min(self._usual_ns - before_ns, _SLIDE))

    def _tie(self, raw: RawPacket, pts_ns: int, dts_ns: int) -> int:
        # A packet that had to wait for pictures shown after it (B-frames) was seen at least that long ago.
        came = raw.arrival_ns - (pts_ns - dts_ns) - pts_ns
        if raw.track not in self._last or raw.duration <= 0:
            return came
        # One that may have been fetched late follows the one before it: nothing is missing, nothing stands in its way.
        follows = self._last[raw.track][0] + _to_ns(raw.duration, raw.tick) - dts_ns
        earliest = max(came - _FETCHED, raw.arrival_ns - LATEST_S * SECOND - pts_ns)
        return follows if earliest <= follows < came else came

    def _accept(self, raw: RawPacket, pts_ns: int, dts_ns: int) -> Packet | None:
        last_dts_ns, _ = self._last.get(raw.track, (None, 0))
        if not raw.data or (last_dts_ns is not None and dts_ns <= last_dts_ns):
            self.rejected += 1
            return None
        self._last[raw.track] = dts_ns, raw.arrival_ns
        return Packet(
            track=raw.track,
            format=raw.format,
            data=raw.data,
            pts_ns=pts_ns,
            dts_ns=dts_ns,
            duration_ns=_to_ns(raw.duration, raw.tick),
            is_key=raw.is_key,
            arrival_ns=raw.arrival_ns,
            generation=self.generation,
        )


def _to_ns(ticks: int, tick: tuple[int, int]) -> int:
    numerator, denominator = tick
    return ticks * numerator * SECOND // denominator
