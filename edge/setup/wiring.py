"""Tries the wires with a person: "press the button now". Uses the panel's own pins, so the panel must not run.

A contact is looked at fifty times a second, which is enough for a hand; the panel itself listens to edges.
"""

from __future__ import annotations

import select
import sys
from collections.abc import Callable
from typing import Final

from edge.clock import SECOND
from edge.config import Panel
from edge.errors import Refused
from edge.panel.board import Board
from edge.panel.contact import Contact
from edge.panel.inbox import Inbox
from edge.panel.inputs import Inputs
from edge.panel.lamps import Output
from edge.ports import Clock
from edge.setup import texts
from edge.setup.talk import Talk, confirm

_LOOK_S: Final = 0.02
_PATIENCE_S: Final = 30.0
_OUTPUTS: Final = ("alarm", "lamp_official", "lamp_resident")


def try_wires(panel: Panel, board: Board, clock: Clock, talk: Talk, *, skips: Callable[[], bool]) -> tuple[str, ...]:
    """The wires that were not seen to work, by their names on the screen; empty when all did.

    `skips` says whether the person wants to go on without. Raises Refused when the pins cannot be had.
    """
    with Inputs(panel, board, clock, Inbox()) as inputs:
        talk.say(texts.ALARM_FIRST)
        if inputs.problems:
            raise Refused(inputs.problems[0])
        failed = list(_at_rest(inputs, talk))
        wanted = sorted(inputs.contacts, key=list(Contact).index)
        failed.extend(one.value for one in wanted if not _try_contact(one, inputs, clock, talk, skips))
    for name in _OUTPUTS:
        pin = getattr(panel, name)
        if pin is None:
            continue
        with Output(name, pin, board) as output:
            if not _try_output(name, output, clock, talk):
                failed.append(name)
    return tuple(texts.WIRES[name] for name in dict.fromkeys(failed))


def _at_rest(inputs: Inputs, talk: Talk) -> list[str]:
    used = [contact.value for contact, is_used in inputs.levels().items() if is_used]
    for name in used:
        talk.say(texts.NOT_AT_REST.format(wire=texts.WIRES[name]))
    if not used:
        talk.say(texts.AT_REST)
    return used


def _try_contact(wanted: Contact, inputs: Inputs, clock: Clock, talk: Talk, skips: Callable[[], bool]) -> bool:
    """It was used, and let go again."""
    rest = inputs.levels()
    talk.say(texts.USE_NOW.format(wire=texts.WIRES[wanted.value]))
    told: set[Contact] = set()
    has_been_used = False
    deadline_ns = clock.boot_ns() + round(_PATIENCE_S * SECOND)
    while clock.boot_ns() < deadline_ns and not skips():
        levels = inputs.levels()
        for other in levels:
            if other is not wanted and levels[other] and not rest.get(other) and other not in told | _together(wanted):
                told.add(other)
                talk.say(texts.OTHER_SEEN.format(wire=texts.WIRES[other.value], wanted=texts.WIRES[wanted.value]))
        if levels.get(wanted) and not has_been_used:
            has_been_used = True
            talk.say(texts.SEEN)
        if has_been_used and not levels.get(wanted):
            talk.say(texts.LET_GO)
            return True
        clock.sleep(_LOOK_S)
    talk.say(texts.NOT_SEEN)
    return False


def _together(wanted: Contact) -> frozenset[Contact]:
    """The two contacts of a pair move with one press."""
    pair = frozenset({Contact.PANIC, Contact.PANIC_CLOSED})
    return pair if wanted in pair else frozenset()


def _try_output(name: str, output: Output, clock: Clock, talk: Talk) -> bool:
    if not confirm(talk, texts.ASK_SWITCH.format(wire=texts.WIRES[name]), default=True):
        return False
    output.set(is_on=True)
    clock.sleep(1.0)
    output.set(is_on=False)
    return confirm(talk, texts.ASK_SAW, default=True)


def is_line_typed() -> bool:
    """Somebody pressed Enter; takes the line."""
    if not select.select([sys.stdin], [], [], 0)[0]:
        return False
    sys.stdin.readline()
    return True
