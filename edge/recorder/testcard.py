"""Synthetic pictures of six digits each, drawn here dot by dot, and the reader of them. PyAV only; no room, no camera.

    draw     digits -> H.264 packets in the form that a camera's have (`packet.Format`)
    watch    an opened clip -> the digits that its pictures show, as a person would see them

Called by the self-test's thread alone.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final

import av

from edge.clock import SECOND
from edge.errors import BadSource
from edge.packet import Format, Packet, Track
from edge.recorder import nal

if TYPE_CHECKING:
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame

DIGITS: Final = 6
FPS: Final = 10
FORMAT: Final = Format(codec="h264", width=320, height=180)

# Each digit is seven rows of five dots.
FONT: Final = {
    "0": ("01110", "10001", "10011", "10101", "11001", "10001", "01110"),
    "1": ("00100", "01100", "00100", "00100", "00100", "00100", "01110"),
    "2": ("01110", "10001", "00001", "00110", "01000", "10000", "11111"),
    "3": ("11111", "00010", "00100", "00010", "00001", "10001", "01110"),
    "4": ("00010", "00110", "01010", "10010", "11111", "00010", "00010"),
    "5": ("11111", "10000", "11110", "00001", "00001", "10001", "01110"),
    "6": ("00110", "01000", "10000", "11110", "10001", "10001", "01110"),
    "7": ("11111", "00001", "00010", "00100", "01000", "01000", "01000"),
    "8": ("01110", "10001", "10001", "01110", "10001", "10001", "01110"),
    "9": ("01110", "10001", "10001", "01111", "00001", "00010", "01100"),
}
DOT: Final = 8  # pixels: the six digits fill seven eighths of the width
LEFT: Final = 20
TOP: Final = 62
_STEP: Final = 6  # dots from one digit to the next
_DARK: Final = 40
_LIGHT: Final = 220
_GREY: Final = bytes([128])  # no colour


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What a clip shows: the digits of each picture, and how long its sound is (None: it has none)."""

    codes: tuple[str, ...]
    sound_s: float | None


def draw(codes: Sequence[str], *, start_ns: int) -> Iterator[Packet]:
    """One packet for each of `codes` (six digits), FPS a second from `start_ns`, a key frame each second.

    Raises BadSource when this machine's library cannot encode H.264.
    """
    try:
        encoder = _encoder()
        for number, code in enumerate(codes):
            for packet in encoder.encode(_picture(code, number)):
                at_ns = start_ns + number * SECOND // FPS  # without B-frames each picture comes out at once
                yield Packet(
                    track=Track.PICTURE,
                    format=FORMAT,
                    data=nal.to_sized(bytes(packet)),
                    pts_ns=at_ns,
                    dts_ns=at_ns,
                    duration_ns=SECOND // FPS,
                    is_key=packet.is_keyframe,
                    arrival_ns=at_ns,
                    generation=0,
                )
    except (av.error.FFmpegError, ValueError) as err:
        raise BadSource(f"the test card cannot be encoded: {err}") from err


def watch(clip: bytes) -> Watched:
    """What an opened clip shows. Raises BadSource when it does not decode, or a picture shows something else."""
    codes: list[str] = []
    sound_s: float | None = None
    try:
        with av.open(io.BytesIO(clip), mode="r") as container:
            for stream in container.streams.video:
                stream.codec_context.thread_count = 1  # threads would each keep memory
            for packet in container.demux():
                for frame in packet.decode():
                    if isinstance(frame, av.VideoFrame):
                        codes.append(_read(frame))
                    elif isinstance(frame, av.AudioFrame):
                        sound_s = (sound_s or 0.0) + frame.samples / frame.sample_rate
    except (av.error.FFmpegError, ValueError) as err:
        raise BadSource(f"the test card cannot be watched: {err}") from err
    return Watched(codes=tuple(codes), sound_s=sound_s)


def _encoder() -> VideoCodecContext:
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = FORMAT.width, FORMAT.height, "yuv420p"
    encoder.time_base, encoder.framerate, encoder.thread_count = Fraction(1, FPS), Fraction(FPS), 1
    params = f"keyint={FPS}:min-keyint={FPS}:scenecut=0:log-level=none"
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency", "x264-params": params}
    return encoder


def _picture(code: str, number: int) -> VideoFrame:
    frame = av.VideoFrame(FORMAT.width, FORMAT.height, "yuv420p")
    luma, *chroma = frame.planes
    luma.update(_luma(code, luma.line_size))
    for plane in chroma:
        plane.update(_GREY * plane.buffer_size)
    frame.pts, frame.time_base = number, Fraction(1, FPS)
    return frame


def _luma(code: str, line_size: int) -> bytes:
    dark = bytes([_DARK])
    rows = [dark * line_size * TOP]
    for row in range(len(FONT["0"])):
        dots = "".join(FONT[digit][row] + "0" for digit in code)
        line = dark * LEFT + b"".join(bytes([_LIGHT if dot == "1" else _DARK]) * DOT for dot in dots)
        rows.append(line.ljust(line_size, dark) * DOT)
    return b"".join(rows).ljust(line_size * FORMAT.height, dark)


def _read(frame: VideoFrame) -> str:
    """The six digits of a picture, each dot judged by its middle. Raises ValueError when it shows something else."""
    if (frame.width, frame.height) != (FORMAT.width, FORMAT.height):
        raise ValueError(f"a picture of {frame.width}x{frame.height}")
    plane = frame.planes[0]
    luma, middle = bytes(plane), (_DARK + _LIGHT) // 2

    def is_lit(row: int, column: int) -> str:
        at = (TOP + row * DOT + DOT // 2) * plane.line_size + LEFT + column * DOT + DOT // 2
        return "1" if luma[at] > middle else "0"

    shapes = {shape: digit for digit, shape in FONT.items()}
    found = ""
    for place in range(DIGITS):
        columns = range(place * _STEP, place * _STEP + 5)
        shape = tuple("".join(is_lit(row, column) for column in columns) for row in range(len(FONT["0"])))
        if shape not in shapes:
            raise ValueError(f"no digit at place {place + 1}")
        found += shapes[shape]
    return found
