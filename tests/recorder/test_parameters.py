"""What a stream says of itself: read as libav reads it, never trusted; and the order of decoding that follows from it."""

from __future__ import annotations

import contextlib
import subprocess
from functools import cache
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.recorder.capture.parameters import ParameterSets, read_sequence
from edge.recorder.capture.reorder import DecodingOrder
from edge.recorder.nal import to_sized
from tests.recorder.test_sources import has_parameters

STEP = 3600
# Encoder, what it is told, and how many pictures then wait; sizes that are no multiple of 16 are cropped.
STREAMS = [
    ("libx264", "320x180", "-bf 0", 0),
    ("libx264", "322x182", "-bf 3 -b-pyramid 1", 2),
    ("libx264", "1920x1080", "-bf 2 -b-pyramid 0", 1),
    ("libx264", "720x576", "-flags +ilme+ildct -x264opts tff=1 -bf 0", 0),
    ("libx264", "324x182", "-pix_fmt yuv422p -bf 1", 1),
    ("libx264", "326x182", "-pix_fmt yuv444p -bf 0", 0),
    ("libx264", "640x360", "-profile:v baseline", 0),
    ("libx264", "640x360", "-x264opts cqm=jvt:nal-hrd=vbr:vbv-maxrate=900:vbv-bufsize=900 -bf 0", 0),
    ("libx265", "322x182", "-x265-params log-level=none:bframes=0", 0),
    ("libx265", "1920x1080", "-x265-params log-level=none:bframes=3:b-pyramid=1", 2),
]


@cache
def stream(encoder: str, size: str, options: str) -> bytes:
    """A raw stream that begins with a key picture and has its sets in front of it."""
    kind = "h264" if encoder == "libx264" else "hevc"
    command = (
        f"ffmpeg -v error -f lavfi -i testsrc2=s={size}:r=25:d=1 -c:v {encoder} -preset ultrafast {options} -f {kind} -"
    )
    return subprocess.run(command.split(), capture_output=True, check=True).stdout


@pytest.mark.parametrize(("encoder", "size", "options", "reorder"), STREAMS)
def test_size_and_order_are_read_as_they_were_written(encoder: str, size: str, options: str, reorder: int) -> None:
    codec = "h264" if encoder == "libx264" else "hevc"
    sets = ParameterSets(codec)
    data = stream(encoder, size, options)
    sets.learn(data)
    assert sets.sequence is not None
    assert f"{sets.sequence.width}x{sets.sequence.height}" == size
    assert sets.sequence.reorder == reorder
    assert sets.is_beginning(data)
    assert sets.complete(data) == data, "nothing is put before a picture that has its sets"


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_a_key_picture_without_sets_gets_the_newest(codec: str) -> None:
    encoder, size, options, _ = STREAMS[0 if codec == "h264" else 8]
    data, sets = stream(encoder, size, options), ParameterSets(codec)
    kinds, bare = sets._kinds, b""
    for unit in data[:4000].replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1")[1:]:
        kind = unit[0] & 31 if codec == "h264" else unit[0] >> 1 & 63
        bare += b"" if kind in kinds else b"\0\0\0\1" + unit
    assert sets.complete(bare) is None, "none are known"
    sets.learn(data)
    whole = sets.complete(bare)
    assert whole is not None
    assert has_parameters(to_sized(whole), "h264" if codec == "h264" else "hevc")
    assert whole.endswith(bare)
    larger = ParameterSets(codec)
    larger.learn(stream(*STREAMS[1 if codec == "h264" else 9][:3]))
    sets.learn(stream(*STREAMS[1 if codec == "h264" else 9][:3]))
    assert sets.sequence == larger.sequence


@given(st.binary(max_size=200), st.sampled_from(["h264", "hevc"]), st.booleans())
@settings(max_examples=400, deadline=None)
def test_any_bytes_are_a_sensible_size_or_refused(noise: bytes, codec: str, has_head: bool) -> None:
    head = b"\0\0\0\1" + (b"\x67" if codec == "h264" else b"\x42\1")
    sets = ParameterSets(codec)
    try:
        sets.learn(head + noise if has_head else noise)
        sets.complete(noise)
        sets.is_beginning(noise)
        found = read_sequence(noise, codec)
    except ValueError:
        return
    assert 0 < found.width <= 16_384
    assert 0 < found.height <= 16_384


@given(st.integers(0, 60), st.integers(0, 7))
@settings(max_examples=300, deadline=None)
def test_a_set_that_is_cut_short_or_damaged_is_never_an_endless_loop(cut: int, bit: int) -> None:
    for encoder, size, options, _ in (STREAMS[5], STREAMS[7], STREAMS[9]):
        data = bytearray(stream(encoder, size, options)[:200])
        data[cut] ^= 1 << bit
        sets = ParameterSets("h264" if encoder == "libx264" else "hevc")
        for damaged in (bytes(data), bytes(data[:cut])):
            with contextlib.suppress(ValueError):
                sets.learn(damaged)


# --- the order of decoding


def placed(order: DecodingOrder, shown: list[int]) -> list[tuple[int, int]]:
    return [order.place(number * STEP) for number in shown]


PYRAMID = [0, *(base + at for base in range(0, 40, 4) for at in (4, 2, 1, 3))]


@pytest.mark.parametrize(("shown", "depth"), [(list(range(40)), 0), (PYRAMID, 2), (PYRAMID, 3)])
def test_decoding_times_rise_and_never_pass_showing_times(shown: list[int], depth: int) -> None:
    order = DecodingOrder(STEP)
    order.tell(depth)
    times = placed(order, shown)
    assert [pts for pts, _ in times] == [number * STEP for number in shown], "showing times are the camera's"
    assert all(dts <= pts for pts, dts in times)
    # By a picture's length each: nearer to each other a clock that slides back would let them change places.
    assert all(after - before == STEP for (_, before), (_, after) in pairwise(times[2 * depth :]))
    assert all(after - before >= STEP // 2 for (_, before), (_, after) in pairwise(times))


def test_an_order_that_is_not_told_is_found_out_and_no_picture_is_left_out() -> None:
    order = DecodingOrder(STEP)
    order.tell(None)
    times = placed(order, PYRAMID)
    assert all(dts <= pts for pts, dts in times)
    assert [pts for pts, _ in times[13:]] == [number * STEP for number in PYRAMID[13:]]
    assert 2 <= order.depth <= 4


@given(st.lists(st.integers(-300, 300), max_size=60), st.sampled_from([None, 0, 1, 4]))
@settings(max_examples=300, deadline=None)
def test_no_order_of_pictures_is_too_odd(shown: list[int], depth: int | None) -> None:
    order = DecodingOrder(STEP)
    order.tell(depth)
    times = placed(order, shown)
    assert all(dts <= pts for pts, dts in times)
    near = [
        (before, after)
        for (before, after), (a, b) in zip(pairwise(times), pairwise(shown), strict=True)
        if abs(a - b) < 1
    ]
    assert all(before[1] < after[1] for before, after in near)


def test_a_clock_that_is_set_is_followed_at_once() -> None:
    order = DecodingOrder(STEP)
    order.tell(2)
    placed(order, PYRAMID)
    for pts in (10**9, 10**9 + STEP, -(10**9)):
        assert order.place(pts)[0] == pts
