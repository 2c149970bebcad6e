"""Six situations of a room, for looking at the page: `SITUATIONS[name](house)` brings a made-up room into one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from edge.clock import SECOND, SystemClock, utc
from edge.config import OtherRoom
from edge.status import (
    ButtonStatus,
    ClipStatus,
    DeletedClip,
    Fault,
    LedgerStatus,
    RecorderState,
    SourceStatus,
    VaultStatus,
)
from tests.service import saying
from tests.service.test_app import House

CLOCK: Final = SystemClock()
_MICROPHONE: Final = SourceStatus(name="microphone", track="sound", state="off", age_ms=None, reopened=0)


def _camera(**changed: Any) -> SourceStatus:
    facts: dict[str, Any] = {"name": "camera", "track": "picture", "state": "good", "age_ms": 40, "reopened": 0}
    return SourceStatus(**(facts | changed))


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def clip(hours: float, **changed: Any) -> ClipStatus:
    """A clip whose press is so many hours ago."""
    pressed = utc(CLOCK.wall_ns()) - timedelta(hours=hours)
    facts = {
        "id": f"{pressed:%Y%m%dT%H%M%SZ}-k3f9",
        "pressed_at": _iso(pressed),
        "expires_at": _iso(pressed + timedelta(hours=72)),
        "expires_in_s": (72 - hours) * 3600.0,
        "safe_seconds": 187.0,
    }
    return saying.clip(**(facts | changed))


def _vault(now_ns: int, *clips: ClipStatus, **changed: Any) -> VaultStatus:
    facts = {
        "free_bytes": 24_300_000_000,
        "reserved_bytes": 1_500_000_000,
        "reserve_wanted_bytes": 1_500_000_000,
        "last_pass_ns": now_ns - 20 * SECOND,
        "ledger": LedgerStatus(head=saying.HEAD, entries=412, anchored_at=None),
    }
    return saying.vault(now_ns, *clips, **(facts | changed))


def _pressed(clip: ClipStatus, hours: float) -> ButtonStatus:
    return ButtonStatus(pressed_at=clip.pressed_at, age_s=hours * 3600)


def in_order(house: House) -> None:
    house.say("panel", saying.panel)
    house.say("recorder", lambda now_ns: saying.recorder(now_ns, sources=(_camera(), _MICROPHONE)))
    house.say("vault", _vault)
    house.say("figures", saying.counted)


def the_day_after(house: House) -> None:
    in_order(house)
    gone = utc(CLOCK.wall_ns()) - timedelta(days=5)

    def vault(now_ns: int) -> VaultStatus:
        deleted = DeletedClip(id=f"{gone:%Y%m%dT%H%M%SZ}-m7qz", at_ns=now_ns - 50_000 * SECOND)
        held_until = _iso(utc(CLOCK.wall_ns()) + timedelta(days=12))
        held = clip(60, held=True, held_until=held_until, outcome="physical", safe_seconds=412.0)
        newest = clip(20)
        return _vault(now_ns, newest, held, deleted=(deleted,), button=_pressed(newest, 20))

    house.say("vault", vault)


def recording(house: House) -> None:
    in_order(house)
    facts = {"is_alarm_on": True, "alarm_latency_ns": 1_240_000}
    house.say("panel", lambda now_ns: saying.panel(now_ns, alarm_on_ns=now_ns - 14 * SECOND, **facts))
    state = RecorderState.RECORDING
    house.say("recorder", lambda now_ns: saying.recorder(now_ns, state=state, sources=(_camera(), _MICROPHONE)))
    made = clip(14 / 3600, state="recording", safe_seconds=42.0)
    pressed = _pressed(made, 14 / 3600)
    house.say("vault", lambda now_ns: _vault(now_ns, made, reserved_bytes=1_400_000_000, button=pressed))


def private(house: House) -> None:
    in_order(house)
    house.say("panel", lambda now_ns: saying.panel(now_ns, is_private=True))
    facts = {
        "state": RecorderState.PRIVATE,
        "ring": saying.ring(seconds=0.0, bytes=0, is_wiped=True),
        "sources": (_camera(state="off", age_ms=None), _MICROPHONE),
    }
    house.say("recorder", lambda now_ns: saying.recorder(now_ns, **facts))


def camera_fault(house: House) -> None:
    in_order(house)
    since_ns = CLOCK.boot_ns() - 42 * SECOND
    fault = Fault(code="source-picture", detail="camera: no picture for 42 s", fix="check its cable", since_ns=since_ns)
    facts = {
        "state": RecorderState.FAULT,
        "ring": saying.ring(seconds=0.0, bytes=0, is_wiped=True),
        "sources": (_camera(state="stale", age_ms=42_000, reopened=3), _MICROPHONE),
        "faults": (fault,),
    }
    house.say("recorder", lambda now_ns: saying.recorder(now_ns, **facts))


def vault_away(house: House) -> None:
    in_order(house)
    house.silence("vault")


def recorder_hangs(house: House) -> None:
    in_order(house)
    old_ns = 47 * SECOND
    house.say("recorder", lambda now_ns: saying.recorder(now_ns - old_ns, sources=(_camera(), _MICROPHONE)))


# Several rooms, each a device of its own; the one that shows them is room 2.
NAMES: Final = ("Spreekkamer 1", "Spreekkamer 3", "Spreekkamer 4")
STATES: Final[dict[str, Callable[[House], None]]] = {
    "Spreekkamer 2": in_order,
    "Spreekkamer 1": recording,
    "Spreekkamer 3": private,
    "Spreekkamer 4": recorder_hangs,
}


@contextlib.contextmanager
def several(folder: Path) -> Iterator[tuple[House, dict[str, House]]]:
    """The overview of four rooms, and each room by its name; one of them hangs."""
    with contextlib.ExitStack() as stack:
        houses: dict[str, House] = {}
        for number, name in enumerate(NAMES):
            (place := folder / str(number)).mkdir()
            houses[name] = stack.enter_context(opened(House(place, name=name)))
        rooms = tuple(OtherRoom(name=name, building="Stadhuis", url=houses[name].url) for name in NAMES)
        (place := folder / "own").mkdir()
        own = stack.enter_context(opened(House(place, rooms=rooms)))
        houses[own.config.room.name] = own
        for name, bring in STATES.items():
            bring(houses[name])
        yield own, houses


@contextlib.contextmanager
def opened(house: House) -> Iterator[House]:
    """A made-up room with its page served."""
    with house.stack, house.client, house.served():
        yield house


SITUATIONS: Final[dict[str, Callable[[House], None]]] = {
    "in-order": in_order,
    "the-day-after": the_day_after,
    "recording": recording,
    "private": private,
    "camera-fault": camera_fault,
    "vault-away": vault_away,
    "recorder-hangs": recorder_hangs,
}
