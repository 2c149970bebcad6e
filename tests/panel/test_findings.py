"""What the panel finds wrong with itself, one thing at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from edge.clock import SECOND
from edge.panel.contact import Contact
from edge.panel.findings import Known, findings
from edge.panel.pair import Wiring
from service.faults import known_codes

NOW_NS = 400 * 24 * 3600 * SECOND
WELL = Known(
    now_ns=NOW_NS,
    heard_ns=NOW_NS,
    held_since_ns=None,
    was_closed_at_boot=False,
    wiring=Wiring.SOUND,
    is_edge_lost=False,
    is_deaf=False,
    unproven=(),
    restarted_ns=None,
    unwatched=(),
    unreadable=(),
)


def found(**changed: Any) -> list[str]:
    return [code for code, finding in findings(replace(WELL, **changed)).items() if finding is not None]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, []),
        ({"heard_ns": NOW_NS - 3 * SECOND + 1}, []),
        ({"heard_ns": NOW_NS - 3 * SECOND}, ["recorder-silent"]),
        ({"held_since_ns": NOW_NS - 59 * SECOND}, []),
        ({"held_since_ns": NOW_NS - 60 * SECOND}, ["button-held"]),
        ({"held_since_ns": NOW_NS, "was_closed_at_boot": True}, ["button-held"]),
        ({"wiring": Wiring.CUT}, ["button-cut"]),
        ({"wiring": Wiring.SHORT}, ["button-short"]),
        ({"wiring": Wiring.HALF}, ["button-half"]),
        ({"is_edge_lost": True}, ["contact-thread"]),
        ({"is_deaf": True}, ["contact-thread"]),
        ({"unproven": (Contact.PANIC,)}, ["contact-thread"]),
        ({"unwatched": ("panel.reset: …",)}, ["contact-thread"]),
        ({"restarted_ns": NOW_NS - 59 * SECOND}, ["contact-thread"]),
        ({"restarted_ns": NOW_NS - 60 * SECOND}, []),
        ({"unreadable": (Contact.RESET,)}, ["contact-unreadable"]),
    ],
)
def test_what_is_wrong_is_found_and_nothing_else(changed: dict[str, Any], expected: list[str]) -> None:
    assert found(**changed) == expected


def test_every_finding_has_its_words_on_the_page() -> None:
    assert {("panel", code) for code in findings(WELL)} <= known_codes()
