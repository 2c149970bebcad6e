"""A ledger of five years as a lawyer gets it: two folded, two closed, one that goes on; and what is done to it."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import pytest

from edge.commands import app
from edge.desk import verify_ledger
from edge.desk.verify_ledger import LedgerFound
from edge.errors import Refused
from tests.desk.copies import Device
from tests.desk.test_verify_ledger import edited, forged, hash_of, noted, place, rechained
from tests.vault.years import Years

FILES = ["ledger-2023.folded.json", "ledger-2024.folded.json", "ledger-2025.jsonl", "ledger-2026.jsonl", "ledger.jsonl"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Years:
    """Anchored once, in 2025."""
    years = Years(root=tmp_path_factory.mktemp("years"))
    years.live(2023, 2025)
    years.at(2025, 4)
    years.anchor()
    for month in (6, 9, 12):
        years.quarter(2025, month)
    years.live(2026, 2026)
    shutil.copy(years.store.ledger_of(2024), years.root / "kept")
    for month in (6, 9, 12):
        years.quarter(2026, month)
    years.live(2027, 2027)
    assert years.names() == FILES
    return years


class Copy:
    """A copy of the ledger's files and of the device's public key, and what may be done to it."""

    def __init__(self, root: Path, years: Years) -> None:
        self.root = root
        self.key = years.key
        root.mkdir()
        for path in years.root.glob("ledger*"):
            shutil.copy(path, root)
        shutil.copy(years.store.device_public, root)

    def lines(self, name: str) -> list[bytes]:
        return (self.root / name).read_bytes().splitlines(keepends=True)

    def write(self, name: str, lines: list[bytes]) -> Self:
        (self.root / name).write_bytes(b"".join(lines))
        return self

    def change(self, name: str, change: Callable[[list[bytes]], list[bytes]]) -> Self:
        self.write(name, change(self.lines(name)))
        return self

    def remove(self, *names: str) -> Self:
        for name in names:
            (self.root / name).unlink()
        return self

    def rename(self, name: str, to: str) -> Self:
        (self.root / name).rename(self.root / to)
        return self

    def swap(self, one: str, other: str) -> Self:
        self.rename(one, "aside")
        self.rename(other, one)
        self.rename("aside", other)
        return self

    def refold(self, name: str, key: Any = None, **fields: Any) -> Self:
        """Change a checkpoint, and sign it with a key."""
        raw = json.dumps({**json.loads((self.root / name).read_bytes()), **fields}).encode()
        (self.root / name).write_bytes(raw)
        if key is not None:
            (self.root / f"{name}.sig").write_bytes(key.sign(raw))
        return self

    def check(self, head: str = "", name: str = "ledger.jsonl") -> LedgerFound:
        return verify_ledger.check(self.root / name, head)


@pytest.fixture
def copy(made: Years, tmp_path: Path) -> Copy:
    shutil.copy(made.root / "kept", tmp_path / "ledger-2024.jsonl")  # as it was before it was folded
    return Copy(tmp_path / "copy", made)


def swap_across_the_seam(it: Copy) -> None:
    last, second = it.lines(FILES[2])[-1], it.lines(FILES[3])[1]
    it.change(FILES[2], lambda all_: [*all_[:-1], second])
    it.change(FILES[3], lambda all_: [all_[0], last, *all_[2:]])


def move_across_the_seam(it: Copy) -> None:
    first, *rest = it.lines(FILES[3])
    it.change(FILES[2], lambda all_: [*all_, first])
    it.write(FILES[3], rest)


def unfold_without_checkpoint(it: Copy) -> None:
    """The entry says that 2024 was folded, the lines of 2024 are back, and its checkpoint is gone."""
    it.remove(FILES[1], f"{FILES[1]}.sig")
    shutil.copy(it.root.parent / "ledger-2024.jsonl", it.root)


def rewrite(it: Copy, change: Callable[[dict[str, Any]], dict[str, Any] | None]) -> None:
    """As root could: entries are changed or taken out, and the chain of all lines is made anew."""
    first = json.loads(it.lines(FILES[2])[0])
    before, seq = first["prev"], first["seq"]
    for name in FILES[2:]:
        done: list[bytes] = []
        for entry in filter(None, map(change, map(json.loads, it.lines(name)))):
            done.append(json.dumps({**entry, "seq": seq, "prev": before}, separators=(",", ":")).encode() + b"\n")
            before, seq = hash_of(done[-1]), seq + 1
        it.write(name, done)


# What is done to the copy, which file and line are named, and what is said.
TAMPERINGS: dict[str, tuple[Callable[[Copy], object], str, int | None, str]] = {
    "a line of a closed year edited": (
        lambda it: it.change(FILES[2], lambda all_: [*all_[:3], edited(all_[3]), *all_[4:]]),
        FILES[2],
        4,
        "changed",
    ),
    "the last line of a closed year edited": (
        lambda it: it.change(FILES[2], lambda all_: [*all_[:-1], edited(all_[-1])]),
        FILES[2],
        10,
        "ledger-2026.jsonl line 1 follows from another line 10",
    ),
    "a line of a closed year removed": (
        lambda it: it.change(FILES[2], lambda all_: [*all_[:3], *all_[4:]]),
        FILES[2],
        4,
        "missing before it",
    ),
    "a closed year removed": (lambda it: it.remove(FILES[2]), FILES[3], 1, "are missing before it; it goes on from"),
    "the newest closed year removed": (
        lambda it: it.remove(FILES[3]),
        FILES[4],
        1,
        "it goes on from ledger-2026.jsonl",
    ),
    "all years before removed": (
        lambda it: it.remove(*FILES[:4]),
        FILES[4],
        1,
        "entries 1 to 37 are missing before it",
    ),
    "two years exchanged": (lambda it: it.swap(FILES[2], FILES[3]), FILES[2], 1, "which stands after it"),
    "a year renamed": (
        lambda it: it.rename(FILES[3], "ledger-2027.jsonl"),
        FILES[4],
        1,
        "goes on from ledger-2026.jsonl, and what stands before it here is ledger-2027.jsonl",
    ),
    "a closed year cut short": (
        lambda it: it.change(FILES[2], lambda all_: all_[:-2]),
        FILES[3],
        1,
        "are missing before it; it goes on from ledger-2025.jsonl",
    ),
    "a closed year emptied": (lambda it: it.write(FILES[2], []), FILES[3], 1, "missing before it"),
    "the last newline of a closed year cut off": (
        lambda it: it.change(FILES[2], lambda all_: [*all_[:-1], all_[-1][:-1]]),
        FILES[2],
        10,
        "half a line",
    ),
    "lines exchanged over a seam": (swap_across_the_seam, FILES[2], 10, "moved"),
    "a line moved over a seam": (move_across_the_seam, FILES[3], 1, "without saying that it goes on from"),
    "a line put in before a seam": (
        lambda it: it.change(FILES[2], lambda all_: [*all_, forged(all_[-1])]),
        FILES[2],
        11,
        "put in",
    ),
    "a line put in after a seam": (
        lambda it: it.change(FILES[3], lambda all_: [forged(it.lines(FILES[2])[-1]), *all_]),
        FILES[3],
        1,
        "without saying that it goes on from",
    ),
    "a copy of another year's line put in": (
        lambda it: it.change(FILES[4], lambda all_: [*all_, it.lines(FILES[2])[1]]),
        FILES[4],
        5,
        "a copy of ledger-2025.jsonl line 2",
    ),
    "a checkpoint removed": (lambda it: it.remove(FILES[1]), FILES[2], 1, "it goes on from ledger-2024.jsonl"),
    "the oldest checkpoint removed": (lambda it: it.remove(FILES[0]), FILES[1], None, "entry 1 belongs here"),
    "a checkpoint edited": (
        lambda it: it.change(FILES[1], lambda all_: [all_[0].replace(b'"press":1', b'"press":0', 1)]),
        FILES[1],
        None,
        "not signed by the device",
    ),
    "a checkpoint's signature removed": (lambda it: it.remove(f"{FILES[1]}.sig"), FILES[1], None, "is missing"),
    "a checkpoint edited and no key at hand": (
        lambda it: it.refold(FILES[1], totals={}).remove("device.pub.pem"),
        FILES[1],
        None,
        "not the checkpoint that the ledger's entry vouches for",
    ),
    "a checkpoint edited and signed by the device": (
        lambda it: it.refold(FILES[1], it.key, totals={}),
        FILES[1],
        None,
        "not the checkpoint that the ledger's entry vouches for",
    ),
    "a checkpoint's head edited and signed": (
        lambda it: it.refold(FILES[1], it.key, head="ab" * 32),
        FILES[2],
        1,
        "after ledger-2024.folded.json the next entry follows from abababab",
    ),
    "a checkpoint's link edited and signed": (
        lambda it: it.refold(FILES[1], it.key, prev="ab" * 32),
        FILES[1],
        None,
        "does not follow from entry",
    ),
    "a checkpoint that is none": (lambda it: it.refold(FILES[1], it.key, kind="birth"), FILES[1], None, "not a checkp"),
    "a checkpoint with a field that is none": (
        lambda it: it.refold(FILES[1], it.key, head=7),
        FILES[1],
        None,
        "head is",
    ),
    "two checkpoints exchanged": (
        lambda it: it.swap(FILES[0], FILES[1]).swap(f"{FILES[0]}.sig", f"{FILES[1]}.sig"),
        FILES[0],
        None,
        "the checkpoint of 2024, renamed or exchanged",
    ),
    "a checkpoint renamed": (
        lambda it: it.rename(FILES[0], "ledger-2022.folded.json").rename(
            f"{FILES[0]}.sig", "ledger-2022.folded.json.sig"
        ),
        "ledger-2022.folded.json",
        None,
        "the checkpoint of 2023, renamed or exchanged",
    ),
    "a folded year without its checkpoint": (
        unfold_without_checkpoint,
        FILES[4],
        2,
        "says that 2024 was folded, and ledger-2024.folded.json is not here",
    ),
    "a folded year that nobody says was folded": (
        lambda it: rewrite(it, lambda entry: None if entry["object"] == "2024" else entry),
        FILES[1],
        None,
        "no entry says that this year was folded",
    ),
    "rewritten from before an anchored head": (
        lambda it: rewrite(
            it, lambda entry: {**entry, "object": entry["object"].replace("clip-2025-3", "clip-2025-4")}
        ),
        FILES[2],
        4,
        "it is another now",
    ),
}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_every_tampering_is_found_with_its_place(copy: Copy, name: str) -> None:
    tamper, file, line, what = TAMPERINGS[name]
    tamper(copy)
    found = copy.check()
    print(f"{name}: {found}")
    assert place(found) == (file, line)
    assert what in str(found)
    assert "\n" not in str(found)


def test_the_untouched_years_are_sound_and_tell_what_they_are(copy: Copy, made: Years) -> None:
    found = copy.check()
    assert found.is_ok, found
    assert list(found.files) == FILES
    assert (found.entries, found.seq, found.head) == (made.ledger.last.seq, made.ledger.last.seq, made.ledger.head)
    said = str(found)
    assert f"in {', '.join(FILES)}" in said
    assert "checkpoints signed by device key" in said
    assert "of 2025-04-01T12:00:00Z by dpo" in said
    (copy.root / "device.pub.pem").unlink()
    assert "signatures were not looked at" in str(copy.check())


def test_a_head_of_any_year_that_has_its_lines_is_found(copy: Copy) -> None:
    line = copy.lines(FILES[2])[2]
    found = copy.check(hash_of(line))
    entry = json.loads(line)
    assert noted(found) == entry["seq"]
    assert f"up to entry {entry['seq']} of {entry['at']}; " in str(found)
    checkpoint = json.loads((copy.root / FILES[1]).read_bytes())
    found = copy.check(checkpoint["head"])
    assert f"up to entry {checkpoint['last_seq']} of 2024; " in str(found)


def test_a_head_that_is_nowhere_is_told_and_a_folded_year_may_be_why(copy: Copy) -> None:
    found = copy.check("ab" * 32)
    assert place(found) == (FILES[4], len(copy.lines(FILES[4])))
    assert "from within a year that is folded" in str(found)


def test_a_cut_end_shows_against_the_head(copy: Copy, made: Years) -> None:
    copy.change(FILES[4], lambda all_: all_[:-1])
    assert copy.check().is_ok
    assert place(copy.check(made.ledger.head)) == (FILES[4], len(copy.lines(FILES[4])))


def test_a_years_file_alone_is_checked_by_itself_and_says_so(copy: Copy, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(copy.root / FILES[3], alone)
    found = verify_ledger.check(alone / FILES[3])
    first = json.loads(copy.lines(FILES[3])[0])
    assert found.is_ok
    assert f"begins with entry {first['seq']}, after {first['prev']}: the years before were not looked at" in str(found)
    (alone / FILES[3]).rename(alone / "ledger.jsonl")
    assert place(verify_ledger.check(alone / "ledger.jsonl")) == ("ledger.jsonl", 1)


def test_a_years_file_among_the_others_goes_back_to_the_first_entry(copy: Copy) -> None:
    found = copy.check(name=FILES[3])
    assert (found.is_ok, found.began, list(found.files)) == (True, None, FILES[:4])


def test_a_folding_that_was_begun_is_sound_and_its_checkpoint_is_compared(
    copy: Copy, made: Years, tmp_path: Path
) -> None:
    lines = copy.lines(FILES[2])
    fields = {
        **json.loads((copy.root / FILES[1]).read_bytes()),
        "year": 2025,
        "sha256": hashlib.sha256(b"".join(lines)).hexdigest(),
    }
    copy.write("ledger-2025.folded.json", [json.dumps(fields).encode()])
    copy.refold("ledger-2025.folded.json", made.key)
    assert copy.check().is_ok
    copy.refold("ledger-2025.folded.json", made.key, sha256="ab" * 32)
    assert place(copy.check()) == ("ledger-2025.folded.json", None)


def test_an_entry_that_vouches_for_a_checkpoint_that_is_not_here(copy: Copy) -> None:
    """The lines of 2024 cannot come back; so an entry for a year that never was stands for it."""
    last = copy.lines(FILES[4])[-1]
    detail = {"head": "ab" * 32, "checkpoint_sha256": "cd" * 32}
    copy.change(FILES[4], lambda all_: [*all_, forged(last, action="ledger-folded", object="2022", detail=detail)])
    found = copy.check()
    assert place(found) == (FILES[4], len(copy.lines(FILES[4])))
    assert "says that 2022 was folded, and ledger-2022.folded.json is not here" in str(found)


def test_a_checkpoint_of_another_device_is_not_taken(copy: Copy, stranger: Device) -> None:
    copy.refold(FILES[1], stranger.key)
    assert "not signed by the device" in str(copy.check())
    shutil.copy(stranger.store / "device.pub.pem", copy.root)
    for name in FILES[:2]:
        (copy.root / f"{name}.sig").write_bytes(stranger.key.sign((copy.root / name).read_bytes()))
    assert "not the checkpoint that the ledger's entry vouches for" in str(copy.check())


def test_a_rewritten_ledger_with_a_forged_anchor_shows_against_the_head(copy: Copy, made: Years) -> None:
    alone = copy.root / "whole"
    alone.mkdir()
    lines = rechained([line for line in copy.lines(FILES[4]) if b"ledger-" not in line])
    (alone / "ledger.jsonl").write_bytes(b"".join(lines))
    assert verify_ledger.check(alone / "ledger.jsonl").is_ok
    assert not verify_ledger.check(alone / "ledger.jsonl", made.ledger.head).is_ok


def test_the_command_names_the_file_that_is_wrong(copy: Copy, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(copy.root / "ledger.jsonl")
    app(["verify", "ledger", path], standalone_mode=False)
    assert capsys.readouterr().out.count("\n") == 1
    copy.change(FILES[3], lambda all_: all_[1:])
    with pytest.raises(Refused, match=r"ledger\.jsonl: ledger-2026\.jsonl line 1: .* missing"):
        app(["verify", "ledger", path], standalone_mode=False)
