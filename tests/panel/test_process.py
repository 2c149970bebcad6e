"""The real process: started, pressed, killed, started again."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.errors import Refused
from edge.messages import Event, Lamp, Mode, Report
from edge.panel.process import run
from tests.panel.support import IS_LONG, Room, config

FORBIDDEN = ["av", "cv2", "numpy", "sounddevice", "pyrage", "sqlite3", "cryptography", "fastapi"]
LOADED = """
import json, sys
import edge.panel.process
print(json.dumps(sorted(name.partition('.')[0] for name in sys.modules)))
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="sk") as made:  # short: a socket's path ends at 107 bytes
        yield Path(made)


def test_the_panel_loads_nothing_that_is_heavy_or_belongs_to_others() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED], check=True, capture_output=True, text=True)
    loaded = json.loads(done.stdout)
    assert "gpiozero" in loaded
    assert not set(FORBIDDEN) & set(loaded)


def test_the_keyboard_never_moves_real_pins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "lgpio")
    with pytest.raises(Refused, match="mock pins only"):
        run(config(tmp_path), (), threading.Event(), keyboard=True)


def test_without_a_word_about_pins_real_ones_are_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GPIOZERO_PIN_FACTORY", raising=False)
    monkeypatch.setitem(sys.modules, "lgpio", None)
    with pytest.raises(Refused, match="lgpio is not installed"):
        run(config(tmp_path), (), threading.Event())


def test_a_press_puts_the_alarm_on_and_tells_the_recorder(folder: Path) -> None:
    with Room(folder).guard() as guard, guard.listener() as recorder:
        assert recorder.wanted().mode is Mode.LISTEN
        guard.say("panic 1")
        wanted = recorder.wanted_when(lambda said: said.mode is Mode.RECORD)
        status = guard.status_when(lambda status: status.is_alarm_on)
        assert status.incident == wanted.incident
        assert [event.event for event in wanted.events] == [Event.PANEL_START, Event.PRESS]
        assert status.alarm_latency_ns is not None
        guard.say("panic 0", "reset 1")
        ended = recorder.wanted_when(lambda said: said.mode is Mode.LISTEN)
        assert ended.incident is not None
        assert wanted.incident is not None
        assert ended.incident.id == wanted.incident.id
        assert ended.incident.until_ns < wanted.incident.until_ns
        assert not guard.status_when(lambda status: not status.is_alarm_on).faults


def test_what_is_wanted_is_repeated_and_a_report_is_heard(folder: Path) -> None:
    with Room(folder).guard() as guard, guard.listener() as recorder:
        first = recorder.wanted()
        second = recorder.wanted_when(lambda said: said.sent_ns > first.sent_ns)
        assert not guard.status().is_recorder_heard
        recorder.report(Report(lamp=Lamp.SAFE, is_camera_on=True, clip=None, sent_ns=second.sent_ns))
        assert guard.status_when(lambda status: status.is_recorder_heard).lamp == "safe"


def test_killed_in_an_incident_it_comes_back_with_alarm_incident_and_end(folder: Path) -> None:
    room = Room(folder)
    with room.guard() as guard, guard.listener() as recorder:
        guard.say("panic 1", "panic 0")
        before = recorder.wanted_when(lambda said: said.mode is Mode.RECORD)
        guard.kill()
    with room.guard() as guard, guard.listener() as recorder:
        status = guard.status()
        assert status.is_alarm_on
        assert status.incident == before.incident
        wanted = recorder.wanted()
        assert (wanted.mode, wanted.incident) == (Mode.RECORD, before.incident)
        assert wanted.events[: len(before.events)] == before.events
        assert [event.event for event in wanted.events[len(before.events) :]] == [Event.PANEL_START]


def test_killed_at_any_instant_around_a_press_help_comes_and_the_press_counts_once(folder: Path) -> None:
    chance = random.Random(2)
    room = Room(folder)
    for _ in range(100 if IS_LONG else 6):
        with room.guard() as guard:
            guard.say("panic 1")
            time.sleep(chance.uniform(0, 0.012))  # the instant of the kill is what varies, before and after it counts
            guard.kill()
        with room.guard("panic 1") as guard:
            status = guard.status()
            assert status.is_alarm_on
            assert status.mode is Mode.RECORD
            assert [event.event for event in status.events if event.event is Event.PRESS] == [Event.PRESS]
            assert status.incident is not None
            assert status.incident.presses == 1
            guard.kill()
        (room.own_folder / "incident.json").unlink()


def test_a_press_held_while_the_panel_restarts_is_a_press(folder: Path) -> None:
    room = Room(folder)
    with room.guard() as guard:
        guard.status()
        guard.kill()
    with room.guard("panic 1") as guard:
        assert guard.status().is_alarm_on


def test_a_button_closed_at_machine_boot_is_a_fault_and_no_press(folder: Path) -> None:
    with Room(folder).guard("panic 1") as guard:
        status = guard.status()
        assert not status.is_alarm_on
        assert [fault.code for fault in status.faults] == ["button-held"]


def test_with_a_broken_configuration_elsewhere_the_alarm_works_and_says_so(folder: Path) -> None:
    broken = '[camera]\nsource = "webcam"\n[retention]\nseconds = "long"\n[nonsense]\nx = 1\n'
    with Room(folder, broken).guard() as guard:
        guard.say("panic 1")
        status = guard.status_when(lambda status: status.is_alarm_on)
        assert [fault.code for fault in status.faults] == ["configuration"] * 3
        assert "camera.source" in status.faults[0].detail
        assert status.lamp == "received"


def test_readers_that_never_read_do_not_hold_up_the_alarm(folder: Path) -> None:
    with Room(folder).guard() as guard, guard.listener(), guard.listener(), guard.listener() as recorder:
        for number in range(1, 30):
            guard.say("panic 1" if number % 2 else "panic 0")
        guard.status_when(lambda status: status.is_alarm_on)
        assert recorder.wanted_when(lambda said: said.mode is Mode.RECORD).incident is not None


def test_without_a_usable_folder_the_alarm_works(folder: Path) -> None:
    room = Room(folder)
    (folder / "run").write_text("a file where a folder should be")
    with room.guard() as guard:
        guard.say("panic 1", "panic 0")
        (folder / "run").unlink()  # only to be able to look
        status = guard.status_when(lambda status: status.is_alarm_on)
        assert status.alarm_on_ns is not None
        assert status.incident is not None
        assert status.incident.presses == 1
        assert "panel-memory-write" in guard.stop()


def test_with_a_memory_full_of_rubbish_the_alarm_works(folder: Path) -> None:
    room = Room(folder)
    room.own_folder.mkdir(parents=True)
    (room.own_folder / "incident.json").write_bytes(b"\xff" * 1000)
    with room.guard() as guard:
        assert [fault.code for fault in guard.status().faults] == ["panel-memory"]
        guard.say("panic 1")
        guard.status_when(lambda status: status.is_alarm_on)


def test_stopped_it_leaves_its_memory_and_no_sockets(folder: Path) -> None:
    room = Room(folder)
    with room.guard() as guard:
        guard.say("panic 1", "panic 0")
        guard.status_when(lambda status: status.is_alarm_on)
        assert guard.stop() == ""
    assert [path.name for path in room.own_folder.iterdir()] == ["incident.json"]
    assert not [*room.link_folder.iterdir(), *room.panel_folder.iterdir()]
    with room.guard() as guard:
        assert guard.status().is_alarm_on


def test_the_end_of_its_input_ends_nothing_and_nonsense_is_passed_over(folder: Path) -> None:
    with Room(folder).guard() as guard:
        guard.say("panic 2", "", "attention 1", "x" * 10_000, "panic 1")
        assert guard.process.stdin is not None
        guard.process.stdin.close()
        guard.process.stdin = None
        guard.status_when(lambda status: status.is_alarm_on)
        assert "attention: not on this panel" in guard.stop()


def test_it_starts_with_a_listener_that_went_away(folder: Path) -> None:
    room = Room(folder)
    with room.guard() as guard:
        with guard.listener() as recorder:
            recorder.wanted()
        guard.say("panic 1")
        guard.status_when(lambda status: status.is_alarm_on)
        with guard.listener() as recorder:
            assert recorder.wanted().mode is Mode.RECORD


def test_its_folder_lets_nobody_else_in(folder: Path) -> None:
    room = Room(folder)
    with room.guard() as guard:
        guard.status()
        with guard.listener():
            pass
        for path in (room.panel_folder, room.own_folder, room.link_folder, room.link_folder / "wanted.sock"):
            assert path.stat().st_mode & 0o007 == 0
