"""What the recorder does next, over every wish, room and state; and that it comes to rest where it should."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from edge.recorder.plan import Action, Actual, ClipState, Sound, Terms, Wish, diagram, plan

TERMS = [
    Terms(has_camera=camera, has_ring=ring, sound=sound, may_listen=may)
    for camera, ring, sound, may in itertools.product((True, False), (True, False), Sound, (True, False))
]
ACTUALS = [
    Actual(is_capturing=capturing, is_sound_taken=taken, clip=clip, is_incident_due=due)
    for capturing, taken, clip, due in itertools.product((True, False), (True, False), ClipState, (True, False))
    if capturing or not taken  # what is closed takes nothing (`Sources.stop`)
]
EVERYTHING = list(itertools.product(Wish, TERMS, ACTUALS))
ROOM = Terms(has_camera=True, has_ring=True, sound=Sound.IN_RING, may_listen=True)
SHUT = Actual(is_capturing=False, is_sound_taken=False, clip=ClipState.NONE)
LISTENING = Actual(is_capturing=True, is_sound_taken=True, clip=ClipState.NONE)
RECORDING = Actual(is_capturing=True, is_sound_taken=True, clip=ClipState.OPEN)


def perform(actions: tuple[Action, ...], actual: Actual) -> Actual:
    """A model of the world: what the loop's steps make of it. Ending takes a while, so that it is seen in between."""
    for action in actions:
        match action:
            case Action.START_CAPTURE:
                actual = replace(actual, is_capturing=True)
            case Action.STOP_CAPTURE:
                actual = replace(actual, is_capturing=False, is_sound_taken=False)
            case Action.TAKE_SOUND:
                actual = replace(actual, is_sound_taken=True)
            case Action.LEAVE_SOUND:
                actual = replace(actual, is_sound_taken=False)
            case Action.END_CLIP | Action.CUT_CLIP:
                actual = replace(actual, clip=ClipState.ENDING)
            case Action.OPEN_CLIP:
                actual = replace(actual, clip=ClipState.OPEN)
    return actual


def settled(wish: Wish, terms: Terms, actual: Actual) -> Actual:
    """Perform what is planned, let endings end, until nothing is planned any more."""
    for _ in range(8):
        actions = plan(wish, terms, actual)
        actual = perform(actions, actual)
        if actual.clip is ClipState.ENDING:
            actual = replace(actual, clip=ClipState.NONE)
        elif not actions:
            return actual
    pytest.fail(f"it never comes to rest: {wish}, {terms}, {actual}")


def test_there_is_an_answer_for_everything_and_no_step_comes_twice() -> None:
    assert len(EVERYTHING) > 2_000
    for wish, terms, actual in EVERYTHING:
        actions = plan(wish, terms, actual)
        assert len(actions) == len(set(actions))
        assert {Action.END_CLIP, Action.CUT_CLIP} - set(actions), "a clip ends in one way"
        assert {Action.START_CAPTURE, Action.STOP_CAPTURE} - set(actions)
        assert {Action.TAKE_SOUND, Action.LEAVE_SOUND} - set(actions)


def test_private_always_cuts_the_clip_and_closes_the_camera() -> None:
    for terms, actual in itertools.product(TERMS, ACTUALS):
        actions = plan(Wish.PRIVATE, terms, actual)
        assert (Action.CUT_CLIP in actions) == (actual.clip is not ClipState.NONE)
        assert (Action.STOP_CAPTURE in actions) == actual.is_capturing
        assert not {Action.START_CAPTURE, Action.TAKE_SOUND, Action.OPEN_CLIP} & set(actions)
        if {Action.CUT_CLIP, Action.STOP_CAPTURE} <= set(actions):
            assert actions.index(Action.CUT_CLIP) < actions.index(Action.STOP_CAPTURE)


def test_nothing_is_captured_unless_it_is_wanted_and_allowed() -> None:
    for wish, terms, actual in EVERYTHING:
        may = terms.has_camera and terms.may_listen
        wants = (wish is Wish.LISTEN and terms.has_ring) or (
            wish is Wish.RECORD and (terms.has_ring or actual.is_incident_due)
        )
        ends_a_clip = actual.clip is not ClipState.NONE and wish is not Wish.PRIVATE
        actions = plan(wish, terms, actual)
        if Action.START_CAPTURE in actions or (actual.is_capturing and Action.STOP_CAPTURE not in actions):
            assert (may and wants) or ends_a_clip
        if Action.OPEN_CLIP in actions:
            assert may
            assert wish is Wish.RECORD
            assert actual.is_incident_due


def test_it_comes_to_rest_at_what_is_wanted() -> None:
    for wish, terms, actual in EVERYTHING:
        rest = settled(wish, terms, actual)
        assert plan(wish, terms, rest) == ()
        may = terms.has_camera and terms.may_listen
        records = may and wish is Wish.RECORD and actual.is_incident_due
        # A silent panel is being restarted: the clip that is open goes on to its end, all else is closed.
        goes_on = may and wish is Wish.NOBODY and actual.clip is ClipState.OPEN
        assert rest.clip is (ClipState.OPEN if records or goes_on else ClipState.NONE)
        listens = may and terms.has_ring and wish in (Wish.LISTEN, Wish.RECORD)
        assert rest.is_capturing == (records or goes_on or listens)


def test_a_room_without_sound_never_takes_any() -> None:
    for wish, terms, actual in EVERYTHING:
        if terms.sound is Sound.OFF:
            assert Action.TAKE_SOUND not in plan(wish, terms, actual)
            assert not settled(wish, terms, actual).is_sound_taken


def test_sound_from_the_press_is_taken_only_while_a_clip_needs_it() -> None:
    for wish, terms, actual in EVERYTHING:
        if terms.sound is not Sound.FROM_PRESS:
            continue
        if actual.clip is ClipState.NONE and wish is not Wish.RECORD:
            assert Action.TAKE_SOUND not in plan(wish, terms, actual)
        rest = settled(wish, terms, actual)
        assert rest.is_sound_taken == (rest.clip is ClipState.OPEN)


def test_sound_in_the_ring_is_taken_whenever_the_picture_is() -> None:
    for wish, terms, actual in EVERYTHING:
        if terms.sound is Sound.IN_RING:
            rest = settled(wish, terms, actual)
            assert rest.is_sound_taken == rest.is_capturing


def test_the_ring_is_wiped_when_no_panel_speaks_but_an_open_clip_goes_on() -> None:
    assert plan(Wish.NOBODY, ROOM, LISTENING) == (Action.STOP_CAPTURE,)
    assert plan(Wish.NOBODY, ROOM, RECORDING) == ()


def test_another_incident_ends_the_clip_before_it_opens_its_own() -> None:
    other = replace(RECORDING, clip=ClipState.OTHER)
    assert plan(Wish.RECORD, ROOM, other) == (Action.END_CLIP,)
    assert plan(Wish.RECORD, ROOM, replace(other, clip=ClipState.ENDING)) == ()
    assert plan(Wish.RECORD, ROOM, LISTENING) == (Action.OPEN_CLIP,)


def test_the_camera_opens_at_the_press_where_nothing_of_the_past_is_promised() -> None:
    room = replace(ROOM, has_ring=False)
    assert plan(Wish.LISTEN, room, SHUT) == ()
    assert plan(Wish.RECORD, room, SHUT) == (Action.START_CAPTURE, Action.TAKE_SOUND, Action.OPEN_CLIP)


def test_the_diagram_says_what_plan_answers() -> None:
    text = diagram()
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    assert f"| {Wish.RECORD} | start capture, take sound, open clip | open clip | nothing |" in text
    assert f"| {Wish.PRIVATE} | nothing | stop capture | cut clip, stop capture |" in text
    assert f"| {Wish.NOBODY} | nothing | stop capture | nothing |" in text
    assert len({line.count("|") for line in lines}) == 1, "every row has as many cells"
    assert text.endswith("\n")
    for wish in Wish:
        assert f"\n| {wish} |" in text
