"""The host's end of QEMU's guest agent (qemu-guest-agent, a package of the guest): JSON over a virtio-serial port.

One thread at a time. The commands are those of QEMU's reference, "QEMU Guest Agent Protocol Reference".
"""

from __future__ import annotations

import base64
import itertools
import json
import socket
import threading
from pathlib import Path
from typing import Any, Final

from edge.clock import SECOND, SystemClock

CLOCK: Final = SystemClock()
_CHUNK: Final = 1 << 20  # bytes of a file in one message; the agent gives up above 48 MiB
_ANSWER_S: Final = 60.0  # the agent answers at once: what takes long is asked for again and again
_ASK_S: Final = 1.0  # how long it may take to come up before it is asked again


class AgentError(Exception):
    """The guest did not answer, or refused."""


class Agent:
    """Asks the guest. `path` is the socket that QEMU listens on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._socket: socket.socket | None = None
        self._unread = b""

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket, self._unread = None, b""

    def wait(self, patience_s: float) -> None:
        """Until the guest answers. Raises AgentError when it does not in time."""
        deadline_ns = CLOCK.boot_ns() + round(patience_s * SECOND)
        while True:
            try:
                self._synchronise()
                return
            except (OSError, EOFError) as err:  # QEMU is not listening yet, or the guest is starting
                if CLOCK.boot_ns() > deadline_ns:
                    raise AgentError(f"the guest did not answer for {patience_s:g} s") from err
                if not isinstance(err, TimeoutError):
                    self.close()
                    CLOCK.sleep(0.05)

    def _synchronise(self) -> None:
        """Answers to what was asked of an agent that is gone may come yet: read on to the one to this question."""
        with self._lock:
            number = next(self._numbers)
            self._send("guest-sync", {"id": number})
            while self._receive(_ASK_S).get("return") != number:
                pass

    def ask(self, command: str, **arguments: object) -> Any:
        """What the agent returns. Raises AgentError when it refuses or says nothing."""
        with self._lock:
            try:
                self._send(command, arguments)
                answer = self._receive(_ANSWER_S)
            except (OSError, EOFError) as err:
                self.close()
                raise AgentError(f"{command}: the guest is gone") from err
        if "error" in answer:
            raise AgentError(f"{command}: {answer['error'].get('desc', answer['error'])}")
        return answer["return"]

    def _send(self, command: str, arguments: dict[str, Any]) -> None:
        if self._socket is None:
            new = socket.socket(socket.AF_UNIX)
            try:
                new.connect(str(self._path))
            except OSError:
                new.close()
                raise
            self._socket = new
        self._socket.settimeout(_ANSWER_S)
        self._socket.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")

    def _receive(self, patience_s: float) -> dict[str, Any]:
        assert self._socket is not None
        self._socket.settimeout(patience_s)
        while b"\n" not in self._unread:
            data = self._socket.recv(_CHUNK)
            if not data:
                raise EOFError
            self._unread += data
        line, self._unread = self._unread.split(b"\n", 1)
        answer: dict[str, Any] = json.loads(line)
        return answer

    def write(self, path: str, data: bytes) -> None:
        """Make this file, or replace what is in it."""
        handle = self.ask("guest-file-open", path=path, mode="wb")
        for start in range(0, len(data), _CHUNK):
            piece = base64.b64encode(data[start : start + _CHUNK]).decode()
            self.ask("guest-file-write", handle=handle, **{"buf-b64": piece})
        self.ask("guest-file-close", handle=handle)

    def read(self, path: str) -> bytes:
        """What is in this file."""
        handle, pieces, is_over = self.ask("guest-file-open", path=path, mode="rb"), [], False
        while not is_over:
            told = self.ask("guest-file-read", handle=handle, count=_CHUNK)
            pieces.append(base64.b64decode(told["buf-b64"]))
            is_over = told["eof"]
        self.ask("guest-file-close", handle=handle)
        return b"".join(pieces)

    def start(self, words: list[str], environment: list[str], data: bytes) -> int:
        """Start a program; its process id. What it writes, 16 MiB at most, is kept until its end was told."""
        arguments = {"path": words[0], "arg": words[1:], "env": environment, "capture-output": True}
        if data:
            arguments["input-data"] = base64.b64encode(data).decode()
        pid: int = self.ask("guest-exec", **arguments)["pid"]
        return pid

    def ended(self, pid: int) -> tuple[int, str, str] | None:
        """Exit code (negative: the signal that killed it), stdout and stderr of a program; None while it runs."""
        told = self.ask("guest-exec-status", pid=pid)
        if not told["exited"]:
            return None
        out, err = (base64.b64decode(told.get(f"{name}-data", "")).decode(errors="replace") for name in ("out", "err"))
        return told.get("exitcode", -told.get("signal", 0)), out, err
