"""Space is owned before it is needed, given back as a clip comes in, and taken again when the room is calm."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.durable import Disk
from edge.errors import StoreFull
from edge.vault import passes, process
from edge.vault.keeper import Keeper
from edge.vault.reserve import SLACK_BYTES, Reserve
from tests.vault.support import CLIP, Recorder, SimClock, birth, close, config, make_clip, segment

MB = 1_000_000
WANTED = 60 * MB  # one clip of a minute


class DiskOf(Disk):
    """A disk with this much room for the reserve and what is beside it."""

    def __init__(self, size: int) -> None:
        self.size = size

    def free_bytes(self, path: Path) -> int:
        return self.size - (owned(path / "clips.reserve") if (path / "clips.reserve").exists() else 0)


def owned(path: Path) -> int:
    """Bytes of the disk that a file really has."""
    return path.stat().st_blocks * 512


def open_keeper(root: Path, disk: Disk | None = None) -> Keeper:
    settings = config(root, reserve_clips=1)
    settings = settings.model_copy(update={"clip": settings.clip.model_copy(update={"max_minutes": 1})})
    return process.open_keeper(settings, SimClock(), Disk() if disk is None else disk, None)


def faults(keeper: Keeper) -> set[str]:
    return {fault.code for fault in keeper.status().faults}


def test_a_calm_vault_owns_the_space_of_the_next_clips(tmp_path: Path) -> None:
    keeper = open_keeper(tmp_path)
    passes.pass_through(keeper)
    file = tmp_path / "store" / "clips.reserve"
    assert file.stat().st_size == WANTED
    assert owned(file) >= WANTED
    assert keeper.status().reserved_bytes == keeper.status().reserve_wanted_bytes == WANTED
    assert "low-space" not in faults(keeper)
    assert open_keeper(tmp_path).status().reserved_bytes == WANTED, "a restart finds it again"


def test_each_segment_is_written_into_space_given_back_for_it(tmp_path: Path) -> None:
    keeper = open_keeper(tmp_path)
    passes.pass_through(keeper)
    recorder = Recorder(keeper)
    recorder.must(birth(SimClock()))
    file = tmp_path / "store" / "clips.reserve"
    for number in range(3):
        before = owned(file)
        payload = bytes([number]) * 2 * MB
        recorder.must(segment(number), payload)
        assert before - owned(file) == pytest.approx(2 * MB, abs=4096)
    passes.pass_through(keeper)
    assert file.stat().st_size < WANTED - 6 * MB, "not taken again while the clip comes in"
    assert "low-space" not in faults(keeper)
    recorder.must(close(3))
    passes.pass_through(keeper)
    assert file.stat().st_size == WANTED
    assert "low-space" not in faults(keeper)


def test_too_little_space_is_a_fault_while_calm_and_what_there_is_is_kept(tmp_path: Path) -> None:
    disk = DiskOf(20 * MB)
    keeper = open_keeper(tmp_path, disk)
    passes.pass_through(keeper)
    assert keeper.status().reserved_bytes == pytest.approx(20 * MB - SLACK_BYTES, abs=4096)
    (fault,) = [fault for fault in keeper.status().faults if fault.code == "low-space"]
    assert fault.detail.startswith("45 MB short")
    make_clip(keeper, SimClock())
    disk.size = 200 * MB
    passes.pass_through(keeper)
    assert keeper.status().reserved_bytes == WANTED
    assert "low-space" not in faults(keeper)


def test_a_reserve_that_cannot_be_made_is_a_fault_and_stops_no_clip(tmp_path: Path) -> None:
    class Refusing(Disk):
        def allocate(self, path: Path, size: int) -> None:
            if path.name == "clips.reserve":
                raise StoreFull(f"{path}: cannot reserve space for: No space left on device")
            super().allocate(path, size)

    keeper = open_keeper(tmp_path, Refusing())
    passes.pass_through(keeper)
    assert "low-space" in faults(keeper)
    assert "delete-failed" not in faults(keeper)
    make_clip(keeper, SimClock())
    assert keeper.clip(CLIP).state == "complete"


def test_a_smaller_wish_gives_the_rest_back_and_none_leaves_no_file(tmp_path: Path) -> None:
    file = tmp_path / "clips.reserve"
    Reserve(Disk(), file, 8 * MB).fill()
    Reserve(Disk(), file, 3 * MB).fill()
    assert owned(file) == pytest.approx(3 * MB, abs=4096)
    Reserve(Disk(), file, 0).fill()
    assert not file.exists()


def test_a_reserve_that_somebody_removed_is_made_again(tmp_path: Path) -> None:
    keeper = open_keeper(tmp_path)
    passes.pass_through(keeper)
    (tmp_path / "store" / "clips.reserve").unlink()
    passes.pass_through(keeper)
    assert owned(tmp_path / "store" / "clips.reserve") >= WANTED


def test_what_could_not_be_allocated_whole_is_as_it_was(tmp_path: Path) -> None:
    class FailingSync(Disk):
        is_failing = False

        def effect(self, what, path, call):  # type: ignore[no-untyped-def]
            if self.is_failing and what == "fsync":
                raise StoreFull("no")
            return super().effect(what, path, call)

    disk, file = FailingSync(), tmp_path / "file"
    disk.allocate(file, MB)
    disk.is_failing = True
    with pytest.raises(StoreFull):
        disk.allocate(file, 3 * MB)
    assert file.stat().st_size == MB
    with pytest.raises(StoreFull):
        disk.allocate(tmp_path / "other", MB)
    assert not (tmp_path / "other").exists()
