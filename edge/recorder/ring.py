"""The last seconds of the room, encoded, in locked RAM. No disk, no clock, no thread of its own.

It forgets by age *and* by bytes, packet by packet, whatever the codec does: limits come first, decodability is the
reader's affair. The loop calls `expire` on a timer, so a silent source ages too. A forgotten packet's bytes are
zeroed at once. Lock: the ring's. Callers: source threads (`append`), the clip's thread (`Cursor`), the thread that
looks (`newest_key`, `newest_sounds`), the loop.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import merge
from itertools import islice
from operator import attrgetter
from typing import Final

from edge.packet import Format, Packet, Track
from edge.recorder.memory import CHUNK, Chunk

_SPARE_CHUNKS: Final = 4  # zeroed chunks kept locked, so that a steady stream maps no new memory


class _Room:
    """A chunk being filled, and how many packets live in it."""

    __slots__ = ("chunk", "live", "used")

    def __init__(self, chunk: Chunk) -> None:
        self.chunk = chunk
        self.live = 0
        self.used = 0


@dataclass(slots=True)
class _Entry:
    """A packet whose bytes lie in one or more chunks."""

    number: int  # of this track, without gaps
    order: int  # of all tracks
    track: Track
    format: Format
    pts_ns: int
    dts_ns: int
    duration_ns: int
    is_key: bool
    arrival_ns: int
    generation: int
    size: int
    seen_ns: int  # when it was seen or heard, and never later than when it came: its age counts from here
    oldest_ns: int  # the smallest `seen_ns` of this packet and all of its track behind it
    pieces: list[tuple[_Room, int, int]]

    def packet(self) -> Packet:
        # By position: at a press some 2,000 are made while somebody waits.
        return Packet(
            self.track,
            self.format,
            b"".join([room.chunk.view[start:end] for room, start, end in self.pieces]),
            self.pts_ns,
            self.dts_ns,
            self.duration_ns,
            self.is_key,
            self.arrival_ns,
            self.generation,
        )


class Ring:
    """Holds packets not older than the promise, in at most `cap_bytes` of memory.

    It starts shut: it takes nothing until `open`, and nothing after `shut`, so that a source thread that is still
    in the middle of a read cannot put anything back after a wipe.
    """

    def __init__(self, *, cap_bytes: int) -> None:
        self.cap_bytes = cap_bytes
        self.promise_ns = 0
        self._shortened_ns: int | None = None  # when a packet was last forgotten before its age, for want of room
        self._tracks: dict[Track, deque[_Entry]] = {track: deque() for track in Track}
        self._next_number = dict.fromkeys(Track, 0)
        self._next_order = 0
        self._rooms: list[_Room] = []  # the last one is being filled
        self._spare: list[Chunk] = []
        self._bytes = 0
        self._is_open = False
        self._is_wiped = True
        self._lock = threading.Lock()
        self._grew = threading.Condition(self._lock)

    def __repr__(self) -> str:
        return f"Ring({self._bytes} bytes of {self.cap_bytes})"

    def open(self, promise_ns: int) -> None:
        """Take packets from now on, none older than `promise_ns`. Also changes the promise of an open ring."""
        with self._lock:
            self.promise_ns = promise_ns
            self._is_open = True

    def append(self, packet: Packet, now_ns: int) -> bool:
        """Copy one packet in; False when it was not taken (shut, older than the promise, larger than the cap)."""
        with self._lock:
            seen_ns = min(packet.pts_ns, packet.arrival_ns)
            self._forget_older_than(now_ns - self.promise_ns)
            if not self._is_open or seen_ns < now_ns - self.promise_ns:
                return False
            pieces = self._store(packet.data, now_ns)
            if pieces is None:
                return False
            self._is_wiped = False
            self._bytes += len(packet.data)
            entries = self._tracks[packet.track]
            for ahead in reversed(entries):
                if ahead.oldest_ns <= seen_ns:
                    break
                ahead.oldest_ns = seen_ns
            entries.append(
                _Entry(
                    number=self._next_number[packet.track],
                    order=self._next_order,
                    track=packet.track,
                    format=packet.format,
                    pts_ns=packet.pts_ns,
                    dts_ns=packet.dts_ns,
                    duration_ns=packet.duration_ns,
                    is_key=packet.is_key,
                    arrival_ns=packet.arrival_ns,
                    generation=packet.generation,
                    size=len(packet.data),
                    seen_ns=seen_ns,
                    oldest_ns=seen_ns,
                    pieces=pieces,
                )
            )
            self._next_number[packet.track] += 1
            self._next_order += 1
            self._grew.notify_all()
            return True

    def expire(self, now_ns: int) -> None:
        """Forget everything older than the promise."""
        with self._lock:
            self._forget_older_than(now_ns - self.promise_ns)

    def shut(self) -> bool:
        """Take nothing more, forget everything, zero all memory and read it back; True when all of it is zero."""
        with self._lock:
            self._is_open = False
            self._shortened_ns = None
            for entries in self._tracks.values():
                entries.clear()
            self._bytes = 0
            chunks = [room.chunk for room in self._rooms] + self._spare
            for chunk in chunks:
                chunk.wipe()
            self._is_wiped = all(chunk.is_zero() for chunk in chunks)
            self._rooms.clear()
            self._spare = chunks[:_SPARE_CHUNKS]
            for chunk in chunks[_SPARE_CHUNKS:]:
                chunk.close()
            self._grew.notify_all()
            return self._is_wiped

    def close(self) -> None:
        """Wipe and give all memory back."""
        self.shut()
        with self._lock:
            for chunk in self._spare:
                chunk.close()
            self._spare.clear()

    @property
    def held_bytes(self) -> int:
        """Encoded bytes held now."""
        return self._bytes

    @property
    def is_wiped(self) -> bool:
        """Empty, and its memory was read back as zeros when it was last emptied."""
        return self._is_wiped

    @property
    def is_locked(self) -> bool:
        """No chunk is outside locked memory."""
        with self._lock:
            return all(room.chunk.is_locked for room in self._rooms) and all(c.is_locked for c in self._spare)

    def held_ns(self, now_ns: int) -> int:
        """How far back a clip could start now: the age of the oldest key frame, 0 without one."""
        with self._lock:
            oldest = next((entry.pts_ns for entry in self._tracks[Track.PICTURE] if entry.is_key), now_ns)
            return max(0, now_ns - oldest)

    def oldest_ns(self, now_ns: int) -> int:
        """The age of the oldest byte held, of whatever track and whether or not a clip could start there; 0 without any."""
        with self._lock:
            return max((now_ns - entries[0].oldest_ns for entries in self._tracks.values() if entries), default=0)

    def is_short(self, now_ns: int) -> bool:
        """It holds less than the promise, because `cap_bytes` is too little for this stream."""
        return self._shortened_ns is not None and now_ns - self._shortened_ns < self.promise_ns

    def key_before(self, at_ns: int) -> int | None:
        """When the newest key frame that was shown by `at_ns` was shown; None when none is held."""
        with self._lock:
            keys = (entry.pts_ns for entry in self._tracks[Track.PICTURE] if entry.is_key and entry.pts_ns <= at_ns)
            return max(keys, default=None)

    def newest_key(self) -> Packet | None:
        """A copy of the newest key frame; None when none is held."""
        with self._lock:
            keys = (entry for entry in reversed(self._tracks[Track.PICTURE]) if entry.is_key)
            newest = next(keys, None)
            return None if newest is None else newest.packet()

    def newest_sounds(self, count: int) -> list[Packet]:
        """Copies of the newest packets of sound, oldest first; fewer when fewer are held."""
        with self._lock:
            newest = list(islice(reversed(self._tracks[Track.SOUND]), count))
            return [entry.packet() for entry in reversed(newest)]

    def cursor(self) -> Cursor:
        """A reader that starts at the oldest packet held."""
        return Cursor(self)

    # Everything below runs with the lock held.

    def _forget_older_than(self, limit_ns: int) -> None:
        for entries in self._tracks.values():
            # Behind a picture that is young enough may stand older ones: B-frames, or a source that was opened anew.
            at = 0
            while at < len(entries) and entries[at].oldest_ns < limit_ns:
                if entries[at].seen_ns < limit_ns:
                    self._free(entries[at])
                    del entries[at]
                else:
                    at += 1

    def _store(self, data: bytes, now_ns: int) -> list[tuple[_Room, int, int]] | None:
        if len(data) > self.cap_bytes - CHUNK:
            return None
        pieces: list[tuple[_Room, int, int]] = []
        done = 0
        while done < len(data):
            room = self._rooms[-1] if self._rooms else self._take_room(now_ns)
            if not room.live:
                room.used = 0  # all that was in it is forgotten and zeroed
            elif room.used == room.chunk.size:
                room = self._take_room(now_ns)
            size = min(len(data) - done, room.chunk.size - room.used)
            room.chunk.view[room.used : room.used + size] = data[done : done + size]
            pieces.append((room, room.used, room.used + size))
            room.used += size
            room.live += 1
            done += size
        return pieces

    def _take_room(self, now_ns: int) -> _Room:
        while (len(self._rooms) + 1) * CHUNK > self.cap_bytes:
            oldest = min((entries[0] for entries in self._tracks.values() if entries), key=lambda entry: entry.order)
            self._tracks[oldest.track].popleft()
            self._free(oldest)
            self._shortened_ns = now_ns
        room = _Room(self._spare.pop() if self._spare else Chunk())
        self._rooms.append(room)
        return room

    def _free(self, entry: _Entry) -> None:
        self._bytes -= entry.size
        for room, start, end in entry.pieces:
            room.chunk.wipe(start, end)
            room.live -= 1
            if room.live == 0 and room is not self._rooms[-1]:
                self._rooms.remove(room)
                if len(self._spare) < _SPARE_CHUNKS:
                    self._spare.append(room.chunk)
                else:
                    room.chunk.close()


class Cursor:
    """Reads each packet once, in the order of arrival. `lapped` counts packets forgotten before they were read."""

    def __init__(self, ring: Ring) -> None:
        self._ring = ring
        self.lapped = 0
        with ring._lock:
            self._next = {
                track: entries[0].number if entries else ring._next_number[track]
                for track, entries in ring._tracks.items()
            }

    def read(self, *, patience_s: float, limit_bytes: int) -> list[Packet]:
        """Packets not read yet, in order of arrival, waiting up to `patience_s` for the first; copies.

        Ends with the packet that reaches `limit_bytes`; the rest is read the next time.
        """
        ring = self._ring
        with ring._lock:
            if not self._is_behind():
                ring._grew.wait(patience_s)
            packets: list[Packet] = []
            size, following = 0, self._next
            for entry in merge(*(self._unread(track) for track in Track), key=attrgetter("order")):
                packets.append(entry.packet())
                self.lapped += entry.number - following[entry.track]
                following[entry.track] = entry.number + 1
                size += entry.size
                if size >= limit_bytes:
                    return packets
            for track, number in ring._next_number.items():
                self.lapped += number - following[track]
                following[track] = number
            return packets

    def _unread(self, track: Track) -> Iterator[_Entry]:
        entries = self._ring._tracks[track]
        return islice(entries, bisect_left(entries, self._next[track], key=attrgetter("number")), None)

    def _is_behind(self) -> bool:
        return any(self._ring._next_number[track] > number for track, number in self._next.items())
