"""One card a room for the overview: this room's, and what the devices of other rooms say of theirs. Pure.

A card is never better than what is surely known: information that is old, or was never had, makes it grey. Of another
device only numbers and words of closed lists are taken, so that whatever answers there, the page shows health and
nothing else; the name and the address are those of the configuration.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import Field, TypeAdapter, ValidationError

from edge.clock import SECOND
from edge.config import OtherRoom
from edge.errors import BadMessage
from edge.status import RecorderState
from service.rooms import FaultOwner, ProcessName, RoomStatus

FAR_STALE_S: Final = 10.0  # another device is asked every 2 s; two answers may be lost on the way

Trouble: TypeAlias = Literal["gone", "slow", "untrusted", "login", "wrong"]

_Age: TypeAlias = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldPart:
    """How fresh one process of the other room is."""

    process: ProcessName
    is_heard: bool
    is_stale: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldFault:
    process: FaultOwner
    code: Annotated[str, Field(max_length=64)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What is taken of another device's `/api/v1/status`."""

    state: RecorderState
    in_order: bool
    age_seconds: _Age | None
    information: Annotated[tuple[ToldPart, ...], Field(min_length=3, max_length=3)]
    faults: Annotated[tuple[ToldFault, ...], Field(max_length=256)]
    clips_total: Annotated[int, Field(ge=0, le=10**9)] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What is known of another room: its last good answer and when that was asked for, and what is wrong since."""

    told: Told | None = None
    asked_ns: int = 0
    trouble: Trouble | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One room on the overview. `state` is None when it was never heard."""

    name: str
    building: str
    url: str
    state: RecorderState | None
    in_order: bool
    is_stale: bool
    age_seconds: float | None
    trouble: Trouble | None
    faults: tuple[tuple[FaultOwner, str], ...]
    kept: int | None  # clips; None: not known


_TOLD: Final = TypeAdapter(Told)


def told_in(raw: bytes) -> Told:
    """What an answer says. Raises BadMessage when it is no status of a room that this version knows."""
    try:
        return _TOLD.validate_json(raw)
    except (ValidationError, RecursionError) as err:
        raise BadMessage("this is not the status of a room") from err


def here(status: RoomStatus, *, path: str) -> Card:
    """This device's own room."""
    return Card(
        name=status.room,
        building=status.building,
        url=path,
        state=status.state,
        in_order=status.in_order,
        is_stale=status.is_stale,
        age_seconds=status.age_seconds,
        trouble=None,
        faults=tuple((fault.process, fault.code) for fault in status.faults),
        kept=status.clips_total,
    )


def there(room: OtherRoom, answered: Answered, *, now_ns: int) -> Card:
    """Another device's room. It is in order only if every part of its answer says so."""
    told = answered.told
    if told is None:
        return Card(
            name=room.name,
            building=room.building,
            url=f"{room.url}/",
            state=None,
            in_order=False,
            is_stale=True,
            age_seconds=None,
            trouble=answered.trouble,
            faults=(),
            kept=None,
        )
    age_s = (told.age_seconds or 0.0) + max(0, now_ns - answered.asked_ns) / SECOND
    is_fresh = all(part.is_heard and not part.is_stale for part in told.information)
    return Card(
        name=room.name,
        building=room.building,
        url=f"{room.url}/",
        state=told.state,
        in_order=told.in_order and is_fresh and not told.faults and told.state is not RecorderState.FAULT,
        is_stale=age_s > FAR_STALE_S or any(part.is_stale for part in told.information),
        age_seconds=round(age_s, 1),
        trouble=answered.trouble,
        faults=tuple((fault.process, fault.code) for fault in told.faults),
        kept=told.clips_total,
    )
