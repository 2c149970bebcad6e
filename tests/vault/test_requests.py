from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from edge.desk import verify_ledger
from edge.messages import Reply, Request, Verb
from edge.vault import passes
from edge.vault.keeper import Keeper
from edge.vault.requests import Visit, reply
from tests.vault.support import CLIP, HOUR, UID, SimClock, make_clip, open_keeper

DAY = 24 * HOUR


def ask(keeper: Keeper, verb: Verb, *, uid: int = UID, **fields: Any) -> Reply:
    answer, _ = reply(keeper, Request(verb=verb, clip=CLIP, **fields), Visit(uid=uid))
    return answer


def folder(root: Path) -> Path:
    return root / "store" / "clips" / CLIP


def last_entry(root: Path) -> dict[str, Any]:
    assert verify_ledger.check(root / "store" / "ledger.jsonl").is_ok
    entry: dict[str, Any] = json.loads((root / "store" / "ledger.jsonl").read_bytes().splitlines()[-1])
    return entry


@pytest.fixture
def clock() -> SimClock:
    return SimClock()


@pytest.fixture
def keeper(tmp_path: Path, clock: SimClock) -> Keeper:
    keeper = open_keeper(tmp_path, clock)
    make_clip(keeper, clock)
    return keeper


def test_a_hold_keeps_a_clip_until_its_end_and_no_longer(tmp_path: Path, keeper: Keeper, clock: SimClock) -> None:
    done = ask(keeper, Verb.HOLD, actor="officer", reason="police-report", days=10)
    assert done.error == ""
    entry = last_entry(tmp_path)
    assert (entry["action"], entry["actor"], entry["uid"], entry["object"]) == ("clip-held", "officer", UID, CLIP)
    clock.advance(9 * DAY)
    keeper = open_keeper(tmp_path, clock)
    passes.pass_through(keeper)
    assert folder(tmp_path).exists()
    assert keeper.status().clips[0].held
    clock.advance(DAY)
    passes.pass_through(keeper)
    assert not folder(tmp_path).exists()


def test_a_hold_ends_at_most_28_days_after_the_press(tmp_path: Path, keeper: Keeper, clock: SimClock) -> None:
    clock.advance(2 * DAY + HOUR)
    refused = ask(keeper, Verb.HOLD, actor="officer", reason="police-report", days=26)
    assert "at most 25 days from now" in refused.error
    assert not (folder(tmp_path) / "hold-1.json").exists()
    assert ask(keeper, Verb.HOLD, actor="officer", reason="police-report", days=25).error == ""


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"actor": "officer", "reason": "benefit-file", "days": 3},
            "police-report, access-request, court-or-authority",
        ),
        ({"actor": "officer", "reason": "", "days": 3}, "must be one of"),
        ({"actor": "", "reason": "police-report", "days": 3}, "--actor"),
        ({"actor": "x\ny", "reason": "police-report", "days": 3}, "--actor"),
        ({"actor": "officer", "reason": "police-report", "days": 0}, "--days"),
        ({"actor": "officer", "reason": "police-report", "days": -3}, "--days"),
        ({"actor": "officer", "reason": "police-report", "days": 10**9}, "28 days"),
    ],
)
def test_a_hold_that_must_not_be_is_refused_in_one_line(
    tmp_path: Path, keeper: Keeper, fields: dict[str, Any], said: str
) -> None:
    before = (tmp_path / "store" / "ledger.jsonl").read_bytes()
    refused = ask(keeper, Verb.HOLD, **fields)
    assert said in refused.error
    assert "\n" not in refused.error
    assert list(folder(tmp_path).glob("hold-*")) == []
    assert (tmp_path / "store" / "ledger.jsonl").read_bytes() == before


def test_a_released_clip_goes_at_its_first_hour(tmp_path: Path, keeper: Keeper, clock: SimClock) -> None:
    assert "is not held" in ask(keeper, Verb.RELEASE, actor="officer").error
    assert ask(keeper, Verb.HOLD, actor="officer", reason="police-report", days=10).error == ""
    clock.advance(5 * DAY)
    assert ask(keeper, Verb.RELEASE, actor="officer").error == ""
    passes.pass_through(keeper)
    assert not folder(tmp_path).exists()


def test_a_hold_edited_by_hand_does_not_count(tmp_path: Path, keeper: Keeper, clock: SimClock) -> None:
    assert ask(keeper, Verb.HOLD, actor="officer", reason="police-report", days=4).error == ""
    file = folder(tmp_path) / "hold-1.json"
    file.write_bytes(file.read_bytes().replace(b'"until_age_ns":3', b'"until_age_ns":9'))
    clock.advance(3 * DAY)
    keeper = open_keeper(tmp_path, clock)
    passes.pass_through(keeper)
    assert not folder(tmp_path).exists()


def test_a_signed_hold_outlives_a_lost_birth_and_catalog(tmp_path: Path, keeper: Keeper, clock: SimClock) -> None:
    assert ask(keeper, Verb.HOLD, actor="officer", reason="court-or-authority", days=20).error == ""
    (folder(tmp_path) / "birth.json").unlink()
    (tmp_path / "store" / "catalog.sqlite").unlink()
    clock.advance(19 * DAY)
    keeper = open_keeper(tmp_path, clock)
    passes.pass_through(keeper)
    assert folder(tmp_path).exists()
    clock.advance(DAY)
    passes.pass_through(keeper)
    assert not folder(tmp_path).exists()


def test_no_incident_by_a_second_person_deletes_at_once(tmp_path: Path, keeper: Keeper) -> None:
    first = ask(keeper, Verb.OUTCOME, actor="officer", reason="no-incident")
    assert first.error == ""
    again = ask(keeper, Verb.OUTCOME, actor="Officer", reason="no-incident")
    assert again.error == ""
    assert folder(tmp_path).exists()
    assert ask(keeper, Verb.OUTCOME, actor="team-lead", reason="no-incident").data == {"clip": CLIP, "deleted": True}
    assert not folder(tmp_path).exists()
    entry = last_entry(tmp_path)
    assert (entry["action"], entry["actor"]) == ("clip-deleted", "team-lead")
    assert entry["detail"]["reason"] == "no-incident"


def test_no_incident_after_somebody_elses_hold_deletes_at_once(tmp_path: Path, keeper: Keeper) -> None:
    assert ask(keeper, Verb.HOLD, actor="officer", reason="police-report", days=9).error == ""
    assert ask(keeper, Verb.OUTCOME, actor="officer", reason="no-incident", uid=UID).error == ""
    assert folder(tmp_path).exists()
    assert ask(keeper, Verb.OUTCOME, actor="officer", reason="no-incident", uid=UID + 1).error == ""
    assert not folder(tmp_path).exists()


def test_an_outcome_is_kept_across_restarts(tmp_path: Path, keeper: Keeper, clock: SimClock) -> None:
    assert "must be one of" in ask(keeper, Verb.OUTCOME, actor="officer", reason="rude").error
    assert ask(keeper, Verb.OUTCOME, actor="officer", reason="verbal").error == ""
    assert ask(keeper, Verb.OUTCOME, actor="officer", reason="threat").error == ""
    assert open_keeper(tmp_path, clock).status().clips[0].outcome == "threat"


def test_early_deletion_needs_a_reason_and_a_released_clip(tmp_path: Path, keeper: Keeper) -> None:
    assert "must be one of" in ask(keeper, Verb.DELETE, actor="officer", reason="because").error
    assert ask(keeper, Verb.HOLD, actor="officer", reason="access-request", days=5).error == ""
    assert "release it first" in ask(keeper, Verb.DELETE, actor="officer", reason="objection").error
    assert folder(tmp_path).exists()
    assert ask(keeper, Verb.RELEASE, actor="officer").error == ""
    assert ask(keeper, Verb.DELETE, actor="officer", reason="objection").error == ""
    assert not folder(tmp_path).exists()
    assert last_entry(tmp_path)["detail"]["reason"] == "objection"


def test_a_change_is_refused_when_the_ledger_cannot_be_written(tmp_path: Path, keeper: Keeper) -> None:
    book = tmp_path / "store" / "ledger.jsonl"
    content = book.read_bytes()
    book.unlink()
    book.mkdir()
    for verb, fields in (
        (Verb.HOLD, {"reason": "police-report", "days": 3}),
        (Verb.DELETE, {"reason": "test"}),
        (Verb.OUTCOME, {"reason": "verbal"}),
        (Verb.FETCH, {}),
    ):
        assert ask(keeper, verb, actor="officer", **fields).error != ""
    assert sorted(file.name for file in folder(tmp_path).glob("*.json")) == ["birth.json", "manifest.json"]
    book.rmdir()
    book.write_bytes(content)


def test_only_names_of_a_clip_are_fetched(tmp_path: Path, keeper: Keeper) -> None:
    (folder(tmp_path) / "stray.txt").write_bytes(b"not ours")
    for name in ("../../device.key", "stray.txt", "0002.age", "/etc/passwd", "birth.json\0"):
        answer, payload = reply(keeper, Request(verb=Verb.FETCH, clip=CLIP, name=name), Visit(uid=UID))
        assert "has no file" in answer.error
        assert payload == b""
    for clip in ("../" + CLIP, CLIP + "/../" + CLIP, "", "x" * 10_000, CLIP + "\0"):
        answer, _ = reply(keeper, Request(verb=Verb.FETCH, clip=clip, name="birth.json"), Visit(uid=UID))
        assert "is not a clip's number" in answer.error
        assert len(answer.error) < 200


def test_a_fetch_is_one_entry_however_many_files(tmp_path: Path, keeper: Keeper) -> None:
    visit = Visit(uid=UID)
    for name in ("", "birth.json", "0000.age", "0001.age"):
        reply(keeper, Request(verb=Verb.FETCH, clip=CLIP, actor="officer", name=name), visit)
    lines = (tmp_path / "store" / "ledger.jsonl").read_text().splitlines()
    fetched = [json.loads(line) for line in lines if "clip-fetched" in line]
    assert [(entry["actor"], entry["uid"]) for entry in fetched] == [("officer", UID)]


def test_a_hold_taken_away_by_hand_is_a_fault_after_the_next_start(
    tmp_path: Path, keeper: Keeper, clock: SimClock
) -> None:
    assert ask(keeper, Verb.HOLD, actor="officer", reason="police-report", days=20).error == ""
    assert ask(keeper, Verb.RELEASE, actor="officer").error == ""
    keeper.stop()
    for name in ("hold-2.json", "hold-2.json.sig"):  # the release: the hold before it would count again
        (folder(tmp_path) / name).unlink()
    again = open_keeper(tmp_path, clock)
    passes.pass_through(again)
    (fault,) = [fault for fault in again.status().faults if fault.code == "clip-damaged"]
    assert "a hold, a release or an outcome was removed" in fault.detail
    again.stop()
    once_more = open_keeper(tmp_path, clock)
    assert "clip-damaged" in {fault.code for fault in once_more.status().faults}, "it is not forgotten"


def test_an_old_hold_under_a_new_number_does_not_count(tmp_path: Path, keeper: Keeper, clock: SimClock) -> None:
    assert ask(keeper, Verb.HOLD, actor="officer", reason="police-report", days=20).error == ""
    assert ask(keeper, Verb.RELEASE, actor="officer").error == ""
    keeper.stop()
    for suffix in ("", ".sig"):
        shutil.copy(folder(tmp_path) / f"hold-1.json{suffix}", folder(tmp_path) / f"hold-3.json{suffix}")
    again = open_keeper(tmp_path, clock)
    assert not again.status().clips[0].held
    (fault,) = [fault for fault in again.status().faults if fault.code == "clip-damaged"]
    assert "hold-3.json is number 1 and does not count" in fault.detail
