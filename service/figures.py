"""The figures of a month or a year for the data protection officer and the council, from what the vault counted. Pure.

Numbers only: no person, no clip, no moment. The day that goes on is never in them, so that who asks again and again
does not learn when the button is pressed. What this device cannot know is None, and said in the field's comment.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from edge.errors import Refused
from edge.figures import LATE, Counted
from edge.messages import DeleteReason, Event, Outcome

PERIOD: Final = r"^\d{4}(-(0[1-9]|1[0-2]))?$"
_PERIOD: Final = re.compile(PERIOD, re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Presses:
    """Presses of the panic button."""

    real: int  # private ones are not among them
    private: int  # help was called, nothing was recorded
    test: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipFigures:
    """What became of sealed clips. A clip may be held, exported or judged more than once."""

    made: int
    interrupted: int
    held: int
    exported: int  # sealed copies given out
    viewed: None  # not known here: a clip is opened at the officer's desk, never on this device
    outcomes: dict[str, int]
    deleted: int
    deleted_by_cause: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay:
    """How long after their hour clips went, rounded up to two digits. None: none went at its hour."""

    median_seconds: int | None
    max_seconds: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTests:
    passed: int
    failed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The counts of one period. Months and days are of UTC, by the device's clock."""

    room: str
    period: str
    since: str  # the first day, or month, of which anything is known; empty while there is none
    until: str  # the day on which counting stopped: not in it
    is_over: bool  # the whole period has passed
    conversations: int
    presses: Presses
    attention: int
    private: int  # times that the privacy switch was thrown
    clips: ClipFigures
    deletion_delay: Delay
    self_tests: SelfTests
    drills_opened: int
    downtime_minutes: None  # not known here: the vault hears of no fault; fleet monitoring keeps `in_order` over time


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why there are no figures, in one line."""

    detail: str


def current(counted: Counted) -> tuple[str, str]:
    """This month and this year, as periods."""
    return counted.today[:7], counted.today[:4]


def figures(room: str, period: str, counted: Counted) -> Figures:
    """The figures of `2026-11` or `2026`. Raises Refused with one line for what is no period, or none that is known."""
    if not _PERIOD.fullmatch(period):
        raise Refused("a period is a month or a year, such as 2026-11 or 2026")
    now, first = counted.today[: len(period)], (counted.since or counted.today)[: len(period)]
    if period > now:
        raise Refused(f"{period} has not come yet; the newest period is {now}")
    if period < first:
        raise Refused(f"nothing is known of {period}; the first period is {first}")
    if len(period) == 7 and counted.months and period < min(counted.months) and period[:4] in counted.years:
        raise Refused(f"the months of {period[:4]} are told no more; ask for the year")
    return _figures(room, period, counted, (counted.months | counted.years).get(period, {}))


Told: TypeAlias = tuple[Figures, Figures] | None  # of this month and this year; None: not known


def told_of(room: str, counted: Counted | None) -> Told:
    """What the page tells."""
    if counted is None:
        return None
    month, year = (figures(room, period, counted) for period in current(counted))
    return month, year


def _figures(room: str, period: str, counted: Counted, counts: Mapping[str, int]) -> Figures:
    def count(name: str) -> int:
        return counts.get(name, 0)

    deleted = {cause: count(f"deleted-{cause}") for cause in ("expired", *DeleteReason, "other")}
    return Figures(
        room=room,
        period=period,
        since=counted.since,
        until=counted.today,
        is_over=period < counted.today[: len(period)],
        conversations=count(Event.CONVERSATION_START),
        presses=Presses(real=count(Event.PRESS), private=count(Event.PRESS_PRIVATE), test=count(Event.PRESS_TEST)),
        attention=count(Event.ATTENTION),
        private=count(Event.PRIVATE_ON),
        clips=ClipFigures(
            made=count("clip-born"),
            interrupted=count("clip-interrupted"),
            held=count("clip-held"),
            exported=count("clip-fetched"),
            viewed=None,
            outcomes={outcome.value: count(f"outcome-{outcome}") for outcome in Outcome},
            deleted=sum(deleted.values()),
            deleted_by_cause={str(cause): number for cause, number in deleted.items()},
        ),
        deletion_delay=_delay(counts),
        self_tests=SelfTests(passed=count("self-test-passed"), failed=count("self-test-failed")),
        drills_opened=count("drill-opened"),
        downtime_minutes=None,
    )


def _delay(counts: Mapping[str, int]) -> Delay:
    """The median is the middle one, or the longer of the two in the middle."""
    delays = sorted((int(name[len(LATE) :]), number) for name, number in counts.items() if name.startswith(LATE))
    middle, passed = sum(number for _, number in delays) // 2, 0
    for seconds, number in delays:
        passed += number
        if passed > middle:
            return Delay(median_seconds=seconds, max_seconds=delays[-1][0])
    return Delay(median_seconds=None, max_seconds=None)
