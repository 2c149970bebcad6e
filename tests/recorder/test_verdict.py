"""Whether the room may listen is asked again while the recorder runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from edge.clock import SECOND
from edge.machine.preflight import Today
from edge.recorder.verdict import ASK_NS, Verdict
from tests.recorder.streams import SimClock


def verdict(*, may_listen: bool, ask: Callable[[], bool], clock: SimClock) -> Verdict:
    return Verdict(may_listen=may_listen, today=Today.of(clock), ask=lambda _: ask(), clock=clock)


def has_changed(watched: Verdict) -> bool:
    return watched.has_changed(is_in_conversation=False)


def test_a_machine_that_becomes_unsafe_is_found_within_five_seconds() -> None:
    clock, answers = SimClock(), [True, True, False]
    watched = verdict(may_listen=True, ask=lambda: answers.pop(0), clock=clock)
    found = []
    for _ in range(15):
        clock.now_ns += SECOND
        found.append(has_changed(watched))
    assert found.index(True) == 14
    assert found.count(True) == 1


def test_a_machine_that_is_mended_is_found_too() -> None:
    clock = SimClock()
    watched = verdict(may_listen=False, ask=lambda: True, clock=clock)
    assert not has_changed(watched), "it was asked at the start"
    clock.now_ns += ASK_NS
    assert has_changed(watched)


def test_the_machine_is_not_asked_at_every_turn_of_the_loop() -> None:
    clock, asked = SimClock(), Counter[str]()

    def ask() -> bool:
        asked["machine"] += 1
        return True

    watched = verdict(may_listen=True, ask=ask, clock=clock)
    for _ in range(100):
        clock.now_ns += SECOND // 10
        assert not has_changed(watched)
    assert asked["machine"] == 2


def test_a_date_that_passes_in_a_conversation_takes_effect_after_it_and_swap_at_once() -> None:
    clock = SimClock()
    first, is_safe = Today.of(clock), True
    watched = Verdict(may_listen=True, today=first, ask=lambda day: is_safe and day.date == first.date, clock=clock)
    clock.now_ns += 48 * 3600 * SECOND
    assert Today.of(clock).date != first.date
    assert not watched.has_changed(is_in_conversation=True)
    clock.now_ns += ASK_NS
    assert watched.has_changed(is_in_conversation=False)
    is_safe = False
    clock.now_ns += ASK_NS
    assert watched.has_changed(is_in_conversation=True)
