"""A room in a folder and its real processes: started one by one, or all four, restarted as systemd would."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self, TypeVar

from edge.clock import MILLISECOND, SECOND, SystemClock
from edge.config import Config, load
from edge.demo.folder import Place, prepare
from edge.errors import BadMessage
from edge.messages import Incident, decode
from edge.status import PanelStatus, RecorderState, RecorderStatus, VaultStatus
from edge.wire import read_snapshot

CLOCK: Final = SystemClock()
IS_LONG: Final = os.environ.get("SPREEKKAMER_LONG") == "1"  # `make long`: full counts
MEMORY: Final = Path("/dev/shm")  # sockets lie in RAM, by a path that is short enough for them
COMMANDS: Final = {"panel": "guard", "vault": "keep", "recorder": "record", "service": "show"}
RESTART_NS: Final = 100 * MILLISECOND  # RestartSec=100ms
# A hand that let go cannot press again sooner; a contact that moves twice within 50 ms bounces, and is one press.
_HAND_NS: Final = 150 * MILLISECOND
_STOP_S: Final = 30.0
# The one that calls for help goes first in the processor's queue too, as CPUSchedulingPolicy=rr in its unit has it. Niceness
# is not enough: where the kernel groups tasks by session it counts only within one, and the start took up to 1.6 s.
_FIRST: Final = ["chrt", "--rr", "1"] if os.geteuid() == 0 else []

S = TypeVar("S")
T = TypeVar("T")


def until(condition: Callable[[], bool], *, patience_s: float = 40.0, every_s: float = 0.005, what: str = "it") -> None:
    """Wait for something to come true."""
    deadline_ns = CLOCK.boot_ns() + round(patience_s * SECOND)
    while not condition():
        assert CLOCK.boot_ns() < deadline_ns, f"{what} did not happen within {patience_s} s"
        CLOCK.sleep(every_s)


def eventually(look: Callable[[], T | None], *, patience_s: float = 40.0, what: str = "it") -> T:
    """Wait for the first answer that is not None, and give it."""
    found: list[T] = []

    def has_found() -> bool:
        answer = look()
        if answer is not None:
            found.append(answer)
        return bool(found)

    until(has_found, patience_s=patience_s, what=what)
    return found[0]


# In the product's processes a warning is an error; but `VaultLink.close` leaves its socket to the interpreter's end.
WARNINGS: Final = "error"


def spreekkamer(*arguments: str | Path) -> list[str]:
    """The command line; a warning is an error in it and in the processes that it starts."""
    return ["env", f"PYTHONWARNINGS={WARNINGS}", sys.executable, "-B", "-m", "edge", *map(str, arguments)]


def ran(*arguments: str | Path, run: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command of the product to its end. `run`: where a demo is to make its folder of sockets."""
    return subprocess.run(
        spreekkamer(*arguments),
        env=os.environ | ({"XDG_RUNTIME_DIR": str(run)} if run else {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60.0,
        check=False,
    )


def free_port() -> int:
    """A port on loopback that nobody listens at now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def memory_folder() -> Iterator[Path]:
    """A short folder in RAM, for sockets."""
    with tempfile.TemporaryDirectory(prefix="spk-", dir=MEMORY) as folder:
        yield Path(folder)


class Room:
    """A configuration in a folder, and the processes that are started for it. `run` is the folder of the sockets."""

    def __init__(
        self, folder: Path, run: Path, video: Path, *, ring_s: int | None = None, retention_s: int = 3600
    ) -> None:
        self.place: Place = prepare(folder=folder, run=run, port=free_port(), retention_s=retention_s, video=video)
        if ring_s is not None:
            self.change(r"(?<=\[ring\]\nseconds = )\d+", str(ring_s))
        self.config: Config = load(self.place.config_file)

    @property
    def config_file(self) -> Path:
        return self.place.config_file

    @property
    def clips(self) -> Path:
        return self.place.config.paths.store / "clips"

    def change(self, pattern: str, text: str) -> None:
        """Replace the one place in the configuration file that fits `pattern`."""
        changed, count = re.subn(pattern, lambda _: text, self.config_file.read_text("utf-8"))
        assert count == 1, f"{pattern} fits {count} places"
        self.config_file.write_text(changed, "utf-8")
        self.config = load(self.config_file)

    @contextlib.contextmanager
    def process(self, command: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        """One of guard, record, keep, show; killed at the end if it still runs."""
        process = subprocess.Popen(
            [sys.executable, "-m", "edge", command, "--config", str(self.config_file), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe:
                    pipe.close()

    def status(self, kind: type[S], name: str) -> S | None:
        """A process's snapshot, None while it does not answer."""
        try:
            return decode(kind, read_snapshot(self.config.paths.run / name / "status.sock"))
        except (OSError, BadMessage):
            return None

    def panel(self) -> PanelStatus | None:
        return self.status(PanelStatus, "panel")

    def recorder(self) -> RecorderStatus | None:
        return self.status(RecorderStatus, "recorder")

    def vault(self) -> VaultStatus | None:
        return self.status(VaultStatus, "vault")


@dataclass(slots=True, kw_only=True)
class _Child:
    process: subprocess.Popen[bytes]
    died_ns: int | None = None
    restarted_ns: int = 0
    is_kept_down: bool = False


class Four:
    """The four processes of a room. Thread: `tend`, its own, starts again what died 100 ms ago, as systemd would.

    `said` is what they wrote to stderr. `prefixes` are put before a process's command line (strace and its options).
    """

    def __init__(self, room: Room, *, prefixes: dict[str, list[str]] | None = None) -> None:
        self.room = room
        self._prefixes = prefixes or {}
        self._log = (room.config.paths.run.parent / f"{room.config.paths.run.name}.log").open("ab")
        self._lock = threading.Lock()
        self._contacts: dict[str, bool] = {}
        self._let_go_ns = 0  # of the panic button
        self._is_ending = threading.Event()
        self._children = {name: _Child(process=self._started(name)) for name in COMMANDS}
        self._tell_contacts()
        self._thread = threading.Thread(target=self._tend, name="tend", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        try:
            self.wait_listening()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        self._log.close()
        shutil.rmtree(self.room.config.paths.run, ignore_errors=True)
        assert "Traceback" not in self.said, self.said

    @property
    def said(self) -> str:
        return Path(self._log.name).read_text("utf-8")

    def pid(self, name: str) -> int:
        return self._children[name].process.pid

    def is_alive(self, name: str) -> bool:
        return self._children[name].process.poll() is None

    def restarted_ns(self, name: str) -> int:
        """When it was last started again; 0 before."""
        return self._children[name].restarted_ns

    # The room's people

    def use(self, contact: str, *, is_used: bool) -> None:
        """Close a contact of the panel, or let it go."""
        with self._lock:
            self._contacts[contact] = is_used
            self._tell(f"{contact} {int(is_used)}")

    def press(self) -> Incident:
        """Press the panic button until the alarm is on; the incident."""
        before = self.room.panel()
        presses = before.incident.presses if before and before.is_alarm_on and before.incident else 0

        def pressed() -> Incident | None:
            panel = self.room.panel()
            is_on = panel is not None and panel.is_alarm_on and panel.incident is not None
            return panel.incident if is_on and panel and panel.incident and panel.incident.presses > presses else None

        until(lambda: CLOCK.boot_ns() - self._let_go_ns >= _HAND_NS, what="a hand")
        self.use("panic", is_used=True)
        incident = eventually(pressed, what="the alarm")
        self.use("panic", is_used=False)
        self._let_go_ns = CLOCK.boot_ns()
        return incident

    def reset(self) -> None:
        """End the incident, and wait until the alarm is off."""
        self.use("reset", is_used=True)
        until(lambda: (panel := self.room.panel()) is not None and not panel.is_alarm_on, what="the reset")
        self.use("reset", is_used=False)

    # What they do

    def wait_state(self, state: RecorderState, *, patience_s: float = 40.0) -> RecorderStatus:
        """The recorder's first snapshot in this state."""

        def reached() -> RecorderStatus | None:
            recorder = self.room.recorder()
            return recorder if recorder is not None and recorder.state is state else None

        return eventually(reached, patience_s=patience_s, what=f"state {state}")

    def wait_listening(self) -> RecorderStatus:
        return self.wait_state(RecorderState.LISTENING)

    def wait_ring(self, seconds: float) -> None:
        """Until so much is held."""
        until(lambda: (now := self.room.recorder()) is not None and now.ring.seconds >= seconds, what="the ring")

    def wait_safe(self, incident: str) -> None:
        """Until the clip of this incident is stored with its manifest."""

        def is_safe() -> bool:
            recorder = self.room.recorder()
            clip = recorder.clip if recorder else None
            return clip is not None and clip.incident == incident and clip.safe_ns is not None

        until(is_safe, what="the safe clip")

    # What befalls them

    def kill(self, *names: str) -> int:
        """SIGKILL; just before which instant (BOOTTIME)."""
        at_ns = CLOCK.boot_ns()
        for name in names:
            self._children[name].process.kill()
        return at_ns

    def freeze(self, name: str) -> None:
        """SIGSTOP."""
        self._children[name].process.send_signal(signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """SIGCONT."""
        self._children[name].process.send_signal(signal.SIGCONT)

    def keep_down(self, *names: str) -> None:
        """Do not start these again until told to."""
        with self._lock:
            for name in names:
                self._children[name].is_kept_down = True

    def let_up(self, *names: str) -> None:
        """Start these again when they are dead."""
        with self._lock:
            for name in names:
                self._children[name].is_kept_down = False

    def end(self, *names: str) -> None:
        """End these well, or all in the right order. Idempotent."""
        if not names:
            self._is_ending.set()
            self._thread.join(5.0)
        for name in names or ("recorder", "vault", "service", "panel"):
            child = self._children[name]
            child.is_kept_down = True
            child.process.send_signal(signal.SIGCONT)
            child.process.terminate()
            try:
                child.process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()
                raise
            if child.process.stdin:
                with contextlib.suppress(OSError):  # the other end is gone
                    child.process.stdin.close()

    def _tend(self) -> None:
        while not self._is_ending.wait(0.005):
            with self._lock:
                for name, child in self._children.items():
                    if child.process.poll() is None:
                        continue
                    now_ns = CLOCK.boot_ns()
                    child.died_ns = child.died_ns or now_ns
                    if child.is_kept_down or now_ns - child.died_ns < RESTART_NS:
                        continue
                    if child.process.stdin:
                        with contextlib.suppress(OSError):  # the other end is gone
                            child.process.stdin.close()
                    child.process, child.died_ns, child.restarted_ns = self._started(name), None, now_ns
                    if name == "panel":
                        self._tell_contacts()

    def _started(self, name: str) -> subprocess.Popen[bytes]:
        command = spreekkamer(COMMANDS[name], "--config", self.room.config_file)
        if name == "panel":
            command = [*_FIRST, *command, "--keyboard"]
        return subprocess.Popen(
            [*self._prefixes.get(name, []), *command],
            stdin=subprocess.PIPE if name == "panel" else subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._log,
            bufsize=0,
        )

    def _tell_contacts(self) -> None:
        for contact, is_used in self._contacts.items():
            if is_used:
                self._tell(f"{contact} 1")
        self._tell("ready")

    def _tell(self, line: str) -> None:
        stdin = self._children["panel"].process.stdin
        if stdin is not None:
            with contextlib.suppress(OSError):  # it died: the next one is told all contacts
                stdin.write(f"{line}\n".encode())
