from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge.desk import verify_ledger
from edge.durable import Disk
from edge.errors import StoreError, StoreFull
from edge.vault.ledger import GENESIS, RESERVE_BYTES, Action, Ledger
from edge.vault.store import Store, StoreLock
from tests.vault.support import SimClock


def open_ledger(root: Path, *, disk: Disk | None = None, clock: SimClock | None = None) -> Ledger:
    disk, clock, store = disk or Disk(), clock or SimClock(), Store(root=root)
    return Ledger(disk, store, StoreLock(disk, store, clock), clock, origin="vault")


def filled(root: Path, count: int = 6) -> Path:
    ledger = open_ledger(root)
    for number in range(count):
        ledger.append(Action.PANEL, f"incident-{number}", "press", detail={"run": "a", "number": number})
    return root / "ledger.jsonl"


def test_entries_are_chained_and_a_new_start_goes_on(tmp_path: Path) -> None:
    file = filled(tmp_path, 3)
    ledger = open_ledger(tmp_path)
    ledger.append(Action.CLIP_BORN, "x", "born", actor="officer", uid=7)
    found = verify_ledger.check(file)
    assert (found.is_ok, found.entries, found.head) == (True, 4, ledger.head)
    first, *_, last = [json.loads(line) for line in file.read_bytes().splitlines()]
    assert first["prev"] == GENESIS
    assert {"seq", "prev", "action", "object", "result", "origin", "actor", "uid", "at", "wall_ns"} <= last.keys()
    assert {"is_wall_trusted", "boot_id", "boot_ns"} <= last.keys()


def test_half_a_last_line_is_repaired_and_told(tmp_path: Path) -> None:
    file = filled(tmp_path, 3)
    half = b'{"seq":4,"prev":"' + b"x" * 100_000
    file.write_bytes(file.read_bytes() + half)
    assert not verify_ledger.check(file).is_ok
    open_ledger(tmp_path)
    assert verify_ledger.check(file).is_ok
    entry = json.loads(file.read_bytes().splitlines()[-1])
    assert (entry["action"], entry["detail"]["bytes"]) == ("ledger-repaired", len(half))


def test_a_ledger_that_is_only_half_a_line_starts_anew(tmp_path: Path) -> None:
    (tmp_path / "ledger.jsonl").write_bytes(b'{"seq"')
    open_ledger(tmp_path).append(Action.CLIP_BORN, "x", "born")
    assert verify_ledger.check(tmp_path / "ledger.jsonl").entries == 2


@pytest.mark.parametrize("half", [b"", b'{"seq":'])
def test_an_unreadable_last_line_stays_and_the_ledger_goes_on(tmp_path: Path, half: bytes) -> None:
    file = filled(tmp_path, 3)
    file.write_bytes(file.read_bytes() + b"\x00\xff rubbish\n" + half)
    for _ in range(2):
        open_ledger(tmp_path).append(Action.CLIP_BORN, "x", "born")
    found = verify_ledger.check(file)
    assert found.wrong is not None
    assert found.wrong.line == 4
    lines = file.read_bytes().splitlines()
    assert json.loads(lines[4])["action"] == "ledger-repaired"
    assert [json.loads(line)["seq"] for line in lines[4:]] == [4, 5, 6]


def test_two_processes_share_one_chain(tmp_path: Path) -> None:
    vault, purge = open_ledger(tmp_path), open_ledger(tmp_path)
    for number in range(10):
        (vault if number % 3 else purge).append(Action.CLIP_DELETED, str(number), "gone")
    assert verify_ledger.check(tmp_path / "ledger.jsonl").entries == 10
    assert verify_ledger.check(tmp_path / "ledger.jsonl").is_ok


def test_an_entry_written_in_between_without_the_lock_does_not_fork_the_chain(tmp_path: Path) -> None:
    other = open_ledger(tmp_path)

    class InterruptedDisk(Disk):
        is_interrupted = False

        def append(self, path: Path, data: bytes) -> int:
            if self.is_interrupted:
                self.is_interrupted = False
                super().append(path, b"")
                other._disk.append(path, other._line({"action": "clip-deleted"}, 0))
            return super().append(path, data)

    disk = InterruptedDisk()
    ledger = open_ledger(tmp_path, disk=disk)
    disk.is_interrupted = True
    ledger.append(Action.CLIP_BORN, "x", "born")
    found = verify_ledger.check(tmp_path / "ledger.jsonl")
    assert (found.is_ok, found.entries) == (True, 2)


class FullDisk(Disk):
    """Full but for what the reserve gives back, counted in whole blocks of 4 KiB as a file system does."""

    is_full = False

    def __init__(self, root: Path) -> None:
        self.root = root
        self.used = 0

    def append(self, path: Path, data: bytes) -> int:
        if self.is_full and ((self.root / "ledger.reserve").exists() or self.used + len(data) > RESERVE_BYTES):
            raise StoreFull(f"{path}: cannot write: No space left on device")
        self.used += len(data)
        return super().append(path, data)


def test_a_full_disk_cannot_stop_an_entry(tmp_path: Path) -> None:
    disk = FullDisk(tmp_path)
    ledger = open_ledger(tmp_path, disk=disk)
    assert ledger.keep_reserve()
    assert (tmp_path / "ledger.reserve").stat().st_blocks * 512 >= RESERVE_BYTES
    disk.is_full = True
    for number in range(50):
        ledger.append(Action.CLIP_DELETED, str(number), "gone")
    assert verify_ledger.check(tmp_path / "ledger.jsonl").entries == 50
    disk.used = RESERVE_BYTES
    with pytest.raises(StoreFull):
        ledger.append(Action.CLIP_DELETED, "one too many", "gone")
    disk.is_full = False
    assert ledger.keep_reserve()
    assert verify_ledger.check(tmp_path / "ledger.jsonl").is_ok


def test_a_ledger_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    (tmp_path / "ledger.jsonl").mkdir()
    with pytest.raises(StoreError, match=r"ledger\.jsonl"):
        open_ledger(tmp_path)


def test_entries_of_this_boot_are_read_newest_first_and_no_further(tmp_path: Path) -> None:
    clock = SimClock()
    open_ledger(tmp_path, clock=clock).append(Action.CLIP_BORN, "before", "born")
    clock.reboot()
    ledger = open_ledger(tmp_path, clock=clock)
    for number in range(500):
        ledger.append(Action.CLIP_BORN, str(number), "born")
    assert [entry["object"] for entry in ledger.of_this_boot(Action.CLIP_BORN)] == [
        str(number) for number in reversed(range(500))
    ]
