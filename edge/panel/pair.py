"""A panic button with two contacts, of which a press opens one and closes the other. Pure: values and no clock.

    open contact   closed contact
    open           closed           at rest
    closed         open             pressed
    open           open             between the two, or a cut wire
    closed         closed           a short circuit

Either contact that leaves its rest is a press, at once; the other one, if it follows within `FOLLOWS_NS`, belongs to
the same press. For at the first instant a cut wire looks exactly as a press with a dead second wire does, and a press
must never be lost. The cost: a wire that is cut calls for help once, for nothing. A disagreement that lasts is a fault
besides, and so is a press that moved one contact only, until a press moves both: a wire that is cut at rest can be
seen in no other way. With one contact stuck the other one still makes presses.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from edge.clock import MILLISECOND
from edge.panel.contact import PANIC, Contact

# A slow finger takes some tenths of a second from one contact to the other; the fault is to be seen within a second.
FOLLOWS_NS: Final = 500 * MILLISECOND


class Wiring(StrEnum):
    """What the two contacts say of their wires."""

    SOUND = "sound"
    CUT = "cut"  # both are open
    SHORT = "short"  # both are closed
    HALF = "half"  # the last press moved one of them only


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The two contacts without their bounce. The second is *used* when it is open."""

    used: frozenset[Contact] = frozenset()
    changed_ns: int = 0
    pressed_ns: int = 0
    awaited: Contact | None = None  # has not moved yet in the present press
    is_half: bool = False  # the last press was let go with one contact still awaited


def on_change(pair: Pair, contact: Contact, at_ns: int, *, is_used: bool) -> tuple[Pair, bool]:
    """The pair after one of its contacts was used or let go, and whether that is a press."""
    other = next(iter(PANIC - {contact}))
    used = pair.used | {contact} if is_used else pair.used - {contact}
    pair = replace(pair, used=used, changed_ns=at_ns)
    if is_used and pair.awaited is contact and at_ns - pair.pressed_ns <= FOLLOWS_NS:
        return replace(pair, awaited=None, is_half=False), False
    if is_used:
        return replace(pair, pressed_ns=at_ns, awaited=None if other in used else other), True
    if not used and pair.awaited is not None:
        return replace(pair, awaited=None, is_half=True), False
    return pair, False


def wiring(pair: Pair, now_ns: int) -> Wiring:
    """How the wires are, as far as can be seen now."""
    if len(pair.used) == 1 and now_ns - pair.changed_ns >= FOLLOWS_NS:
        return Wiring.CUT if Contact.PANIC_CLOSED in pair.used else Wiring.SHORT
    return Wiring.HALF if pair.is_half else Wiring.SOUND
