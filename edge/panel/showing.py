"""What the panel shows of itself: lamps, and a status for the other processes. Called by the main loop only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edge.errors import Refused
from edge.messages import Report
from edge.panel import state
from edge.panel.faults import Faults
from edge.panel.findings import SILENCE_NS, Known, findings
from edge.panel.lamps import Output, Show, lit, official, resident
from edge.panel.state import PanelState
from edge.status import PanelStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorder:
    """What is known of the recorder."""

    report: Report | None = None
    heard_ns: int | None = None

    def is_heard(self, now_ns: int) -> bool:
        """It speaks."""
        return self.report is not None and self.heard_ns is not None and now_ns - self.heard_ns < SILENCE_NS


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """What the relay did. `is_on`: it is as the incident wants it, and the incident wants help."""

    is_on: bool
    on_ns: int | None  # when it was last switched on
    pressed_ns: int  # the last press
    latency_ns: int | None  # from that press to the relay


class Showing:
    """Lamps and status. A lamp that does not obey is a fault and nothing worse."""

    def __init__(self, lamps: Mapping[str, Output], faults: Faults, started_ns: int) -> None:
        self._lamps = lamps
        self._faults = faults
        self._started_ns = started_ns

    def show(self, panel: PanelState, recorder: Recorder, alarm: Alarm, known: Known) -> int | None:
        """Faults and lamps as they should be now. When a lamp is due to change; None if none is."""
        for code, finding in findings(known).items():
            if finding is None:
                self._faults.clear(code)
            else:
                self._faults.show(code, finding.detail, finding.fix, at_ns=known.now_ns)
        dues: list[int] = []
        for name, show in self._shows(panel, recorder, alarm, known.now_ns).items():
            is_lit, until_ns = lit(show, known.now_ns)
            if name in self._lamps:
                self._set(name, known.now_ns, is_lit=is_lit)
                dues += [] if until_ns is None else [until_ns]
        return min(dues, default=None)

    def status(self, panel: PanelState, recorder: Recorder, alarm: Alarm, now_ns: int) -> PanelStatus:
        """The snapshot of this instant."""
        mode, of_incident = state.wanted(panel)
        return PanelStatus(
            as_of_ns=now_ns,
            started_ns=self._started_ns,
            mode=mode,
            is_alarm_on=alarm.is_on,
            alarm_on_ns=alarm.on_ns,
            alarm_latency_ns=alarm.latency_ns,
            incident=of_incident,
            is_private=state.is_private(panel),
            is_conversation=panel.conversation_until_ns is not None,
            is_recorder_heard=recorder.is_heard(now_ns),
            lamp=self._shows(panel, recorder, alarm, now_ns)["lamp_official"],
            events=panel.events,
            faults=self._faults.all(),
            maintenance_until_ns=panel.maintenance_until_ns,
        )

    def _shows(self, panel: PanelState, recorder: Recorder, alarm: Alarm, now_ns: int) -> dict[str, Show]:
        is_heard = recorder.is_heard(now_ns)
        return {
            "lamp_official": official(
                alarm_pressed_ns=alarm.pressed_ns if state.is_alarm_on(panel) else None,
                is_tested=panel.tested_ns is not None and panel.pulse_until_ns is not None,
                is_maintained=panel.maintenance_until_ns is not None,
                is_private=state.is_private(panel),
                has_fault=bool(self._faults.all()),
                report=recorder.report if is_heard else None,
            ),
            "lamp_resident": resident(report=recorder.report, is_heard=is_heard),
        }

    def _set(self, name: str, now_ns: int, *, is_lit: bool) -> None:
        lamp = self._lamps[name]
        if lamp.is_on == is_lit:
            return
        try:
            lamp.set(is_on=is_lit)
            self._faults.clear(name)
        except Refused as err:
            self._faults.show("lamp", str(err), f"check the wiring of {name}", at_ns=now_ns, key=name)
