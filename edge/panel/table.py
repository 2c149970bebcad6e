"""What each phase of the room does with each signal: one literal table, total over both. Values only.

A signal is an input as a phase sees it (a press with the test key on is not a press). `incident.py` carries the table
out, `diagram.py` draws it.

    phase           alarm   wanted of the recorder
    CALM            off     listen, or off without a conversation and in maintenance
    CLIP            on      record
    ALARM           on      as CALM: the clip has ended, the help has not been called off
    PRIVATE         off     private
    PRIVATE_ALARM   on      private
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, Literal, TypeAlias

from edge.messages import Event


class Phase(StrEnum):
    """Where the room is."""

    CALM = "calm"
    CLIP = "clip"
    ALARM = "alarm"
    PRIVATE = "private"
    PRIVATE_ALARM = "private-alarm"


class Signal(StrEnum):
    """An input as the table sees it."""

    STARTED = "panel starts"
    PRESS = "press"
    TEST_PRESS = "test press"
    RESET = "reset"
    ATTENTION = "attention"
    PRIVATE_ON = "private on"
    PRIVATE_OFF = "private off"
    CONVERSATION_ON = "conversation on"
    CONVERSATION_OFF = "conversation off"
    TEST_ON = "test key on"
    TEST_OFF = "test key off or its time"
    CLIP_OVER = "clip's time"
    ALARM_OVER = "alarm's time"
    CONVERSATION_OVER = "conversation's maximum"
    PULSE_OVER = "pulse's time"
    MAINTENANCE_ON = "reset held with the test key on"
    MAINTENANCE_OVER = "maintenance's time"


class Do(StrEnum):
    """What a row of the table does, besides counting an event."""

    ALARM_ON = "alarm on"
    ALARM_OFF = "alarm off"
    PULSE_ON = "relay pulse"
    PULSE_OFF = "relay off"
    OPEN_CLIP = "clip opens"
    EXTEND_CLIP = "clip extended"
    END_CLIP = "clip ends"
    FORGET = "next press is a new incident"
    START_CONVERSATION = "conversation begins"
    END_CONVERSATION = "conversation ends"
    START_TEST = "test begins"
    END_TEST = "test ends"
    START_MAINTENANCE = "maintenance begins"
    END_MAINTENANCE = "maintenance ends"


Effect: TypeAlias = Literal[Do.ALARM_ON, Do.ALARM_OFF, Do.PULSE_ON, Do.PULSE_OFF]  # what the shell must do, now

Row: TypeAlias = tuple[Phase, tuple[Do | Event, ...]]

_CALM, _CLIP, _ALARM, _PRIVATE, _PRIVATE_ALARM = Phase
_START_CONVERSATION = (Do.START_CONVERSATION, Event.CONVERSATION_START)
_END_CONVERSATION = (Event.CONVERSATION_END, Do.END_CONVERSATION)
_PULSE = (Do.PULSE_ON, Event.PRESS_TEST)

# Every phase has a row for every signal. A row whose signal cannot reach that phase says what is safest if it did:
# with an alarm on, a test press is a press.
TABLE: Final[Mapping[Phase, Mapping[Signal, Row]]] = {
    Phase.CALM: {
        Signal.STARTED: (_CALM, (Event.PANEL_START,)),
        Signal.PRESS: (_CLIP, (Do.ALARM_ON, Do.OPEN_CLIP, Event.PRESS)),
        Signal.TEST_PRESS: (_CALM, _PULSE),
        Signal.RESET: (_CALM, (Event.RESET, Do.FORGET, Do.END_MAINTENANCE)),
        Signal.ATTENTION: (_CALM, (Event.ATTENTION,)),
        Signal.PRIVATE_ON: (_PRIVATE, (Event.PRIVATE_ON,)),
        Signal.PRIVATE_OFF: (_CALM, ()),
        Signal.CONVERSATION_ON: (_CALM, (*_START_CONVERSATION, Do.END_MAINTENANCE)),
        Signal.CONVERSATION_OFF: (_CALM, _END_CONVERSATION),
        Signal.TEST_ON: (_CALM, (Do.START_TEST,)),
        Signal.TEST_OFF: (_CALM, (Do.END_TEST,)),
        Signal.CLIP_OVER: (_CALM, ()),
        Signal.ALARM_OVER: (_CALM, ()),
        Signal.CONVERSATION_OVER: (_CALM, _END_CONVERSATION),
        Signal.PULSE_OVER: (_CALM, (Do.PULSE_OFF,)),
        Signal.MAINTENANCE_ON: (_CALM, (Event.MAINTENANCE_START, Do.START_MAINTENANCE)),
        Signal.MAINTENANCE_OVER: (_CALM, (Event.MAINTENANCE_END, Do.END_MAINTENANCE)),
    },
    Phase.CLIP: {
        Signal.STARTED: (_CLIP, (Event.PANEL_START,)),
        Signal.PRESS: (_CLIP, (Do.ALARM_ON, Do.EXTEND_CLIP, Event.PRESS)),
        Signal.TEST_PRESS: (_CLIP, (Do.ALARM_ON, Do.EXTEND_CLIP, Event.PRESS)),
        Signal.RESET: (_CALM, (Do.END_CLIP, Event.RESET, Do.ALARM_OFF, Do.FORGET)),
        Signal.ATTENTION: (_CLIP, (Event.ATTENTION,)),
        Signal.PRIVATE_ON: (_PRIVATE_ALARM, (Do.END_CLIP, Event.PRIVATE_ON)),
        Signal.PRIVATE_OFF: (_CLIP, ()),
        Signal.CONVERSATION_ON: (_CLIP, _START_CONVERSATION),
        Signal.CONVERSATION_OFF: (_ALARM, (Do.END_CLIP, *_END_CONVERSATION)),
        Signal.TEST_ON: (_CLIP, ()),
        Signal.TEST_OFF: (_CLIP, ()),
        Signal.CLIP_OVER: (_ALARM, (Do.END_CLIP, Event.INCIDENT_OVER)),
        Signal.ALARM_OVER: (_CLIP, ()),
        Signal.CONVERSATION_OVER: (_CLIP, ()),  # waits for the end of the clip
        Signal.PULSE_OVER: (_CLIP, (Do.PULSE_OFF,)),
        Signal.MAINTENANCE_ON: (_CLIP, ()),
        Signal.MAINTENANCE_OVER: (_CLIP, ()),
    },
    Phase.ALARM: {
        Signal.STARTED: (_ALARM, (Event.PANEL_START,)),
        Signal.PRESS: (_CLIP, (Do.ALARM_ON, Do.OPEN_CLIP, Event.PRESS)),
        Signal.TEST_PRESS: (_CLIP, (Do.ALARM_ON, Do.OPEN_CLIP, Event.PRESS)),
        Signal.RESET: (_CALM, (Event.RESET, Do.ALARM_OFF, Do.FORGET)),
        Signal.ATTENTION: (_ALARM, (Event.ATTENTION,)),
        Signal.PRIVATE_ON: (_PRIVATE_ALARM, (Event.PRIVATE_ON,)),
        Signal.PRIVATE_OFF: (_ALARM, ()),
        Signal.CONVERSATION_ON: (_ALARM, _START_CONVERSATION),
        Signal.CONVERSATION_OFF: (_ALARM, _END_CONVERSATION),
        Signal.TEST_ON: (_ALARM, ()),
        Signal.TEST_OFF: (_ALARM, ()),
        Signal.CLIP_OVER: (_ALARM, ()),
        Signal.ALARM_OVER: (_CALM, (Do.ALARM_OFF,)),
        Signal.CONVERSATION_OVER: (_ALARM, _END_CONVERSATION),
        Signal.PULSE_OVER: (_ALARM, (Do.PULSE_OFF,)),
        Signal.MAINTENANCE_ON: (_ALARM, ()),
        Signal.MAINTENANCE_OVER: (_ALARM, ()),
    },
    Phase.PRIVATE: {
        Signal.STARTED: (_PRIVATE, (Event.PANEL_START,)),
        Signal.PRESS: (_PRIVATE_ALARM, (Do.ALARM_ON, Event.PRESS_PRIVATE)),
        Signal.TEST_PRESS: (_PRIVATE, _PULSE),
        Signal.RESET: (_PRIVATE, (Event.RESET, Do.FORGET, Do.END_MAINTENANCE)),
        Signal.ATTENTION: (_PRIVATE, (Event.ATTENTION,)),
        Signal.PRIVATE_ON: (_PRIVATE, ()),
        Signal.PRIVATE_OFF: (_CALM, (Event.PRIVATE_OFF,)),
        Signal.CONVERSATION_ON: (_PRIVATE, (*_START_CONVERSATION, Do.END_MAINTENANCE)),
        Signal.CONVERSATION_OFF: (_PRIVATE, _END_CONVERSATION),
        Signal.TEST_ON: (_PRIVATE, (Do.START_TEST,)),
        Signal.TEST_OFF: (_PRIVATE, (Do.END_TEST,)),
        Signal.CLIP_OVER: (_PRIVATE, ()),
        Signal.ALARM_OVER: (_PRIVATE, ()),
        Signal.CONVERSATION_OVER: (_PRIVATE, _END_CONVERSATION),
        Signal.PULSE_OVER: (_PRIVATE, (Do.PULSE_OFF,)),
        Signal.MAINTENANCE_ON: (_PRIVATE, (Event.MAINTENANCE_START, Do.START_MAINTENANCE)),
        Signal.MAINTENANCE_OVER: (_PRIVATE, (Event.MAINTENANCE_END, Do.END_MAINTENANCE)),
    },
    Phase.PRIVATE_ALARM: {
        Signal.STARTED: (_PRIVATE_ALARM, (Event.PANEL_START,)),
        Signal.PRESS: (_PRIVATE_ALARM, (Do.ALARM_ON, Event.PRESS_PRIVATE)),
        Signal.TEST_PRESS: (_PRIVATE_ALARM, (Do.ALARM_ON, Event.PRESS_PRIVATE)),
        Signal.RESET: (_PRIVATE, (Event.RESET, Do.ALARM_OFF, Do.FORGET)),
        Signal.ATTENTION: (_PRIVATE_ALARM, (Event.ATTENTION,)),
        Signal.PRIVATE_ON: (_PRIVATE_ALARM, ()),
        Signal.PRIVATE_OFF: (_ALARM, (Event.PRIVATE_OFF,)),
        Signal.CONVERSATION_ON: (_PRIVATE_ALARM, _START_CONVERSATION),
        Signal.CONVERSATION_OFF: (_PRIVATE_ALARM, _END_CONVERSATION),
        Signal.TEST_ON: (_PRIVATE_ALARM, ()),
        Signal.TEST_OFF: (_PRIVATE_ALARM, ()),
        Signal.CLIP_OVER: (_PRIVATE_ALARM, ()),
        Signal.ALARM_OVER: (_PRIVATE, (Do.ALARM_OFF,)),
        Signal.CONVERSATION_OVER: (_PRIVATE_ALARM, _END_CONVERSATION),
        Signal.PULSE_OVER: (_PRIVATE_ALARM, (Do.PULSE_OFF,)),
        Signal.MAINTENANCE_ON: (_PRIVATE_ALARM, ()),
        Signal.MAINTENANCE_OVER: (_PRIVATE_ALARM, ()),
    },
}
