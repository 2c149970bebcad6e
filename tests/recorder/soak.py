"""A day in a room as fast as it goes, in a process of its own: `python -m tests.recorder.soak MINUTES` prints a Soaked as JSON.

The recorder's own parts, on a simulated clock: loop, captures with their threads, ring, clip, mux, seal, outbox. Only the
camera, the microphone and the vault are made up. Every three minutes: a press with half a minute before it, ten seconds
of privacy, now and then a camera that is lost and comes back, and then calm, at the end of which everything is measured.
"""

from __future__ import annotations

import ctypes
import dataclasses
import gc
import io
import json
import os
import sys
import threading
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
import pyrage

from edge.clock import MILLISECOND, SECOND
from edge.config import Config
from edge.errors import SourceLost
from edge.messages import Answer, Close, Incident, Mode, ToVault, Wanted
from edge.packet import SOUND, SOUND_FRAME, SOUND_RATE, Format, RawPacket, Track
from edge.recorder.capture.encode import AacEncoder, silence
from edge.recorder.capture.sources import Sources
from edge.recorder.capture.supervise import Capture
from edge.recorder.loop import Recorder
from edge.recorder.memory import Heap
from edge.recorder.mux import Mux
from edge.recorder.nal import to_sized
from edge.recorder.outbox import Outbox
from edge.recorder.ring import Cursor, Ring
from edge.recorder.seal import Sealer
from tests.recorder.room import MemoryKeeper
from tests.recorder.streams import SimClock
from tests.support.cameras import drawn

CYCLE_S: Final = 180
PRESS_S, POST_S, PRIVATE_S, LISTEN_S, LOST_S = 60, 20, 100, 110, 120  # seconds of a cycle; POST_S after the press
LOST_EVERY: Final = 5  # cycles: to come back takes a fifth of a real second
PROMISE_S: Final = 30
CAP: Final = 16 << 20
FPS: Final = 10
SIZE: Final = (96, 64)
VARIETY_S: Final = 5  # before pictures and sounds come again: the same at once would be a fault
PATIENCE_S: Final = 60.0
_STEP_NS: Final = SECOND // 4  # the loop's own tick
_libc = ctypes.CDLL(None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What this process has at the end of a cycle."""

    rss: int  # bytes
    blocks: int  # of memory that Python has in use
    threads: int
    files: int
    ring_bytes: int
    ring_memory: int  # bytes of locked memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Soaked:
    """What was seen. Times in milliseconds."""

    samples: list[Sample]
    clips: list[dict[str, Any]]  # each one's facts
    oldest_ms: int  # the highest age of anything in the ring, after any of the loop's rounds
    most_memory: int  # bytes of the ring's memory, at any moment
    wiped: int  # times that the ring was read back as zeros
    reopened: int
    last_pictures: int  # decoded of the last clip
    faults: list[str]


class DrivenClock(SimClock):
    """Time passes only when the test says so, and waits for those whom it woke until they sleep again."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = threading.Condition()
        self._due: dict[int, int | None] = {}  # by thread: until when it sleeps; None while it is awake

    def go_on(self, by_ns: int) -> None:
        with self._changed:
            self.now_ns += by_ns
            self._changed.notify_all()

    def wait_for_sleepers(self) -> None:
        with self._changed:
            assert self._changed.wait_for(self._are_asleep, PATIENCE_S)

    def _are_asleep(self) -> bool:
        return all(until_ns is not None and until_ns > self.now_ns for until_ns in self._due.values())

    def sleep_until(self, until_ns: int, wake: threading.Event) -> bool:
        me = threading.get_ident()
        with self._changed:
            self._due[me] = until_ns
            self._changed.notify_all()
            while self.now_ns < until_ns and not wake.is_set():
                self._changed.wait(0.01)  # nobody tells when `wake` is set
            self._due[me] = None
            if wake.is_set():
                del self._due[me]  # it was told to end
        return wake.is_set()


@dataclass
class Feed:
    """What a made-up camera or microphone gives: packets up to `until_ns`, over all its openings."""

    track: Track
    form: Format
    packets: list[tuple[bytes, bool]]
    period_ns: int
    until_ns: int = 0
    is_lost: bool = False
    opened: int = 0
    source: MadeUp | None = None
    changed: threading.Condition = field(default_factory=threading.Condition)

    def open(self) -> MadeUp:
        with self.changed:
            self.opened += 1
            self.source = MadeUp(self)
            return self.source

    def go_on(self, until_ns: int, *, is_wanted: bool) -> None:
        """Give all there is up to this moment; comes back when it has been read."""
        with self.changed:
            self.until_ns = until_ns
            self.changed.notify_all()
            if is_wanted:
                assert self.changed.wait_for(lambda: self.source is not None and self.source.is_read(), PATIENCE_S)


class MadeUp:
    """`ports.Source`: the same second again and again, each packet at its own time."""

    name = "made up"

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._zero_ns = feed.until_ns
        self._number = 0
        self._is_asked = False
        self._is_closed = False

    def _at_ns(self) -> int:
        return self._zero_ns + (self._number + 1) * self._feed.period_ns

    def is_read(self) -> bool:
        """The reader waits for what is not due yet."""
        return self._is_asked and not self._feed.is_lost and self._at_ns() > self._feed.until_ns

    def read(self) -> RawPacket:
        feed, at_ns = self._feed, self._at_ns()
        with feed.changed:
            if at_ns > feed.until_ns:
                self._is_asked = True
                feed.changed.notify_all()
                while at_ns > feed.until_ns and not (self._is_closed or feed.is_lost):
                    feed.changed.wait()
                self._is_asked = False
            if self._is_closed or feed.is_lost:
                feed.is_lost = False
                raise SourceLost("made up: unplugged")
        data, is_key = feed.packets[self._number % len(feed.packets)]
        self._number += 1
        return RawPacket(
            track=feed.track,
            format=feed.form,
            data=data,
            pts=at_ns,
            dts=None,
            duration=feed.period_ns,
            tick=(1, SECOND),
            is_key=is_key,
            arrival_ns=at_ns,
        )

    def close(self) -> None:
        with self._feed.changed:
            self._is_closed = True
            if self._feed.source is self:
                self._feed.source = None
            self._feed.changed.notify_all()


class WatchedRing(Ring):
    """A ring that can be waited for: until its newest reader has read what is in it."""

    def __init__(self) -> None:
        super().__init__(cap_bytes=CAP)
        self.cursor_read = threading.Condition()
        self.newest: Cursor | None = None
        self.wiped = 0

    def cursor(self) -> Cursor:
        self.newest = _Watched(self)
        return self.newest

    def shut(self) -> bool:
        is_wiped = super().shut()
        self.wiped += is_wiped
        return is_wiped

    def memory(self) -> int:
        return sum(room.chunk.size for room in list(self._rooms)) + sum(chunk.size for chunk in list(self._spare))

    def oldest_ns(self, now_ns: int) -> int:
        """The age of the oldest byte."""
        with self._lock:
            return max((now_ns - entries[0].oldest_ns for entries in self._tracks.values() if entries), default=0)


class _Watched(Cursor):
    def __init__(self, ring: WatchedRing) -> None:
        super().__init__(ring)
        self._watched = ring

    def read(self, *, patience_s: float, limit_bytes: int) -> list[Any]:
        packets = super().read(patience_s=patience_s, limit_bytes=limit_bytes)
        with self._watched.cursor_read:
            self._watched.cursor_read.notify_all()
        return list(packets)


class ForgetfulKeeper(MemoryKeeper):
    """A vault that keeps the last clip and the facts of each."""

    def __init__(self) -> None:
        super().__init__()
        self.facts: list[str] = []  # one string a clip: what grows here is not what is looked for

    def tell(self, message: ToVault, payload: bytes = b"") -> Answer:
        answer = super().tell(message, payload)
        if isinstance(message, Close):
            with self.changed:
                self.facts.append(json.dumps(dataclasses.asdict(message.facts)))
                for other in set(self.births) - {message.clip}:
                    del self.births[other], self.segments[other], self.closed[other]
                self.changed.notify_all()
        return answer


class Soak:
    """`run` goes through so many cycles."""

    def __init__(self) -> None:
        self.clock = DrivenClock()
        self.ring = WatchedRing()
        self.keeper = ForgetfulKeeper()
        self.identity = pyrage.x25519.Identity.generate()
        self.camera = Feed(
            track=Track.PICTURE,
            form=Format(codec="h264", width=SIZE[0], height=SIZE[1]),
            packets=[each for second in range(VARIETY_S) for each in _pictures(second)],
            period_ns=SECOND // FPS,
            until_ns=self.clock.now_ns,
        )
        self.microphone = Feed(
            track=Track.SOUND,
            form=SOUND,
            packets=_sounds(),
            period_ns=SOUND_FRAME * SECOND // SOUND_RATE,
            until_ns=self.clock.now_ns,
        )
        self.captures = [
            Capture(
                name=f"made-up-{feed.track}",
                tracks=(feed.track,),
                open_source=feed.open,
                ring=self.ring,
                clock=self.clock,
            )
            for feed in (self.camera, self.microphone)
        ]
        self.outbox = Outbox(self.keeper, self.clock, cap_bytes=CAP)
        self.recorder = Recorder(
            _config(),
            sources=Sources(self.captures),
            ring=self.ring,
            sealer=Sealer([str(self.identity.to_public())]),
            outbox=self.outbox,
            clock=self.clock,
            findings=(),
            silence=silence(),
            container=lambda picture, has_sound: Mux(picture, has_sound=has_sound),
            heap=Heap(),
        )
        self.mode = Mode.LISTEN
        self.incident: Incident | None = None
        self.samples: list[str] = []
        self.oldest_ns = self.most_memory = 0
        self.faults: set[str] = set()

    def run(self, cycles: int) -> Soaked:
        for cycle in range(cycles):
            self._cycle(cycle)
        self.recorder.stop()
        self.outbox.close()
        return Soaked(
            samples=[Sample(**json.loads(sample)) for sample in self.samples],
            clips=[json.loads(facts) for facts in self.keeper.facts],
            oldest_ms=self.oldest_ns // MILLISECOND,
            most_memory=self.most_memory,
            wiped=self.ring.wiped,
            reopened=self.camera.opened,
            last_pictures=self._decoded(),
            faults=sorted(self.faults),
        )

    def _cycle(self, cycle: int) -> None:
        what: dict[int, Any] = {
            PRESS_S: self._press,
            PRESS_S + POST_S: partial(setattr, self, "mode", Mode.LISTEN),
            PRIVATE_S: partial(setattr, self, "mode", Mode.PRIVATE),
            LISTEN_S: partial(setattr, self, "mode", Mode.LISTEN),
        }
        if cycle % LOST_EVERY == LOST_EVERY - 1:
            what[LOST_S] = partial(setattr, self.camera, "is_lost", True)
        for second in range(CYCLE_S):
            if second in what:
                what[second]()
            for _ in range(SECOND // _STEP_NS):
                self._step()
        self._settle(cycle + 1)
        self.samples.append(json.dumps(dataclasses.asdict(self._sample())))

    def _press(self) -> None:
        self.mode = Mode.RECORD
        self.incident = Incident(
            id=f"{self.clock.now_ns:x}",
            pressed_ns=self.clock.now_ns,
            pressed_wall_ns=self.clock.wall_ns(),
            is_wall_trusted=False,
            until_ns=self.clock.now_ns + POST_S * SECOND,
            presses=1,
        )

    def _step(self) -> None:
        """A quarter of a second: what came in it is in the ring, and a clip has read it."""
        self.recorder.hear(Wanted(mode=self.mode, incident=self.incident, events=(), sent_ns=self.clock.now_ns))
        self.recorder.tick()
        self.oldest_ns = max(self.oldest_ns, self.ring.oldest_ns(self.clock.now_ns))
        self.clock.go_on(_STEP_NS)
        for feed, capture in zip((self.camera, self.microphone), self.captures, strict=True):
            feed.go_on(self.clock.now_ns, is_wanted=capture.is_running)
        self._wait_for_clip()
        self.clock.wait_for_sleepers()
        self.most_memory = max(self.most_memory, self.ring.memory())

    def _wait_for_clip(self) -> None:
        recording, ring = self.recorder._recording, self.ring
        if recording is None:
            return

        def has_read() -> bool:
            return recording.is_done or (ring.newest is not None and not ring.newest._is_behind())

        with ring.cursor_read:
            # It may end without another read.
            while not has_read():
                ring.cursor_read.wait(0.05)

    def _settle(self, clips: int) -> None:
        with self.keeper.changed:
            assert self.keeper.changed.wait_for(lambda: len(self.keeper.facts) == clips, PATIENCE_S), (
                "a clip is missing"
            )
        assert self.recorder._finished is not None
        assert self.recorder._finished.wait(patience_s=PATIENCE_S)
        self.faults.update(fault.code for fault in self.recorder.status().faults)

    def _sample(self) -> Sample:
        gc.collect()
        _libc.malloc_trim(0)  # what libraries have given back is no leak
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
        return Sample(
            rss=pages * os.sysconf("SC_PAGE_SIZE"),
            blocks=sys.getallocatedblocks(),
            threads=len(list(Path("/proc/self/task").iterdir())),
            files=len(list(Path("/proc/self/fd").iterdir())),
            ring_bytes=self.ring.held_bytes,
            ring_memory=self.ring.memory(),
        )

    def _decoded(self) -> int:
        """The pictures that the officer sees of the last clip."""
        (clip,) = self.keeper.segments
        sealed = [payload for _, payload in self.keeper.segments[clip].values()]
        opened = b"".join(pyrage.decrypt(each, [self.identity]) for each in sealed)
        with av.open(io.BytesIO(opened), mode="r") as file:
            return len(list(file.decode(video=0)))


def _pictures(second: int) -> list[tuple[bytes, bool]]:
    """A second of H.264 that can be played behind any other: it begins with its only key picture."""
    encoder: Any = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = *SIZE, "yuv420p"
    encoder.time_base, encoder.gop_size = Fraction(1, FPS), FPS
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency"}
    made = []
    for number in range(FPS):
        pixels = drawn(second * FPS + number, SIZE)
        frame = av.VideoFrame.from_ndarray(pixels, format="bgr24").reformat(format="yuv420p")
        frame.pts = number
        made += [(to_sized(bytes(packet)), packet.is_keyframe) for packet in encoder.encode(frame)]
    assert [is_key for _, is_key in made] == [True] + [False] * (FPS - 1)
    return made


def _sounds() -> list[tuple[bytes, bool]]:
    hiss = np.random.default_rng(1).normal(0, 0.1, VARIETY_S * SOUND_RATE).astype(np.float32)
    return [(made.data, True) for made in AacEncoder().put(hiss, 0)]


def _config() -> Config:
    return Config.model_validate(
        {
            "room": {"name": "Soak", "arming": "always"},
            "camera": {"source": "fixture:made-up"},
            "microphone": {"mode": "in_ring", "source": "fixture:made-up"},
            "ring": {"seconds": PROMISE_S, "mebibytes": CAP >> 20},
            "panel": {"panic": {"pin": 17}, "alarm": {"pin": 5}},
        }
    )


if __name__ == "__main__":
    print(json.dumps(dataclasses.asdict(Soak().run(int(sys.argv[1]) * 60 // CYCLE_S))))
