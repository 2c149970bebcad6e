"""What is worth telling, by looks at a made-up room."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from edge.clock import SECOND
from edge.config import Camera, Config
from edge.messages import Event as PanelCount
from edge.messages import Incident, PanelEvent
from edge.status import Fault, PanelStatus
from service.notify.events import HOUR_NS, Event, Kind, Told, of_panel, of_room
from service.notify.message import message
from service.rooms import Channel, Heard, RoomStatus, Silent, compose
from tests.service import saying

NOW_NS = 10**15
WALL_NS = 1_795_342_502 * SECOND  # 2026-11-22T10:15:02Z
CONFIG = saying.config().model_copy(update={"camera": Camera(source="fixture:room.mp4")})


def incident(*, pressed_ns: int = NOW_NS, name: str = "a1", seconds: int = 300) -> Incident:
    return Incident(
        id=name,
        pressed_ns=pressed_ns,
        pressed_wall_ns=WALL_NS - (NOW_NS - pressed_ns),
        is_wall_trusted=True,
        until_ns=pressed_ns + seconds * SECOND,
        presses=1,
    )


def counted(seq: int, event: PanelCount, at_ns: int, name: str | None = None) -> PanelEvent:
    return PanelEvent(
        run="r",
        seq=seq,
        event=event,
        at_ns=at_ns,
        wall_ns=WALL_NS - (NOW_NS - at_ns),
        is_wall_trusted=True,
        incident=name,
    )


def look(told: Told, *, now_ns: int = NOW_NS, config: Config = CONFIG, **panel: Any) -> tuple[tuple[Event, ...], Told]:
    status: PanelStatus = saying.panel(now_ns, **panel)
    return of_panel(told, status, config=config, clip_of={"a1": saying.CLIP_ID}, now_ns=now_ns)


def room(*clips: Any, channels: tuple[Channel, ...] = (), **changed: Any) -> RoomStatus:
    heard: dict[str, Any] = {
        "panel": saying.panel(NOW_NS),
        "recorder": saying.recorder(NOW_NS),
        "vault": saying.vault(NOW_NS, *clips),
    }
    return compose(CONFIG, Heard(**heard | changed), now_ns=NOW_NS, now_wall_ns=WALL_NS, channels=channels)


def looks(*rooms: RoomStatus) -> list[list[str]]:
    """The kinds of what is told at each look."""
    told, found = Told(), []
    for one in rooms:
        news, told = of_room(told, one, now_ns=NOW_NS)
        found.append([event.kind.value for event in news])
    return found


def said(event: Event, *, now_ns: int = NOW_NS) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(message(event, CONFIG.room, now_ns=now_ns))
    return data


# A press


def test_a_press_is_told_once_with_its_clip_and_what_to_do() -> None:
    [press], told = look(Told(), incident=incident(), events=(counted(1, PanelCount.PRESS, NOW_NS, "a1"),))
    assert (press.kind, press.id, press.clip) == (Kind.PRESS, "press-a1", saying.CLIP_ID)
    tale = said(press)
    assert (tale["room"], tale["building"], tale["clip"]) == ("Spreekkamer 2", "Stadhuis", saying.CLIP_ID)
    assert tale["at"] == "2026-11-22T10:15:02Z"
    assert tale["deadline"] == "2026-11-25T10:15:02Z"
    assert tale["text"] == "Noodknop ingedrukt: Spreekkamer 2, Stadhuis."
    assert tale["is_late"] is False
    subjects = [line.split(":")[0] for line in tale["checklist"]]
    assert subjects == ["Medewerker", "Getuigen", "Aangifte", "Termijn"]
    assert "25-11-2026 om " in tale["checklist"][3]
    assert "http" not in json.dumps(tale)
    assert look(told, incident=incident())[0] == ()


def test_presses_that_extend_an_incident_are_that_incident() -> None:
    _, told = look(Told(), incident=incident())
    more = replace(incident(), presses=3, until_ns=NOW_NS + 600 * SECOND)
    events = tuple(counted(seq, PanelCount.PRESS, NOW_NS + seq, "a1") for seq in (1, 2, 3))
    assert look(told, incident=more, events=events)[0] == ()
    [other], _ = look(told, incident=incident(name="b2"), events=events)
    assert other.id == "press-b2"


def test_two_incidents_in_one_outage_of_this_service_are_both_told() -> None:
    events = (counted(1, PanelCount.PRESS, NOW_NS - HOUR_NS, "a1"), counted(2, PanelCount.PRESS, NOW_NS, "b2"))
    news, _ = look(Told(), incident=incident(name="b2"), events=events)
    assert sorted(event.id for event in news) == ["press-a1", "press-b2"]


def test_a_press_while_private_is_told_once_a_stretch_and_has_no_footage() -> None:
    at_ns = NOW_NS - 400 * SECOND
    events = tuple(counted(seq, PanelCount.PRESS_PRIVATE, at_ns + seq * SECOND) for seq in (1, 2, 3))
    later = counted(4, PanelCount.PRESS_PRIVATE, at_ns + 399 * SECOND)
    news, told = look(Told(), events=(*events, later))
    assert [event.id for event in news] == ["press-r-1", "press-r-4"]
    tale = said(news[0])
    assert (tale["clip"], tale["has_footage"], tale["deadline"]) == (None, False, None)
    assert "geen opname" in tale["checklist"][3]
    assert look(told, events=(*events, later))[0] == ()


def test_a_room_without_a_camera_promises_no_footage() -> None:
    [press], _ = look(Told(), incident=incident(), config=saying.config())
    assert said(press)["has_footage"] is False


def test_a_test_press_is_nobodys_alarm() -> None:
    assert look(Told(), events=(counted(1, PanelCount.PRESS_TEST, NOW_NS),))[0] == ()


def test_a_press_that_is_told_an_hour_after_its_end_is_late() -> None:
    [press], _ = look(Told(), incident=incident())
    assert said(press, now_ns=NOW_NS + 300 * SECOND + HOUR_NS)["is_late"] is False
    assert said(press, now_ns=NOW_NS + 301 * SECOND + HOUR_NS)["is_late"] is True
    assert press.until_ns is None, "it is told however late"


def test_a_service_that_starts_again_tells_by_the_same_ids() -> None:
    panel: dict[str, Any] = {
        "incident": incident(),
        "events": (counted(1, PanelCount.PRESS, NOW_NS, "a1"), counted(2, PanelCount.ATTENTION, NOW_NS)),
    }
    first, again = look(Told(), **panel)[0], look(Told(), now_ns=NOW_NS + SECOND, **panel)[0]
    assert [event.id for event in first] == [event.id for event in again] == ["press-a1", "attention-r-2"]
    fault = Fault(code="low-space", detail="d", fix="f", since_ns=NOW_NS - 60 * SECOND)
    broken = room(saying.clip(), vault=replace(saying.vault(NOW_NS, saying.clip()), faults=(fault,)))
    ids = []
    for _ in range(2):
        _, told = of_room(Told(), broken, now_ns=NOW_NS)
        ids.append([event.id for event in of_room(told, broken, now_ns=NOW_NS)[0]])
    assert ids[0] == ids[1] == ["fault-vault-low-space-2026-11-22T10:14:02Z"]


def test_what_is_over_since_long_is_not_told_by_a_new_service() -> None:
    old_ns = NOW_NS - 25 * HOUR_NS
    events = (counted(1, PanelCount.PRESS, old_ns, "a1"), counted(2, PanelCount.ATTENTION, NOW_NS - HOUR_NS))
    assert look(Told(), incident=incident(pressed_ns=old_ns), events=events)[0] == ()


# Faults


def faulty(*codes: str, process: str = "vault") -> RoomStatus:
    faults = tuple(Fault(code=code, detail="d", fix="f", since_ns=NOW_NS) for code in codes)
    make: Any = {"vault": saying.vault, "panel": saying.panel, "recorder": saying.recorder}[process]
    return room(**{process: replace(make(NOW_NS), faults=faults)})


def test_a_fault_is_told_when_it_stays_and_when_it_is_gone() -> None:
    assert looks(room(), faulty("low-space"), faulty("low-space"), faulty("low-space")) == [[], [], ["fault"], []]
    assert looks(faulty("store"), faulty("store"), room(), room(), room()) == [[], ["fault"], [], ["fault-gone"], []]


def test_a_fault_that_blinks_is_told_neither_as_new_nor_as_gone() -> None:
    assert looks(room(), faulty("store"), room(), faulty("store"), room()) == [[], [], [], [], []]
    assert looks(faulty("store"), faulty("store"), room(), faulty("store")) == [[], ["fault"], [], []]


def test_the_faults_of_a_process_that_falls_silent_are_not_said_to_be_gone() -> None:
    silent = room(vault=Silent(why="gone", heard_ns=NOW_NS - SECOND))
    found = looks(faulty("store"), faulty("store"), silent, silent, silent, faulty("store"), faulty("store"))
    assert found == [[], ["fault"], [], ["fault"], [], [], ["fault-gone"]]


def test_a_fault_says_in_dutch_what_and_what_to_do() -> None:
    _, told = of_room(Told(), faulty("test-overdue"), now_ns=NOW_NS)
    [event], _ = of_room(told, faulty("test-overdue"), now_ns=NOW_NS)
    tale = said(event)
    assert tale["kind"] == "test-overdue"
    assert tale["text"] == "Storing in Spreekkamer 2, Stadhuis: De noodknop is te lang niet getest."
    assert tale["fix"].startswith("Draai de testsleutel om")
    assert (tale["process"], tale["code"]) == ("vault", "test-overdue")


def test_a_receiver_that_cannot_be_reached_is_a_fault_to_the_others_after_five_minutes() -> None:
    def blind(seconds: float) -> RoomStatus:
        return room(channels=(Channel(name="webhook-1", failing_seconds=seconds, waiting=3, dropped=0),))

    assert looks(blind(298.0), blind(299.0)) == [[], []]
    assert looks(blind(300.0), blind(301.0)) == [[], ["fault"]]
    assert (blind(299.0).in_order, blind(300.0).in_order) == (True, False)


# Clips


def test_a_clip_is_told_when_it_is_safe_and_a_day_before_it_goes() -> None:
    making = saying.clip(state="recording", expires_at="2026-11-25T10:15:02Z")
    done = saying.clip(expires_at="2026-11-25T10:15:02Z")
    assert looks(room(making), room(done), room(done)) == [[], ["clip-safe"], []]
    old = saying.clip(pressed_at="2026-11-20T10:15:02Z", expires_at="2026-11-23T10:15:02Z")
    assert looks(room(replace(old, expires_at="2026-11-23T10:15:03Z")), room(old), room(old)) == [[], ["expiry"], []]


def test_a_hold_moves_the_reminder_to_its_own_end() -> None:
    held = saying.clip(
        pressed_at="2026-11-20T10:15:02Z",
        expires_at="2026-11-23T10:15:02Z",
        held=True,
        held_until="2026-12-10T10:15:02Z",
    )
    assert looks(room(held)) == [[]]
    [event], _ = of_room(Told(), room(replace(held, held_until="2026-11-23T09:00:00Z")), now_ns=NOW_NS)
    assert (event.kind, event.deadline) == (Kind.EXPIRY, "2026-11-23T09:00:00Z")


def test_what_is_kept_for_an_hour_needs_no_reminder_of_its_last_day() -> None:
    short = saying.clip(expires_at="2026-11-22T11:15:02Z")
    assert looks(room(short)) == [["clip-safe"]]


def test_an_interrupted_clip_is_said_to_be_one() -> None:
    [event], _ = of_room(Told(), room(saying.clip(state="interrupted")), now_ns=NOW_NS)
    assert said(event)["is_complete"] is False
    assert "onderbroken" in said(event)["text"]


def test_a_silent_vault_makes_no_clip_news_when_it_is_back() -> None:
    silent = room(vault=Silent(why="gone"))
    assert looks(room(saying.clip()), silent, room(saying.clip())) == [["clip-safe"], [], []]


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_has_its_words(kind: Kind) -> None:
    tale = said(Event(kind=kind, id="x", clip=saying.CLIP_ID, deadline="2026-11-25T10:15:02Z", seconds=400, dropped=2))
    assert tale["kind"] == kind.value
    assert len(tale["text"]) > 10
