"""A Raspberry Pi camera for tests: picamera2's names, signatures and errors, over encoders that really encode.

StandIn   the camera, its ribbon cable, the chip and the library; `give` is the sensor's and the encoder's thread
"""

# ruff: noqa: PLR0917 - as many arguments by place as the library takes

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from types import ModuleType
from typing import Any, Final

import av
from av.codec.context import Flags

from edge.clock import SECOND
from edge.errors import SourceLost
from edge.packet import RawPacket
from edge.recorder.capture.picamera import Library, OpenCamera, PiCamera
from tests.recorder.streams import SimClock
from tests.support.cameras import drawn, jpeg

SIZE: Final = (160, 120)
FPS: Final = 10
RIBBON: Final = {"Model": "imx708", "Location": 2, "Rotation": 180, "Id": "/base/soc/i2c0mux/i2c@1/imx708@1a", "Num": 0}
USB: Final = {"Model": "HD Webcam", "Location": 0, "Id": "/base/scb/pcie@7d500000/usb@0,0-1.2:1.0-046d:0825", "Num": 0}


@dataclass
class StandIn:
    """What can be wrong with it is set by the test, also while it is open."""

    clock: SimClock = field(default_factory=SimClock)
    chip: str = "VC4"  # or PISP, which has no encoder
    cameras: list[dict[str, Any]] = field(default_factory=lambda: [RIBBON])
    is_busy: bool = False
    is_old: bool = False  # 0.3.9: outputs are told three things, not five
    broken: set[str] = field(
        default_factory=set
    )  # encoders that do not start, `sensor`, `configure`, `start` (once), `close`
    first_stamp_ns: int | None = None  # the sensor's clock at the first picture, when that is not this machine's
    has_stamps: bool = True
    is_stamp_still: bool = False
    late_s: float = 0.03  # from the sensor to the call-back
    goes_on: threading.Event | None = None  # a loose cable: stopping waits for it
    opened: int = 0
    holder: Any = None  # the Picamera2 that has acquired the camera
    registered: list[Any] = field(default_factory=list)
    given: int = 0
    was_opened: threading.Condition = field(default_factory=threading.Condition)

    def library(self) -> Library:
        """As `picamera.load` would find it."""
        modules = self.modules()
        encoders = modules["picamera2.encoders"]
        return Library(
            camera=modules["picamera2"].Picamera2,
            output=modules["picamera2.outputs"].Output,
            encoders=(("h264", encoders.H264Encoder), ("mjpeg", encoders.MJPEGEncoder)),
        )

    def modules(self) -> dict[str, Any]:
        """For `sys.modules`."""
        camera, encoders, outputs = (ModuleType(f"picamera2{name}") for name in ("", ".encoders", ".outputs"))
        for module, name, made in (
            (camera, "Picamera2", type("Picamera2", (_Picamera2,), {"stand_in": self})),
            (encoders, "H264Encoder", _H264Encoder if self.chip == "VC4" else _LibavH264Encoder),
            (encoders, "MJPEGEncoder", _MJPEGEncoder),
            (outputs, "Output", _Output),
        ):
            setattr(module, name, made)
        return {"picamera2": camera, "picamera2.encoders": encoders, "picamera2.outputs": outputs}

    def give(self, count: int) -> list[int]:
        """So many pictures, one after the other; when the sensor saw them, in ns of its own clock."""
        seen = []
        for _ in range(count):
            self.clock.sleep(self.holder.period_s)
            seen_ns = self.clock.boot_ns() - round(self.late_s * SECOND)
            if self.first_stamp_ns is not None:
                seen_ns = self.first_stamp_ns + round(self.given * self.holder.period_s * SECOND)
            seen.append(seen_ns)
            for encoder in self.holder.encoders:
                encoder.encode(self, self.given, seen_ns)
            self.given += 1
        return seen


class _Output:
    """picamera2.outputs.Output."""

    def __init__(self, pts: object = None) -> None:
        self.recording = False
        self.ptsoutput = pts
        self.needs_pacing = False

    def start(self) -> None:
        self.recording = True

    def stop(self) -> None:
        self.recording = False

    def outputframe(
        self, frame: Any, keyframe: bool = True, timestamp: Any = None, packet: Any = None, audio: bool = False
    ) -> None:
        raise NotImplementedError

    def _add_stream(self, encoder_stream: Any, codec: Any, **kwargs: Any) -> None:
        """The base takes no notice."""


class _Encoder:
    """picamera2.encoders.Encoder: counts from its first picture, and calls its outputs."""

    kind = ""
    framerate: float | None

    def __init__(self) -> None:
        self._output: list[_Output] = []
        self._running = False
        self.firsttimestamp: int | None = None
        self.width = self.height = self.stride = 0
        self.format = ""

    @property
    def output(self) -> Any:
        return self._output[0] if len(self._output) == 1 else self._output

    @output.setter
    def output(self, value: Any) -> None:
        if not isinstance(value, _Output):
            raise RuntimeError("Must pass Output")  # noqa: TRY004 - as the library does
        self._output = [value]

    def start(self, quality: Any = None) -> None:
        if self._running:
            raise RuntimeError("Encoder already running")
        self._running = True
        self.firsttimestamp = None
        for out in self._output:
            out.start()
        self._start()

    def stop(self) -> None:
        if not self._running:
            raise RuntimeError("Encoder already stopped")
        self._running = False
        for out in self._output:
            out.stop()

    def _start(self) -> None:
        raise NotImplementedError

    def _made(self, number: int, timestamp_us: int) -> Iterator[tuple[bytes, bool, int]]:
        raise NotImplementedError

    def encode(self, stand_in: StandIn, number: int, seen_ns: int) -> None:
        seen_us = seen_ns // 1000
        if self.firsttimestamp is None:
            self.firsttimestamp = seen_us
        for data, is_key, timestamp_us in self._made(number, seen_us - self.firsttimestamp):
            told: int | None = timestamp_us if stand_in.has_stamps else None
            told = 0 if stand_in.is_stamp_still else told
            for out in self._output:
                if stand_in.is_old:
                    out.outputframe(data, is_key, told)
                else:
                    out.outputframe(data, is_key, told, None, False)


class _X264(_Encoder):
    bitrate: int
    repeat: bool
    iperiod: int | None
    threads = 1

    def _start(self) -> None:
        assert self.format == "YUV420"
        self._codec: Any = av.CodecContext.create("libx264", "w")
        self._codec.width, self._codec.height, self._codec.pix_fmt = self.width, self.height, "yuv420p"
        self._codec.time_base, self._codec.bit_rate = Fraction(1, 1_000_000), self.bitrate
        self._codec.gop_size = self.iperiod or 60  # the chip's own
        if not self.repeat:
            self._codec.flags |= Flags.global_header
        self._codec.thread_count, self._codec.thread_type = self.threads, "FRAME"
        self._codec.options = {"preset": "ultrafast", "tune": "zerolatency"}
        self._codec.open()

    def _made(self, number: int, timestamp_us: int) -> Iterator[tuple[bytes, bool, int]]:
        frame = av.VideoFrame.from_ndarray(drawn(number, (self.width, self.height)), format="bgr24")
        frame = frame.reformat(format="yuv420p")
        frame.pts, frame.time_base = timestamp_us, Fraction(1, 1_000_000)
        for packet in self._codec.encode(frame):
            yield bytes(packet), packet.is_keyframe, packet.pts


class _H264Encoder(_X264):
    """The chip's, on a Pi 4 and a Zero 2 W."""

    kind = "H264Encoder"

    def __init__(
        self,
        bitrate: Any = None,
        repeat: bool = True,
        iperiod: Any = None,
        framerate: Any = None,
        enable_sps_framerate: bool = False,
        qp: Any = None,
        profile: Any = None,
    ) -> None:
        super().__init__()
        self.bitrate, self.repeat, self.iperiod, self.framerate = bitrate, repeat, iperiod, framerate


class _LibavH264Encoder(_X264):
    """What the same name stands for on a Pi 5."""

    kind = "H264Encoder"
    threads = 0  # "you choose"

    def __init__(
        self,
        bitrate: Any = None,
        repeat: bool = True,
        iperiod: Any = 30,
        framerate: Any = 30,
        qp: Any = None,
        profile: Any = None,
    ) -> None:
        super().__init__()
        self.bitrate, self.repeat, self.iperiod, self.framerate = bitrate, repeat, iperiod, framerate


class _MJPEGEncoder(_Encoder):
    kind = "MJPEGEncoder"

    def __init__(self, bitrate: Any = None) -> None:
        super().__init__()
        self.bitrate = bitrate

    def _start(self) -> None:
        assert self.bitrate > 0

    def _made(self, number: int, timestamp_us: int) -> Iterator[tuple[bytes, bool, int]]:
        yield jpeg(drawn(number, (self.width, self.height))), True, timestamp_us


class _Picamera2:
    """picamera2.Picamera2. A class of its own is made for each stand-in."""

    stand_in: StandIn

    @staticmethod
    def global_camera_info() -> list[dict[str, Any]]:
        raise NotImplementedError

    def __init_subclass__(cls) -> None:
        setattr(cls, "global_camera_info", staticmethod(lambda: list(cls.stand_in.cameras)))  # noqa: B010

    def __init__(self, camera_num: int = 0, verbose_console: Any = None, tuning: Any = None) -> None:
        stand_in = self.stand_in
        self.notifyme_r, self.notifyme_w = os.pipe2(os.O_NONBLOCK)
        self.notifymeread = os.fdopen(self.notifyme_r, "rb")
        self.is_open, self.is_started = False, False
        self.camera_config: dict[str, Any] | None = None
        self.encoders: set[_Encoder] = set()
        self.name = stand_in.cameras[camera_num]["Id"]
        try:
            if stand_in.is_busy or stand_in.holder is not None:
                raise RuntimeError("Failed to acquire camera: Device or resource busy")
            self.is_open = True
            stand_in.holder = self
            if "sensor" in stand_in.broken:
                raise RuntimeError("Unable to read sensor modes")
        except RuntimeError as err:
            raise RuntimeError("Camera __init__ sequence did not complete.") from err
        atexit.register(self.close)
        stand_in.registered.append(self)
        with stand_in.was_opened:
            stand_in.opened += 1
            stand_in.was_opened.notify_all()

    def __del__(self) -> None:
        self.close()

    def create_video_configuration(
        self,
        main: dict[str, Any] = {},  # noqa: B006 - as the library has it
        lores: Any = None,
        raw: Any = {},  # noqa: B006
        transform: Any = None,
        colour_space: Any = None,
        buffer_count: int = 6,
        controls: dict[str, Any] = {},  # noqa: B006
        display: Any = "main",
        encode: Any = "main",
        queue: bool = True,
        sensor: Any = {},  # noqa: B006
        use_case: str = "video",
    ) -> dict[str, Any]:
        for key in main:
            if key not in (valid := ("format", "size", "stride", "preserve_ar")):
                raise ValueError(f"Bad key {key!r}: valid stream configuration keys are {valid}")
        return {
            "main": {"format": "XBGR8888", "size": (1280, 720)} | main,
            "controls": {"FrameDurationLimits": (33333, 33333)} | controls,
        }

    def configure(self, camera_config: Any = "preview") -> None:
        size = camera_config["main"]["size"]
        if "configure" in self.stand_in.broken:
            raise RuntimeError("Camera configuration has been adjusted!")
        if type(size) is not tuple or size[0] % 2 or size[1] % 2:
            raise RuntimeError("width and height should be even")
        self.camera_config = camera_config

    @property
    def period_s(self) -> float:
        """The sensor's, from the controls."""
        assert self.camera_config is not None
        shortest, longest = self.camera_config["controls"]["FrameDurationLimits"]
        assert shortest == longest, "in the dark it would slow down, and key pictures with it"
        return float(shortest) / 1e6

    def start_recording(
        self, encoder: Any, output: Any, pts: Any = None, config: Any = None, quality: Any = None, name: Any = None
    ) -> None:
        assert self.camera_config is not None
        encoder.output = output
        encoder.width, encoder.height = self.camera_config["main"]["size"]
        encoder.format = self.camera_config["main"]["format"]
        if encoder.kind in self.stand_in.broken:
            raise FileNotFoundError(2, "No such file or directory", "/dev/video11")
        encoder.start(quality=quality)
        self.encoders.add(encoder)
        if "start" in self.stand_in.broken:
            self.stand_in.broken.remove("start")
            raise RuntimeError("Failed to start camera: Broken pipe")
        self.is_started = True

    def stop(self) -> None:
        if self.is_started and self.stand_in.goes_on is not None:
            assert self.stand_in.goes_on.wait(60)
        self.is_started = False

    def stop_recording(self) -> None:
        self.stop()
        for encoder in self.encoders:
            encoder.stop()
        self.encoders.clear()

    def close(self) -> None:
        atexit.unregister(self.close)
        if not self.is_open:
            return
        self.stop()
        if self.stand_in.holder is self:
            self.stand_in.holder = None
        if self not in self.stand_in.registered:  # with its manager of cameras, at the end of a good opening
            raise KeyError(0)
        self.is_open = False
        self.notifymeread.close()
        os.close(self.notifyme_w)
        if "close" in self.stand_in.broken:
            raise RuntimeError("Failed to release camera: Invalid argument")


def room(stand_in: StandIn, *, fps: int = FPS, size: tuple[int, int] = SIZE, patience_s: float = 0.05) -> PiCamera:
    """The adapter over it. A picture is there at once or not at all, so patience is short."""
    return PiCamera(
        width=size[0], height=size[1], fps=fps, clock=stand_in.clock, patience_s=patience_s, find=stand_in.library
    )


def read_some(camera: OpenCamera, count: int) -> list[RawPacket]:
    """So many packets, or as many as come."""
    packets: list[RawPacket] = []
    try:
        while len(packets) < count:
            packets.append(camera.read())
    except SourceLost:
        pass
    return packets
