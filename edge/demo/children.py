"""The four processes as children of the demo, restarted as systemd would. Called by the demo's one thread.

The panel's contacts are told over its standard input. The demo remembers which are used, as a real switch would
stay thrown while the panel restarts.
"""

from __future__ import annotations

import contextlib
import ctypes
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Self

from edge.clock import SECOND
from edge.errors import EXIT_CONFIG, EXIT_REFUSED, Refused
from edge.ports import Clock

_RESTART_NS: Final = SECOND // 10  # RestartSec=100ms
_STOP_PATIENCE_S: Final = {"recorder": 30.0, "vault": 20.0, "service": 5.0, "panel": 5.0}
_COMMANDS: Final = {"panel": "guard", "vault": "keep", "recorder": "record", "service": "show"}
# The recorder first, so that an open clip is closed while the vault is there; the panel last.
_STOP_ORDER: Final = ("recorder", "vault", "service", "panel")
_PR_SET_PDEATHSIG: Final = 1


@dataclass(slots=True, kw_only=True)
class _Child:
    name: str
    process: subprocess.Popen[bytes]
    died_ns: int | None = None


class Children:
    """Starts all four; `tend` restarts what died. Use as a context manager."""

    def __init__(self, config_file: Path, clock: Clock, *, log: IO[bytes] | None = None) -> None:
        self._config_file = config_file
        self._clock = clock
        self._log = log
        self._contacts: dict[str, bool] = {}
        self._children = {name: _Child(name=name, process=self._start(name)) for name in _COMMANDS}
        self._tell_contacts()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def pid(self, name: str) -> int:
        """The process id of a child, dead or alive."""
        return self._children[name].process.pid

    def kill(self, name: str) -> None:
        """SIGKILL; `tend` starts it again."""
        self._children[name].process.kill()

    def use(self, contact: str, is_used: bool) -> None:
        """Close or let go a contact of the panel."""
        self._contacts[contact] = is_used
        self._tell(f"{contact} {int(is_used)}")

    def is_used(self, contact: str) -> bool:
        """Whether a contact is used now."""
        return self._contacts.get(contact, False)

    def tend(self) -> list[tuple[str, str]]:
        """Start what has died a moment ago; what happened, as (`died` or `restarted`, name).

        Raises Refused when a child gives up by itself (bad configuration, or refused): restarting would not help.
        """
        happened: list[tuple[str, str]] = []
        now_ns = self._clock.boot_ns()
        for child in self._children.values():
            code = child.process.poll()
            if code is None:
                continue
            if code in (EXIT_CONFIG, EXIT_REFUSED):
                raise Refused(f"the {child.name} gave up with exit code {code}; its line above says why")
            if child.died_ns is None:
                child.died_ns = now_ns
                happened.append(("died", child.name))
            elif now_ns - child.died_ns >= _RESTART_NS:
                child.process, child.died_ns = self._start(child.name), None
                happened.append(("restarted", child.name))
                if child.name == "panel":
                    self._tell_contacts()
        return happened

    def stop(self, *names: str) -> None:
        """End these well, or all four in the right order. Idempotent."""
        for name in names or _STOP_ORDER:
            process = self._children[name].process
            process.terminate()  # nothing, when it has ended before
            try:
                process.wait(_STOP_PATIENCE_S[name])
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdin:
                with contextlib.suppress(OSError):  # the other end is gone
                    process.stdin.close()

    def _start(self, name: str) -> subprocess.Popen[bytes]:
        # -B: not even a compiled module is written; the recorder must write nothing at all.
        command = [sys.executable, "-B", "-m", "edge", _COMMANDS[name], "--config", str(self._config_file)]
        if name == "panel":
            command.append("--keyboard")
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE if name == "panel" else subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._log,
            bufsize=0,
            # Ctrl-C is for the demo, which then ends them in order; and they do not outlive it.
            start_new_session=True,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - the demo has no threads when it starts children
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


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
