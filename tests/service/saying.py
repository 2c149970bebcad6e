"""Made-up snapshots of a room in order, and the room's configuration; a test changes what it is about."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from edge.clock import SECOND
from edge.config import AlarmPin, Config, Page, Panel, PanicPin, Paths, Room
from edge.figures import Counted
from edge.messages import Mode
from edge.status import (
    ButtonStatus,
    ClipStatus,
    DrillStatus,
    LedgerStatus,
    PanelStatus,
    RecorderState,
    RecorderStatus,
    RingStatus,
    SelfTestStatus,
    SourceStatus,
    VaultStatus,
)

HEAD = "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"
CLIP_ID = "20261122T101502Z-k3f9"


def config(*, run: Path = Path("/nowhere"), port: int = 8080, name: str = "Spreekkamer 2", **page: Any) -> Config:
    return Config(
        room=Room(name=name, building="Stadhuis"),
        panel=Panel(panic=PanicPin(pin=17), alarm=AlarmPin(pin=5)),
        page=Page(port=port, **page),
        paths=Paths(store=Path("/nowhere/store"), run=run),
    )


def panel(now_ns: int, **changed: Any) -> PanelStatus:
    status = PanelStatus(
        as_of_ns=now_ns,
        started_ns=now_ns - 100 * SECOND,
        mode=Mode.LISTEN,
        is_alarm_on=False,
        alarm_on_ns=None,
        alarm_latency_ns=None,
        incident=None,
        is_private=False,
        is_conversation=True,
        is_recorder_heard=True,
        lamp="ready",
        events=(),
        faults=(),
    )
    return replace(status, **changed)


def counted(now_ns: int, **changed: Any) -> Counted:
    november = {
        "attention": 2,
        "clip-born": 1,
        "clip-complete": 1,
        "conversation-start": 212,
        "deleted-expired": 1,
        "late-1": 1,
        "outcome-threat": 1,
        "press": 1,
        "press-test": 1,
        "private-on": 3,
        "self-test-passed": 21,
    }
    year = november | {"conversation-start": 1873, "press": 4, "clip-born": 4, "clip-held": 1, "clip-fetched": 1}
    year |= {"deleted-expired": 2, "deleted-no-incident": 1, "late-1": 1, "late-12": 1, "press-test": 9}
    facts: dict[str, Any] = {
        "today": "2026-11-22",
        "since": "2026-03-02",
        "is_whole": True,
        "months": {"2026-10": {"press": 3}, "2026-11": november},
        "years": {"2026": year},
    }
    return Counted(as_of_ns=now_ns, **(facts | changed))


def ring(**changed: Any) -> RingStatus:
    status = RingStatus(
        seconds=29.52,
        promised_seconds=30.0,
        bytes=15_123_456,
        cap_bytes=96 << 20,
        is_locked=True,
        is_wiped=False,
    )
    return replace(status, **changed)


def recorder(now_ns: int, **changed: Any) -> RecorderStatus:
    status = RecorderStatus(
        as_of_ns=now_ns,
        started_ns=now_ns - 100 * SECOND,
        state=RecorderState.LISTENING,
        ring=ring(),
        sources=(
            SourceStatus(name="camera", track="picture", state="good", age_ms=40, reopened=0),
            SourceStatus(name="microphone", track="sound", state="good", age_ms=20, reopened=0),
        ),
        clip=None,
        write_bytes=0,
        panel_age_ms=200,
        is_vault_reached=True,
        faults=(),
        warnings=(),
    )
    return replace(status, **changed)


def clip(**changed: Any) -> ClipStatus:
    status = ClipStatus(
        id=CLIP_ID,
        pressed_at="2026-11-22T10:15:02Z",
        expires_at="2026-11-25T10:15:02Z",
        expires_in_s=2 * 86400 + 23 * 3600 + 59,
        held=False,
        held_until=None,
        state="complete",
        safe_seconds=67.04,
        bytes=20_000_000,
        segments=41,
        continues=None,
        outcome=None,
    )
    return replace(status, **changed)


def vault(now_ns: int, *clips: ClipStatus, **changed: Any) -> VaultStatus:
    status = VaultStatus(
        as_of_ns=now_ns,
        started_ns=now_ns - 100 * SECOND,
        clips=clips,
        clips_total=len(clips),
        deleted=(),
        free_bytes=10**10,
        reserved_bytes=10**9,
        reserve_wanted_bytes=10**9,
        last_pass_ns=now_ns,
        is_clock_trusted=True,
        ledger=LedgerStatus(head=HEAD, entries=12, anchored_at=None),
        self_test=SelfTestStatus(is_passed=True, failed="", at="2026-11-22T07:15:02Z", age_s=3 * 3600.0),
        drill=DrillStatus(waiting_since=None, waiting_s=None, opened_at="2026-09-12T10:15:02Z", opened_s=71 * 86400.0),
        button=ButtonStatus(pressed_at="2026-11-19T10:15:02Z", age_s=3 * 86400.0),
        faults=(),
    )
    return replace(status, **changed)
