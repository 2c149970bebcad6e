"""A real file system of a few megabytes, filled to its last byte: ext4 in a file, a tmpfs where loops are not allowed."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge.clock import SECOND
from edge.durable import Disk
from edge.vault import passes, process
from edge.vault.keeper import Keeper
from edge.vault.purge import purge
from tests.vault.support import (
    CLIP,
    HOUR,
    Recorder,
    SimClock,
    assert_ledger,
    birth,
    close,
    config,
    is_kept,
    make_clip,
    open_keeper,
    segment,
)

OLD = "20261118T085320Z-abcd"
SIZE_MB = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallDisk:
    """A mounted file system; `image` is None for a tmpfs."""

    root: Path
    image: Path | None

    def mount(self) -> str:
        """Mount it; what went wrong, or nothing."""
        loop = ["-o", "loop", str(self.image)]
        tmpfs = ["-t", "tmpfs", "-o", f"size={SIZE_MB}m", "tmpfs"]
        command = ["mount", *(tmpfs if self.image is None else loop), str(self.root)]
        return subprocess.run(command, capture_output=True, text=True, check=False).stderr.strip()

    def unmount(self) -> None:
        for option in ([], ["--lazy"]):  # lazily when a failed test still holds a file
            if not subprocess.run(["umount", *option, str(self.root)], capture_output=True, check=False).returncode:
                return

    def pull_out_and_put_back(self) -> None:
        """What is on ext4 then was on its disk, not only in memory; of a tmpfs nothing would be left."""
        if self.image is not None:
            subprocess.run(["umount", str(self.root)], check=True)
            assert self.mount() == ""

    @property
    def filler(self) -> Path:
        return self.root / "filler"

    def fill(self) -> None:
        """To the last byte."""
        with self.filler.open("ab", buffering=0) as file:
            for size in (1024 * 1024, 4096, 1):
                with contextlib.suppress(OSError):
                    while file.write(bytes(size)) == size:
                        pass


@pytest.fixture
def small(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[SmallDisk]:
    if os.geteuid() != 0:
        pytest.skip(in_private_mount(request.node.nodeid))
    root, image = tmp_path / "small", tmp_path / "image"
    root.mkdir()
    with image.open("wb") as file:
        file.truncate(SIZE_MB * 1024 * 1024)
    is_made = shutil.which("mkfs.ext4") and not subprocess.run(["mkfs.ext4", "-q", str(image)], check=False).returncode
    disk = SmallDisk(root=root, image=image if is_made else None)
    if disk.mount():
        disk = SmallDisk(root=root, image=None)
        if why := disk.mount():
            pytest.skip(f"no file system can be mounted here: {why}")
    try:
        yield disk
    finally:
        disk.unmount()


def in_private_mount(test: str) -> str:
    """Run the test as root of a namespace of its own; that it passed there, or why there is none. Fails when it fails."""
    enter = ["unshare", "--map-root-user", "--mount"]
    if not shutil.which("unshare") or subprocess.run([*enter, "true"], capture_output=True, check=False).returncode:
        return "mounting needs root, or a namespace of its own"
    command = [*enter, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    return "passed, or skipped with its reason, in a private mount"


def faults(keeper: Keeper) -> set[str]:
    passes.pass_through(keeper)
    return {fault.code for fault in keeper.status().faults}


def fill_with_segments(recorder: Recorder) -> list[bytes]:
    """Segments until one is not acknowledged; those that were."""
    safe: list[bytes] = []
    seeded = random.Random(1)
    while True:
        payload = seeded.randbytes(300_000)
        answer = recorder.tell(segment(len(safe)), payload)
        if not answer.is_durable:
            assert not answer.is_final, "the recorder would not tell it again"
            return safe
        safe.append(payload)


def stored(small: SmallDisk, count: int) -> list[bytes]:
    return [(small.root / "store" / "clips" / CLIP / f"{number:04d}.age").read_bytes() for number in range(count)]


@pytest.mark.parametrize("by", ["vault", "purge"])
def test_a_disk_filled_to_its_last_byte_in_a_clip_loses_nothing_and_frees_itself(small: SmallDisk, by: str) -> None:
    clock = SimClock()
    keeper = open_keeper(small.root, clock)
    make_clip(keeper, clock, clip=OLD, segments=1, closed=False)
    for number in range(1, 6):
        Recorder(keeper).must(segment(number, clip=OLD), bytes([number]) * 300_000)
    Recorder(keeper).must(close(6, clip=OLD))
    passes.pass_through(keeper)
    clock.advance(71 * HOUR)
    small.filler.write_bytes(bytes(8 * 1024 * 1024))

    recorder = Recorder(keeper)
    recorder.must(birth(clock))
    safe = fill_with_segments(recorder)
    small.fill()
    late = b"what the recorder holds in RAM meanwhile" * 1000
    assert not recorder.tell(segment(len(safe)), late).is_durable
    assert "low-space" in faults(keeper), "full during a clip, and no fault"
    recorder.hang_up()
    keeper.stop()
    small.pull_out_and_put_back()
    assert stored(small, len(safe)) == safe
    assert not list(small.root.rglob("*.age.tmp"))

    keeper = open_keeper(small.root, clock)
    assert "low-space" in faults(keeper), "full while idle, and no fault"
    clock.advance(HOUR)
    if by == "vault":
        passes.tick(keeper)
    else:
        assert purge(config(small.root), clock=clock).deleted == (OLD,)
    assert not is_kept(small.root, OLD)
    assert_ledger(small.root)
    book = (small.root / "store" / "ledger.jsonl").read_bytes()
    assert all(f'"action":"{action}","object":"{OLD}"'.encode() in book for action in ("clip-delete", "clip-deleted"))

    recorder = Recorder(keeper)
    recorder.must(segment(len(safe)), late)
    recorder.must(close(len(safe) + 1))
    small.filler.unlink()
    clock.advance(61 * SECOND)
    passes.tick(keeper)
    assert not faults(keeper) & {"low-space", "ledger", "ledger-reserve", "counter", "delete-failed"}
    keeper.stop()
    small.pull_out_and_put_back()
    assert stored(small, len(safe) + 1) == [*safe, late]
    assert_ledger(small.root)


def test_a_disk_full_before_the_vault_starts_still_loses_its_expired_clips(small: SmallDisk) -> None:
    clock = SimClock()
    keeper = open_keeper(small.root, clock)
    passes.pass_through(keeper)
    make_clip(keeper, clock, clip=OLD)
    keeper.stop()
    small.fill()
    with (small.root / "store" / "ledger.jsonl").open("ab") as file:
        file.write(b'{"seq":')  # what a power cut left, in the slack of the last block
    clock.advance(72 * HOUR)
    clock.reboot()
    keeper = process.open_keeper(config(small.root), clock, Disk(), None)
    assert faults(keeper) & {"low-space", "ledger-reserve"}
    assert not is_kept(small.root, OLD)
    assert_ledger(small.root)
    keeper.stop()
