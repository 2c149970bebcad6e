"""A command in a terminal of its own: what it shows, and answers typed when it asks."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path


def typed(
    command: Sequence[str],
    answers: Sequence[tuple[str, str]],
    *,
    cwd: Path,
    env: Mapping[str, str] = os.environ,
    patience_s: float = 60.0,
) -> tuple[int, str]:
    """Run a command whose controlling terminal is new; type each answer once its prompt is shown. Its exit code, what it showed."""
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        command,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=cwd,
        env=env,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - no threads of ours are in a lock here
    )
    os.close(theirs)
    shown, seen, waiting = "", 0, list(answers)
    deadline = time.monotonic() + patience_s
    try:
        while True:
            assert select.select([ours], [], [], deadline - time.monotonic())[0], f"it waits: {shown}"
            with contextlib.suppress(OSError):  # EIO: nobody has the other end any more
                if more := os.read(ours, 65536).decode():
                    shown += more
                    if waiting and (at := shown.find(waiting[0][0], seen)) >= 0:
                        seen = at + len(waiting[0][0])
                        os.write(ours, f"{waiting.pop(0)[1]}\n".encode())
                    continue
            return child.wait(patience_s), shown.replace("\r\n", "\n")
    finally:
        os.close(ours)
        if child.poll() is None:
            child.kill()
            child.wait()
