"""The panel's table drawn for DESIGN.md. Pure."""

from __future__ import annotations

from edge.messages import Event
from edge.panel.table import TABLE, Do, Phase, Signal


def diagram() -> str:
    """The table as a Mermaid state diagram: one line for each pair of phases and each thing done on the way."""
    lines: dict[tuple[Phase, Phase, tuple[Do | Event, ...]], list[Signal]] = {}
    for phase, rows in TABLE.items():
        for signal, (after, does) in rows.items():
            if does or after is not phase:
                lines.setdefault((phase, after, does), []).append(signal)
    text = ["stateDiagram-v2", f"    [*] --> {_drawn(Phase.CALM)}"]
    for (phase, after, does), signals in lines.items():
        done = ", ".join(f"count {what}" if isinstance(what, Event) else what for what in does)
        text.append(f"    {_drawn(phase)} --> {_drawn(after)}: {' or '.join(signals)} / {done or 'nothing'}")
    return "\n".join(text) + "\n"


def _drawn(phase: Phase) -> str:
    return phase.value.replace("-", "_")  # Mermaid's names have no hyphens
