"""A camera's login: where it may lie, and that it shows nowhere."""

from __future__ import annotations

import traceback
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from edge.errors import BadSource
from edge.recorder.capture.login import Login, read_login

SECRET = "g:h@im/ö#?% &"


def written(path: Path, text: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(text)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_file_and_a_credential_are_read_alike(tmp_path: Path, end: str) -> None:
    path = written(tmp_path / "camera", f"admin:{SECRET}{end}".encode())
    login = read_login(str(path), None)
    assert login == read_login("camera", tmp_path) == Login(user="admin", password=SECRET)
    assert "admin" not in f"{login} {login!r}"
    assert SECRET not in f"{login} {login!r}"


def test_a_credential_may_be_as_open_as_systemd_made_it(tmp_path: Path) -> None:
    path = written(tmp_path / "camera", b"admin:secret", 0o440)
    assert read_login("camera", tmp_path).user == "admin"
    with pytest.raises(BadSource, match="others may read it; chmod 600"):
        read_login(str(path), None)


def test_a_password_of_any_signs_survives_the_address() -> None:
    parts = urlsplit(Login(user="ad min", password=SECRET).put_into("rtsp://host:8554/a?b=c"))
    assert (parts.hostname, parts.port, parts.path, parts.query) == ("host", 8554, "/a", "b=c")
    assert (unquote(parts.username or ""), unquote(parts.password or "")) == ("ad min", SECRET)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"", "is not one line of user:password"),
        (b"s3cret", "is not one line of user:password"),
        (b":s3cret", "is not one line of user:password"),
        (b"admin:s3cret\nmore", "is not one line of user:password"),
        (b"admin:s3cret\0", "is not one line of user:password"),
        (b"admin:s3cret\xff", "is not one line of user:password"),
        (b"admin:s3cret" + b"x" * 120, "is too long; at most 127"),
    ],
)
def test_what_is_no_login_is_refused_in_one_line_without_it(tmp_path: Path, text: bytes, told: str) -> None:
    path = written(tmp_path / "camera", text)
    with pytest.raises(BadSource) as refused:
        read_login(str(path), None)
    line = str(refused.value)
    assert told in line
    assert str(path) in line
    assert "s3cret" not in line
    assert "\n" not in line
    assert "s3cret" not in "".join(traceback.format_exception(refused.value)), "nor in what led to it"


def test_a_login_that_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BadSource, match=r"cannot be read: No such file .*; let the recorder read it"):
        read_login(str(tmp_path / "none"), None)
    with pytest.raises(BadSource, match="LoadCredential=camera"):
        read_login("camera", None)
