"""Is a ledger, with its years, what the device wrote? Offline, by hashes and public key alone. Reads, never writes.

Nothing here comes from the code that writes it: the format is that of docs/verify.md, which tells how to check the
same by hand. A ledger proves its own order, over years and checkpoints; what was cut off its end, or rewritten from
some line on, shows against a head noted elsewhere. Lines are read one by one; only a diagnosis reads a year whole.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from edge.desk.ledger_lines import Line, Piece, Start, diagnosed, folded_name, lines_of, pieces
from edge.desk.verify_shapes import (
    HASH,
    PUBLIC_KEY,
    Is,
    count,
    fingerprint_of,
    first_unlike,
    is_hash,
    is_whole,
    json_object,
    loaded_key,
    plain,
)
from edge.errors import Refused

GENESIS: Final = "0" * 64  # what the first entry of a ledger follows from

_CHECKPOINT_LIMIT: Final = 4 * 1024 * 1024
_DIGEST: Final = 32  # bytes of a SHA-256
_CHECKPOINT: Final[Mapping[str, Is]] = {
    "year": is_whole,
    "first_seq": is_whole,
    "last_seq": is_whole,
    "prev": is_hash,
    "head": is_hash,
    "sha256": is_hash,
    "lines": is_whole,
    "unsound": is_whole,
    "folded": lambda value: isinstance(value, dict) and all(map(is_hash, value.values())),
    "totals": lambda value: isinstance(value, dict),
    "figures": lambda value: isinstance(value, dict),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """An entry that something vouches for."""

    seq: int
    at: str  # when it was written, as it says; of a folded year only the year
    by: str = ""  # the role that anchored it

    def __str__(self) -> str:
        return f"entry {self.seq}{f' of {self.at}' if self.at else ''}{f' by {self.by}' if self.by else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrong:
    """The place that is wrong, and what is wrong there."""

    file: str
    line: int | None  # from 1; None: the whole file
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerFound:
    """What a check of a ledger found."""

    files: tuple[str, ...]  # oldest first; the last is the one that was asked for
    entries: int  # that follow from one another, from the first on, folded ones too
    head: str  # SHA-256 of the last of these
    seq: int  # and its number
    began: tuple[int, str] | None = None  # first number and what it follows from, when the years before are not here
    signed_by: str = ""  # the fingerprint of the key that signed the checkpoints
    noted: Mark | None = None  # the entry whose hash was noted elsewhere
    anchored: Mark | None = None  # the newest that was said to be noted outside the device
    wrong: Wrong | None = None

    @property
    def is_ok(self) -> bool:
        return self.wrong is None

    def __str__(self) -> str:
        if self.wrong is not None:
            kept = f" (up to {self.noted} it is as it was when the head was noted)" if self.noted else ""
            return f"{_place(self.wrong, self.files[-1])}{plain(self.wrong.what, limit=400)}{kept}"
        told = [f"{count(self.entries, 'entry', 'entries')}, each follows from the one before"]
        if len(self.files) > 1:
            told.append(f"in {', '.join(self.files)}")
        if self.began is not None:
            told.append(
                f"begins with entry {self.began[0]}, after {self.began[1]}: the years before were not looked at"
            )
        if self.signed_by:
            told.append(f"checkpoints signed by device key {self.signed_by}")
        elif any(name.endswith(".folded.json") for name in self.files):
            told.append(f"without {PUBLIC_KEY} here the checkpoints' signatures were not looked at")
        told += [f"head {self.head}", f"anchored: {self.anchored}" if self.anchored else "not anchored"]
        if self.noted is None:
            told.append("lines cut off its end would show only with --head")
        else:
            since = count(self.seq - self.noted.seq, "entry", "entries")
            told.append(f"the head noted elsewhere vouches for it up to {self.noted}; {since} since")
        return "; ".join(told)


def check(path: Path, head: str = "") -> LedgerFound:
    """Follow the chain from the oldest year beside `path` to its last line, and look for a head noted elsewhere.

    Finds every line that was changed, removed, put in or moved, in whichever year, and every checkpoint that was
    changed, exchanged or taken away; a change of the last line, or lines cut off the end, only against a head. A year's
    file without the years before it is checked by itself. Raises Refused when a file cannot be read or the head is
    not one.
    """
    head = head.strip().lower()
    if head and not HASH.fullmatch(head):
        raise Refused(f"{head[:80]!r} is not the head of a ledger: 64 hexadecimal digits")
    return _Check(path, head).run()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Checkpoint:
    """A checkpoint that can be used, and the hash of its file."""

    piece: Piece
    sha256: str
    fields: Mapping[str, Any]


class _Check:
    """One check of one ledger; `run` once."""

    def __init__(self, path: Path, head: str) -> None:
        self._asked = head
        self._pieces = pieces(path)
        self._is_year = self._pieces[-1].year is not None
        self._key = _key_beside(path)
        self._seq, self._hash = 0, GENESIS  # of the last line that follows
        self._entries = 0
        self._began: tuple[int, str] | None = None
        self._base, self._base_hash, self._base_name = 0, GENESIS, ""
        self._digests = bytearray()  # of every line since `_base`
        self._checkpoints: dict[int, _Checkpoint] = {}
        self._vouched: dict[int, tuple[str, Wrong]] = {}  # a checkpoint's hash, and what is wrong when it is not here
        self._anchored: Mark | None = None
        self._noted = Mark(seq=0, at="") if head == GENESIS else None

    def run(self) -> LedgerFound:
        return LedgerFound(
            wrong=self._wrong(),
            files=tuple(piece.name for piece in self._pieces),
            entries=self._entries,
            head=self._hash,
            seq=self._seq,
            began=self._began,
            signed_by=fingerprint_of(self._key) if self._key and self._checkpoints else "",
            noted=self._noted,
            anchored=self._anchored,
        )

    def _wrong(self) -> Wrong | None:
        """The first thing that is wrong: in the chain, oldest first, then with what vouches for it."""
        for at, piece in enumerate(self._pieces):
            before = self._pieces[at - 1] if at else None
            wrong = self._folded(piece) if piece.is_folded else self._year(piece, before)
            if wrong is not None:
                return wrong
        return self._unvouched() or self._unsound() or self._not_noted()

    # The chain

    def _folded(self, piece: Piece) -> Wrong | None:
        read = self._read(piece)
        if isinstance(read, Wrong):
            return read
        first, last, prev = (read.fields[name] for name in ("first_seq", "last_seq", "prev"))
        if first != self._seq + 1 or last < first:
            return Wrong(
                file=piece.name, line=None, what=f"entry {self._seq + 1} belongs here, and it begins with {first}"
            )
        if prev != self._hash:
            return Wrong(
                file=piece.name, line=None, what=f"does not follow from entry {self._seq}: another was before it"
            )
        for year, sha256 in read.fields["folded"].items():
            if year.isdecimal():
                self._vouched[int(year)] = sha256, Wrong(file=folded_name(int(year)), line=None, what="missing")
        self._seq, self._hash = last, read.fields["head"]
        self._entries += last - first + 1
        self._base, self._base_hash, self._base_name = self._seq, self._hash, piece.name
        self._digests = bytearray()
        if self._asked == self._hash:
            self._noted = Mark(seq=last, at=str(piece.year))
        return None

    def _year(self, piece: Piece, before: Piece | None) -> Wrong | None:
        for line in lines_of(piece):
            if self._is_year and before is None and line.number == 1 and line.seq > 1:
                self._began = line.seq, line.prev
                self._seq, self._hash = self._base, self._base_hash = line.seq - 1, line.prev
            if line.seq != self._seq + 1 or line.prev != self._hash:
                return self._blamed(line)
            what = self._seam(line, before) or self._told(line)
            if what:
                return Wrong(file=line.file, line=line.number, what=what)
            self._seq, self._hash = line.seq, line.sha256
            self._entries += 1
            self._digests += bytes.fromhex(line.sha256)
            if self._hash == self._asked:
                self._noted = Mark(seq=line.seq, at=line.text("at"))
        return None

    def _seam(self, line: Line, before: Piece | None) -> str:
        """A file that goes on from another names it in its first entry."""
        if before is None or line.number > 1:
            return ""
        if line.entry.get("action") != "ledger-continued":
            return f"begins without saying that it goes on from {before.name}: the file was cut in two"
        if line.entry.get("object") != f"ledger-{before.year:04d}.jsonl":
            return f"goes on from {line.text('object')}, and what stands before it here is {before.name}: renamed"
        return ""

    def _told(self, line: Line) -> str:
        """What an entry says about the ledger itself; what is wrong with that."""
        action, detail = line.entry.get("action"), line.entry.get("detail")
        if not isinstance(detail, dict):
            return ""
        if action == "ledger-folded":
            year, sha256 = line.text("object"), detail.get("checkpoint_sha256")
            if not re.fullmatch(r"\d{4}", year, re.ASCII) or not isinstance(sha256, str):
                return "does not say which checkpoint stands for which year"
            what = f"says that {year} was folded, and {folded_name(int(year))} is not here"
            self._vouched[int(year)] = sha256, Wrong(file=line.file, line=line.number, what=what)
        if action == "ledger-anchored":
            seq: Any = detail.get("seq")
            head = line.entry.get("object")
            if not is_whole(seq) or not is_hash(head) or seq >= line.seq:
                return "does not say which entry was noted outside"
            if self._hash_of(seq) not in (head, None):
                return f"says that entry {seq} was noted outside as {str(head)[:12]}…, and it is another now: rewritten"
            self._anchored = Mark(seq=seq, at=line.text("at"), by=line.text("actor"))
        return ""

    def _hash_of(self, seq: int) -> str | None:
        """The hash of an entry before; None where only totals are left of it."""
        at = (seq - self._base - 1) * _DIGEST
        if at >= 0:
            return self._digests[at : at + _DIGEST].hex()
        ends = {checkpoint.fields["last_seq"]: checkpoint.fields["head"] for checkpoint in self._checkpoints.values()}
        head = ends.get(seq)
        return None if head is None else str(head)

    def _blamed(self, line: Line) -> Wrong:
        names = [piece.name for piece in self._pieces]
        since = self._pieces[names.index(self._base_name) + 1 if self._base_name else 0 :]
        lines = [other for piece in takewhile(lambda piece: not piece.is_folded, since) for other in lines_of(piece)]
        start = Start(seq=self._base, sha256=self._base_hash, name=self._base_name)
        at, what = diagnosed(lines, self._seq + 1 - self._base, start)
        blamed = lines[at - 1]
        if "missing before it" in what and line.number == 1 and line.entry.get("action") == "ledger-continued":
            what += f"; it goes on from {line.text('object')}"
        return Wrong(file=blamed.file, line=blamed.number, what=what)

    # Checkpoints, and what vouches for them

    def _read(self, piece: Piece) -> _Checkpoint | Wrong:
        def wrong(what: str) -> Wrong:
            return Wrong(file=piece.name, line=None, what=what)

        raw = _content(piece.path)
        if self._key is not None:
            signature = _content(piece.path.with_name(f"{piece.name}.sig"))
            if signature is None:
                return wrong(f"not signed: {piece.name}.sig is missing")
            try:
                self._key.verify(signature, raw or b"")
            except InvalidSignature:
                return wrong("not signed by the device: changed, or another device's (or its signature was changed)")
        fields = json_object(raw) if raw is not None and len(raw) <= _CHECKPOINT_LIMIT else None
        if fields is None or fields.get("kind") != "ledger-folded":
            return wrong("not a checkpoint of a ledger")
        odd = first_unlike(_CHECKPOINT, fields)
        if odd:
            return wrong(f"{odd} is missing or is not what it should be")
        if fields["year"] != piece.year:
            return wrong(f"the checkpoint of {fields['year']}, renamed or exchanged")
        read = _Checkpoint(piece=piece, sha256=hashlib.sha256(raw or b"").hexdigest(), fields=fields)
        self._checkpoints[fields["year"]] = read
        return read

    def _unvouched(self) -> Wrong | None:
        """A checkpoint of which no entry says the hash, an entry without its checkpoint, or two that differ."""
        beside = [
            Piece(path=path, year=piece.year, is_folded=True)
            for piece in self._pieces
            if piece.year is not None
            and not piece.is_folded
            and (path := piece.path.with_name(folded_name(piece.year))).exists()
        ]  # a folding that was begun: the lines still count
        for piece in beside:
            read = self._read(piece)
            if isinstance(read, Wrong):
                return read
            lines = piece.path.with_name(f"ledger-{piece.year:04d}.jsonl")
            if read.fields["sha256"] != _hash_of_file(lines):
                return Wrong(file=piece.name, line=None, what=f"not made from {lines.name}, which is beside it")
        for year, checkpoint in self._checkpoints.items():
            sha256, _ = self._vouched.get(year, (None, None))
            name = checkpoint.piece.name
            if sha256 is None and checkpoint.piece not in beside and not self._is_year:  # else a later year may say it
                return Wrong(file=name, line=None, what="no entry says that this year was folded")
            if sha256 not in (None, checkpoint.sha256):
                return Wrong(
                    file=name, line=None, what="changed: not the checkpoint that the ledger's entry vouches for"
                )
        if self._began is not None:
            return None  # the years before were not looked at
        return next((wrong for year, (_, wrong) in self._vouched.items() if year not in self._checkpoints), None)

    def _unsound(self) -> Wrong | None:
        for checkpoint in self._checkpoints.values():
            unsound = checkpoint.fields["unsound"]
            if unsound:
                what = f"{count(unsound, 'line', 'lines')} did not follow from the one before when it was folded"
                return Wrong(file=checkpoint.piece.name, line=None, what=what)
        return None

    def _not_noted(self) -> Wrong | None:
        if not self._asked or self._noted is not None:
            return None
        if self._asked == self._base_hash:
            self._noted = Mark(seq=self._base, at="")
            return None
        what = "the end; no line has the head noted elsewhere: lines after this one were cut off, or it was rewritten"
        if self._checkpoints:
            what += " (or the head is from within a year that is folded: of that only the last can be found)"
        last = sum(1 for _ in lines_of(self._pieces[-1]))
        return Wrong(file=self._pieces[-1].name, line=last, what=what)


# Reading


def _key_beside(path: Path) -> Ed25519PublicKey | None:
    key = path.absolute().parent / PUBLIC_KEY
    return loaded_key(key) if key.exists() else None


def _content(path: Path) -> bytes | None:
    """At most a byte more than a checkpoint may have; None when there is no such file."""
    try:
        with path.open("rb") as file:
            return file.read(_CHECKPOINT_LIMIT + 1)
    except FileNotFoundError:
        return None
    except OSError as err:
        raise Refused(f"{path}: cannot be read: {err.strerror}") from err


def _hash_of_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as err:
        raise Refused(f"{path}: cannot be read: {err.strerror}") from err


def _place(wrong: Wrong, asked: str) -> str:
    """Where it is, as read beside the name of the file that was asked for."""
    file = "" if wrong.file == asked else wrong.file
    line = "" if wrong.line is None else f"line {wrong.line}"
    where = " ".join(part for part in (file, line) if part)
    return f"{where}: " if where else ""
