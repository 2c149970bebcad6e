"""The ring never holds more of the past than it promises, nor more bytes than its cap; what it forgets is zero at once."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.clock import MILLISECOND, SECOND
from edge.packet import Packet, Track
from edge.recorder.capture.timestamps import Timeline
from edge.recorder.memory import CHUNK, Chunk
from edge.recorder.ring import Ring
from tests.recorder.streams import IS_LONG, START_NS, packet, raw

PROMISE_NS = 3 * SECOND
CAP = 8 * CHUNK
ALL = 1 << 40  # bytes: read everything at once
EXAMPLES = 400 if IS_LONG else 60


def chunks(ring: Ring) -> list[Chunk]:
    """Every chunk that the ring has, in use or spare."""
    return [room.chunk for room in ring._rooms] + ring._spare


def held(ring: Ring) -> list[Packet]:
    return ring.cursor().read(patience_s=0, limit_bytes=ALL)


def mapped(ring: Ring) -> int:
    return sum(chunk.size for chunk in chunks(ring))


def nonzero(ring: Ring) -> int:
    """Bytes other than zero in all of the ring's memory, counted there, not asked of the ring."""
    return sum(chunk.size - bytes(chunk.view).count(0) for chunk in chunks(ring))


def assert_bounds(ring: Ring, now_ns: int) -> None:
    """Nothing older than the promise, nothing larger than the cap, and no bytes but those of what is held."""
    packets = held(ring)
    for each in packets:
        assert min(each.pts_ns, each.arrival_ns) >= now_ns - ring.promise_ns, "older than the promise"
    assert mapped(ring) <= ring.cap_bytes, "larger than the cap"
    assert ring.held_bytes == sum(len(each.data) for each in packets)


def payload(size: int, number: int) -> bytes:
    return bytes([number % 255 + 1]) * size  # never zero, so that a forgotten byte can be told from a wiped one


@pytest.fixture
def ring() -> Iterator[Ring]:
    ring = Ring(cap_bytes=CAP)
    ring.open(PROMISE_NS)
    yield ring
    ring.close()


# --- what is kept ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 1000, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7])
def test_a_packet_is_read_back_as_it_came(ring: Ring, size: int) -> None:
    data = random.Random(size).randbytes(size)
    ring.append(packet(START_NS, data=b"something before it"), START_NS)
    sent = packet(START_NS + 1, data=data, dts_ns=START_NS - 5, arrival_ns=START_NS + 2, is_key=False, generation=7)
    assert ring.append(sent, START_NS + 2)
    assert held(ring)[1] == sent


def test_a_packet_larger_than_the_cap_is_refused_and_costs_nothing_that_is_held(ring: Ring) -> None:
    ring.append(packet(START_NS), START_NS)
    assert not ring.append(packet(START_NS + 1, data=bytes(CAP + 1)), START_NS + 1)
    assert len(held(ring)) == 1
    assert_bounds(ring, START_NS + 1)


def test_a_cursor_gives_each_packet_once_and_in_order_of_arrival(ring: Ring) -> None:
    cursor = ring.cursor()
    for number in range(6):
        track = Track.SOUND if number % 2 else Track.PICTURE
        ring.append(packet(START_NS + number, track=track), START_NS + number)
        if number == 3:
            assert [each.pts_ns - START_NS for each in cursor.read(patience_s=0, limit_bytes=ALL)] == [0, 1, 2, 3]
    assert [each.pts_ns - START_NS for each in cursor.read(patience_s=0, limit_bytes=ALL)] == [4, 5]
    assert cursor.read(patience_s=0, limit_bytes=ALL) == []
    assert cursor.lapped == 0


def test_a_cursor_that_is_overtaken_counts_what_it_missed(ring: Ring) -> None:
    ring.append(packet(START_NS), START_NS)
    cursor = ring.cursor()
    for second in range(1, 6):
        ring.append(packet(START_NS + second * SECOND), START_NS + second * SECOND)
    assert [(each.pts_ns - START_NS) // SECOND for each in cursor.read(patience_s=0, limit_bytes=ALL)] == [2, 3, 4, 5]
    assert cursor.lapped == 2


def test_a_cursor_stops_at_its_limit_and_goes_on_there(ring: Ring) -> None:
    for number in range(7):
        ring.append(packet(START_NS + number, data=bytes(1000)), START_NS + number)
    cursor = ring.cursor()
    counts = [len(cursor.read(patience_s=0, limit_bytes=2_500)) for _ in range(4)]
    assert counts == [3, 3, 1, 0]
    assert cursor.lapped == 0


def test_a_waiting_cursor_is_woken_by_the_next_packet(ring: Ring) -> None:
    cursor, found = ring.cursor(), []
    reader = threading.Thread(target=lambda: found.extend(cursor.read(patience_s=30, limit_bytes=ALL)))
    reader.start()
    ring.append(packet(START_NS), START_NS)
    reader.join(10)
    assert len(found) == 1


# --- what is forgotten ----------------------------------------------------------------------------------------------


def test_a_silent_source_ages_too(ring: Ring) -> None:
    ring.append(packet(START_NS), START_NS)
    ring.expire(START_NS + PROMISE_NS)
    assert len(held(ring)) == 1
    ring.expire(START_NS + PROMISE_NS + 1)
    assert held(ring) == []
    assert nonzero(ring) == 0


def test_bytes_of_a_forgotten_packet_are_zero_at_once_and_its_neighbours_are_whole(ring: Ring) -> None:
    for second in range(3):
        ring.append(
            packet(START_NS + second * SECOND, data=payload(CHUNK // 2 + 9, second)), START_NS + second * SECOND
        )
    assert nonzero(ring) == 3 * (CHUNK // 2 + 9)
    ring.expire(START_NS + PROMISE_NS + 1)
    assert nonzero(ring) == 2 * (CHUNK // 2 + 9)
    assert [each.data for each in held(ring)] == [payload(CHUNK // 2 + 9, 1), payload(CHUNK // 2 + 9, 2)]


def test_what_is_older_than_the_promise_when_it_comes_is_refused(ring: Ring) -> None:
    assert not ring.append(packet(START_NS - PROMISE_NS - 1), START_NS)
    assert ring.append(packet(START_NS - PROMISE_NS), START_NS)


def test_a_smaller_promise_holds_from_the_next_look(ring: Ring) -> None:
    for second in range(3):
        ring.append(packet(START_NS + second * SECOND), START_NS + second * SECOND)
    ring.open(1 * SECOND)
    ring.expire(START_NS + 2 * SECOND)
    assert [(each.pts_ns - START_NS) // SECOND for each in held(ring)] == [1, 2]


def test_a_ring_too_small_for_its_stream_says_so_until_it_holds_the_promise_again(ring: Ring) -> None:
    for number in range(10):
        ring.append(packet(START_NS + number * MILLISECOND, data=payload(CHUNK, number)), START_NS + number)
    assert ring.is_short(START_NS + SECOND)
    assert not ring.is_short(START_NS + PROMISE_NS + SECOND)
    ring.shut()
    assert not ring.is_short(START_NS + SECOND), "nothing is promised now"


def test_after_shut_all_memory_is_zero_and_nothing_is_taken_any_more() -> None:
    ring = Ring(cap_bytes=CAP)
    assert not ring.append(packet(START_NS), START_NS), "a new ring is shut"
    ring.open(PROMISE_NS)
    for number in range(40):
        ring.append(packet(START_NS + number, data=payload(CHUNK // 4, number)), START_NS + number)
    kept = chunks(ring)[:]
    assert nonzero(ring) > 0
    assert ring.shut()
    assert ring.is_wiped
    # A chunk that went back to the kernel was wiped on its way (test_memory); those that stay are read here.
    open_chunks = [chunk for chunk in kept if not chunk._map.closed]
    assert open_chunks
    assert all(bytes(chunk.view) == bytes(chunk.size) for chunk in open_chunks)
    assert not ring.append(packet(START_NS + 1), START_NS + 1)
    assert (held(ring), nonzero(ring), ring.held_bytes, ring.held_ns(START_NS)) == ([], 0, 0, 0)
    ring.close()


def test_a_reader_that_is_behind_gets_nothing_after_shut(ring: Ring) -> None:
    cursor = ring.cursor()
    ring.append(packet(START_NS), START_NS)
    ring.shut()
    assert cursor.read(patience_s=0, limit_bytes=ALL) == []
    assert cursor.lapped == 1


def test_a_steady_stream_maps_no_more_memory_after_its_first_rounds(ring: Ring) -> None:
    sizes = set()
    for number in range(2_000):
        at_ns = START_NS + number * 40 * MILLISECOND
        ring.append(packet(at_ns, data=payload(30_000, number)), at_ns)
        if number > 500:
            sizes.add(mapped(ring))
    assert max(sizes) - min(sizes) <= CHUNK


# --- hostile streams ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Hostile:
    """Packets as a misbehaving camera gives them: after how long, with which stamp, how large."""

    name: str
    stamps: tuple[tuple[int, int, int, int, bool], ...]  # milliseconds after the last, pts and dts in ms, bytes, is_key


def regular(
    seconds: int, *, fps: int = 25, size: int = 20_000, gop: int = 25
) -> Iterator[tuple[int, int, int, int, bool]]:
    for number in range(seconds * fps):
        at = number * 1000 // fps
        yield 1000 // fps, at, at, size, number % gop == 0


def named() -> Iterator[Hostile]:
    yield Hostile("no key frames ever", tuple((*step[:4], False) for step in regular(10)))
    yield Hostile("stalled stamps", tuple((step[0], 0, 0, *step[3:]) for step in regular(10)))
    for hour in (-3_600_000, 3_600_000):
        jumped = [
            (wait, pts + hour * (number > 120), dts + hour * (number > 120), size, is_key)
            for number, (wait, pts, dts, size, is_key) in enumerate(regular(10))
        ]
        yield Hostile(f"stamps that jump by {hour} ms", tuple(jumped))
    burst = [
        (*step[:3], step[3] * (10 if 100 < number < 200 else 1), step[4]) for number, step in enumerate(regular(10))
    ]
    yield Hostile("a burst of ten times the bit rate", tuple(burst))
    yield Hostile("larger than a chunk", tuple((*step[:3], CHUNK + 5, step[4]) for step in regular(2)))
    yield Hostile(
        "as large as the cap allows",
        tuple((*step[:3], CAP - CHUNK - number, step[4]) for number, step in enumerate(regular(1))),
    )
    shown = [0, 4, 2, 1, 3]  # one closed group of B-frames, in order of decoding
    order = [
        (40, 160 + (group * 4 + shown[at]) * 40, (group * 4 + at) * 40, 20_000, at == 0)
        for group in range(60)
        for at in range(1, 5)
    ]
    yield Hostile("B-frames", tuple(order))
    slower = [(1000 // fps, 0, 0, 20_000, True) for fps in (30, 15, 7, 3) for _ in range(fps * 3)]
    at, dark = 0, []
    for wait, _, _, size, is_key in slower:
        dark.append((wait, at, at, size, is_key))
        at += wait
    yield Hostile("30 to 3 pictures a second", tuple(dark))


def play(ring: Ring, stream: Hostile) -> int:
    """Put the stream through repair and ring and look at the bounds after every packet; how many were taken."""
    timeline, now_ns, taken = Timeline(1), START_NS, 0
    for number, (wait, pts, dts, size, is_key) in enumerate(stream.stamps):
        now_ns += wait * MILLISECOND
        placed = timeline.place(raw(pts=pts, dts=dts, data=payload(size, number), is_key=is_key, arrival_ns=now_ns))
        if placed is not None:
            taken += ring.append(placed, now_ns)
        assert_bounds(ring, now_ns)
    held_bytes = ring.held_bytes
    assert nonzero(ring) == held_bytes
    ring.expire(now_ns + PROMISE_NS + 3 * SECOND)
    assert nonzero(ring) == 0
    assert held(ring) == []
    return taken


@pytest.mark.parametrize("stream", list(named()), ids=lambda stream: stream.name)
def test_bounds_hold_whatever_the_camera_does(ring: Ring, stream: Hostile) -> None:
    assert play(ring, stream) >= len(stream.stamps) * 9 // 10, "it must not be safe by refusing everything"


STEPS = st.lists(
    st.tuples(
        st.sampled_from([0, 0, 1, 20, 40, 900, 5_000]),
        st.integers(-4_000, 4_000),
        st.integers(-4_000, 4_000),
        st.sampled_from([0, 1, 1000, CHUNK // 2, CHUNK, 2 * CHUNK + 1, CAP - CHUNK, CAP]),
        st.booleans(),
    ),
    max_size=40,
)


@given(STEPS)
@settings(max_examples=EXAMPLES, deadline=None)
def test_bounds_hold_for_any_stamps_and_sizes(steps: list[tuple[int, int, int, int, bool]]) -> None:
    """The ring does not trust the repair before it: stamps come as they like, also out of order and from the future."""
    ring, now_ns = Ring(cap_bytes=CAP), START_NS
    ring.open(PROMISE_NS)
    for number, (wait, pts, dts, size, is_key) in enumerate(steps):
        now_ns += wait * MILLISECOND
        sent = packet(
            now_ns + pts * MILLISECOND,
            dts_ns=now_ns + dts * MILLISECOND,
            arrival_ns=now_ns,
            data=payload(size, number),
            track=Track.SOUND if is_key else Track.PICTURE,
        )
        ring.append(sent, now_ns)
        assert_bounds(ring, now_ns)
    assert nonzero(ring) == ring.held_bytes
    for _ in range(80):
        now_ns += 100 * MILLISECOND
        ring.expire(now_ns)
        assert_bounds(ring, now_ns)
    ring.close()


def test_a_source_that_is_opened_anew_cannot_hide_old_pictures_behind_young_ones(ring: Ring) -> None:
    """The new connection's first picture was seen before the old one's last: it stands behind it and must not stay."""
    for after_ms, pts_ms, dts_ms in ((0, 0, 0), (40, 40, 40), (60, -50, -160)):
        now_ns = START_NS + after_ms * MILLISECOND
        ring.append(
            packet(START_NS + pts_ms * MILLISECOND, dts_ns=START_NS + dts_ms * MILLISECOND, arrival_ns=now_ns), now_ns
        )
    ring.expire(START_NS + PROMISE_NS - 40 * MILLISECOND)
    assert sorted((each.pts_ns - START_NS) // MILLISECOND for each in held(ring)) == [0, 40]


def test_memory_is_not_lost_when_large_packets_push_each_other_out(ring: Ring) -> None:
    for number in range(50):
        now_ns = START_NS + number
        first = CHUNK if number % 2 else CHUNK - 1
        ring.append(packet(now_ns, data=payload(first, number)), now_ns)
        assert ring.append(packet(now_ns, data=payload(CAP - CHUNK, number)), now_ns)
        assert_bounds(ring, now_ns)
    assert len(chunks(ring)) <= CAP // CHUNK


# --- at the same time -----------------------------------------------------------------------------------------------


def write_many(ring: Ring, track: Track, count: int, step_ns: int) -> None:
    for number in range(count):
        at_ns = START_NS + number * step_ns
        ring.append(packet(at_ns, data=payload(2_000, number), track=track), at_ns)


def read_until(ring: Ring, over: threading.Event, troubles: list[str], counted: list[int]) -> None:
    cursor, got = ring.cursor(), 0
    last = dict.fromkeys(Track, 0)
    while not over.is_set() or cursor._is_behind():
        for each in cursor.read(patience_s=0.01, limit_bytes=CHUNK):
            got += 1
            if each.data != each.data[:1] * 2_000:
                troubles.append("torn")
            if each.pts_ns <= last[each.track]:
                troubles.append("twice, or out of order")
            last[each.track] = each.pts_ns
    counted.append(got + cursor.lapped)


def test_packets_are_whole_while_others_write_read_and_forget() -> None:
    """Two sources, two readers and the timer at once: each packet at most once, in order, whole; none unaccounted for."""
    ring, count = Ring(cap_bytes=CAP), 20_000 if IS_LONG else 4_000
    ring.open(PROMISE_NS)
    over = threading.Event()
    troubles: list[str] = []
    counted: list[int] = []

    def forget() -> None:
        while not over.is_set():
            newest = [entries[-1].seen_ns for entries in ring._tracks.values() if entries]
            ring.expire(max(newest, default=START_NS))

    readers = [threading.Thread(target=read_until, args=(ring, over, troubles, counted)) for _ in range(2)]
    readers.append(threading.Thread(target=forget))
    writers = [
        threading.Thread(target=write_many, args=(ring, Track.PICTURE, count, 3 * MILLISECOND)),
        threading.Thread(target=write_many, args=(ring, Track.SOUND, count, 2 * MILLISECOND)),
    ]
    for thread in (*readers, *writers):
        thread.start()
    for thread in writers:
        thread.join(60)
    over.set()
    for thread in readers:
        thread.join(60)
    assert troubles == []
    total = sum(ring._next_number.values())
    assert total > count
    assert counted == [total, total]
    ring.close()
