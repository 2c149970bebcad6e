"""Encoded packets into one growing fragmented MP4. PyAV only; used by the clip's thread alone.

A new packet closes the fragment before it, so that all but the newest picture can be taken out at any moment and a
segment can be cut anywhere: the pre-roll is whole at the press, not a fragment later. That costs about 110 bytes a
picture. The trailer is left out: the file is playable at every cut, with or without an end.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Final

import av

from edge.clock import SECOND
from edge.packet import SOUND_FRAME, SOUND_RATE, Format

if TYPE_CHECKING:
    from av.stream import Stream

_PICTURE_RATE: Final = 90_000  # ticks a second, the video clock of MPEG and RTP: 25, 29.97 and 30 fps are whole ticks
_OPTIONS: Final = {
    "movflags": "empty_moov+default_base_moof+frag_discont+skip_trailer",
    # One microsecond: every second packet of a track closes the fragment. Not `frag_every_frame`: with two tracks
    # it gives a packet the time of the one after it (libavformat 62; test_every_packet_keeps_its_time).
    "frag_duration": "1",
    # Times are written as they are given: without these the first packet of each track was moved to zero.
    "use_editlist": "0",
    "avoid_negative_ts": "disabled",
    # Both tracks are fed in step, so the writer never has to hold one back for long to order them.
    "max_interleave_delta": "500000",  # microseconds
}
_BUFFER: Final = 1024 * 1024  # bytes libav collects before it calls write


class _Sink:
    """What libav writes to. A list: growing one buffer to megabytes took longer than all the muxing."""

    def __init__(self) -> None:
        self.made: list[bytes] = []

    def write(self, data: bytes) -> int:
        self.made.append(data)
        return len(data)


class Mux:
    """Takes packets of one picture and one sound track; `take` gives the bytes made since the last time."""

    def __init__(self, picture: Format, *, has_sound: bool) -> None:
        self._sink = _Sink()
        self._container = av.open(self._sink, mode="w", format="mp4", options=_OPTIONS, buffer_size=_BUFFER)
        self._picture = self._container.add_mux_stream(picture.codec, width=picture.width, height=picture.height)
        self._picture.time_base = Fraction(1, _PICTURE_RATE)
        self._last_dts = -1  # ticks
        self._sound: Stream | None = None
        if has_sound:
            self._sound = self._container.add_stream("aac", rate=SOUND_RATE, layout="mono")
            self._sound.time_base = Fraction(1, SOUND_RATE)

    def put_picture(self, data: bytes, *, pts_ns: int, dts_ns: int, duration_ns: int, is_key: bool) -> None:
        """Add one picture; times from the clip's zero."""
        packet = av.Packet(data)
        packet.stream, packet.is_keyframe = self._picture, is_key
        # Two pictures within one tick: libav refuses the second, and with it went the clip.
        self._last_dts = max(_ticks(dts_ns), self._last_dts + 1)
        packet.pts, packet.dts = max(_ticks(pts_ns), self._last_dts), self._last_dts
        packet.duration = _ticks(duration_ns)
        self._container.mux_one(packet)

    def put_sound(self, data: bytes, *, at: int) -> None:
        """Add one AAC packet at sample `at`."""
        if self._sound is None:
            return
        packet = av.Packet(data)
        packet.stream, packet.is_keyframe = self._sound, True
        packet.pts, packet.dts, packet.duration = at, at, SOUND_FRAME
        self._container.mux_one(packet)

    def take(self) -> bytes:
        """The bytes made since the last time, in order."""
        made = b"".join(self._sink.made)
        self._sink.made.clear()
        return made

    def close(self) -> None:
        """Let the last packets out; `take` then gives the end. Idempotent."""
        self._container.close()


def _ticks(time_ns: int) -> int:
    return (2 * time_ns * _PICTURE_RATE + SECOND) // (2 * SECOND)
