"""`spreekkamer setup`: asks a person or reads a file, tries the wires, writes."""

from __future__ import annotations

import os
import signal
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edge.clock import SystemClock
from edge.config import Config
from edge.durable import Disk
from edge.errors import BadConfig, Refused
from edge.panel.board import open_board
from edge.setup import texts
from edge.setup.answers import Answers, check, read
from edge.setup.dialog import ask_everything
from edge.setup.found import look
from edge.setup.place import Place, may_write, put
from edge.setup.talk import Talk, Terminal, confirm
from edge.setup.wiring import is_line_typed, try_wires


def run(place: Place, *, answers_file: Path | None, replaces: bool) -> None:
    """Set the room up. Raises Refused, BadConfig or StoreError with nothing changed."""
    if not may_write(place.config):
        raise Refused(texts.MUST_BE_ROOT)
    if answers_file is None and not sys.stdin.isatty():
        raise Refused(texts.NO_TERMINAL)
    if answers_file is not None and place.config.exists() and not replaces:
        raise Refused(texts.EXISTS.format(path=place.config))
    talk = Terminal(sys.stdin, sys.stdout)
    try:
        if answers_file is not None:
            answers = read(answers_file)
            room = check(answers.config)
        else:
            answers, room = _ask(talk, place)
    except KeyboardInterrupt:
        raise Refused(texts.INTERRUPTED) from None
    with _undisturbed():
        put(place, answers, room, Disk())
    talk.say(texts.WRITTEN.format(path=place.config))
    talk.say(texts.NEXT.format(path=place.config))


def _ask(talk: Talk, place: Place) -> tuple[Answers, Config]:
    while True:
        answers = ask_everything(talk, look(place.root), _before(place.config))
        try:
            room = check(answers.config)
        except BadConfig as err:  # what only the whole shows: two settings that do not go together
            for problem in err.problems:
                talk.say(texts.AGAIN.format(problem=problem))
            continue
        if confirm(talk, texts.ASK_TRY, default=True):
            _try(talk, room)
        if not confirm(talk, texts.ASK_WRITE, default=True):
            raise Refused(texts.INTERRUPTED)
        return answers, room


def _try(talk: Talk, room: Config) -> None:
    clock = SystemClock()
    try:
        board = open_board(os.environ.get("GPIOZERO_PIN_FACTORY") or "lgpio", clock)
    except Refused as err:
        talk.say(texts.NO_PINS.format(problem=err))
        return
    try:
        with board:
            failed = try_wires(room.panel, board, clock, talk, skips=is_line_typed)
    except Refused as err:
        talk.say(texts.PINS_TAKEN.format(problem=err))
        return
    talk.say(texts.NOT_TRIED.format(wires=", ".join(failed)) if failed else texts.TRIED)


def _before(path: Path) -> dict[str, Any]:
    """The room as it is; nothing when there is none yet, or it cannot be read."""
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return {}


@contextmanager
def _undisturbed() -> Iterator[None]:
    """No Ctrl-C between two files; it takes milliseconds."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
