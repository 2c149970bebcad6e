"""What happened, read from the snapshots of three processes: each event once, at its own moment. Pure but for `look`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, TypeVar

from edge.config import Paths
from edge.errors import BadMessage
from edge.messages import decode
from edge.status import PanelStatus, RecorderState, RecorderStatus, VaultStatus
from edge.wire import read_snapshot

_PATIENCE_S: Final = 0.5

S = TypeVar("S", PanelStatus, RecorderStatus, VaultStatus)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One look at the room; None where a process does not answer."""

    panel: PanelStatus | None
    recorder: RecorderStatus | None
    vault: VaultStatus | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """One event: when (BOOTTIME), what, and its details in the order they are printed."""

    at_ns: int
    what: str
    details: dict[str, str | float] = field(default_factory=dict)


def look(paths: Paths) -> Seen:
    """Read the three snapshots."""
    return Seen(
        panel=_read(PanelStatus, paths, "panel"),
        recorder=_read(RecorderStatus, paths, "recorder"),
        vault=_read(VaultStatus, paths, "vault"),
    )


class Watcher:
    """Turns looks into happenings."""

    def __init__(self) -> None:
        self._events: set[tuple[str, int]] = set()
        self._clips: dict[str, set[str]] = {}
        self._deleted: set[str] = set()
        self._state: RecorderState | None = None
        self._alarm_on_ns: int | None = None
        self._was_alarm_on = False

    def news(self, seen: Seen) -> list[Happening]:
        """What has happened since the last look, in the order of time."""
        found = [*self._panel(seen.panel), *self._recorder(seen.recorder), *self._vault(seen.vault)]
        return sorted(found, key=lambda happening: happening.at_ns)

    def _panel(self, panel: PanelStatus | None) -> list[Happening]:
        if panel is None:
            return []
        found: list[Happening] = []
        for event in panel.events:
            if (event.run, event.seq) not in self._events:
                self._events.add((event.run, event.seq))
                found.append(Happening(at_ns=event.at_ns, what=event.event.value))
        if panel.alarm_on_ns is not None and panel.alarm_on_ns != self._alarm_on_ns:
            self._alarm_on_ns = panel.alarm_on_ns
            found.append(Happening(at_ns=panel.alarm_on_ns, what="alarm on"))
        if self._was_alarm_on and not panel.is_alarm_on:
            found.append(Happening(at_ns=panel.as_of_ns, what="alarm off"))
        self._was_alarm_on = panel.is_alarm_on
        return found

    def _recorder(self, recorder: RecorderStatus | None) -> list[Happening]:
        if recorder is None:
            return []
        found: list[Happening] = []
        if recorder.state is not self._state:
            self._state = recorder.state
            found.append(Happening(at_ns=recorder.as_of_ns, what=recorder.state.value))
        clip = recorder.clip
        if clip is not None:
            told = self._clips.setdefault(clip.clip, set())
            for what, at_ns, details in (
                ("clip-opened", clip.opened_ns, {}),
                ("pre-roll-safe", clip.pre_roll_safe_ns, {"seconds": clip.pre_roll_delivered_s}),
                ("clip-safe", clip.safe_ns, {}),
            ):
                if at_ns is not None and what not in told:
                    told.add(what)
                    found.append(Happening(at_ns=at_ns, what=what, details={"id": clip.clip, **details}))
        return found

    def _vault(self, vault: VaultStatus | None) -> list[Happening]:
        if vault is None:
            return []
        found: list[Happening] = []
        for clip in vault.clips:  # closed while the recorder was already ending
            told = self._clips.get(clip.id)
            if clip.state == "complete" and told is not None and "clip-safe" not in told:
                told.add("clip-safe")
                found.append(Happening(at_ns=vault.as_of_ns, what="clip-safe", details={"id": clip.id}))
        for gone in vault.deleted:
            if gone.id not in self._deleted:
                self._deleted.add(gone.id)
                found.append(Happening(at_ns=gone.at_ns, what="clip-deleted", details={"id": gone.id}))
        return found


def _read(kind: type[S], paths: Paths, name: str) -> S | None:
    try:
        return decode(kind, read_snapshot(paths.run / name / "status.sock", patience_s=_PATIENCE_S))
    except (OSError, BadMessage):
        return None  # dead, restarting or hanging: shown as such
