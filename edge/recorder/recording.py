"""One clip being made: the thread that reads the ring, puts the clip together, seals each segment and hands it over.

Order of sealing: a segment is cut, sealed in RAM to the recipients, and only its sealed bytes leave this thread.
The birth goes first, then segment 0, 1, 2 … without gaps, then the close with the clip's facts.
"""

from __future__ import annotations

import logging
import secrets
import threading
from dataclasses import replace
from typing import Final

from edge.clock import SECOND, stamp
from edge.errors import SealFailed
from edge.messages import CLIP_ID_ALPHABET, Birth, Close, Incident, Segment, ToVault
from edge.ports import Clock
from edge.recorder.clip import Clip
from edge.recorder.outbox import Outbox, Parcel
from edge.recorder.ring import Ring
from edge.recorder.seal import Sealer
from edge.status import ClipProgress

_log = logging.getLogger(__name__)

# The pre-roll is cut into pieces, so that the vault writes one while the next is sealed: a third of what is left each
# time, for each costs the disk two waits, and the last one is what the end waits for. While the vault is behind, a
# piece is as large as what waits before it: few large ones let it catch up.
_SMALLEST: Final = 1024 * 1024  # bytes
_USUAL: Final = 2 * 1024 * 1024
_LARGEST: Final = 4 * 1024 * 1024
_BEGINNING: Final = 16 * 1024 * 1024  # bytes of a clip's beginning that wait in RAM for room in the outbox
_SEGMENT_NS: Final = SECOND  # R17: with the sound's patience and one picture held back, less than 2 s at risk
_READ_PATIENCE_S: Final = 0.1
# A source may deliver the last pictures before the end this late (B-frames, network); then the clip ends without.
_END_PATIENCE_NS: Final = 1 * SECOND


class Recording:
    """Makes one clip of one incident. Thread: `clip`, its own."""

    def __init__(
        self,
        *,
        incident: Incident,
        birth: Birth,
        clip: Clip,
        ring: Ring,
        sealer: Sealer,
        outbox: Outbox,
        clock: Clock,
    ) -> None:
        self.incident = incident.id
        self._birth = birth
        self._clip = clip
        self._ring = ring
        self._sealer = sealer
        self._outbox = outbox
        self._clock = clock
        self._pressed_ns = incident.pressed_ns
        self._ended_by = "until"
        self._cut_now = threading.Event()
        self._number = 0
        self._cut_at_ns = 0
        self._sealed_until_ms = 0
        self._pre_roll_end: int | None = None  # the segment that completes the pre-roll
        self._lost_segments = 0
        self._failure: str | None = None
        self._beginning: tuple[bytes, int] | None = None  # segment 0 while there is no room for it, and its end
        self._lock = threading.Lock()
        self._progress = ClipProgress(
            clip=birth.clip,
            incident=incident.id,
            opened_ns=clock.boot_ns(),
            pre_roll_asked_s=birth.pre_roll_asked_ms / 1000,
            pre_roll_delivered_s=0.0,
            pre_roll_safe_ns=None,
            safe_ns=None,
            is_open=True,
            segments=0,
            segments_safe=0,
            waiting_bytes=0,
        )
        self._thread = threading.Thread(target=self._run, name="clip", daemon=True)
        self._thread.start()

    @property
    def until_ns(self) -> int:
        """When it ends, as told so far."""
        return self._clip.until_ns

    @property
    def opened_ns(self) -> int:
        """When it was begun."""
        return self._progress.opened_ns

    @property
    def is_source_changed(self) -> bool:
        """It ended because the picture's form changed."""
        return self._clip.is_source_changed

    @property
    def has_failed(self) -> bool:
        """It ended because it could not be made."""
        return self._failure is not None

    @property
    def newest_ns(self) -> int:
        """When the newest picture in it was seen, 0 without one."""
        return self._clip.newest_ns

    @property
    def is_done(self) -> bool:
        """All of it is in the outbox; the ring is not read any more."""
        return not self._thread.is_alive()

    @property
    def trouble(self) -> str | None:
        """What a person should know, in one line."""
        if self._failure is not None:
            return f"making it failed ({self._failure}); what was sealed before is kept"
        if self._lost_segments:
            return f"{self._lost_segments} segments were lost because the vault was away too long; the first are kept"
        return None

    def move_end(self, until_ns: int) -> None:
        """End the clip at this moment instead (no effect once it was cut)."""
        if not self._cut_now.is_set():
            self._clip.until_ns = until_ns

    def cut(self, ended_by: str) -> None:
        """End the clip now, without waiting for pictures that are still on their way."""
        self._clip.until_ns = min(self._clip.until_ns, self._clock.boot_ns())
        self._ended_by = ended_by
        self._cut_now.set()

    def wait(self, *, patience_s: float) -> bool:
        """Wait until it is done; False when it is not after `patience_s`."""
        self._thread.join(patience_s)
        return self.is_done

    def progress(self) -> ClipProgress:
        """How far it is."""
        with self._lock:
            return replace(
                self._progress,
                is_open=not self.is_done,
                segments=self._number,
                waiting_bytes=self._outbox.waiting_bytes,
            )

    def _run(self) -> None:
        self._send(self._birth)
        try:
            self._follow_ring()
            self._seal(self._clip.finish())
        except Exception as err:  # noqa: BLE001 - whatever a picture does to the container, what is sealed must be closed and told
            _log.exception("clip %s", self._birth.clip)
            self._failure, self._ended_by = f"{type(err).__name__}: {err}", "failed"
        self._send(
            Close(
                clip=self._birth.clip,
                segments=self._number,
                facts=self._clip.facts(asked_ms=self._birth.pre_roll_asked_ms, ended_by=self._ended_by),
            )
        )

    def _follow_ring(self) -> None:
        cursor, left = self._ring.cursor(), self._ring.held_bytes
        is_behind = True  # what was held at the press is not read through yet
        while True:
            patience_s = 0.0 if is_behind or self._cut_now.is_set() else _READ_PATIENCE_S
            packets = cursor.read(patience_s=patience_s, limit_bytes=_piece(left, self._outbox.waiting_bytes))
            left -= sum(len(packet.data) for packet in packets)
            if cursor.lapped:
                self._clip.lost(cursor.lapped)
                cursor.lapped = 0
            for packet in packets:
                self._clip.feed(packet)
            if self._is_over(has_read_all=not packets):
                break
            if self._clip.has_begun and (is_behind or self._is_cut_due()):
                self._cut()
            is_behind = is_behind and bool(packets)

    def _is_over(self, *, has_read_all: bool) -> bool:
        if self._clip.is_source_changed:
            self._ended_by = "source-changed"
        return (
            self._clip.is_complete
            or self._clip.is_source_changed
            or (self._cut_now.is_set() and has_read_all)
            or self._clock.boot_ns() >= self._clip.until_ns + _END_PATIENCE_NS
        )

    def _is_cut_due(self) -> bool:
        if self._pre_roll_end is None and self._clip.settled_until_ns >= self._pressed_ns:
            return True
        return self._clock.boot_ns() - self._cut_at_ns >= _SEGMENT_NS

    def _cut(self) -> None:
        self._cut_at_ns = self._clock.boot_ns()
        self._seal(self._clip.take())

    def _seal(self, plain: bytes) -> None:
        if not plain:
            return
        if self._pre_roll_end is None and self._clip.settled_until_ns >= self._pressed_ns:
            self._pre_roll_end = self._number
            with self._lock:
                self._progress = replace(self._progress, pre_roll_delivered_s=self._clip.pre_roll_ms() / 1000)
        media_until_ms = self._clip.media_ms()
        if self._put_beginning() and self._put_segment(plain, media_until_ms):
            pass
        elif self._number == 0 and len(held := self._beginning[0] if self._beginning else b"") < _BEGINNING:
            self._beginning = held + plain, media_until_ms  # without it nothing after it can be played
        else:
            self._lost_segments += 1
            self._clip.cut_out(self._sealed_until_ms, media_until_ms)
            self._clip.lost(0)  # what refers to the lost pictures cannot be decoded
        self._sealed_until_ms = media_until_ms

    def _put_beginning(self) -> bool:
        if self._beginning is not None and self._put_segment(*self._beginning):
            self._beginning = None
        return self._beginning is None

    def _put_segment(self, plain: bytes, media_until_ms: int) -> bool:
        try:
            sealed = self._sealer.seal(plain)
        except SealFailed:
            return False  # shown by `trouble` and told in the manifest as a gap
        segment = Segment(clip=self._birth.clip, number=self._number, media_until_ms=media_until_ms)
        is_sent = self._send(segment, sealed)
        self._number += is_sent
        return is_sent

    def _send(self, message: ToVault, payload: bytes = b"") -> bool:
        def on_safe(at_ns: int) -> None:
            with self._lock:
                progress = self._progress
                if isinstance(message, Segment):
                    progress = replace(progress, segments_safe=message.number + 1)
                    if message.number == self._pre_roll_end:
                        progress = replace(progress, pre_roll_safe_ns=at_ns)
                elif isinstance(message, Close):
                    progress = replace(progress, safe_ns=at_ns)
                self._progress = progress

        return self._outbox.put(Parcel(message=message, payload=payload, on_safe=on_safe))


def _piece(left: int, waiting: int) -> int:
    """How many bytes to take next: of so many held at the press and not read yet, while so many sealed ones wait."""
    return min(max(_SMALLEST, min(left // 3, _USUAL), waiting), _LARGEST)


def new_clip_id(pressed_wall_ns: int) -> str:
    """The clip's number: the press in UTC and a random tail, so that it says nothing about what it shows."""
    tail = "".join(secrets.choice(CLIP_ID_ALPHABET) for _ in range(4))
    return f"{stamp(pressed_wall_ns)}-{tail}"
