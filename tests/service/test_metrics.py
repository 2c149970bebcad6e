"""What Prometheus reads: health and yesterday's counts, and nothing that moves when the button is pressed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from edge.clock import SECOND
from edge.messages import Event, PanelEvent
from edge.status import Fault, PanelStatus, RecorderState, SourceStatus
from service.metrics import exposition, yesterday
from service.rooms import RoomStatus, Silent
from tests.service import saying
from tests.service.test_app import House, calm  # noqa: F401 - a fixture
from tests.service.test_rooms import NOW_NS, WALL_NS, room

DAY_NS = 86_400 * SECOND


def told(status: RoomStatus, counts: dict[str, int] | None = None) -> dict[tuple[str, ...], float]:
    text = exposition(status, counts).decode()
    return {
        (
            sample.name,
            *(sample.labels[name] for name in ("process", "event", "code") if name in sample.labels),
        ): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def panel(*events: tuple[Event, float]) -> PanelStatus:
    """Events so many days ago, oldest first."""
    return saying.panel(
        NOW_NS,
        events=tuple(
            PanelEvent(
                run="r", seq=seq, event=event, at_ns=0, wall_ns=round(WALL_NS - days * DAY_NS), is_wall_trusted=True
            )
            for seq, (event, days) in enumerate(events, 1)
        ),
    )


def test_a_room_in_order_is_one() -> None:
    found = told(room())
    assert found["spreekkamer_in_order",] == 1
    assert found["spreekkamer_process_fresh", "vault"] == 1
    assert found["spreekkamer_written_bytes",] == 0
    assert not [key for key in found if key[0] == "spreekkamer_fault"]


def test_a_fault_is_told_by_its_code_and_a_silent_process_is_not_fresh() -> None:
    fault = Fault(code="source-picture", detail="no picture", fix="look", since_ns=NOW_NS)
    found = told(room(recorder=saying.recorder(NOW_NS, faults=(fault,)), vault=Silent(why="gone")))
    assert found["spreekkamer_in_order",] == 0
    assert found["spreekkamer_fault", "recorder", "source-picture"] == 1
    assert found["spreekkamer_fault", "vault", "vault-silent"] == 1
    assert found["spreekkamer_process_fresh", "vault"] == 0


def test_nothing_moves_when_the_button_is_pressed() -> None:
    microphone = SourceStatus(name="microphone", track="sound", state="good", age_ms=20, reopened=0)
    during = room(
        panel=saying.panel(NOW_NS, is_alarm_on=True, alarm_on_ns=NOW_NS, alarm_latency_ns=1_240_000),
        recorder=saying.recorder(
            NOW_NS, state=RecorderState.RECORDING, sources=(*saying.recorder(NOW_NS).sources, microphone)
        ),
        vault=replace(
            saying.vault(NOW_NS, saying.clip(state="recording"), reserved_bytes=1, free_bytes=5),
            ledger=replace(saying.vault(NOW_NS).ledger, entries=99),
        ),
    )
    assert told(during) == told(room())


@pytest.mark.parametrize(
    ("process", "code"),
    [
        ("panel", "button-half"),
        ("recorder", "clip-incomplete"),
        ("recorder", "vault-refused"),
        ("vault", "test-overdue"),
    ],
)
def test_a_fault_that_a_press_brings_or_ends_is_not_told(process: str, code: str) -> None:
    fault = Fault(code=code, detail="a press", fix="look", since_ns=NOW_NS)
    makers: dict[str, Any] = {"panel": saying.panel, "recorder": saying.recorder, "vault": saying.vault}
    status = room(**{process: makers[process](NOW_NS, faults=(fault,))})
    assert status.in_order is False, "the page tells it"
    assert told(status) == told(room())


def test_a_fault_of_the_alarm_is_told_though_a_press_may_find_it() -> None:
    fault = Fault(code="relay", detail="it does not obey", fix="look", since_ns=NOW_NS)
    found = told(room(panel=saying.panel(NOW_NS, faults=(fault,))))
    assert found["spreekkamer_fault", "panel", "relay"] == 1
    assert found["spreekkamer_in_order",] == 0


def test_yesterday_is_counted_whole() -> None:
    said = panel(
        (Event.PRESS, 2.1),
        (Event.PRESS, 1.0),
        (Event.PRESS_TEST, 1.0),
        (Event.PRESS, 0.9999),
        (Event.RESET, 1.0),
        (Event.PRESS, 0.0),
    )
    counts = yesterday(said, now_wall_ns=WALL_NS)
    assert counts is not None
    assert (counts["press"], counts["press-test"], counts["attention"]) == (2, 1, 0)
    assert "reset" not in counts
    assert told(room(), counts)["spreekkamer_yesterday_events", "press"] == 2


def test_a_yesterday_that_may_be_incomplete_is_not_told() -> None:
    assert yesterday(panel((Event.PRESS, 1.0), (Event.PRESS, 0.0)), now_wall_ns=WALL_NS) is None
    assert yesterday(panel(), now_wall_ns=WALL_NS) is None
    assert not [key for key in told(room(), None) if "yesterday" in key[0]]


def test_the_exposition_is_served_as_prometheus_wants_it(calm: House) -> None:  # noqa: F811
    answer: httpx.Response = calm.client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "spreekkamer_in_order 1.0" in answer.text
