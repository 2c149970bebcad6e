"""Prometheus metrics: health, and the counts of the day before. Pure but for the library's own formatting.

No metric tells when something happened, and none moves at a press: who scrapes every 15 s would otherwise keep for
years at what minute the button was pressed. So state, sources (a microphone may open at the press), clips, disk space
and the ledger's length are left out; what is wrong with them is a fault and told as one, but for the faults that a
press itself brings or ends. Counts are of yesterday.
Of notifications it tells who cannot be reached, which is tried every few minutes, and never how many wait.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from edge.clock import utc
from edge.messages import Event
from edge.status import PanelStatus, RecorderState
from service.rooms import ProcessName, RoomStatus

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4
_COUNTED: Final = (
    Event.PRESS,
    Event.PRESS_PRIVATE,
    Event.PRESS_TEST,
    Event.ATTENTION,
    Event.PRIVATE_ON,
    Event.CONVERSATION_START,
)

# Each of these comes or goes with a press of a button that works, or with the clip that it makes: the page tells them. A
# fault of the alarm itself is told here too, though a press may find it: help outranks what that gives away.
_AT_A_PRESS: Final[frozenset[tuple[ProcessName, str]]] = frozenset(
    {
        ("panel", "button-half"),
        ("recorder", "clip-incomplete"),
        ("recorder", "vault-refused"),
        ("vault", "test-overdue"),
    }
)


def yesterday(panel: PanelStatus, *, now_wall_ns: int) -> dict[str, int] | None:
    """What happened at the panel on the day before, by this machine's calendar; None when that is not known whole.

    The panel repeats its newest 64 events and forgets at a reboot, so the day is known only if an older event is still
    told, which is the proof that none of the day's own is missing.
    """
    today = utc(now_wall_ns).astimezone().date()
    days = [(today - utc(event.wall_ns).astimezone().date()).days for event in panel.events]
    if not any(day > 1 for day in days):
        return None
    counts = dict.fromkeys((event.value for event in _COUNTED), 0)
    for event, day in zip(panel.events, days, strict=True):
        if day == 1 and event.event.value in counts:
            counts[event.event.value] += 1
    return counts


def exposition(status: RoomStatus, counts: dict[str, int] | None) -> bytes:
    """The text that Prometheus reads."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Room(status, counts))
    return generate_latest(registry)


@dataclass(frozen=True, slots=True, eq=False)
class _Room(Collector):
    status: RoomStatus
    counts: dict[str, int] | None

    def collect(self) -> Iterator[Metric]:
        status = self.status
        told = sorted({(fault.process, fault.code) for fault in status.faults} - _AT_A_PRESS)
        in_order = status.state is not RecorderState.FAULT and not told
        yield _one("in_order", "1 when every process is heard, fresh and without a fault told below.", float(in_order))
        heard = _by("process_fresh", "1 when the process answers with fresh information.", "process")
        age = _by("information_age_seconds", "Age of what is shown of a process.", "process")
        for part in status.information:
            heard.add_metric([part.process], float(part.is_heard and not part.is_stale))
            if part.age_seconds is not None:
                age.add_metric([part.process], part.age_seconds)
        yield heard
        yield age
        fault = GaugeMetricFamily(f"{_PREFIX}fault", "1 for each fault that is there.", labels=["process", "code"])
        for process, code in told:
            fault.add_metric([process, code], 1.0)
        yield fault
        failing = _by("notify_failing", "1 when notifications did not arrive for minutes.", "channel")
        for channel in status.notifications:
            failing.add_metric([channel.name], float(channel.is_failing))
        yield failing
        yield _one("ring_promised_seconds", "The most that is held in RAM.", status.ring.promised_seconds)
        if status.written_bytes is not None:
            yield _one("written_bytes", "What the recorder wrote to storage; the promise is 0.", status.written_bytes)
        if self.counts is not None:
            counts = _by("yesterday_events", "Events at the panel on the day before, whole.", "event")
            for event, count in self.counts.items():
                counts.add_metric([event], count)
            yield counts


_PREFIX: Final = "spreekkamer_"


def _one(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(_PREFIX + name, text, value=value)


def _by(name: str, text: str, label: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(_PREFIX + name, text, labels=[label])
