"""User and password of a network camera. Reads only.

Never in the configuration, a log, an error or a repr: what leaves here is a value that shows nothing, and the one
address that the video library has to be given.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote

from edge import credentials
from edge.errors import BadSource

_LIMIT: Final = 127  # bytes that libav takes of user:password, with what is special in an address written as %XX


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Shown, it tells nothing."""

    user: str = field(repr=False)
    password: str = field(repr=False)

    def put_into(self, address: str) -> str:
        """`rtsp://host/path` with user and password in front of the host. Goes to the library and nowhere else."""
        scheme, rest = address.split("://", 1)
        return f"{scheme}://{self._quoted}@{rest}"

    @property
    def _quoted(self) -> str:
        return f"{quote(self.user, safe='')}:{quote(self.password, safe='')}"

    @property
    def is_short_enough(self) -> bool:
        """The library takes all of it; it would cut off the rest and say nothing."""
        return len(self._quoted) <= _LIMIT


def read_login(name: str, folder: Path | None) -> Login:
    """Read `user:password` from the file `name`, or the systemd credential of that name in `folder`.

    Raises BadSource, in one line without any of the content, when it is not there, is open to others, or is no login.
    """
    text = credentials.read(name, folder, what="camera login", reader="recorder", error=BadSource)
    parts = credentials.login(text)
    if parts is None:
        raise BadSource(f"camera login {name}: is not one line of user:password in UTF-8")
    login = Login(user=parts[0], password=parts[1])
    if not login.is_short_enough:
        raise BadSource(
            f"camera login {name}: is too long; at most {_LIMIT} letters and digits (others count as three)"
        )
    return login
