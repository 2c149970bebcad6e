"""Secrets that others hand over: a systemd credential, or a file that nobody else may read. Reads only.

A secret is never in the configuration, which only names it, and never in an error, which only says what to do.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from edge.errors import SpreekkamerError

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def folder() -> Path | None:
    """Where systemd put this unit's credentials (LoadCredential=)."""
    named = os.environ.get("CREDENTIALS_DIRECTORY")
    return Path(named) if named else None


def read(name: str, credentials: Path | None, *, what: str, reader: str, error: type[SpreekkamerError]) -> str:
    """The text of the file `name` (a whole path), or of the credential of that name, without its last line's end.

    Raises `error`, in one line that begins with `what`, when it is not there or is open to others. What is no UTF-8
    comes as U+FFFD: an error about it would carry the bytes along.
    """
    path = Path(name)
    if not path.is_absolute():
        if credentials is None:
            raise error(f"{what} {name}: no credentials were handed over; LoadCredential={name}:… in the unit")
        path = credentials / name
    try:
        is_open = path.stat().st_mode & _OTHERS and Path(name).is_absolute()  # systemd guards what it hands over
        text = path.read_bytes().decode("utf-8", "replace")
    except OSError as err:
        raise error(f"{what} {name}: cannot be read: {err.strerror}; let the {reader} read it") from err
    if is_open:
        raise error(f"{what} {name}: others may read it; chmod 600")
    return text.removesuffix("\n").removesuffix("\r")


def login(text: str) -> tuple[str, str] | None:
    """User and password of one line `user:password`; None when it is no such line."""
    user, colon, password = text.partition(":")
    is_line = not any(sign < " " or sign == "\ufffd" for sign in text)
    return (user, password) if user and colon and is_line else None
