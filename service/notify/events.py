"""What is worth telling, found in what the processes say of themselves. Pure: no sockets, no clock, no words.

Level, not edge: each look gives all that matters now, and what was not told before is news. So a look that is missed
loses nothing that still matters. An event's id is made of what the room itself remembers (incident, clip, fault), so
that a service that starts again, and may remember nothing, tells it by the same id.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Final, TypeAlias

from edge.clock import SECOND, iso
from edge.config import Config
from edge.messages import Event as PanelCount
from edge.messages import PanelEvent
from edge.status import PanelStatus
from service.rooms import Clip, FaultOwner, RoomFault, RoomStatus

HOUR_NS: Final = 3600 * SECOND
DAY_NS: Final = 24 * HOUR_NS
LATE_NS: Final = HOUR_NS  # after an incident's end
_ATTENTION_NS: Final = HOUR_NS // 4  # a colleague who was called has come by then
_DAY_S: Final = 86_400.0


class Kind(StrEnum):
    """What a message is about; also the last part of its MQTT topic."""

    PRESS = "press"
    ATTENTION = "attention"
    FAULT = "fault"
    FAULT_GONE = "fault-gone"
    CLIP_SAFE = "clip-safe"
    EXPIRY = "expiry"  # a clip goes within 24 hours
    TEST_OVERDUE = "test-overdue"  # of the button
    OUTAGE = "outage"  # this receiver could not be reached for a while
    ALIVE = "alive"  # to webhooks every few minutes; MQTT has its last will


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing to tell. Two with the same id are the same."""

    kind: Kind
    id: str
    at: str | None = None  # ISO, UTC; None: not known when
    late_ns: int | None = None  # BOOTTIME: told after this it is late
    until_ns: int | None = None  # BOOTTIME: after this it helps nobody; None: it always does
    incident: str | None = None
    clip: str | None = None
    deadline: str | None = None  # ISO, UTC: when the clip goes
    has_footage: bool = True
    is_complete: bool = True
    fault: RoomFault | None = None
    ends: str | None = None  # the id of the fault that is gone
    seconds: int | None = None  # how long an outage was
    dropped: int | None = None  # and what was not told in it


FaultKey: TypeAlias = tuple[FaultOwner, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What has been told and still matters; what was seen once and may be nothing. Bounded by what there is to see."""

    panel: frozenset[str] = frozenset()
    clips: frozenset[str] = frozenset()
    faults: Mapping[FaultKey, Event] = field(default_factory=dict)
    seen: frozenset[FaultKey] = frozenset()  # in the look before


def of_panel(
    told: Told, panel: PanelStatus, *, config: Config, clip_of: Mapping[str, str], now_ns: int
) -> tuple[tuple[Event, ...], Told]:
    """Presses and calls for a colleague that were not told yet. `clip_of`: the clip of an incident, where known."""
    matters = {event.id: event for event in (*_presses(panel, config, clip_of, now_ns), *_attention(panel, now_ns))}
    news = tuple(event for name, event in matters.items() if name not in told.panel)
    return news, replace(told, panel=frozenset(matters))


def of_room(told: Told, room: RoomStatus, *, now_ns: int) -> tuple[tuple[Event, ...], Told]:
    """Faults that came and went, and what the clips ask for."""
    faults, told = _faults(told, room)
    if room.clips_total is None:  # the vault is silent; its clips are still there
        return faults, told
    matters = {event.id: event for clip in room.clips for event in _of_clip(clip, room.as_of, now_ns)}
    news = tuple(event for name, event in matters.items() if name not in told.clips)
    return (*faults, *news), replace(told, clips=frozenset(matters))


def _presses(panel: PanelStatus, config: Config, clip_of: Mapping[str, str], now_ns: int) -> Iterator[Event]:
    """One a stretch of alarm: presses that follow each other are one incident, also those while the room is private."""
    stretch_ns = config.clip.post_press_seconds * SECOND
    known: set[str] = set()

    def press(name: str, wall_ns: int, end_ns: int, *, incident: str | None) -> Event:
        has_footage = incident is not None and config.camera.source != "none"
        return Event(
            kind=Kind.PRESS,
            id=f"press-{name}",
            at=iso(wall_ns),
            late_ns=end_ns + LATE_NS,
            incident=incident,
            clip=None if incident is None else clip_of.get(incident),
            deadline=iso(wall_ns + config.retention.seconds * SECOND) if has_footage else None,
            has_footage=has_footage,
        )

    if panel.incident is not None:
        newest = panel.incident
        known.add(newest.id)
        if now_ns < newest.until_ns + DAY_NS:
            yield press(newest.id, newest.pressed_wall_ns, newest.until_ns, incident=newest.id)
    alarm_until_ns = -1
    for event in panel.events:
        if event.event not in (PanelCount.PRESS, PanelCount.PRESS_PRIVATE):
            continue
        goes_on, alarm_until_ns = event.at_ns <= alarm_until_ns, event.at_ns + stretch_ns
        name = event.incident or f"{event.run}-{event.seq}"
        is_told = name in known or (event.incident is None and goes_on)
        known.add(name)
        if not is_told and now_ns < alarm_until_ns + DAY_NS:
            yield press(name, event.wall_ns, alarm_until_ns, incident=event.incident)


def _attention(panel: PanelStatus, now_ns: int) -> Iterator[Event]:
    for event in panel.events:
        if event.event is PanelCount.ATTENTION and now_ns < event.at_ns + _ATTENTION_NS:
            yield _attention_event(event)


def _attention_event(event: PanelEvent) -> Event:
    return Event(
        kind=Kind.ATTENTION,
        id=f"attention-{event.run}-{event.seq}",
        at=iso(event.wall_ns),
        until_ns=event.at_ns + _ATTENTION_NS,
    )


def _of_clip(clip: Clip, now: str, now_ns: int) -> Iterator[Event]:
    end = clip.held_until if clip.held and clip.held_until else clip.expires_at
    if clip.state != "recording" and (_seconds(clip.pressed_at, now) or 0.0) < _DAY_S:
        yield Event(
            kind=Kind.CLIP_SAFE,
            id=f"clip-safe-{clip.id}",
            at=clip.pressed_at or None,
            until_ns=now_ns + DAY_NS,
            clip=clip.id,
            deadline=end,
            is_complete=clip.state == "complete",
        )
    # What is kept for a day at most was said to go when the button was pressed.
    left_s = _seconds(now, end)
    if left_s is not None and 0 < left_s <= _DAY_S < (_seconds(clip.pressed_at, end) or 0.0):
        until_ns = now_ns + round(left_s * SECOND)
        yield Event(kind=Kind.EXPIRY, id=f"expiry-{clip.id}-{end}", until_ns=until_ns, clip=clip.id, deadline=end)


def _faults(told: Told, room: RoomStatus) -> tuple[tuple[Event, ...], Told]:
    """A fault counts when two looks in a row show it; it is gone when neither does and its process is heard."""
    now: dict[FaultKey, RoomFault] = {}
    for fault in room.faults:
        now.setdefault((fault.process, fault.code), fault)
    heard: set[FaultOwner] = {"service", *(part.process for part in room.information if part.is_heard)}
    new = {key: _fault_event(fault) for key, fault in now.items() if key in told.seen and key not in told.faults}
    ended = {key: event for key, event in told.faults.items() if not _is_there(key, now, told.seen, heard)}
    left = {key: event for key, event in told.faults.items() if key not in ended} | new
    news = (*new.values(), *(_gone(event, room.as_of) for event in ended.values()))
    return news, replace(told, faults=left, seen=frozenset(now))


def _is_there(
    key: FaultKey, now: Mapping[FaultKey, RoomFault], before: frozenset[FaultKey], heard: set[FaultOwner]
) -> bool:
    process, code = key
    # That a process is silent is known without it; of all else only itself can say that it is over.
    is_ours = code in (f"{process}-silent", f"{process}-stale")
    return key in now or key in before or not (is_ours or process in heard)


def _fault_event(fault: RoomFault) -> Event:
    kind = Kind.TEST_OVERDUE if fault.code == "test-overdue" else Kind.FAULT
    since = fault.since or "unknown"
    return Event(kind=kind, id=f"fault-{fault.process}-{fault.code}-{since}", at=fault.since, fault=fault)


def _gone(event: Event, at: str) -> Event:
    return Event(kind=Kind.FAULT_GONE, id=f"{event.id}-gone", at=at, fault=event.fault, ends=event.id)


def _seconds(begin: str, end: str) -> float | None:
    """Between two ISO moments; None when one is none."""
    try:
        return (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds()
    except (ValueError, TypeError):
        return None
