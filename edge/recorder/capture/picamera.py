"""The Raspberry Pi's own camera: H.264 by the chip of a Pi 4 or Zero 2 W, by x264 on a Pi 5, else MJPEG.

picamera2 only, and nobody else imports it. It stands on libcamera's binding, which is no wheel but part of Raspberry Pi
OS. Pictures come by call-back on the encoder's thread, which only puts them into a short queue. One thread reads;
`close` may come from any.

What the library does, as read in its source (0.3.9 to 0.3.38) and its issues, and what is made of it here:

- its encoders count from their first picture; `firsttimestamp` is that picture's SensorTimestamp, in microseconds of
  CLOCK_MONOTONIC, which is BOOTTIME on a machine that never sleeps
- with a loose ribbon cable nothing is raised: pictures stop, and stopping may wait for ever (#1065, #1264). So a thread
  of its own lets the camera go, and as long as that has not ended nothing is opened
- an opening that fails leaves one end of a pipe open, which a camera tried every 5 s for days cannot afford
- it closes every camera again at the interpreter's end, which would wait for ever likewise
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from edge.clock import SECOND
from edge.errors import BadSource, SourceError, SourceLost
from edge.packet import Format, RawPacket, Track
from edge.ports import Clock
from edge.recorder import nal
from edge.recorder.capture.backlog import Backlog, Seen
from edge.recorder.capture.jpeg import whole
from edge.recorder.capture.parameters import ParameterSets
from edge.recorder.capture.timestamps import LATEST_S

_log = logging.getLogger(__name__)

NAME: Final = "Raspberry Pi camera"
# It is found when the Pi starts, and its connectors are not made to be touched under power.
_RIBBON: Final = "switch the Pi off, press the ribbon cable in at both ends, start it again"
_MICROSECOND: Final = (1, 1_000_000)
_PATIENCE_S: Final = 3.0  # for one picture: the first comes about a second after the start, and rates are fixed
_LET_GO_S: Final = 2.0  # to stop and close takes about half a second
_BACKLOG_S: Final = 2  # two groups of pictures; more is of no use to a clip that may lose 2 s
_LONGEST_US: Final = 500_000  # shown for so long at most: after a stall the gap is told, not bridged
_BIT_RATE: Final = 4_000_000  # bit/s of H.264; 15 MB for 30 s: fits in the ring with room for noise in the dark
_JPEG_BITS: Final = 0.5  # a pixel; 720p15 is 0.9 MB/s


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """What is used of picamera2, which has no types. `encoders`: tried in this order, with the codec that each gives.

    `H264Encoder` and `MJPEGEncoder` are names for those of the chip where it has some, and of libav where it has not.
    """

    camera: Any  # Picamera2
    output: Any  # outputs.Output
    encoders: Sequence[tuple[str, Any]]


def load() -> Library:
    """Import picamera2: no camera is opened, it only asks the video devices which chip this is.

    Raises BadSource when it is not installed, or not for this interpreter.
    """
    os.environ.setdefault("LIBCAMERA_LOG_LEVELS", "*:ERROR")  # it tells each opening in ten lines
    logging.getLogger("picamera2").setLevel(logging.CRITICAL)  # what it tells is told here, once
    try:
        from picamera2 import Picamera2  # noqa: PLC0415 - it is there only on a Raspberry Pi, and takes seconds
        from picamera2.encoders import H264Encoder, MJPEGEncoder  # noqa: PLC0415
        from picamera2.outputs import Output  # noqa: PLC0415
    except Exception as err:  # also of a library below it that was built for another numpy
        raise BadSource(
            f"{NAME}: picamera2 cannot be used ({_line(err)}); apt install python3-picamera2, and make the virtual "
            "environment of the system's python3 with --system-site-packages"
        ) from err
    return Library(camera=Picamera2, output=Output, encoders=(("h264", H264Encoder), ("mjpeg", MJPEGEncoder)))


class PiCamera:
    """The room's camera over all its openings. `open` is called by one reader thread at a time.

    `find` is given by tests. A library that cannot be used is told at each opening, so that the alarm has a recorder
    all the same.
    """

    def __init__(
        self,
        *,
        width: int,
        height: int,
        fps: int,
        clock: Clock,
        patience_s: float = _PATIENCE_S,
        find: Callable[[], Library] = load,
    ) -> None:
        self._size = width // 2 * 2, height // 2 * 2  # colour is held for two pixels together
        self._fps = fps
        self._clock = clock
        self._patience_s = patience_s
        self._in_use = threading.Lock()  # from an opening until the library has let the camera go
        # Now and not at the first opening: that may be a press.
        self._found: Library | SourceError = _found(find)

    def open(self) -> OpenCamera:
        """The camera, giving pictures. Raises BadSource without picamera2, SourceLost when the camera cannot be opened."""
        if isinstance(self._found, SourceError):
            raise BadSource(str(self._found)) from self._found  # a new one: one raised again grows
        if not self._in_use.acquire(timeout=_LET_GO_S):
            raise SourceLost(f"{NAME}: hangs since it was closed; {_RIBBON}")
        try:
            return self._start(self._found)
        except BaseException:
            self._in_use.release()
            raise

    def _start(self, library: Library) -> OpenCamera:
        camera = _opened(library)
        try:
            # What it does at the end is done in `close`; a camera that hangs must not keep the process from ending.
            atexit.unregister(camera.close)
            camera.configure(
                camera.create_video_configuration(
                    # As the encoders take it. The rate is fixed, also in the dark, so that pictures count seconds.
                    main={"size": self._size, "format": "YUV420"},
                    controls={"FrameDurationLimits": (1_000_000 // self._fps,) * 2},
                )
            )
            codec, encoder, pictures = self._record(library, camera)
        except SourceLost:
            _end(camera.close)
            raise
        except Exception as err:
            _end(camera.close)
            raise SourceLost(f"{NAME}: cannot be set up ({_line(err)}); check camera.width, height and fps") from err
        return OpenCamera(
            camera,
            codec=codec,
            encoder=encoder,
            pictures=pictures,
            fps=self._fps,
            clock=self._clock,
            patience_s=self._patience_s,
            let_go=self._in_use.release,
        )

    def _record(self, library: Library, camera: Any) -> tuple[str, Any, _Pictures]:
        """Start the first encoder that starts. Raises SourceLost when none does."""
        why = ""
        for codec, make in library.encoders:
            pictures = _Pictures(self._clock, limit=_BACKLOG_S * self._fps)
            try:
                encoder = self._encoder(codec, make)
                camera.start_recording(encoder, _output(library.output, pictures.put))
            except Exception as err:  # noqa: BLE001 - whatever the library below raises: the next one is tried
                why = _line(err)
                _end(camera.stop_recording)
            else:
                return codec, encoder, pictures
        raise SourceLost(f"{NAME}: pictures cannot be encoded ({why}); end the program that uses the encoder")

    def _encoder(self, codec: str, make: Any) -> Any:
        if codec == "mjpeg":
            return make(bitrate=round(_JPEG_BITS * self._size[0] * self._size[1] * self._fps))
        # A key picture each second with the parameter sets before it. Neither of the two encoders makes B-frames: the
        # chip cannot, and x264 is asked for the least delay.
        encoder = make(bitrate=_BIT_RATE, repeat=True, iperiod=self._fps)
        # x264's: each thread more keeps a picture back. The chip's takes no notice.
        encoder.threads = 1
        return encoder


class _Pictures:
    """Where the encoder's thread leaves what it made, and the reader fetches it."""

    def __init__(self, clock: Clock, *, limit: int) -> None:
        self._clock = clock
        self._backlog = Backlog(limit)
        self._is_closed = False
        self._changed = threading.Condition()

    def put(self, data: bytes, is_key: bool, stamp_us: int | None) -> None:
        seen = Seen(data=data, is_key=is_key, stamp_us=stamp_us, arrival_ns=self._clock.boot_ns())
        with self._changed:
            if not self._is_closed:
                self._backlog.put(seen)
                self._changed.notify_all()

    def take(self, patience_s: float) -> Seen | None:
        """As `Backlog.take`, waiting for the first picture. Raises SourceLost when none comes in time, or once closed."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._is_closed or self._backlog, patience_s):
                raise SourceLost(f"{NAME}: gives no picture; {_RIBBON}")
            if self._is_closed:
                raise SourceLost(f"{NAME}: closed")
            return self._backlog.take()

    def close(self) -> None:
        """Take and give nothing more: nothing of the room outside the ring."""
        with self._changed:
            self._is_closed = True
            self._backlog.clear()
            self._changed.notify_all()


class OpenCamera:
    """A camera that gives pictures. One that is broken, or was dropped because nobody read, comes out of `read` as a
    packet without bytes, which `timestamps` counts and rejects.
    """

    name = NAME

    def __init__(
        self,
        camera: Any,
        *,
        codec: str,
        encoder: Any,
        pictures: _Pictures,
        fps: int,
        clock: Clock,
        patience_s: float,
        let_go: Callable[[], None],
    ) -> None:
        self._camera = camera
        self._codec = codec
        self._encoder = encoder
        self._pictures = pictures
        self._usual_us = 1_000_000 // fps
        self._clock = clock
        self._patience_s = patience_s
        self._let_go = let_go
        self._sets = ParameterSets("h264")
        self._last_us: int | None = None
        self._stamp_us: int | None = None
        self._is_ours = False  # the sensor's clock is this machine's
        self._opened_by = threading.get_ident()
        self._closing = threading.Lock()
        self._is_dark = threading.Event()

    def read(self) -> RawPacket:
        """The next picture. Raises SourceLost when none comes in time, or after `close`."""
        seen = self._pictures.take(self._patience_s)
        shown = None if seen is None else self._shown(seen)
        if seen is None or shown is None:
            return self._nothing()
        return self._packet(seen, *shown)

    def close(self) -> None:
        """Let the camera go. The thread that opened it waits for that, so that a reader that ended means a dark camera;
        any other comes back at once. Idempotent.
        """
        self._pictures.close()
        if self._closing.acquire(blocking=False):  # once and for all
            threading.Thread(target=self._stop, name="picamera-close", daemon=True).start()
        if threading.get_ident() == self._opened_by:
            self._is_dark.wait(_LET_GO_S)

    def _stop(self) -> None:
        _end(self._camera.stop_recording, self._camera.close)
        self._let_go()
        self._is_dark.set()

    def _shown(self, seen: Seen) -> tuple[Format, bytes] | None:
        """The picture in the ring's form; None when it can never be shown."""
        if self._codec == "mjpeg":
            picture = whole(seen.data)
            if picture is None:
                return None
            return Format(codec="mjpeg", width=picture.width, height=picture.height), picture.data
        data: bytes | None = seen.data
        if seen.is_key:
            try:
                self._sets.learn(seen.data)
            except ValueError:
                return None
            data = self._sets.complete(seen.data)
        sequence = self._sets.sequence
        if data is None or sequence is None:
            return None
        return Format(codec="h264", width=sequence.width, height=sequence.height), nal.to_sized(data)

    def _packet(self, seen: Seen, form: Format, data: bytes) -> RawPacket:
        is_first, last_us = self._last_us is None, self._last_us or 0
        seen_us = self._last_us = self._seen_us(seen)
        # Dated by the sensor, so that `timestamps` takes it as it is, and not by how long the encoder took.
        is_near = 0 <= seen.arrival_ns - seen_us * 1000 < LATEST_S * SECOND
        self._is_ours = is_near if is_first else self._is_ours
        return RawPacket(
            track=Track.PICTURE,
            format=form,
            data=data,
            pts=seen_us,
            dts=None,
            duration=self._usual_us if is_first else min(max(seen_us - last_us, 1), _LONGEST_US),
            tick=_MICROSECOND,
            is_key=seen.is_key,
            arrival_ns=seen_us * 1000 if self._is_ours and is_near else seen.arrival_ns,
        )

    def _seen_us(self, seen: Seen) -> int:
        """A stamp that stands still while pictures come is none."""
        before_us, self._stamp_us = self._stamp_us, seen.stamp_us
        if seen.stamp_us is None or seen.stamp_us == before_us:
            return seen.arrival_ns // 1000
        return seen.stamp_us + (self._encoder.firsttimestamp or 0)

    def _nothing(self) -> RawPacket:
        return RawPacket(
            track=Track.PICTURE,
            format=Format(codec=self._codec),
            data=b"",
            pts=None,
            dts=None,
            duration=0,
            tick=_MICROSECOND,
            is_key=False,
            arrival_ns=self._clock.boot_ns(),
        )


def _found(find: Callable[[], Library]) -> Library | SourceError:
    try:
        return find()
    except SourceError as err:
        return err


def _opened(library: Library) -> Any:
    """The first ribbon camera, acquired. Raises SourceLost when there is none, or it is in use."""
    try:
        # libcamera lists USB cameras too.
        ribbons = [at for at, each in enumerate(library.camera.global_camera_info()) if "/usb" not in str(each["Id"])]
    except Exception as err:
        raise SourceLost(f"{NAME}: cannot be looked for ({_line(err)}); start the Pi anew") from err
    if not ribbons:
        raise SourceLost(f"{NAME}: not found; {_RIBBON}")
    camera = library.camera.__new__(library.camera)  # kept apart, to have it in hand when the rest fails
    try:
        camera.__init__(ribbons[0])
    except Exception as err:
        _drop(camera)
        raise SourceLost(f"{NAME}: cannot be opened ({_line(err)}); end the program that uses it") from err
    return camera


def _drop(camera: Any) -> None:
    """Let go of what a failed opening has taken; the library itself forgets the pipe."""
    if getattr(camera, "is_open", False):
        _end(camera.close)
        camera.is_open = False  # it closes itself once more when it is collected: nothing may be closed twice
    reading = getattr(camera, "notifymeread", None)
    if reading is not None and not reading.closed:
        reading.close()
        os.close(camera.notifyme_w)


def _output(base: Any, put: Callable[[bytes, bool, int | None], None]) -> Any:
    """What the library calls with each picture. It takes nothing but its own kind, which is known only when it is there."""

    class Pictures(base):  # type: ignore[misc]
        # An older library gives neither `packet` nor `audio`; a packet of sound, which nobody asked for, has no frame.
        def outputframe(
            self,
            frame: bytes | None,
            keyframe: bool = True,
            timestamp: int | None = None,
            packet: object = None,  # noqa: ARG002 - as the library calls it
            audio: bool = False,  # noqa: ARG002
        ) -> None:
            if frame is not None:
                put(bytes(frame), bool(keyframe), timestamp)

    return Pictures()


def _end(*steps: Callable[[], None]) -> None:
    """Each step, whatever becomes of the one before."""
    for step in steps:
        try:
            step()
        except Exception as err:  # noqa: BLE001 - when the camera cannot be had any more, the next opening tells
            _log.warning("%s: closing: %s", NAME, _line(err))


def _line(err: BaseException) -> str:
    """What went wrong at the bottom: the library hides it behind a sentence of its own."""
    while (below := err.__cause__ or err.__context__) is not None:
        err = below
    return " ".join(f"{err}".split()) or type(err).__name__
