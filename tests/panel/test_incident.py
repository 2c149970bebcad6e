"""The incident's rules, one sentence each, and what holds whatever happens."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from edge.clock import SECOND
from edge.messages import Event, Incident, Mode
from edge.panel import incident as inc
from edge.panel import state
from edge.panel.diagram import diagram
from edge.panel.state import Moment, PanelState
from edge.panel.table import TABLE, Do, Effect, Phase, Signal
from tests.panel.support import IS_LONG

POST_S = 300
CAP_S = 900
PRESSES = {Event.PRESS, Event.PRESS_PRIVATE, Event.PRESS_TEST}


class Panel:
    """The incident with a time that goes on, and what its relay would do."""

    def __init__(
        self,
        *,
        arming: Literal["conversation", "always"] = "always",
        post_s: int = POST_S,
        alarm_signal: Literal["steady", "pulse"] = "steady",
    ) -> None:
        rules = state.Rules(
            arming=arming, post_press_ns=post_s * SECOND, clip_max_ns=CAP_S * SECOND, alarm_signal=alarm_signal
        )
        self.state = PanelState(rules=rules, run="run")
        self.now_ns = 5_000 * SECOND
        self._is_relay_on = False
        self._ids = (f"id{number}" for number in itertools.count(1))

    def give(self, kind: Callable[..., Any], after_s: float = 0, **more: Any) -> tuple[Effect, ...]:
        self.now_ns += int(after_s * SECOND)
        when = Moment(at_ns=self.now_ns, wall_ns=self.now_ns + 10**18, is_wall_trusted=True)
        self.state, effects = inc.step(self.state, kind(when=when, **more))
        for effect in effects:
            self._is_relay_on = effect in {Do.ALARM_ON, Do.PULSE_ON}
        return effects

    def press(self, after_s: float = 0) -> tuple[Effect, ...]:
        return self.give(state.Press, after_s, fresh_id=next(self._ids))

    def reset(self, after_s: float = 0) -> None:
        self.give(state.Reset, after_s)

    def wait(self, seconds: float) -> None:
        self.give(state.Tick, seconds)

    def private(self, is_on: bool, after_s: float = 0) -> None:
        self.give(state.Private, after_s, is_on=is_on)

    def conversation(self, is_on: bool, after_s: float = 0) -> None:
        self.give(state.Conversation, after_s, is_on=is_on)

    def test_key(self, is_on: bool, after_s: float = 0) -> None:
        self.give(state.TestKey, after_s, is_on=is_on)

    def maintain(self) -> None:
        """Turn the test key and hold the reset."""
        self.test_key(True)
        self.reset()
        self.give(state.ResetHeld, after_s=10)

    def is_relay_on(self) -> bool:
        return self._is_relay_on

    def mode(self) -> Mode:
        return state.wanted(self.state)[0]

    @property
    def incident(self) -> Incident:
        last = state.wanted(self.state)[1]
        assert last is not None
        return last

    @property
    def left_s(self) -> float:
        return (self.incident.until_ns - self.now_ns) / SECOND

    @property
    def events(self) -> list[Event]:
        return [counted.event for counted in self.state.events]


# ---- the table


def test_every_phase_has_a_row_for_every_signal() -> None:
    assert set(TABLE) == set(Phase)
    for phase, rows in TABLE.items():
        assert set(rows) == set(Signal), phase


def test_in_every_phase_a_press_puts_the_alarm_on_before_anything_else_and_is_counted_once() -> None:
    for phase, rows in TABLE.items():
        _, does = rows[Signal.PRESS]
        assert does[0] is Do.ALARM_ON, phase
        assert len([what for what in does if what in PRESSES]) == 1, phase


def states() -> list[PanelState]:
    """One state of each kind that inputs can lead to."""
    made: list[PanelState] = []
    armings: list[Literal["always", "conversation"]] = ["always", "conversation"]
    yes_no = (False, True)
    for arming, talk, key, tested in itertools.product(armings, yes_no, yes_no, yes_no):
        for phase in Phase:
            panel = Panel(arming=arming)
            panel.conversation(talk)
            panel.test_key(key)
            if tested and key:
                panel.press()
                panel.wait(2)
            if phase in {Phase.CLIP, Phase.ALARM}:
                panel.test_key(False)
                panel.press()
            if phase is Phase.ALARM:
                panel.conversation(True)
                panel.conversation(False, after_s=1)
            if phase in {Phase.PRIVATE, Phase.PRIVATE_ALARM}:
                panel.private(True)
            if phase is Phase.PRIVATE_ALARM:
                panel.test_key(False)
                panel.press()
            assert panel.state.phase is phase
            made.append(panel.state)
    return made


@pytest.mark.parametrize("after_s", [0, 1, 6, 299, 301, 361, 5 * 3600])
def test_every_state_takes_every_input_at_any_time(after_s: int) -> None:
    when = Moment(at_ns=(5_000 + after_s) * SECOND, wall_ns=0, is_wall_trusted=False)
    inputs: list[state.Input] = [
        state.Started(when=when),
        state.Press(when=when, fresh_id="fresh"),
        state.Reset(when=when),
        state.ResetHeld(when=when),
        state.Attention(when=when),
        state.Tick(when=when),
        *(
            kind(when=when, is_on=on)
            for kind in (state.Private, state.Conversation, state.TestKey)
            for on in (True, False)
        ),
    ]
    for before, given in itertools.product(states(), inputs):
        after, _ = inc.step(before, given)
        assert state.is_sound(after), (before.phase, given)
        due = inc.due_ns(after)
        # Whatever is past has been dealt with, but for the maximum of a conversation that waited for its clip.
        assert due is None or due > when.at_ns or before.phase is Phase.CLIP, (before.phase, given)


def test_the_diagram_shows_every_row_that_does_something() -> None:
    text = diagram()
    assert text.startswith("stateDiagram-v2\n")
    for phase, rows in TABLE.items():
        for signal, (after, does) in rows.items():
            start = f"    {phase.replace('-', '_')} --> {after.replace('-', '_')}: "
            shown = [line for line in text.splitlines() if line.startswith(start) and signal in line.split(" / ")[0]]
            assert bool(shown) == bool(does or after is not phase), (phase, signal)


# ---- listening


def test_armed_always_the_ring_is_wanted_without_a_conversation() -> None:
    assert Panel(arming="always").mode() is Mode.LISTEN


def test_armed_by_conversation_the_ring_is_wanted_only_while_one_is_on() -> None:
    panel = Panel(arming="conversation")
    assert panel.mode() is Mode.OFF
    panel.conversation(True)
    assert panel.mode() is Mode.LISTEN
    panel.conversation(False)
    assert panel.mode() is Mode.OFF
    assert panel.events == [Event.CONVERSATION_START, Event.CONVERSATION_END]


def test_a_forgotten_conversation_ends_by_itself_and_starts_again_only_with_the_switch() -> None:
    panel = Panel(arming="conversation")
    panel.conversation(True)
    panel.wait(inc.CONVERSATION_MAX_S - 1)
    assert panel.mode() is Mode.LISTEN
    panel.wait(2)
    assert panel.mode() is Mode.OFF
    assert panel.state.events[-1].at_ns == panel.now_ns - SECOND  # when it was due, not when somebody looked
    panel.conversation(False)
    assert panel.events.count(Event.CONVERSATION_END) == 1
    panel.conversation(True)
    assert panel.mode() is Mode.LISTEN


def test_the_maximum_of_a_conversation_does_not_cut_a_clip() -> None:
    panel = Panel(arming="conversation")
    panel.conversation(True)
    panel.press(inc.CONVERSATION_MAX_S - 10)
    panel.wait(60)
    assert panel.mode() is Mode.RECORD
    panel.reset()
    panel.wait(0)
    assert panel.mode() is Mode.OFF
    assert panel.events[-1] is Event.CONVERSATION_END
    assert panel.state.events[-1].at_ns == panel.now_ns


# ---- a press


@pytest.mark.parametrize("arming", ["always", "conversation"])
def test_a_press_puts_the_alarm_on_and_wants_a_clip_also_while_off(arming: Literal["always", "conversation"]) -> None:
    panel = Panel(arming=arming)
    assert panel.press() == (Do.ALARM_ON,)
    assert panel.mode() is Mode.RECORD
    assert panel.incident == Incident(
        id="id1",
        pressed_ns=panel.now_ns,
        pressed_wall_ns=panel.now_ns + 10**18,
        is_wall_trusted=True,
        until_ns=panel.now_ns + POST_S * SECOND,
        presses=1,
    )
    assert panel.state.events[-1].incident == "id1"


def test_a_second_press_extends_the_clip_from_that_press() -> None:
    panel = Panel()
    panel.press()
    panel.press(after_s=100)
    assert panel.left_s == POST_S
    assert (panel.incident.id, panel.incident.presses) == ("id1", 2)
    assert panel.events == [Event.PRESS, Event.PRESS]


def test_no_press_extends_a_clip_past_its_cap() -> None:
    panel = Panel()
    first_ns = panel.now_ns
    panel.press()
    for _ in range(7):
        panel.press(after_s=120)
    assert panel.incident.until_ns == first_ns + CAP_S * SECOND
    panel.wait(100)
    assert panel.mode() is Mode.LISTEN


def test_help_called_just_before_the_cap_goes_on_when_the_clip_ends() -> None:
    panel = Panel()
    panel.press()
    for _ in range(4):
        panel.press(after_s=224)
    assert panel.left_s == 4
    panel.wait(5)
    assert panel.mode() is Mode.LISTEN
    assert panel.is_relay_on()
    panel.wait(POST_S - 5)
    assert not panel.is_relay_on()


def test_when_its_time_is_up_the_incident_is_over_and_the_alarm_off() -> None:
    panel = Panel()
    panel.press()
    panel.wait(POST_S - 1)
    assert panel.mode() is Mode.RECORD
    assert panel.is_relay_on()
    until_ns = panel.incident.until_ns
    panel.wait(2)
    assert panel.mode() is Mode.LISTEN
    assert not panel.is_relay_on()
    assert panel.events == [Event.PRESS, Event.INCIDENT_OVER]
    over = panel.state.events[-1]
    assert (over.at_ns, over.wall_ns, over.incident) == (until_ns, until_ns + 10**18, "id1")
    assert panel.incident.until_ns == until_ns  # kept, so that its end is known


def test_a_reset_ends_clip_and_alarm_now() -> None:
    panel = Panel()
    panel.press()
    panel.reset(after_s=20)
    assert panel.mode() is Mode.LISTEN
    assert not panel.is_relay_on()
    assert panel.left_s == 0
    assert panel.events == [Event.PRESS, Event.RESET]
    panel.wait(POST_S)
    assert panel.events == [Event.PRESS, Event.RESET]


def test_the_end_of_the_conversation_ends_the_clip_but_not_the_alarm() -> None:
    panel = Panel(arming="conversation")
    panel.conversation(True)
    panel.press()
    panel.conversation(False, after_s=20)
    assert panel.mode() is Mode.OFF
    assert panel.left_s == 0
    assert panel.is_relay_on()
    panel.wait(POST_S - 21)
    assert panel.is_relay_on()
    panel.wait(2)
    assert not panel.is_relay_on()


def test_a_reset_silences_an_alarm_whose_clip_has_ended() -> None:
    panel = Panel(arming="conversation")
    panel.conversation(True)
    panel.press()
    panel.conversation(False, after_s=20)
    panel.reset(after_s=1)
    assert not panel.is_relay_on()
    assert panel.left_s == -1


# ---- back to back


@pytest.mark.parametrize(("pause_s", "expected"), [(1, "id1"), (60, "id1"), (61, "id2")])
def test_a_press_within_a_minute_after_the_time_was_up_continues_the_incident(pause_s: int, expected: str) -> None:
    panel = Panel()
    panel.press()
    panel.press(after_s=POST_S + pause_s)
    assert panel.mode() is Mode.RECORD
    assert panel.incident.id == expected
    assert panel.left_s == POST_S
    assert panel.events == [Event.PRESS, Event.INCIDENT_OVER, Event.PRESS]


def test_a_continued_incident_has_a_new_cap() -> None:
    panel = Panel()
    panel.press()
    for _ in range(4):
        panel.press(after_s=224)
    panel.press(after_s=30)
    assert (panel.incident.id, panel.incident.presses, panel.left_s) == ("id1", 6, POST_S)


def test_a_press_after_a_reset_is_a_new_incident() -> None:
    panel = Panel()
    panel.press()
    panel.reset(after_s=5)
    panel.press(after_s=1)
    assert (panel.incident.id, panel.incident.presses) == ("id2", 1)


def test_a_reset_after_the_time_was_up_closes_the_incident() -> None:
    panel = Panel()
    panel.press()
    panel.reset(after_s=POST_S + 5)
    panel.press(after_s=1)
    assert panel.incident.id == "id2"


def test_a_press_while_the_alarm_of_an_ended_clip_is_on_is_the_same_incident() -> None:
    panel = Panel(arming="conversation")
    panel.conversation(True)
    panel.press()
    panel.conversation(False, after_s=20)
    panel.press(after_s=20)
    assert panel.mode() is Mode.RECORD
    assert (panel.incident.id, panel.incident.presses) == ("id1", 2)


def test_a_press_that_waited_in_the_queue_past_the_end_of_the_clip_is_the_same_incident() -> None:
    panel = Panel()
    panel.press()
    panel.wait(POST_S + 0.1)
    panel.now_ns -= SECOND // 5  # latched before the end, taken up after it
    panel.press()
    assert panel.mode() is Mode.RECORD
    assert panel.incident.id == "id1"


# ---- private


def test_a_press_while_private_calls_for_help_and_records_nothing() -> None:
    panel = Panel()
    panel.private(True)
    assert panel.mode() is Mode.PRIVATE
    assert panel.press() == (Do.ALARM_ON,)
    assert panel.mode() is Mode.PRIVATE
    assert state.wanted(panel.state)[1] is None
    assert panel.events == [Event.PRIVATE_ON, Event.PRESS_PRIVATE]
    panel.wait(POST_S - 1)
    assert panel.is_relay_on()
    panel.wait(2)
    assert not panel.is_relay_on()
    assert panel.mode() is Mode.PRIVATE


def test_a_reset_silences_the_alarm_of_a_private_room() -> None:
    panel = Panel()
    panel.private(True)
    panel.press()
    panel.reset()
    assert not panel.is_relay_on()
    assert panel.mode() is Mode.PRIVATE


def test_the_end_of_private_during_an_alarm_brings_no_footage() -> None:
    panel = Panel()
    panel.private(True)
    panel.press()
    panel.private(False, after_s=5)
    assert panel.mode() is Mode.LISTEN
    assert panel.is_relay_on()
    panel.press(after_s=5)
    assert panel.mode() is Mode.RECORD  # a press that is not private is


def test_private_during_a_clip_ends_the_clip_and_leaves_the_alarm() -> None:
    panel = Panel()
    panel.press()
    panel.private(True, after_s=10)
    assert panel.mode() is Mode.PRIVATE
    assert panel.left_s == 0
    assert panel.is_relay_on()
    panel.wait(POST_S)
    assert not panel.is_relay_on()


# ---- test mode


def test_a_test_press_pulses_the_relay_and_makes_no_clip() -> None:
    panel = Panel()
    panel.test_key(True)
    assert panel.press() == (Do.PULSE_ON,)
    assert panel.is_relay_on()
    assert not state.is_alarm_on(panel.state)
    assert panel.mode() is Mode.LISTEN
    assert panel.events == [Event.PRESS_TEST]
    panel.wait(inc.PULSE_S)
    assert not panel.is_relay_on()


@pytest.mark.parametrize(("pause_s", "expected"), [(4.9, Mode.RECORD), (5.1, Mode.LISTEN)])
def test_a_second_press_within_five_seconds_is_real(pause_s: float, expected: Mode) -> None:
    panel = Panel()
    panel.test_key(True)
    panel.press()
    panel.press(after_s=pause_s)
    assert panel.mode() is expected


def test_after_a_real_press_the_test_is_over() -> None:
    panel = Panel()
    panel.test_key(True)
    panel.press()
    panel.press(after_s=0.5)  # in the pulse: the pulse's end must not silence the alarm
    panel.wait(2)
    assert panel.is_relay_on()
    panel.reset()
    panel.press(after_s=10)
    assert panel.mode() is Mode.RECORD


def test_a_test_ends_by_itself() -> None:
    panel = Panel()
    panel.test_key(True)
    panel.press(after_s=inc.TEST_MAX_S + 1)
    assert panel.mode() is Mode.RECORD


def test_the_key_turned_back_ends_the_test() -> None:
    panel = Panel()
    panel.test_key(True)
    panel.test_key(False, after_s=1)
    panel.press(after_s=1)
    assert panel.mode() is Mode.RECORD


def test_the_test_key_does_not_turn_an_emergency_into_a_test() -> None:
    panel = Panel()
    panel.press()
    panel.test_key(True)
    panel.press(after_s=20)
    assert panel.left_s == POST_S
    assert panel.events == [Event.PRESS, Event.PRESS]


def test_a_private_room_can_be_tested() -> None:
    panel = Panel()
    panel.private(True)
    panel.test_key(True)
    panel.press()
    assert panel.events[-1] is Event.PRESS_TEST
    assert panel.mode() is Mode.PRIVATE


# ---- maintenance


def test_in_maintenance_nothing_is_listened_to_and_a_press_is_a_press() -> None:
    panel = Panel(arming="always")
    panel.maintain()
    assert panel.mode() is Mode.OFF
    panel.test_key(False)
    assert panel.mode() is Mode.OFF
    assert panel.press() == (Do.ALARM_ON,)
    assert panel.mode() is Mode.RECORD
    panel.reset(after_s=5)
    assert panel.mode() is Mode.LISTEN, "a press ends it"


def test_maintenance_ends_by_itself() -> None:
    panel = Panel()
    panel.maintain()
    panel.wait(inc.MAINTENANCE_MAX_S - 1)
    assert panel.mode() is Mode.OFF
    panel.wait(2)
    assert panel.mode() is Mode.LISTEN


@pytest.mark.parametrize("end", [Panel.reset, lambda panel: panel.conversation(True)])
def test_maintenance_ends_with_a_reset_or_a_conversation(end: Callable[[Panel], None]) -> None:
    panel = Panel()
    panel.maintain()
    end(panel)
    assert panel.mode() is Mode.LISTEN


def test_without_the_test_key_a_held_reset_is_no_maintenance() -> None:
    panel = Panel()
    panel.reset()
    panel.give(state.ResetHeld, after_s=10)
    assert panel.mode() is Mode.LISTEN


def test_there_is_no_maintenance_in_an_emergency() -> None:
    panel = Panel()
    panel.test_key(True)
    panel.press()
    panel.press(after_s=1)
    panel.give(state.ResetHeld, after_s=10)
    assert panel.is_relay_on()
    assert panel.mode() is Mode.RECORD
    assert panel.state.maintenance_until_ns is None


# ---- a house alarm that wants a pulse


def test_by_pulse_the_relay_is_on_for_a_second_at_each_press_and_the_alarm_goes_on() -> None:
    panel = Panel(alarm_signal="pulse")
    for _ in range(2):
        assert panel.press(after_s=20) == (Do.ALARM_ON,)
        assert panel.is_relay_on()
        panel.wait(inc.PULSE_S)
        assert not panel.is_relay_on()
        assert not state.is_relay_on(panel.state)
        assert state.is_alarm_on(panel.state)
        assert panel.mode() is Mode.RECORD


def test_by_pulse_a_reset_in_the_pulse_ends_it() -> None:
    panel = Panel(alarm_signal="pulse")
    panel.press()
    panel.reset(after_s=0.5)
    assert not panel.is_relay_on()
    assert inc.due_ns(panel.state) is None


# ---- the rest


def test_attention_is_counted_and_nothing_else() -> None:
    panel = Panel()
    assert panel.give(state.Attention) == ()
    assert panel.mode() is Mode.LISTEN
    assert panel.events == [Event.ATTENTION]


def test_a_switch_told_twice_is_counted_once() -> None:
    panel = Panel()
    for is_on in (True, True, False, False):
        panel.private(is_on)
        panel.conversation(is_on)
    assert sorted(panel.events) == sorted(
        [Event.PRIVATE_ON, Event.CONVERSATION_START, Event.PRIVATE_OFF, Event.CONVERSATION_END]
    )


def test_the_journal_keeps_the_newest_64_and_counts_on() -> None:
    panel = Panel()
    for _ in range(100):
        panel.give(state.Attention)
    assert [event.seq for event in panel.state.events] == list(range(37, 101))


def test_a_state_whose_parts_contradict_each_other_is_not_sound() -> None:
    panel = Panel()
    panel.press()
    assert state.is_sound(panel.state)
    broken: list[dict[str, Any]] = [
        {"alarm_until_ns": None},
        {"incident": None},
        {"clip_pressed_ns": None},
        {"phase": Phase.CALM},
        {"seq": 7},
        {"run": "other"},
        {"test_until_ns": 1},
        {"maintenance_until_ns": 1},
    ]
    for change in broken:
        assert not state.is_sound(replace(panel.state, **change)), change


# ---- whatever happens


class Anything(RuleBasedStateMachine):
    """Any inputs in any order: help always comes, each press counts once, and one incident never becomes two."""

    @initialize(
        arming=st.sampled_from(["always", "conversation"]),
        post_s=st.sampled_from([5, 60, POST_S, CAP_S + 100]),
        alarm_signal=st.sampled_from(["steady", "pulse"]),
    )
    def begin(
        self, arming: Literal["always", "conversation"], post_s: int, alarm_signal: Literal["steady", "pulse"]
    ) -> None:
        self.panel = Panel(arming=arming, post_s=post_s, alarm_signal=alarm_signal)
        self.post_s = post_s
        self.helped_ns: int | None = None  # until when the last press calls for help, unless it was reset
        self.open_id: str | None = None  # the incident that this help belongs to
        self.clip_ns = 0

    @rule(after_s=st.one_of(st.integers(0, 10), st.integers(0, 2000), st.sampled_from([59, 60, 61, 14400])))
    def wait(self, after_s: int) -> None:
        self.panel.wait(after_s)

    @rule()
    def press(self) -> None:
        panel = self.panel
        panel.wait(0)
        before = panel.state
        effects = panel.press()
        counted = [event for event in panel.state.events if event.seq > before.seq]
        assert [event.event in PRESSES for event in counted] == [True]
        if counted[0].event is Event.PRESS_TEST:
            assert before.test_until_ns is not None
            assert not state.is_alarm_on(before)
            assert effects == (Do.PULSE_ON,)
            return
        assert effects[0] is Do.ALARM_ON
        assert panel.is_relay_on()
        assert state.is_alarm_on(panel.state)
        if self.helped_ns is None or panel.now_ns > self.helped_ns + 60 * SECOND:
            self.open_id = None
        self.helped_ns = panel.now_ns + self.post_s * SECOND
        if counted[0].event is Event.PRESS_PRIVATE:
            assert panel.mode() is Mode.PRIVATE
            return
        assert panel.mode() is Mode.RECORD
        if before.phase is not Phase.CLIP:
            self.clip_ns = panel.now_ns
        if self.open_id is not None:
            assert panel.incident.id == self.open_id
        else:
            assert before.incident is None or panel.incident.id != before.incident.id
        self.open_id = panel.incident.id

    @rule()
    def reset(self) -> None:
        self.panel.reset()
        self.helped_ns = self.open_id = None

    @rule()
    def reset_held(self) -> None:
        self.panel.give(state.ResetHeld)

    @rule(is_on=st.booleans())
    def private(self, is_on: bool) -> None:
        self.panel.private(is_on)

    @rule(is_on=st.booleans())
    def conversation(self, is_on: bool) -> None:
        self.panel.conversation(is_on)

    @rule(is_on=st.booleans())
    def test_key(self, is_on: bool) -> None:
        self.panel.test_key(is_on)

    @invariant()
    def holds(self) -> None:
        if not hasattr(self, "panel"):
            return
        panel = self.panel
        assert state.is_sound(panel.state)
        assert panel.is_relay_on() == state.is_relay_on(panel.state)
        assert state.is_alarm_on(panel.state) == (self.helped_ns is not None and panel.now_ns < self.helped_ns)
        if panel.mode() is Mode.RECORD:
            assert panel.now_ns < panel.incident.until_ns <= self.clip_ns + CAP_S * SECOND
        elif panel.state.incident is not None:
            assert panel.incident.until_ns <= panel.now_ns


def test_whatever_happens_help_comes_and_one_incident_never_becomes_two() -> None:
    size = settings(max_examples=3000 if IS_LONG else 200, stateful_step_count=40, deadline=None)
    run_state_machine_as_test(Anything, settings=size)
