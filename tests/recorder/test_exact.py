"""A clip holds exactly the pictures and the sound that were promised, in every codec and at every moment of a press.

In simulated time, so that every instant is known to the nanosecond; test_room.py does the same with threads and real time.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from edge.clock import MILLISECOND, SECOND
from edge.packet import Track
from tests.fixtures import real_footage
from tests.fixtures.room import Audio, Video, read_ticks
from tests.recorder.clips import Truth, assert_every_picture, assert_sound_beside_picture, is_forgetting, key_indices
from tests.recorder.conftest import Rooms
from tests.recorder.streams import IS_LONG, START_NS, Session, Windowed, recording
from tests.support.evidence import decoding_errors

ROOM = Truth(zero_ns=START_NS, fps=25, count=200)
REORDER_S = 0.32  # up to four B-frames, the picture that they wait for, and what the recording leads by
FORMS: list[tuple[Video, Audio | None]] = [
    ("h264", "aac"),
    ("h264-b", "aac"),
    ("h264-open", "aac"),
    ("hevc", "aac"),
    ("mjpeg", "aac"),
    ("h264", "opus"),
    ("h264-open", "opus"),
    ("h264", "pcm"),
    ("mjpeg", "pcm"),
    ("h264-b", None),
]
# Around a key frame, which comes with each whole second; then anywhere.
EDGES_NS = [0, 1, -1, 20 * MILLISECOND, 40 * MILLISECOND]


def presses(seed: int) -> list[int]:
    anywhere = random.Random(seed)
    count = 40 if IS_LONG else 1
    edges = EDGES_NS if IS_LONG else anywhere.sample(EDGES_NS, 1)
    return [START_NS + 6 * SECOND + edge for edge in edges] + [
        START_NS + anywhere.randrange(4 * SECOND, 20 * SECOND) for _ in range(count)
    ]


@pytest.mark.parametrize(("video", "audio"), FORMS)
def test_a_press_at_any_moment_keeps_every_picture_from_the_promise_to_the_end(
    rooms: Rooms, tmp_path: Path, video: Video, audio: Audio | None
) -> None:
    reorder_s = REORDER_S if video in {"h264-b", "h264-open"} else 0.0
    for number, pressed_ns in enumerate(presses(FORMS.index((video, audio)))):
        path, until_ns = tmp_path / f"{number}.mp4", pressed_ns + random.Random(number).randrange(SECOND, 2 * SECOND)
        session = Session([recording(rooms(video, audio))], has_sound=audio is not None)
        facts = session.record(path, pressed_ns=pressed_ns, until_ns=until_ns)
        floor_ns = pressed_ns - session.promise_ns
        first = min(index for index in key_indices(session.seen, ROOM) if ROOM.time_ns(index) >= floor_ns)
        frames = assert_every_picture(path, ROOM, first=first, until_ns=until_ns, reorder_s=reorder_s)
        assert [line for line in decoding_errors(path).splitlines() if not is_forgetting(line, video)] == []
        assert facts.picture_frames == len(frames)
        assert facts.pre_roll_delivered_ms == (pressed_ns - ROOM.time_ns(first)) // MILLISECOND
        assert (facts.picture_gaps_ms, facts.sound_gaps_ms, facts.frames_dropped) == ((), (), 0)
        if audio is not None:
            assert_sound_beside_picture(path, ROOM, first=first, until_ns=until_ns, has_seam=audio != "aac")
            assert facts.sound_offset_ms is not None
            assert facts.sound_offset_ms < 20


@pytest.mark.parametrize("video", ["h264", "h264-b", "h264-open"])
def test_a_press_right_after_the_start_keeps_all_there_was(rooms: Rooms, tmp_path: Path, video: Video) -> None:
    path, pressed_ns = tmp_path / "clip.mp4", START_NS + 500 * MILLISECOND
    session = Session([recording(rooms(video, "aac"))])
    facts = session.record(path, pressed_ns=pressed_ns, until_ns=pressed_ns + 2 * SECOND)
    assert decoding_errors(path) == ""
    assert facts.pre_roll_delivered_ms == (pressed_ns - session.seen[0].pts_ns) // MILLISECOND
    pictures = [packet for packet in session.seen if packet.track is Track.PICTURE]
    assert facts.picture_frames == sum(packet.dts_ns < pressed_ns + 2 * SECOND for packet in pictures)


@pytest.mark.parametrize(
    "form",
    [
        (25, 25, 5, 48_000),
        (7, 7, 3, 16_000),
        (30, 50, 3, 44_100),
        (15, 1, 7, 48_000),
        (3, 6, 4, 8_000),
        (25, 75, 3, 48_000),
    ],
)
def test_recordings_of_odd_lengths_and_rates_loop_without_a_seam(
    rooms: Rooms, tmp_path: Path, form: tuple[int, int, int, int]
) -> None:
    """Sound that is no whole number of AAC packets, key frames that do not divide the length, slow and fast pictures."""
    fps, gop, seconds, rate = form
    truth = Truth(zero_ns=START_NS, fps=fps, count=seconds * fps)
    for video in ("h264", "h264-b"):
        if video == "h264-b" and (gop < 8 or fps < 15):
            continue  # too short for B-frames
        path, pressed_ns = tmp_path / f"{video}.mp4", START_NS + 11 * SECOND + 330 * MILLISECOND
        until_ns = pressed_ns + 4 * SECOND
        session = Session([recording(rooms(video, "aac", seconds=seconds, fps=fps, gop=gop, rate=rate))], promise_s=4)
        facts = session.record(path, pressed_ns=pressed_ns, until_ns=until_ns)
        floor_ns = pressed_ns - session.promise_ns
        first = min(index for index in key_indices(session.seen, truth) if truth.time_ns(index) >= floor_ns)
        assert_every_picture(
            path, truth, first=first, until_ns=until_ns, reorder_s=REORDER_S if video == "h264-b" else 0
        )
        assert_sound_beside_picture(path, truth, first=first, until_ns=until_ns, has_seam=True)
        assert decoding_errors(path) == ""
        assert (facts.picture_gaps_ms, facts.frames_dropped) == ((), 0)


# Seconds after the microphone's opening in which it is silent; the clip holds 4.0 to 9.6 or so.
MICROPHONES = {
    "starts five seconds late": [(0.0, 5.013)],
    "dies in the middle": [(7.31, 60.0)],
    "comes back": [(5.31, 7.45)],
    "stutters": [(4.73, 5.21), (5.73, 6.21), (7.31, 7.43)],
}


@pytest.mark.parametrize("video", ["h264", "h264-b"])
@pytest.mark.parametrize("habit", MICROPHONES)
def test_a_microphone_of_its_own_may_fail_and_what_is_heard_stays_beside_the_picture(
    rooms: Rooms, tmp_path: Path, habit: str, video: Video
) -> None:
    path, pressed_ns = tmp_path / "clip.mp4", START_NS + 6 * SECOND + 330 * MILLISECOND
    until_ns = pressed_ns + 3 * SECOND + 250 * MILLISECOND
    microphone = Windowed(recording(rooms("h264", "aac"), [Track.SOUND]), silent=MICROPHONES[habit])
    session = Session([recording(rooms(video, "aac"), [Track.PICTURE]), microphone])
    facts = session.record(path, pressed_ns=pressed_ns, until_ns=until_ns)
    assert decoding_errors(path) == ""
    frames = assert_every_picture(path, ROOM, first=100, until_ns=until_ns, reorder_s=REORDER_S)
    assert facts.picture_frames == len(frames)
    start_s, end_s = 4.0, (until_ns - START_NS) / SECOND
    gaps = [(max(start, start_s), min(end, end_s)) for start, end in MICROPHONES[habit]]
    assert_sound_beside_picture(path, ROOM, first=100, until_ns=until_ns, silent_s=gaps)
    for told, (start, end) in zip(facts.sound_gaps_ms, gaps, strict=True):
        assert told == pytest.approx(((start - start_s) * 1000, (end - start) * 1000), abs=120)


def test_a_microphone_that_never_speaks_is_silence_from_beginning_to_end(rooms: Rooms, tmp_path: Path) -> None:
    path, pressed_ns = tmp_path / "clip.mp4", START_NS + 6 * SECOND + 330 * MILLISECOND
    until_ns = pressed_ns + 2 * SECOND
    session = Session([recording(rooms("h264-b", "aac"), [Track.PICTURE])])
    facts = session.record(path, pressed_ns=pressed_ns, until_ns=until_ns)
    assert decoding_errors(path) == ""
    assert_every_picture(path, ROOM, first=100, until_ns=until_ns, reorder_s=REORDER_S)
    assert read_ticks(path) == []
    (gap,) = facts.sound_gaps_ms
    assert gap == pytest.approx((0, 4_330), abs=30)


@pytest.mark.parametrize("name", sorted(real_footage.clips()))
def test_real_footage_loops_and_decodes(tmp_path: Path, name: str) -> None:
    source = real_footage.clips()[name]
    session = Session([recording(source)], promise_s=4)
    path, pressed_ns = tmp_path / "clip.mp4", START_NS + 13 * SECOND
    until_ns = pressed_ns + 9 * SECOND
    facts = session.record(path, pressed_ns=pressed_ns, until_ns=until_ns)
    assert decoding_errors(path) == ""
    pictures = [packet for packet in session.seen if packet.track is Track.PICTURE]
    begun = [packet.pts_ns for packet in pictures if packet.is_key and packet.pts_ns >= pressed_ns - session.promise_ns]
    wanted = [packet for packet in pictures if packet.pts_ns >= min(begun) and packet.dts_ns < until_ns]
    assert facts.picture_frames == len(wanted) == decoded_pictures(path)
    assert facts.picture_gaps_ms == ()


def decoded_pictures(path: Path) -> int:
    import av

    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))
