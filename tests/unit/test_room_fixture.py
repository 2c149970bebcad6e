"""The drawn room says exactly which frames and ticks a file holds, in every codec; and it notices what is wrong."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.fixtures import real_footage
from tests.fixtures.make_room import ROOM
from tests.fixtures.room import (
    TICK_S,
    Audio,
    Tick,
    UnreadableFrameError,
    Video,
    av_offsets,
    read_bar,
    read_frames,
    read_ticks,
    room_frame,
    room_sound,
    write_room,
)

FPS = 25


def packets(path: Path, kind: str) -> list[av.Packet[Any]]:
    with av.open(str(path)) as container:
        return [packet for packet in container.demux(container.streams.get({kind: 0})) if packet.size]


def remux(source: Path, target: Path, *, sound_delay_s: float = 0.0, hole_s: tuple[float, float] = (0.0, 0.0)) -> None:
    """Copy `source`, with its sound later by `sound_delay_s` and without the sound packets that begin inside `hole_s`."""
    with av.open(str(source)) as given, av.open(str(target), "w") as made:
        streams = {stream.index: made.add_stream_from_template(stream) for stream in given.streams}
        for packet in given.demux():
            if not packet.size or packet.pts is None or packet.dts is None:
                continue
            if packet.stream.type == "audio":
                if hole_s[0] <= packet.pts * packet.time_base < hole_s[1]:
                    continue
                delay = round(sound_delay_s / packet.time_base)
                packet.pts += delay
                packet.dts += delay
            packet.stream = streams[packet.stream.index]
            made.mux(packet)


@pytest.mark.parametrize(
    ("video", "suffix"),
    [
        ("h264", ".mp4"),
        ("h264-b", ".mp4"),
        ("h264-open", ".mp4"),
        ("h264-open", ".mkv"),
        ("hevc", ".mp4"),
        ("mjpeg", ".mov"),
        ("mjpeg", ".mp4"),
    ],
)
def test_every_frame_is_read_back_in_order_and_at_its_time(tmp_path: Path, video: Video, suffix: str) -> None:
    path = tmp_path / f"room{suffix}"
    write_room(path, video=video, audio=None, seconds=3, size=(320, 180))
    frames = read_frames(path)
    assert [frame.number for frame in frames] == list(range(3 * FPS))
    assert [frame.pts_s for frame in frames] == pytest.approx([number / FPS for number in range(3 * FPS)], abs=1e-6)


@pytest.mark.parametrize(
    ("audio", "suffix"),
    [("aac", ".mp4"), ("aac", ".mkv"), ("opus", ".mp4"), ("opus", ".mkv"), ("pcm", ".mov"), ("pcm", ".mkv")],
)
def test_every_tick_is_heard_within_two_milliseconds_of_its_frame(tmp_path: Path, audio: Audio, suffix: str) -> None:
    path = tmp_path / f"room{suffix}"
    write_room(path, audio=audio, seconds=6, size=(320, 180))
    ticks = read_ticks(path)
    assert [tick.second for tick in ticks] == list(range(6))
    assert [tick.time_s for tick in ticks] == pytest.approx(range(6), abs=0.002)
    assert av_offsets(path) == pytest.approx([0.0] * 6, abs=0.002)


def test_a_slower_microphone_and_another_frame_rate_read_as_well(tmp_path: Path) -> None:
    path = tmp_path / "room.mp4"
    write_room(path, seconds=4, fps=15, size=(1280, 720), rate=16_000, gop=30)
    assert [frame.number for frame in read_frames(path)] == list(range(60))
    assert av_offsets(path, fps=15) == pytest.approx([0.0] * 4, abs=0.002)


@pytest.mark.parametrize(
    ("video", "reorders", "leads"), [("h264", False, False), ("h264-b", True, False), ("h264-open", True, True)]
)
def test_the_three_kinds_of_h264_differ_as_their_names_say(
    tmp_path: Path, video: Video, reorders: bool, leads: bool
) -> None:
    path = tmp_path / "room.mp4"
    write_room(path, video=video, audio=None, seconds=4, size=(320, 180))
    sent = packets(path, "video")
    times = [packet.pts or 0 for packet in sent]
    keys = [index for index, packet in enumerate(sent) if packet.is_keyframe]
    assert len(keys) == 4
    assert (times != sorted(times)) is reorders
    # Leading pictures: sent after a key frame, shown before it.
    assert any(times[after] < times[key] for key in keys for after in range(key + 1, len(sent))) is leads


def test_a_constant_bit_rate_is_filled(tmp_path: Path) -> None:
    path = tmp_path / "room.mp4"
    write_room(path, audio=None, seconds=4, kbit_s=2000)
    assert path.stat().st_size * 8 / 4000 == pytest.approx(2000, rel=0.1)


def test_the_sound_loops_without_a_seam(tmp_path: Path) -> None:
    """Played a second time, without the packet before time 0, each sample is as near to what was meant as in the first round."""
    rate, seconds = 48_000, 16
    path = tmp_path / "room.mp4"
    write_room(path, seconds=seconds, size=(320, 180))
    sent = packets(path, "audio")
    first = next(index for index, packet in enumerate(sent) if packet.pts == 0)
    assert first == 1
    assert len(sent) - first == seconds * rate // 1024
    with av.open(str(path)) as container:
        decoder = container.streams.audio[0].codec_context
        # Both rounds through one decoder, as a player hears them; the packet before time 0 only fills its first half.
        heard = [frame.to_ndarray()[0] for packet in sent + sent[first:] for frame in decoder.decode(packet)]
    samples = np.concatenate(heard)[-2 * seconds * rate :]
    meant = np.tile(room_sound(seconds=seconds, rate=rate), 2)
    error = np.abs(samples - meant)
    seam = seconds * rate
    usual = max(error[second * rate : second * rate + 1024].max() for second in range(1, seconds))
    assert error[seam - 1024 : seam + 1024].max() <= 1.5 * usual


@pytest.mark.parametrize("delay_s", [-0.03, 0.03, 0.25])
def test_sound_that_is_late_or_early_is_measured(tmp_path: Path, delay_s: float) -> None:
    right, wrong = tmp_path / "right.mkv", tmp_path / "wrong.mkv"
    write_room(right, audio="pcm", seconds=4, size=(320, 180))
    remux(right, wrong, sound_delay_s=delay_s)
    offsets = av_offsets(wrong)
    assert len(offsets) >= 3
    assert offsets == pytest.approx([delay_s] * len(offsets), abs=0.002)


def test_ticks_after_a_hole_stay_at_their_time(tmp_path: Path) -> None:
    right, holed = tmp_path / "right.mkv", tmp_path / "holed.mkv"
    write_room(right, audio="pcm", seconds=5, size=(320, 180))
    remux(right, holed, hole_s=(1.5, 3.3))
    ticks = read_ticks(holed)
    assert [tick.second for tick in ticks] == [0, 1, 4]
    assert ticks[-1].time_s == pytest.approx(4.0, abs=0.002)


def write_pcm(path: Path, *pieces: tuple[float, NDArray[np.float32]]) -> None:
    """Write sound of 48 kHz that consists of these pieces, each at its time in seconds."""
    with av.open(str(path), "w") as container:
        track = container.add_stream("pcm_s16le", rate=48_000, layout="mono")
        for time_s, samples in pieces:
            frame = av.AudioFrame.from_ndarray((samples * 32767).astype(np.int16)[np.newaxis], "s16", "mono")
            frame.sample_rate, frame.pts, frame.time_base = 48_000, round(time_s * 48_000), Fraction(1, 48_000)
            container.mux(track.encode(frame))
        container.mux(track.encode(None))


def test_a_tick_that_is_cut_short_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "short.mkv"
    write_pcm(path, (0.0, room_sound(seconds=2, rate=48_000)[: 48_000 + round(48_000 * TICK_S / 2)]))
    assert read_ticks(path) == [Tick(time_s=0.0, second=0)]


def test_two_halves_of_a_tick_with_a_hole_between_are_not_joined(tmp_path: Path) -> None:
    path = tmp_path / "halves.mkv"
    sound, half = room_sound(seconds=1, rate=48_000), round(48_000 * TICK_S / 2)
    write_pcm(path, (0.0, sound[:half]), (0.5, sound[half:]))
    assert read_ticks(path) == []


def test_silence_and_noise_hold_no_ticks(tmp_path: Path) -> None:
    path = tmp_path / "noise.mkv"
    noise = np.random.default_rng(1).uniform(-0.3, 0.3, 48_000).astype(np.float32)
    write_pcm(path, (0.0, np.zeros(48_000, dtype=np.float32)), (1.0, noise))
    assert read_ticks(path) == []


def test_blended_frames_are_refused_not_guessed() -> None:
    this, that = (room_frame(number, count=400, fps=FPS, size=(320, 180)).mean(axis=2) for number in (7, 8))
    assert read_bar(this.astype(np.uint8)) == 7
    with pytest.raises(UnreadableFrameError, match="bit 3"):
        read_bar(((this + that) / 2).astype(np.uint8))


def test_footage_of_something_else_is_refused_with_its_time() -> None:
    with pytest.raises(UnreadableFrameError, match=r"bikes\.mp4: frame at 0\.000 s"):
        read_frames(real_footage.clips()["bikes"])


def test_more_frames_than_the_bar_code_can_number_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="number"):
        write_room(tmp_path / "room.mp4", seconds=3000)
    assert list(tmp_path.iterdir()) == []


def test_the_committed_recording_is_whole_and_small() -> None:
    assert ROOM.stat().st_size < 1_500_000
    assert [frame.number for frame in read_frames(ROOM)] == list(range(400))
    assert av_offsets(ROOM) == pytest.approx([0.0] * 16, abs=0.001)
    assert len(packets(ROOM, "audio")) == 751


def test_real_footage_is_there_and_is_h264() -> None:
    clips = real_footage.clips()
    assert {"bigbuckbunny", "bikes"} <= set(clips)
    for path in clips.values():
        with av.open(str(path)) as container:
            assert container.streams.video[0].codec_context.name == "h264"
            assert next(container.decode(video=0)).width > 0
