from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TypeVar

import pytest

from edge.clock import SystemClock
from edge.durable import Disk
from edge.errors import StoreError, StoreFull
from tests.vault.support import SimClock

T = TypeVar("T")


class ShortDisk(Disk):
    """Writes half of what is asked, then has no space."""

    writes = 0

    def effect(self, what: str, path: Path, call: Callable[[], T]) -> T:
        if what == "write":
            self.writes += 1
            if self.writes == 2:
                return super().effect(what, path, full)
        return super().effect(what, path, call)


def full() -> NoReturn:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_new_file_is_whole_and_private_and_replaces_nothing(tmp_path: Path) -> None:
    file = tmp_path / "a"
    Disk().create(file, memoryview(bytes(3_000_000)))
    assert file.read_bytes() == bytes(3_000_000)
    assert file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(StoreError, match="File exists"):
        Disk().create(file, b"other")
    assert file.read_bytes() == bytes(3_000_000)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_what_does_not_fit_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(StoreFull):
        ShortDisk().create(tmp_path / "a", bytes(3_000_000))
    assert list(tmp_path.iterdir()) == []


def test_an_addition_that_does_not_fit_is_cut_off_again(tmp_path: Path) -> None:
    file = tmp_path / "log"
    Disk().append(file, b"first\n")
    with pytest.raises(StoreFull):
        ShortDisk().append(file, bytes(3_000_000))
    assert file.read_bytes() == b"first\n"
    assert Disk().append(file, b"second\n") == 6


def test_replacing_leaves_the_old_file_when_it_fails(tmp_path: Path) -> None:
    file = tmp_path / "state"
    Disk().replace(file, b"old")
    with pytest.raises(StoreFull):
        ShortDisk().replace(file, bytes(3_000_000))
    assert file.read_bytes() == b"old"
    Disk().replace(file, b"new")
    assert file.read_bytes() == b"new"


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"untouched")
    (tmp_path / "log").symlink_to(tmp_path / "victim")
    with pytest.raises(StoreError):
        Disk().append(tmp_path / "log", b"more")
    assert (tmp_path / "victim").read_bytes() == b"untouched"


def test_one_holds_a_lock_and_the_other_is_told_after_its_patience(tmp_path: Path) -> None:
    clock = SimClock()
    with Disk().locked(tmp_path / "lock", SystemClock()) as first:
        assert first
        begun_ns = clock.boot_ns()
        with Disk().locked(tmp_path / "lock", clock, patience_s=10.0) as second:
            assert not second
        assert 9_900_000_000 <= clock.boot_ns() - begun_ns <= 10_100_000_000
    with Disk().locked(tmp_path / "lock", clock) as third:
        assert third
