"""What a clip must be: every picture from the first to the last at its own time, its sound beside it, nothing for a player to object to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge.clock import MILLISECOND, SECOND
from edge.packet import Packet, Track
from tests.fixtures.room import Frame, Video, av_offsets, read_frames

NEAR_S = 0.020  # how far sound and picture may lie apart


@dataclass(frozen=True, slots=True)
class Truth:
    """What the room looked like: picture `n` since `zero_ns` was seen at `zero_ns + n / fps`."""

    zero_ns: int
    fps: int
    count: int  # pictures in one round of the recording

    def time_ns(self, index: int) -> int:
        return self.zero_ns + index * SECOND // self.fps

    def first_not_before(self, at_ns: int) -> int:
        return -(-(at_ns - self.zero_ns) * self.fps // SECOND)


def is_forgetting(line: str, video: Video) -> bool:
    """The picture after an open group's start may say to forget one of those that were left out. It costs no picture."""
    return video == "h264-open" and line.endswith("mmco: unref short failure")


def key_indices(seen: Sequence[Packet], truth: Truth) -> list[int]:
    """Which pictures can be decoded without another one."""
    keys = [packet for packet in seen if packet.track is Track.PICTURE and packet.is_key]
    return [round((packet.pts_ns - truth.zero_ns) * truth.fps / SECOND) for packet in keys]


def assert_every_picture(path: Path, truth: Truth, *, first: int, until_ns: int, reorder_s: float = 0.0) -> list[Frame]:
    """Pictures from `first` to the end at `until_ns`, each once and at its own time; behind it only what decoding needed."""
    frames = read_frames(path)
    ends = truth.first_not_before(until_ns)
    indices = [first + round((frame.pts_s - frames[0].pts_s) * truth.fps) for frame in frames]
    assert [frame.number for frame in frames] == [index % truth.count for index in indices]
    wanted = [(truth.time_ns(index) - truth.time_ns(first)) / SECOND for index in indices]
    assert [frame.pts_s - frames[0].pts_s for frame in frames] == pytest.approx(wanted, abs=2e-5)
    assert [index for index in indices if index < ends] == list(range(first, ends))
    behind = [index for index in indices if index >= ends]
    assert behind == sorted(set(behind))
    assert all(truth.time_ns(index) < until_ns + reorder_s * SECOND for index in behind)
    return frames


def assert_sound_beside_picture(
    path: Path,
    truth: Truth,
    *,
    first: int,
    until_ns: int,
    silent_s: Sequence[tuple[float, float]] = (),
    has_seam: bool = False,
) -> None:
    """Every tick that was heard is there, within 20 ms of its picture. `silent_s`: seconds since zero without sound.

    `has_seam`: this sound does not close upon itself, so that the tick at the start of each round is cut in two.
    """
    offsets = av_offsets(path, fps=truth.fps)
    start_ns, edge_ns = truth.time_ns(first), 60 * MILLISECOND  # the first packet of AAC fades in
    whole = [
        second
        for second in range((start_ns - truth.zero_ns) // SECOND, (until_ns - truth.zero_ns) // SECOND + 1)
        if start_ns + edge_ns <= truth.zero_ns + second * SECOND <= until_ns - edge_ns
        and not (has_seam and second * truth.fps % truth.count == 0)
        and not any(start - 0.05 <= second <= end + 0.05 for start, end in silent_s)
    ]
    assert whole, "the clip is too short to tell"
    assert len(whole) <= len(offsets) <= len(whole) + 2 + 2 * len(silent_s) + 4 * has_seam, f"{offsets} for {whole}"
    assert max(abs(offset) for offset in offsets) < NEAR_S
