"""Into the few forms that the ring holds: sound as AAC-LC 48 kHz mono, raw pictures as H.264 with a key each second.

PyAV only; each encoder is called by one source thread. Done as it comes in, not at the press: encoding 30 s of speech
takes a third of a second on a server core and seconds on a Pi, and at a press those seconds count.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

import av

from edge.errors import BadSource
from edge.packet import SOUND_FRAME, SOUND_RATE

if TYPE_CHECKING:
    import numpy as np
    from av.audio.codeccontext import AudioCodecContext
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame
    from numpy.typing import NDArray

_BIT_RATE: Final = 64_000  # bit/s; speech and a shout are clear, 8 kB a second in the ring
_TICK: Final = Fraction(1, SOUND_RATE)
# A step in the incoming stamps larger than this is a gap or a jump, not rounding: the encoder starts anew there.
_STEP: Final = SOUND_RATE // 200  # 5 ms in samples
# AudioSpecificConfig of AAC-LC (2), 48 kHz (3), one channel: what this module makes, and may pass on unchanged.
AAC_SPECIFIC: Final = bytes([0x11, 0x88])


class Encoded(NamedTuple):
    """One AAC packet; `at` is the first sample it decodes to, counted from the source's zero at 48 kHz."""

    data: bytes
    at: int

    def __repr__(self) -> str:
        return f"Encoded({len(self.data)} bytes, at={self.at})"


def is_ready_made(stream: AudioStream) -> bool:
    """The stream already is AAC in the ring's form, so that its packets can be held as they are."""
    return stream.codec_context.name == "aac" and (stream.codec_context.extradata or b"")[:2] == AAC_SPECIFIC


def silence() -> bytes:
    """One AAC packet of silence, the same bytes at any place in a track."""
    encoder = _encoder()
    made: list[bytes] = []
    for number in range(8):
        frame = av.AudioFrame(format="fltp", layout="mono", samples=SOUND_FRAME)
        frame.planes[0].update(bytes(SOUND_FRAME * 4))
        frame.sample_rate, frame.pts, frame.time_base = SOUND_RATE, number * SOUND_FRAME, _TICK
        made += [bytes(packet) for packet in encoder.encode(frame)]
    return made[-1]


class SoundEncoder:
    """Decodes one stream's packets and gives AAC, keeping every sample at its own time."""

    def __init__(self, stream: AudioStream) -> None:
        self._decoder = stream.codec_context
        self._resampler: av.AudioResampler | None = None
        self._encoder: AudioCodecContext | None = None
        self._heard = 0.0  # where the next incoming sample is expected, in samples at 48 kHz
        self._made = 0  # where the next outgoing sample goes

    def encode(self, packet: av.Packet[Any]) -> Iterator[Encoded]:
        """The AAC packets that this packet completes, none or several. Raises BadSource when it does not decode."""
        try:
            for frame in self._decoder.decode(packet):
                yield from self._put(frame)
        except av.error.FFmpegError as err:
            raise BadSource(f"the sound cannot be decoded: {err.strerror}") from err

    def _put(self, frame: AudioFrame) -> Iterator[Encoded]:
        if frame.pts is None or frame.time_base is None:
            return
        at = float(frame.pts * frame.time_base * SOUND_RATE)
        if self._encoder is None or self._resampler is None or abs(at - self._heard) > _STEP:
            self._resampler = av.AudioResampler(format="fltp", layout="mono", rate=SOUND_RATE, frame_size=SOUND_FRAME)
            self._encoder = _encoder()
            self._heard, self._made = at, round(at)
        self._heard += frame.samples * SOUND_RATE / frame.sample_rate
        frame.pts = None  # inside a run samples are counted: rounded stamps must not tear them apart
        for piece in self._resampler.resample(frame):
            piece.pts, piece.time_base = self._made, _TICK
            self._made += piece.samples
            for made in self._encoder.encode(piece):
                if made.pts is not None:
                    yield Encoded(data=bytes(made), at=made.pts)


class AacEncoder:
    """Makes AAC of mono samples at 48 kHz that are counted from the source's zero. A gap begins a new run."""

    def __init__(self) -> None:
        self._encoder: AudioCodecContext | None = None
        self._waiting: list[NDArray[np.float32]] = []
        self._held = 0  # samples in `_waiting`
        self._start = 0  # where this run began
        self._fed = 0  # where the next frame goes

    def put(self, samples: NDArray[np.float32], at: int) -> Iterator[Encoded]:
        """The AAC packets that these samples complete, none or several; `at`: the first of them."""
        if self._encoder is None or at != self._fed + self._held:
            self._encoder, self._waiting, self._held = _encoder(), [], 0
            self._start = self._fed = at
        self._waiting.append(samples)
        self._held += len(samples)
        while self._held >= SOUND_FRAME:
            yield from self._encode(self._encoder, self._next_frame())

    def _next_frame(self) -> AudioFrame:
        wanted, taken = SOUND_FRAME, []
        while wanted:
            part = self._waiting.pop(0)
            taken.append(part[:wanted])
            if len(part) > wanted:
                self._waiting.insert(0, part[wanted:])
            wanted -= len(taken[-1])
        frame = av.AudioFrame(format="fltp", layout="mono", samples=SOUND_FRAME)
        frame.planes[0].update(b"".join(part.tobytes() for part in taken))
        frame.sample_rate, frame.pts, frame.time_base = SOUND_RATE, self._fed, _TICK
        self._held -= SOUND_FRAME
        self._fed += SOUND_FRAME
        return frame

    def _encode(self, encoder: AudioCodecContext, frame: AudioFrame) -> Iterator[Encoded]:
        for made in encoder.encode(frame):
            # Before the run's start lies the encoder's own run-up, which would overlap what was there before a gap.
            if made.pts is not None and made.pts >= self._start:
                yield Encoded(data=bytes(made), at=made.pts)


def _encoder() -> AudioCodecContext:
    encoder = av.CodecContext.create("aac", "w")
    encoder.sample_rate, encoder.layout, encoder.format = SOUND_RATE, "mono", "fltp"
    encoder.bit_rate, encoder.time_base = _BIT_RATE, _TICK
    encoder.options = {"aac_coder": "fast"}
    return encoder


# Tried in this order: the Pi 4 and the Zero 2 W have the first in hardware, the Pi 5 and most laptops do not.
PICTURE_ENCODERS: Final = ("h264_v4l2m2m", "libx264")
_PICTURE_BIT_RATE: Final = 4_000_000  # bit/s; 15 MB for 30 s: fits in the ring with room for noise in the dark
_GOP_US: Final = 1_000_000  # a clip begins at a key picture, so at most this much of the pre-roll is lost
_MICROSECOND: Final = Fraction(1, 1_000_000)
_X264: Final = {
    "preset": "ultrafast",
    "tune": "zerolatency",
    "crf": "23",
    "forced-idr": "1",
    "maxrate": str(
        _PICTURE_BIT_RATE
    ),  # a calm room needs a tenth of it; noise in the dark would need ten times as much
    "bufsize": str(_PICTURE_BIT_RATE),
}


class EncodedPicture(NamedTuple):
    """One H.264 picture, Annex B, with the parameter sets in front of it where it is a key picture."""

    data: bytes
    seen_us: int
    is_key: bool

    def __repr__(self) -> str:
        return f"EncodedPicture({len(self.data)} bytes, seen={self.seen_us}, key={self.is_key})"


class PictureEncoder:
    """Makes H.264 of raw pictures of one size: a key picture at least each second, and no B-frames.

    Raises BadSource when no encoder of `names` can be opened.
    """

    def __init__(self, *, width: int, height: int, fps: int, names: Sequence[str] = PICTURE_ENCODERS) -> None:
        self.width, self.height = width // 2 * 2, height // 2 * 2  # colour is held for two pixels together
        self._fps = fps
        self._names = list(names)
        self._encoder = self._open_next()
        self._key_us: int | None = None
        self._parameters = b""  # for encoders that say them only once

    def encode(self, pixels: NDArray[np.uint8], seen_us: int) -> Iterator[EncodedPicture]:
        """The packets that this picture completes. `pixels`: height x width x 3, blue, green, red.

        `seen_us`: rises with each picture. Raises BadSource when the last encoder fails.
        """
        frame = av.VideoFrame.from_ndarray(pixels, format="bgr24")
        frame = frame.reformat(width=self.width, height=self.height, format="yuv420p")
        frame.pts, frame.time_base = seen_us, _MICROSECOND
        # By time, not by count: in a dark room a camera gives fewer pictures a second.
        if self._key_us is None or seen_us - self._key_us >= _GOP_US:
            self._key_us, frame.pict_type = seen_us, av.video.frame.PictureType.I
        for packet in self._packets(frame):
            if packet.pts is not None:
                yield EncodedPicture(data=self._whole(packet), seen_us=packet.pts, is_key=packet.is_keyframe)

    def _packets(self, frame: VideoFrame) -> list[av.Packet[Any]]:
        while True:
            try:
                return self._encoder.encode(frame)
            except av.error.FFmpegError:
                self._encoder = self._open_next()  # one that opens and cannot encode: a Pi's, for some sizes
                self._key_us, frame.pict_type = frame.pts, av.video.frame.PictureType.I

    def _whole(self, packet: av.Packet[Any]) -> bytes:
        data = bytes(packet)
        if not packet.is_keyframe:
            return data
        parameters = _parameter_sets(data)
        if parameters:
            self._parameters = parameters
            return data
        return self._parameters + data

    def _open_next(self) -> VideoCodecContext:
        reason = "none is installed"
        while self._names:
            name = self._names.pop(0)
            try:
                encoder = cast("VideoCodecContext", av.CodecContext.create(name, "w"))
                encoder.width, encoder.height, encoder.pix_fmt = self.width, self.height, "yuv420p"
                encoder.time_base, encoder.framerate = _MICROSECOND, Fraction(self._fps)
                encoder.gop_size, encoder.max_b_frames = self._fps, 0
                encoder.bit_rate = _PICTURE_BIT_RATE
                encoder.options = _X264 if name == "libx264" else {}
                encoder.open()
            except (av.error.FFmpegError, ValueError) as err:  # ValueError: this build does not know the name
                reason = f"{name}: {err}"
            else:
                return encoder
        raise BadSource(f"pictures cannot be encoded to H.264 ({reason}); choose a camera that offers MJPEG")


def _parameter_sets(data: bytes) -> bytes:
    """What stands in front of the first slice of an Annex B picture, if that holds a sequence parameter set."""
    start, has_sequence = 0, False
    while (at := data.find(b"\x00\x00\x01", start)) >= 0 and at + 3 < len(data):
        kind = data[at + 3] & 31
        has_sequence = has_sequence or kind == 7
        if kind in (1, 5):
            return data[: at - (at > 0 and data[at - 1] == 0)] if has_sequence else b""
        start = at + 3
    return b""
