"""Keeps one source going: opens it, reads it into the ring, opens it again when it is lost.

Judged by the age of its last good sample, not by exceptions: a read that never returns raises nothing. A reader that
hangs is given up (its thread is left behind, its late packets are refused) and replaced; never a process restart.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from typing import Final

from edge.clock import MILLISECOND, SECOND
from edge.errors import SourceError
from edge.packet import Track
from edge.ports import Clock, Source
from edge.recorder.capture.pace import Pace
from edge.recorder.capture.timestamps import Timeline
from edge.recorder.ring import Ring
from edge.status import SourceStatus

_FIRST_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 5.0  # a camera that comes back is picked up within R13's 10 s
STALE_NS: Final = 3 * SECOND  # slower than any camera in the dark; leaves 7 of R14's 10 s to be shown
_GIVE_UP_NS: Final = 8 * SECOND
# What to do about a camera that gives too few pictures that a clip can begin at.
SELDOM_KEYS_FIX: Final = (
    "set the camera's key-frame interval (also: I-frame interval, GOP, GOV length) to 1 or 2 s, and switch off what "
    "stretches it (smart codec, dynamic GOP, H.264+, H.265+)"
)


class _Reader:
    """One life of the source's thread. `is_wanted` turns false once and for all."""

    def __init__(self, capture: Capture, number: int) -> None:
        self.is_wanted = True
        self.done = threading.Event()
        self.source: Source | None = None
        self.has_read = False  # something good came since the source was last opened
        self._capture = capture
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"source-{capture.name}-{number}", daemon=True)
        self._thread.start()

    def abandon(self) -> None:
        self.is_wanted = False
        self._stop.set()
        source = self.source
        if source is not None:
            source.close()

    def _run(self) -> None:
        pause_s = _FIRST_PAUSE_S
        try:
            while self.is_wanted:
                self.has_read = False
                try:
                    self.source = self._capture.open_source()
                    self._capture.read_into_ring(self, self.source)
                except SourceError as err:
                    if self.is_wanted:
                        self._capture.trouble = str(err)
                finally:
                    if self.source is not None:
                        self.source.close()
                        self.source = None
                pause_s = _FIRST_PAUSE_S if self.has_read else pause_s
                self._stop.wait(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        finally:
            self.done.set()


class Capture:
    """One camera or microphone. `start`, `stop` and `check` are called by the loop alone."""

    def __init__(
        self,
        *,
        name: str,
        tracks: Collection[Track],
        open_source: Callable[[], Source],
        ring: Ring,
        clock: Clock,
        pace: Pace | None = None,
    ) -> None:
        """`pace`: that of its sources, where they have one."""
        self.name = name
        self.pace = pace or Pace()
        self.tracks = tuple(tracks)
        self.open_source = open_source
        self.taken: frozenset[Track] = frozenset()  # the others are read and let go, never held
        self.trouble: str | None = None
        self._ring = ring
        self._clock = clock
        self._reader: _Reader | None = None
        self._readers = 0
        self._opened = 0
        self._generation = 0
        self._started_ns = 0  # when it was asked to give something
        self._given_ns = 0  # when the newest reader was given its turn
        self._last_ns: dict[Track, int] = {}
        self._keys_ns = (0, 0)  # when the newest key picture came, and how long after the one before

    @property
    def is_running(self) -> bool:
        """It was started and not stopped."""
        return self._reader is not None

    def start(self) -> None:
        """Open the source and read it from now on."""
        if self._reader is not None:
            return
        self._started_ns = self._given_ns = self._clock.boot_ns()
        self._last_ns.clear()
        self.trouble = None
        self._readers += 1
        self._reader = _Reader(self, self._readers)

    def stop(self, *, patience_s: float = 2.0) -> bool:
        """Close the source; False when its thread does not come back in time (it is given up then)."""
        reader, self._reader = self._reader, None
        if reader is None:
            return True
        reader.abandon()
        return reader.done.wait(patience_s)

    def check(self, now_ns: int) -> None:
        """Replace a reader that has given no picture (no sound, where it is a microphone) for too long."""
        leading = Track.PICTURE if Track.PICTURE in self.tracks else Track.SOUND
        if self._reader is None or now_ns - max(self._given_ns, self._last_ns.get(leading, 0)) < _GIVE_UP_NS:
            return
        self._reader.abandon()
        self._given_ns = now_ns
        self._readers += 1
        self._reader = _Reader(self, self._readers)

    def read_into_ring(self, reader: _Reader, source: Source) -> None:
        """Read until the source is lost or the reader given up."""
        self._opened += 1
        self._generation += 1
        timeline = Timeline(self._generation)
        self._keys_ns = self._clock.boot_ns(), 0
        while reader.is_wanted:
            packet = timeline.place(source.read())
            if packet is None or not reader.is_wanted:
                continue
            reader.has_read = True
            # At once, not at the end: a reader that hangs never comes to its end, and the next one counts on.
            self._generation = max(self._generation, timeline.generation)
            self._last_ns[packet.track] = packet.arrival_ns
            if packet.is_key and packet.track is Track.PICTURE:
                self._keys_ns = packet.arrival_ns, packet.arrival_ns - self._keys_ns[0]
            if packet.track in self.taken:
                self._ring.append(packet, self._clock.boot_ns())

    def key_interval_ns(self, now_ns: int) -> int:
        """The time between the newest two key pictures, or since the newest one if that is longer; 0 without a picture."""
        newest_ns, interval_ns = self._keys_ns
        is_fresh = any(each.track == Track.PICTURE and each.state == "good" for each in self.status(now_ns))
        return max(interval_ns, now_ns - newest_ns) if is_fresh else 0

    def status(self, now_ns: int) -> list[SourceStatus]:
        """One line for each track that is wanted or being read."""
        return [self._track_status(track, now_ns) for track in self.tracks]

    def _track_status(self, track: Track, now_ns: int) -> SourceStatus:
        last_ns = self._last_ns.get(track)
        if self._reader is None:
            state = "off"
        elif now_ns - (self._started_ns if last_ns is None else last_ns) >= STALE_NS:
            state = "stale"
        else:
            state = "opening" if last_ns is None else "good"
        return SourceStatus(
            name=self.name,
            track=track.value,
            state=state,
            age_ms=None if last_ns is None else max(0, now_ns - last_ns) // MILLISECOND,
            reopened=max(0, self._opened - 1),
        )
