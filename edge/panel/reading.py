"""What the contacts of the panel say: edges and levels come in, presses and thrown switches come out.

Memory around the pure rules of `contact`, `pair` and `hearing`; no pins and no clock. Called by the main loop only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from edge.panel import contact as contacts
from edge.panel import hearing as hearings
from edge.panel import pair as pairs
from edge.panel.contact import BUTTONS, PANIC, Contact, Edge, Settled
from edge.panel.hearing import Hearing
from edge.panel.pair import Pair, Wiring

# At the start several contacts may have changed at once. Private comes first, so that nothing of a room that is
# private is recorded, and the press last, so that a reset that is held down does not undo it.
_ORDER: Final = (
    Contact.PRIVACY,
    Contact.CONVERSATION,
    Contact.TEST_KEY,
    Contact.ATTENTION,
    Contact.RESET,
    Contact.PANIC,
    Contact.PANIC_CLOSED,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """A button was pressed, or a switch thrown to or fro. A pair's press is one of `Contact.PANIC`."""

    contact: Contact
    is_used: bool
    at_ns: int


class Reading:
    """The contacts of one panel."""

    def __init__(self, present: Iterable[Contact]) -> None:
        self._contacts = {
            contact: Settled(is_used=False, is_raw_used=False) for contact in _ORDER if contact in present
        }
        self._hearing = {contact: Hearing(is_used=False) for contact in self._contacts}
        self._pair = Pair() if Contact.PANIC_CLOSED in self._contacts else None
        self._since_ns: dict[Contact, int] = {}  # of the contacts that are used
        self._was_closed_at_boot = False

    def begin(
        self, levels: Mapping[Contact, bool], before: Iterable[Contact], now_ns: int, *, is_boot: bool
    ) -> list[Use]:
        """Take the levels as they are. What has changed since `before` was done while nobody watched, and counts.

        At the machine's start (`is_boot`) nothing was before: a button that is closed then is stuck, not pressed.
        """
        uses: list[Use] = []
        used_before = frozenset(before)
        if self._pair is not None:
            self._pair = Pair(used=used_before & PANIC, changed_ns=now_ns)
        for contact in self._contacts:
            is_used = levels.get(contact, False)
            self._contacts[contact] = Settled(is_used=is_used, is_raw_used=is_used)
            self._hearing[contact] = Hearing(is_used=is_used)
            if is_used:
                self._since_ns[contact] = now_ns
            if is_used != (contact in used_before):
                uses += [
                    use for use in self._count(contact, now_ns, is_used=is_used) if not (is_boot and _is_press(use))
                ]
        self._was_closed_at_boot = is_boot and self._is_panic_closed()
        return uses

    def edge(self, edge: Edge) -> list[Use]:
        """An edge, or a level that was read."""
        if edge.contact not in self._contacts:
            return []
        if edge.is_seen:
            self._hearing[edge.contact] = hearings.heard(self._hearing[edge.contact], is_used=edge.is_used)
        self._contacts[edge.contact], changes = contacts.on_edge(self._contacts[edge.contact], edge)
        return self._changed(edge.contact, changes)

    def time(self, now_ns: int, waiting: Mapping[Contact, int]) -> list[Use]:
        """What the passing of time settles; of a contact in `waiting` it is known only up to its next edge."""
        uses: list[Use] = []
        for contact, settled in self._contacts.items():
            self._contacts[contact], changes = contacts.on_time(settled, min(now_ns, waiting.get(contact, now_ns)))
            uses += self._changed(contact, changes)
        return uses

    def look(self, levels: Mapping[Contact, bool], now_ns: int) -> list[Use]:
        """The levels were read, to see whether the edges tell of them. A level that none told counts all the same."""
        for contact, is_used in levels.items():
            self._hearing[contact] = hearings.looked(self._hearing[contact], now_ns, is_used=is_used)
        return self._take(levels, now_ns)

    def read_anew(self, levels: Mapping[Contact, bool], now_ns: int) -> list[Use]:
        """The levels were read because edges were thrown away; that is no deafness."""
        for contact, is_used in levels.items():
            self._hearing[contact] = hearings.heard(self._hearing[contact], is_used=is_used)
        return self._take(levels, now_ns)

    def restarted(self) -> None:
        """From now on edges are brought anew."""
        for contact, hearing in self._hearing.items():
            is_used = self._contacts[contact].is_raw_used
            self._hearing[contact] = hearings.restarted(hearing, is_used=is_used)

    def is_deaf(self, now_ns: int) -> bool:
        """Edges have not told what they should have told."""
        return any(hearings.is_deaf(hearing, now_ns) for hearing in self._hearing.values())

    @property
    def unproven(self) -> tuple[Contact, ...]:
        """The contacts that were deaf and have not been heard since."""
        return tuple(contact for contact, hearing in self._hearing.items() if hearing.is_unproven)

    @property
    def used(self) -> tuple[Contact, ...]:
        """The contacts that count as used."""
        return tuple(contact for contact, settled in self._contacts.items() if settled.is_used)

    @property
    def was_closed_at_boot(self) -> bool:
        """The panic button was closed when the machine started and has not been let go."""
        return self._was_closed_at_boot

    def panic_since_ns(self) -> int | None:
        """Since when the panic button is held, with all its contacts; None when it is not."""
        if not self._is_panic_closed():
            return None
        return max(self._since_ns[contact] for contact in self._contacts if contact in PANIC)

    def since_ns(self, contact: Contact) -> int | None:
        """Since when a contact is used; None when it is not."""
        return self._since_ns.get(contact)

    def wiring(self, now_ns: int) -> Wiring:
        """How the panic button's wires are, as far as they can tell."""
        return Wiring.SOUND if self._pair is None else pairs.wiring(self._pair, now_ns)

    def due_ns(self) -> int | None:
        """When `time` may have something to say."""
        dues = [due for settled in self._contacts.values() if (due := contacts.due_ns(settled)) is not None]
        return min(dues, default=None)

    def _take(self, levels: Mapping[Contact, bool], now_ns: int) -> list[Use]:
        uses: list[Use] = []
        for contact, is_used in levels.items():
            uses += self.edge(Edge(contact=contact, is_used=is_used, at_ns=now_ns, is_seen=False))
        return uses

    def _changed(self, contact: Contact, changes: Iterable[contacts.Change]) -> list[Use]:
        uses: list[Use] = []
        for is_used, at_ns in changes:
            if is_used:
                self._since_ns[contact] = at_ns
            else:
                self._since_ns.pop(contact, None)
            if contact in PANIC:
                self._was_closed_at_boot = False
            uses += self._count(contact, at_ns, is_used=is_used)
        return uses

    def _count(self, contact: Contact, at_ns: int, *, is_used: bool) -> Iterator[Use]:
        is_counted = is_used or contact not in BUTTONS
        if contact in PANIC and self._pair is not None:
            self._pair, is_counted = pairs.on_change(self._pair, contact, at_ns, is_used=is_used)
            contact = Contact.PANIC
        if is_counted:
            yield Use(contact=contact, is_used=is_used, at_ns=at_ns)

    def _is_panic_closed(self) -> bool:
        return all(self._contacts[contact].is_used for contact in self._contacts if contact in PANIC)


def _is_press(use: Use) -> bool:
    return use.contact in BUTTONS
