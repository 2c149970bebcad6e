"""The yearly figures: counted from the ledger alone, the same before and after a year is folded, and never of today."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from edge.clock import SECOND
from edge.figures import Counted
from edge.messages import Event, Verb, decode
from edge.status import SNAPSHOT_LIMIT
from edge.vault import figures as figures_module
from edge.vault import ingest, passes
from edge.vault.figures import Figures
from edge.vault.keeper import Keeper
from edge.vault.ledger import Action
from edge.vault.purge import purge
from edge.vault.tally import Tally, by_period, rounded_up
from tests.vault.support import CLIP, HOUR, SimClock, ask, config, happened, make_clip, open_keeper
from tests.vault.years import Years

DAY = 24 * HOUR


def counted(figures: Figures, source: Any) -> Counted:
    """What is told once everything is read."""
    for _ in range(50):
        figures.catch_up()
        told = decode(Counted, figures.counted(source.now()))
        if told.is_whole:
            return told
    raise AssertionError("never whole")


def of(keeper: Keeper) -> Counted:
    return counted(Figures(keeper.store, keeper.key), keeper)


def test_what_happened_is_counted_by_month_and_year_and_today_is_left_out(tmp_path: Path) -> None:
    clock = SimClock()
    keeper = open_keeper(tmp_path, clock, retention_s=72 * 3600)
    for seq, event in enumerate(
        (Event.PANEL_START, Event.CONVERSATION_START, Event.PRESS, Event.PRESS, Event.ATTENTION), 1
    ):
        assert ingest.answer(keeper, happened(seq, event=event), b"", uid=1, link=None).is_durable
    make_clip(keeper, clock)
    assert ask(keeper, Verb.HOLD, reason="police-report", days=3).error == ""
    assert ask(keeper, Verb.OUTCOME, reason="threat").error == ""
    assert of(keeper).months == {}
    clock.advance(DAY)
    told = of(keeper)
    november = {
        "attention": 1,
        "clip-born": 1,
        "clip-complete": 1,
        "clip-held": 1,
        "conversation-start": 1,
        "outcome-threat": 1,
        "panel-start": 1,
        "press": 2,
    }
    assert told.months == {"2026-11": november}
    assert told.years == {"2026": november}
    assert (told.since, told.today) == ("2026-11-18", "2026-11-19")


def test_a_deletion_is_counted_by_its_reason_with_how_late_it_was(tmp_path: Path) -> None:
    clock = SimClock()
    keeper = open_keeper(tmp_path, clock, retention_s=3600)
    make_clip(keeper, clock)
    clock.advance(HOUR + 130 * SECOND + 1)
    passes.pass_through(keeper)
    clock.advance(DAY)
    other = CLIP.replace("k3f9", "m7qz")
    make_clip(keeper, clock, clip=other)
    assert ask(keeper, Verb.DELETE, clip=other, reason="false-press").error == ""
    clock.advance(DAY)
    assert of(keeper).years["2026"].items() >= {"deleted-expired": 1, "deleted-false-press": 1, "late-140": 1}.items()


def test_the_second_enforcer_s_deletions_are_counted_too(tmp_path: Path) -> None:
    clock = SimClock()
    keeper = open_keeper(tmp_path, clock, retention_s=3600)
    make_clip(keeper, clock)
    clock.advance(HOUR + 5 * SECOND)
    assert purge(config(tmp_path), clock=clock).deleted == (CLIP,)
    clock.advance(DAY)
    assert of(keeper).years["2026"].items() >= {"deleted-expired": 1, "late-5": 1}.items()


def test_a_receipt_that_came_later_counts_by_the_reason_it_was_begun_with() -> None:
    tally = Tally()
    for action, detail in (("clip-delete", {"reason": "no-incident"}), ("clip-deleted", {"finished": "later"})):
        tally.add(entry(action=action, object=CLIP, detail=detail))
    tally.add(entry(action="clip-deleted", object="another", detail={"finished": "after-interruption"}))
    assert by_period(tally.days.items(), 4) == {"2026": {"deleted-no-incident": 1, "deleted-other": 1}}


def entry(**changed: Any) -> dict[str, Any]:
    facts = {"action": "panel", "object": "", "result": "press", "detail": {}, "wall_ns": 1_795_000_000 * SECOND}
    return {"seq": 1, "prev": "", "is_wall_trusted": True, **facts, **changed}


def test_the_numbers_of_a_year_are_the_same_after_it_was_folded(tmp_path: Path) -> None:
    years = Years(root=tmp_path)
    years.live(2024, 2025)
    years.at(2026, 12, 1)
    figures = Figures(years.store, years.key)
    before = counted(figures, years)
    assert before.years["2024"] == {"clip-held": 4, "press": 4}
    assert set(before.months) == {f"2024-{month:02d}" for month in (3, 6, 9, 12)} | {"2025-03"}
    years.at(2026, 12, 3)
    years.step()
    assert "ledger-2024.folded.json" in years.names()
    for after in (counted(figures, years), counted(Figures(years.store, years.key), years)):
        assert (after.months, after.years) == (before.months, before.years)
    checkpoint = tmp_path / "ledger-2024.folded.json"
    forged = {**json.loads(checkpoint.read_bytes()), "figures": {"2024-01": {"press": 99}}}
    checkpoint.write_text(json.dumps(forged))
    assert "2024" not in counted(Figures(years.store, years.key), years).years, "nobody vouches for them"


def test_it_reads_on_as_the_ledger_grows_turns_its_year_and_is_cut(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(figures_module, "_SLICE", 3)
    years = Years(root=tmp_path)
    figures = Figures(years.store, years.key)
    for year in (2025, 2026, 2027):
        years.quarter(year, 3)
        years.quarter(year, 6)
        years.at(year, 7)
        assert counted(figures, years).years[str(year)] == {"clip-held": 2, "press": 2}
    lines = years.store.ledger.read_bytes().splitlines(keepends=True)
    years.store.ledger.write_bytes(b"".join(lines[:-1]) + b'{"half')
    assert counted(figures, years).years["2027"] == {"clip-held": 1, "press": 2}


def test_while_the_ledger_is_being_read_it_says_so(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(figures_module, "_SLICE", 3)
    years = Years(root=tmp_path)
    years.live(2025, 2026)
    figures = Figures(years.store, years.key)
    assert decode(Counted, figures.counted(years.now())).is_whole is False
    figures.catch_up()
    assert decode(Counted, figures.counted(years.now())).is_whole is False
    assert counted(figures, years).is_whole


def test_a_device_that_never_hears_the_time_counts_by_its_own_clock_and_a_jump_moves_nothing() -> None:
    tally = Tally()
    second = SECOND
    tally.add(entry(wall_ns=1_795_000_000 * second, is_wall_trusted=False))  # November 2026
    tally.add(entry(wall_ns=1_800_000_000 * second))  # January 2027, trusted
    tally.add(entry(wall_ns=0, is_wall_trusted=False))  # 1970
    tally.add(entry(wall_ns=2_100_000_000 * second, is_wall_trusted=False))  # 2036
    tally.add(entry(wall_ns=1_803_000_000 * second, is_wall_trusted=False))  # February 2027
    months = by_period(tally.days.items(), 7)
    assert {month: counts["press"] for month, counts in months.items()} == {"2026-11": 1, "2027-01": 3, "2027-02": 1}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8), lambda inner: st.lists(inner, max_size=2)
)


@settings(max_examples=100)
@given(
    st.dictionaries(
        st.sampled_from(["action", "object", "result", "wall_ns", "is_wall_trusted", "detail"]),
        JSON | st.sampled_from(list(Action)),
    )
)
def test_no_line_of_a_damaged_ledger_stops_the_counting(line: dict[str, Any]) -> None:
    tally = Tally()
    tally.add(line)
    tally.add(entry())
    assert sum(counts["press"] for counts in tally.days.values()) >= 1


def test_many_years_fit_into_a_snapshot_and_every_year_is_still_told() -> None:
    names = {f"late-{number}": 100_000 for number in range(40)} | {event.value: 100_000 for event in Event}
    months = {f"{year}-{month:02d}": names for year in range(2020, 2040) for month in range(1, 13)}
    told = Counted(as_of_ns=1, today="", since="2020-01", is_whole=True, months=months, years={"2020": names})
    raw = figures_module.bounded(told)
    assert len(raw) <= SNAPSHOT_LIMIT
    kept = decode(Counted, raw)
    assert kept.years == told.years
    assert list(kept.months)[-1] == "2039-12"
    assert len(kept.months) > 10


def test_delays_are_rounded_up_to_two_digits() -> None:
    assert [rounded_up(seconds) for seconds in (0, 7, 99, 100, 101, 12_340)] == [0, 7, 99, 100, 110, 13_000]
