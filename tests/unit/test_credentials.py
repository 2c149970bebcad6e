"""What is handed over as a secret: read where it lies, and named in an error without a byte of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge import credentials
from edge.errors import Refused


def read(name: str, folder: Path | None) -> str:
    return credentials.read(name, folder, what="webhook secret", reader="service", error=Refused)


def test_the_folder_is_the_one_that_systemd_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    assert credentials.folder() is None
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials/show.service")
    assert credentials.folder() == Path("/run/credentials/show.service")


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_line_comes_without_its_end(tmp_path: Path, end: str) -> None:
    path = tmp_path / "hook"
    path.write_bytes(f"s3cret{end}".encode())
    path.chmod(0o600)
    assert read(str(path), None) == read("hook", tmp_path) == "s3cret"


def test_only_a_file_of_our_own_must_be_closed_to_others(tmp_path: Path) -> None:
    path = tmp_path / "hook"
    path.write_text("s3cret")
    path.chmod(0o440)
    assert read("hook", tmp_path) == "s3cret", "systemd guards what it hands over"
    with pytest.raises(Refused, match=r"^webhook secret .*hook: others may read it; chmod 600$"):
        read(str(path), None)


def test_what_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(
        Refused, match=r"^webhook secret /.*: cannot be read: No such file .*; let the service read it$"
    ):
        read(str(tmp_path / "none"), None)
    with pytest.raises(Refused, match=r"LoadCredential=hook:… in the unit$"):
        read("hook", None)


@pytest.mark.parametrize("text", ["", "s3cret", ":s3cret", "a:b\nc", "a:b\0", "a:\ufffd"])
def test_what_is_no_login_is_none(text: str) -> None:
    assert credentials.login(text) is None


def test_a_password_may_have_colons_and_may_be_empty() -> None:
    assert credentials.login("room-2:a:b") == ("room-2", "a:b")
    assert credentials.login("room-2:") == ("room-2", "")
