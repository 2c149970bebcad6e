"""What a measurement needs beside the processes (tests/support): what they used, and a panel that only wants."""

from __future__ import annotations

import contextlib
import mmap
import os
import socket
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path

from edge.clock import SECOND
from edge.config import Config
from edge.messages import Incident, Mode, Wanted, encode
from edge.wire import listen, send_frame
from tests.support.processes import CLOCK

_TOUCH = b"\x01" * (1 << 20)


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """What a process has used when it ended."""

    cpu_s: float
    rss_mb: float  # peak


def used_by(process: subprocess.Popen[bytes]) -> Used:
    """End a process and ask the kernel what it used."""
    # Not ru_maxrss: a child begins with its parent's.
    peak_mb = rss_mb(process.pid, "VmHWM")
    process.terminate()
    _pid, _status, usage = os.wait4(process.pid, 0)
    process.returncode = 0
    return Used(cpu_s=usage.ru_utime + usage.ru_stime, rss_mb=peak_mb)


def rss_mb(pid: int, line: str = "VmRSS") -> float:
    """What a living process holds in RAM now (`VmHWM`: held at most)."""
    status = Path(f"/proc/{pid}/status").read_text("ascii")
    (found,) = (row for row in status.splitlines() if row.startswith(f"{line}:"))
    return int(found.split()[1]) / 1024


def have_memory_backed() -> None:
    """Touch 4 GiB of memory, or half of what is free, and let it go: the kernel hands out again what it got back last.

    In a virtual machine the host may give each page only at its first touch, 10 us for 4 KiB where it is a tenth of
    that ever after: writing 15 MB of new files took 66 ms instead of 29. That is the host's time, and no machine's own.
    """
    free = next(line for line in Path("/proc/meminfo").read_text("ascii").splitlines() if line.startswith("MemAvail"))
    size = min(4 << 30, int(free.split()[1]) * 1024 // 2)
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        for start in range(0, size, len(_TOUCH)):
            memory[start : start + len(_TOUCH)] = _TOUCH[: size - start]


class WantingPanel:
    """Stands in for the panel on its socket, so that the recorder is measured alone."""

    def __init__(self, config: Config) -> None:
        path = config.paths.panel_socket
        path.parent.mkdir(parents=True, exist_ok=True)
        self._server = listen(path)
        self._wanted: tuple[Mode, Incident | None] = (Mode.LISTEN, None)
        self._changed = threading.Condition()
        self._is_closing = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def want(self, mode: Mode, incident: Incident | None) -> None:
        """Say this from now on, at once and then four times a second."""
        with self._changed:
            self._wanted = mode, incident
            self._changed.notify_all()

    def press(self) -> Incident:
        """A press now."""
        now_ns = CLOCK.boot_ns()
        incident = Incident(
            id=f"{now_ns:x}",
            pressed_ns=now_ns,
            pressed_wall_ns=CLOCK.wall_ns(),
            is_wall_trusted=False,
            until_ns=now_ns + 300 * SECOND,
            presses=1,
        )
        self.want(Mode.RECORD, incident)
        return incident

    def close(self) -> None:
        self._is_closing = True
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        with self._changed:
            self._changed.notify_all()
        self._thread.join(2)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while not self._is_closing:
                client, _ = self._server.accept()
                with client, contextlib.suppress(OSError):
                    self._speak(client)

    def _speak(self, client: socket.socket) -> None:
        while not self._is_closing:
            with self._changed:
                mode, incident = self._wanted
            send_frame(client, encode(Wanted(mode=mode, incident=incident, events=(), sent_ns=CLOCK.boot_ns())))
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                client.recv(65536)
            client.setblocking(True)
            with self._changed:
                if self._wanted == (mode, incident):
                    self._changed.wait(0.25)
