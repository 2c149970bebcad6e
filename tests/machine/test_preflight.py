"""R3: what keeps a machine from listening, each found in a made-up machine; and what is only a warning on a laptop."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from edge.config import Config
from edge.errors import Refused
from edge.machine.finding import Finding, State
from edge.machine.preflight import Today, preflight
from edge.recorder.seal import Sealer
from tests.machine.support import SWAPS, TODAY, machine, put, recorded, room, seal

UNLIMITED = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return machine(tmp_path)


@pytest.fixture(autouse=True)
def may_lock(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """A user who may lock as much as the limit says; at first without one."""

    def limit(soft: int) -> None:
        monkeypatch.setattr(resource, "getrlimit", lambda _which: (soft, UNLIMITED[1]))

    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    limit(UNLIMITED[0])
    return limit


def looked(root: Path, config: Config, *, today: Today = TODAY) -> tuple[Finding, ...]:
    return preflight(config, seal=seal, today=today, root=root)


def only(found: Sequence[Finding]) -> Finding:
    assert len(found) == 1, found
    return found[0]


def test_a_machine_in_order_may_listen(root: Path) -> None:
    assert looked(root, room()) == ()


MACHINES: dict[str, tuple[str, str | None, str, str]] = {  # what is spoiled: its file, its text (None: hidden), the code, the culprit
    "a swap partition": ("proc/swaps", SWAPS + "/dev/sda2    partition  1024  0  -2\n", "swap", "/dev/sda2"),
    "a swap file": ("proc/swaps", SWAPS + "/var/swap    file  1024  0  -2\n", "swap", "/var/swap"),
    "a file that sounds like zram": ("proc/swaps", SWAPS + "/var/zram0 file 1 0 -2\n", "swap", "/var/zram0"),
    "swap that is hidden": ("proc/swaps", None, "swap", "cannot be seen"),
    "zram with a backing device": ("sys/block/zram0/backing_dev", "/dev/loop0\n", "zram-writeback", "/dev/loop0"),
    "a crash handler": ("proc/sys/kernel/core_pattern", "|/usr/lib/systemd/systemd-coredump %P\n", "core-dumps", "systemd-coredump"),
    "a crash socket": ("proc/sys/kernel/core_pattern", "@/run/coredump.socket\n", "core-dumps", "/run/coredump.socket"),
    "no memory controller": ("sys/fs/cgroup/cgroup.controllers", "cpuset cpu io pids\n", "memory-controller", "swap"),
    "a kernel with old control groups": ("sys/fs/cgroup/cgroup.controllers", None, "memory-controller", "swap"),
}  # fmt: skip


def spoil(root: Path, name: str) -> None:
    path, text, _, _ = MACHINES[name]
    if text is None:
        (root / path).unlink()
        (root / "proc/meminfo").unlink()  # what is hidden is hidden with its neighbours
    else:
        put(root, path, text)


@pytest.mark.parametrize("name", MACHINES)
def test_each_shortcoming_of_the_machine_refuses_a_camera(root: Path, name: str) -> None:
    spoil(root, name)
    _, _, code, culprit = MACHINES[name]
    finding = only([found for found in looked(root, room()) if found.code == code])
    assert finding.refuses
    assert culprit in finding.detail
    assert finding.fix


@pytest.mark.parametrize("name", MACHINES)
def test_each_shortcoming_of_the_machine_only_warns_for_a_recording(root: Path, name: str) -> None:
    spoil(root, name)
    found = looked(root, recorded())
    assert MACHINES[name][2] in {finding.code for finding in found}
    assert {finding.state for finding in found} == {State.WARNING}


def test_a_machine_that_shows_nothing_of_itself_is_not_taken_to_be_in_order(tmp_path: Path) -> None:
    assert {finding.code for finding in looked(tmp_path, room()) if finding.refuses} == {"swap", "core-dumps"}


def test_a_kernel_without_swap_or_core_dumps_has_no_files_for_them(root: Path) -> None:
    (root / "proc/swaps").unlink()
    (root / "proc/sys/kernel/core_pattern").unlink()
    assert looked(root, room()) == ()


def test_compressed_swap_in_ram_is_allowed(root: Path) -> None:
    put(root, "proc/swaps", SWAPS + "/dev/zram0  partition  1024  0  100\n")
    assert looked(root, room()) == ()


def test_each_swap_is_told(root: Path) -> None:
    put(root, "proc/swaps", SWAPS + "/dev/sda2 partition 1 0 -2\n/swapfile file 1 0 -3\n")
    assert [finding.code for finding in looked(root, room())] == ["swap", "swap"]


@pytest.mark.parametrize("pattern", ["core", "/var/crash/core.%e.%p", ""])
def test_a_core_file_is_allowed_for_the_recorder_makes_none(root: Path, pattern: str) -> None:
    put(root, "proc/sys/kernel/core_pattern", f"{pattern}\n")
    assert looked(root, room()) == ()


def test_the_memory_controller_is_wanted_only_where_systemd_sets_the_limits(root: Path) -> None:
    put(root, "sys/fs/cgroup/cgroup.controllers", "cpu\n")
    put(root, "proc/self/cgroup", "0::/user.slice/session-1.scope\n")
    assert only(looked(root, room())).state is State.WARNING


def test_memory_that_cannot_be_locked_is_told_with_how_much_is_needed(
    root: Path, may_lock: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = (96 + 160) * 1024 * 1024
    may_lock(needed - 1)
    finding = only(looked(root, room()))
    assert (finding.code, finding.refuses) == ("memory-lock", True)
    assert "256 MiB" in finding.detail
    assert not only(looked(root, recorded())).refuses
    may_lock(needed)
    assert looked(root, room()) == ()
    may_lock(0)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert looked(root, room()) == ()


@pytest.mark.parametrize("recipients", [(), ("age1nonsense",)])
def test_without_a_key_nothing_is_recorded_not_even_a_recording(root: Path, recipients: tuple[str, ...]) -> None:
    config = recorded()
    config = config.model_copy(update={"seal": config.seal.model_copy(update={"recipients": recipients})})
    with pytest.raises(Refused):
        Sealer(recipients)
    finding = only(preflight(config, seal=Sealer, today=TODAY, root=root))
    assert (finding.code, finding.refuses) == ("recipients", True)
    assert "nonsense" not in finding.detail


def test_without_someone_who_answers_for_it_no_camera_is_opened(root: Path) -> None:
    finding = only(looked(root, recorded(governance=None)))
    assert (finding.code, finding.refuses) == ("governance", True)
    assert looked(root, room(governance=None, camera={"source": "none"})) == ()


def reviewed(by: str) -> Any:
    return room(governance={**room().governance.model_dump(mode="json"), "review_by": by})  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("by", "state"),
    [("2027-01-22", None), ("2027-01-21", State.WARNING), ("2026-11-22", State.WARNING), ("2026-11-21", State.REFUSES)],
)
def test_the_review_is_announced_60_days_before_and_after_it_no_camera(
    root: Path, by: str, state: State | None
) -> None:
    found = looked(root, reviewed(by))
    assert [(finding.code, finding.state) for finding in found] == ([("governance-review", state)] if state else [])
    assert all(by in finding.detail for finding in found)


def test_a_clock_that_nothing_keeps_right_ends_no_review(root: Path) -> None:
    found = looked(root, reviewed("2026-11-21"), today=Today(date=date(2026, 11, 22), is_trusted=False))
    assert only(found).state is State.WARNING
