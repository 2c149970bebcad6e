"""R3: may this machine listen at all? The recorder asks at its start, `spreekkamer check` whenever somebody wants to know.

Read-only. On a machine whose every source is a recording the machine's own shortcomings are warnings, so that the
demo runs on any laptop; missing keys or a missing governance record refuse in any case.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final, Self

from edge.clock import utc
from edge.config import Config
from edge.errors import Refused
from edge.machine import memory
from edge.machine.finding import Finding, State, fine, wrong
from edge.machine.reading import unit_file, word
from edge.ports import Clock

ROOT: Final = Path("/")
REVIEW_NEAR_DAYS: Final = 60
RECORD_UNIT: Final = "spreekkamer-record.service"

Seal = Callable[[Sequence[str]], object]  # raises Refused when these recipients cannot be sealed to


@dataclass(frozen=True, slots=True, kw_only=True)
class Today:
    """The date, and whether a network source keeps it right."""

    date: date
    is_trusted: bool

    @classmethod
    def of(cls, clock: Clock) -> Self:
        return cls(date=utc(clock.wall_ns()).date(), is_trusted=clock.is_trusted())


def preflight(config: Config, *, seal: Seal, today: Today, root: Path = ROOT) -> tuple[Finding, ...]:
    """Everything that stands in the way; empty when the room may listen. `root` is the machine's, or a test's."""
    found = conditions(config, seal=seal, today=today, root=root, is_unit=_is_in_unit(root))
    return tuple(finding for finding in found if finding.state is not State.OK)


def conditions(config: Config, *, seal: Seal, today: Today, root: Path, is_unit: bool) -> list[Finding]:
    """Each condition, also those that are met. `is_unit`: systemd limits the recorder, or is meant to."""
    refuses = not config.has_only_fixtures
    return [
        *memory.swap(root, refuses=refuses),
        *memory.zram(root, refuses=refuses),
        *memory.core_dumps(root, refuses=refuses),
        *memory.locking(config.ring.mebibytes, refuses=refuses),
        *memory.memory_controller(root, refuses=refuses and is_unit),
        *_keys(config, seal),
        *_governance(config, today),
    ]


def is_installed(root: Path) -> bool:
    """The recorder's unit is here, so that it will run in it."""
    return unit_file(root, RECORD_UNIT) is not None


def _is_in_unit(root: Path) -> bool:
    return RECORD_UNIT in (word(root / "proc/self/cgroup") or "")


def _keys(config: Config, seal: Seal) -> list[Finding]:
    try:
        seal(config.seal.recipients)
    except Refused as err:
        return [wrong("recipients", str(err), "put the officer's public age key in seal.recipients", refuses=True)]
    return [fine("recipients", f"clips are sealed to {len(config.seal.recipients)} public key(s)")]


def _governance(config: Config, today: Today) -> list[Finding]:
    if config.camera.source == "none":
        return [fine("governance", "no camera: the alarm alone needs no governance record")]
    if config.governance is None:
        return [
            wrong(
                "governance",
                "the section [governance] is missing: who answers for this camera, and why is it there?",
                "fill in [governance], or set camera.source to none and use the alarm alone",
                refuses=True,
            )
        ]
    return [fine("governance", "the governance record is complete"), _review(config.governance.review_by, today)]


def _review(by: date, today: Today) -> Finding:
    """R31: after the review date no camera, on a clock that is trusted; before it, a warning."""
    left = (by - today.date).days
    fix = "review the governance record, then set governance.review_by to the next date"
    if left > REVIEW_NEAR_DAYS:
        return fine("governance-review", f"to be reviewed by {by}")
    if left >= 0:
        return wrong("governance-review", f"the governance record is to be reviewed by {by}, in {left} days", fix)
    if today.is_trusted:
        detail = f"the governance record was to be reviewed by {by}: since then no camera"
        return wrong("governance-review", detail, fix, refuses=True)
    return wrong("governance-review", f"by this machine's clock, which nothing keeps right, {by} is past", fix)
