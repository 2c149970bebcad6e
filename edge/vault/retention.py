"""When a clip goes. Pure first: values and functions of `Now`, no I/O; then `enforce`, the thin shell of both enforcers.

A clip's age is the larger of two differences since its press: the powered-on counter's, and the wall clock's where
both ends were trusted. A wrong clock is not trusted, so it never makes a clip older; a device that was off for a week
makes it older by a week as soon as the network tells the time. A clip is due when its age reaches what was promised
at its birth, or the end of a signed hold; nothing reaches beyond four weeks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from edge.clock import SECOND
from edge.config import RETENTION_CAP_S
from edge.errors import StoreError

CAP_NS: Final = RETENTION_CAP_S * SECOND
DAY_NS: Final = 24 * 3600 * SECOND
OVERDUE_NS: Final = 5 * 60 * SECOND  # from here on it is a fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Now:
    """One instant on every clock that counts."""

    boot_id: str
    boot_ns: int
    wall_ns: int
    is_trusted: bool
    powered_on_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """What decides when one clip goes; instants are those of the press."""

    powered_on_ns: int
    wall_ns: int | None  # None: no trusted clock knew
    keep_ns: int  # age at which it goes, promised at birth
    hold_ns: int = 0  # age at which a hold ends; 0: none


def age_ns(life: Life, now: Now) -> int:
    """How old the clip surely is."""
    age = max(0, now.powered_on_ns - life.powered_on_ns)
    if life.wall_ns is not None and now.is_trusted:
        age = max(age, now.wall_ns - life.wall_ns)
    return age


def end_ns(life: Life) -> int:
    """The age at which the clip goes, hold included."""
    return min(CAP_NS, max(life.keep_ns, life.hold_ns))


def left_ns(life: Life, now: Now) -> int:
    """How long until it goes; not above zero: it is due."""
    return end_ns(life) - age_ns(life, now)


def late_s(life: Life, now: Now) -> int:
    """Whole seconds since its hour, begun ones too."""
    return -(min(0, left_ns(life, now)) // SECOND)


def is_held(life: Life, now: Now) -> bool:
    """Only the hold keeps it, or will."""
    return age_ns(life, now) < min(CAP_NS, life.hold_ns)


def due(lives: Iterable[tuple[str, Life]], now: Now) -> list[str]:
    """The clips that must go now, the most overdue first."""
    late = [(left, clip) for clip, life in lives if (left := left_ns(life, now)) <= 0]
    return [clip for _, clip in sorted(late)]


def true_press_wall_ns(boot_id: str, pressed_ns: int, now: Now) -> int | None:
    """The press's wall time, worked out later in the same boot from a clock that has become right; else None."""
    if boot_id != now.boot_id or not now.is_trusted:
        return None
    return now.wall_ns - (now.boot_ns - pressed_ns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """What one pass did."""

    deleted: tuple[str, ...]
    failed: tuple[tuple[str, str], ...]  # clip, why


def enforce(lives: Iterable[tuple[str, Life]], now: Now, delete: Callable[[str], None]) -> Passed:
    """Delete what is due. A clip that cannot be deleted does not save the next one."""
    deleted: list[str] = []
    failed: list[tuple[str, str]] = []
    for clip in due(lives, now):
        try:
            delete(clip)
        except StoreError as err:
            failed.append((clip, str(err)))
        else:
            deleted.append(clip)
    return Passed(deleted=tuple(deleted), failed=tuple(failed))
