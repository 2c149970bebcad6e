"""What is wrong with the panel, judged from what it knows of itself. Pure.

Each finding has a key that is always there, so that what is not wrong any more is cleared too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from edge.clock import SECOND
from edge.panel.contact import Contact
from edge.panel.pair import Wiring

SILENCE_NS: Final = 3 * SECOND  # design.md: a recorder that is not heard for this long is a fault
HELD_NS: Final = 60 * SECOND  # a button that is held this long is stuck: nobody can press it
SHOWN_NS: Final = 60 * SECOND  # how long a mended thread stays a fault: long enough for the page and for a person

_WIRES: Final[Mapping[Wiring, tuple[str, str]]] = {
    Wiring.CUT: ("both contacts of the panic button are open: a wire is cut, or it is pressed half", "button-cut"),
    Wiring.SHORT: ("both contacts of the panic button are closed: its wires touch each other", "button-short"),
    Wiring.HALF: ("only one contact of the panic button moved in the last press", "button-half"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something wrong; `detail` and `fix` as in `status.Fault`."""

    detail: str
    fix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is judged. All `*_ns` on BOOTTIME."""

    now_ns: int
    heard_ns: int  # the recorder, or else the panel's start
    held_since_ns: int | None
    was_closed_at_boot: bool
    wiring: Wiring
    is_edge_lost: bool  # a callback could not do its work
    is_deaf: bool
    unproven: tuple[Contact, ...]
    restarted_ns: int | None  # when edges were last read anew
    unwatched: tuple[str, ...]
    unreadable: tuple[Contact, ...]


def findings(known: Known) -> dict[str, Finding | None]:
    """Every finding by its code; None where all is well."""
    return {
        "recorder-silent": _recorder(known),
        "button-held": _held(known),
        **{code: _wires(known, wiring) for wiring, (_, code) in _WIRES.items()},
        "contact-thread": _thread(known),
        "contact-unreadable": _unreadable(known),
    }


def _recorder(known: Known) -> Finding | None:
    if known.now_ns - known.heard_ns < SILENCE_NS:
        return None
    return Finding(
        detail="nothing heard from the recorder for 3 s: a press calls for help, and may not be recorded",
        fix="look at the recorder's journal",
    )


def _held(known: Known) -> Finding | None:
    since_ns = known.held_since_ns
    if since_ns is None or not (known.was_closed_at_boot or known.now_ns - since_ns >= HELD_NS):
        return None
    return Finding(
        detail="the panic button is closed and has not been let go: it cannot be pressed",
        fix="release it, or check the button and its wires",
    )


def _wires(known: Known, wiring: Wiring) -> Finding | None:
    if known.wiring is not wiring:
        return None
    return Finding(detail=_WIRES[wiring][0], fix="check the button and its wires, then test it: press it fully")


def _thread(known: Known) -> Finding | None:
    why = [*known.unwatched]
    if known.is_edge_lost:
        why.append("an edge of a contact was lost")
    if known.is_deaf:
        why.append("edges of the contacts are not heard")
    elif known.restarted_ns is not None and known.now_ns - known.restarted_ns < SHOWN_NS:
        why.append("edges of the contacts were not heard, and are read anew")
    if known.unproven:
        why.append(f"no edge has come since from {', '.join(known.unproven)}")
    if not why:
        return None
    return Finding(
        detail=f"{'; '.join(why)}; until then the levels are read",
        fix="use each contact that is named once; if that does not help restart the panel and check the wires",
    )


def _unreadable(known: Known) -> Finding | None:
    if not known.unreadable:
        return None
    return Finding(
        detail=f"cannot be read: {', '.join(known.unreadable)}", fix="check the wiring and restart the panel"
    )
