"""The JSON that a receiver gets: what happened, in which room, and in plain Dutch what to do. Pure.

No name of a person, no link and no footage. A press carries the checklist of the after-care (R43).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from edge.config import Room
from service.faults import fault_text
from service.language import Catalog, Language, Words
from service.notify.events import Event, Kind

_DUTCH: Final = Words(
    Catalog.load(Language.DUTCH), now_wall_ns=0
)  # moments are written out below, not counted from now

_EMPLOYEE: Final = "Medewerker: vang de medewerker op en spreek elkaar vandaag nog."
_WITNESSES: Final = "Getuigen: vraag wie erbij waren en spreek met hen."
_POLICE: Final = "Aangifte: overleg met de medewerker over aangifte bij de politie."
_KEPT: Final = "Termijn: de opname wordt verwijderd op {moment}. Laat haar vóór die tijd vasthouden als dat nodig is."
_NOTHING_KEPT: Final = "Termijn: van deze druk op de knop is geen opname gemaakt."


def message(event: Event, room: Room, *, now_ns: int) -> bytes:
    """One event as JSON. `is_late` is judged now: the message may have waited."""
    said: dict[str, Any] = {
        "id": event.id,
        "kind": event.kind.value,
        "room": room.name,
        "building": room.building,
        "at": event.at,
        "is_late": event.late_ns is not None and now_ns > event.late_ns,
        "text": _TEXTS[event.kind](event, f"{room.name}, {room.building}" if room.building else room.name),
        **_details(event),
    }
    return json.dumps(said, ensure_ascii=False).encode()


def _details(event: Event) -> dict[str, Any]:
    match event.kind:
        case Kind.PRESS:
            return {
                "incident": event.incident,
                "clip": event.clip,
                "has_footage": event.has_footage,
                "deadline": event.deadline,
                "checklist": [_EMPLOYEE, _WITNESSES, _POLICE, _term(event.deadline)],
            }
        case Kind.CLIP_SAFE:
            return {"clip": event.clip, "is_complete": event.is_complete, "deadline": event.deadline}
        case Kind.EXPIRY:
            return {"clip": event.clip, "deadline": event.deadline}
        case Kind.FAULT | Kind.FAULT_GONE | Kind.TEST_OVERDUE if event.fault is not None:
            what = {"process": event.fault.process, "code": event.fault.code}
            is_gone = event.kind is Kind.FAULT_GONE
            return what | ({"ends": event.ends} if is_gone else {"fix": fault_text(event.fault, _DUTCH).fix})
        case Kind.OUTAGE:
            return {"seconds": event.seconds, "dropped": event.dropped}
        case _:
            return {}


def _term(deadline: str | None) -> str:
    return _NOTHING_KEPT if deadline is None else _KEPT.format(moment=_moment(deadline))


def _moment(stamp: str | None) -> str:
    """`25-11-2026 om 11:15`, by this machine's own clock; what is no moment is shown as it is."""
    try:
        return f"{datetime.fromisoformat(stamp or '').astimezone():%d-%m-%Y om %H:%M}"
    except ValueError:
        return stamp or "een onbekend moment"


def _press(event: Event, where: str) -> str:
    return f"Noodknop ingedrukt: {where}." + ("" if event.has_footage else " Er is geen opname.")


def _fault(event: Event, where: str) -> str:
    return f"Storing in {where}: {_what(event)}"


def _gone(event: Event, where: str) -> str:
    return f"Voorbij in {where}: {_what(event)}"


def _what(event: Event) -> str:
    return "" if event.fault is None else fault_text(event.fault, _DUTCH).what


def _safe(event: Event, where: str) -> str:
    how = "compleet" if event.is_complete else "onderbroken"
    return f"Opname {event.clip} van {where} is veilig opgeslagen ({how})."


def _expiry(event: Event, where: str) -> str:
    return f"Opname {event.clip} van {where} wordt verwijderd op {_moment(event.deadline)}."


def _outage(event: Event, where: str) -> str:
    return f"Meldingen van {where} kwamen hier {_DUTCH.duration(event.seconds or 0)} niet aan."


_TEXTS: Final[dict[Kind, Callable[[Event, str], str]]] = {
    Kind.PRESS: _press,
    Kind.ATTENTION: lambda _, where: f"Een collega wordt gevraagd: {where}.",
    Kind.FAULT: _fault,
    Kind.FAULT_GONE: _gone,
    Kind.CLIP_SAFE: _safe,
    Kind.EXPIRY: _expiry,
    Kind.TEST_OVERDUE: _fault,
    Kind.OUTAGE: _outage,
    Kind.ALIVE: lambda _, where: f"{where} is er nog.",
}
