"""The officer opens a sealed clip; or is told in one line why not, and nothing is left behind."""

from __future__ import annotations

import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pyrage
import pytest

from edge.desk.keys import new_key
from edge.desk.opening import open_clip
from edge.durable import Disk
from edge.errors import Refused, StoreError

PLAIN = [b"one " * 5000, b"two " * 70_000, b"three"]


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A desk with the officer's key and a fetched clip of three segments."""
    recipient = pyrage.x25519.Recipient.from_str(new_key(tmp_path / "officer.key"))
    (tmp_path / "clip").mkdir()
    for number, plain in enumerate(PLAIN):
        (tmp_path / "clip" / f"{number:04d}.age").write_bytes(pyrage.encrypt(plain, [recipient]))
    (tmp_path / "clip" / "birth.json").write_bytes(b"{}")
    return tmp_path


def opened(desk: Path, *, key: str = "officer.key", is_partial: bool = False, disk: Disk | None = None) -> int:
    return open_clip(desk / "clip", desk / key, desk / "clip.mp4", is_partial=is_partial, disk=disk)


def test_it_is_what_stock_age_gives_put_together_and_for_the_officer_alone(desk: Path) -> None:
    assert opened(desk) == 3
    stock = b"".join(
        subprocess.run(
            ["age", "-d", "-i", desk / "officer.key", desk / "clip" / f"{number:04d}.age"],
            check=True,
            capture_output=True,
        ).stdout
        for number in range(3)
    )
    assert (desk / "clip.mp4").read_bytes() == stock == b"".join(PLAIN)
    assert stat.S_IMODE((desk / "clip.mp4").stat().st_mode) == 0o600


def cut(desk: Path) -> None:
    path = desk / "clip" / "0001.age"
    path.write_bytes(path.read_bytes()[:-100])


def another_key(desk: Path) -> None:
    (desk / "officer.key").unlink()
    new_key(desk / "officer.key")


def emptied(desk: Path) -> None:
    for path in (desk / "clip").iterdir():
        path.unlink()


WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "a segment is missing": (lambda it: (it / "clip" / "0001.age").unlink(), "0001.age is missing; --partial"),
    "the first is missing": (lambda it: (it / "clip" / "0000.age").unlink(), "0000.age is missing"),
    "a segment is cut": (cut, "0001.age: cannot be opened"),
    "another key": (another_key, "0000.age: cannot be opened"),
    "no key": (lambda it: (it / "officer.key").unlink(), "this key cannot be read"),
    "no folder": (lambda it: shutil.rmtree(it / "clip"), "cannot be read: No such file"),
    "an empty folder": (emptied, "holds no sealed segment"),
    "a file is there": (lambda it: (it / "clip.mp4").write_bytes(b"mine"), "exists; choose a new file"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be_opened_is_told_in_a_line_and_leaves_nothing(desk: Path, what: str) -> None:
    damage, told = WRONG[what]
    damage(desk)
    before = sorted(desk.iterdir())
    with pytest.raises(Refused, match=told):
        opened(desk)
    assert sorted(desk.iterdir()) == before
    assert not (desk / "clip.mp4").exists() or (desk / "clip.mp4").read_bytes() == b"mine"


def test_in_part_it_gives_what_opens(desk: Path) -> None:
    cut(desk)
    (desk / "clip" / "0000.age").unlink()
    assert opened(desk, is_partial=True) == 1
    assert (desk / "clip.mp4").read_bytes() == PLAIN[2]


def test_in_part_with_another_key_is_nothing(desk: Path) -> None:
    new_key(desk / "other.key")
    with pytest.raises(Refused, match="opens nothing"):
        opened(desk, key="other.key", is_partial=True)
    assert not (desk / "clip.mp4").exists()


def test_a_full_disk_leaves_nothing_that_is_not_sealed(desk: Path) -> None:
    class Full(Disk):
        left = 2

        def effect(self, what, path, call):  # type: ignore[no-untyped-def]
            self.left -= what == "write"
            if what == "write" and self.left < 0:
                raise StoreError(f"{path}: cannot {what}: No space left on device")
            return super().effect(what, path, call)

    before = sorted(desk.iterdir())
    with pytest.raises(StoreError, match="No space left"):
        opened(desk, disk=Full())
    assert sorted(desk.iterdir()) == before


def test_a_person_who_stops_it_leaves_nothing_that_is_not_sealed(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decrypt = pyrage.decrypt

    def interrupted(sealed: bytes, keys: list[pyrage.x25519.Identity]) -> bytes:
        plain: bytes = decrypt(sealed, keys)
        if plain == PLAIN[1]:
            raise KeyboardInterrupt
        return plain

    monkeypatch.setattr(pyrage, "decrypt", interrupted)
    before = sorted(desk.iterdir())
    with pytest.raises(KeyboardInterrupt):
        opened(desk)
    assert sorted(desk.iterdir()) == before
