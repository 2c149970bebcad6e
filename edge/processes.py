"""The four processes, each run to its end: reads the room's file, imports what it needs and calls it.

Nothing heavy is imported here: `guard` must be ready to call for help in half a second.
"""

from __future__ import annotations

import gc
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def guard(config: Path, *, keyboard: bool = False) -> None:
    """The panel: button, lamps and alarm. Depends on nobody."""
    with _loading():
        from edge.config import load_panel
        from edge.panel.process import run

        panel, problems = load_panel(config)
    _until_told(lambda stop: run(panel, problems, stop, keyboard=keyboard))


def record(config: Path) -> None:
    """The recorder: camera, microphone and the ring in RAM. Cannot write."""
    sys.dont_write_bytecode = True  # not even a compiled module
    with _loading():
        from edge.config import load
        from edge.recorder.process import run

        room = load(config)
    _until_told(lambda stop: run(room, stop))


def keep(config: Path) -> None:
    """The vault: keeps sealed clips and deletes them at their hour. Cannot read."""
    with _loading():
        from edge.config import load
        from edge.vault.process import run

        room = load(config)
    _until_told(lambda stop: run(room, stop))


def show(config: Path) -> None:
    """The status page. Can touch nothing."""
    with _loading():
        from edge.config import load
        from service.process import run

        room = load(config)
    _until_told(lambda stop: run(room, stop))


@contextmanager
def _loading() -> Iterator[None]:
    """What a process loads lives until its end: it is not looked through for garbage, neither while it grows nor later."""
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()


def _until_told(run: Callable[[threading.Event], None]) -> None:
    """Run a process until SIGTERM or SIGINT asks it to end well."""
    stop = threading.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: stop.set())
    run(stop)
