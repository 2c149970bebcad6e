"""Clips live as long as was promised, whatever the clock says: 1970, ten years ahead, put right later, a week switched off.

A clock counts when timesyncd of the machine has it from a server; a battery clock never does. Ages are compared with the
time that the machine really was on, by its own counter since boot.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from edge.clock import SECOND
from tests.vm.image import Image
from tests.vm.machine import IS_FAST, PATIENCE_S, Hardware, Machine, new_machine
from tests.vm.room import VIVID, Room

pytestmark = pytest.mark.vm

KEPT_S: Final = 240  # the retention; a start on an emulated processor fits into it
A_REBOOT_S: Final = 60  # may make it later by so much, and never earlier
LATE_S: Final = 30 if IS_FAST else 180  # from being due to being gone, as the vault has passes
NOW: Final = datetime.now(UTC).replace(microsecond=0)
SERVER: Final = "/project/" + str(Path(__file__).with_name("time_server.py").relative_to(Path(__file__).parents[2]))


@pytest.fixture
def room(product: Image, tmp_path: Path) -> Iterator[Room]:
    """A room that is switched off, with a short retention, and with no idea of the time."""
    with new_machine(product) as machine:
        yield Room(machine, tmp_path)


def begin(room: Room, clock: datetime, *, retention_s: int = KEPT_S) -> None:
    """Switch a new room on, at a time by its battery clock."""
    machine = room.machine
    machine.start(Hardware(clock=clock))
    # timesyncd takes its clock up from where it was saved, which would be when the image was made.
    machine.sh("rm -f /var/lib/systemd/timesync/clock /var/lib/private/systemd/timesync/clock")
    machine.set_time(clock)
    room.furnish(camera=VIVID, width=320, height=180, fps=5, ring_s=10, retention_s=retention_s)
    room.watch()
    room.wait_state("listening")


def again(room: Room, clock: datetime) -> None:
    """Pull the plug, and switch it on at a time by its battery clock."""
    room.machine.power_cut()
    room.machine.start(Hardware(clock=clock))
    room.machine.set_time(clock)
    room.watch()
    vault(room, lambda _: True, "the vault")


def tell_time(room: Room, right: datetime) -> None:
    """From now on a time server is there; the vault trusts the clock when timesyncd has it from there."""
    machine = room.machine
    machine.put(b"[Time]\nNTP=127.0.0.1\n", "/run/systemd/timesyncd.conf.d/99-test.conf")
    machine.sh(f"systemd-run --quiet --unit time-server python3 -IB {SERVER} {right.timestamp()}")
    machine.sh("systemctl restart systemd-timesyncd")
    vault(room, lambda seen: seen["is_clock_trusted"], "trust in the clock")
    told = datetime.fromtimestamp(float(machine.sh("date +%s")), UTC)
    assert timedelta(0) <= told - right < timedelta(minutes=10)


def vault(room: Room, condition: Any, what: str) -> dict[str, Any]:
    """The vault's status as soon as it is as asked for."""
    seen = room.wait(lambda seen: seen["vault"] and condition(seen["vault"]), what=what, patience_s=8 * PATIENCE_S)
    told: dict[str, Any] = seen["vault"]
    return told


def make_clip(room: Room) -> tuple[str, float]:
    """A press and a reset: the clip, and when the press was, in seconds since boot."""
    room.press()
    seen = room.wait(
        lambda seen: seen["recorder"] and seen["recorder"]["clip"] and seen["recorder"]["clip"]["segments_safe"] > 0,
        what="safe footage",
    )
    pressed_s = seen["panel"]["incident"]["pressed_ns"] / SECOND
    room.reset()
    clip = str(seen["recorder"]["clip"]["clip"])
    vault(room, lambda seen: {kept["id"]: kept["state"] for kept in seen["clips"]}.get(clip) == "complete", "the clip")
    return clip, pressed_s


def gone_s(room: Room, clip: str) -> float:
    """When the clip went, in seconds since boot; its folder is gone too."""
    told = vault(room, lambda seen: clip in {gone["id"] for gone in seen["deleted"]}, "the clip's end")
    assert clip not in clips(room.machine)
    [at_ns] = [gone["at_ns"] for gone in told["deleted"] if gone["id"] == clip]
    return float(at_ns / SECOND)


def clips(machine: Machine) -> list[str]:
    return machine.sh("ls /var/lib/spreekkamer/clips").split()


def uptime_s(machine: Machine) -> float:
    return float(machine.get("/proc/uptime").split()[0])


def test_a_clip_of_1970_lives_as_promised_though_the_clock_is_put_right(room: Room) -> None:
    begin(room, datetime(1970, 1, 2, tzinfo=UTC))
    clip, pressed_s = make_clip(room)
    assert clip.startswith("19700102T")
    tell_time(room, NOW)
    assert clip in clips(room.machine), "fifty years have not passed"
    lived_s = gone_s(room, clip) - pressed_s
    assert KEPT_S <= lived_s <= KEPT_S + LATE_S


def test_a_boot_ten_years_ahead_neither_ends_a_clip_nor_keeps_it(room: Room) -> None:
    begin(room, NOW)
    tell_time(room, NOW)
    clip, pressed_s = make_clip(room)
    room.machine.sh("sync")
    on_s = uptime_s(room.machine) - pressed_s
    again(room, NOW + timedelta(days=3652))
    assert room.machine.sh("date --utc +%Y").strip() == str((NOW + timedelta(days=3652)).year)
    is_early = on_s + uptime_s(room.machine) < KEPT_S
    assert not is_early or clip in clips(room.machine)
    lived_s = on_s + gone_s(room, clip)
    assert KEPT_S - 1 <= lived_s <= KEPT_S + A_REBOOT_S + LATE_S  # the plug came out after the last look at its clock


def test_a_week_without_power_counts_as_soon_as_the_network_tells_the_time(room: Room) -> None:
    begin(room, NOW, retention_s=86400)
    tell_time(room, NOW)
    clip, _ = make_clip(room)
    room.machine.sh("sync")
    again(room, NOW + timedelta(days=7))
    assert clip in clips(room.machine), "a battery clock alone ends no clip"
    tell_time(room, NOW + timedelta(days=7))
    gone_s(room, clip)
