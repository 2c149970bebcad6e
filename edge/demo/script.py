"""The words of an unattended demo: `"8:press,15:privacy,30:quit"`. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from edge.config import RETENTION_CAP_S, RETENTION_FLOOR_S
from edge.errors import Refused

_DURATION: Final = re.compile(r"(\d{1,9})(s|m|h)", re.ASCII)
_UNITS: Final = {"s": 1, "m": 60, "h": 3600}


class Act(StrEnum):
    """What can be done to the room. The switches toggle; the kills are SIGKILL."""

    PRESS = "press"
    RESET = "reset"
    PRIVACY = "privacy"
    CONVERSATION = "conversation"
    TEST = "test"
    ATTENTION = "attention"
    KILL_PANEL = "kill-panel"
    KILL_RECORDER = "kill-recorder"
    KILL_VAULT = "kill-vault"
    KILL_SERVICE = "kill-service"
    QUIT = "quit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Do `act` at `at_s` seconds after the room is LISTENING."""

    at_s: float
    act: Act


def parse(script: str) -> tuple[Step, ...]:
    """The steps in the order of time; a script without `quit` quits 5 s after its last step.

    Raises Refused, naming the step, when one is not `SECONDS:ACTION`.
    """
    steps: list[Step] = []
    for part in filter(None, (part.strip() for part in script.split(","))):
        at, _, word = part.partition(":")
        try:
            at_s = float(at)
            act = Act(word.strip())
        except ValueError:
            raise Refused(f"script: {part!r} is not SECONDS:ACTION with one of {', '.join(Act)}") from None
        if not 0 <= at_s <= 7 * 24 * 3600:
            raise Refused(f"script: {part!r}: give seconds from 0 to a week")
        steps.append(Step(at_s=at_s, act=act))
    steps.sort(key=lambda step: step.at_s)
    if steps and steps[-1].act is not Act.QUIT:
        steps.append(Step(at_s=steps[-1].at_s + 5, act=Act.QUIT))
    return tuple(steps)


def retention_seconds(duration: str) -> int:
    """`60s`, `10m` or `72h` in seconds. Raises Refused when it is none of these, or outside what a room may keep."""
    match = _DURATION.fullmatch(duration.strip())
    if match is None:
        raise Refused(f"retention: {duration!r} is not a duration; write 60s, 10m or 72h")
    seconds = int(match[1]) * _UNITS[match[2]]
    if not RETENTION_FLOOR_S <= seconds <= RETENTION_CAP_S:
        raise Refused(
            f"retention: give {RETENTION_FLOOR_S}s to {RETENTION_CAP_S // 3600}h (four weeks), not {duration}"
        )
    return seconds
