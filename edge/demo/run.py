"""`spreekkamer demo`: prepares a folder, starts the four processes, plays the script or the keyboard, ends well."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import sys
import tempfile
import termios
import threading
import tty
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from edge.clock import SECOND, SystemClock
from edge.demo import folder as demo_folder
from edge.demo.children import Children
from edge.demo.folder import Place
from edge.demo.script import Act, Step, parse, retention_seconds
from edge.demo.view import View
from edge.demo.watch import Happening, Seen, Watcher, look
from edge.errors import EXIT_DONE, EXIT_REFUSED
from edge.ports import Clock
from edge.status import RecorderState

_LOOK_S: Final = 0.1
_SHORT: Final = 40  # bytes
_START_PATIENCE_NS: Final = 30 * SECOND
_PRESS_NS: Final = 300 * 1_000_000  # how long a hand holds a button
_BUTTONS: Final = {Act.PRESS: "panic", Act.RESET: "reset", Act.ATTENTION: "attention"}
_SWITCHES: Final = {Act.PRIVACY: "privacy", Act.CONVERSATION: "conversation", Act.TEST: "test_key"}
_KILLS: Final = {
    Act.KILL_PANEL: "panel",
    Act.KILL_RECORDER: "recorder",
    Act.KILL_VAULT: "vault",
    Act.KILL_SERVICE: "service",
}
_KEYS: Final = {
    "\n": Act.PRESS,
    "\r": Act.PRESS,
    "p": Act.PRIVACY,
    "r": Act.RESET,
    "c": Act.CONVERSATION,
    "t": Act.TEST,
    "a": Act.ATTENTION,
    "q": Act.QUIT,
}


def run(*, folder: Path, port: int, script: str, retention: str, video: Path | None, as_json: bool) -> int:
    """The whole demo; its exit code. Raises SpreekkamerError in one line before anything is made."""
    steps, retention_s = parse(script), retention_seconds(retention)
    played = demo_folder.recording(video)
    clock = SystemClock()
    with contextlib.ExitStack() as stack:
        run_folder = Path(tempfile.mkdtemp(prefix="spreekkamer-", dir=_memory_folder()))
        stack.callback(shutil.rmtree, run_folder, ignore_errors=True)
        place = demo_folder.prepare(folder=folder, run=run_folder, port=port, retention_s=retention_s, video=played)
        stop = threading.Event()
        for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(signum, lambda *_: stop.set())
        children = stack.enter_context(Children(place.config_file, clock))
        stage = Stage(place, children, clock, stop)
        code = stage.play_keys() if not steps and sys.stdin.isatty() and not as_json else stage.play(steps, as_json)
        stage.end()
    _tell_how_to_open(place)
    return code


class Stage:
    """The room while the demo runs."""

    def __init__(self, place: Place, children: Children, clock: Clock, stop: threading.Event) -> None:
        self._place = place
        self._children = children
        self._clock = clock
        self._stop = stop
        self._watcher = Watcher()
        self._releases: deque[tuple[int, str]] = deque()  # buttons to let go, and when
        self._started_ns = clock.boot_ns()
        self._listening_ns: int | None = None
        self._tell: Callable[[Happening], None] = lambda _: None
        self.seen = Seen(panel=None, recorder=None, vault=None)

    def play(self, steps: tuple[Step, ...], as_json: bool) -> int:
        """Unattended: one line an event. Without a script it plays until it is told to stop."""
        self._tell = self._print_json if as_json else self._print_line
        waiting = deque(steps)
        while not self._stop.is_set():
            if not self._tend():
                return EXIT_REFUSED
            if self._listening_ns is None:
                continue
            while waiting and self._clock.boot_ns() >= self._listening_ns + round(waiting[0].at_s * SECOND):
                self.do(waiting.popleft().act)
            due_ns = self._listening_ns + round(waiting[0].at_s * SECOND) if waiting else None
            self._pause(due_ns)
        return EXIT_DONE

    def play_keys(self) -> int:
        """At a terminal: keys act, and a live view shows the room."""
        happenings: deque[str] = deque(maxlen=8)
        self._tell = lambda happening: happenings.append(self._line(happening))
        with _raw_terminal(), View(self._place.config) as view:
            while not self._stop.is_set():
                if not self._tend():
                    return EXIT_REFUSED
                view.show(self.seen, list(happenings))
                for key in _keys_pressed(_LOOK_S):
                    if key in _KEYS:
                        self.do(_KEYS[key])
        return EXIT_DONE

    def do(self, act: Act) -> None:
        """One act, now."""
        if act in _BUTTONS:
            self._children.use(_BUTTONS[act], True)
            self._releases.append((self._clock.boot_ns() + _PRESS_NS, _BUTTONS[act]))
        elif act in _SWITCHES:
            contact = _SWITCHES[act]
            self._children.use(contact, not self._children.is_used(contact))
        elif act in _KILLS:
            self._children.kill(_KILLS[act])
        else:
            self._stop.set()

    def end(self) -> None:
        """End the recorder first, so that an open clip is closed and handed over while the vault is there."""
        self._children.stop("recorder")
        self._tell_news()
        self._children.stop()
        self._tell(Happening(at_ns=self._clock.boot_ns(), what="ended"))

    def _tend(self) -> bool:
        """Look after children, buttons and news; False when the room did not come to listen in time."""
        for what, name in self._children.tend():
            self._tell(Happening(at_ns=self._clock.boot_ns(), what=f"{name}-{what}"))
        while self._releases and self._clock.boot_ns() >= self._releases[0][0]:
            self._children.use(self._releases.popleft()[1], False)
        self._tell_news()
        if self._listening_ns is None and self._clock.boot_ns() - self._started_ns > _START_PATIENCE_NS:
            faults = "; ".join(fault.detail for fault in self.seen.recorder.faults) if self.seen.recorder else ""
            print(f"the room does not listen after 30 s: {faults or 'the recorder does not answer'}", file=sys.stderr)
            return False
        if self._listening_ns is None:
            self._stop.wait(_LOOK_S)
        return True

    def _tell_news(self) -> None:
        self.seen = look(self._place.config.paths)
        for happening in self._watcher.news(self.seen):
            if self._listening_ns is None and happening.what == RecorderState.LISTENING.value:
                self._listening_ns = happening.at_ns
            self._tell(happening)

    def _pause(self, due_ns: int | None) -> None:
        now_ns = self._clock.boot_ns()
        dues = [due for due in (due_ns, self._releases[0][0] if self._releases else None) if due is not None]
        self._stop.wait(max(0.0, min([_LOOK_S, *((due - now_ns) / SECOND for due in dues)])))

    def _since_s(self, happening: Happening) -> float:
        return (happening.at_ns - (self._listening_ns or self._started_ns)) / SECOND

    def _line(self, happening: Happening) -> str:
        details = "".join(f" {key}={value}" for key, value in happening.details.items())
        return f"{self._since_s(happening):+08.3f} {happening.what}{details}"

    def _print_line(self, happening: Happening) -> None:
        print(self._line(happening), flush=True)

    def _print_json(self, happening: Happening) -> None:
        row = {"at": round(self._since_s(happening), 3), "event": happening.what, **happening.details}
        print(json.dumps(row), flush=True)


def _memory_folder() -> str | None:
    """Where sockets go: in RAM as on the appliance, and with a short path whatever --dir is (AF_UNIX: 107 bytes)."""
    for folder in (os.environ.get("XDG_RUNTIME_DIR", ""), "/dev/shm"):  # noqa: S108 - a folder of our own is made in it
        if folder and len(folder) < _SHORT and os.access(folder, os.W_OK | os.X_OK):
            return folder
    return None


@contextlib.contextmanager
def _raw_terminal() -> Iterator[None]:
    """Each key at once, not echoed."""
    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _keys_pressed(patience_s: float) -> str:
    with contextlib.suppress(InterruptedError):  # a signal: `stop` is set by now
        if select.select([sys.stdin], [], [], patience_s)[0]:
            return sys.stdin.read(1)
    return ""


def _tell_how_to_open(place: Place) -> None:
    clips = sorted((place.config.paths.store / "clips").glob("*/0000.age"))
    if not clips:
        print("No clip was made: nothing was kept of this room.")
        return
    print("To open the newest clip with the stock age tool:")
    print(f'  for f in {clips[-1].parent}/[0-9]*.age; do age -d -i {place.key} "$f"; done > clip.mp4')
