"""A recorded file played as if it were a camera: at real speed, over and over, with stamps that never go back.

Any file that PyAV can demultiplex: H.264, H.265 or MJPEG; AAC, Opus, PCM or no sound. Only reads. PyAV only.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import av
from av.bitstream import BitStreamFilterContext

from edge.clock import SECOND
from edge.errors import BadSource, SourceLost
from edge.packet import SOUND, SOUND_FRAME, SOUND_RATE, Format, RawPacket, Track
from edge.ports import Clock
from edge.recorder import nal
from edge.recorder.capture.encode import SoundEncoder, is_ready_made
from edge.recorder.capture.pace import GATHER_NS, Pace

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.video.stream import VideoStream

_NANOSECOND: Final = (1, SECOND)
_PICTURE_CODECS: Final = ("h264", "hevc", "mjpeg")
_ANNEX_B: Final = {
    "h264": "h264_mp4toannexb,dump_extra=freq=keyframe",
    "hevc": "hevc_mp4toannexb,dump_extra=freq=keyframe",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    """What one pass over the file tells. Times in nanoseconds from the first picture (or sound) shown."""

    start_ns: int  # of that first picture, on the file's own clock
    length_ns: int  # one round
    reorder_ns: int  # a picture arrives when it can be decoded, and never before it is shown
    lead_ns: int  # how much earlier than the file says it is decoded, so that `Timeline` ties the first one rightly


class _Piece(NamedTuple):
    """One packet of the file, on its own clock."""

    track: Track
    format: Format
    data: bytes
    pts_ns: int
    dts_ns: int
    duration_ns: int
    is_key: bool

    def __repr__(self) -> str:
        return f"_Piece({self.track}, {len(self.data)} bytes, pts={self.pts_ns}, key={self.is_key})"


class FixtureSource:
    """Plays the wanted tracks of a file. Raises BadSource when it cannot be played at all.

    In calm what falls within GATHER_NS is given together, at the moment of the last of it, as from a network camera.
    """

    def __init__(self, path: Path, tracks: Collection[Track], clock: Clock, pace: Pace | None = None) -> None:
        self.name = f"recording {path.name}"
        self._path = path
        self._tracks = frozenset(tracks)
        self._clock = clock
        self._pace = pace or Pace()
        self._closed = threading.Event()
        self._shape = check_recording(path, self._tracks)
        self._packets = self._play()

    def read(self) -> RawPacket:
        """The next packet, at its moment."""
        try:
            return next(self._packets)
        except StopIteration:
            raise SourceLost(f"{self.name}: closed") from None
        except av.error.FFmpegError as err:
            raise SourceLost(f"{self.name}: {err.strerror}") from err

    def close(self) -> None:
        """End a waiting read. Idempotent."""
        self._closed.set()
        self._pace.wake()

    def _play(self) -> Iterator[RawPacket]:
        shape, zero_ns = self._shape, self._clock.boot_ns()
        while True:
            together: list[_Piece] = []
            with _open(self._path) as container:
                for piece in _pieces(container, self._path, self._tracks):
                    if not 0 <= piece.pts_ns - shape.start_ns < shape.length_ns:
                        continue  # sound beyond the picture would overlap the next round
                    if together and piece.dts_ns - together[0].dts_ns >= GATHER_NS:
                        yield from self._release(together, zero_ns)
                        together = []
                    together.append(piece)
                    if self._closed.is_set():
                        return
            yield from self._release(together, zero_ns)
            zero_ns += shape.length_ns

    def _release(self, together: list[_Piece], zero_ns: int) -> Iterator[RawPacket]:
        """What came together, at the moment of the last of it, or each at its own; nothing after `close`."""
        if not together:
            return
        offset_ns = zero_ns - self._shape.start_ns
        wait_ns = offset_ns + self._shape.reorder_ns
        self._pace.gather(self._clock, together[-1].dts_ns + wait_ns, self._closed)
        for piece in together:
            if self._clock.sleep_until(piece.dts_ns + wait_ns, self._closed):
                return
            # Dated by its moment, as a driver dates its blocks, not by when this thread was woken: a timeline that
            # is tied to a late first packet slides back while the room is being held, and pictures come too close.
            came_ns = piece.dts_ns + (wait_ns if piece.track is Track.PICTURE else offset_ns)
            yield self._raw(piece, offset_ns, came_ns)

    def _raw(self, piece: _Piece, offset_ns: int, arrival_ns: int) -> RawPacket:
        return RawPacket(
            track=piece.track,
            format=piece.format,
            data=piece.data,
            pts=piece.pts_ns + offset_ns,
            dts=piece.dts_ns + offset_ns - self._shape.lead_ns,
            duration=piece.duration_ns,
            tick=_NANOSECOND,
            is_key=piece.is_key,
            arrival_ns=arrival_ns,
        )


def check_recording(path: Path, tracks: Collection[Track]) -> _Shape:
    """Read through the file once and measure its picture (its sound where no picture is wanted).

    Sound that is wanted beside the picture may be missing: that is a microphone that never speaks.
    Raises BadSource, in one line, when the file is missing, is no recording, cannot be decoded or is cut short.
    """
    leading = Track.PICTURE if Track.PICTURE in tracks else Track.SOUND
    first_ns, last_ns, reorder_ns, wait_ns, counted = None, 0, 0, 0, 0
    with _open(path) as container:
        for piece in _pieces(container, path, [leading]):
            if leading is Track.SOUND and piece.pts_ns < 0:
                continue  # an encoder's run-up, which is never heard: counted in, each round would come 21 ms later
            if not counted:
                wait_ns = piece.pts_ns - piece.dts_ns
            counted += 1
            first_ns = piece.pts_ns if first_ns is None else min(first_ns, piece.pts_ns)
            last_ns = max(last_ns, piece.pts_ns + piece.duration_ns)
            reorder_ns = max(reorder_ns, piece.pts_ns - piece.dts_ns)
        promised = container.streams.video[0].frames if counted and leading is Track.PICTURE else 0
    if first_ns is None or last_ns <= first_ns:
        raise BadSource(f"{path}: holds no {leading}; choose a recording that does")
    if counted < promised:
        raise BadSource(f"{path}: is cut short: {counted} of {promised} pictures; choose a whole recording")
    # The first picture of B-frames waits less than the longest of them, and its arrival is all that a timeline has
    # to go by: it took the room for later than it was, and slid back while it was being held.
    lead_ns = max(0, reorder_ns - 2 * wait_ns)
    return _Shape(start_ns=first_ns, length_ns=last_ns - first_ns, reorder_ns=reorder_ns, lead_ns=lead_ns)


def _open(path: Path) -> InputContainer:
    try:
        return av.open(str(path), mode="r")
    except (av.error.FFmpegError, OSError) as err:
        reason = err.strerror or "unknown"
        raise BadSource(f"{path}: cannot be played: {reason}; choose a recording with picture (MP4, MKV, …)") from err


def _pieces(container: InputContainer, path: Path, tracks: Collection[Track]) -> Iterator[_Piece]:
    """One round through the file, in the order of decoding, in the forms of `packet.Format`."""
    makers: dict[int, _PictureMaker | _SoundMaker] = {}
    if Track.PICTURE in tracks and container.streams.video:
        makers[container.streams.video[0].index] = _PictureMaker(path, container.streams.video[0])
    if Track.SOUND in tracks and container.streams.audio:
        makers[container.streams.audio[0].index] = _SoundMaker(container.streams.audio[0])
    if not makers:
        return  # demux() of no streams would mean all of them
    try:
        for packet in container.demux([stream for stream in container.streams if stream.index in makers]):
            if packet.size and packet.pts is not None:
                yield from makers[packet.stream_index].make(packet)
    except av.error.FFmpegError as err:
        raise BadSource(f"{path}: cannot be played to its end: {err.strerror}; choose a whole recording") from err


class _PictureMaker:
    """Passes pictures on undecoded: as they lie in the file where that is the ring's form, else by way of libav's filter."""

    def __init__(self, path: Path, stream: VideoStream) -> None:
        context = stream.codec_context
        if context.name not in _PICTURE_CODECS:
            raise BadSource(f"{path}: {context.name} pictures cannot be held; choose H.264, H.265 or MJPEG")
        self._format = Format(codec=context.name, width=context.width, height=context.height)
        self._filter = BitStreamFilterContext(_ANNEX_B[context.name], stream) if context.name in _ANNEX_B else None
        self._is_sized = nal.says_sized(context.extradata or b"", context.name)
        self._ns = _Ticks(stream.time_base).ns
        self._usual_ns = round(SECOND / stream.average_rate) if stream.average_rate else SECOND // 25

    def make(self, packet: av.Packet[Any]) -> Iterator[_Piece]:
        pts, dts, ticks, is_key = packet.pts, packet.dts, packet.duration, packet.is_keyframe
        if pts is not None:
            yield _Piece(
                track=Track.PICTURE,
                format=self._format,
                data=self._in_form(packet, is_key=is_key),
                pts_ns=self._ns(pts),
                dts_ns=self._ns(pts if dts is None else dts),
                duration_ns=self._ns(ticks) if ticks else self._usual_ns,
                is_key=is_key,
            )

    def _in_form(self, packet: av.Packet[Any], *, is_key: bool) -> bytes:
        data = bytes(packet)
        # The filter puts the parameter sets in front of key pictures, and refuses lengths that do not fit.
        if self._filter is None or (self._is_sized and not is_key and nal.is_sized(data)):
            return data
        return nal.to_sized(b"".join(bytes(made) for made in self._filter.filter(packet)))


class _SoundMaker:
    """Passes sound on as it is where it has the ring's form, else encodes it."""

    def __init__(self, stream: AudioStream) -> None:
        self._encoder = None if is_ready_made(stream) else SoundEncoder(stream)
        self._ns = _Ticks(stream.time_base if self._encoder is None else Fraction(1, SOUND_RATE)).ns

    def make(self, packet: av.Packet[Any]) -> Iterator[_Piece]:
        if self._encoder is None:
            yield self._piece(bytes(packet), self._ns(packet.pts or 0))
            return
        for made in self._encoder.encode(packet):
            yield self._piece(made.data, self._ns(made.at))

    @staticmethod
    def _piece(data: bytes, at_ns: int) -> _Piece:
        return _Piece(
            track=Track.SOUND,
            format=SOUND,
            data=data,
            pts_ns=at_ns,
            dts_ns=at_ns,
            duration_ns=SOUND_FRAME * SECOND // SOUND_RATE,
            is_key=True,
        )


class _Ticks:
    """A stream's time base, taken apart once: asking libav for it with each packet costs more than the packet."""

    def __init__(self, time_base: Fraction | None) -> None:
        known = time_base or Fraction(1, 90_000)
        self._numerator, self._denominator = 2 * known.numerator * SECOND, known.denominator

    def ns(self, ticks: int) -> int:
        """Rounded, so that the errors of many rounds do not add up."""
        return (ticks * self._numerator + self._denominator) // (2 * self._denominator)
