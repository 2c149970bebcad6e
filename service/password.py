"""The page's one password: its rule, its hash, and whether a guess is right. The only file that imports argon2.

`PasswordHash.fits` takes some 50 ms of a core and blocks: `logins` calls it on a thread of its own.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from argon2 import PasswordHasher, Type, extract_parameters
from argon2.exceptions import InvalidHashError, VerifyMismatchError

from edge.errors import BadConfig, Refused

SHORTEST: Final = 15  # characters; NIST SP 800-63B-4, 3.1.1.2, of a password that stands alone
LONGEST: Final = 128

# The least that OWASP's Password Storage Cheat Sheet asks of argon2id. One lane: the other cores are the recorder's.
_HASHER: Final = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
_MOST_KIB: Final = 64 * 1024  # of a hash made elsewhere; a Zero 2 W has 512 MiB for everything
_MOST_ROUNDS: Final = 8
_MOST_LANES: Final = 4
_HASH_BYTES: Final = 1024  # of its file


@dataclass(frozen=True, slots=True)
class PasswordHash:
    """An argon2id hash; shown, it tells nothing."""

    text: str = field(repr=False)

    def fits(self, guess: bytes) -> bool:
        """Whether the guess is the password, as its bytes came. Blocks."""
        try:
            return _HASHER.verify(self.text, _same_signs(guess))
        except VerifyMismatchError:
            return False


def hash_of(password: str) -> str:
    """The hash of a new password. Raises Refused when it is too short, too long, or has a sign that no login can hold."""
    password = unicodedata.normalize("NFC", password)
    if not SHORTEST <= len(password) <= LONGEST:
        raise Refused(f"a password has {SHORTEST} to {LONGEST} characters; four words make a good one")
    if len(set(password)) < SHORTEST // 3:
        raise Refused("this password is a few characters over and over; four words make a good one")
    if any(unicodedata.category(sign).startswith("C") for sign in password):
        raise Refused("a password has no control characters")
    return _HASHER.hash(password)


def read_hash(path: Path) -> PasswordHash:
    """Read a hash's file. Raises BadConfig, in one line without its content, when it cannot be used."""
    try:
        with path.open("rb") as file:
            text = file.read(_HASH_BYTES).decode("ascii", "replace").strip()
    except OSError as err:
        raise BadConfig([f"page.password_hash: {path}: cannot be read: {err.strerror}"]) from err
    if wrong := _unfit(text):
        raise BadConfig([f"page.password_hash: {path}: {wrong}; make one with `spreekkamer page password`"])
    return PasswordHash(text)


def _unfit(text: str) -> str | None:
    """What is wrong with a hash, without a word of it: somebody may have put the password itself in its place."""
    try:
        made = extract_parameters(text)
    except InvalidHashError:
        return "is no argon2id hash"
    if made.type is not Type.ID:
        return "is no argon2id hash"
    if made.memory_cost > _MOST_KIB or made.time_cost > _MOST_ROUNDS or made.parallelism > _MOST_LANES:
        return f"takes more than {_MOST_KIB} KiB, {_MOST_ROUNDS} rounds or {_MOST_LANES} lanes for each login"
    if made.memory_cost * made.time_cost < _HASHER.memory_cost * _HASHER.time_cost or made.hash_len < 16:
        return "is made so cheaply that guessing is quick"
    return None


def _same_signs(guess: bytes) -> bytes:
    """The guess with each sign composed as in the password; keyboards differ in how they write é."""
    try:
        return unicodedata.normalize("NFC", guess.decode("utf-8")).encode("utf-8")
    except UnicodeDecodeError:
        return guess
