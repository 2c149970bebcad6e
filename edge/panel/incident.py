"""The incident: what a press, a reset, a switch and the passing of time do to the alarm and to what is wanted.

Pure: no clock, no pins, no sockets. `table.TABLE` says for every phase of the room and every signal where it goes and
what is done; the few sums (until when, and no longer than) are the functions under `_DO`. The time limits that have
passed are always dealt with before an input, in their own order, so an outcome never depends on when somebody looked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Final, assert_never

from edge.clock import SECOND
from edge.messages import Event, Incident, PanelEvent
from edge.panel.state import (
    JOURNAL,
    Attention,
    Conversation,
    Input,
    Moment,
    PanelState,
    Press,
    Private,
    Reset,
    ResetHeld,
    Started,
    TestKey,
    Tick,
    is_private,
)
from edge.panel.table import TABLE, Do, Effect, Phase, Signal

# Half a working day: longer than any interview, so it never cuts one short; a switch that was forgotten must not film
# the cleaners in the evening (R11).
CONVERSATION_MAX_S: Final = 4 * 3600
# Clips back to back are one incident (R8): somebody who presses within a minute after the alarm went off by itself is
# still in the same trouble. After a reset a press is a new incident.
BACK_TO_BACK_S: Final = 60
TEST_MAX_S: Final = 5 * 60  # R15
TEST_AGAIN_S: Final = 5  # R15: a second press within it is real, whatever the key says
PULSE_S: Final = 1  # long enough to hear the relay and to see the house alarm's test input react
# R15: long enough to mend a wire and try it, short enough that nobody goes home in it.
MAINTENANCE_MAX_S: Final = 30 * 60


def step(panel: PanelState, given: Input) -> tuple[PanelState, tuple[Effect, ...]]:
    """The panel after `given`, and what must be done with the relay, in that order."""
    effects: list[Effect] = []
    fresh_id = given.fresh_id if isinstance(given, Press) else ""
    while (due := _next_due(panel)) is not None and due[0] <= given.when.at_ns:
        panel = _apply(panel, due[1], _moment_of(panel, due[0], given.when), fresh_id, effects)
    signal = _signal(panel, given)
    if signal is not None:
        panel = _apply(panel, signal, given.when, fresh_id, effects)
    return panel, tuple(effects)


def due_ns(panel: PanelState) -> int | None:
    """When the next time limit passes: the latest instant for the next `Tick`."""
    due = _next_due(panel)
    return None if due is None else due[0]


def _next_due(panel: PanelState) -> tuple[int, Signal] | None:
    """The next time limit; of two at the same instant the clip's comes before the alarm's."""
    return min(_dues(panel), key=lambda due: due[0], default=None)


def _dues(panel: PanelState) -> Iterator[tuple[int, Signal]]:
    """The limits that the phase waits for. In its row each of them removes its own limit, so `step` comes to an end."""
    waits: list[tuple[int | None, Signal]] = [(panel.pulse_until_ns, Signal.PULSE_OVER)]
    match panel.phase:
        case Phase.CLIP:  # neither the alarm nor the conversation's maximum ends before the clip does
            waits += [(None if panel.incident is None else panel.incident.until_ns, Signal.CLIP_OVER)]
        case Phase.ALARM | Phase.PRIVATE_ALARM:
            waits += [
                (panel.alarm_until_ns, Signal.ALARM_OVER),
                (panel.conversation_until_ns, Signal.CONVERSATION_OVER),
            ]
        case Phase.CALM | Phase.PRIVATE:
            waits += [
                (panel.test_until_ns, Signal.TEST_OFF),
                (panel.maintenance_until_ns, Signal.MAINTENANCE_OVER),
                (panel.conversation_until_ns, Signal.CONVERSATION_OVER),
            ]
        case _:
            assert_never(panel.phase)
    for until_ns, signal in waits:
        if until_ns is not None:
            yield until_ns, signal


def _moment_of(panel: PanelState, at_ns: int, now: Moment) -> Moment:
    """When a time limit passed; a conversation's, if it waited for the end of the clip, counts from there."""
    if panel.events:
        at_ns = min(now.at_ns, max(at_ns, panel.events[-1].at_ns))
    return Moment(at_ns=at_ns, wall_ns=now.wall_ns - (now.at_ns - at_ns), is_wall_trusted=now.is_wall_trusted)


def _signal(panel: PanelState, given: Input) -> Signal | None:
    """What `given` is to the table; None when it changes nothing: a switch that is already so, a mere tick."""
    match given:
        case Started():
            return Signal.STARTED
        case Press():
            return Signal.TEST_PRESS if _is_test(panel, given.when.at_ns) else Signal.PRESS
        case Reset():
            return Signal.RESET
        case ResetHeld():
            return Signal.MAINTENANCE_ON if panel.test_until_ns is not None else None
        case Attention():
            return Signal.ATTENTION
        case Private(is_on=is_on):
            return _switched(is_on, is_private(panel), Signal.PRIVATE_ON, Signal.PRIVATE_OFF)
        case Conversation(is_on=is_on):
            was_on = panel.conversation_until_ns is not None
            return _switched(is_on, was_on, Signal.CONVERSATION_ON, Signal.CONVERSATION_OFF)
        case TestKey(is_on=is_on):
            return _switched(is_on, panel.test_until_ns is not None, Signal.TEST_ON, Signal.TEST_OFF)
        case Tick():
            return None
        case _:
            assert_never(given)


def _switched(is_on: bool, was_on: bool, on: Signal, off: Signal) -> Signal | None:
    if is_on == was_on:
        return None
    return on if is_on else off


def _is_test(panel: PanelState, at_ns: int) -> bool:
    is_second = panel.tested_ns is not None and at_ns - panel.tested_ns <= TEST_AGAIN_S * SECOND
    return panel.test_until_ns is not None and not is_second


def _apply(panel: PanelState, signal: Signal, when: Moment, fresh_id: str, effects: list[Effect]) -> PanelState:
    after, does = TABLE[panel.phase][signal]
    for what in does:
        if isinstance(what, Event):
            panel = _count(panel, what, when)
            continue
        panel = _DO[what](panel, when, fresh_id)
        if what is Do.ALARM_ON or what is Do.ALARM_OFF or what is Do.PULSE_ON or what is Do.PULSE_OFF:
            effects.append(what)
    return replace(panel, phase=after)


def _count(panel: PanelState, event: Event, when: Moment) -> PanelState:
    """One more event in the journal. It names the incident whose alarm is on."""
    is_of_incident = panel.alarm_until_ns is not None and panel.continues_until_ns is not None
    counted = PanelEvent(
        run=panel.run,
        seq=panel.seq + 1,
        event=event,
        at_ns=when.at_ns,
        wall_ns=when.wall_ns,
        is_wall_trusted=when.is_wall_trusted,
        incident=panel.incident.id if is_of_incident and panel.incident is not None else None,
    )
    return replace(panel, seq=counted.seq, events=(*panel.events, counted)[-JOURNAL:])


def _alarm_on(panel: PanelState, when: Moment, _fresh_id: str) -> PanelState:
    """On for as long as a clip goes on after a press; a real press ends a test, and maintenance."""
    until_ns = max(when.at_ns + panel.rules.post_press_ns, panel.alarm_until_ns or 0)
    continues = panel.continues_until_ns is not None and when.at_ns <= panel.continues_until_ns
    return replace(
        panel,
        alarm_until_ns=until_ns,
        continues_until_ns=until_ns + BACK_TO_BACK_S * SECOND if continues else None,
        test_until_ns=None,
        tested_ns=None,
        maintenance_until_ns=None,
        pulse_until_ns=when.at_ns + PULSE_S * SECOND if panel.rules.alarm_signal == "pulse" else None,
    )


def _alarm_off(panel: PanelState, _when: Moment, _fresh_id: str) -> PanelState:
    return replace(panel, alarm_until_ns=None, pulse_until_ns=None)


def _pulse_on(panel: PanelState, when: Moment, _fresh_id: str) -> PanelState:
    return replace(panel, tested_ns=when.at_ns, pulse_until_ns=when.at_ns + PULSE_S * SECOND)


def _pulse_off(panel: PanelState, _when: Moment, _fresh_id: str) -> PanelState:
    return replace(panel, pulse_until_ns=None)


def _open_clip(panel: PanelState, when: Moment, fresh_id: str) -> PanelState:
    """A clip of the incident that this press continues, or of a new one. Its cap counts from this press."""
    until_ns = when.at_ns + min(panel.rules.post_press_ns, panel.rules.clip_max_ns)
    if panel.continues_until_ns is not None and panel.incident is not None:
        incident = replace(panel.incident, until_ns=until_ns, presses=panel.incident.presses + 1)
    else:
        incident = Incident(
            id=fresh_id,
            pressed_ns=when.at_ns,
            pressed_wall_ns=when.wall_ns,
            is_wall_trusted=when.is_wall_trusted,
            until_ns=until_ns,
            presses=1,
        )
    alarm_until_ns = panel.alarm_until_ns if panel.alarm_until_ns is not None else until_ns
    return replace(
        panel,
        incident=incident,
        clip_pressed_ns=when.at_ns,
        continues_until_ns=alarm_until_ns + BACK_TO_BACK_S * SECOND,
    )


def _extend_clip(panel: PanelState, when: Moment, fresh_id: str) -> PanelState:
    """On from this press, but no further than the cap, and never less than before."""
    if panel.incident is None or panel.clip_pressed_ns is None:  # `is_sound` says it cannot be; a press counts anyhow
        return _open_clip(panel, when, fresh_id)
    until_ns = min(when.at_ns + panel.rules.post_press_ns, panel.clip_pressed_ns + panel.rules.clip_max_ns)
    incident = replace(
        panel.incident, until_ns=max(until_ns, panel.incident.until_ns), presses=panel.incident.presses + 1
    )
    return replace(panel, incident=incident)


def _end_clip(panel: PanelState, when: Moment, _fresh_id: str) -> PanelState:
    if panel.incident is None:
        return panel
    incident = replace(panel.incident, until_ns=min(panel.incident.until_ns, when.at_ns))
    return replace(panel, incident=incident, clip_pressed_ns=None)


def _forget(panel: PanelState, _when: Moment, _fresh_id: str) -> PanelState:
    return replace(panel, continues_until_ns=None)


def _start_conversation(panel: PanelState, when: Moment, _fresh_id: str) -> PanelState:
    return replace(panel, conversation_until_ns=when.at_ns + CONVERSATION_MAX_S * SECOND)


def _end_conversation(panel: PanelState, _when: Moment, _fresh_id: str) -> PanelState:
    return replace(panel, conversation_until_ns=None)


def _start_test(panel: PanelState, when: Moment, _fresh_id: str) -> PanelState:
    return replace(panel, test_until_ns=when.at_ns + TEST_MAX_S * SECOND, tested_ns=None)


def _end_test(panel: PanelState, _when: Moment, _fresh_id: str) -> PanelState:
    return replace(panel, test_until_ns=None, tested_ns=None)


def _start_maintenance(panel: PanelState, when: Moment, _fresh_id: str) -> PanelState:
    return replace(panel, maintenance_until_ns=when.at_ns + MAINTENANCE_MAX_S * SECOND)


def _end_maintenance(panel: PanelState, _when: Moment, _fresh_id: str) -> PanelState:
    return replace(panel, maintenance_until_ns=None)


_DO: Final[Mapping[Do, Callable[[PanelState, Moment, str], PanelState]]] = {
    Do.ALARM_ON: _alarm_on,
    Do.ALARM_OFF: _alarm_off,
    Do.PULSE_ON: _pulse_on,
    Do.PULSE_OFF: _pulse_off,
    Do.OPEN_CLIP: _open_clip,
    Do.EXTEND_CLIP: _extend_clip,
    Do.END_CLIP: _end_clip,
    Do.FORGET: _forget,
    Do.START_CONVERSATION: _start_conversation,
    Do.END_CONVERSATION: _end_conversation,
    Do.START_TEST: _start_test,
    Do.END_TEST: _end_test,
    Do.START_MAINTENANCE: _start_maintenance,
    Do.END_MAINTENANCE: _end_maintenance,
}
