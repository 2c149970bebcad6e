"""A whole room on the kernel's devices: what the officer opens outside is what the camera saw and the microphone heard."""

from __future__ import annotations

import io
import wave
from pathlib import Path

import av
import numpy as np
import pytest

from tests.support import evidence
from tests.vm.whole import TONE_HZ, Room

pytestmark = pytest.mark.vm


def test_a_press_calls_for_help_and_the_clip_shows_the_picture_and_the_tone(room: Room, tmp_path: Path) -> None:
    room.machine.put(tone(60), "/srv/tone.wav")
    room.play("/srv/tone.wav")
    room.wait("recorder", 'state="listening"', "ring.seconds=>4", "ring.is_locked=true")
    assert not room.is_high("alarm")
    assert room.is_high("lamp_resident"), "the resident sees that the camera is on"

    room.use("panic", is_used=True)
    room.wait("panel", "is_alarm_on=true")
    assert room.is_high("alarm")
    room.use("panic", is_used=False)
    room.wait("recorder", 'state="recording"', "clip.pre_roll_safe_ns=>0", "clip.segments_safe=>4")
    room.use("reset", is_used=True)
    room.wait("recorder", 'state="listening"', "clip.is_open=false", "clip.safe_ns=>0")
    assert not room.is_high("alarm")

    store = room.store(tmp_path / "store")
    (clip,) = evidence.folders(store)
    assert evidence.record(clip, "manifest.json")
    opened = evidence.opened_file(clip, room.key, tmp_path)
    assert evidence.decoding_errors(opened) == ""
    assert set(evidence.streams(opened)) == {"video", "audio"}
    assert_colour_bars(opened)
    assert dominant_hz(opened) == pytest.approx(TONE_HZ, abs=3)


def tone(seconds: int) -> bytes:
    samples = np.sin(2 * np.pi * TONE_HZ * np.arange(seconds * 48_000) / 48_000) * 8000
    made = io.BytesIO()
    with wave.open(made, "wb") as file:
        file.setparams((1, 2, 48_000, 0, "NONE", ""))
        file.writeframes(samples.astype("<i2").tobytes())
    return made.getvalue()


def assert_colour_bars(path: Path) -> None:
    """The bars that vivid draws, from light to dark: white, yellow, cyan, green, magenta, red, blue, black."""
    with av.open(str(path)) as clip:
        frames = [frame.to_ndarray(format="rgb24") for frame in clip.decode(video=0)]
    assert len(frames) > 10
    line = frames[len(frames) // 2][-20]  # below what vivid writes into its picture
    bars = [line[(2 * number + 1) * len(line) // 16] > 100 for number in range(8)]
    assert [tuple(map(int, bar)) for bar in bars] == [
        *((1, 1, 1), (1, 1, 0), (0, 1, 1), (0, 1, 0), (1, 0, 1), (1, 0, 0), (0, 0, 1), (0, 0, 0)),
    ]


def dominant_hz(path: Path) -> float:
    """What is loudest in the clip's sound."""
    with av.open(str(path)) as clip:
        rate = clip.streams.audio[0].rate
        heard = np.concatenate([frame.to_ndarray()[0] for frame in clip.decode(audio=0)])
    assert np.abs(heard).max() > 0.05
    return float(np.argmax(np.abs(np.fft.rfft(heard)))) * rate / len(heard)
