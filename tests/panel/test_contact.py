"""Bounce: what the edges of a contact mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.clock import MILLISECOND
from edge.panel.contact import GLITCH_NS, SETTLE_NS, Change, Contact, Edge, Settled, due_ns, on_edge, on_time

IDLE = Settled(is_used=False, is_raw_used=False)


def after(*edges: tuple[int, int], contact: Contact = Contact.PANIC, idle: Settled = IDLE) -> list[tuple[int, int]]:
    """What the edges (milliseconds, 1 = used) come to, once all is quiet: (milliseconds, 1 = used)."""
    settled, changes = idle, list[Change]()
    for at_ms, level in edges:
        settled, more = on_edge(settled, Edge(contact=contact, is_used=level == 1, at_ns=at_ms * MILLISECOND))
        changes += more
    settled, more = on_time(settled, 10**15)
    changes += more
    assert due_ns(settled) is None
    return [(at_ns // MILLISECOND, int(is_used)) for is_used, at_ns in changes]


@pytest.mark.parametrize(
    ("edges", "expected"),
    [
        pytest.param([(100, 1), (120, 0)], [(100, 1), (120, 0)], id="a press of 20 ms counts"),
        pytest.param([(100, 1), (103, 0)], [(100, 1), (103, 0)], id="so does one of 3 ms"),
        pytest.param([(100, 1), (102, 0)], [], id="one of 2 ms is a spark on the wire"),
        pytest.param([(1000, 1), (1001, 0), (1001, 1), (1002, 0)], [], id="and so are several within 3 ms"),
        pytest.param([(100, 1), (101, 0), (200, 1), (201, 0)], [], id="sparks that are apart stay sparks"),
        pytest.param(
            [(at, (at + 1) % 2) for at in range(100, 120)],
            [(100, 1), (119, 0)],
            id="a press of 20 ms that only bounces",
        ),
        pytest.param([(100, 1), (102, 0), (130, 1), (132, 0)], [(100, 1), (132, 0)], id="a worn contact, 30 ms apart"),
        pytest.param([(100, 1), (300, 0), (302, 1), (700, 0)], [(100, 1), (700, 0)], id="a spark while it is held"),
        pytest.param([(100, 1), (9_999_999, 0)], [(100, 1), (9_999_999, 0)], id="held for hours is one press"),
        pytest.param([(100, 1), (102, 0), (103, 1), (400, 0)], [(100, 1), (400, 0)], id="bounce when it closes"),
        pytest.param([(100, 1), (400, 0), (401, 1), (403, 0)], [(100, 1), (400, 0)], id="bounce when it opens"),
        pytest.param(
            [(100, 1), (400, 0), (401, 1), (402, 0)], [(100, 1), (400, 0)], id="bounce when it opens, all within 3 ms"
        ),
        pytest.param(
            [(100, 1), (300, 0), (500, 1), (700, 0)], [(100, 1), (300, 0), (500, 1), (700, 0)], id="two presses"
        ),
        pytest.param([(100, 1), (130, 0), (150, 1), (300, 0)], [(100, 1), (300, 0)], id="no hand is that quick"),
        pytest.param(
            [(100, 1), (400, 0), (430, 1), (700, 0)],
            [(100, 1), (400, 0), (430, 1), (700, 0)],
            id="a press that begins in the bounce of a release is not lost",
        ),
        pytest.param([(100, 1), (500, 1), (600, 0)], [(100, 1), (500, 0), (500, 1), (600, 0)], id="a lost release"),
        pytest.param([(100, 0)], [(100, 1), (100, 0)], id="a lost press"),
    ],
)
def test_what_edges_come_to(edges: list[tuple[int, int]], expected: list[tuple[int, int]]) -> None:
    assert after(*edges) == expected


def test_a_switch_that_lost_an_edge_is_not_thrown_to_and_fro() -> None:
    assert after((100, 1), (500, 1), contact=Contact.PRIVACY) == [(100, 1)]


def test_a_level_that_is_known_already_changes_nothing() -> None:
    pressed, _ = on_edge(IDLE, Edge(contact=Contact.PANIC, is_used=True, at_ns=SETTLE_NS))
    again = Edge(contact=Contact.PANIC, is_used=True, at_ns=9 * SETTLE_NS, is_seen=False)
    settled, changes = on_edge(pressed, again)
    assert changes == ((True, SETTLE_NS),)  # what the first edge came to
    assert on_edge(settled, again) == (settled, ())


def test_a_level_that_is_read_and_new_counts() -> None:
    read, changes = on_edge(IDLE, Edge(contact=Contact.PANIC, is_used=True, at_ns=SETTLE_NS, is_seen=False))
    assert changes == ()
    assert on_time(read, SETTLE_NS + GLITCH_NS)[1] == ((True, SETTLE_NS),)


@pytest.mark.parametrize("late_ms", [-3, 0, 3, 80, 10_000])
def test_an_edge_that_tells_late_what_was_read_is_no_second_press(late_ms: int) -> None:
    at_ns = 1000 * MILLISECOND
    read, _ = on_edge(IDLE, Edge(contact=Contact.PANIC, is_used=True, at_ns=at_ns, is_seen=False))
    told, changes = on_edge(read, Edge(contact=Contact.PANIC, is_used=True, at_ns=at_ns + late_ms * MILLISECOND))
    changes = (*changes, *on_time(told, 10**15)[1])
    assert [is_used for is_used, _ in changes] == [True]


def test_the_first_edge_counts_after_five_milliseconds_with_its_own_time() -> None:
    settled, changes = on_edge(IDLE, Edge(contact=Contact.PANIC, is_used=True, at_ns=7))
    assert changes == ()
    assert due_ns(settled) == 7 + GLITCH_NS
    assert on_time(settled, 6 + GLITCH_NS)[1] == ()
    settled, changes = on_time(settled, 7 + GLITCH_NS)
    assert changes == ((True, 7),)
    assert due_ns(settled) is None


@given(press_ms=st.integers(20, 2000), bounces=st.lists(st.integers(0, 3), max_size=20), gap_ms=st.integers(60, 500))
def test_a_press_of_twenty_milliseconds_is_one_press_however_it_bounces(
    press_ms: int, bounces: list[int], gap_ms: int
) -> None:
    edges, at_ms = list[tuple[int, int]](), 1000
    for start_ms in (at_ms, at_ms + press_ms + gap_ms):
        bounce_ms = start_ms
        edges.append((start_ms, 1))
        for number, step_ms in enumerate(bounces):
            bounce_ms += step_ms
            if bounce_ms >= start_ms + min(30, press_ms):
                break
            edges.append((bounce_ms, number % 2))
        if edges[-1][1] == 0:
            edges.append((min(bounce_ms + 1, start_ms + press_ms - 1), 1))
        edges.append((start_ms + press_ms, 0))
    presses = [at for at, level in after(*edges) if level]
    assert presses == [1000, 1000 + press_ms + gap_ms]


@given(st.lists(st.integers(0, 200), max_size=60))
def test_changes_take_turns_and_the_last_is_the_level(gaps_ms: list[int]) -> None:
    at_ms, edges = 1000, list[tuple[int, int]]()
    for number, gap_ms in enumerate(gaps_ms):
        at_ms += gap_ms
        edges.append((at_ms, (number + 1) % 2))
    levels = [level for _, level in after(*edges)]
    assert levels == [(number + 1) % 2 for number in range(len(levels))]
    assert (levels[-1] if levels else 0) == (edges[-1][1] if edges else 0)
    uses_ms = [gap_ms for number, gap_ms in enumerate([*gaps_ms[1:], 1000]) if number % 2 == 0] if gaps_ms else []
    assert bool(levels) or all(use_ms < GLITCH_NS // MILLISECOND for use_ms in uses_ms)
