"""A recorder in one process for tests: real sources, ring, muxing and sealing, with a vault that lives in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import pyrage

from edge.clock import SECOND, SystemClock
from edge.config import Config
from edge.errors import SourceLost, VaultAway
from edge.machine.preflight import Today, preflight
from edge.messages import (
    Answer,
    Birth,
    ClipFacts,
    Close,
    Happened,
    Incident,
    Mode,
    PanelEvent,
    Segment,
    ToVault,
    Wanted,
)
from edge.packet import Format, Packet, RawPacket, Track
from edge.ports import Source
from edge.recorder.capture.encode import silence
from edge.recorder.capture.sources import Sources, sources
from edge.recorder.capture.supervise import Capture
from edge.recorder.clip import Container
from edge.recorder.loop import Recorder
from edge.recorder.memory import Heap
from edge.recorder.mux import Mux
from edge.recorder.outbox import Outbox
from edge.recorder.ring import Ring
from edge.recorder.seal import Sealer
from edge.recorder.selftest import SelfTest
from tests.recorder.clips import Truth

GOVERNANCE = {
    "controller": "Gemeente Voorbeeld",
    "dpo_contact": "fg@voorbeeld.example",
    "purpose": "test",
    "criteria": "test",
    "criteria_by": "test",
    "less_intrusive": "test",
    "legal_basis": "test",
    "dpia_reference": "test",
    "dpia_date": "2026-01-01",
    "review_by": "2099-01-01",
    "works_council_consent": "test",
}
PATIENCE_S = 30.0


class MemoryKeeper:
    """The vault's side of `ports.Keeper`: keeps what it is told, can be away, and takes nothing out of order."""

    def __init__(self) -> None:
        self.births: dict[str, Birth] = {}
        self.segments: dict[str, dict[int, tuple[Segment, bytes]]] = {}
        self.closed: dict[str, Close] = {}
        self.events: list[PanelEvent] = []
        self.is_away = False
        self.changed = threading.Condition()

    def tell(self, message: ToVault, payload: bytes = b"") -> Answer:
        with self.changed:
            if self.is_away:
                raise VaultAway("away")
            if isinstance(message, Birth):
                assert message.clip not in self.births
                self.births[message.clip] = message
                self.segments[message.clip] = {}
            elif isinstance(message, Segment):
                assert message.number == len(self.segments[message.clip]), "a number is missing, or comes twice"
                assert message.clip not in self.closed
                self.segments[message.clip][message.number] = message, payload
            elif isinstance(message, Close):
                assert message.segments == len(self.segments[message.clip])
                self.closed[message.clip] = message
            elif isinstance(message, Happened):
                self.events.append(message.event)
            self.changed.notify_all()
        return Answer(is_durable=True)

    def close(self) -> None:
        """Nothing is open."""


class TappedRing(Ring):
    """A ring that notes what was put into it, without the bytes: what the room looked like, to compare clips with."""

    def __init__(self, *, cap_bytes: int) -> None:
        super().__init__(cap_bytes=cap_bytes)
        self.seen: list[Packet] = []

    def append(self, packet: Packet, now_ns: int) -> bool:
        is_taken = super().append(packet, now_ns)
        if is_taken:
            self.seen.append(packet._replace(data=b""))
        return is_taken

    def pictures(self) -> list[Packet]:
        return [packet for packet in self.seen if packet.track is Track.PICTURE]


@dataclass
class TestRoom:
    """`press`, `reset`, `private`, `listen`; `until` waits for what must happen; `clip_file` writes the opened clip."""

    __test__ = False

    folder: Path
    video: Path
    ring_s: int = 2
    microphone: dict[str, str] = field(default_factory=lambda: {"mode": "in_ring", "source": "camera"})
    keeper: MemoryKeeper = field(default_factory=MemoryKeeper)
    make_sources: Callable[[Config, Ring, SystemClock], Sources] = sources
    container: Callable[[Format, bool], Container] = lambda picture, has_sound: Mux(picture, has_sound=has_sound)
    make_self_test: Callable[[Sealer], SelfTest] | None = None
    ring_mebibytes: int = 32
    outbox_bytes: int = 64 << 20
    mode: Mode = Mode.LISTEN
    incident: Incident | None = None
    events: tuple[PanelEvent, ...] = ()
    is_panel_silent: bool = False

    def __enter__(self) -> Self:
        self.identity = pyrage.x25519.Identity.generate()
        self.clock = SystemClock()
        self.config = Config.model_validate_strings(
            {
                "room": {"name": "Test", "arming": "always"},
                "governance": GOVERNANCE,
                "camera": {"source": f"fixture:{self.video}"},
                "microphone": self.microphone,
                "ring": {"seconds": str(self.ring_s), "mebibytes": str(self.ring_mebibytes)},
                "panel": {"panic": {"pin": "17"}, "alarm": {"pin": "5"}},
            }
        )
        self.ring = TappedRing(cap_bytes=self.ring_mebibytes << 20)
        self.outbox = Outbox(self.keeper, self.clock, cap_bytes=self.outbox_bytes)
        sealer = Sealer([str(self.identity.to_public())])
        findings = preflight(self.config, seal=lambda _: sealer, today=Today.of(self.clock))
        self.recorder = Recorder(
            self.config,
            sources=self.make_sources(self.config, self.ring, self.clock),
            ring=self.ring,
            sealer=sealer,
            outbox=self.outbox,
            clock=self.clock,
            findings=findings,
            silence=silence(),
            container=self.container,
            heap=Heap(),
            self_test=self.make_self_test(sealer) if self.make_self_test else None,
        )
        self._ticked = threading.Condition()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self.outbox.close()

    def _loop(self) -> None:
        while not self._stop.is_set():
            if not self.is_panel_silent:
                self.recorder.hear(
                    Wanted(mode=self.mode, incident=self.incident, events=self.events, sent_ns=self.clock.boot_ns())
                )
            self.recorder.tick()
            with self._ticked:
                self._ticked.notify_all()
            self.recorder.wake.wait(0.05)
            self.recorder.wake.clear()

    def stop(self) -> None:
        """As the process does at its end. Idempotent."""
        if not self._stop.is_set():
            self._stop.set()
            self.recorder.wake.set()
            self._thread.join(20)
            self.recorder.stop()

    # What the panel wants

    def press(self, *, post_s: float = 300.0) -> Incident:
        """A press now: the clip is wanted until `post_s` from now, or a reset."""
        now_ns, wall_ns = self.clock.boot_ns(), self.clock.wall_ns()
        self.incident = Incident(
            id=f"{now_ns:x}",
            pressed_ns=now_ns,
            pressed_wall_ns=wall_ns,
            is_wall_trusted=False,
            until_ns=now_ns + round(post_s * SECOND),
            presses=1,
        )
        self.mode = Mode.RECORD
        self.recorder.wake.set()
        return self.incident

    def press_again(self, *, post_s: float) -> Incident:
        """The same incident, longer."""
        assert self.incident is not None
        until_ns = self.clock.boot_ns() + round(post_s * SECOND)
        self.incident = replace(self.incident, until_ns=until_ns, presses=self.incident.presses + 1)
        self.recorder.wake.set()
        return self.incident

    def reset(self) -> int:
        """The incident is over now; when that was."""
        assert self.incident is not None
        now_ns = self.clock.boot_ns()
        self.incident = replace(self.incident, until_ns=now_ns)
        self.mode = Mode.LISTEN
        self.recorder.wake.set()
        return now_ns

    def want(self, mode: Mode) -> None:
        self.mode = mode
        self.recorder.wake.set()

    # Waiting

    def until(self, condition: Callable[[], bool], *, patience_s: float = PATIENCE_S) -> None:
        """Wait for what must happen; looked at after each of the loop's rounds."""
        with self._ticked:
            assert self._ticked.wait_for(condition, patience_s), "it did not happen in time"

    def until_held(self, seconds: float | None = None) -> None:
        """The ring holds so much, by default all that a key frame a second allows."""
        wanted_ns = round((self.ring_s - 0.9 if seconds is None else seconds) * SECOND)
        self.until(lambda: self.ring.held_ns(self.clock.boot_ns()) >= wanted_ns)

    def until_phase(self, share: float) -> None:
        """The camera is so far in its second, which starts with a key frame."""
        newest = self.truth.zero_ns + (self.clock.boot_ns() - self.truth.zero_ns) // SECOND * SECOND
        at_ns = newest + round(share * SECOND)
        self.clock.sleep_until(at_ns + (SECOND if at_ns < self.clock.boot_ns() else 0), threading.Event())

    def wait_closed(self, clips: int = 1) -> list[str]:
        """The numbers of the clips, oldest first, once so many are closed."""
        with self.keeper.changed:
            assert self.keeper.changed.wait_for(lambda: len(self.keeper.closed) >= clips, PATIENCE_S), "not closed"
        return list(self.keeper.closed)

    # Looking

    @property
    def truth(self) -> Truth:
        """Where each picture of a recording of 8 s and 25 pictures a second lies in time."""
        pictures = self.ring.pictures()
        index = round((pictures[-1].pts_ns - pictures[0].pts_ns) * 25 / SECOND)
        return Truth(zero_ns=pictures[-1].pts_ns - index * SECOND // 25, fps=25, count=200)

    def facts(self, clip: str) -> ClipFacts:
        return self.keeper.closed[clip].facts

    def segments(self, clip: str) -> list[tuple[Segment, bytes]]:
        return [item for _, item in sorted(self.keeper.segments[clip].items())]

    def opened(self, clip: str, *, upto: int | None = None) -> bytes:
        """What the officer gets: every segment opened and put together."""
        return b"".join(pyrage.decrypt(sealed, [self.identity]) for _, sealed in self.segments(clip)[:upto])

    def clip_file(self, clip: str) -> Path:
        """The opened clip as a file."""
        path = self.folder / f"{clip}.mp4"
        path.write_bytes(self.opened(clip))
        return path


Opener = Callable[[SystemClock], Source]


def from_openers(*openers: tuple[tuple[Track, ...], Opener]) -> Callable[[Config, Ring, SystemClock], Sources]:
    """For `TestRoom.make_sources`: captures of these tracks from these sources."""

    def make(config: Config, ring: Ring, clock: SystemClock) -> Sources:
        return Sources(
            [
                Capture(name="made up", tracks=tracks, open_source=partial(opener, clock), ring=ring, clock=clock)
                for tracks, opener in openers
            ]
        )

    return make


class Breakable:
    """A source that can be lost, or hang so that not even `close` ends its read."""

    def __init__(
        self,
        source: Source,
        *,
        lose: threading.Event,
        hang: threading.Event,
        hangs: threading.Event,
        release: threading.Event,
    ) -> None:
        self.name = source.name
        self._source = source
        self._lose, self._hang, self._hangs, self._release = lose, hang, hangs, release

    def read(self) -> RawPacket:
        if self._lose.is_set():
            self._lose.clear()
            raise SourceLost(f"{self.name}: unplugged")
        if self._hang.is_set():
            self._hangs.set()
            self._release.wait(60)
        return self._source.read()

    def close(self) -> None:
        self._source.close()


__all__: Sequence[str] = ["Breakable", "MemoryKeeper", "TappedRing", "TestRoom", "from_openers"]
