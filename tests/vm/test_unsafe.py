"""A machine on which what is in RAM could reach a disk: `check` names it with its cure, nobody listens, and the button calls
for help all the same. Cured, the room listens again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import pytest

from tests.support.processes import until
from tests.vm.image import Image
from tests.vm.machine import PATIENCE_S, Hardware, new_machine
from tests.vm.room import VIVID, Room

pytestmark = pytest.mark.vm

RELAY: Final = 5
CHECK: Final = ("/usr/local/bin/spreekkamer", "check", "--config", "/etc/spreekkamer/config.toml", "--json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hazard:
    code: str  # of the finding
    names: str  # in what it says
    cure: str  # in what it says to do
    comes: str
    goes: str


SWAP_FILE: Final = Hazard(
    code="swap",
    names="/var/swap",
    cure="swapoff",
    comes="dd if=/dev/zero of=/var/swap bs=1M count=32 status=none; chmod 600 /var/swap; mkswap -q /var/swap; swapon /var/swap",
    goes="swapoff /var/swap; rm /var/swap",
)
ZRAM: Final = Hazard(
    code="zram-writeback",
    names="/dev/loop7",
    cure="Mechanism=none",
    comes="""
modprobe -a loop zram
truncate -s 32M /var/zram
[ -e /dev/loop7 ] || mknod /dev/loop7 b 7 7
losetup /dev/loop7 /var/zram
echo /dev/loop7 >/sys/block/zram0/backing_dev
echo 32M >/sys/block/zram0/disksize
mkswap -q /dev/zram0
swapon /dev/zram0
""",
    goes="swapoff /dev/zram0; echo 1 >/sys/block/zram0/reset; losetup -d /dev/loop7; rm /var/zram",
)
CORE_PIPE: Final = Hazard(
    code="core-dumps",
    names="/usr/lib/systemd/systemd-coredump",
    cure="sysctl kernel.core_pattern=core",
    comes="echo '|/usr/lib/systemd/systemd-coredump %P' >/proc/sys/kernel/core_pattern",
    goes="sysctl -q kernel.core_pattern=core",
)
NO_CONTROLLER: Final = Hazard(
    code="memory-controller",
    names="no memory controller",
    cure="cgroup_enable=memory cgroup_memory=1",
    comes="",
    goes="",
)


@pytest.fixture(scope="module")
def room(product: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    """A room that listens."""
    with new_machine(product) as machine:
        machine.start()
        room = Room(machine, tmp_path_factory.mktemp("room"))
        room.furnish(camera=VIVID, width=320, height=180, fps=5, ring_s=10)
        room.watch()
        room.wait_state("listening")
        yield room


@pytest.mark.parametrize("hazard", [SWAP_FILE, ZRAM, CORE_PIPE], ids=lambda hazard: hazard.code)
def test_nobody_listens_on_an_unsafe_machine_and_the_alarm_works(room: Room, hazard: Hazard) -> None:
    room.machine.sh(hazard.comes)
    is_refused(room, hazard)
    room.machine.sh(hazard.goes)
    room.wait_state("listening")
    assert hazard.code not in refusals(room)


def test_nobody_listens_on_a_kernel_without_its_memory_controller(room: Room) -> None:
    room.machine.sh("sync")
    room.machine.start(Hardware(kernel="cgroup_disable=memory"))
    room.watch()
    is_refused(room, NO_CONTROLLER)
    room.machine.sh("sync")
    room.machine.start()
    room.watch()
    room.wait_state("listening")


def refusals(room: Room) -> dict[str, dict[str, Any]]:
    """What keeps this room from listening, by `spreekkamer check`."""
    done = room.machine.exec(*CHECK, is_checked=False, patience_s=4 * PATIENCE_S)
    findings = json.loads(done.out)["findings"]
    refused = {finding["code"]: finding for finding in findings if finding["state"] == "refuses"}
    assert done.code == (1 if refused else 0)
    return refused


def is_refused(room: Room, hazard: Hazard) -> None:
    machine = room.machine
    seen = room.wait_state("fault")
    faults = {fault["code"]: fault for fault in seen["recorder"]["faults"]}
    assert hazard.names in faults[hazard.code]["detail"]
    refused = refusals(room)
    assert list(refused) == [hazard.code]
    assert hazard.names in refused[hazard.code]["detail"]
    assert hazard.cure in refused[hazard.code]["fix"]

    kept = machine.sh("ls /var/lib/spreekkamer/clips")
    room.press()
    assert machine.get(f"/run/gpio/{RELAY}/value") == b"1\n"
    recorder = machine.sh("systemctl show -P MainPID spreekkamer-record").strip()
    assert "/dev/video" not in machine.sh(f"ls -l /proc/{recorder}/fd"), "no camera is opened"
    room.reset()
    until(lambda: machine.get(f"/run/gpio/{RELAY}/value") == b"0\n", patience_s=PATIENCE_S, what="the end of the alarm")
    assert machine.sh("ls /var/lib/spreekkamer/clips") == kept
