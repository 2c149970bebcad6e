"""What a demo leaves in its folder, and that nothing half-made or overwritten is ever left there."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from edge.config import load
from edge.demo.folder import Place, prepare, recording
from edge.desk.keys import new_key, recipient_of
from edge.errors import BadSource, Refused, StoreError
from tests.support.evidence import ROOM
from tests.support.processes import free_port


def prepared(folder: Path, *, port: int | None = None, retention_s: int = 3600, video: Path = ROOM) -> Place:
    run = folder.parent / "run"
    return prepare(folder=folder, run=run, port=port or free_port(), retention_s=retention_s, video=video)


def test_a_new_folder_holds_a_configuration_and_a_key_that_only_its_owner_reads(tmp_path: Path) -> None:
    place = prepared(tmp_path / "a" / "D", retention_s=60)
    assert sorted(str(path.relative_to(place.folder)) for path in place.folder.rglob("*") if path.is_file()) == [
        "config.toml",
        "keys/officer.key",
    ]
    assert stat.S_IMODE(place.key.stat().st_mode) == 0o600
    assert place.config.seal.recipients == (recipient_of(place.key),)
    assert place.config.retention.seconds == 60
    assert place.config.has_only_fixtures
    assert load(place.config_file) == place.config


def test_a_second_demo_takes_the_same_key_and_the_new_wishes(tmp_path: Path) -> None:
    first = prepared(tmp_path / "D")
    key = first.key.read_bytes()
    second = prepared(tmp_path / "D", retention_s=7200)
    assert second.key.read_bytes() == key
    assert second.config.seal == first.config.seal
    assert second.config.retention.seconds == 7200


def test_a_relative_folder_is_where_it_was_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    place = prepare(folder=Path("D"), run=tmp_path / "run", port=free_port(), retention_s=60, video=ROOM)
    assert place.config.paths.store == tmp_path / "D" / "store"


@pytest.mark.parametrize("name", ['"', "\\", "'", "#", "{ring}", "\x7f", "\t", "😀", "é", "a\nb"])
def test_any_text_in_a_name_reaches_the_configuration_as_it_is(tmp_path: Path, name: str) -> None:
    assert prepared(tmp_path / name).config.paths.store == tmp_path / name / "store"
    video = tmp_path / f"{name}.mp4"
    assert prepared(tmp_path / "D", video=video).config.camera.source == f"fixture:{video}"


def test_a_name_that_is_no_text_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    odd = os.fsdecode(b"\xe9")
    for folder, video in ((tmp_path / odd, ROOM), (tmp_path / "D", tmp_path / odd)):
        with pytest.raises(Refused, match="not UTF-8"):
            prepared(folder, video=video)
    assert list(tmp_path.iterdir()) == []


def test_a_used_port_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(Refused, match="--port"):
        prepared(tmp_path / "D", port=taken.getsockname()[1])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"\xff", b"AGE-SECRET-KEY-1QQ\n", b"ssh-ed25519 AAAA\n"])
def test_a_key_that_is_none_is_refused_and_the_configuration_stays(tmp_path: Path, content: bytes) -> None:
    place = prepared(tmp_path / "D")
    before = place.config_file.read_bytes()
    place.key.write_bytes(content)
    with pytest.raises(Refused, match=r"officer\.key"):
        prepared(tmp_path / "D", retention_s=60)
    assert (place.config_file.read_bytes(), place.key.read_bytes()) == (before, content)


def test_a_key_is_never_written_over_another(tmp_path: Path) -> None:
    new_key(tmp_path / "key")
    before = (tmp_path / "key").read_bytes()
    with pytest.raises(StoreError):
        new_key(tmp_path / "key")
    assert (tmp_path / "key").read_bytes() == before


def test_the_room_that_comes_with_the_project_can_be_played() -> None:
    assert recording(None) == ROOM


def test_what_is_no_recording_is_refused_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("words")
    for name in ("text.mp4", "missing.mp4", "."):
        with pytest.raises(BadSource) as found:
            recording(tmp_path / name)
        assert str((tmp_path / name).absolute()) in str(found.value)
        assert "\n" not in str(found.value)
