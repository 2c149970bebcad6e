"""How a check is shown: lines for a person, in colour on a terminal, or JSON. rich only, which minds NO_COLOR."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Final, TextIO

from rich.console import Console
from rich.text import Text

from edge import __version__
from edge.machine.check import may_listen
from edge.machine.finding import Finding, State

_STYLES: Final = {State.OK: "green", State.WARNING: "yellow", State.REFUSES: "bold red"}
_ORDER: Final = (State.REFUSES, State.WARNING, State.OK)


def as_text(findings: Sequence[Finding], room: str, out: TextIO) -> None:
    """What refuses first; each with its fix in the line below."""
    console = Console(file=out, highlight=False, soft_wrap=True)
    for finding in sorted(findings, key=lambda finding: _ORDER.index(finding.state)):
        console.print(
            Text(f"{finding.state:<8}", style=_STYLES[finding.state]), Text(f"{finding.code}: {finding.detail}")
        )
        if finding.fix:
            console.print(Text(f"         to mend: {finding.fix}", style="dim"))
    counts = {state: sum(finding.state is state for finding in findings) for state in State}
    may = "may listen" if may_listen(findings) else "does not listen: the alarm works, the camera stays closed"
    line = (
        f"{room} {may} ({counts[State.REFUSES]} refuse, {counts[State.WARNING]} warn, {counts[State.OK]} are in order)"
    )
    console.print(Text(line, style="bold"))


def as_json(findings: Sequence[Finding], room: str) -> str:
    found = [asdict(finding) for finding in findings]
    return json.dumps({"room": room, "software": __version__, "may_listen": may_listen(findings), "findings": found})


def problems_as_json(problems: Sequence[str]) -> str:
    """A configuration that cannot be used."""
    return json.dumps({"software": __version__, "may_listen": False, "problems": list(problems)})
