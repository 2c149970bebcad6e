"""Recorded rooms in every form that the recorder must take, made once a session."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.fixtures.room import Audio, Video, write_room

Rooms: TypeAlias = Callable[..., Path]


@pytest.fixture(scope="session")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Rooms:
    """`rooms(video, audio, ...)` is the path of such a recording: 8 s of 25 pictures, a key frame a second."""
    folder = tmp_path_factory.mktemp("rooms")

    @cache
    def made(
        video: Video = "h264",
        audio: Audio | None = "aac",
        *,
        seconds: int = 8,
        fps: int = 25,
        gop: int = 25,
        size: tuple[int, int] = (320, 180),
        rate: int = 48_000,
    ) -> Path:
        name = f"{video}-{audio}-{seconds}s-{fps}-{gop}-{size[0]}-{rate}"
        path = folder / f"{name}{'.mkv' if audio == 'pcm' else '.mp4'}"
        write_room(path, video=video, audio=audio, seconds=seconds, fps=fps, gop=gop, size=size, rate=rate)
        return path

    return made
