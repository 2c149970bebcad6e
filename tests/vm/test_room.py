"""A whole room on the kernel's devices: what the officer opens outside is what the camera saw and the microphone heard."""

from __future__ import annotations

import io
import itertools
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import av
import numpy as np
import pytest

from tests.support import evidence
from tests.vm.image import Image
from tests.vm.machine import new_machine
from tests.vm.room import VIVID, Room, clip_of

pytestmark = pytest.mark.vm

TONE_HZ: Final = 440


@pytest.fixture
def room(product: Image, tmp_path: Path) -> Iterator[Room]:
    """A room in which a tone is played, that was just switched on."""
    with new_machine(product) as machine:
        machine.start()
        room = Room(machine, tmp_path)
        machine.put(tone(60), "/run/tone.wav")
        room.play("/run/tone.wav")
        room.watch()
        room.furnish(camera=VIVID, width=320, height=180, fps=5, microphone="in_ring", ring_s=10)
        yield room


def test_a_press_calls_for_help_and_the_clip_shows_the_picture_and_the_tone(room: Room, tmp_path: Path) -> None:
    seen = room.wait(
        lambda seen: (
            (recorder := seen["recorder"]) and recorder["state"] == "listening" and recorder["ring"]["seconds"] > 4
        ),
        what="four seconds in RAM",
    )
    assert seen["recorder"]["ring"]["is_locked"]
    assert not room.is_high("alarm")
    assert room.is_high("lamp_resident"), "the resident sees that the camera is on"

    room.press()
    assert room.is_high("alarm")
    seen = room.wait(lambda seen: (clip := clip_of(seen)) and clip["segments_safe"] > 4, what="five safe segments")
    assert seen["recorder"]["state"] == "recording"
    assert clip_of(seen)["pre_roll_safe_ns"] is not None
    room.reset()
    seen = room.wait(lambda seen: (clip := clip_of(seen)) and clip["safe_ns"], what="the whole clip")
    assert seen["recorder"]["write_bytes"] == 0
    room.wait_state("listening")
    assert not room.is_high("alarm")

    store = room.store(tmp_path / "store")
    (clip,) = evidence.folders(store)
    assert evidence.record(clip, "manifest.json")
    opened = evidence.opened_file(clip, room.key, tmp_path)
    assert evidence.decoding_errors(opened, is_steady=False) == ""
    assert set(evidence.streams(opened)) == {"video", "audio"}
    assert_colour_bars(opened)
    assert evidence.dominant_hz(opened) == pytest.approx(TONE_HZ, abs=3)


def tone(seconds: int) -> bytes:
    samples = np.sin(2 * np.pi * TONE_HZ * np.arange(seconds * 48_000) / 48_000) * 8000
    made = io.BytesIO()
    with wave.open(made, "wb") as file:
        file.setparams((1, 2, 48_000, 0, "NONE", ""))
        file.writeframes(samples.astype("<i2").tobytes())
    return made.getvalue()


def assert_colour_bars(path: Path) -> None:
    """The bars that vivid draws, from light to dark, as they go by: where one ends on the right it begins on the left."""
    bars = [(1, 1, 1), (1, 1, 0), (0, 1, 1), (0, 1, 0), (1, 0, 1), (1, 0, 0), (0, 0, 1), (0, 0, 0)]
    with av.open(str(path)) as clip:
        frames = [frame.to_ndarray(format="rgb24") for frame in clip.decode(video=0)]
    assert len(frames) > 10
    line = frames[len(frames) // 2][-20]  # below what vivid writes into its picture
    colours = [tuple(map(int, pixel > 100)) for pixel in line]
    runs = [
        colour for colour, run in itertools.groupby(colours) if len(list(run)) > len(line) // 64
    ]  # not an edge's blur
    if runs[0] == runs[-1]:
        runs.pop()
    first = runs.index(bars[0])
    assert runs[first:] + runs[:first] == bars
