"""Rules of the house that neither the linter nor the import contracts can say."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted([*(ROOT / "edge").rglob("*.py"), *(ROOT / "service").rglob("*.py")])
WRITING_CALLS = {"write_text", "write_bytes", "mkstemp", "NamedTemporaryFile", "fdopen", "copyfile", "copytree"}
WRITING_FLAGS = {"O_WRONLY", "O_RDWR", "O_CREAT", "O_APPEND", "O_TRUNC"}


def opens_for_writing(source: str) -> list[int]:
    """The lines that open a file so that it can be written."""
    found = []
    nodes = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call | ast.Attribute))
    for node in nodes:
        name = ast.unparse(node.func).split(".")[-1] if isinstance(node, ast.Call) else ""
        is_flag = isinstance(node, ast.Attribute) and node.attr in WRITING_FLAGS
        if is_flag or name in WRITING_CALLS or (name == "open" and _has_writing_mode(node)):
            found.append(node.lineno)
    return sorted(found)


def _has_writing_mode(call: ast.AST) -> bool:
    if not isinstance(call, ast.Call) or ast.unparse(call.func) == "av.open":
        return False  # a container in memory
    modes = [*call.args, *(keyword.value for keyword in call.keywords if keyword.arg == "mode")]
    texts = [mode.value for mode in modes if isinstance(mode, ast.Constant) and isinstance(mode.value, str)]
    return any(re.fullmatch(r"[rwaxbt+]{1,4}", text) and set(text) & set("wax+") for text in texts)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_durable_opens_files_for_writing(path: Path) -> None:
    if path.name != "durable.py":
        assert opens_for_writing(path.read_text("utf-8")) == []


def test_the_rule_sees_writing() -> None:
    assert opens_for_writing((ROOT / "edge" / "durable.py").read_text("utf-8"))
    assert opens_for_writing("open('x', 'wb')\npath.write_text('')\npath.open(mode='a')\n") == [1, 2, 3]


def test_no_path_of_a_machine_and_no_index_address_is_in_the_lock() -> None:
    for lock in sorted((ROOT / "requirements").glob("*.lock")):
        text = lock.read_text("utf-8")
        assert "--hash=sha256:" in text
        assert not re.search(r"https?://|--index|--find-links|file:", text), lock.name
