"""`spreekkamer check`: every condition of this machine and this room. Reads, never writes; opens no camera."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edge.config import Config
from edge.machine import devices, gpio, reach, sandbox, settings, store, systemctl
from edge.machine.finding import Finding
from edge.machine.preflight import ROOT, Seal, Today, conditions, is_installed
from edge.machine.sandbox import Show


def check(config: Config, *, seal: Seal, today: Today, root: Path = ROOT, show: Show = systemctl.show) -> list[Finding]:
    """Each condition as it stands, the recorder's own first."""
    refuses = not config.has_only_fixtures
    return [
        *conditions(config, seal=seal, today=today, root=root, is_unit=is_installed(root)),
        *devices.look(root, config, gpio.chips(root)),
        *store.judge(store.read(root, config.paths.store), wanted_bytes=config.reserve_bytes, refuses=refuses),
        *settings.swap(root),
        *settings.journal(root),
        *settings.watchdog(root),
        *settings.clock(is_trusted=today.is_trusted),
        *reach.remote_shells(root),
        *reach.radios(root),
        *reach.ports(root, config.page),
        *reach.page(root, config.page),
        *sandbox.judge(sandbox.units(root, show), camera=config.camera.source),
    ]


def may_listen(findings: Sequence[Finding]) -> bool:
    return not any(finding.refuses for finding in findings)
