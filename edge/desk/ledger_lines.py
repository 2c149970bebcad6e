"""The lines of a ledger's files, oldest first, and which is to blame when one does not follow. Reads, never writes.

ledger-2024.folded.json   a year of which only totals are left
ledger-2025.jsonl         a year that is over
ledger.jsonl              the one that goes on
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edge.desk.verify_shapes import is_text, is_whole, json_object, plain
from edge.errors import Refused

_LINE_LIMIT: Final = 16 * 1024  # no entry is longer
_PIECE: Final = re.compile(r"ledger-(\d{4})(\.jsonl|\.folded\.json)", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One file of the chain. `year` is None for the one that goes on."""

    path: Path
    year: int | None
    is_folded: bool = False

    @property
    def name(self) -> str:
        return self.path.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a ledger. Where `odd` says why it is no entry, `seq` is 0, which belongs nowhere."""

    file: str
    number: int  # in its file, from 1
    sha256: str
    seq: int = 0
    prev: str = ""
    entry: Mapping[str, Any]
    odd: str = ""

    def text(self, field: str) -> str:
        return plain(str(self.entry.get(field, "")))


def pieces(path: Path) -> list[Piece]:
    """The files of the chain up to `path`, oldest first. A year whose lines are here counts by them."""
    match = _PIECE.fullmatch(path.name)
    last = Piece(path=path, year=int(match[1]) if match and match[2] == ".jsonl" else None)
    found: dict[int, Piece] = {}
    try:
        beside = sorted(path.absolute().parent.iterdir())
    except OSError as err:
        raise Refused(f"{path.parent}: cannot be read: {err.strerror}") from err
    for other in beside:  # .folded.json comes before .jsonl
        if (named := _PIECE.fullmatch(other.name)) and (last.year is None or int(named[1]) < last.year):
            found[int(named[1])] = Piece(path=other, year=int(named[1]), is_folded=named[2] != ".jsonl")
    return [*(found[year] for year in sorted(found)), last]


def folded_name(year: int) -> str:
    return f"ledger-{year:04d}.folded.json"


def lines_of(piece: Piece) -> Iterator[Line]:
    try:
        with piece.path.open("rb") as file:
            number = 0
            while text := file.readline(_LINE_LIMIT + 1):
                number += 1
                part, digest, size = text, hashlib.sha256(text.removesuffix(b"\n")), len(text)
                while not part.endswith(b"\n") and (part := file.readline(_LINE_LIMIT)):
                    digest.update(part.removesuffix(b"\n"))
                    size += len(part)
                entry = json_object(text) if part and size <= _LINE_LIMIT + 1 else None
                odd, seq, prev = "", 0, ""
                if not part:
                    odd = f"half a line of {size} bytes: a write that was cut short, or an end cut off"
                elif entry is None or not is_whole(entry.get("seq")) or not is_text(entry.get("prev")):
                    odd = "not an entry of a ledger"
                else:
                    seq, prev = entry["seq"], entry["prev"]
                yield Line(
                    file=piece.name,
                    number=number,
                    sha256=digest.hexdigest(),
                    seq=seq,
                    prev=prev,
                    entry=entry or {},
                    odd=odd,
                )
    except OSError as err:
        raise Refused(f"{piece.path}: cannot be read: {err.strerror}") from err


# Which line is to blame


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What the first line follows from: the beginning, or a checkpoint."""

    seq: int
    sha256: str
    name: str


def diagnosed(lines: Sequence[Line], number: int, start: Start) -> tuple[int, str]:
    """Which of the lines (from 1) is to blame, and for what, when `number` is the first that does not follow."""
    line = lines[number - 1]
    before = lines[number - 2].sha256 if number > 1 else start.sha256
    following = lines[number] if number < len(lines) else None
    seen = {other.sha256: at for at, other in reversed(list(enumerate(lines, start=1)))}
    seen[start.sha256] = 0
    here = f"(seq {line.seq}) "
    due = start.seq + number  # the entry that belongs here

    def name(at: int, of: int = number) -> str:
        """A line, as it is called from another one."""
        if at == 0:
            return start.name or "line 0"
        other = lines[at - 1]
        return f"{'' if other.file == lines[of - 1].file else f'{other.file} '}line {other.number}"

    if line.odd:
        put_in = ": put in, the next line follows from the one before it" if _follows(following, before) else ""
        return number, line.odd + put_in
    if seen[line.sha256] < number:
        return number, f"{here}a copy of {name(seen[line.sha256])}, put in"
    if line.prev == before:
        return number, f"{here}says seq {line.seq} where {due} belongs"
    source = seen.get(line.prev)
    if source is not None and source > number:
        return number, f"{here}moved: it follows from {name(source)}, which stands after it"
    if _follows(following, before):
        return number, f"{here}put in: the next line follows from the one before it"
    if source is not None and line.seq == start.seq + source + 1:
        first = source + 1
        these = "" if first == number - 1 else f"and the lines up to {name(number - 1, first).removeprefix('line ')}: "
        return first, f"{these}put in or moved here: {name(number, first)} {here}follows from {name(source, first)}"
    if number > 1 and line.seq == due and _follows(following, line.sha256):
        at = number - 1
        return at, f"(seq {due - 1}) changed or exchanged: {name(number, at)} follows from another {name(at, at)}"
    return number, here + _without_source(line, due, start, "" if number == 1 else name(number - 1), following)


def _without_source(line: Line, due: int, start: Start, before: str, following: Line | None) -> str:
    """What is said of a line that follows from none that is here; `before` names the one before it."""
    if line.seq > due:
        missing = f"entry {due} is" if line.seq == due + 1 else f"entries {due} to {line.seq - 1} are"
        return f"follows from a line that is not here: {missing} missing before it"
    if line.seq < due:
        return f"follows from no line here, and {due} belongs here: put in or changed"
    if not before:
        whose = f"after {start.name} the next" if start.name else "the first"
        return f"changed: {whose} entry follows from {start.sha256[:8]}… and this one does not"
    if following is None:
        return f"does not follow from {before}: one of the two was changed"
    return f"changed: it does not follow from {before}, nor the next line from it"


def _follows(line: Line | None, sha256: str) -> bool:
    return line is not None and not line.odd and line.prev == sha256
