"""Counts the lines of one file of the ledger by day. Pure: no files, no clock.

    press … panel-start                     the panel's events, by their names
    clip-born clip-complete clip-interrupted clip-held clip-fetched
    outcome-threat …                        one each time that an outcome is recorded
    deleted-expired deleted-no-incident …   by the reason of the deletion; `other` where no entry of this file tells it
    late-12                                 how many seconds after its hour a clip went, rounded up to two digits
    self-test-passed self-test-failed drill-opened

A day is one of UTC, as a checkpoint's months are. An entry counts on the day that it was written: by its own time if
that was trusted, or comes within a year after the newest trusted one, or none was trusted before; else on the day of
that one. So a device that never hears the time counts by its own clock, and a clock that jumps moves nothing counted.
Each file is counted by itself, so that folding it (`folding`) changes none of its numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from edge.clock import utc
from edge.figures import LATE
from edge.messages import DeleteReason, Event, Outcome
from edge.vault.ledger import Action
from edge.vault.ledger_files import END_OF_TIME_NS
from edge.vault.retention import DAY_NS

EXPIRED: Final = "expired"
_YEAR_NS: Final = 366 * DAY_NS
_EVENTS: Final = frozenset(Event)
_REASONS: Final = frozenset({EXPIRED, *DeleteReason})
_OUTCOMES: Final = frozenset(Outcome)
_RESULTS: Final[dict[tuple[str, str], str]] = {  # what a result of these is counted as; any other is not
    (Action.CLIP_BORN, "born"): "clip-born",
    (Action.CLIP_CLOSED, "complete"): "clip-complete",
    (Action.CLIP_CLOSED, "interrupted"): "clip-interrupted",
    (Action.CLIP_HELD, "held"): "clip-held",
    (Action.CLIP_FETCHED, "sealed-copy"): "clip-fetched",
    (Action.SELF_TEST, "passed"): "self-test-passed",
    (Action.SELF_TEST, "failed"): "self-test-failed",
    (Action.DRILL_OPENED, "opened"): "drill-opened",
}


class Tally:
    """The counts of one file, as far as it was given."""

    def __init__(self) -> None:
        self.days: dict[str, Counter[str]] = {}
        self._trusted_ns: int | None = None
        self._begun: dict[str, str] = {}  # the reasons of deletions without a receipt yet, by clip

    def add(self, entry: Mapping[str, Any]) -> None:
        """Count the next entry."""
        at_ns = self._moment(entry)
        names = list(self._names(entry))
        if at_ns is not None:
            self.days.setdefault(f"{utc(at_ns):%Y-%m-%d}", Counter()).update(names)

    def _moment(self, entry: Mapping[str, Any]) -> int | None:
        own_ns: object = entry.get("wall_ns")
        if not isinstance(own_ns, int) or not 0 <= own_ns < END_OF_TIME_NS:
            return self._trusted_ns
        if entry.get("is_wall_trusted") is True:
            self._trusted_ns = own_ns
        before_ns = self._trusted_ns
        return own_ns if before_ns is None or 0 <= own_ns - before_ns <= _YEAR_NS else before_ns

    def _names(self, entry: Mapping[str, Any]) -> Iterator[str]:
        action, result, detail = _word(entry, "action"), _word(entry, "result"), entry.get("detail")
        facts = detail if isinstance(detail, dict) else {}
        match action:
            case Action.PANEL:
                if result in _EVENTS:
                    yield result
            case Action.CLIP_OUTCOME:
                yield f"outcome-{_of(_OUTCOMES, _word(facts, 'outcome'))}"
            case Action.CLIP_DELETE:
                self._begun[_word(entry, "object")] = _word(facts, "reason")
            case Action.CLIP_DELETED:
                begun = self._begun.pop(_word(entry, "object"), "")
                yield f"deleted-{_of(_REASONS, _word(facts, 'reason') or begun)}"
                late_s = facts.get("late_s")
                if isinstance(late_s, int) and late_s >= 0:
                    yield f"{LATE}{rounded_up(late_s)}"
            case _:
                if (name := _RESULTS.get((action, result))) is not None:
                    yield name


def by_period(days: Iterable[tuple[str, Mapping[str, int]]], length: int) -> dict[str, dict[str, int]]:
    """Counts by the first `length` characters of their days: 7 for months, 4 for years."""
    found: dict[str, Counter[str]] = {}
    for day, counts in days:
        found.setdefault(day[:length], Counter()).update(counts)
    return {period: dict(sorted(found[period].items())) for period in sorted(found)}


def rounded_up(seconds: int) -> int:
    """To two digits: 7, 12, 130. Many delays make few names so, and none is told shorter than it was."""
    step: int = 10 ** max(0, len(str(seconds)) - 2)
    return -(-seconds // step) * step


def _word(facts: Mapping[str, Any], name: str) -> str:
    """A text of an entry; empty for what is none, since the lines of a damaged ledger say anything."""
    word = facts.get(name)
    return word if isinstance(word, str) else ""


def _of(known: frozenset[str], word: str) -> str:
    return word if word in known else "other"
