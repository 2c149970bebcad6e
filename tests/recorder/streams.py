"""Made-up and recorded streams in simulated time: no thread, no waiting, every instant exact.

Stream   packets of a test's own making, as a camera or microphone would place them on BOOTTIME
Session  sources, repair, ring and clip as the recorder puts them together, driven by the packets' own arrival
"""

from __future__ import annotations

import heapq
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from edge.clock import MILLISECOND, SECOND
from edge.errors import SourceLost
from edge.messages import ClipFacts
from edge.packet import SOUND, Format, Packet, RawPacket, Track
from edge.ports import Source
from edge.recorder.capture.encode import silence
from edge.recorder.capture.fixture import FixtureSource
from edge.recorder.capture.timestamps import Timeline
from edge.recorder.clip import Clip
from edge.recorder.mux import Mux
from edge.recorder.ring import Cursor, Ring

IS_LONG: Final = os.environ.get("SPREEKKAMER_LONG") == "1"  # `make long`: full counts
START_NS: Final = 1_000 * SECOND
H264: Final = Format(codec="h264", width=320, height=180)
BOTH: Final = (Track.PICTURE, Track.SOUND)


class SimClock:
    """`ports.Clock`: time passes only when it is slept, or told to."""

    boot_id = "simulated"

    def __init__(self, now_ns: int = START_NS) -> None:
        self.now_ns = now_ns

    def boot_ns(self) -> int:
        return self.now_ns

    def wall_ns(self) -> int:
        return self.now_ns

    def is_trusted(self) -> bool:
        return False

    def sleep(self, seconds: float) -> None:
        self.now_ns += round(seconds * SECOND)

    def sleep_until(self, until_ns: int, wake: threading.Event) -> bool:
        self.now_ns = max(self.now_ns, until_ns)
        return wake.is_set()


def packet(
    at_ns: int,
    *,
    data: bytes = b"picture",
    track: Track = Track.PICTURE,
    dts_ns: int | None = None,
    arrival_ns: int | None = None,
    is_key: bool = True,
    generation: int = 1,
    picture: Format = H264,
) -> Packet:
    """A placed packet; what is not said follows from when it was seen."""
    return Packet(
        track=track,
        format=picture if track is Track.PICTURE else SOUND,
        data=data,
        pts_ns=at_ns,
        dts_ns=at_ns if dts_ns is None else dts_ns,
        duration_ns=40 * MILLISECOND,
        is_key=is_key,
        arrival_ns=at_ns if arrival_ns is None else arrival_ns,
        generation=generation,
    )


def raw(
    *,
    pts: int | None,
    arrival_ns: int,
    dts: int | None = None,
    data: bytes = b"\x00\x00\x00\x07picture",
    track: Track = Track.PICTURE,
    is_key: bool = True,
    tick: tuple[int, int] = (1, 1_000),
    duration: int = 40,
) -> RawPacket:
    """A packet as a camera gives it, in milliseconds of its own clock unless `tick` says otherwise."""
    return RawPacket(
        track=track,
        format=H264 if track is Track.PICTURE else SOUND,
        data=data,
        pts=pts,
        dts=dts,
        duration=duration,
        tick=tick,
        is_key=is_key,
        arrival_ns=arrival_ns,
    )


def unit_kinds(picture: bytes, codec: str = "h264") -> list[int]:
    """The kinds of a held picture's units, in their order."""
    kinds, at = [], 0
    while at < len(picture):
        kinds.append(picture[at + 4] >> 1 & 63 if codec == "hevc" else picture[at + 4] & 31)
        at += 4 + int.from_bytes(picture[at : at + 4], "big")
    return kinds


class Windowed:
    """A source that is silent in given windows (in nanoseconds after its first packet), and may be late."""

    def __init__(self, source: Source, *, silent: Sequence[tuple[float, float]], late_s: float = 0.0) -> None:
        self.name = source.name
        self._source = source
        self._silent = [(round(start * SECOND), round(end * SECOND)) for start, end in silent]
        self._late_ns = round(late_s * SECOND)
        self._zero_ns: int | None = None

    def read(self) -> RawPacket:
        while True:
            given = self._source.read()
            if self._zero_ns is None:
                self._zero_ns = given.arrival_ns
            after_ns = given.arrival_ns - self._zero_ns
            if not any(start <= after_ns < end for start, end in self._silent):
                return later(given, self._late_ns) if self._late_ns else given

    def close(self) -> None:
        self._source.close()


def later(given: RawPacket, late_ns: int) -> RawPacket:
    """The same packet, arriving that much later."""
    return RawPacket(
        track=given.track,
        format=given.format,
        data=given.data,
        pts=given.pts,
        dts=given.dts,
        duration=given.duration,
        tick=given.tick,
        is_key=given.is_key,
        arrival_ns=given.arrival_ns + late_ns,
    )


class Session:
    """The recorder's way of a packet in simulated time: repair, ring, clip and container, one packet after the other."""

    def __init__(
        self, sources: Sequence[Source], *, promise_s: float = 3.0, cap_mib: int = 64, has_sound: bool = True
    ) -> None:
        self.promise_ns = round(promise_s * SECOND)
        self.ring = Ring(cap_bytes=cap_mib << 20)
        self.ring.open(self.promise_ns)
        self.has_sound = has_sound
        self.seen: list[Packet] = []  # every packet that came, in order
        self._packets = heapq.merge(*(self._placed(source) for source in sources), key=lambda placed: placed.arrival_ns)
        self._next = next(self._packets)

    @staticmethod
    def _placed(source: Source) -> Iterator[Packet]:
        timeline = Timeline(1)
        while True:
            try:
                placed = timeline.place(source.read())
            except SourceLost:
                return
            if placed is not None:
                yield placed

    def run_until(self, until_ns: int) -> None:
        """Everything that arrives before `until_ns` is in the ring, and the ring is as old as that."""
        while self._next.arrival_ns < until_ns:
            self._take()
        self.ring.expire(until_ns)

    def _take(self) -> None:
        self.ring.append(self._next, self._next.arrival_ns)
        self.seen.append(self._next)
        self._next = next(self._packets)

    def record(self, path: Path, *, pressed_ns: int, until_ns: int) -> ClipFacts:
        """Press now, and write the clip that the recorder would make."""
        self.run_until(pressed_ns)
        clip = self.clip(pressed_ns=pressed_ns, until_ns=until_ns)
        cursor = self.ring.cursor()
        with path.open("wb") as file:
            while not clip.is_complete and self._next.arrival_ns < until_ns + SECOND:
                self._feed(clip, cursor)
                file.write(clip.take())
                self._take()
            self._feed(clip, cursor)
            file.write(clip.finish())
        self.ring.close()
        return clip.facts(asked_ms=self.promise_ns // MILLISECOND, ended_by="until")

    def clip(self, *, pressed_ns: int, until_ns: int) -> Clip:
        """What `loop` would open."""
        return Clip(
            pressed_ns=pressed_ns,
            floor_ns=pressed_ns - self.promise_ns,
            until_ns=until_ns,
            has_sound=self.has_sound,
            silence=silence(),
            container=lambda picture: Mux(picture, has_sound=self.has_sound),
        )

    @staticmethod
    def _feed(clip: Clip, cursor: Cursor) -> None:
        packets = cursor.read(patience_s=0, limit_bytes=1 << 30)
        if cursor.lapped:  # B-frames that aged away between others; later it would be told as `frames_dropped`
            clip.lost(cursor.lapped)
            cursor.lapped = 0
        for fresh in packets:
            clip.feed(fresh)


def recording(path: Path, tracks: Sequence[Track] = BOTH) -> FixtureSource:
    """The recorded room at `path`, played from START_NS on a clock of its own."""
    return FixtureSource(path, tracks, SimClock())
