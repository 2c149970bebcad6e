"""The four real processes tell systemd that they are ready and that they go on, and nothing when they do not."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.evidence import ROOM
from tests.support.processes import Room, memory_folder

PATIENCE_S = 40.0


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with memory_folder() as folder:
        yield Room(tmp_path / "D", folder / "run", ROOM, ring_s=3)


@pytest.mark.parametrize(
    ("command", "status"),
    [
        ("guard", "listen, 0 faults"),
        ("record", "starting"),
        ("keep", "0 clips kept"),
        ("show", "page http://127.0.0.1:"),
    ],
)
def test_a_process_tells_that_it_is_ready_goes_on_and_ends(room: Room, command: str, status: str) -> None:
    address = room.config.paths.run.parent / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(address))
        ear.settimeout(PATIENCE_S)
        environment = os.environ | {"NOTIFY_SOCKET": str(address), "WATCHDOG_USEC": "400000"}
        with subprocess.Popen(
            [sys.executable, "-m", "edge", command, "--config", str(room.config_file)],
            env=environment | {"GPIOZERO_PIN_FACTORY": "mock"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        ) as process:
            try:
                first = ear.recv(4096).decode()
                assert first.startswith("READY=1\n"), "nothing is told before it is ready"
                assert status in first
                while "WATCHDOG=1" not in ear.recv(4096).decode():
                    pass
                process.send_signal(signal.SIGTERM)
                while "STOPPING=1" not in ear.recv(4096).decode():
                    pass
                assert process.wait(PATIENCE_S) == 0
            finally:
                process.kill()
