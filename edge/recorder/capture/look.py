"""Looks at the newest key picture and the last second of sound in the ring now and then, and has them judged. PyAV only.

A thread of its own, of low priority, and only while there is a ring. It holds the ring's lock for the copy of one
picture. What it decodes is measured and overwritten; only `health`'s numbers stay. Called by the loop.
"""

from __future__ import annotations

import ctypes
import threading
from typing import TYPE_CHECKING, Final, cast

import av

from edge.clock import SECOND
from edge.machine.priority import yield_to_others
from edge.packet import SOUND_RATE, Packet
from edge.ports import Clock
from edge.recorder import nal
from edge.recorder.capture.encode import AAC_SPECIFIC
from edge.recorder.health import HEIGHT, WIDTH, Ailment, Heard, Judge, Seen, measure_picture, measure_sound
from edge.recorder.ring import Ring

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame

# With key pictures up to 2.5 s apart what is wrong is told within 10 s, and further apart so much later. A frozen picture
# takes longest: one look may just miss it, the next is the first to see it, and two more see the same again.
EVERY_NS: Final = 3 * SECOND
IN_DOUBT_NS: Final = 2 * SECOND
_SOUNDS: Final = 49  # AAC packets: one second, and two for the decoder to run up
_RUN_UP: Final = 2
_STOP_S: Final = 1.0  # one decoding takes a tenth of it on a Pi
_ASLEEP_NS: Final = 30 * SECOND  # ten looks


class Look:
    """The room's pictures and sound, as far as they are wrong. `start` and `stop` are idempotent."""

    def __init__(self, ring: Ring, clock: Clock) -> None:
        self._ring = ring
        self._clock = clock
        self._eye: _Eye | None = None

    def start(self) -> None:
        """Look from now on, without what was found before."""
        if self._eye is None:
            self._eye = _Eye(self._ring, self._clock)

    def stop(self) -> None:
        """Look no more. A look that hangs in libav is given up; it finds nothing in a ring that was wiped."""
        eye, self._eye = self._eye, None
        if eye is not None:
            eye.end()

    def found(self) -> tuple[Ailment, ...]:
        """What is wrong, as of the last look; nothing while it does not look. Any thread."""
        eye = self._eye
        return eye.found if eye is not None else ()

    def is_asleep(self, now_ns: int) -> bool:
        """It should look and has not for long. Any thread."""
        eye = self._eye
        return eye is not None and now_ns - eye.looked_ns > _ASLEEP_NS


class _Eye:
    """One life of the thread."""

    def __init__(self, ring: Ring, clock: Clock) -> None:
        self.found: tuple[Ailment, ...] = ()
        self.looked_ns = clock.boot_ns()
        self._round = Round(ring)
        self._clock = clock
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="health", daemon=True)
        self._thread.start()

    def end(self) -> None:
        self._stop.set()
        self._thread.join(_STOP_S)

    def _run(self) -> None:
        yield_to_others()
        pause_ns = EVERY_NS
        while not self._clock.sleep_until(self._clock.boot_ns() + pause_ns, self._stop):
            self.found = self._round.look()
            self.looked_ns = self._clock.boot_ns()
            pause_ns = self._round.pause_ns


class Round:
    """One look after the other, without a clock. One thread."""

    def __init__(self, ring: Ring) -> None:
        self._ring = ring
        self._judge = Judge()
        self._picture_ns: int | None = None
        self._sound_ns: int | None = None

    @property
    def pause_ns(self) -> int:
        """Until the next look."""
        return IN_DOUBT_NS if self._judge.is_in_doubt else EVERY_NS

    def look(self) -> tuple[Ailment, ...]:
        """Measure what is new in the ring, and say what is wrong. What does not decode tells nothing."""
        picture = self._ring.newest_key()
        if picture is not None and picture.pts_ns != self._picture_ns:
            self._picture_ns = picture.pts_ns
            seen = see(picture)
            if seen is not None:
                self._judge.see(seen)
        sounds = self._ring.newest_sounds(_SOUNDS)
        if len(sounds) == _SOUNDS and sounds[-1].pts_ns != self._sound_ns:
            self._sound_ns = sounds[-1].pts_ns
            heard = hear(sounds)
            if heard is not None:
                self._judge.hear(heard)
        return self._judge.found()


def see(picture: Packet) -> Seen | None:
    """The numbers of one key picture; None when it does not decode."""
    decoder = cast("VideoCodecContext", av.CodecContext.create(picture.format.codec, "r"))
    decoder.thread_count = 1  # more would each hold back a picture
    try:
        shown = av.Packet(nal.shown(picture.data, picture.format.codec))
        frames = [*decoder.decode(shown), *decoder.decode(None)]
    except (av.error.FFmpegError, ValueError):
        return None
    if not frames:
        return None
    small = frames[0].reformat(width=WIDTH, height=HEIGHT, format="gray", interpolation="AREA")
    try:
        return measure_picture(memoryview(small.planes[0]), small.planes[0].line_size)
    finally:
        for frame in (small, *frames):
            _overwrite(frame)


def hear(sounds: list[Packet]) -> Heard | None:
    """The numbers of AAC packets that follow each other; None when they do not decode."""
    decoder = av.CodecContext.create("aac", "r")
    decoder.extradata, decoder.sample_rate, decoder.layout = AAC_SPECIFIC, SOUND_RATE, "mono"
    try:
        frames = [frame for sound in sounds for frame in decoder.decode(av.Packet(sound.data))]
    except av.error.FFmpegError:
        return None
    if len(frames) <= _RUN_UP:
        return None
    try:
        return measure_sound(memoryview(frame.planes[0]).cast("f")[: frame.samples] for frame in frames[_RUN_UP:])
    finally:
        for frame in frames:
            _overwrite(frame)


def _overwrite(frame: VideoFrame | AudioFrame) -> None:
    for plane in frame.planes:
        # In place: zeros to copy from would be fresh pages for each look.
        ctypes.memset(plane.buffer_ptr, 0, plane.buffer_size)
