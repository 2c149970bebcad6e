"""The set-up's files are put in place all together or not at all, on a disk that fails at each of its effects."""

from __future__ import annotations

import contextlib
import tomllib
from pathlib import Path
from typing import Final

import pytest

from edge.config import load
from edge.durable import Disk
from edge.errors import StoreError
from edge.setup.answers import Answers, check, read
from edge.setup.place import Place, put
from tests.setup.rooms import ANSWERS
from tests.vault.support import FaultyDisk

CONFIG: Final = "etc/spreekkamer/config.toml"


def answers(folder: Path, text: str = ANSWERS) -> Answers:
    file = folder / "answers.toml"
    file.write_text(text, "utf-8")
    return read(file)


def tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_whatever_fails_the_room_is_the_old_one_or_the_new_one(tmp_path: Path) -> None:
    old = answers(tmp_path)
    new = answers(tmp_path, ANSWERS.replace("always", "conversation").replace("ssh = true", "ssh = false"))
    number = 0
    while True:
        root = tmp_path / str(number)
        place = Place(config=root / "etc/spreekkamer/config.toml", root=root)
        put(place, old, check(old.config), Disk())
        before = tree(root)
        disk = FaultyDisk()
        disk.fail_at(number, goes_on=False)
        with contextlib.suppress(StoreError):
            put(place, new, check(new.config), disk)
        after = tree(root)
        if not disk.has_struck:
            break
        assert not [name for name in after if name.endswith((".spreekkamer-new", ".tmp"))], number
        if load(place.config).room.arming == "conversation":  # the last one: so everything else is new too
            assert "etc/spreekkamer/firewall.d/ssh.nft" not in after
        else:
            assert after[CONFIG] == before[CONFIG]
        number += 1
    assert number > 10
    assert load(place.config).room.arming == "conversation"


def test_a_place_that_cannot_be_written_leaves_the_room_as_it_was(tmp_path: Path) -> None:
    root = tmp_path / "root"
    place = Place(config=root / "etc/spreekkamer/config.toml", root=root)
    old = answers(tmp_path)
    put(place, old, check(old.config), Disk())
    before = tree(root)
    new = answers(tmp_path, ANSWERS.replace("always", "conversation"))
    place.config.with_name("config.toml.spreekkamer-new.tmp").mkdir()  # the last file cannot be made
    with pytest.raises(StoreError):
        put(place, new, check(new.config), Disk())
    assert tree(root) == before
    assert tomllib.loads(place.config.read_text("utf-8"))["room"]["arming"] == "always"
