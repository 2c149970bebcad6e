from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.commands import app
from edge.desk import verify_ledger
from edge.errors import Refused
from tests.desk.copies import Device

Lines = list[bytes]


def lines_of(device: Device) -> Lines:
    return (device.store / "ledger.jsonl").read_bytes().splitlines(keepends=True)


def found_in(tmp_path: Path, content: bytes, head: str = "") -> verify_ledger.LedgerFound:
    file = tmp_path / "ledger.jsonl"
    file.write_bytes(content)
    return verify_ledger.check(file, head)


def place(found: verify_ledger.LedgerFound) -> tuple[str, int | None]:
    """Where it is wrong."""
    assert found.wrong is not None, found
    return found.wrong.file, found.wrong.line


def noted(found: verify_ledger.LedgerFound) -> int:
    assert found.noted is not None, found
    return found.noted.seq


def hash_of(line: bytes) -> str:
    return hashlib.sha256(line.removesuffix(b"\n")).hexdigest()


def forged(after: bytes, **fields: object) -> bytes:
    """An entry that follows from `after` as it should."""
    before = json.loads(after)
    entry = {**before, "seq": before["seq"] + 1, "prev": hash_of(after), "object": "forged", **fields}
    return json.dumps(entry, separators=(",", ":")).encode() + b"\n"


def rechained(lines: Lines) -> Lines:
    """The lines with every `seq` and `prev` made right again, as somebody with root on the device could."""
    done: Lines = []
    for number, line in enumerate(lines, start=1):
        entry = {**json.loads(line), "seq": number, "prev": hash_of(done[-1]) if done else verify_ledger.GENESIS}
        done.append(json.dumps(entry, separators=(",", ":"), ensure_ascii=False).encode() + b"\n")
    return done


def edited(line: bytes) -> bytes:
    changed = line.replace(b'"origin":"vault"', b'"origin":"purge"')
    assert changed != line
    return changed


def with_field(line: bytes, **fields: object) -> bytes:
    return json.dumps({**json.loads(line), **fields}, separators=(",", ":")).encode() + b"\n"


# What is done to the lines, which line is named, and what is said of it. The ledger has 14 lines.
TAMPERINGS: dict[str, tuple[Callable[[Lines], Lines], int, str]] = {
    "a word edited": (lambda all_: [*all_[:2], edited(all_[2]), *all_[3:]], 3, "changed"),
    "the first line edited": (lambda all_: [edited(all_[0]), *all_[1:]], 1, "changed"),
    "the line before the last edited": (lambda all_: [*all_[:-2], edited(all_[-2]), all_[-1]], 14, "one of the two"),
    "a space added": (lambda all_: [*all_[:2], all_[2].replace(b":", b": ", 1), *all_[3:]], 3, "changed"),
    "a link edited": (lambda all_: [*all_[:4], with_field(all_[4], prev="ab" * 32), *all_[5:]], 5, "nor the next"),
    "the first link edited": (lambda all_: [with_field(all_[0], prev="ab" * 32), *all_[1:]], 1, "the first entry"),
    "a number edited": (lambda all_: [*all_[:4], with_field(all_[4], seq=9), *all_[5:]], 5, "seq 9 where 5 belongs"),
    "a line removed": (lambda all_: [*all_[:2], *all_[3:]], 3, "entry 3 is missing"),
    "three lines removed": (lambda all_: [*all_[:2], *all_[5:]], 3, "entries 3 to 5 are missing"),
    "the first line removed": (lambda all_: all_[1:], 1, "entry 1 is missing"),
    "a line removed and the rest renumbered": (
        lambda all_: [*all_[:2], *(with_field(line, seq=at) for at, line in enumerate(all_[3:], start=3))],
        3,
        "changed",
    ),
    "a copy put in": (lambda all_: [*all_[:3], all_[1], *all_[3:]], 4, "a copy of line 2"),
    "a forged line put in": (lambda all_: [*all_[:3], forged(all_[2]), *all_[3:]], 4, "put in"),
    "two forged lines put in": (
        lambda all_: [*all_[:3], forged(all_[2]), forged(forged(all_[2])), *all_[3:]],
        4,
        "the lines up to 5: put in",
    ),
    "a line of another ledger put in": (
        lambda all_: [*all_[:3], with_field(all_[3], prev="cd" * 32), *all_[3:]],
        4,
        "put in: the next line",
    ),
    "two lines swapped": (lambda all_: [*all_[:2], all_[3], all_[2], *all_[4:]], 3, "follows from line 4"),
    "a line moved to the end": (lambda all_: [*all_[:2], *all_[3:], all_[2]], 3, "follows from line 14"),
    "all lines reversed": (lambda all_: all_[::-1], 1, "follows from line 2"),
    "an empty line put in": (lambda all_: [*all_[:3], b"\n", *all_[3:]], 4, "put in"),
    "an empty line at the end": (lambda all_: [*all_, b"\n"], 15, "not an entry"),
    "a line that is no entry": (lambda all_: [*all_[:3], b"{}\n", *all_[4:]], 4, "not an entry"),
    "a line of zeros": (lambda all_: [*all_[:3], bytes(50) + b"\n", *all_[4:]], 4, "not an entry"),
    "a deeply nested line": (lambda all_: [*all_[:3], b"[" * 16_000 + b"\n", *all_[3:]], 4, "not an entry"),
    "an endless line": (lambda all_: [*all_[:3], b"x" * 100_000 + b"\n", *all_[3:]], 4, "put in"),
    "half a line at the end": (lambda all_: [*all_[:-1], all_[-1][:100]], 14, "half a line of 100 bytes"),
    "the last newline cut off": (lambda all_: [*all_[:-1], all_[-1][:-1]], 14, "half a line"),
    "half a line longer than an entry": (lambda all_: [*all_, b"x" * 50_000], 15, "half a line of 50000 bytes"),
}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_every_tampering_is_found_with_its_place(device: Device, tmp_path: Path, name: str) -> None:
    tamper, line, what = TAMPERINGS[name]
    found = found_in(tmp_path, b"".join(tamper(lines_of(device))))
    print(f"{name}: {found}")
    assert place(found) == ("ledger.jsonl", line)
    assert what in str(found)
    assert str(found).startswith(f"line {line}: ")
    assert "\n" not in str(found)


NEEDS_A_HEAD: dict[str, Callable[[Lines], Lines]] = {
    "the last line cut off": lambda all_: all_[:-1],
    "half of it cut off": lambda all_: all_[:7],
    "everything cut off": lambda all_: [],
    "the last line edited": lambda all_: [*all_[:-1], all_[-1].replace(b"verbal", b"threat")],
    "an entry taken out and the chain made anew": lambda all_: rechained([*all_[:4], *all_[5:]]),
    "an entry edited and the chain made anew": lambda all_: rechained([*all_[:4], edited(all_[4]), *all_[5:]]),
    "cut off and continued otherwise": lambda all_: [*all_[:-1], forged(all_[-2]), forged(forged(all_[-2]))],
}


@pytest.mark.parametrize("name", NEEDS_A_HEAD)
def test_a_cut_or_rewritten_end_shows_against_a_head_noted_elsewhere(device: Device, tmp_path: Path, name: str) -> None:
    content = NEEDS_A_HEAD[name](lines_of(device))
    assert found_in(tmp_path, b"".join(content)).is_ok
    found = found_in(tmp_path, b"".join(content), device.heads[-1])
    print(f"{name}: {found}")
    assert place(found) == ("ledger.jsonl", len(content))
    assert "no line has the head noted elsewhere" in str(found)


def test_the_untouched_ledger_is_sound_and_goes_on_after_an_older_head(device: Device, tmp_path: Path) -> None:
    whole = b"".join(lines_of(device))
    found = found_in(tmp_path, whole)
    assert (found.is_ok, found.entries, found.head, found.noted) == (True, 14, device.heads[-1], None)
    assert "would show only with --head" in str(found)
    found = found_in(tmp_path, whole, f" {device.heads[0].upper()}\n")
    assert (found.is_ok, noted(found)) == (True, 2)
    assert "vouches for it up to entry 2 of 2026-11-18T11:06:40Z; 12 entries since" in str(found)
    assert noted(found_in(tmp_path, whole, device.heads[-1])) == 14
    assert noted(found_in(tmp_path, whole, verify_ledger.GENESIS)) == 0
    assert found_in(tmp_path, b"").entries == 0


def test_each_manifest_vouches_for_the_ledger_up_to_its_moment(device: Device) -> None:
    heads = [json.loads(file.read_bytes())["ledger_head"] for file in device.store.glob("clips/*/manifest.json")]
    assert len(heads) == 5
    lines = [noted(verify_ledger.check(device.store / "ledger.jsonl", head)) for head in heads]
    assert all(json.loads(lines_of(device)[line - 1])["action"] == "clip-closed" for line in lines)


def test_what_was_noted_before_the_place_that_is_wrong_still_counts(device: Device, tmp_path: Path) -> None:
    lines = lines_of(device)
    found = found_in(tmp_path, b"".join([*lines[:8], *lines[9:]]), device.heads[0])
    assert place(found) == ("ledger.jsonl", 9)
    assert "up to entry 2 of 2026-11-18T11:06:40Z it is as it was" in str(found)


@pytest.mark.parametrize("head", ["abc", "g" * 64, "0" * 63, "é" * 64])
def test_what_is_no_head_is_refused(device: Device, head: str) -> None:
    with pytest.raises(Refused, match="64 hexadecimal digits"):
        verify_ledger.check(device.store / "ledger.jsonl", head)


def test_a_ledger_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(Refused, match="cannot be read"):
            verify_ledger.check(path)


@settings(deadline=None, max_examples=200)
@given(at=st.floats(0, 1, exclude_max=True), mask=st.integers(1, 255))
def test_any_changed_byte_is_found_against_the_head(
    device: Device, tmp_path_factory: pytest.TempPathFactory, at: float, mask: int
) -> None:
    content = bytearray(b"".join(lines_of(device)))
    content[int(at * len(content))] ^= mask
    assert not found_in(tmp_path_factory.getbasetemp(), bytes(content), device.heads[-1]).is_ok


@settings(deadline=None, max_examples=100)
@given(
    content=st.binary(max_size=300)
    | st.lists(st.sampled_from([b"{", b"}", b"[", b"\n", b'"seq":1', b"1e999", b","])).map(b"".join)
)
def test_rubbish_is_told_and_never_raises(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    found = found_in(tmp_path_factory.getbasetemp(), content)
    assert found.is_ok == (content == b"")


def test_the_command_says_it_in_one_line_and_by_its_exit_code(
    device: Device, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "ledger.jsonl"
    file.write_bytes(b"".join(lines_of(device)))
    app(["verify", "ledger", str(file), "--head", device.heads[1]], standalone_mode=False)
    assert "up to entry 4 of 2026-11-18T11:07:40Z; 10 entries since" in capsys.readouterr().out
    file.write_bytes(b"".join(lines_of(device)[1:]))
    with pytest.raises(Refused, match=r"ledger\.jsonl: line 1: .* missing"):
        app(["verify", "ledger", str(file)], standalone_mode=False)
