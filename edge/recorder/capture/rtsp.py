"""A network camera: RTSP over TCP, its picture passed on as it comes, never decoded. PyAV only; one reader thread.

Sound that is not wanted is never set up, so the camera does not send it. The camera's address and login reach libav
and nothing else: libav's own errors name both, so they end here and are told in our words.

libav would read and decode for seconds to find out what a stream is (`probesize`). The stream says it itself, in its
parameter sets; and packets that waited for that would come late, all at once, and be taken for a clock that jumps.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import av

from edge.clock import MILLISECOND, SECOND
from edge.errors import BadSource, SourceError, SourceLost
from edge.packet import SOUND, SOUND_FRAME, SOUND_RATE, Format, RawPacket, Track
from edge.ports import Clock
from edge.recorder import nal
from edge.recorder.capture.encode import SoundEncoder, is_ready_made
from edge.recorder.capture.login import Login, read_login
from edge.recorder.capture.pace import GATHER_NS, Pace
from edge.recorder.capture.parameters import ParameterSets
from edge.recorder.capture.reorder import DecodingOrder
from edge.recorder.capture.supervise import SELDOM_KEYS_FIX

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.stream import Stream
    from av.video.stream import VideoStream

NAME: Final = "network camera"
_OPEN_S: Final = 5.0  # for all of the conversation before the first packet; supervise gives up after 8 s
_READ_S: Final = 4.0  # for one packet: longer than a picture takes in the dark, and within R13's 10 s
_OPTIONS: Final = {
    "rtsp_transport": "tcp",  # lost packets would be lost pictures, and UDP needs open ports
    "probesize": "32",  # bytes, the least: see above
    "analyzeduration": "1",  # microseconds
    "codec_whitelist": "none",  # and of that first packet nothing is decoded either; `encode` has decoders of its own
}
_KEY_NS: Final = 6 * SECOND  # until a first key picture, where the camera did not tell its sets before; and see above
# A packet that had to be waited for is the newest there is, and after it is time to let some gather; that dates them late
# by no more than `Timeline` overlooks.
_WAITED_NS: Final = 4 * MILLISECOND
_MEDIA: Final = {Track.PICTURE: "video", Track.SOUND: "audio"}
_CODECS: Final = ("h264", "hevc")
# A camera locks a user out after some five wrong logins, and would stay locked while it is asked every few seconds.
_LOGIN_PAUSE_NS: Final = 30 * SECOND

_REFUSALS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (av.error.HTTPForbiddenError, "does not let this user watch; give the user of camera.login that right"),
    (av.error.HTTPNotFoundError, "has no such path; check camera.source"),
    (av.error.HTTPClientError, "refuses; check camera.source, and that it may send RTSP over TCP"),
    (av.error.HTTPServerError, "has an error of its own, or too many viewers; restart it"),
    (av.error.ConnectionRefusedError, "does not take calls at this port; check that RTSP is on, and camera.source"),
    (av.error.TimeoutError, "does not answer; check its power and cable, and camera.source"),
    (av.error.ExitError, "does not answer; check its power and cable, and camera.source"),
    (av.error.EOFError, "hung up"),
    (av.error.ConnectionResetError, "hung up"),
    (av.error.BrokenPipeError, "hung up"),
    (av.error.InvalidDataError, "does not speak RTSP, or sends no picture; check camera.source"),
)
_UNREACHABLE: Final = "cannot be reached; check its power and cable, and camera.source"


class RtspCamera:
    """Opens one camera, as often as it is lost. Called by one thread at a time."""

    def __init__(
        self,
        address: str,
        *,
        login: str | None,
        credentials: Path | None,
        tracks: Collection[Track],
        clock: Clock,
        pace: Pace | None = None,
    ) -> None:
        self._address = address
        self._login = login
        self._credentials = credentials
        self._tracks = frozenset(tracks)
        self._clock = clock
        self._pace = pace or Pace()
        self._refused: tuple[Login, int] | None = None  # and when

    def open(self) -> RtspSource:
        """Connect. Raises SourceLost when that fails, BadSource when it cannot succeed as things are."""
        login = read_login(self._login, self._credentials) if self._login else None
        if self._refused and login == self._refused[0] and self._clock.boot_ns() - self._refused[1] < _LOGIN_PAUSE_NS:
            raise _login_refused(login)
        try:
            container = _connect(self._address, login, self._tracks)
            return RtspSource(container, self._tracks, self._clock, self._pace)
        except _LoginRefused:
            self._refused = None if login is None else (login, self._clock.boot_ns())
            raise


class RtspSource:
    """`ports.Source` on an open connection. `close` from another thread ends a read at its next packet or time-out."""

    def __init__(self, container: InputContainer, tracks: Collection[Track], clock: Clock, pace: Pace) -> None:
        self.name = NAME
        self._container = container
        self._clock = clock
        self._pace = pace
        self._closed = threading.Event()
        self._reading = threading.Lock()  # libav is never closed under a read
        self._ready: deque[RawPacket] = deque()
        self._has_begun = Track.PICTURE not in tracks
        self._opened_ns = self._again_ns = clock.boot_ns()
        try:
            self._makers = _makers(container, tracks)
        except SourceError:
            container.close()
            raise
        self._packets = container.demux([container.streams[index] for index in self._makers])

    def __repr__(self) -> str:
        return f"RtspSource({self.name})"

    def read(self) -> RawPacket:
        """The next packet, dated by its arrival."""
        while not self._ready:
            packet, arrival_ns = self._next()
            if packet.size:
                self._ready.extend(self._makers[packet.stream_index].make(packet, arrival_ns))
                self._begin(arrival_ns)
        return self._ready.popleft()

    def close(self) -> None:
        """Hang up; a read that is under way does it when it ends. Idempotent."""
        self._closed.set()
        self._pace.wake()
        if self._reading.acquire(blocking=False):
            try:
                self._container.close()
            finally:
                self._reading.release()

    def _begin(self, now_ns: int) -> None:
        """Let sound go until there is a picture: the first packet ties the camera's clock, and only a picture tells
        how long it had to wait for those that are shown before it.
        """
        if not self._has_begun:
            self._has_begun = any(each.track is Track.PICTURE for each in self._ready)
            if not self._has_begun:
                self._ready.clear()
            if not self._has_begun and now_ns - self._opened_ns > _KEY_NS:
                raise SourceLost(f"{NAME}: no key picture for {_KEY_NS // SECOND} s; {SELDOM_KEYS_FIX}")

    def _next(self) -> tuple[av.Packet[Any], int]:
        self._pace.gather(self._clock, self._again_ns, self._closed)
        with self._reading:
            if self._closed.is_set():
                raise SourceLost(f"{self.name}: closed")
            asked_ns = self._clock.boot_ns()
            try:
                packet = next(self._packets)
                came_ns = self._clock.boot_ns()
                if self._has_begun and came_ns - asked_ns > _WAITED_NS:
                    self._again_ns = came_ns + GATHER_NS
                return packet, came_ns
            except StopIteration:
                lost = SourceLost(f"{self.name}: hung up")
            except av.error.FFmpegError as err:
                lost = _told(err)
        raise lost  # out here, so that libav's error, which names the address, is not even its context


class _LoginRefused(BadSource):
    pass


def _connect(address: str, login: Login | None, tracks: Collection[Track]) -> InputContainer:
    options = {**_OPTIONS, "allowed_media_types": "+".join(_MEDIA[track] for track in Track if track in tracks)}
    given = login.put_into(address) if login else address
    refused: SourceError
    try:
        return av.open(given, mode="r", format="rtsp", options=options, timeout=(_OPEN_S, _READ_S))
    except av.error.HTTPUnauthorizedError:
        refused = _login_refused(login)
    except (av.error.FFmpegError, OSError, ValueError) as err:
        refused = _told(err)
    raise refused  # out here: see RtspSource._next


def _login_refused(login: Login | None) -> _LoginRefused:
    if login is None:
        return _LoginRefused(f"{NAME}: asks for a login; name one in camera.login")
    return _LoginRefused(f"{NAME}: refuses the login; put the right user:password into what camera.login names")


def _told(err: Exception) -> SourceLost:
    reasons = (reason for kind, reason in _REFUSALS if isinstance(err, kind))
    return SourceLost(f"{NAME}: {next(reasons, _UNREACHABLE)}")


def _makers(container: InputContainer, tracks: Collection[Track]) -> dict[int, _Picture | _Sound]:
    """By stream. Raises BadSource when there is no picture that can be held; sound may be missing."""
    makers: dict[int, _Picture | _Sound] = {}
    if Track.PICTURE in tracks:
        known = [each for each in container.streams.video if _codec(each) in _CODECS]
        if not known:
            raise BadSource(f"{NAME}: sends no picture as H.264 or H.265; set it to one of them")
        makers[known[0].index] = _Picture(known[0])
    if Track.SOUND in tracks:
        # One that cannot be decoded is a microphone that never speaks: it must not cost the picture.
        heard = [each for each in container.streams.audio if _codec(each)]
        makers |= {each.index: _Sound(each) for each in heard[:1]}
    return makers


def _codec(stream: Stream) -> str | None:
    """Its name; None where libav has no decoder, and PyAV, against its types, no context."""
    return getattr(stream.codec_context, "name", None)


class _Shown(NamedTuple):
    """A picture as it came."""

    data: bytes
    pts: int | None
    duration: int
    arrival_ns: int


class _Picture:
    """Passes pictures on, each key picture with its parameter sets."""

    def __init__(self, stream: VideoStream) -> None:
        codec = stream.codec_context.name
        self._format = Format(codec=codec)  # its size is known by the first key picture that can be shown
        self._sets = ParameterSets(codec)
        self._tick = _tick(stream.time_base)
        usual = stream.average_rate or Fraction(25)
        self._order = DecodingOrder(round(self._tick[1] / self._tick[0] / usual))
        self._key: _Shown | None = None  # the newest key picture, until it is known to be whole
        self._held: list[tuple[_Shown, bool]] | None = []  # the first pictures; None once their times are known
        self._newest = 0
        self._learn(stream.codec_context.extradata or b"")

    def make(self, packet: av.Packet[Any], arrival_ns: int) -> Iterator[RawPacket]:
        """What can be told now: mostly this one picture, or none, or those that were held as well."""
        came = _Shown(bytes(packet), packet.pts, packet.duration or self._order.step, arrival_ns)
        key, self._key = self._key, None
        if packet.is_keyframe:
            self._learn(came.data)
        if self._sets.sequence is None:
            return  # nobody could show it, and in which order is not known: it waits for its first key picture
        if key is not None and packet.is_keyframe and not self._sets.is_beginning(came.data):
            # Some senders repeat the sets before each slice, and libav takes each for a picture of its own.
            self._key = key._replace(data=key.data + came.data, pts=came.pts if key.pts is None else key.pts)
            return
        if key is not None:
            yield from self._timed(key, is_key=True)
        if packet.is_keyframe:
            self._key = came
        else:
            yield from self._timed(came, is_key=False)

    def _timed(self, came: _Shown, *, is_key: bool) -> Iterator[RawPacket]:
        if self._held is None:
            yield self._raw(came, is_key=is_key)
            return
        self._held.append((came, is_key))
        stamps = [each.pts for each, _ in self._held if each.pts is not None]
        if self._held[0][0].pts is None and len(stamps) <= self._order.depth:
            return
        # libav gives the very first packet no time. It was shown just before the earliest of those that come next.
        self._newest = min(stamps) - 2 * self._order.step
        held, self._held = self._held, None
        for each, was_key in held:
            yield self._raw(each, is_key=was_key)

    def _raw(self, came: _Shown, *, is_key: bool) -> RawPacket:
        whole = self._sets.complete(came.data) if is_key else None
        self._newest = self._newest + self._order.step if came.pts is None else came.pts
        pts, dts = self._order.place(self._newest)
        return RawPacket(
            track=Track.PICTURE,
            format=self._format,
            data=nal.to_sized(came.data if whole is None else whole),
            pts=pts,
            dts=dts,
            duration=came.duration,
            tick=self._tick,
            is_key=whole is not None,  # without sets it is none that a clip could begin at
            arrival_ns=came.arrival_ns,
        )

    def _learn(self, data: bytes) -> None:
        before = self._sets.sequence
        try:
            self._sets.learn(data)
        except ValueError:
            raise BadSource(f"{NAME}: its pictures do not say how large they are; restart it, or update it") from None
        sequence = self._sets.sequence
        if sequence is not None and sequence != before:
            self._format = Format(codec=self._format.codec, width=sequence.width, height=sequence.height)
            self._order.tell(sequence.reorder)


class _Sound:
    """Passes sound on as it is where it has the ring's form, else encodes it."""

    def __init__(self, stream: AudioStream) -> None:
        self._encoder = None if is_ready_made(stream) else SoundEncoder(stream)
        self._tick = _tick(stream.time_base if self._encoder is None else Fraction(1, SOUND_RATE))
        self._frame = round(SOUND_FRAME * self._tick[1] / self._tick[0] / SOUND_RATE)
        # Of several AAC packets that come together only the first has a time: each is so long, in the stream's ticks.
        own, rate = _tick(stream.time_base), stream.codec_context.sample_rate or SOUND_RATE
        self._length = round(SOUND_FRAME * own[1] / own[0] / rate) if _codec(stream) == "aac" else 0
        self._next: int | None = None

    def make(self, packet: av.Packet[Any], arrival_ns: int) -> Iterator[RawPacket]:
        """The AAC packets that this one completes. libav's very first has no time, and is let go."""
        at = self._next if packet.pts is None else packet.pts
        if at is None:
            return
        self._next, packet.pts = at + self._length if self._length else None, at
        if self._encoder is None:
            yield self._raw(bytes(packet), at, arrival_ns)
            return
        try:
            for made in self._encoder.encode(packet):
                yield self._raw(made.data, made.at, arrival_ns)
        except BadSource:
            return  # a packet of noise; where all are, the sound is seen to be stale, and the picture goes on

    def _raw(self, data: bytes, at: int, arrival_ns: int) -> RawPacket:
        return RawPacket(
            track=Track.SOUND,
            format=SOUND,
            data=data,
            pts=at,
            dts=at,
            duration=self._frame,
            tick=self._tick,
            is_key=True,
            arrival_ns=arrival_ns,
        )


def _tick(time_base: Fraction | None) -> tuple[int, int]:
    """Seconds a tick, taken apart once: asking libav for it with each packet costs more than the packet."""
    known = time_base or Fraction(1, 90_000)
    return known.numerator, known.denominator
