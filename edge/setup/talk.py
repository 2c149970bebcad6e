"""A conversation with one person in a terminal: a question, an answer, and the question again when it cannot be."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol, TextIO

from edge.errors import Refused
from edge.setup import texts

# What is wrong with an answer; None when it will do.
Judge = Callable[[str], str | None]


class Talk(Protocol):
    """Where questions go and answers come from. Each method asks until the answer will do."""

    def say(self, text: str) -> None: ...

    def ask(self, question: str, default: str = "", judge: Judge | None = None) -> str: ...

    def ask_hidden(self, question: str) -> str: ...


class Terminal:
    """A person at a terminal. The end of the input, as Ctrl-D gives it, is an answer to nothing: Refused."""

    def __init__(self, read: TextIO, write: TextIO) -> None:
        self._read: Final = read
        self._write: Final = write

    def say(self, text: str) -> None:
        self._write.write(f"{text}\n")
        self._write.flush()

    def ask(self, question: str, default: str = "", judge: Judge | None = None) -> str:
        hint = texts.HINT_DEFAULT.format(default=default) if default else ""
        while True:
            self._write.write(f"{question}{hint}: ")
            self._write.flush()
            line = self._read.readline()
            if not line.endswith("\n"):
                raise Refused(texts.INTERRUPTED)
            answer = line.strip() or default
            problem = judge(answer) if judge is not None else None
            if problem is None:
                return answer
            self.say(texts.AGAIN.format(problem=problem))

    def ask_hidden(self, question: str) -> str:
        try:
            return getpass.getpass(f"{question}: ")
        except EOFError:
            raise Refused(texts.INTERRUPTED) from None


def confirm(talk: Talk, question: str, *, default: bool) -> bool:
    """Yes or no."""
    answer = talk.ask(
        texts.YES_NO.format(question=question),
        "j" if default else "n",
        lambda said: None if said.lower() in texts.YES | texts.NO else texts.ANSWER_YES_NO,
    )
    return answer.lower() in texts.YES


def choose(talk: Talk, question: str, options: Mapping[str, str], default: str) -> str:
    """One of the keys of `options`, chosen by the number before its text."""
    keys: Sequence[str] = list(options)
    talk.say(question)
    for number, text in enumerate(options.values(), start=1):
        talk.say(f"  {number}  {text}")

    def judge(said: str) -> str | None:
        is_number = said.isascii() and said.isdigit() and 1 <= int(said) <= len(keys)
        return None if is_number else texts.ANSWER_NUMBER.format(most=len(keys))

    return keys[int(talk.ask("", str(keys.index(default) + 1 if default in keys else 1), judge)) - 1]
