"""A USB camera: MJPEG passed on undecoded where the camera offers it, else its pictures encoded to H.264.

OpenCV only, and nobody else imports it. Its reads are bounded here, but a driver may still hold one for ever: then the
reader thread is given up (`supervise`) and the camera stays busy until the driver lets go. One thread reads; `close`
may come from any.
"""

from __future__ import annotations

import os
import threading
import zlib
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from edge.clock import SECOND
from edge.errors import SourceLost
from edge.packet import Format, RawPacket, Track
from edge.ports import Clock
from edge.recorder import nal
from edge.recorder.capture.encode import PictureEncoder
from edge.recorder.capture.jpeg import is_flat, whole
from edge.recorder.capture.timestamps import LATEST_S

_PATIENCE_S: Final = 2  # for one picture; the slowest camera in the dark gives three a second
# OpenCV reads these when it is imported, and waits ten times 10 s without them.
os.environ["OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT"] = str(_PATIENCE_S)
os.environ["OPENCV_VIDEOIO_V4L_READ_ATTEMPTS"] = "1"
os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")  # what it warns of is told here, once
import cv2  # noqa: E402

Pixels = NDArray[np.uint8]

_MICROSECOND: Final = (1, 1_000_000)
_MJPEG: Final = cv2.VideoWriter.fourcc(*"MJPG")
_LONGEST_US: Final = 500_000  # shown for so long at most: after a stall the gap is told, not bridged
_ONE_COLOUR: Final = 8  # of 256 shades between the darkest and the brightest spot of a raw picture


class Device(Protocol):
    """What is used of `cv2.VideoCapture`."""

    # As OpenCV spells it.
    def isOpened(self) -> bool: ...  # noqa: N802
    def set(self, propId: int, value: float) -> bool: ...  # noqa: N803
    def get(self, propId: int) -> float: ...  # noqa: N803
    def read(self) -> tuple[bool, Pixels]: ...
    def release(self) -> None: ...


def _video_capture(path: str, backend: int) -> Device:
    return cast("Device", cv2.VideoCapture(path, backend))


class Newest:
    """The newest picture of a camera, by its checksum: nothing of the room outside the ring.

    It outlives each opening, so that a camera that is stuck is not taken for good again whenever it is opened anew.
    """

    def __init__(self) -> None:
        self._sum: int | None = None
        self._stamp_us = 0

    def is_news(self, data: bytes | memoryview, stamp_us: int, is_blank: Callable[[], bool]) -> bool:
        """False when this is the same picture once more; `stamp_us`: the driver's, 0 when it gives none.

        No sensor gives the same bytes twice, but in the dark: a blank picture is news if its stamp says so.
        """
        before, self._sum = self._sum, zlib.crc32(data)
        stamp_before, self._stamp_us = self._stamp_us, stamp_us
        return self._sum != before or ((stamp_us <= 0 or stamp_us != stamp_before) and is_blank())


class V4l2Camera:
    """Reads one device. Raises SourceLost when it cannot be opened.

    `newest` is shared by all openings of one camera. A picture that is broken, or the last one again, comes out of
    `read` as a packet without bytes, which `timestamps` counts and rejects.
    """

    def __init__(
        self,
        path: Path,
        *,
        width: int,
        height: int,
        fps: int,
        clock: Clock,
        newest: Newest,
        open_device: Callable[[str, int], Device] | None = None,
    ) -> None:
        self.name = f"camera {path.name}"
        self._clock = clock
        self._fps = fps
        self._newest = newest
        self._closed = threading.Event()
        self._reading = threading.Lock()  # OpenCV crashes when a device is released in the midst of a read
        self._encoder: PictureEncoder | None = None
        self._made: deque[RawPacket] = deque()  # bounded by what one picture completes
        self._last_us: int | None = None
        self._stamp_us = 0
        self._is_ours = False  # the driver's clock is this machine's
        self._good_ns = clock.boot_ns()
        self._device = self._open(str(path), width, height, open_device or _video_capture)

    def _open(self, path: str, width: int, height: int, open_device: Callable[[str, int], Device]) -> Device:
        try:
            device = open_device(path, cv2.CAP_V4L2)
            if not device.isOpened():
                raise SourceLost(f"{self.name}: cannot be opened; plug it in, or end the program that uses it")
            # In this order: the size decides which forms a driver offers, and asking for a form may reset the rate.
            device.set(cv2.CAP_PROP_FRAME_WIDTH, width)
            device.set(cv2.CAP_PROP_FRAME_HEIGHT, height)
            device.set(cv2.CAP_PROP_FOURCC, _MJPEG)
            device.set(cv2.CAP_PROP_FPS, self._fps)
            self._is_mjpeg = int(device.get(cv2.CAP_PROP_FOURCC)) == _MJPEG
            device.set(cv2.CAP_PROP_CONVERT_RGB, 0 if self._is_mjpeg else 1)
        except cv2.error as err:
            raise SourceLost(f"{self.name}: {err.err}") from err
        return device

    def read(self) -> RawPacket:
        """The next picture. Raises SourceLost when the camera gives none in time, or after `close`."""
        with self._reading:
            while not self._made:
                self._take()
            return self._made.popleft()

    def close(self) -> None:
        """Let the device go; a read in another thread ends first, and its thread then comes here itself. Idempotent."""
        self._closed.set()
        if self._reading.acquire(blocking=False):
            try:
                self._device.release()
            finally:
                self._reading.release()

    def _take(self) -> None:
        if self._closed.is_set():
            raise SourceLost(f"{self.name}: closed")
        try:
            is_there, pixels = self._device.read()
            stamp_us = round(self._device.get(cv2.CAP_PROP_POS_MSEC) * 1000)
        except cv2.error as err:
            raise SourceLost(f"{self.name}: {err.err}") from err
        now_ns = self._clock.boot_ns()
        if not is_there:
            raise SourceLost(f"{self.name}: gives no picture; check its cable")
        if self._is_mjpeg:
            self._put_jpeg(pixels.tobytes(), stamp_us, now_ns)
        else:
            self._put_raw(pixels, stamp_us, now_ns)

    def _put_jpeg(self, data: bytes, stamp_us: int, now_ns: int) -> None:
        picture = whole(data)
        if picture is None:
            self._let_go("gives broken pictures; use a shorter cable or a port of its own", now_ns)
        elif not self._newest.is_news(picture.data, stamp_us, lambda: is_flat(picture.data)):
            self._let_go("gives the same picture again and again; pull its plug and put it back", now_ns)
        else:
            form = Format(codec="mjpeg", width=picture.width, height=picture.height)
            self._put(form, picture.data, self._seen_us(stamp_us, now_ns), now_ns, is_key=True)

    def _put_raw(self, pixels: Pixels, stamp_us: int, now_ns: int) -> None:
        if not self._newest.is_news(pixels.data, stamp_us, lambda: int(pixels.max()) - int(pixels.min()) < _ONE_COLOUR):
            self._let_go("gives the same picture again and again; pull its plug and put it back", now_ns)
            return
        height, width = pixels.shape[:2]
        encoder = self._encoder
        if encoder is None or (encoder.width, encoder.height) != (width // 2 * 2, height // 2 * 2):
            encoder = self._encoder = PictureEncoder(width=width, height=height, fps=self._fps)
        form = Format(codec="h264", width=encoder.width, height=encoder.height)
        for made in encoder.encode(pixels, self._seen_us(stamp_us, now_ns)):
            self._put(form, nal.to_sized(made.data), made.seen_us, now_ns, is_key=made.is_key)

    def _seen_us(self, stamp_us: int, now_ns: int) -> int:
        """A stamp that stands still while the pictures change is none; some drivers leave it at zero."""
        before, self._stamp_us = self._stamp_us, stamp_us
        return stamp_us if stamp_us > 0 and stamp_us != before else now_ns // 1000

    def _put(self, form: Format, data: bytes, seen_us: int, now_ns: int, *, is_key: bool) -> None:
        last_us, self._last_us = self._last_us, seen_us
        usual_us = 1_000_000 // self._fps
        # Drivers stamp with the monotonic clock, which is BOOTTIME on a machine that never slept. Pictures are dated by
        # it then, so that `timestamps` takes it as it is and not by how late this thread was woken.
        is_near = 0 <= now_ns - seen_us * 1000 < LATEST_S * SECOND
        if last_us is None:
            self._is_ours = is_near
        self._good_ns = now_ns
        self._made.append(
            RawPacket(
                track=Track.PICTURE,
                format=form,
                data=data,
                pts=seen_us,
                dts=None,
                duration=usual_us if last_us is None else min(max(seen_us - last_us, 1), _LONGEST_US),
                tick=_MICROSECOND,
                is_key=is_key,
                arrival_ns=seen_us * 1000 if self._is_ours and is_near else now_ns,
            )
        )

    def _let_go(self, why: str, now_ns: int) -> None:
        if now_ns - self._good_ns >= _PATIENCE_S * SECOND:
            raise SourceLost(f"{self.name}: {why}")
        self._made.append(
            RawPacket(
                track=Track.PICTURE,
                format=Format(codec="mjpeg" if self._is_mjpeg else "h264"),
                data=b"",
                pts=None,
                dts=None,
                duration=0,
                tick=_MICROSECOND,
                is_key=False,
                arrival_ns=now_ns,
            )
        )
