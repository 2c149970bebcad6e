"""The machine itself: what a scenario takes for granted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.processes import until
from tests.vm.image import PROJECT, Image
from tests.vm.machine import Failed, Hardware, Machine, new_machine

pytestmark = pytest.mark.vm


def test_it_boots_without_a_failed_unit_and_has_the_devices_of_a_room(machine: Machine) -> None:
    assert machine.exec("systemctl", "is-system-running", "--wait", is_checked=False).out.strip() == "running", (
        machine.sh("systemctl --failed; journalctl -b -p err --no-pager")
    )
    assert machine.sh("v4l2-ctl -d /dev/v4l/by-id/usb-vivid-index0 --info | grep -o 'vivid$' | head -1") == "vivid\n"
    assert "card 0: Loopback" in machine.sh("arecord -l")
    assert machine.sh("ls /run/gpio | wc -l") == "54\n"
    assert machine.sh("cat /project/pyproject.toml") == (PROJECT / "pyproject.toml").read_text("utf-8")
    assert "lgpio-" in machine.sh("ls /wheels")
    assert machine.exec("touch", "/project/x", is_checked=False).code != 0, "the checkout is not the guest's to change"


def test_a_command_s_output_exit_and_files_come_through(machine: Machine) -> None:
    done = machine.exec("sh", "-c", "cat; echo wrong >&2; exit 3", data=b"in\n", is_checked=False)
    assert (done.code, done.out, done.err) == (3, "in\n", "wrong\n")
    with pytest.raises(Failed, match="exit 3"):
        machine.sh("exit 3")
    with pytest.raises(Failed, match="not done after"):
        machine.exec("sleep", "1000", patience_s=0.1)
    data = os.urandom(3 << 20)
    machine.put(data, "/srv/new/folder/file", mode=0o640)
    assert machine.get("/srv/new/folder/file") == data
    assert machine.sh("stat -c %a /srv/new/folder/file") == "640\n"


def test_a_power_cut_loses_what_was_not_synced_and_nothing_else(machine: Machine) -> None:
    machine.sh("echo kept >/var/kept; sync; echo lost >/var/lost")
    machine.power_cut()
    machine.restart()
    assert machine.sh("cat /var/kept") == "kept\n"
    assert machine.sh("cat /var/lost 2>/dev/null || true") == ""


def test_its_clocks_are_set_at_a_boot_and_later(made: Image) -> None:
    with new_machine(made) as machine:
        machine.start(Hardware(clock=datetime(2040, 1, 2, tzinfo=UTC)))
        assert machine.sh("date --utc +%Y") == "2040\n"
        right = datetime.now(UTC)
        machine.set_time(right)
        told = datetime.fromtimestamp(float(machine.sh("date +%s")), UTC)
        assert timedelta(0) <= told - right.replace(microsecond=0) < timedelta(minutes=2)


def test_qemu_ends_with_the_process_that_started_it(made: Image) -> None:
    script = """
import sys, tempfile, pathlib
from tests.vm.image import image
from tests.vm.machine import Machine
machine = Machine(pathlib.Path(tempfile.mkdtemp(prefix="spk-vm-")), image())
machine.start(wait=False)
while not (machine.folder / "agent.sock").exists():
    pass
print(machine._qemu.pid, machine.folder, flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as starter:
        assert starter.stdout is not None
        pid, folder = starter.stdout.readline().split()
        assert int(pid) > 0
        starter.send_signal(signal.SIGKILL)
    until(lambda: not _runs(int(pid)), what="the end of QEMU")
    subprocess.run(["rm", "-r", folder], check=True)


def _runs(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text("utf-8")  # nobody may have collected it
    except (FileNotFoundError, ProcessLookupError):
        return False
