"""The real panel process on a simulated header: what moves the wires is the kernel, and what is read is what they carry."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from edge.clock import MILLISECOND, SECOND
from edge.panel.contact import SETTLE_NS
from edge.status import PanelStatus
from tests.panel.support import IS_LONG, PATIENCE_S, PINS, GuardProcess, Room

HEADER: Final = Path("/run/gpio")
WIRED: Final = ("panic", "reset", "privacy")  # of the room that tests.panel.support writes


def pull(name: str, *, is_closed: bool) -> None:
    """Close a contact to ground, or let its line go up."""
    (HEADER / str(PINS[name]) / "pull").write_text("pull-down" if is_closed else "pull-up")


def is_high(name: str) -> bool:
    return (HEADER / str(PINS[name]) / "value").read_text() == "1\n"


def wait_high(name: str, *, is_it: bool = True) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while is_high(name) is not is_it:
        assert time.monotonic() < deadline, f"{name} does not change"
        time.sleep(0.001)


@pytest.fixture
def room() -> Iterator[Room]:
    with tempfile.TemporaryDirectory(prefix="sk") as folder:
        yield Room(Path(folder))
    for name in WIRED:
        pull(name, is_closed=False)


@contextmanager
def guarding(room: Room) -> Iterator[GuardProcess]:
    """`spreekkamer guard` as it is started on a device."""
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "edge", "guard", "--config", str(room.toml)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"GPIOZERO_PIN_FACTORY": "lgpio"},
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line == "alarm ready\n", (line, process.stderr and process.stderr.read())
            yield GuardProcess(process, room)
        finally:
            process.kill()


def presses(status: PanelStatus) -> int:
    return status.incident.presses if status.incident else 0


def wait_presses(guard: GuardProcess, count: int) -> None:
    guard.status_when(lambda status: presses(status) >= count)


def test_a_press_switches_the_relay_on_a_reset_off_and_the_lamp_tells(room: Room) -> None:
    with guarding(room) as guard:
        assert not is_high("alarm")
        pull("panic", is_closed=True)
        wait_high("alarm")
        status = guard.status_when(lambda status: status.is_alarm_on)
        assert (presses(status), status.lamp) == (1, "received")
        assert status.alarm_latency_ns is not None
        print(f"from the edge to the relay: {status.alarm_latency_ns / MILLISECOND:.1f} ms")
        seen: set[bool] = set()
        deadline = time.monotonic() + PATIENCE_S
        while seen != {True, False}:  # it blinks: the press is received, and nobody has said that the clip is safe
            seen.add(is_high("lamp_official"))
            assert time.monotonic() < deadline, "the lamp does not blink"
            time.sleep(0.01)
        pull("panic", is_closed=False)
        pull("reset", is_closed=True)
        wait_high("alarm", is_it=False)
        assert "contact-thread" not in {fault.code for fault in guard.status().faults}


def test_a_press_of_20_ms_counts_once(room: Room) -> None:
    with guarding(room) as guard:
        for number in range(1, 11):
            pull("panic", is_closed=True)
            time.sleep(0.02)
            pull("panic", is_closed=False)
            wait_presses(guard, number)
            time.sleep(2 * SETTLE_NS / SECOND)
            assert presses(guard.status()) == number


def test_of_a_storm_of_bouncing_presses_none_is_lost_and_none_doubled(room: Room) -> None:
    chance, latencies_ms = random.Random(4), []
    with guarding(room) as guard:
        for _ in range(100 if IS_LONG else 3):
            for number in range(1, 11):
                bounce(chance, is_closed=True)
                time.sleep(0.06)
                bounce(chance, is_closed=False)
                time.sleep(2 * SETTLE_NS / SECOND)
                assert presses(guard.status()) == number
            assert is_high("alarm")
            latencies_ms.append(round((guard.status().alarm_latency_ns or 0) / MILLISECOND, 1))
            reset(guard)
    print("from the edge to the relay, ms:", latencies_ms)


def reset(guard: GuardProcess) -> None:
    """End the incident and begin another."""
    pull("reset", is_closed=True)
    wait_high("alarm", is_it=False)
    pull("reset", is_closed=False)
    time.sleep(2 * SETTLE_NS / SECOND)


def bounce(chance: random.Random, *, is_closed: bool) -> None:
    """Move the button as contacts do: up to 30 ms of bouncing, then at rest."""
    end = time.monotonic() + chance.uniform(0, 0.03)
    level = is_closed
    while True:
        pull("panic", is_closed=level)
        if time.monotonic() >= end and level is is_closed:
            return
        level = not level
        time.sleep(chance.uniform(0.0002, 0.003))


def test_a_button_that_hangs_open_at_the_start_is_a_fault_and_no_press(room: Room) -> None:
    """With a contact that is closed at rest: claiming a line pulls a simulated one up, whatever was there before."""
    room.toml.write_text(room.toml.read_text().replace("panic = { pin = 17 }", 'panic = { pin = 17, contact = "nc" }'))
    with guarding(room) as guard:
        status = guard.status()
        assert "button-held" in {fault.code for fault in status.faults}
        assert not status.is_alarm_on
        assert not is_high("alarm")
        pull("panic", is_closed=True)  # mended
        guard.status_when(lambda status: "button-held" not in {fault.code for fault in status.faults})
        pull("panic", is_closed=False)
        wait_high("alarm")


def test_stopped_and_killed_the_relay_falls_and_comes_back_with_the_incident(room: Room) -> None:
    with guarding(room) as guard:
        pull("panic", is_closed=True)
        guard.status_when(lambda status: status.is_alarm_on)  # shown after it has been saved
        guard.kill()
    pull("panic", is_closed=False)
    with guarding(room) as guard:
        wait_high("alarm")
        assert presses(guard.status()) == 1
        guard.stop()
        wait_high("alarm", is_it=False)
