"""The officer's key: an age identity, as `age-keygen` writes it. Its place is the officer's computer, not the device."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pyrage

from edge.durable import Disk
from edge.errors import Refused

_SECRET_LINE: Final = "AGE-SECRET-KEY-1"  # noqa: S105 - how such a line begins, not one


def new_key(path: Path) -> str:
    """Make a key, write it to `path` (0600, never over another) and give its public half."""
    identity = pyrage.x25519.Identity.generate()
    recipient = str(identity.to_public())
    disk = Disk()
    disk.make_folder(path.parent)
    disk.create(path, f"# public key: {recipient}\n{identity}\n".encode())
    return recipient


def recipient_of(path: Path) -> str:
    """The public half of the key in `path`. Raises Refused when there is none to be read."""
    return str(identity_in(path).to_public())


def identity_in(path: Path) -> pyrage.x25519.Identity:
    """The key in `path`. Raises Refused when there is none to be read."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as err:
        raise Refused(f"{path}: this key cannot be read ({err}); mend it, or move it away for a new one") from None
    secrets = [line.strip() for line in lines if line.startswith(_SECRET_LINE)]
    try:
        return pyrage.x25519.Identity.from_str(secrets[0])
    except (IndexError, pyrage.IdentityError):
        raise Refused(f"{path}: holds no age identity; mend it, or move it away for a new one") from None
