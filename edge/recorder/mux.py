"""Encoded packets into one growing fragmented MP4; used by the clip's thread alone.

libav writes the header, which says what each codec needs (PyAV only). The fragments after it are ours: libav looks
through every picture for start codes and copies it some five times, and 30 seconds of them wait to be safe.

What is taken is one fragment, so a segment can be cut at any packet, and the pre-roll is whole at the press. Nothing
stands at the end: the file is playable at every cut. The newest packet of each track is held back, for only the next
one tells how long it lasts.
"""

from __future__ import annotations

import io
from fractions import Fraction
from typing import Final, NamedTuple

import av

from edge.clock import SECOND
from edge.packet import SOUND_FRAME, SOUND_RATE, Format
from edge.recorder import nal
from edge.recorder.fragment import Run, fragment

_PICTURE_RATE: Final = 90_000  # ticks a second, the video clock of MPEG and RTP: 25, 29.97 and 30 fps are whole ticks
_PICTURE: Final = 1  # the tracks' numbers, as libav gives them
_SOUND: Final = 2
_OPTIONS: Final = {
    "movflags": "empty_moov+default_base_moof+skip_trailer",
    "use_editlist": "0",  # times are as they are given; without it the first packet of each track was moved to zero
}


class _Held(NamedTuple):
    """A packet of which it is not known yet how long it lasts."""

    data: bytes
    dts: int
    pts: int
    duration: int  # as its source says
    is_key: bool

    def __repr__(self) -> str:
        return f"_Held({len(self.data)} bytes, dts={self.dts})"


class _Track:
    def __init__(self, number: int) -> None:
        self._number = number
        self._run = Run(number)
        self._held: _Held | None = None

    @property
    def next_dts(self) -> int:
        """The earliest that the next packet can have, in ticks."""
        return self._held.dts + 1 if self._held else 0

    def put(self, packet: _Held) -> None:
        self._let_go(packet.dts)
        self._held = packet

    def take(self) -> Run:
        run, self._run = self._run, Run(self._number)
        return run

    def close(self) -> None:
        if self._held is not None:
            self._let_go(self._held.dts + self._held.duration)

    def _let_go(self, until: int) -> None:
        held, self._held = self._held, None
        if held is not None:
            later = held.pts - held.dts
            self._run.add(held.data, dts=held.dts, shown_later=later, duration=until - held.dts, is_key=held.is_key)


class Mux:
    """Takes packets of one picture and one sound track; `take` gives the bytes made since the last time."""

    def __init__(self, picture: Format, *, has_sound: bool) -> None:
        self._format = picture
        self._header: bytes | None = None  # until there is a picture to tell what is to be said
        self._picture = _Track(_PICTURE)
        self._sound = _Track(_SOUND) if has_sound else None
        self._fragments = 0

    def __repr__(self) -> str:
        return f"Mux({self._format}, {self._fragments} fragments taken)"

    def put_picture(self, data: bytes, *, pts_ns: int, dts_ns: int, duration_ns: int, is_key: bool) -> None:
        """Add one picture, the first a key picture; times from the clip's zero."""
        if self._header is None:
            self._header = _header(self._format, data, has_sound=self._sound is not None)
        # Two pictures within one tick, and players let the second go.
        dts = max(_ticks(dts_ns), self._picture.next_dts)
        self._picture.put(_Held(data, dts, max(_ticks(pts_ns), dts), _ticks(duration_ns), is_key))

    def put_sound(self, data: bytes, *, at: int) -> None:
        """Add one AAC packet at sample `at`."""
        if self._sound is not None:
            self._sound.put(_Held(data, at, at, SOUND_FRAME, is_key=True))

    def take(self) -> bytes:
        """The bytes made since the last time, in order: a fragment, and before the first one the header."""
        if self._header is None:
            return b""
        runs = [track.take() for track in (self._picture, self._sound) if track is not None]
        made = fragment(self._fragments + 1, runs)
        self._fragments += bool(made)
        header, self._header = self._header, b""
        return header + made

    def close(self) -> None:
        """Let the last packets out; `take` then gives the end. Idempotent."""
        for track in (self._picture, self._sound):
            if track is not None:
                track.close()


def _header(picture: Format, key: bytes, *, has_sound: bool) -> bytes:
    """What stands before the first fragment. libav finds the parameter sets in the key picture itself."""
    made = io.BytesIO()
    with av.open(made, mode="w", format="mp4", options=_OPTIONS) as container:
        stream = container.add_mux_stream(picture.codec, width=picture.width, height=picture.height)
        stream.time_base = Fraction(1, _PICTURE_RATE)
        if has_sound:
            container.add_stream("aac", rate=SOUND_RATE, layout="mono").time_base = Fraction(1, SOUND_RATE)
        packet = av.Packet(nal.shown(key, picture.codec))
        packet.stream, packet.is_keyframe, packet.pts, packet.dts = stream, True, 0, 0
        container.mux_one(packet)
    return _until_moof(made.getvalue())


def _until_moof(mp4: bytes) -> bytes:
    """Box by box. Raises ValueError when there is none."""
    at = 0
    while mp4[at + 4 : at + 8] != b"moof":
        size = int.from_bytes(mp4[at : at + 4], "big")
        if not size:
            raise ValueError("libav wrote no fragment after the header")
        at += size
    return mp4[:at]


def _ticks(time_ns: int) -> int:
    return (2 * time_ns * _PICTURE_RATE + SECOND) // (2 * SECOND)
