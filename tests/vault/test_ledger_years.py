"""The ledger over the years: files that end with their year, folding after 24 months, anchoring; crashes in between."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from edge.commands import app
from edge.desk import verify_ledger
from edge.durable import Disk
from edge.errors import Refused, StoreError, StoreFull
from edge.messages import Request, Verb
from edge.vault import client, clips, folding, passes
from edge.vault.keeper import Keeper
from edge.vault.ledger import Action, closing_year
from edge.vault.requests import Visit, reply
from edge.vault.retention import DAY_NS, Now
from tests.vault.support import CLIP, HOUR, Crash, CrashingDisk, SimClock, make_clip, open_keeper
from tests.vault.years import ROLE, PatientClock, Years, wall

NEVER = 10**9
T = TypeVar("T")


def sound(years: Years) -> verify_ledger.LedgerFound:
    found = verify_ledger.check(years.store.ledger)
    assert found.is_ok, found
    return found


def entries(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def now_at(wall_ns: int, *, is_trusted: bool = True) -> Now:
    return Now(boot_id="b", boot_ns=0, wall_ns=wall_ns, is_trusted=is_trusted, powered_on_ns=0)


@pytest.mark.parametrize(
    ("first", "newest_closed", "year", "is_trusted", "closing"),
    [
        (2026, None, 2026, True, None),
        (2026, None, 2027, True, 2026),
        (2026, 2025, 2029, True, 2026),
        (2026, None, 2027, False, None),
        (2026, None, 2025, True, None),
        (None, None, 2027, True, None),
        # A network time that lied, 2030 for 2026, and was put right: 2030 is closed, and the next name is 2031.
        (2026, 2030, 2027, True, None),
        (2026, 2030, 2032, True, 2031),
    ],
)
def test_only_a_trusted_later_year_ends_a_file(
    first: int | None, newest_closed: int | None, year: int, is_trusted: bool, closing: int | None
) -> None:
    assert closing_year(first, newest_closed, now_at(wall(year), is_trusted=is_trusted)) == closing


def test_a_year_that_is_over_gets_a_file_and_the_chain_goes_on(tmp_path: Path) -> None:
    years = Years(root=tmp_path)
    years.live(2025, 2027)
    assert years.names() == ["ledger-2025.jsonl", "ledger-2026.jsonl", "ledger.jsonl"]
    first = entries(years.store.ledger)[0]
    before = years.store.ledger_of(2026).read_bytes().splitlines()[-1]
    assert (first["action"], first["object"]) == ("ledger-continued", "ledger-2026.jsonl")
    assert first["prev"] == hashlib.sha256(before).hexdigest()
    assert first["seq"] == json.loads(before)["seq"] + 1
    assert {entry["at"][:4] for entry in entries(years.store.ledger_of(2026))} == {"2026"}
    assert sound(years).entries == len(years.lines()) == 20
    years.open()
    assert years.ledger.last.seq == 20


def test_an_untrusted_clock_ends_no_year(tmp_path: Path) -> None:
    years = Years(root=tmp_path)
    years.clock.trusted = False
    years.ledger.append(Action.PANEL, "x", "press")
    years.clock.trusted = True
    years.at(2026, 5)
    years.ledger.append(Action.PANEL, "x", "press")
    years.clock.trusted = False
    years.at(2036)
    years.step()
    assert years.names() == ["ledger.jsonl"]
    years.clock.trusted = True
    years.at(2027)
    years.step()
    assert years.names() == ["ledger-2026.jsonl", "ledger.jsonl"]
    assert sound(years).entries == 3


def test_what_is_looked_back_for_is_found_in_the_file_before(tmp_path: Path) -> None:
    years = Years(root=tmp_path)
    years.at(2026, 12, 31)
    for number in range(3):
        years.ledger.append(Action.CLIP_DELETED, str(number), "gone")
    years.at(2027)
    years.step()
    years.ledger.append(Action.CLIP_DELETED, "3", "gone")
    assert [entry["object"] for entry in years.ledger.of_this_boot(Action.CLIP_DELETED)] == ["3", "2", "1", "0"]
    assert [entry["seq"] for entry in years.ledger.newest(4)] == [5, 4, 3, 2]


def test_detail_older_than_24_months_becomes_totals_without_a_role(tmp_path: Path) -> None:
    years = Years(root=tmp_path)
    years.live(2024, 2025)
    folded = years.store.ledger_of(2024).read_bytes()
    years.at(2026, 12, 1)
    years.step()
    assert years.store.ledger_of(2024).exists()
    years.at(2026, 12, 3)
    years.step()
    assert years.names() == ["ledger-2024.folded.json", "ledger-2025.jsonl", "ledger.jsonl"]
    raw = years.store.ledger_checkpoint(2024).read_bytes()
    checkpoint = json.loads(raw)
    lines = folded.splitlines()
    assert (checkpoint["first_seq"], checkpoint["last_seq"], checkpoint["lines"]) == (1, 8, 8)
    assert (checkpoint["prev"], checkpoint["head"]) == ("0" * 64, hashlib.sha256(lines[-1]).hexdigest())
    assert (checkpoint["sha256"], checkpoint["unsound"]) == (hashlib.sha256(folded).hexdigest(), 0)
    assert checkpoint["totals"] == {
        f"2024-{month:02d}": {"clip-held": {"held": 1}, "panel": {"press": 1}} for month in (3, 6, 9, 12)
    }
    assert years.key.is_signed(raw, (tmp_path / "ledger-2024.folded.json.sig").read_bytes())
    told = entries(years.store.ledger)[-1]
    assert (told["action"], told["object"]) == ("ledger-folded", "2024")
    assert told["detail"] == {"head": checkpoint["head"], "checkpoint_sha256": hashlib.sha256(raw).hexdigest()}
    assert ROLE.encode() not in raw
    assert not any(b"2024-03-01" in path.read_bytes() for path in tmp_path.iterdir())
    assert sound(years).entries == 8 + len(years.lines())


def test_years_fold_one_after_the_other_and_each_stays_vouched_for(tmp_path: Path) -> None:
    years = Years(root=tmp_path)
    years.live(2020, 2031)
    assert years.names() == [
        *(f"ledger-{year}.folded.json" for year in range(2020, 2029)),
        "ledger-2029.jsonl",
        "ledger-2030.jsonl",
        "ledger.jsonl",
    ]
    before = years.store.ledger_checkpoint(2021).read_bytes()
    kept = json.loads(years.store.ledger_checkpoint(2024).read_bytes())
    assert kept["folded"] == {"2021": hashlib.sha256(before).hexdigest()}  # its entry went with the year 2024
    assert len(sound(years).files) == 12


def test_totals_count_only_words_and_an_untrusted_time_in_the_month_before_it(tmp_path: Path) -> None:
    years = Years(root=tmp_path)
    years.clock.trusted = False
    years.ledger.append(Action.PANEL, "x", "press")
    years.clock.trusted = True
    years.at(2026, 5)
    years.ledger.append(Action.CLIP_DAMAGED, "x", "birth.json: a free text by Jansen")
    years.clock.trusted = False
    years.at(1970)
    years.ledger.append(Action.PANEL, "x", "press")
    made = folding.checkpoint(2026, years.store.ledger.read_bytes().splitlines(keepends=True))
    assert made.totals == {
        "unknown": {"panel": {"press": 1}},
        "2026-05": {"clip-damaged": {"other": 1}, "panel": {"press": 1}},
    }


def test_a_damaged_year_is_folded_too_and_says_so(tmp_path: Path) -> None:
    years = Years(root=tmp_path)
    years.live(2024, 2026)
    book = years.store.ledger_of(2024)
    lines = book.read_bytes().splitlines(keepends=True)
    book.write_bytes(b"".join([*lines[:3], b"rubbish\n", *lines[4:]]))
    years.at(2026, 12, 3)
    years.step()
    assert not book.exists()
    assert json.loads(years.store.ledger_checkpoint(2024).read_bytes())["unsound"] == 2
    found = verify_ledger.check(years.store.ledger)
    assert "ledger-2024.folded.json: 2 lines did not follow" in str(found)


def test_an_untrusted_clock_folds_nothing(tmp_path: Path) -> None:
    years = Years(root=tmp_path)
    years.live(2024, 2026)
    years.clock.trusted = False
    years.at(2036)
    years.step()
    assert years.names() == ["ledger-2024.jsonl", "ledger-2025.jsonl", "ledger.jsonl"]


def test_a_new_file_that_could_not_be_begun_is_begun_before_the_next_entry(tmp_path: Path) -> None:
    class FullDisk(Disk):
        is_full = False

        def append(self, path: Path, data: bytes) -> int:
            if self.is_full:
                raise StoreFull(f"{path}: cannot write: No space left on device")
            return super().append(path, data)

    disk = FullDisk()
    years = Years(root=tmp_path, disk=disk)
    years.at(2026, 12, 31)
    years.ledger.append(Action.PANEL, "x", "press")
    years.at(2027)
    disk.is_full = True
    with pytest.raises(StoreFull):
        years.step()
    another = years.another()
    disk.is_full = False
    for ledger in (years.ledger, another):
        ledger.append(Action.PANEL, "y", "press")
    assert [entry["action"] for entry in entries(years.store.ledger)] == ["ledger-continued", "panel", "panel"]
    assert sound(years).entries == 4


def cut(root: Path, until: tuple[int, int, int], before: tuple[int, int]) -> list[tuple[Years, list[bytes]]]:
    """A ledger for each effect of the step at `until`, stopped just before it; with its lines of before the step."""
    stopped = []
    for at in range(100):
        disk = CrashingDisk(NEVER)
        years = Years(root=root / str(at), disk=disk)
        years.live(*before)
        years.at(*until)
        lines = years.lines()
        disk.left = at
        try:
            years.step()
        except Crash:
            years.disk = Disk()
            stopped.append((years, lines))
            continue
        return stopped
    pytest.fail("it never comes to an end")


def test_a_turn_of_the_year_cut_before_any_effect_is_mended_at_open(tmp_path: Path) -> None:
    stopped = cut(tmp_path, (2027, 1, 1), (2026, 2026))
    assert len(stopped) >= 8
    for years, lines in stopped:
        years.clock.reboot()
        years.open()
        assert years.lines()[: len(lines)] == lines
        sound(years)
        years.step()
        years.ledger.append(Action.PANEL, "x", "press")
        assert years.names() == ["ledger-2026.jsonl", "ledger.jsonl"]
        assert years.store.ledger_of(2026).read_bytes().splitlines() == lines
        assert entries(years.store.ledger)[0]["action"] == "ledger-continued"
        assert sound(years).entries == len(years.lines()) == len(lines) + len(entries(years.store.ledger))


def test_a_folding_cut_before_any_effect_is_finished_later(tmp_path: Path) -> None:
    stopped = cut(tmp_path, (2026, 12, 3), (2024, 2026))
    assert len(stopped) >= 15
    for years, lines in stopped:
        had = len(lines)
        sound(years)  # as the crash left it
        years.clock.reboot()
        is_begun = years.store.ledger_checkpoint(2024).exists()
        years.clock.trusted = not is_begun
        clips.sweep_temps(years.disk, years.root)  # as a start does
        years.open()
        years.step()
        assert years.names() == ["ledger-2024.folded.json", "ledger-2025.jsonl", "ledger.jsonl"]
        told = [entry for entry in entries(years.store.ledger) if entry["action"] == "ledger-folded"]
        assert len(told) == 1
        found = sound(years)
        repairs = [entry for entry in entries(years.store.ledger) if entry["action"] == "ledger-repaired"]
        assert found.entries == had + 1 + len(repairs)
        assert [line for line in lines if line not in years.lines()] == lines[:8]


def test_another_process_goes_on_in_the_new_file(tmp_path: Path) -> None:
    years = Years(root=tmp_path)
    years.at(2026, 12, 31)
    purge = years.another("purge")
    purge.append(Action.CLIP_DELETE, "x", "begun")
    years.ledger.append(Action.CLIP_DELETED, "x", "gone")
    size = years.store.ledger.stat().st_size
    years.at(2027)
    years.step()
    while years.store.ledger.stat().st_size < size:
        years.ledger.append(Action.PANEL, "x", "press")
    purge.append(Action.CLIP_DELETED, "y", "gone")
    years.ledger.append(Action.PANEL, "x", "press")
    assert entries(years.store.ledger)[-2]["object"] == "y"
    assert sound(years).entries == len(years.lines())


def turned(root: Path, obj: str) -> tuple[Years, int, int]:
    """A year with one entry, another process that saw it, and the turn; the sizes of both files."""
    years = Years(root=root)
    years.at(2026, 12, 31)
    years.ledger.append(Action.PANEL, obj, "press")
    purge = years.another("purge")
    years.at(2027)
    years.step()
    sizes = years.store.ledger_of(2026).stat().st_size, years.store.ledger.stat().st_size
    purge.append(Action.CLIP_DELETED, "y", "gone")
    return years, *sizes


def test_a_file_of_the_same_size_is_still_another_file(tmp_path: Path) -> None:
    _, old, new = turned(tmp_path / "to measure", "x")
    years, old, new = turned(tmp_path / "equal", "x" * (1 + new - old))
    assert old == new
    assert sound(years).entries == 3


def test_an_entry_written_while_the_year_turns_without_the_lock_does_not_fork_the_chain(tmp_path: Path) -> None:
    years = Years(root=tmp_path)
    years.at(2026, 12, 31)
    years.ledger.append(Action.PANEL, "x", "press")

    class OvertakenDisk(Disk):
        is_overtaken = False

        def effect(self, what: str, path: Path, call: Callable[[], T]) -> T:
            if what == "write" and self.is_overtaken:
                self.is_overtaken = False
                years.at(2027)
                years.ledger._lock = purge._lock  # the vault holds the lock that this process gave up waiting for
                assert years.ledger.turn_year(years.now())
            return super().effect(what, path, call)

    disk = OvertakenDisk()
    years.disk = disk
    purge = years.another("purge")
    disk.is_overtaken = True
    purge.append(Action.CLIP_DELETED, "y", "gone")
    assert [entry["action"] for entry in entries(years.store.ledger_of(2026))] == ["panel"]
    assert [entry["action"] for entry in entries(years.store.ledger)] == ["ledger-continued", "clip-deleted"]
    assert sound(years).entries == 3


def test_no_year_turns_while_another_process_keeps_the_lock(tmp_path: Path) -> None:
    years = Years(root=tmp_path)
    years.at(2026, 12, 31)
    years.ledger.append(Action.PANEL, "x", "press")
    years.at(2027)
    with Disk().locked(years.store.lock, years.clock), pytest.raises(StoreError, match="keeps the store's lock"):
        years.step()
    assert years.names() == ["ledger.jsonl"]
    years.step()
    assert years.names() == ["ledger-2026.jsonl", "ledger.jsonl"]


WRITER = """
import sys
from pathlib import Path
from edge.vault.ledger import Action
from tests.vault.years import PatientClock, Years
years = Years(root=Path(sys.argv[1]), clock=PatientClock())
years.at(int(sys.argv[2]), 12, 31)
purge = years.another("purge")
for number in range(300):
    purge.append(Action.CLIP_DELETED, str(number), "gone")
"""


def test_two_processes_write_across_turns_of_the_year(tmp_path: Path) -> None:
    years = Years(root=tmp_path, clock=PatientClock())
    years.at(2026, 12, 31)
    years.ledger.append(Action.PANEL, "x", "press")
    child = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), "2026"], cwd=Path(__file__).parents[2])
    try:
        for year in range(2027, 2032):
            size, end = years.store.ledger.stat().st_size, time.monotonic() + 30
            while years.store.ledger.stat().st_size == size and child.poll() is None:
                assert time.monotonic() < end, "the other process does not write"
                time.sleep(0.001)
            years.at(year)
            years.ledger.turn_year(years.now())
            years.ledger.append(Action.PANEL, str(year), "press")
    finally:
        assert child.wait(60) == 0
    assert len(years.names()) == 6
    told = [json.loads(line) for line in years.lines()]
    assert [entry["object"] for entry in told if entry["origin"] == "purge"] == [str(number) for number in range(300)]
    assert sound(years).entries == 1 + 300 + 5 + 5


def test_a_failure_is_a_fault_and_stops_no_deletion(tmp_path: Path) -> None:
    class StuckDisk(Disk):
        is_stuck = True

        def effect(self, what: str, path: Path, call: Callable[[], T]) -> T:
            if self.is_stuck and path.name.startswith("ledger") and what == "move away":
                raise StoreError(f"{path}: cannot {what}: Operation not permitted")
            return super().effect(what, path, call)

    clock, disk = SimClock(), StuckDisk()
    keeper = open_keeper(tmp_path, clock, disk=disk)
    make_clip(keeper, clock)
    clock.advance(60 * DAY_NS)
    passes.pass_through(keeper)
    status = keeper.status()
    assert status.clips_total == 0
    (fault,) = [fault for fault in status.faults if fault.code == "ledger-years"]
    assert "cannot move away" in fault.detail
    disk.is_stuck = False
    passes.pass_through(keeper)
    assert "ledger-years" not in {fault.code for fault in keeper.status().faults}
    assert (tmp_path / "store" / "ledger-2026.jsonl").exists()
    assert verify_ledger.check(tmp_path / "store" / "ledger.jsonl").is_ok


def ask(keeper: Keeper, verb: Verb, *, head: str = "", actor: str = "") -> tuple[str, dict[str, Any]]:
    answer, _ = reply(keeper, Request(verb=verb, head=head, actor=actor), Visit(uid=7))
    return answer.error, answer.data or {}


def test_a_noted_head_is_anchored_and_stays_so_after_a_restart_and_a_turn_of_the_year(tmp_path: Path) -> None:
    clock = SimClock()
    keeper = open_keeper(tmp_path, clock)
    assert ask(keeper, Verb.LEDGER_HEAD)[0] == "the ledger has no entry yet"
    make_clip(keeper, clock)
    _, head = ask(keeper, Verb.LEDGER_HEAD)
    assert head == {"seq": keeper.ledger.last.seq, "head": keeper.ledger.head, "at": "2026-11-18T11:06:40Z"}
    clock.advance(HOUR)
    keeper.ledger.append(Action.PANEL, "x", "press")
    assert keeper.status().ledger.anchored_at is None
    error, noted = ask(keeper, Verb.LEDGER_ANCHOR, head=head["head"].upper(), actor="dpo")
    assert (error, noted["seq"]) == ("", head["seq"])
    anchored_at = keeper.status().ledger.anchored_at
    assert anchored_at == "2026-11-18T12:06:40Z"
    entry = next(keeper.ledger.of(Action.LEDGER_ANCHORED))
    assert (entry["object"], entry["detail"], entry["actor"], entry["uid"]) == (
        head["head"],
        {"seq": head["seq"]},
        "dpo",
        7,
    )
    for _ in range(300):
        keeper.ledger.append(Action.PANEL, "x", "press")
    assert open_keeper(tmp_path, clock).status().ledger.anchored_at == anchored_at
    for _ in range(2):
        clock.advance(366 * DAY_NS)
        passes.pass_through(keeper)
        assert keeper.status().ledger.anchored_at == anchored_at
        assert open_keeper(tmp_path, clock).status().ledger.anchored_at == anchored_at
    found = verify_ledger.check(tmp_path / "store" / "ledger.jsonl")
    assert f"anchored: entry {head['seq']} of 2026-11-18T12:06:40Z by dpo" in str(found)


def test_only_the_head_of_a_line_that_is_here_is_anchored(tmp_path: Path) -> None:
    clock = SimClock()
    keeper = open_keeper(tmp_path, clock)
    make_clip(keeper, clock)
    before = keeper.ledger.last
    assert (
        "no line of this ledger has the head abababababab…"
        in ask(keeper, Verb.LEDGER_ANCHOR, head="ab" * 32, actor="dpo")[0]
    )
    assert "64 hexadecimal digits" in ask(keeper, Verb.LEDGER_ANCHOR, head="ab", actor="dpo")[0]
    assert "say who asks" in ask(keeper, Verb.LEDGER_ANCHOR, head=before.sha256)[0]
    assert keeper.ledger.last == before
    clock.advance(60 * DAY_NS)
    passes.pass_through(keeper)
    assert (tmp_path / "store" / "ledger-2026.jsonl").exists()
    assert ask(keeper, Verb.LEDGER_ANCHOR, head=before.sha256, actor="dpo")[0] == ""


def test_the_commands_say_it_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = SimClock()
    keeper = open_keeper(tmp_path, clock)
    make_clip(keeper, clock)
    monkeypatch.setattr(client, "ask", lambda paths, request: reply(keeper, request, Visit(uid=7))[0])
    config = tmp_path / "config.toml"
    config.write_text('[room]\nname = "Kamer 1"\n[panel]\npanic = { pin = 17 }\nalarm = { pin = 5 }\n')
    head = keeper.ledger.last

    def run(*words: str) -> str:
        app(["ledger", *words, "--config", str(config)], standalone_mode=False)
        return capsys.readouterr().out

    assert run("head") == f"entry {head.seq} of 2026-11-18T11:06:40Z, head {head.sha256}\n"
    said = run("anchor", head.sha256, "--actor", "dpo")
    assert said == f"anchored: entry {head.seq} of 2026-11-18T11:06:40Z, by dpo\n"
    with pytest.raises(Refused, match="no line of this ledger has the head"):
        run("anchor", "ab" * 32, "--actor", "dpo")
    assert CLIP in {entry["object"] for entry in keeper.ledger.newest(100)}
