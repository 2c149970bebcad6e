"""Who hangs is started anew, and help does not wait for it: each process, each thread of the panel, systemd, the kernel.

The relay is read from the simulated pin. One room for all scenarios; each leaves it calm and listening.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from edge.clock import SECOND
from tests.support.processes import CLOCK, until
from tests.vm.image import Image
from tests.vm.machine import IS_FAST, PATIENCE_S, Machine, new_machine
from tests.vm.room import VIVID, Room

pytestmark = pytest.mark.vm

LIMITS_S: Final = {"guard": 2, "record": 20, "keep": 60, "show": 30}  # WatchdogSec= of the units
LATE_S: Final = 1 if IS_FAST else 15  # systemd itself
HARDWARE_S: Final = 14  # RuntimeWatchdogSec= of firmware_config
FIRMWARE_S: Final = 10  # from the reset to the kernel's first second
BACK_S: Final = 5.0  # a panel that hung is back with its alarm; not to be had of an emulated processor
PANIC, RELAY = 17, 5
HOLD: Final = str(Path(__file__).with_name("hold.py").relative_to(Path(__file__).parents[2]))


@pytest.fixture(scope="module")
def room(product: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    """A room that listens."""
    with new_machine(product) as machine:
        machine.start()
        room = Room(machine, tmp_path_factory.mktemp("room"))
        # On an emulated processor the room's units are given time; their watchdogs are what is tried here.
        machine.sh("sed -i /^WatchdogSec/d /etc/systemd/system/spreekkamer-*.service.d/90-emulated.conf || true")
        room.furnish(camera=VIVID, width=320, height=180, fps=5, ring_s=10)
        room.watch()
        room.wait_state("listening")
        yield room


def pid(machine: Machine, unit: str) -> int:
    return int(machine.sh(f"systemctl show -P MainPID spreekkamer-{unit}"))


def freeze(machine: Machine, unit: str) -> tuple[int, float]:
    """Stop a process as a whole; its number, and when that was, in seconds since the machine was switched on."""
    frozen = pid(machine, unit)
    return frozen, float(machine.sh(f"kill -STOP {frozen}; cut -d' ' -f1 /proc/uptime"))


def is_relay_on(machine: Machine) -> bool:
    return machine.get(f"/run/gpio/{RELAY}/value") == b"1\n"


def wait_other(machine: Machine, unit: str, than: int) -> None:
    """Until another process runs in the place of this one."""
    until(
        lambda: pid(machine, unit) not in {0, than},
        patience_s=LIMITS_S[unit] + PATIENCE_S,
        every_s=0.2,
        what=f"another {unit}",
    )


def watchdog_s(machine: Machine, unit: str) -> float:
    """When systemd last found that this unit hangs, in seconds since the machine was switched on."""
    lines = machine.sh(f"journalctl -b -o json -u spreekkamer-{unit} -t systemd --grep 'Watchdog timeout' -n 1")
    return int(json.loads(lines)["__MONOTONIC_TIMESTAMP"]) / 1e6


def safe_clip(room: Room) -> str:
    """The clip that is being made, as soon as there is more of it on the disk than its beginning."""

    def clip(seen: dict[str, Any]) -> dict[str, Any] | None:
        found: dict[str, Any] | None = seen["recorder"] and seen["recorder"]["clip"]
        return found if found and found["is_open"] and found["segments_safe"] > 1 else None

    found = clip(room.wait(clip, what="safe footage"))
    assert found is not None
    return str(found["clip"])


def calm(room: Room) -> None:
    room.reset()
    until(lambda: not is_relay_on(room.machine), patience_s=PATIENCE_S, what="the end of the alarm")
    room.wait_state("listening")


def test_the_rest_of_an_incident_whose_recorder_hangs_is_a_clip_that_continues_the_first(room: Room) -> None:
    machine = room.machine
    room.press()
    first = safe_clip(room)
    frozen, at_s = freeze(machine, "record")
    wait_other(machine, "record", than=frozen)
    assert is_relay_on(machine)
    assert watchdog_s(machine, "record") - at_s <= LIMITS_S["record"] + LATE_S

    seen = room.wait(
        lambda seen: seen["vault"] and any(clip["continues"] == first for clip in seen["vault"]["clips"]),
        what="a clip that continues the first",
    )
    states = {clip["id"]: clip["state"] for clip in seen["vault"]["clips"]}
    assert states[first] == "interrupted"
    calm(room)


def test_the_alarm_works_while_nobody_but_the_panel_moves_and_they_all_come_back(room: Room) -> None:
    machine = room.machine
    others = ("record", "keep", "show")
    frozen = {unit: freeze(machine, unit) for unit in others}
    room.press()
    assert is_relay_on(machine)
    for unit in others:
        process, at_s = frozen[unit]
        wait_other(machine, unit, than=process)
        assert watchdog_s(machine, unit) - at_s <= LIMITS_S[unit] + LATE_S
    assert is_relay_on(machine)
    room.wait_state("recording")
    safe_clip(room)
    page = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8080/').status)"
    assert machine.exec("/usr/bin/python3", "-Ic", page).out == "200\n"
    calm(room)


def test_a_panel_that_hangs_is_back_with_its_alarm_and_its_incident(room: Room) -> None:
    machine = room.machine
    room.press()
    before = room.wait_state("recording")
    frozen, at_s = freeze(machine, "guard")
    wait_other(machine, "guard", than=frozen)
    until(lambda: is_relay_on(machine), patience_s=PATIENCE_S, what="the alarm")
    after = room.wait(
        lambda seen: seen["panel"] and seen["panel"]["started_ns"] > at_s * SECOND, what="the panel's status"
    )
    assert watchdog_s(machine, "guard") - at_s <= LIMITS_S["guard"] + LATE_S
    if IS_FAST:
        assert after["panel"]["alarm_on_ns"] / SECOND - at_s < BACK_S
    assert after["panel"]["incident"]["id"] == before["panel"]["incident"]["id"]
    clip = safe_clip(room)
    assert clip == before["recorder"]["clip"]["clip"], "the clip went on"
    calm(room)


def test_a_button_that_is_held_while_the_panel_hangs_calls_for_help(room: Room) -> None:
    machine = room.machine
    freeze(machine, "guard")
    # Held all the while: a simulated line is pulled up by the panel that claims it anew, which a closed contact would not be.
    held = f"while echo pull-down >/run/gpio/{PANIC}/pull; do sleep 0.01; done"
    machine.sh(f"systemd-run --quiet --collect --unit held sh -c '{held}'")
    until(lambda: is_relay_on(machine), patience_s=PATIENCE_S, what="the alarm")
    machine.sh(f"systemctl stop held; echo pull-up >/run/gpio/{PANIC}/pull")
    calm(room)


def test_whichever_thread_of_the_panel_dies_a_press_calls_for_help(room: Room) -> None:
    machine = room.machine

    def others() -> list[str]:
        return sorted(
            set(machine.sh(f"ls /proc/{(main := pid(machine, 'guard'))}/task").split()) - {str(main)}, key=int
        )

    count = len(others())
    assert count >= 3, "that of the edges, lgpio's own, and who speaks with the recorder"
    for number in range(count):
        thread = others()[number]
        machine.sh(f"systemd-run --quiet --collect --unit hold python3 -IB /project/{HOLD} {thread}")
        until(
            lambda thread=thread: "tracing stop" in machine.get(f"/proc/{thread}/status").decode(),  # type: ignore[misc]
            patience_s=PATIENCE_S,
            what="the hold",
        )
        machine.sh(f"echo pull-down >/run/gpio/{PANIC}/pull; sleep 0.2; echo pull-up >/run/gpio/{PANIC}/pull")
        until(lambda: is_relay_on(machine), patience_s=PATIENCE_S, what=f"the alarm without thread {number}")
        machine.sh("systemctl stop hold")
        calm(room)


def test_a_machine_whose_systemd_hangs_is_started_anew_by_its_watchdog_and_listens(room: Room) -> None:
    machine = room.machine
    assert machine.sh("systemctl show -P RuntimeWatchdogUSec") == f"{HARDWARE_S}s\n"
    assert machine.sh("cat /sys/class/watchdog/watchdog0/identity /sys/class/watchdog/watchdog0/state") == (
        "i6300ESB timer\nactive\n"
    )
    boot = machine.get("/proc/sys/kernel/random/boot_id").decode().strip()
    held_ns = CLOCK.boot_ns()
    machine.sh(f"setsid python3 -IB /project/{HOLD} 1 >/dev/null 2>&1 &")
    machine.wait_up(other_than=boot)
    up_s = float(machine.get("/proc/uptime").split()[0])
    reset_s = (CLOCK.boot_ns() - held_ns) / SECOND - up_s
    print(f"the kernel began anew {reset_s:.1f} s after systemd hung")
    assert reset_s <= HARDWARE_S + FIRMWARE_S
    room.watch()
    room.wait_state("listening")


def test_a_kernel_that_fails_in_an_incident_starts_anew_and_the_clip_is_kept(room: Room) -> None:
    machine = room.machine
    room.press()
    clip = safe_clip(room)
    boot = machine.get("/proc/sys/kernel/random/boot_id").decode().strip()
    machine.sh("(sleep 0.3; echo c >/proc/sysrq-trigger) >/dev/null 2>&1 &")
    machine.wait_up(other_than=boot)
    room.watch()
    room.wait_state("listening")
    seen = room.wait(lambda seen: seen["vault"], what="the vault")
    assert {kept["id"]: kept["state"] for kept in seen["vault"]["clips"]}[clip] == "interrupted"
