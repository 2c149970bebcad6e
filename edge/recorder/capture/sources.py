"""The room's camera and microphone together: which tracks are read, and which go into the ring. Called by the loop.

An adapter is loaded where the room has such a camera, and before it is opened: no press waits for it.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from edge import credentials
from edge.config import Camera, Config
from edge.errors import BadSource
from edge.packet import Track
from edge.ports import Clock, Source
from edge.recorder.capture.pace import Pace
from edge.recorder.capture.supervise import Capture
from edge.recorder.ring import Ring
from edge.status import SourceStatus


class Sources:
    """Opens and closes captures by track. A track that is not taken is never held, though its camera may be open."""

    def __init__(self, captures: Sequence[Capture]) -> None:
        self.captures = tuple(captures)

    @property
    def is_running(self) -> bool:
        """A camera or microphone is open."""
        return any(capture.is_running for capture in self.captures)

    def has(self, track: Track) -> bool:
        """The configuration names a source for this track."""
        return any(track in capture.tracks for capture in self.captures)

    def takes(self, track: Track) -> bool:
        """What comes of this track goes into the ring."""
        return any(track in capture.taken for capture in self.captures)

    def take(self, track: Track) -> None:
        """Open what gives this track, and hold it."""
        for capture in self.captures:
            if track in capture.tracks:
                capture.taken |= {track}
                capture.start()

    def leave(self, track: Track) -> None:
        """Hold this track no more; close what gives nothing else."""
        for capture in self.captures:
            capture.taken -= {track}
            if not capture.taken:
                capture.stop()

    def stop(self) -> None:
        """Close everything."""
        for track in Track:
            self.leave(track)

    def hurry(self, *, is_on: bool) -> None:
        """Somebody waits for the newest pictures (no more)."""
        for capture in self.captures:
            capture.pace.hurry(is_on=is_on)

    def check(self, now_ns: int) -> None:
        """Replace readers that hang."""
        for capture in self.captures:
            capture.check(now_ns)

    def status(self, now_ns: int) -> list[SourceStatus]:
        """One line a track."""
        return [status for capture in self.captures for status in capture.status(now_ns)]

    def troubles(self, now_ns: int) -> list[tuple[str, str]]:
        """For each stale source its tracks and what is known about it. Without its picture a camera is no camera;
        without its sound it is a silent microphone.
        """
        found: list[tuple[str, str]] = []
        for capture in self.captures:
            stale = [status.track for status in capture.status(now_ns) if status.state == "stale"]
            if capture.tracks[0] in stale:
                found.append(("-".join(capture.tracks), capture.trouble or f"{capture.name} gives nothing"))
            elif stale:
                found.append(("-".join(stale), f"{capture.name} gives no {stale[0]}"))
        return found

    def key_interval_ns(self, now_ns: int) -> int:
        """The longest time between two pictures that a clip can begin at."""
        return max((capture.key_interval_ns(now_ns) for capture in self.captures), default=0)


def sources(config: Config, ring: Ring, clock: Clock) -> Sources:
    """What the configuration names, not yet opened. Without a camera nothing is listened to either."""
    if config.camera.source == "none":
        return Sources([])
    hears = config.microphone.mode != "off"
    is_in_camera = hears and config.microphone.source == "camera"
    captures = [_camera(config.camera, (Track.PICTURE, Track.SOUND) if is_in_camera else (Track.PICTURE,), ring, clock)]
    if hears and not is_in_camera:
        captures.append(_microphone(config.microphone.source, ring, clock))
    return Sources(captures)


def _camera(camera: Camera, tracks: tuple[Track, ...], ring: Ring, clock: Clock) -> Capture:
    if camera.source.startswith("v4l2:"):
        return _v4l2(camera, ring, clock)
    if camera.source == "picamera":
        return _picamera(camera, ring, clock)
    if camera.source.startswith("rtsp:"):
        return _rtsp(camera, tracks, ring, clock)
    return _fixture(camera.source, tracks, ring, clock)


def _v4l2(camera: Camera, ring: Ring, clock: Clock) -> Capture:
    from edge.recorder.capture.v4l2 import Newest, V4l2Camera

    path = Path(camera.source.removeprefix("v4l2:"))
    opener = partial(
        V4l2Camera,
        path,
        width=camera.width,
        height=camera.height,
        fps=camera.fps,
        clock=clock,
        newest=Newest(),
    )
    return Capture(name=f"camera {path.name}", tracks=(Track.PICTURE,), open_source=opener, ring=ring, clock=clock)


def _picamera(camera: Camera, ring: Ring, clock: Clock) -> Capture:
    from edge.recorder.capture.picamera import NAME, PiCamera

    pi = PiCamera(width=camera.width, height=camera.height, fps=camera.fps, clock=clock)
    return Capture(name=NAME, tracks=(Track.PICTURE,), open_source=pi.open, ring=ring, clock=clock)


def _rtsp(camera: Camera, tracks: tuple[Track, ...], ring: Ring, clock: Clock) -> Capture:
    from edge.recorder.capture.rtsp import NAME, RtspCamera

    handed = credentials.folder()
    pace = Pace()
    network = RtspCamera(camera.source, login=camera.login, credentials=handed, tracks=tracks, clock=clock, pace=pace)
    return Capture(name=NAME, tracks=tracks, open_source=network.open, ring=ring, clock=clock, pace=pace)


def _microphone(source: str, ring: Ring, clock: Clock) -> Capture:
    if source.startswith("fixture:"):
        return _fixture(source, (Track.SOUND,), ring, clock)
    in_use = threading.Lock()

    def open_microphone() -> Source:
        try:
            # At the opening and not before: the library looks into every sound device as soon as it is imported.
            from edge.recorder.capture.microphone import Microphone
        except OSError as err:  # its library, which is not a Python package
            raise BadSource(f"microphone: {err}; install libportaudio2") from err
        return Microphone(source, clock=clock, in_use=in_use)

    name = "microphone" if source == "default" else f"microphone {source.removeprefix('alsa:')}"
    return Capture(name=name, tracks=(Track.SOUND,), open_source=open_microphone, ring=ring, clock=clock)


def _fixture(source: str, tracks: tuple[Track, ...], ring: Ring, clock: Clock) -> Capture:
    from edge.recorder.capture.fixture import FixtureSource

    path = Path(source.removeprefix("fixture:"))
    # Now, and not when it is opened as a camera: reading it for the first time writes its access time, and what is
    # counted as written from then on must be nothing. One that is not there is told when it is opened.
    with contextlib.suppress(OSError), path.open("rb") as file:
        file.read(1)
    pace = Pace()
    opener = partial(FixtureSource, path, tracks, clock, pace)
    return Capture(name=f"recording {path.name}", tracks=tracks, open_source=opener, ring=ring, clock=clock, pace=pace)
