"""Whether the edges still tell what the levels say. Pure: values and no clock.

Edges come on a thread of the pin library, and a thread can die or hang without a word. So the levels are also read,
`LOOK_NS` apart: a level that no edge has told within `DEAF_NS` means that edges are not heard, and so does a thread
that has not said that it lives. Until that is mended the levels are read `DEAF_LOOK_NS` apart, which is often enough
for a press of 20 ms.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from edge.clock import MILLISECOND, SECOND

LOOK_NS: Final = SECOND // 4
DEAF_NS: Final = SECOND  # with the time between two looks well within the 2 s in which a deaf thread must be found
DEAF_LOOK_NS: Final = 10 * MILLISECOND
RESTART_NS: Final = 5 * SECOND  # between two attempts to read edges anew
LOST_NS: Final = 3 * RESTART_NS  # after so long the attempts do not help


@dataclass(frozen=True, slots=True, kw_only=True)
class Hearing:
    """One contact. `is_used`: the level that its edges have told last."""

    is_used: bool
    untold_ns: int | None = None  # since when there has been a level that no edge told
    is_unproven: bool = False  # it was deaf, and no edge has come since edges are read anew


def heard(_: Hearing, *, is_used: bool) -> Hearing:
    """An edge came, so edges come."""
    return Hearing(is_used=is_used)


def looked(hearing: Hearing, now_ns: int, *, is_used: bool) -> Hearing:
    """The level was read. One that was there and is gone again was not told either: only an edge mends that."""
    if hearing.untold_ns is not None or is_used == hearing.is_used:
        return hearing
    return replace(hearing, untold_ns=now_ns)


def restarted(hearing: Hearing, *, is_used: bool) -> Hearing:
    """Edges are read anew: what was untold is in the past, and only an edge proves that edges come."""
    return Hearing(is_used=is_used, is_unproven=hearing.is_unproven or hearing.untold_ns is not None)


def is_deaf(hearing: Hearing, now_ns: int) -> bool:
    """An edge should have come and has not, for too long."""
    return hearing.untold_ns is not None and now_ns - hearing.untold_ns >= DEAF_NS


def is_thread_deaf(beat_ns: int | None, now_ns: int) -> bool:
    """The thread that brings the edges has not said for too long that it lives; None: it never says that."""
    return beat_ns is not None and now_ns - beat_ns >= DEAF_NS


def is_thread_lost(beat_ns: int | None, now_ns: int) -> bool:
    """The thread that brings the edges does not live, and reading them anew has not helped."""
    return beat_ns is not None and now_ns - beat_ns >= LOST_NS
