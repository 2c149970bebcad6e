"""What the recorder must do next, decided from what is wanted and what is. Pure and total: no I/O, no clock.

`plan` is called many times a second with the whole picture and gives the same answer until something changes
(level, not edge), so a lost message or a restart on either side costs nothing. Order matters: what protects the
resident (closing, wiping) comes first, then what serves the incident, then the ring.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from edge.messages import Mode


class Sound(StrEnum):
    """`microphone.mode`: R9."""

    OFF = "off"
    FROM_PRESS = "from_press"
    IN_RING = "in_ring"


class Wish(StrEnum):
    """The panel's mode, or its silence."""

    PRIVATE = "private"
    OFF = "off"
    LISTEN = "listen"
    RECORD = "record"
    NOBODY = "nobody"  # no panel heard for `PANEL_PATIENCE_S`: no button, no reason to listen

    @staticmethod
    def of(mode: Mode) -> Wish:
        return Wish(mode.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What this room's configuration and machine allow. They hold for the life of the process."""

    has_camera: bool
    has_ring: bool  # seconds > 0; without, the camera opens at the press
    sound: Sound
    may_listen: bool  # R3: no objection from the machine, the keys or the governance record


class ClipState(StrEnum):
    """The clip, as the plan sees it."""

    NONE = "none"
    OPEN = "open"  # of the incident that is wanted
    OTHER = "other"  # of another incident
    ENDING = "ending"  # told when to end; its last packets are on their way


@dataclass(frozen=True, slots=True, kw_only=True)
class Actual:
    """What is going on now."""

    is_capturing: bool  # the sources are open and the ring takes packets
    is_sound_taken: bool  # sound goes into the ring
    clip: ClipState
    is_incident_due: bool = True  # the wanted incident's end lies ahead: there is something to record


class Action(StrEnum):
    """One step. The loop performs them in the order given."""

    END_CLIP = "end clip"  # at the incident's end if that is known, else now
    CUT_CLIP = "cut clip"  # now: nothing may be seen any more
    STOP_CAPTURE = "stop capture"  # close the sources, wipe the ring
    START_CAPTURE = "start capture"
    TAKE_SOUND = "take sound"
    LEAVE_SOUND = "leave sound"
    OPEN_CLIP = "open clip"


def plan(wish: Wish, terms: Terms, actual: Actual) -> tuple[Action, ...]:
    """The steps from `actual` towards `wish`, none when they agree."""
    if wish is not Wish.PRIVATE and not (terms.has_camera and terms.may_listen):
        wish = Wish.OFF
    steps: list[Action] = []
    has_clip = actual.clip is not ClipState.NONE
    wants_clip = wish is Wish.RECORD and actual.is_incident_due

    if wish is Wish.PRIVATE and has_clip:
        steps.append(Action.CUT_CLIP)
    elif actual.clip is ClipState.OTHER or (
        actual.clip is ClipState.OPEN and not wants_clip and wish is not Wish.NOBODY
    ):
        steps.append(Action.END_CLIP)
    # A panel that is silent in an incident is being restarted: the clip goes on to the end it was last given.
    needs_packets = wants_clip or (has_clip and wish is not Wish.PRIVATE)
    captures = needs_packets or (wish in (Wish.LISTEN, Wish.RECORD) and terms.has_ring)
    takes_sound = captures and (terms.sound is Sound.IN_RING or (terms.sound is Sound.FROM_PRESS and needs_packets))

    if actual.is_capturing and not captures:
        steps.append(Action.STOP_CAPTURE)
    if captures and not actual.is_capturing:
        steps.append(Action.START_CAPTURE)
    if takes_sound and not (actual.is_sound_taken and actual.is_capturing):
        steps.append(Action.TAKE_SOUND)
    if captures and not takes_sound and actual.is_sound_taken:
        steps.append(Action.LEAVE_SOUND)
    if wants_clip and not has_clip:
        steps.append(Action.OPEN_CLIP)
    return tuple(steps)


# What `diagram` shows: the usual room, in the states that it goes through.
_SHOWN_TERMS: Final = Terms(has_camera=True, has_ring=True, sound=Sound.IN_RING, may_listen=True)
_SHOWN_STATES: Final = {
    "closed": Actual(is_capturing=False, is_sound_taken=False, clip=ClipState.NONE),
    "listening": Actual(is_capturing=True, is_sound_taken=True, clip=ClipState.NONE),
    "recording": Actual(is_capturing=True, is_sound_taken=True, clip=ClipState.OPEN),
    "recording another incident": Actual(is_capturing=True, is_sound_taken=True, clip=ClipState.OTHER),
    "ending a clip": Actual(is_capturing=True, is_sound_taken=True, clip=ClipState.ENDING),
}


def diagram() -> str:
    """What `plan` answers in a room with sound in its ring, as a Markdown table: a row a wish, a column a state."""
    rows = [["wanted", *_SHOWN_STATES], ["---"] * (1 + len(_SHOWN_STATES))]
    for wish in Wish:
        answers = [plan(wish, _SHOWN_TERMS, actual) for actual in _SHOWN_STATES.values()]
        rows.append([wish.value, *(", ".join(actions) or "nothing" for actions in answers)])
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)
