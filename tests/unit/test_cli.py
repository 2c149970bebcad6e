"""The command's surface: its words, its exit codes, and that finding a word costs no heavy import."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from edge import cli, commands
from edge.errors import BadConfig, Refused, SpreekkamerError, StoreFull

# DESIGN.md, "Commands".
CONTRACT = {
    "demo",
    "guard",
    "record",
    "keep",
    "show",
    "check",
    "purge",
    "clips",
    "ledger",
    "drill",
    "keys",
    "open",
    "verify",
    "export",
    "page",
    "setup",
} | {
    "report",
    "notice",
    "prove",
}
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command here; its exit code, and what it said."""

    def run_here(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["spreekkamer", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run_here


def words(app: typer.Typer) -> set[str]:
    commands = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    return commands | {group.name for group in app.registered_groups if group.name}


def test_the_words_are_those_of_the_contract() -> None:
    assert (
        {"guard", "record", "keep", "show", "check", "prove", "purge", "demo", "clips"}
        <= words(commands.app)
        <= CONTRACT
    )
    assert words(commands.clips_app) == {"list", "fetch", "hold", "release", "outcome", "delete"}
    assert words(commands.drill_app) == {"fetch", "confirm"}
    assert words(commands.ledger_app) == {"head", "anchor"}


@pytest.mark.parametrize("word", sorted(words(commands.app) | {""}))
def test_each_word_explains_itself(run: Run, word: str) -> None:
    code, out, err = run(*filter(None, [word]), "--help")
    assert (code, err) == (0, "")
    assert "Usage:" in out


def breaking(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Whatever reads its configuration fails so."""

    def fail(_: Path) -> None:
        raise error

    monkeypatch.setattr("edge.config.load", fail)


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (BadConfig(["a: wrong", "b: wrong"]), 78, "a: wrong\nb: wrong\n"),
        (Refused("the port is taken; choose another"), 1, "the port is taken; choose another\n"),
        (StoreFull("/s: no space"), 1, "/s: no space\n"),
        (SpreekkamerError("x"), 1, "x\n"),
    ],
)
def test_an_error_is_its_lines_and_its_code(
    run: Run, monkeypatch: pytest.MonkeyPatch, *, error: SpreekkamerError, code: int, said: str
) -> None:
    breaking(monkeypatch, error)
    assert run("keep", "--config", "room.toml") == (code, "", said)


def test_an_error_that_nobody_foresaw_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    breaking(monkeypatch, ZeroDivisionError())
    monkeypatch.setattr(sys, "argv", ["spreekkamer", "keep", "--config", "room.toml"])
    with pytest.raises(ZeroDivisionError):
        cli.main()


@pytest.mark.parametrize("arguments", [["nonsense"], ["guard"], ["clips", "hold"], ["demo", "--port", "70000"]])
def test_wrong_usage_is_2_and_goes_to_stderr(run: Run, arguments: list[str]) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert "Usage:" in err


def test_a_command_without_a_word_shows_help_and_is_2(run: Run) -> None:
    code, out, err = run()
    assert code == 2
    assert "guard" in out + err


def test_purge_of_a_store_that_is_not_there_deletes_nothing_and_makes_nothing(run: Run, tmp_path: Path) -> None:
    config = tmp_path / "room.toml"
    config.write_text(
        f'[room]\nname = "x"\n[panel]\npanic = {{ pin = 1 }}\nalarm = {{ pin = 2 }}\n[paths]\nstore = "{tmp_path}/store"\n'
    )
    assert run("purge", "--config", str(config)) == (0, "0 deleted\n", "")
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(("module", "more"), [("edge.cli", {"typer"}), ("edge.commands", set())])
def test_finding_a_word_imports_nothing_heavy(module: str, more: set[str]) -> None:
    heavy = {"av", "cv2", "numpy", "sounddevice", "pyrage", "cryptography", "sqlite3", "fastapi", "gpiozero", "uvicorn"}
    program = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) & (heavy | more) == set()
    assert {name for name in done.stdout.split() if name.startswith("service")} == set()
