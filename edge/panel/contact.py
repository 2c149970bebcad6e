"""One button or switch: what its edges mean once glitches and bounce are taken away. Pure: values and no clock.

A contact that was quiet and is used counts as soon as it is seen used `GLITCH_NS` after its first edge, with the time
of that edge: help comes first, but not for a spark. What follows is bounce until the contact has been quiet for
`SETTLE_NS`; the level it then has counts if it is a new one. So a press of 20 ms is a press, also one that bounces all
the while; a bouncing one is one press, a button held for an hour is one press, and a press that begins in the bounce
of the last release is late by `SETTLE_NS`, not lost. Letting go is treated in the same way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from edge.clock import MILLISECOND

# What is over within 3 ms is a spark on the wire: no finger is so quick, and most of the 10 ms to the alarm is left.
GLITCH_NS: Final = 3 * MILLISECOND
# Contact bounce of panic buttons and key switches ends within 30 ms at worst; no hand lets go and presses again in 50.
SETTLE_NS: Final = 50 * MILLISECOND


class Contact(StrEnum):
    """The contacts a panel can have, by their names in `[panel]`."""

    PANIC = "panic"
    PANIC_CLOSED = "panic_closed"  # the second contact of a pair: closed at rest (`pin_closed`)
    ATTENTION = "attention"
    RESET = "reset"
    PRIVACY = "privacy"
    CONVERSATION = "conversation"
    TEST_KEY = "test_key"


PANIC: Final = frozenset({Contact.PANIC, Contact.PANIC_CLOSED})
BUTTONS: Final = PANIC | {Contact.ATTENTION, Contact.RESET}  # using one counts, letting go does not


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """A contact came to be used or let go. `is_seen`: the hardware saw the change; else the level was read."""

    contact: Contact
    is_used: bool
    at_ns: int
    is_seen: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """A contact without its glitches and bounce. `is_used` is what counts, `is_raw_used` the latest level."""

    is_used: bool
    is_raw_used: bool
    is_raw_read: bool = False  # no edge told the latest level; one that does is no second one
    last_edge_ns: int | None = None
    left_ns: int | None = None  # when a quiet contact left `is_used`, while that may still be a glitch


Change = tuple[bool, int]  # used or let go, and when


def on_edge(contact: Settled, edge: Edge) -> tuple[Settled, tuple[Change, ...]]:
    """The contact after an edge, and what changed: nothing, the level before it, or a press that was missed."""
    contact, changes = on_time(contact, edge.at_ns)
    if not edge.is_seen and edge.is_used == contact.is_raw_used:
        return contact, changes  # read, and nothing new
    is_quiet = contact.last_edge_ns is None or edge.at_ns - contact.last_edge_ns >= SETTLE_NS
    is_away = edge.is_used != contact.is_used
    left_ns = contact.left_ns
    if is_quiet and is_away:
        left_ns = edge.at_ns
    elif is_quiet and edge.contact in BUTTONS and not contact.is_raw_read:
        # Two edges the same way with quiet between them: the one between was lost, and a press with it.
        changes = (*changes, (not edge.is_used, edge.at_ns), (edge.is_used, edge.at_ns))
    return (
        Settled(
            is_used=contact.is_used,
            is_raw_used=edge.is_used,
            is_raw_read=not edge.is_seen,
            last_edge_ns=max(edge.at_ns, contact.last_edge_ns or edge.at_ns),
            left_ns=left_ns,
        ),
        changes,
    )


def on_time(contact: Settled, now_ns: int) -> tuple[Settled, tuple[Change, ...]]:
    """The contact when nothing has come for a while, and the change, if a new level has lasted long enough."""
    due = due_ns(contact)
    if due is None or now_ns < due or contact.last_edge_ns is None:
        return contact, ()
    since_ns = contact.last_edge_ns if contact.left_ns is None else contact.left_ns
    after = replace(contact, is_used=contact.is_raw_used, left_ns=None)
    return after, () if contact.is_used == contact.is_raw_used else ((contact.is_raw_used, since_ns),)


def due_ns(contact: Settled) -> int | None:
    """When `on_time` may have something to say; None while the level that counts is the latest."""
    if contact.last_edge_ns is None:
        return None
    if contact.is_used != contact.is_raw_used:
        return contact.last_edge_ns + SETTLE_NS if contact.left_ns is None else contact.left_ns + GLITCH_NS
    return None if contact.left_ns is None else contact.last_edge_ns + SETTLE_NS
