"""Deaf or not: what edges told against what levels say."""

from __future__ import annotations

from edge.clock import SECOND
from edge.panel.hearing import DEAF_NS, LOOK_NS, Hearing, heard, is_deaf, is_thread_deaf, looked, restarted

AT_REST = Hearing(is_used=False)


def test_levels_that_agree_with_the_edges_prove_nothing_wrong() -> None:
    assert not is_deaf(looked(AT_REST, 5, is_used=False), 100 * SECOND)
    pressed = heard(AT_REST, is_used=True)
    assert not is_deaf(looked(pressed, 5, is_used=True), 100 * SECOND)


def test_a_level_that_no_edge_told_is_deafness_after_a_second() -> None:
    untold = looked(AT_REST, 7, is_used=True)
    assert not is_deaf(untold, 6 + DEAF_NS)
    assert is_deaf(untold, 7 + DEAF_NS)


def test_a_level_that_came_and_went_without_an_edge_is_deafness_too() -> None:
    untold = looked(looked(AT_REST, 7, is_used=True), 8, is_used=False)
    assert is_deaf(untold, 7 + DEAF_NS)


def test_an_edge_that_was_only_late_ends_the_doubt() -> None:
    assert not is_deaf(heard(looked(AT_REST, 7, is_used=True), is_used=True), 100 * SECOND)


def test_read_anew_a_contact_is_unproven_until_its_edge_comes() -> None:
    again = restarted(looked(AT_REST, 7, is_used=True), is_used=True)
    assert again.is_unproven
    assert not is_deaf(looked(again, 8, is_used=True), 100 * SECOND)
    assert restarted(again, is_used=True).is_unproven
    assert not heard(again, is_used=False).is_unproven
    assert not restarted(AT_REST, is_used=False).is_unproven


def test_a_thread_that_does_not_say_that_it_lives_is_deaf_after_a_second() -> None:
    assert not is_thread_deaf(None, 100 * SECOND)
    assert not is_thread_deaf(5 * SECOND, 6 * SECOND - 1)
    assert is_thread_deaf(5 * SECOND, 6 * SECOND)


def test_deafness_is_found_within_two_seconds() -> None:
    assert LOOK_NS + DEAF_NS < 2 * SECOND
