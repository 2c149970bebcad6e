"""What the panel remembers of the room, what can happen to it, and what follows at once from how it is. Pure values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, assert_never

from edge.messages import Incident, Mode, PanelEvent
from edge.panel.table import Phase

JOURNAL: Final = 64  # events in `messages.Wanted`


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the configuration decides.

    `arming`: listen only in a conversation, or always. `alarm_signal`: the relay is on for as long as the alarm, or
    for a moment at each press, for a house alarm that keeps itself on.
    """

    arming: Literal["conversation", "always"]
    post_press_ns: int
    clip_max_ns: int
    alarm_signal: Literal["steady", "pulse"] = "steady"


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelState:
    """All that the panel must remember. An instant that is None is not awaited. All `*_ns` on BOOTTIME."""

    rules: Rules
    run: str
    phase: Phase = Phase.CALM
    incident: Incident | None = None  # the open one in CLIP, else the last
    clip_pressed_ns: int | None = None  # first press of the present clip, from which its cap counts
    alarm_until_ns: int | None = None  # not None: the alarm is on
    continues_until_ns: int | None = None  # a press up to here belongs to `incident`; None: it would be a new one
    conversation_until_ns: int | None = None  # not None: a conversation is on
    test_until_ns: int | None = None  # not None: the test key counts
    tested_ns: int | None = None  # the last test press of this test
    maintenance_until_ns: int | None = None  # not None: somebody is at work on the wires
    pulse_until_ns: int | None = None
    events: tuple[PanelEvent, ...] = ()
    seq: int = 0  # of the newest event


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When an input came, on both clocks."""

    at_ns: int
    wall_ns: int
    is_wall_trusted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The panel process started, or started again."""

    when: Moment


@dataclass(frozen=True, slots=True, kw_only=True)
class Press:
    """The panic button. `fresh_id` names the incident if this press opens one."""

    when: Moment
    fresh_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset:
    when: Moment


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetHeld:
    """The reset is being held for as long as nobody does by mistake."""

    when: Moment


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    when: Moment


@dataclass(frozen=True, slots=True, kw_only=True)
class Private:
    when: Moment
    is_on: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    when: Moment
    is_on: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TestKey:
    when: Moment
    is_on: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """Nothing but the time."""

    when: Moment


Input: TypeAlias = Started | Press | Reset | ResetHeld | Attention | Private | Conversation | TestKey | Tick


def wanted(panel: PanelState) -> tuple[Mode, Incident | None]:
    """What the recorder is to do, and the incident: the open one in RECORD, else the last."""
    match panel.phase:
        case Phase.CLIP:
            mode = Mode.RECORD
        case Phase.PRIVATE | Phase.PRIVATE_ALARM:
            mode = Mode.PRIVATE
        case Phase.CALM | Phase.ALARM:
            is_armed = panel.rules.arming == "always" or panel.conversation_until_ns is not None
            mode = Mode.LISTEN if is_armed and panel.maintenance_until_ns is None else Mode.OFF
        case _:
            assert_never(panel.phase)
    return mode, panel.incident


def is_alarm_on(panel: PanelState) -> bool:
    return panel.alarm_until_ns is not None


def is_relay_on(panel: PanelState) -> bool:
    """The alarm, or a pulse of it, or the pulse of a test."""
    is_steady = panel.alarm_until_ns is not None and panel.rules.alarm_signal == "steady"
    return is_steady or panel.pulse_until_ns is not None


def is_private(panel: PanelState) -> bool:
    return panel.phase in {Phase.PRIVATE, Phase.PRIVATE_ALARM}


def is_sound(panel: PanelState) -> bool:
    """The parts agree with each other; what came from a file is checked with it."""
    is_alarm_phase = panel.phase in {Phase.CLIP, Phase.ALARM, Phase.PRIVATE_ALARM}
    return (
        is_alarm_phase == (panel.alarm_until_ns is not None)
        and (panel.phase is not Phase.CLIP or (panel.incident is not None and panel.clip_pressed_ns is not None))
        and (panel.continues_until_ns is None or panel.incident is not None)
        and not (is_alarm_phase and (panel.test_until_ns is not None or panel.maintenance_until_ns is not None))
        and len(panel.events) <= JOURNAL
        and all(event.run == panel.run for event in panel.events)
        and [event.seq for event in panel.events] == list(range(panel.seq - len(panel.events) + 1, panel.seq + 1))
    )
