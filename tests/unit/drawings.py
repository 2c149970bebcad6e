"""What in DESIGN.md is made from the code: drawings from its tables, the vault's procedures from its docstrings.

`make drawings` writes them anew.
"""

from __future__ import annotations

import re
from pathlib import Path

from edge.panel import diagram
from edge.recorder import plan
from edge.vault import clips, recovery

DESIGN = Path(__file__).parents[2] / "DESIGN.md"

# A procedure in a docstring: its name in capitals, then "1. … 2. …", then what is found when it was cut.
_PROCEDURE = re.compile(r"^([A-Z]{4,}) +1\. (.+?)(?=^[A-Z]{4,} +1\. |^\S|\Z)", re.MULTILINE | re.DOTALL)
_FROM_CUT = re.compile(r"(?:Only then|Cut) ")


def drawn() -> str:
    """DESIGN.md as it should be: its text, with each drawing as the code makes it."""
    drawings = {
        "incident": f"```mermaid\n{diagram.diagram().strip()}\n```",
        "plan": plan.diagram().strip(),
        "procedures": procedures(f"{clips.__doc__}\n{recovery.__doc__}"),
    }
    text = DESIGN.read_text("utf-8")
    for name, drawing in drawings.items():
        head, begin, rest = text.partition(f"<!-- generated: {name} -->\n")
        _, end, tail = rest.partition("<!-- end -->")
        assert end, f"DESIGN.md has no place for {name}"
        text = f"{head}{begin}{drawing}\n{end}{tail}"
    return text


def procedures(text: str) -> str:
    """Each procedure of a docstring as a numbered list, with what follows its steps below."""
    lists: list[str] = []
    for name, body in _PROCEDURE.findall(text):
        plain = " ".join(body.split())
        cut = _FROM_CUT.search(plain)
        steps, after = (plain, "") if cut is None else (plain[: cut.start()], plain[cut.start() :])
        numbered = [f"{number}. {step.strip()}" for number, step in enumerate(re.split(r" \d\. ", steps), start=1)]
        lists.append("\n".join([f"**{name}**", "", *numbered, *(["", after] if after else [])]))
    return "\n\n".join(lists)


if __name__ == "__main__":
    DESIGN.write_text(drawn(), encoding="utf-8")
