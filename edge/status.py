"""The snapshots that panel, recorder and vault show of themselves. Health and numbers, never content. Values only.

Each process writes one of these to whoever connects to its status socket and reads nothing (`wire.SnapshotSocket`).
A snapshot is at most 64 KiB of JSON; the lists in it are bounded by their makers.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from edge.messages import Incident, Mode, PanelEvent

SNAPSHOT_LIMIT: Final = 64 * 1024  # bytes
CLIPS_SHOWN: Final = 100  # newest first; beyond it only their number is told


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something that a person must mend. `code` is stable and names the text; `detail` and `fix` are English."""

    code: str
    detail: str
    fix: str
    since_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelStatus:
    """The panel, as of `as_of_ns`."""

    as_of_ns: int
    started_ns: int
    mode: Mode
    is_alarm_on: bool
    alarm_on_ns: int | None  # when the relay was last switched on
    alarm_latency_ns: int | None  # from the button's edge to the relay, at the last press
    incident: Incident | None
    is_private: bool
    is_conversation: bool
    is_recorder_heard: bool
    lamp: str  # what the official's lamp shows now
    events: tuple[PanelEvent, ...]
    faults: tuple[Fault, ...]
    maintenance_until_ns: int | None = None  # not None: somebody is at work on the panel; the alarm works all the same


class RecorderState(StrEnum):
    """What the recorder is doing."""

    STARTING = "starting"
    PRIVATE = "private"
    OFF = "off"
    LISTENING = "listening"
    RECORDING = "recording"
    FAULT = "fault"  # it should listen and cannot
    ALARM_ONLY = "alarm-only"  # no camera is configured: a complete alarm button


@dataclass(frozen=True, slots=True, kw_only=True)
class RingStatus:
    """What is held in RAM now."""

    seconds: float
    promised_seconds: float
    bytes: int
    cap_bytes: int
    is_locked: bool  # every chunk is pinned in RAM
    is_wiped: bool  # empty, and its memory read back as zeros
    oldest_seconds: float = 0.0  # the age of the oldest byte, also where no clip could start


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceStatus:
    """One camera or microphone, judged by the age of its last good sample."""

    name: str
    track: str
    state: str  # off | opening | good | stale
    age_ms: int | None
    reopened: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipProgress:
    """The clip being made, or the last one."""

    clip: str
    incident: str
    opened_ns: int
    pre_roll_asked_s: float
    pre_roll_delivered_s: float
    pre_roll_safe_ns: int | None  # when the vault had all of it on disk
    safe_ns: int | None  # when the vault had the whole clip and its manifest
    is_open: bool
    segments: int
    segments_safe: int
    waiting_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RecorderStatus:
    """The recorder, as of `as_of_ns`."""

    as_of_ns: int
    started_ns: int
    state: RecorderState
    ring: RingStatus
    sources: tuple[SourceStatus, ...]
    clip: ClipProgress | None
    write_bytes: int  # /proc/self/io: caused to be written to storage since a camera was first opened; 0 is the promise
    panel_age_ms: int | None
    is_vault_reached: bool
    faults: tuple[Fault, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipStatus:
    """One clip in the store."""

    id: str
    pressed_at: str  # ISO, UTC
    expires_at: str
    expires_in_s: float
    held: bool
    held_until: str | None
    state: str  # recording | complete | interrupted
    safe_seconds: float
    bytes: int
    segments: int
    continues: str | None
    outcome: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletedClip:
    """A clip that is gone, and when."""

    id: str
    at_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerStatus:
    """The ledger's end."""

    head: str  # SHA-256 of the last line, hex
    entries: int
    anchored_at: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTestStatus:
    """The newest self-test of seal, store, open and delete. `is_passed` is None while there has been none."""

    is_passed: bool | None
    failed: str  # the step that failed; empty when none did
    at: str | None  # ISO, UTC
    age_s: float | None  # right over restarts and a wrong clock


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillStatus:
    """The half-yearly drill with the officer's key: since when one waits, and when one was last opened."""

    waiting_since: str | None  # ISO, UTC
    waiting_s: float | None
    opened_at: str | None
    opened_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ButtonStatus:
    """When the panic button was last seen to work, in a test or in earnest; None: never since this store began."""

    pressed_at: str | None  # ISO, UTC
    age_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultStatus:
    """The vault, as of `as_of_ns`."""

    as_of_ns: int
    started_ns: int
    clips: tuple[ClipStatus, ...]
    clips_total: int
    deleted: tuple[DeletedClip, ...]  # the newest 16, newest last
    free_bytes: int  # beside what is reserved
    reserved_bytes: int  # set aside for the next clips
    reserve_wanted_bytes: int
    last_pass_ns: int | None  # when retention last went through the store
    is_clock_trusted: bool
    ledger: LedgerStatus
    self_test: SelfTestStatus
    drill: DrillStatus
    button: ButtonStatus
    faults: tuple[Fault, ...]
