"""USB cameras for tests: a stand-in with the interface of `cv2.VideoCapture`, one in user space for the real library.

StandIn   in this process and in simulated time; it can do everything that real cameras were seen to do
taken     reads one of the kinds and gives what came: the same contract for all of them
"""

from __future__ import annotations

import fcntl
import itertools
import os
import pickle
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.clock import SECOND, SystemClock
from edge.errors import SourceLost
from edge.packet import RawPacket
from edge.recorder.capture.v4l2 import Newest, V4l2Camera
from tests.recorder.streams import SimClock

Pixels = NDArray[np.uint8]
ROOT: Final = Path(__file__).parents[2]
SIZE: Final = (64, 48)


def drawn(number: int, size: tuple[int, int] = SIZE) -> Pixels:
    """A picture with noise in it, different for each number."""
    return np.random.default_rng(number).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)


def jpeg(pixels: Pixels) -> bytes:
    is_done, made = cv2.imencode(".jpg", pixels)
    assert is_done
    return made.tobytes()


def without_tables(picture: bytes) -> bytes:
    """As many webcams send it: no Huffman tables."""
    at, kept = 2, picture[:2]
    while picture[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(picture[at + 2 : at + 4], "big")
        if picture[at + 1] != 0xC4:
            kept += picture[at:end]
        at = end
    return kept + picture[at:]


@dataclass
class StandIn:
    """A camera that gives `pictures` and then does what `end` says; `open` is `cv2.VideoCapture`.

    again   from the first one                      same    the last one, with new stamps
    silent  no more: a read waits, then fails       stuck   the last one, with its old stamp
    gone    unplugged: a read fails at once         hang    a read never returns, until `release` is set
    """

    pictures: Sequence[bytes | Pixels]
    end: str = "again"
    clock: SimClock = field(default_factory=SimClock)
    form: str = "MJPG"
    period_s: float = 0.02
    late_s: float = 0.005  # from the driver's stamp to the reader
    stamp: Callable[[int], float] | None = None  # BOOTTIME ns to the driver's ms
    is_there: bool = True
    hangs: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)
    opened: int = 0
    released: int = 0
    next: int = 0

    def open(self, path: str, backend: int) -> StandInCapture:
        assert isinstance(path, str)
        assert backend == cv2.CAP_V4L2
        self.opened += 1
        return StandInCapture(self)


class StandInCapture:
    """`cv2.VideoCapture` as OpenCV 5.0 behaves on V4L2 (tried with the camera in user space)."""

    def __init__(self, camera: StandIn) -> None:
        self._camera = camera
        self._is_open = camera.is_there
        self._settings = {cv2.CAP_PROP_CONVERT_RGB: 1.0}
        self._stamp_ms = 0.0

    def isOpened(self) -> bool:  # noqa: N802 - as OpenCV spells it
        return self._is_open

    def set(self, propId: int, value: float) -> bool:  # noqa: N803
        self._settings[propId] = value
        return self._is_open

    def get(self, propId: int) -> float:  # noqa: N803
        if not self._is_open:
            return -1.0 if propId == cv2.CAP_PROP_POS_MSEC else 0.0
        if propId == cv2.CAP_PROP_FOURCC:
            return float(cv2.VideoWriter.fourcc(*self._camera.form))
        return self._stamp_ms if propId == cv2.CAP_PROP_POS_MSEC else self._settings.get(propId, -1.0)

    def read(self) -> tuple[bool, Pixels | None]:
        camera = self._camera
        if not self._is_open:
            return False, None
        is_over = camera.next >= len(camera.pictures)
        if is_over and camera.end in {"silent", "gone"}:
            camera.clock.sleep(2 if camera.end == "silent" else 0)
            return False, None
        if is_over and camera.end == "hang":
            camera.hangs.set()
            assert camera.release.wait(60)
        given = camera.pictures[-1] if camera.end in {"same", "stuck"} and is_over else self._next()
        camera.clock.sleep(camera.period_s)
        if not (is_over and camera.end == "stuck"):
            seen_ns = camera.clock.boot_ns() - round(camera.late_s * SECOND)
            self._stamp_ms = camera.stamp(seen_ns) if camera.stamp else seen_ns / 1e6
        if isinstance(given, bytes):
            assert self._settings[cv2.CAP_PROP_CONVERT_RGB] == 0, "a picture was decoded that should be passed on"
            return True, np.frombuffer(given, np.uint8).reshape(1, -1)
        assert self._settings[cv2.CAP_PROP_CONVERT_RGB] == 1
        return True, given

    def _next(self) -> bytes | Pixels:
        given = self._camera.pictures[self._camera.next % len(self._camera.pictures)]
        self._camera.next += 1
        return given

    def release(self) -> None:
        self._camera.released += self._is_open
        self._is_open = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What a camera gave, and how it ended: the error's text, or nothing when there was enough."""

    packets: list[RawPacket]
    error: str


def read_all(camera: V4l2Camera, count: int) -> Taken:
    packets: list[RawPacket] = []
    try:
        while len(packets) < count:
            packets.append(camera.read())
    except SourceLost as err:
        return Taken(packets=packets, error=str(err))
    finally:
        camera.close()
    return Taken(packets=packets, error="")


def open_stand_in(stand_in: StandIn, *, newest: Newest | None = None) -> V4l2Camera:
    return V4l2Camera(
        Path("/dev/stand-in"),
        width=SIZE[0],
        height=SIZE[1],
        fps=15,
        clock=stand_in.clock,
        newest=newest or Newest(),
        open_device=stand_in.open,  # type: ignore[arg-type]  # gives None for no picture, which the stubs deny
    )


def _converted(yuyv: Pixels) -> Pixels:
    return cv2.cvtColor(yuyv.reshape(SIZE[1], SIZE[0], 2), cv2.COLOR_YUV2BGR_YUYV).astype(np.uint8)


def taken_from_stand_in(folder: Path, pictures: Sequence[bytes], *, end: str, form: str, count: int) -> Taken:
    given: Sequence[bytes | Pixels] = pictures
    if form == "YUYV":  # OpenCV converts it before it comes here
        given = [_converted(np.frombuffer(each, np.uint8)) for each in pictures]
    return read_all(open_stand_in(StandIn(given, end=end, form=form)), count)


_CHILD: Final = """\
import pickle, sys
from pathlib import Path
from tests.support.cameras import taken_from_device
sys.stdout.buffer.write(pickle.dumps(taken_from_device(Path(sys.argv[1]), count=int(sys.argv[2]))))
"""


@cache
def _preload(folder: Path) -> Path:
    library = folder / "v4l2_camera.so"
    source = Path(__file__).with_name("v4l2_camera.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True, timeout=60)
    return library


def taken_from_opencv(folder: Path, pictures: Sequence[bytes], *, end: str, form: str, count: int) -> Taken:
    """The real OpenCV on the camera in user space, in a process of its own."""
    shown = folder / "pictures"
    shown.mkdir()
    for number, picture in enumerate(pictures):
        (shown / str(number)).write_bytes(picture)
    device = folder / "video0"
    device.touch()
    environment = {
        **os.environ,
        "LD_PRELOAD": str(_preload(folder.parent)),
        "CAMERA_PATH": str(device),
        "CAMERA_PICTURES": str(shown),
        "CAMERA_END": end,
        "CAMERA_FORMAT": form,
    }
    command = [sys.executable, "-c", _CHILD, str(device), str(count)]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    taken: Taken = pickle.loads(done.stdout)
    return taken


LOOPBACK: Final = Path("/dev/v4l/by-id/usb-loopback-index0")  # v4l2loopback, in the virtual machine (tests/vm)
_SET_FORMAT: Final = 0xC0D05605  # VIDIOC_S_FMT of a v4l2_format, 208 bytes (linux/videodev2.h)
_OUTPUT: Final = 2  # V4L2_BUF_TYPE_VIDEO_OUTPUT
_ANY_FIELD: Final = 1  # V4L2_FIELD_NONE


class Feeder:
    """What a kernel's camera sees: `pictures`, ten a second, and then what `end` says. Its thread: `feeder`."""

    def __init__(self, pictures: Sequence[bytes], *, end: str, form: str) -> None:
        self._pictures, self._end, self._form = pictures, end, form
        self._is_over = threading.Event()
        self.is_read = threading.Event()
        self._has_begun = threading.Event()
        self._thread = threading.Thread(target=self._feed, name="feeder", daemon=True)
        self._thread.start()
        assert self._has_begun.wait(10)

    def _feed(self) -> None:
        with LOOPBACK.open("r+b", buffering=0) as device:
            stride = 0 if self._form == "MJPG" else SIZE[0] * 2
            form = int.from_bytes(self._form.encode(), "little")
            largest = max(map(len, self._pictures))
            wanted = struct.pack("=I4x6I", _OUTPUT, *SIZE, form, _ANY_FIELD, stride, largest)
            fcntl.ioctl(device, _SET_FORMAT, bytearray(wanted.ljust(208, b"\0")))
            device.write(self._pictures[0])  # before this it is no camera
            self._has_begun.set()
            assert self.is_read.wait(10)
            again = itertools.cycle(self._pictures) if self._end == "again" else ()
            for picture in itertools.chain(self._pictures[1:], again):
                if self._is_over.wait(0.1):
                    return
                device.write(picture)
            if self._end == "silent":
                self._is_over.wait(60)

    def close(self) -> None:
        self._is_over.set()
        self.is_read.set()
        self._thread.join(10)


def taken_from_loopback(folder: Path, pictures: Sequence[bytes], *, end: str, form: str, count: int) -> Taken:
    """The real OpenCV on a device of the kernel that these are fed to."""
    feeder = Feeder(pictures, end=end, form=form)
    try:
        camera = V4l2Camera(LOOPBACK, width=SIZE[0], height=SIZE[1], fps=15, clock=SystemClock(), newest=Newest())
        feeder.is_read.set()
        return read_all(camera, count)
    finally:
        feeder.close()


def taken_from_device(path: Path, *, count: int, size: tuple[int, int] = SIZE) -> Taken:
    """Whatever the device at `path` gives."""
    try:
        camera = V4l2Camera(path, width=size[0], height=size[1], fps=15, clock=SystemClock(), newest=Newest())
    except SourceLost as err:
        return Taken(packets=[], error=str(err))
    return read_all(camera, count)
