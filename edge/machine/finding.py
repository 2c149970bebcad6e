"""What was found of one condition. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How a condition stands."""

    OK = "ok"
    WARNING = "warning"
    REFUSES = "refuses"  # while it stands this room does not listen


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One condition: what was found, and what to type or change where that is not in order."""

    code: str
    state: State
    detail: str
    fix: str = ""

    @property
    def refuses(self) -> bool:
        return self.state is State.REFUSES


def fine(code: str, detail: str) -> Finding:
    return Finding(code=code, state=State.OK, detail=detail)


def wrong(code: str, detail: str, fix: str, *, refuses: bool = False) -> Finding:
    return Finding(code=code, state=State.REFUSES if refuses else State.WARNING, detail=detail, fix=fix)
