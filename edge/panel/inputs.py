"""Buttons and switches on GPIO pins, through gpiozero's input devices.

Threads: the pin library calls back on a thread of its own; there an edge is given its time and put into the inbox, and
no more. Everything else here is called by the main loop, `drive` by the keyboard.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final, Self

from gpiozero import InputDevice

from edge.config import Panel
from edge.errors import Refused
from edge.panel.board import Board
from edge.panel.contact import PANIC, Contact, Edge
from edge.panel.inbox import Inbox
from edge.ports import Clock

_log = logging.getLogger(__name__)

_ONE_CONTACT: Final = (Contact.ATTENTION, Contact.RESET, Contact.PRIVACY, Contact.CONVERSATION, Contact.TEST_KEY)


def wires(panel: Panel) -> Iterator[tuple[Contact, int, bool]]:
    """Each contact of `[panel]` with its pin, and whether it opens when it is used."""
    yield Contact.PANIC, panel.panic.pin, panel.panic.contact == "nc"
    if panel.panic.pin_closed is not None:
        yield Contact.PANIC_CLOSED, panel.panic.pin_closed, True
    for contact in _ONE_CONTACT:
        wire = getattr(panel, contact.value)
        if wire is not None:
            yield contact, wire.pin, wire.contact == "nc"


class _Watched:
    """One contact on its pin. gpiozero holds callbacks weakly; this object holds them for us."""

    def __init__(
        self, contact: Contact, pin: int, board: Board, clock: Clock, inbox: Inbox, *, is_inverted: bool
    ) -> None:
        self._contact = contact
        self._board = board
        self._is_inverted = is_inverted
        self._clock = clock
        self._inbox = inbox
        self.has_failed = False  # a callback raised: edges may be missing
        # InputDevice and its pin, not Button: gpiozero's events swallow an edge after a lost one, and its bounce
        # time loses edges (gpiozero#550).
        self.device = InputDevice(pin, pull_up=True, pin_factory=board.factory)

    @property
    def is_used(self) -> bool:
        return self._means_used(is_high=bool(self.device.pin.state))

    def watch(self) -> None:
        self.device.pin.edges = "both"
        self.device.pin.when_changed = self._changed
        # An edge between the last reading and this line would be nobody's; a level that is known already is harmless.
        edge = Edge(contact=self._contact, is_used=self.is_used, at_ns=self._clock.boot_ns(), is_seen=False)
        self._inbox.put(edge)

    def ignore(self) -> None:
        self.device.pin.when_changed = None

    def drive(self, *, is_used: bool) -> None:
        if is_used == self._is_inverted:
            self.device.pin.drive_high()
        else:
            self.device.pin.drive_low()

    def _changed(self, ticks: float, state: object) -> None:
        try:
            at_ns = self._board.edge_ns(ticks, self._clock.boot_ns())
            self._inbox.put(Edge(contact=self._contact, is_used=self._means_used(is_high=bool(state)), at_ns=at_ns))
        except Exception:  # noqa: BLE001 - on the pin library's thread; the main loop makes it a fault
            self.has_failed = True

    def _means_used(self, *, is_high: bool) -> bool:
        return is_high == self._is_inverted  # pulled up: a closed contact reads low


class Inputs:
    """All contacts that `[panel]` names. A broken one beside the panic button is a problem, not an end."""

    def __init__(self, panel: Panel, board: Board, clock: Clock, inbox: Inbox) -> None:
        self._board = board
        self._watched: dict[Contact, _Watched] = {}
        self.problems: tuple[str, ...] = ()
        with ExitStack() as undo:
            undo.callback(self.close)
            for contact, pin, is_inverted in wires(panel):
                try:
                    self._watched[contact] = _Watched(contact, pin, board, clock, inbox, is_inverted=is_inverted)
                except board.errors as err:
                    problem = f"panel.{contact.value}: pin {pin} cannot be read: {err}"
                    if contact is Contact.PANIC:
                        raise Refused(problem) from err
                    self.problems = (*self.problems, problem)
            undo.pop_all()

    def watch(self) -> tuple[str, ...]:
        """From now on edges go into the inbox. What cannot be watched is told: its level can still be read."""
        return tuple(self._watch())

    def watch_anew(self) -> tuple[str, ...]:
        """Leave the library's thread to itself and have edges brought by a new one; tells the same as `watch`."""
        try:
            for watched in self._watched.values():
                watched.ignore()
            self._board.restart()
        except self._board.errors as err:
            return (f"edges cannot be brought by a new thread: {err}",)
        return self.watch()

    def _watch(self) -> Iterator[str]:
        for contact, watched in self._watched.items():
            try:
                watched.watch()
            except self._board.errors as err:
                yield f"panel.{contact.value}: its edges cannot be watched: {err}"

    def levels(self) -> dict[Contact, bool]:
        """Which contacts are used at this moment. One that cannot be read is left out."""
        read: dict[Contact, bool] = {}
        for contact, watched in self._watched.items():
            with contextlib.suppress(*self._board.errors):  # who asks sees what is missing, and makes it a fault
                read[contact] = watched.is_used
        return read

    @property
    def contacts(self) -> frozenset[Contact]:
        """Those that are there."""
        return frozenset(self._watched)

    @property
    def beat_ns(self) -> int | None:
        """When the thread that brings edges last said that it lives; None if it never says that."""
        return self._board.beat_ns

    @property
    def has_failed(self) -> bool:
        """A callback could not do its work: edges may be missing."""
        return any(watched.has_failed for watched in self._watched.values())

    def drive(self, contact: Contact, *, is_used: bool) -> None:
        """Move a contact of the mock board; both contacts of a pair move with `panic`. Raises Refused without it."""
        if self._board.kind != "mock" or contact not in self._watched:
            raise Refused(f"{contact}: not on this panel, or not a mock one")
        moved = PANIC if contact is Contact.PANIC else {contact}
        for one in sorted(moved & self.contacts):
            self._watched[one].drive(is_used=is_used)

    def let_go(self) -> None:
        """Put every contact of the mock board at rest: a pulled-up pin is a used `nc` contact."""
        for watched in self._watched.values():
            watched.drive(is_used=False)

    def close(self) -> None:
        """Stop watching and give the pins back. Idempotent."""
        for watched in self._watched.values():
            try:
                if not watched.device.closed:
                    watched.ignore()
                watched.device.close()
            except self._board.errors as err:
                _log.warning("a pin was not given back: %s", err)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
