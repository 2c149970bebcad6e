"""A clock that is moved by hand, a panel on mock pins without its process, and the process itself in a folder of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from edge.clock import SECOND
from edge.config import PanelConfig
from edge.errors import BadMessage
from edge.messages import Event, Report, Wanted, decode, encode
from edge.panel.board import Board, open_board
from edge.panel.contact import GLITCH_NS, Contact
from edge.panel.inputs import Inputs
from edge.panel.process import build
from edge.status import PanelStatus
from edge.wire import connect, read_snapshot, receive_frame, send_frame

T = TypeVar("T")

IS_LONG: Final = os.environ.get("SPREEKKAMER_LONG") == "1"  # `make long`: full counts
PATIENCE_S: Final = 20.0  # for a machine under load; nothing waits that long when it works
PINS: Final = {
    "panic": 17,
    "reset": 27,
    "privacy": 22,
    "conversation": 23,
    "test_key": 24,
    "attention": 25,
    "alarm": 5,
    "lamp_official": 6,
    "lamp_resident": 13,
}


PIN_CLOSED: Final = 12  # of a pair


class HandClock:
    """A simulated `ports.Clock`: it moves when told to."""

    def __init__(self, *, boot_id: str = "boot-1") -> None:
        self.now_ns = 1_000 * SECOND
        self._boot_id = boot_id

    @property
    def boot_id(self) -> str:
        return self._boot_id

    def boot_ns(self) -> int:
        return self.now_ns

    def wall_ns(self) -> int:
        return 1_795_000_000 * SECOND + self.now_ns

    def is_trusted(self) -> bool:
        return True

    def sleep(self, seconds: float) -> None:
        self.now_ns += int(seconds * SECOND)

    def sleep_until(self, until_ns: int, wake: threading.Event) -> bool:
        self.now_ns = max(self.now_ns, until_ns)
        return wake.is_set()


def config(run: Path, **sections: dict[str, Any]) -> PanelConfig:
    """A whole panel; `sections` replace those of the file."""
    raw: dict[str, Any] = {
        "room": {"name": "room", "arming": "conversation"},
        "panel": {name: {"pin": pin} for name, pin in PINS.items()},
        "paths": {"run": run},
    }
    return PanelConfig.model_validate(raw | sections)


class Bench:
    """The panel on mock pins and a hand clock, without its process."""

    def __init__(self, settings: PanelConfig, clock: HandClock | None = None, used: tuple[Contact, ...] = ()) -> None:
        self.clock = clock or HandClock()
        self._stack = ExitStack()
        self.board: Board = self._stack.enter_context(open_board("mock", self.clock))
        self.was_relay_high_at_once = False

        def set_levels(inputs: Inputs) -> None:
            self.was_relay_high_at_once = self.is_relay_high()
            inputs.let_go()
            for contact in used:
                inputs.drive(contact, is_used=True)

        self.guard = build(self._stack, settings, (), board=self.board, clock=self.clock, set_levels=set_levels)
        self.inbox = self.guard._inbox
        self.inputs = self.guard._inputs
        self.relay = self.guard._relay
        self.faults = self.guard._faults
        self.settle()

    def settle(self) -> None:
        """Let the panel do all that is to be done at this instant."""
        while self.inbox._has_something() or self.guard._next_ns() <= self.clock.now_ns:
            self.guard.turn()

    def edge(self, contact: Contact, *, is_used: bool) -> None:
        """An edge, of which nobody knows yet what becomes of it."""
        self.inputs.drive(contact, is_used=is_used)
        self.settle()

    def use(self, contact: Contact, *, is_used: bool = True) -> None:
        """Use a contact, or let it go, for longer than a glitch lasts."""
        self.edge(contact, is_used=is_used)
        self.wait(GLITCH_NS / SECOND)

    def wait(self, seconds: float) -> None:
        """Let time pass, in steps that leave no due moment out."""
        end_ns = self.clock.now_ns + int(seconds * SECOND)
        while self.clock.now_ns < end_ns:
            self.clock.now_ns = min(end_ns, max(self.guard._next_ns(), self.clock.now_ns + 1))
            self.settle()

    def until(self, at_ns: int) -> None:
        """Let time pass until this instant."""
        self.wait((at_ns - self.clock.now_ns) / SECOND)

    def press(self, seconds: float = 0.2) -> None:
        """Press the panic button for so long, and leave it alone for a second."""
        self.use(Contact.PANIC)
        self.wait(seconds)
        self.use(Contact.PANIC, is_used=False)
        self.wait(1.0)

    def is_relay_high(self) -> bool:
        return bool(self.board.factory.pin(f"GPIO{PINS['alarm']}").state)

    def status(self) -> PanelStatus:
        return self.guard._snapshot(self.clock.now_ns)

    @property
    def fault_codes(self) -> set[str]:
        return {fault.code for fault in self.faults.all()}

    def detail(self, code: str) -> str:
        return next((fault.detail for fault in self.faults.all() if fault.code == code), "")

    def count(self, event: Event) -> int:
        return sum(counted.event is event for counted in self.status().events)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


_GUARD = """
import signal, sys, threading
from pathlib import Path
from edge.config import load_panel
from edge.panel.process import run
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
settings, problems = load_panel(Path(sys.argv[1]))
run(settings, problems, stop, keyboard=True)
"""

_TOML = """
[room]
name = "room"
arming = "always"
[panel]
panic = {{ pin = 17 }}
reset = {{ pin = 27 }}
privacy = {{ pin = 22 }}
alarm = {{ pin = 5 }}
lamp_official = {{ pin = 6 }}
[paths]
run = "{run}"
store = "{store}"
"""


class Room:
    """A folder with a configuration, in which the real process runs, is killed and runs again."""

    def __init__(self, folder: Path, more: str = "") -> None:
        self.folder = folder
        self.toml = folder / "config.toml"
        self.toml.write_text(_TOML.format(run=folder / "run", store=folder / "store") + more)

    @property
    def panel_folder(self) -> Path:
        return self.folder / "run" / "panel"

    @property
    def own_folder(self) -> Path:
        return self.folder / "run" / "panel-own"

    @property
    def link_folder(self) -> Path:
        return self.folder / "run" / "panel-link"

    @contextmanager
    def guard(self, *levels: str) -> Iterator[GuardProcess]:
        """The process, alarm ready; killed at the end if it still runs."""
        with subprocess.Popen(
            [sys.executable, "-W", "error", "-c", _GUARD, str(self.toml)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"GPIOZERO_PIN_FACTORY": "mock"},
        ) as process:
            running = GuardProcess(process, self)
            try:
                running.say(*levels, "ready")
                assert process.stdout is not None
                line = process.stdout.readline()
                assert line == "alarm ready\n", (line, process.stderr and process.stderr.read())
                yield running
            finally:
                process.kill()


class GuardProcess:
    def __init__(self, process: subprocess.Popen[str], room: Room) -> None:
        self.process = process
        self._room = room

    def say(self, *lines: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("".join(line + "\n" for line in lines))
        self.process.stdin.flush()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE_S)

    def stop(self) -> str:
        """End it as systemd does; what it wrote on stderr."""
        self.process.send_signal(signal.SIGTERM)
        _, errors = self.process.communicate(timeout=PATIENCE_S)
        assert self.process.returncode == 0, errors
        return errors

    def status(self) -> PanelStatus:
        path = self._room.panel_folder / "status.sock"
        return decode(PanelStatus, self._until(lambda: read_snapshot(path), "a status socket"))

    def status_when(self, holds: Callable[[PanelStatus], bool]) -> PanelStatus:
        """The first status for which `holds`."""
        deadline = time.monotonic() + PATIENCE_S
        while not holds(status := self.status()):
            assert time.monotonic() < deadline, json.loads(encode(status))
            time.sleep(0.005)
        return status

    def listener(self) -> Listener:
        path = self._room.link_folder / "wanted.sock"
        return self._until(lambda: Listener(path), "a socket for what is wanted")

    def _until(self, attempt: Callable[[], T], what: str) -> T:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return attempt()
            except (OSError, BadMessage):
                assert self.process.poll() is None, self.process.stderr and self.process.stderr.read()
                assert time.monotonic() < deadline, f"no {what}"
                time.sleep(0.005)


class Listener:
    """A recorder's end of the link."""

    def __init__(self, path: Path) -> None:
        self.socket = connect(path, patience_s=PATIENCE_S)

    def wanted(self) -> Wanted:
        frame = receive_frame(self.socket)
        assert frame is not None, "the panel hung up"
        return decode(Wanted, frame[0])

    def wanted_when(self, holds: Callable[[Wanted], bool]) -> Wanted:
        """The first message for which `holds`, passing over at most a few seconds' worth."""
        said = [self.wanted()]
        while not holds(said[-1]):
            assert len(said) < 100, said[-1]
            said.append(self.wanted())
        return said[-1]

    def is_hung_up(self) -> bool:
        """The panel hung up; what it had said before is passed over. Waits for it."""
        try:
            while self.socket.recv(1 << 16):
                pass
        except ConnectionResetError:  # it had not read all that we said
            pass
        return True

    def report(self, report: Report) -> None:
        send_frame(self.socket, encode(report))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()
