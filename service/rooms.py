"""What is true of this room, composed from what the three processes say. Pure: no sockets, no clock.

`compose` is the only place that judges: a process that is silent or speaks of the past is a fault by name, and
`in_order` (the page's green) needs every process heard, fresh and without a fault. Times are judged on BOOTTIME and
shown on the wall clock.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from edge.clock import MILLISECOND, SECOND, iso
from edge.config import Config
from edge.status import ClipStatus, Fault, PanelStatus, RecorderState, RecorderStatus, VaultStatus

STALE_S: Final = 5.0  # a snapshot is made anew when it is asked for; beyond this its maker hangs
OVERDUE_S: Final = 300.0  # both deletion enforcers have had their pass by then

FAILING_S: Final = 300.0  # of notifications that do not arrive, before that is a fault: networks blink

ProcessName: TypeAlias = Literal["panel", "recorder", "vault"]
FaultOwner: TypeAlias = ProcessName | Literal["service"]
_Shown: TypeAlias = Callable[[int | None], str | None]  # a BOOTTIME instant as people read it


@dataclass(frozen=True, slots=True, kw_only=True)
class Silent:
    """A process whose snapshot cannot be had."""

    why: Literal["gone", "hanging", "unreadable"]
    heard_ns: int | None = None  # when its last snapshot was made; None when there never was one


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """The three snapshots, or why there is none."""

    panel: PanelStatus | Silent
    recorder: RecorderStatus | Silent
    vault: VaultStatus | Silent


@dataclass(frozen=True, slots=True, kw_only=True)
class Ring:
    """What is held in RAM now. None: not known."""

    seconds: float | None
    promised_seconds: float
    bytes: int | None
    is_wiped: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One camera or microphone, judged by the age of its last good sample."""

    name: str
    track: str
    state: str
    age_ms: int | None
    reopened: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """One sealed clip. `expires_in_seconds` is the vault's count, not the wall clock's; below zero it is late."""

    id: str
    pressed_at: str
    expires_at: str
    expires_in_seconds: float
    held: bool
    held_until: str | None
    state: str
    safe_seconds: float
    continues: str | None  # the clip of the same incident that this one goes on
    outcome: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleted:
    """A clip that is gone, and when."""

    id: str
    at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """The vault's disk. None: not known. While a clip comes in, its space is taken from the reserve."""

    free_bytes: int | None  # beside what is reserved
    reserved_bytes: int | None  # set aside for the next clips
    reserve_wanted_bytes: int | None
    checked_at: str | None  # when the vault last looked for clips that are due


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomFault:
    """Something that a person must mend, and whose it is. No path and no address in its words."""

    code: str
    process: FaultOwner
    detail: str
    fix: str
    since: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """The alarm output. None: not known."""

    is_on: bool | None
    on_since: str | None
    latency_ms: float | None  # from the button to the relay, at the last press


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """The ledger's end. None: not known, or not anchored."""

    head: str | None
    entries: int | None
    anchored_at: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTest:
    """The newest daily test of sealing, storing, opening and deleting."""

    result: Literal["unknown", "never", "passed", "failed"]
    at: str | None
    age_seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill:
    """The half-yearly drill with the officer's key."""

    is_waiting: bool | None  # None: not known
    waiting_since: str | None
    waiting_seconds: float | None
    opened_at: str | None
    opened_age_seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Button:
    """When the panic button was last seen to work, in a test or in earnest."""

    was_pressed: bool | None  # False: never since the store began. None: not known
    pressed_at: str | None
    age_seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Information:
    """How old one process's information is. `age_seconds` is None when it was never heard."""

    process: ProcessName
    is_heard: bool
    is_stale: bool
    age_seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """How notifications to one receiver go. Its address is told nowhere."""

    name: str  # mqtt, webhook-1, …
    failing_seconds: float | None  # None: the last one arrived, or none was tried yet
    waiting: int
    dropped: int  # since this process started, because too many waited or it had become too late

    @property
    def is_failing(self) -> bool:
        """For longer than a network blinks."""
        return self.failing_seconds is not None and self.failing_seconds >= FAILING_S


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomStatus:
    """The room, as true as can be known. `as_of` is the age of its oldest part; a None inside means not known."""

    room: str
    building: str
    state: RecorderState
    in_order: bool
    as_of: str
    age_seconds: float | None  # of the oldest information that is shown; None when no process is heard
    information: tuple[Information, ...]
    ring: Ring
    sources: tuple[Source, ...]
    written_bytes: int | None  # what the recorder ever caused to be written to storage; the promise is 0
    alarm: Alarm
    clips: tuple[Clip, ...]
    clips_total: int | None  # None: not known, and then `clips` is empty for that reason
    deleted: tuple[Deleted, ...]  # the newest 16, newest first
    storage: Storage
    faults: tuple[RoomFault, ...]
    warnings: tuple[str, ...]
    ledger: Ledger
    self_test: SelfTest
    drill: Drill
    button: Button
    notifications: tuple[Channel, ...]  # empty: nobody is told

    @property
    def is_stale(self) -> bool:
        """Something that is shown is too old to be believed."""
        return any(part.is_stale for part in self.information)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipList:
    """The clips alone. `total` may be more than are listed; None: not known."""

    room: str
    as_of: str
    total: int | None
    clips: tuple[Clip, ...]
    deleted: tuple[Deleted, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultList:
    """The faults alone."""

    room: str
    as_of: str
    in_order: bool
    faults: tuple[RoomFault, ...]


def clip_list(status: RoomStatus) -> ClipList:
    return ClipList(
        room=status.room,
        as_of=status.as_of,
        total=status.clips_total,
        clips=status.clips,
        deleted=status.deleted,
    )


def fault_list(status: RoomStatus) -> FaultList:
    return FaultList(room=status.room, as_of=status.as_of, in_order=status.in_order, faults=status.faults)


def compose(
    config: Config, heard: Heard, *, now_ns: int, now_wall_ns: int, channels: tuple[Channel, ...] = ()
) -> RoomStatus:
    """The room's status at one instant. `now_ns` on BOOTTIME, `now_wall_ns` the same instant for people."""

    def shown(at_ns: int | None) -> str | None:
        return None if at_ns is None else iso(now_wall_ns - (now_ns - at_ns))

    information = (
        _information("panel", heard.panel, now_ns),
        _information("recorder", heard.recorder, now_ns),
        _information("vault", heard.vault, now_ns),
    )
    ages = [part.age_seconds for part in information if part.is_heard and part.age_seconds is not None]
    age_s = max(ages, default=None)
    recorder = None if isinstance(heard.recorder, Silent) else heard.recorder
    vault = None if isinstance(heard.vault, Silent) else heard.vault
    vault_age_s = 0.0 if vault is None else _age_s(vault.as_of_ns, now_ns)
    faults = tuple(
        RoomFault(
            code=fault.code,
            process=process,
            detail=without_paths(fault.detail),
            fix=without_paths(fault.fix),
            since=shown(None if fault.since_ns < 0 else fault.since_ns),
        )
        for process, fault in (*_faults(heard, now_ns), *_undelivered(channels, now_ns))
    )
    state = _state(heard, information)
    return RoomStatus(
        room=config.room.name,
        building=config.room.building,
        state=state,
        in_order=state is not RecorderState.FAULT and not faults,
        as_of=iso(now_wall_ns - round((age_s or 0.0) * SECOND)),
        age_seconds=age_s,
        information=information,
        ring=_ring(recorder, config),
        sources=() if recorder is None else _sources(recorder, _age_s(recorder.as_of_ns, now_ns)),
        written_bytes=None if recorder is None or recorder.write_bytes < 0 else recorder.write_bytes,
        alarm=_alarm(heard.panel, shown),
        clips=() if vault is None else tuple(_clip(clip, vault_age_s) for clip in vault.clips),
        clips_total=None if vault is None else vault.clips_total,
        deleted=() if vault is None else _deleted(vault, shown),
        storage=_storage(vault, shown),
        faults=faults,
        warnings=() if recorder is None else tuple(without_paths(line) for line in recorder.warnings),
        ledger=_ledger(vault),
        self_test=_self_test(vault, vault_age_s),
        drill=_drill(vault, vault_age_s),
        button=_button(vault, vault_age_s),
        notifications=channels,
    )


def _state(heard: Heard, information: tuple[Information, ...]) -> RecorderState:
    """What the recorder says it does, as long as it and the panel can be believed.

    Without the recorder nobody knows; without the panel the button does nothing. A silent vault leaves the state
    (the camera is on, and that must stay visible) and is a fault beside it.
    """
    panel_part, recorder_part, _ = information
    if isinstance(heard.recorder, Silent) or recorder_part.is_stale or not panel_part.is_heard or panel_part.is_stale:
        return RecorderState.FAULT
    return heard.recorder.state


def _information(
    process: ProcessName, said: PanelStatus | RecorderStatus | VaultStatus | Silent, now_ns: int
) -> Information:
    if isinstance(said, Silent):
        age_s = None if said.heard_ns is None else _age_s(said.heard_ns, now_ns)
        return Information(process=process, is_heard=False, is_stale=False, age_seconds=age_s)
    age_s = _age_s(said.as_of_ns, now_ns)
    return Information(process=process, is_heard=True, is_stale=age_s > STALE_S, age_seconds=age_s)


def _age_s(as_of_ns: int, now_ns: int) -> float:
    return max(0.0, round((now_ns - as_of_ns) / SECOND, 1))


# The fix for a process that cannot be heard, by what the room loses with it. None says that the rest works.
_FIX: Final[dict[ProcessName, str]] = {
    "panel": "The panic button may not work: use another way to call for help, and call the administrator at once.",
    "recorder": "A press may not be recorded; call the administrator.",
    "vault": "A clip may be lost; call the administrator.",
}
_WHY: Final = {
    "gone": "is not running",
    "hanging": "does not answer",
    "unreadable": "answers with something that cannot be read",
}


def _faults(heard: Heard, now_ns: int) -> Iterator[tuple[ProcessName, Fault]]:
    """Every fault, the panel's first because help comes first. `since_ns` below zero: not known."""
    said: tuple[tuple[ProcessName, PanelStatus | RecorderStatus | VaultStatus | Silent], ...] = (
        ("panel", heard.panel),
        ("recorder", heard.recorder),
        ("vault", heard.vault),
    )
    for process, status in said:
        if isinstance(status, Silent):
            since_ns = -1 if status.heard_ns is None else status.heard_ns
            detail = f"The {process} {_WHY[status.why]}."
            yield process, Fault(code=f"{process}-silent", detail=detail, fix=_FIX[process], since_ns=since_ns)
            continue
        if _age_s(status.as_of_ns, now_ns) > STALE_S:
            detail = f"The {process} answers, but only with old information: it hangs."
            yield process, Fault(code=f"{process}-stale", detail=detail, fix=_FIX[process], since_ns=status.as_of_ns)
        yield from ((process, fault) for fault in status.faults if not _is_told(process, fault, heard))
    if not isinstance(heard.recorder, Silent) and heard.recorder.write_bytes > 0:
        yield (
            "recorder",
            Fault(
                code="recorder-wrote",
                detail=f"The recorder caused {heard.recorder.write_bytes} bytes to be written; the promise is 0.",
                fix="Throw the privacy switch and call the administrator: what was written must be found out.",
                since_ns=-1,
            ),
        )
    if not isinstance(heard.vault, Silent) and (overdue := _overdue(heard.vault, now_ns)):
        yield (
            "vault",
            Fault(
                code="overdue",
                detail=f"{overdue} clip(s) should have been deleted by now.",
                fix="Call the administrator: deletion does not work.",
                since_ns=-1,
            ),
        )


def _undelivered(channels: tuple[Channel, ...], now_ns: int) -> Iterator[tuple[FaultOwner, Fault]]:
    for channel in channels:
        if channel.failing_seconds is not None and channel.is_failing:
            yield (
                "service",
                Fault(
                    code="notify-failing",
                    detail=f"Nothing has reached {channel.name} for {int(channel.failing_seconds // 60)} minutes.",
                    fix="Check the network, [notify] and who is to be told; alarm and clip do not depend on it.",
                    since_ns=now_ns - round(channel.failing_seconds * SECOND),
                ),
            )


# What one process says of another that does not answer us either: one trouble is told once.
_SAME: Final[dict[tuple[ProcessName, str], ProcessName]] = {
    ("panel", "recorder-silent"): "recorder",
    ("recorder", "panel-silent"): "panel",
    ("recorder", "vault-away"): "vault",
}


def _is_told(process: ProcessName, fault: Fault, heard: Heard) -> bool:
    silent = {name for name in ("panel", "recorder", "vault") if isinstance(getattr(heard, name), Silent)}
    return _SAME.get((process, fault.code)) in silent


def _overdue(vault: VaultStatus, now_ns: int) -> int:
    """How many clips are late, unless the vault says so itself."""
    if any(fault.code == "overdue" for fault in vault.faults):
        return 0
    age_s = _age_s(vault.as_of_ns, now_ns)
    return sum(not clip.held and clip.expires_in_s - age_s < -OVERDUE_S for clip in vault.clips)


def _ring(recorder: RecorderStatus | None, config: Config) -> Ring:
    if recorder is None:
        return Ring(seconds=None, promised_seconds=config.ring.seconds, bytes=None, is_wiped=None)
    ring = recorder.ring
    return Ring(
        seconds=round(ring.seconds, 1),
        promised_seconds=ring.promised_seconds,
        bytes=ring.bytes,
        is_wiped=ring.is_wiped,
    )


def _sources(recorder: RecorderStatus, age_s: float) -> tuple[Source, ...]:
    """Their samples age with the information: a recorder that hangs keeps no camera in order."""
    return tuple(
        Source(
            name=without_paths(source.name),
            track=source.track,
            state="stale" if source.state == "good" and age_s > STALE_S else source.state,
            age_ms=None if source.age_ms is None else source.age_ms + round(age_s * 1000),
            reopened=source.reopened,
        )
        for source in recorder.sources
    )


def _alarm(panel: PanelStatus | Silent, shown: _Shown) -> Alarm:
    if isinstance(panel, Silent):
        return Alarm(is_on=None, on_since=None, latency_ms=None)
    return Alarm(
        is_on=panel.is_alarm_on,
        on_since=shown(panel.alarm_on_ns) if panel.is_alarm_on else None,
        latency_ms=None if panel.alarm_latency_ns is None else round(panel.alarm_latency_ns / MILLISECOND, 1),
    )


def _clip(clip: ClipStatus, age_s: float) -> Clip:
    return Clip(
        id=clip.id,
        pressed_at=clip.pressed_at,
        expires_at=clip.expires_at,
        expires_in_seconds=round(clip.expires_in_s - age_s, 1),
        held=clip.held,
        held_until=clip.held_until,
        state=clip.state,
        safe_seconds=round(clip.safe_seconds, 1),
        continues=clip.continues,
        outcome=clip.outcome,
    )


def _deleted(vault: VaultStatus, shown: _Shown) -> tuple[Deleted, ...]:
    return tuple(Deleted(id=gone.id, at=shown(gone.at_ns) or "") for gone in reversed(vault.deleted))


def _storage(vault: VaultStatus | None, shown: _Shown) -> Storage:
    if vault is None:
        return Storage(free_bytes=None, reserved_bytes=None, reserve_wanted_bytes=None, checked_at=None)
    return Storage(
        free_bytes=vault.free_bytes,
        reserved_bytes=vault.reserved_bytes,
        reserve_wanted_bytes=vault.reserve_wanted_bytes,
        checked_at=shown(vault.last_pass_ns),
    )


def _ledger(vault: VaultStatus | None) -> Ledger:
    if vault is None:
        return Ledger(head=None, entries=None, anchored_at=None)
    return Ledger(head=vault.ledger.head, entries=vault.ledger.entries, anchored_at=vault.ledger.anchored_at)


def _self_test(vault: VaultStatus | None, age_s: float) -> SelfTest:
    if vault is None:
        return SelfTest(result="unknown", at=None, age_seconds=None)
    test = vault.self_test
    result: Literal["never", "passed", "failed"] = "passed" if test.is_passed else "failed"
    if test.is_passed is None:
        result = "never"
    return SelfTest(result=result, at=test.at, age_seconds=_later(test.age_s, age_s))


def _drill(vault: VaultStatus | None, age_s: float) -> Drill:
    if vault is None:
        return Drill(is_waiting=None, waiting_since=None, waiting_seconds=None, opened_at=None, opened_age_seconds=None)
    drill = vault.drill
    return Drill(
        is_waiting=drill.waiting_since is not None,
        waiting_since=drill.waiting_since,
        waiting_seconds=_later(drill.waiting_s, age_s),
        opened_at=drill.opened_at,
        opened_age_seconds=_later(drill.opened_s, age_s),
    )


def _button(vault: VaultStatus | None, age_s: float) -> Button:
    if vault is None:
        return Button(was_pressed=None, pressed_at=None, age_seconds=None)
    button = vault.button
    return Button(
        was_pressed=button.pressed_at is not None,
        pressed_at=button.pressed_at,
        age_seconds=_later(button.age_s, age_s),
    )


def _later(seconds: float | None, age_s: float) -> float | None:
    """An age that the vault told `age_s` ago."""
    return None if seconds is None else round(seconds + age_s, 1)


# An address, a quoted absolute path (which may hold spaces), an absolute path, and a file of ours by its ending.
# Below /etc lies what an administrator is told to mend, never footage.
_PATHS: Final = re.compile(
    r"""\w+://\S+
    | (?P<quote>['"])/[^'"]*(?P=quote)
    | (?<![\w.])/(?!etc/)[^\s'"():;,]+
    | [\w./-]+\.(?:age|sig|jsonl?|toml|sock|pem|key|mp4|mkv|mov|avi|h26[45]|mjpe?g|wav)\b
    """,
    re.VERBOSE | re.ASCII,
)


def without_paths(text: str) -> str:
    """The text with addresses, paths and file names replaced by an ellipsis: no page says where footage lies."""
    return _PATHS.sub("…", text)
