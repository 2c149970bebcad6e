"""Whatever clock a camera has, its packets come out in order, near their arrival and with their own spacing."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.clock import MILLISECOND, SECOND
from edge.packet import Packet, RawPacket, Track
from edge.recorder.capture.timestamps import LATEST_S, Timeline
from tests.recorder.streams import IS_LONG, START_NS, raw

HOUR_MS = 3_600_000
EARLIEST_NS = 200 * MILLISECOND
EXAMPLES = 2_000 if IS_LONG else 200


def place_all(stamps: list[RawPacket]) -> tuple[list[Packet], Timeline]:
    timeline = Timeline(1)
    return [placed for stamp in stamps if (placed := timeline.place(stamp)) is not None], timeline


def at(number: int) -> int:
    """When packet `number` of a camera of 25 pictures a second comes."""
    return START_NS + number * 40 * MILLISECOND


def assert_promise(placed: list[Packet]) -> None:
    last: dict[Track, Packet] = {}
    for packet in placed:
        assert packet.dts_ns <= packet.pts_ns
        assert packet.pts_ns <= packet.arrival_ns + EARLIEST_NS
        assert packet.pts_ns >= packet.arrival_ns - LATEST_S * SECOND
        before = last.get(packet.track)
        if before is not None:
            assert packet.dts_ns > before.dts_ns
            assert packet.generation >= before.generation
        last[packet.track] = packet


STAMP = st.one_of(st.none(), st.integers(-10_000, 10_000), st.integers(-HOUR_MS, HOUR_MS), st.integers(-(2**40), 2**40))
RAWS = st.lists(
    st.tuples(
        st.sampled_from(list(Track)),
        st.sampled_from([0, 1, 5, 20, 40, 40, 300, 5_000]),
        STAMP,
        STAMP,
        st.sampled_from([b"", b"x", b"x", b"x"]),
        st.sampled_from([(1, 1_000), (1, 90_000), (1001, 30_000)]),
    ),
    max_size=30,
)


@given(RAWS)
@settings(max_examples=EXAMPLES, deadline=None)
def test_order_and_bounds_hold_for_any_stamps(
    steps: list[tuple[Track, int, int | None, int | None, bytes, tuple[int, int]]],
) -> None:
    now_ns, stamps = START_NS, []
    for track, wait, pts, dts, data, tick in steps:
        now_ns += wait * MILLISECOND
        stamps.append(raw(pts=pts, dts=dts, data=data, track=track, tick=tick, arrival_ns=now_ns))
    placed, timeline = place_all(stamps)
    assert_promise(placed)
    assert len(placed) + timeline.rejected == len(stamps)


@given(
    st.integers(-(2**40), 2**40),
    st.lists(st.integers(0, 150), min_size=2, max_size=60),
    st.integers(0, 25),
    st.sampled_from([(1, 1_000), (1, 90_000), (1001, 30_000)]),
)
@settings(max_examples=EXAMPLES, deadline=None)
def test_a_regular_source_keeps_its_spacing_and_its_sound_beside_its_picture(
    start: int, delays_ms: list[int], apart_ms: int, tick: tuple[int, int]
) -> None:
    """Network delays of up to 150 ms move nothing once the first late packet is made up for."""
    per_second = tick[1] / tick[0]
    timeline, placed = Timeline(1), []
    for number, delay_ms in enumerate([0, *delays_ms]):
        for track, shift_ms in ((Track.PICTURE, 0), (Track.SOUND, apart_ms)):
            seen_ms = number * 40 + shift_ms
            stamp = start + round(seen_ms / 1000 * per_second)
            arrival_ns = START_NS + (seen_ms + max(delay_ms, delays_ms[-1] if number == 0 else 0)) * MILLISECOND
            packet = timeline.place(raw(pts=stamp, track=track, tick=tick, arrival_ns=arrival_ns))
            assert packet is not None
            placed.append((seen_ms, packet))
    assert_promise([packet for _, packet in placed])
    assert timeline.jumps == 0
    one_tick_ns = round(SECOND / per_second)
    for (seen_ms, packet), (next_ms, after) in pairwise(placed):
        wanted_ns = (next_ms - seen_ms) * MILLISECOND
        # An early packet slides the whole clock back, by at most 5 ms.
        assert -5 * MILLISECOND - 2 * one_tick_ns <= after.pts_ns - packet.pts_ns - wanted_ns <= 2 * one_tick_ns
        if apart_ms == 0 and packet.track is Track.PICTURE:
            assert after.pts_ns <= packet.pts_ns


def test_a_clock_that_runs_true_is_followed_to_the_nanosecond() -> None:
    placed, _ = place_all([raw(pts=7 + number * 40, arrival_ns=at(number)) for number in range(100)])
    assert [packet.pts_ns for packet in placed] == [at(number) for number in range(100)]
    assert {packet.generation for packet in placed} == {1}


@pytest.mark.parametrize("ppm", [-200, 200])
@pytest.mark.parametrize("wait_ms", [0, 120])
def test_a_clock_that_runs_fast_or_slow_for_an_hour_stays_bound_to_the_arrival(ppm: int, wait_ms: int) -> None:
    """Left alone it would be 0.7 s away by then, and a microphone with a clock of its own as far from its picture.

    `wait_ms`: the first pictures say that they waited for later ones (B-frames). Each fourth is delayed on its way.
    """
    timeline, away_ms, last_ns = Timeline(1), [], 0
    for number in range(3600 * 25):
        stamp = round(number * 40 * 90 * (1 + ppm / 1_000_000))
        arrival_ns = at(number) + (number % 4 == 3) * 90 * MILLISECOND
        placed = timeline.place(raw(pts=stamp, dts=stamp - wait_ms * 90, tick=(1, 90_000), arrival_ns=arrival_ns))
        assert placed is not None
        assert placed.pts_ns > last_ns
        last_ns = placed.pts_ns
        away_ms.append((placed.pts_ns - at(number)) / MILLISECOND)
    assert timeline.jumps == 0
    assert max(away_ms) - min(away_ms) < 15
    assert abs(away_ms[0] + wait_ms) < 1
    assert all(before - 5.1 <= after <= before + 5.1 for before, after in pairwise(away_ms))


def test_a_packet_sent_twice_is_let_go() -> None:
    stamps = [raw(pts=number * 40, arrival_ns=at(number)) for number in range(3)]
    again = raw(pts=40, arrival_ns=at(1) + MILLISECOND // 2)
    placed, timeline = place_all([stamps[0], stamps[1], again, stamps[2]])
    assert len(placed) == 3
    assert (timeline.rejected, timeline.jumps) == (1, 0)


@pytest.mark.parametrize("jump_ms", [-HOUR_MS, -2_000, 300, HOUR_MS])
def test_a_jump_is_tied_to_the_arrival_as_a_new_generation(jump_ms: int) -> None:
    stamps = [raw(pts=number * 40 + (jump_ms if number >= 50 else 0), arrival_ns=at(number)) for number in range(100)]
    placed, timeline = place_all(stamps)
    assert [packet.pts_ns for packet in placed] == [at(number) for number in range(100)]
    assert [packet.generation for packet in placed] == [1] * 50 + [2] * 50
    assert timeline.jumps == 1


@pytest.mark.parametrize("jump_ms", [-HOUR_MS, -2_000, 800, HOUR_MS])
def test_pictures_that_were_fetched_together_stay_whole_when_the_clock_jumps_among_them(jump_ms: int) -> None:
    """Ten at a time, when the last of them comes: dated by when it was fetched the first after the jump would be shown
    0.2 s late, and those after it would stand in each other's way.
    """
    stamps = [
        raw(pts=number * 40 + (jump_ms if number >= 55 else 0), arrival_ns=at(number // 10 * 10 + 9))
        for number in range(9, 100)
    ]
    placed, timeline = place_all(stamps)
    assert [packet.pts_ns for packet in placed] == [at(number) for number in range(9, 100)]
    assert [packet.generation for packet in placed] == [1] * 46 + [2] * 45
    assert (timeline.jumps, timeline.rejected) == (1, 0)


def test_a_clock_that_stands_still_is_replaced_by_the_arrival() -> None:
    placed, _ = place_all([raw(pts=0, arrival_ns=at(number)) for number in range(20)])
    assert [packet.pts_ns for packet in placed] == [at(number) for number in range(20)]


def test_a_source_without_stamps_is_placed_by_arrival() -> None:
    placed, timeline = place_all([raw(pts=None, arrival_ns=at(number)) for number in range(5)])
    assert [(packet.pts_ns, packet.dts_ns) for packet in placed] == [(at(number), at(number)) for number in range(5)]
    assert timeline.jumps == 0


def test_a_missing_pts_is_read_from_dts_and_the_other_way_round() -> None:
    placed, _ = place_all(
        [raw(pts=0, dts=0, arrival_ns=at(0)), raw(pts=None, dts=40, arrival_ns=at(1)), raw(pts=80, arrival_ns=at(2))]
    )
    assert [packet.pts_ns - START_NS for packet in placed] == [0, 40 * MILLISECOND, 80 * MILLISECOND]


def test_an_empty_packet_is_let_go() -> None:
    assert Timeline(1).place(raw(pts=0, arrival_ns=START_NS, data=b"")) is None


def test_b_frames_from_the_start_keep_their_order_and_are_never_early() -> None:
    """Decoding order 0 3 1 2 6 4 5 …: each arrives when it can be decoded, three pictures after the first was seen."""
    shown = [0, *(base + shift for base in range(0, 30, 3) for shift in (3, 1, 2))]
    stamps = [
        raw(pts=number * 40, dts=place * 40 - 80, arrival_ns=START_NS + place * 40 * MILLISECOND)
        for place, number in enumerate(shown)
    ]
    placed, timeline = place_all(stamps)
    assert len(placed) == len(shown)
    assert timeline.jumps == 0
    assert_promise(placed)
    times = sorted(packet.pts_ns for packet in placed)
    assert {after - before for before, after in pairwise(times)} == {40 * MILLISECOND}
    assert all(packet.pts_ns <= packet.arrival_ns for packet in placed)


def test_a_stamp_that_is_years_before_its_own_decoding_order_does_not_leave_the_promise() -> None:
    placed, _ = place_all(
        [raw(pts=number * 40, dts=number * 40 - HOUR_MS, arrival_ns=at(number)) for number in range(5)]
    )
    assert len(placed) == 5
    assert_promise(placed)
