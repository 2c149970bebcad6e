"""Who has to do what, and by when, while a clip is kept. Pure: no words here (`texts.py`), no clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from edge.messages import Outcome
from service.rooms import Clip

AFTERCARE_S: Final = 24 * 3600.0  # R43: the employee is seen the same day

Role: TypeAlias = Literal["manager", "officer", "second"]
Duty: TypeAlias = Literal["aftercare", "outcome", "hold-or-let-go", "review-hold", "delete-early"]

_HARMLESS: Final = frozenset({Outcome.FALSE_PRESS.value, Outcome.TEST.value, Outcome.NO_INCIDENT.value})


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One thing to do. `by` is an ISO moment; None: today."""

    role: Role
    duty: Duty
    by: str | None


def tasks(clip: Clip, *, age_s: float | None) -> tuple[Task, ...]:
    """What this clip asks of people, the most urgent first. `age_s`: seconds since the press, None when not known.

    A clip that is still being made, or goes on another one of the same incident, asks nothing by itself.
    """
    if clip.state == "recording" or clip.continues is not None:
        return ()
    end = clip.held_until if clip.held and clip.held_until else clip.expires_at
    found: list[Task] = []
    if clip.outcome in _HARMLESS:
        return (Task(role="second", duty="delete-early", by=end),)
    if age_s is not None and age_s < AFTERCARE_S:
        found.append(Task(role="manager", duty="aftercare", by=None))
    if clip.outcome is None:
        found.append(Task(role="officer", duty="outcome", by=end))
    found.append(Task(role="officer", duty="review-hold" if clip.held else "hold-or-let-go", by=end))
    return tuple(found)
