"""A button with two contacts: presses, cut wires and shorts told apart, and no press lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.clock import MILLISECOND
from edge.panel.contact import Contact
from edge.panel.pair import FOLLOWS_NS, Pair, Wiring, on_change, wiring

OPEN, CLOSED = Contact.PANIC, Contact.PANIC_CLOSED  # by how they are at rest


def after(*changes: tuple[int, Contact, int], pair: Pair | None = None) -> tuple[Pair, list[int]]:
    """The pair after changes (milliseconds, contact, 1 = used), and when it was pressed."""
    now, presses = pair or Pair(), list[int]()
    for at_ms, contact, level in changes:
        now, is_press = on_change(now, contact, at_ms * MILLISECOND, is_used=level == 1)
        presses += [at_ms] if is_press else []
    return now, presses


def wires(pair: Pair, at_ms: int) -> Wiring:
    return wiring(pair, at_ms * MILLISECOND)


@pytest.mark.parametrize(("first", "second"), [(CLOSED, OPEN), (OPEN, CLOSED)])
@pytest.mark.parametrize("apart_ms", [0, 3, 499])
def test_a_press_moves_both_contacts_and_is_one_press(first: Contact, second: Contact, apart_ms: int) -> None:
    pair, presses = after(
        (1000, first, 1), (1000 + apart_ms, second, 1), (3000, second, 0), (3000 + apart_ms, first, 0)
    )
    assert presses == [1000]
    assert wires(pair, 9000) is Wiring.SOUND


def test_a_cut_wire_at_rest_is_a_press_and_half_a_second_later_a_fault() -> None:
    pair, presses = after((1000, CLOSED, 1))
    assert presses == [1000]
    assert wires(pair, 1499) is Wiring.SOUND
    assert wires(pair, 1500) is Wiring.CUT


def test_a_short_at_rest_is_a_press_and_half_a_second_later_a_fault() -> None:
    pair, presses = after((1000, OPEN, 1))
    assert presses == [1000]
    assert wires(pair, 1500) is Wiring.SHORT


@pytest.mark.parametrize(("stuck", "works", "fault"), [(CLOSED, OPEN, Wiring.CUT), (OPEN, CLOSED, Wiring.SHORT)])
def test_with_one_contact_stuck_the_other_still_presses(stuck: Contact, works: Contact, fault: Wiring) -> None:
    broken, _ = after((0, stuck, 1))
    pair, presses = after((5000, works, 1), (5200, works, 0), (7000, works, 1), (7200, works, 0), pair=broken)
    assert presses == [5000, 7000]
    assert wires(pair, 9000) is fault


@pytest.mark.parametrize("dead", [OPEN, CLOSED])
@pytest.mark.parametrize("held_ms", [20, 2000])
def test_a_contact_that_does_not_move_in_a_press_is_a_fault_until_one_moves_both(dead: Contact, held_ms: int) -> None:
    works = OPEN if dead is CLOSED else CLOSED
    pair, presses = after((1000, works, 1), (1000 + held_ms, works, 0))
    assert presses == [1000]
    assert wires(pair, 100_000) is Wiring.HALF
    pair, presses = after((200_000, works, 1), (200_004, dead, 1), (200_200, dead, 0), (200_204, works, 0), pair=pair)
    assert presses == [200_000]
    assert wires(pair, 300_000) is Wiring.SOUND


def test_a_second_press_before_both_are_back_at_rest_counts() -> None:
    _, presses = after((1000, CLOSED, 1), (1003, OPEN, 1), (1300, OPEN, 0), (1400, OPEN, 1))
    assert presses == [1000, 1400]


def test_a_second_contact_that_comes_much_later_counts_again_rather_than_not_at_all() -> None:
    _, presses = after((1000, CLOSED, 1), (1000 + FOLLOWS_NS // MILLISECOND + 1, OPEN, 1))
    assert presses == [1000, 1501]


@given(st.lists(st.tuples(st.integers(0, 1500), st.sampled_from([OPEN, CLOSED])), max_size=40))
def test_whatever_the_wires_do_a_button_that_leaves_its_rest_is_pressed(moves: list[tuple[int, Contact]]) -> None:
    pair, at_ms = Pair(), 1000
    for gap_ms, contact in moves:
        at_ms += gap_ms
        was_at_rest, is_used = not pair.used, contact not in pair.used
        pair, is_press = on_change(pair, contact, at_ms * MILLISECOND, is_used=is_used)
        assert is_press or not (was_at_rest and is_used)
        assert not is_press or is_used
