"""The ledger's files as they lie in the store: which years there are, and their lines from either end. Reads only.

ledger.jsonl              the year that goes on
ledger-2026.jsonl         a year that is over (`Ledger.rotate`)
ledger-2024.folded.json   a year whose detail is gone: its checkpoint (`folding`), with a detached signature
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from edge.clock import SECOND, utc
from edge.errors import StoreError
from edge.vault.store import Store

_LINE_LIMIT: Final = 16 * 1024
_BLOCK: Final = 64 * 1024
_YEAR: Final = re.compile(r"ledger-(\d{4})(\.jsonl|\.folded\.json)", re.ASCII)
END_OF_TIME_NS: Final = 253_402_300_800 * SECOND  # the year 10000, which no file name holds
_TRUSTED: Final = b'"is_wall_trusted":true'


def closed_years(store: Store, *, with_folded: bool = False) -> list[int]:
    """The years that have a file of their own, oldest first. Raises StoreError."""
    try:
        names = [match for path in store.root.iterdir() if (match := _YEAR.fullmatch(path.name))]
    except OSError as err:
        raise StoreError(f"{store.root}: cannot be read: {err.strerror}") from err
    return sorted({int(match[1]) for match in names if with_folded or match[2] == ".jsonl"})


def newest_first(store: Store) -> Iterator[Path]:
    """The files that hold lines; years are looked up only when they are reached."""
    yield store.ledger
    for year in reversed(closed_years(store)):
        yield store.ledger_of(year)


def backwards(path: Path) -> Iterator[tuple[int, bytes]]:
    """Lines with their offsets, the last first. The very first is what follows the last newline: half a line, or nothing."""
    try:
        with path.open("rb") as file:
            at = file.seek(0, io.SEEK_END)
            rest = b""
            while at > 0:
                step = min(_BLOCK, at)
                at -= step
                file.seek(at)
                text = file.read(step) + rest
                rest, *lines = text.split(b"\n")
                end = at + len(text)
                for line in reversed(lines):
                    end -= len(line)
                    yield end, line
                    end -= 1
            yield 0, rest
    except OSError as err:
        raise StoreError(f"{path}: cannot be read: {err.strerror}") from err


def forwards(path: Path) -> Iterator[bytes]:
    """Lines as they stand, each with its newline; the last may have none. Raises StoreError."""
    try:
        with path.open("rb") as file:
            yield from file
    except OSError as err:
        raise StoreError(f"{path}: cannot be read: {err.strerror}") from err


def hash_of(line: bytes) -> str:
    """SHA-256 of a line without its newline."""
    return hashlib.sha256(line).hexdigest()


def parsed(line: bytes) -> dict[str, Any] | None:
    """The entry in a line; None when it is none."""
    if len(line) > _LINE_LIMIT:
        return None
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(entry, dict) or not isinstance(entry.get("seq"), int) or not isinstance(entry.get("prev"), str):
        return None
    return entry


def trusted_wall_ns(line: bytes) -> int | None:
    """When a line was written, by a clock that was trusted; None otherwise."""
    entry = parsed(line) if _TRUSTED in line else None
    wall_ns = entry.get("wall_ns") if entry and entry.get("is_wall_trusted") is True else None
    return wall_ns if isinstance(wall_ns, int) and 0 <= wall_ns < END_OF_TIME_NS else None


def first_year(path: Path) -> int | None:
    """The year of the first trusted entry. Raises StoreError."""
    times = (wall_ns for line in forwards(path) if (wall_ns := trusted_wall_ns(line)) is not None)
    return next((utc(wall_ns).year for wall_ns in times), None)


def newest_wall_ns(path: Path) -> int | None:
    """When the newest trusted entry was written. Raises StoreError."""
    times = (wall_ns for _, line in backwards(path) if (wall_ns := trusted_wall_ns(line)) is not None)
    return next(times, None)
