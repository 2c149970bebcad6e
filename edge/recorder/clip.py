"""A clip being put together: which packets belong in it, and its bytes. Pure of time, threads and disks.

Packets come in the order of arrival. The clip begins at the oldest key frame not before `floor_ns` and holds every
picture decoded before `until_ns`: a picture needed to decode one in time is kept even when it is itself shown a
moment later. What is missing is told, never smoothed over.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from edge.clock import MILLISECOND, SECOND
from edge.messages import ClipFacts
from edge.packet import SOUND, SOUND_FRAME, SOUND_RATE, Format, Packet, Track
from edge.recorder.sound import PATIENCE_S, Placed, SoundTrack

_PATIENCE_NS: Final = round(PATIENCE_S * 1000) * MILLISECOND
_EARLY: Final = (
    3 * SOUND_RATE // SOUND_FRAME
)  # packets: no picture comes more than 2 s behind its sound (timestamps.LATEST_S)
_SOUND_FRAME_NS: Final = SOUND_FRAME * SECOND // SOUND_RATE
# Between two pictures: more than this and a person would see the picture stand still. Cameras in a dark room go
# down to about 3 pictures a second.
_GAP_NS: Final = 500 * MILLISECOND


class Container(Protocol):
    """`mux.Mux`."""

    def put_picture(self, data: bytes, *, pts_ns: int, dts_ns: int, duration_ns: int, is_key: bool) -> None: ...
    def put_sound(self, data: bytes, *, at: int) -> None: ...
    def take(self) -> bytes: ...
    def close(self) -> None: ...


class Clip:
    """Built by `feed`, emptied by `take`, ended by `finish`. `until_ns` may move while it is open."""

    def __init__(
        self,
        *,
        pressed_ns: int,
        floor_ns: int,
        until_ns: int,
        has_sound: bool,
        silence: bytes,
        container: Callable[[Format], Container],
    ) -> None:
        self.until_ns = until_ns
        self._pressed_ns = pressed_ns
        self._floor_ns = floor_ns
        self._has_sound = has_sound
        self._silence = silence
        self._make_container = container
        self._container: Container | None = None
        self._format: Format | None = None
        self._sound: SoundTrack | None = None
        # Full: the oldest goes. A microphone beside a dead camera must not fill the memory.
        self._early_sound: deque[Packet] = deque(maxlen=_EARLY)
        self._zero_ns = 0  # the time line's zero: when the first picture is decoded
        self._first_ns = 0  # when the first picture is shown
        self._resumed_ns = 0  # when the key picture is shown with which it began, or went on after a gap
        self._shown_until_ns = 0
        self._newest_ns = 0
        self._settled_until_ns = 0
        self._last_dts_ns = 0
        self._generation = 0
        self._needs_key = True
        self._frames = 0
        self._dropped = 0
        self._gaps: list[tuple[int, int]] = []
        self.is_complete = False  # a packet from after the end has come
        self.is_source_changed = False  # the picture's form changed: this clip must end, another may begin

    @property
    def has_begun(self) -> bool:
        """A first picture is in."""
        return self._container is not None

    @property
    def newest_ns(self) -> int:
        """When the newest picture in it was seen (BOOTTIME), 0 without one: a clip after this one begins later."""
        return self._newest_ns

    @property
    def settled_until_ns(self) -> int:
        """Everything shown before this moment (BOOTTIME) is in what `take` has given or would give now."""
        return self._settled_until_ns

    def feed(self, packet: Packet) -> None:
        """Add one packet if it belongs in."""
        if packet.track is Track.SOUND:
            self._feed_sound(packet)
        else:
            self._feed_picture(packet)

    def lost(self, packets: int) -> None:
        """So many packets could not be fed: the picture goes on at the next key frame."""
        if self.has_begun:  # what aged away before is no part of it
            self._dropped += packets
        self._needs_key = True

    def cut_out(self, from_ms: int, until_ms: int) -> None:
        """Bytes that `take` gave were lost: tell it as a gap, from the first picture shown."""
        self._gaps.append((from_ms, until_ms - from_ms))

    def take(self) -> bytes:
        """The bytes made since the last time."""
        return self._container.take() if self._container else b""

    def finish(self) -> bytes:
        """The last bytes; the sound is filled up to the picture's end."""
        if self._container is None:
            return b""
        if self._sound:
            self._put_sound(self._sound.reach(min(self._shown_until_ns, self.until_ns)))
        self._container.close()
        self._settled_until_ns = self._shown_until_ns
        return self._container.take()

    def media_ms(self) -> int:
        """The picture reaches so far, from the first one shown."""
        return max(0, self._settled_until_ns - self._first_ns) // MILLISECOND

    def pre_roll_ms(self) -> int:
        """How much of the time before the press is in."""
        return max(0, self._pressed_ns - self._first_ns) // MILLISECOND if self.has_begun else 0

    def facts(self, *, asked_ms: int, ended_by: str) -> ClipFacts:
        """What the manifest is to say."""
        sound = self._sound
        return ClipFacts(
            pre_roll_asked_ms=asked_ms,
            pre_roll_delivered_ms=self.pre_roll_ms(),
            post_roll_ms=max(0, self._shown_until_ns - max(self._pressed_ns, self._first_ns)) // MILLISECOND,
            picture_frames=self._frames,
            picture_gaps_ms=tuple(self._gaps),
            sound_gaps_ms=sound.told_gaps_ms(self._first_ns) if sound else (),
            frames_dropped=self._dropped,
            sound_dropped=sound.dropped if sound else 0,
            sound_offset_ms=round(sound.largest_shift * 1000 / SOUND_RATE, 3) if sound else None,
            picture=str(self._format) if self._format else "none",
            sound=str(SOUND) if sound else None,
            ended_by=ended_by,
        )

    def _feed_picture(self, packet: Packet) -> None:
        if packet.dts_ns >= self.until_ns:
            # Sound takes longer on its way than pictures; that of the last moments is worth waiting for.
            self.is_complete = self._is_heard_out() or packet.dts_ns >= self.until_ns + _PATIENCE_NS
            return
        if packet.generation != self._generation:
            self._generation, self._needs_key = packet.generation, True
        if self._needs_key and (not packet.is_key or packet.pts_ns < self._floor_ns):
            return
        if self._format is not None and packet.format is not self._format and packet.format != self._format:
            self.is_source_changed = True
            return
        if self._container is None:
            self._begin(packet)
        elif not self._needs_key and packet.pts_ns < self._resumed_ns:
            return  # a leading picture of an open GOP: what it refers to is older than the promise, or was lost
        elif packet.dts_ns <= self._last_dts_ns:
            self._dropped += 1  # from a source that was opened anew and overlaps the last one
            return
        if self._needs_key:
            self._needs_key, self._resumed_ns = False, packet.pts_ns
        self._put_picture(packet)

    def _is_heard_out(self) -> bool:
        return self._sound is None or self._sound.end_ns + _SOUND_FRAME_NS > min(self._shown_until_ns, self.until_ns)

    def _begin(self, packet: Packet) -> None:
        self._container, self._format = self._make_container(packet.format), packet.format
        self._zero_ns, self._first_ns = packet.dts_ns, packet.pts_ns
        if self._has_sound:
            self._sound = SoundTrack(self._zero_ns, self._silence)

    def _put_picture(self, packet: Packet) -> None:
        assert self._container is not None  # noqa: S101 - for the type checker; _feed_picture began it
        self._container.put_picture(
            packet.data,
            pts_ns=packet.pts_ns - self._zero_ns,
            dts_ns=packet.dts_ns - self._zero_ns,
            duration_ns=packet.duration_ns,
            is_key=packet.is_key,
        )
        if self._frames and packet.pts_ns - self._shown_until_ns > _GAP_NS:
            start_ns = self._shown_until_ns - self._first_ns
            self._gaps.append((start_ns // MILLISECOND, (packet.pts_ns - self._shown_until_ns) // MILLISECOND))
        self._frames += 1
        # The container holds back the newest picture, and sound and picture up to the slower of the two. All shown
        # before this picture's decoding time has been put in (decoding order never passes showing order).
        self._settled_until_ns = min(packet.dts_ns, self._sound.end_ns) if self._sound else packet.dts_ns
        self._last_dts_ns = packet.dts_ns
        self._newest_ns = max(self._newest_ns, packet.pts_ns)
        self._shown_until_ns = max(self._shown_until_ns, packet.pts_ns + packet.duration_ns)
        if self._sound:
            while self._early_sound:
                self._feed_sound(self._early_sound.popleft())
            self._put_sound(self._sound.reach(packet.dts_ns - _PATIENCE_NS))

    def _feed_sound(self, packet: Packet) -> None:
        if not self._has_sound or packet.pts_ns >= self.until_ns:
            return
        if self._sound is None:
            self._early_sound.append(packet)
        elif packet.pts_ns >= max(self._zero_ns, self._floor_ns):  # B-frames are decoded before they are seen
            self._put_sound(self._sound.put(packet))

    def _put_sound(self, placed: list[Placed]) -> None:
        assert self._container is not None  # noqa: S101 - for the type checker; there is no sound track before it
        for sound in placed:
            self._container.put_sound(sound.data, at=sound.at)
