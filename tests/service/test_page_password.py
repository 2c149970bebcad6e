"""`spreekkamer page password`: asks twice, shows nothing, leaves a hash."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edge import commands
from edge.errors import Refused
from service.password import read_hash
from tests.support.processes import WARNINGS, spreekkamer
from tests.support.terminal import typed

PASSWORD = "vier woorden zijn één"
ASKED = ("Password for the page: ", "The same again: ")


def piped(said: str, *options: str | Path) -> subprocess.CompletedProcess[str]:
    command = spreekkamer("page", "password", *options)
    return subprocess.run(command, input=said, capture_output=True, text=True, timeout=60, check=False)


def test_it_asks_twice_without_showing_and_makes_a_file_for_its_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "hash"
    command = [sys.executable, "-B", "-m", "edge", "page", "password", "-o", str(file)]
    environment = os.environ | {"PYTHONWARNINGS": WARNINGS}
    answers = [(prompt, PASSWORD) for prompt in ASKED]
    code, shown = typed(command, answers, cwd=Path(__file__).parents[2], env=environment)
    assert code == 0, shown
    assert shown.split("\n")[:2] == list(ASKED), "nothing of what was typed"
    assert shown.split("\n")[2] == f"{file}: the hash; name it in page.password_hash and start the page again"
    assert file.stat().st_mode & 0o777 == 0o600
    assert read_hash(file).fits(PASSWORD.encode())


def test_without_a_terminal_it_reads_two_lines_and_says_the_hash(tmp_path: Path) -> None:
    done = piped(f"{PASSWORD}\n{PASSWORD}\n")
    assert (done.returncode, done.stderr) == (0, "")
    file = tmp_path / "hash"
    file.write_text(done.stdout, "ascii")
    assert read_hash(file).fits(PASSWORD.encode())


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (f"{PASSWORD}\n{PASSWORD}s\n", "the two are not the same; nothing was made"),
        (f"{PASSWORD}\n", "the two are not the same; nothing was made"),
        ("kort\nkort\n", "a password has 15 to 128 characters"),
        ("", "a password has 15 to 128 characters"),
    ],
    ids=["differs", "once", "short", "nothing"],
)
def test_what_is_no_password_leaves_no_file_and_is_not_repeated(
    tmp_path: Path, said: str, why: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(said))
    with pytest.raises(Refused) as refused:
        commands.page_password(tmp_path / "hash")
    assert str(refused.value).startswith(why)
    assert PASSWORD not in str(refused.value)
    assert capsys.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


def test_a_hash_that_is_there_is_not_replaced(tmp_path: Path) -> None:
    file = tmp_path / "hash"
    file.write_text("before", "ascii")
    done = piped(f"{PASSWORD}\n{PASSWORD}\n", "-o", file)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"{file}: cannot create: File exists\n")
    assert file.read_text("ascii") == "before"
    assert list(tmp_path.iterdir()) == [file]
