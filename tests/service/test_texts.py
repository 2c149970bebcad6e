"""What the page says: moments and durations, what is kept, who must do what, in Dutch and in English."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from edge.clock import SECOND
from edge.messages import Outcome
from edge.status import ClipStatus, DeletedClip, Fault, RecorderState, SourceStatus
from service.faults import known_codes
from service.language import Catalog, Language, Words, chosen
from service.page import PARTS, Page
from service.rooms import Button, Drill, Heard, RoomFault, RoomStatus, SelfTest, compose
from service.tasks import tasks
from service.texts import Texts
from tests.service import saying

ROOT = Path(__file__).parents[2]
NOW_NS = 5_000 * SECOND
WALL_NS = 1_795_342_502 * SECOND  # 2026-11-22T10:15:02Z, a Sunday


@pytest.fixture(autouse=True)
def in_amsterdam() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
        time.tzset()
        yield
    time.tzset()


def words(language: Language = Language.DUTCH) -> Words:
    return Words(Catalog.load(language), now_wall_ns=WALL_NS)


def room(*clips: ClipStatus, **recorder: object) -> RoomStatus:
    heard = Heard(
        panel=saying.panel(NOW_NS),
        recorder=saying.recorder(NOW_NS, **recorder),
        vault=saying.vault(NOW_NS, *clips),
    )
    return compose(saying.config(), heard, now_ns=NOW_NS, now_wall_ns=WALL_NS)


def of(days: int, **changed: object) -> ClipStatus:
    day = 22 - days
    return saying.clip(**{"pressed_at": f"2026-11-{day}T09:00:00Z", **changed})


@pytest.mark.parametrize(
    ("seconds", "dutch", "english"),
    [
        (-3, "0 seconden", "0 seconds"),
        (0.9, "0 seconden", "0 seconds"),
        (1, "1 seconde", "1 second"),
        (59.9, "59 seconden", "59 seconds"),
        (60, "1 minuut", "1 minute"),
        (250, "4 minuten en 10 seconden", "4 minutes and 10 seconds"),
        (3600, "1 uur", "1 hour"),
        (3661, "1 uur en 1 minuut", "1 hour and 1 minute"),
        (86_400, "1 dag", "1 day"),
        (86_400 + 1800, "1 dag", "1 day"),
        (2 * 86_400 + 3 * 3600, "2 dagen en 3 uur", "2 days and 3 hours"),
        (10 * 86_400 + 3600, "10 dagen en 1 uur", "10 days and 1 hour"),
    ],
)
def test_a_duration_is_said_in_its_two_largest_units(seconds: float, dutch: str, english: str) -> None:
    assert words().duration(seconds) == dutch
    assert words(Language.ENGLISH).duration(seconds) == english


@pytest.mark.parametrize(
    ("count", "dutch", "english"),
    [
        (0, "0 bytes", "0 bytes"),
        (1, "1 byte", "1 byte"),
        (1500, "1,5 kB", "1.5 kB"),
        (15_123_456, "15,1 MB", "15.1 MB"),
        (24_300_000_000, "24,3 GB", "24.3 GB"),
        (2 * 10**12, "2 TB", "2 TB"),
    ],
)
def test_bytes_are_said_for_people(count: int, dutch: str, english: str) -> None:
    assert words().size(count) == dutch
    assert words(Language.ENGLISH).size(count) == english


@pytest.mark.parametrize(
    ("stamp", "dutch", "english"),
    [
        ("2026-11-22T10:15:02Z", "vandaag 11:15", "today 11:15"),
        ("2026-11-21T23:30:00Z", "vandaag 00:30", "today 00:30"),  # today here, yesterday in UTC
        ("2026-11-21T10:15:02Z", "gisteren 11:15", "yesterday 11:15"),
        ("2026-11-23T10:15:02Z", "morgen 11:15", "tomorrow 11:15"),
        ("2026-11-25T10:15:02Z", "wo 25 nov 11:15", "Wed 25 Nov 11:15"),
        ("2027-03-01T10:15:02Z", "ma 1 mrt 2027 11:15", "Mon 1 Mar 2027 11:15"),
        ("later", "later", "later"),
        ("", "onbekend", "unknown"),
        (None, "onbekend", "unknown"),
    ],
)
def test_a_moment_is_said_as_people_say_it(stamp: str | None, dutch: str, english: str) -> None:
    assert words().moment(stamp) == dutch
    assert words(Language.ENGLISH).moment(stamp) == english


@pytest.mark.parametrize(
    ("asked", "accepted", "language"),
    [
        (None, "", "nl"),
        (None, "en", "en"),
        (None, "fr, en-GB;q=0.8, nl;q=0.9", "nl"),
        (None, "nl;q=0, en;q=0.1", "en"),
        (None, "en;q=nonsense, ;;;,", "nl"),
        ("en", "nl", "en"),
        ("nl", "en", "nl"),
        ("xx", "en", "en"),
        ("../../etc", "", "nl"),
    ],
)
def test_the_language_is_the_one_asked_for_else_the_best_accepted_else_dutch(
    asked: str | None, accepted: str, language: str
) -> None:
    assert chosen(asked, accepted).value == language


def test_every_text_is_in_the_catalog_translated_and_compiled() -> None:
    done = subprocess.run([ROOT / "scripts/catalogs", "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


SITUATIONS = {
    "calm": room(),
    "a clip": room(of(0), of(1, held=True, held_until="2026-12-03T09:00:00Z", outcome="threat")),
    "private": room(state=RecorderState.PRIVATE, ring=saying.ring(seconds=0.0, bytes=0, is_wiped=True)),
    "a fault": room(faults=(Fault(code="source-picture", detail="no picture", fix="look", since_ns=NOW_NS),)),
    "a dead camera": room(
        sources=(SourceStatus(name="camera", track="picture", state="stale", age_ms=42_000, reopened=2),)
    ),
}


@pytest.mark.parametrize("name", SITUATIONS)
def test_no_dutch_is_left_in_english(name: str) -> None:
    """Words that no English page has; the detail of a fault is the processes' own and English already."""
    said = Page(Language.ENGLISH).render(SITUATIONS[name], now_wall_ns=WALL_NS)
    text = re.sub(r"<[^>]*>", " ", said).replace("Nederlands", "")
    assert not re.findall(r"\b(?:de|het|een|van|niet|wordt|opname|geen|sinds|nog|vandaag)\b", text)


def test_every_part_is_rendered_in_both_languages_for_every_state() -> None:
    for language in Language:
        page = Page(language)
        for state in RecorderState:
            parts = page.parts(room(of(0), state=state), now_wall_ns=WALL_NS)
            assert set(parts) == {"tone", "title", *PARTS}
            assert parts["sign"].startswith("<svg")
            assert "headline" in parts["state"]


def test_nothing_kept_is_said_in_so_many_words() -> None:
    texts = Texts(words())
    assert texts.kept_today(room()) == "niets"
    assert texts.kept_before(room()) == ""
    assert texts.kept_today(room(of(1), of(2))) == "niets"
    assert texts.kept_before(room(of(1), of(2))) == "Van eerdere dagen: 2 opnames."
    assert texts.kept_today(room(of(0), of(1))) == "1 opname"
    assert texts.kept_before(room(of(0), of(1))) == "Van eerdere dagen: 1 opname."
    assert texts.kept_today(replace(room(), clips_total=None)) == "niet bekend"


def test_the_day_after_an_incident_says_who_does_what_by_when() -> None:
    texts = Texts(words())
    [clip] = room(of(1, pressed_at="2026-11-21T12:00:00Z", expires_at="2026-11-24T12:00:00Z")).clips
    assert [texts.task(task)[::2] for task in texts.tasks(clip)] == [
        ("Leidinggevende", "vandaag"),
        ("Incidentfunctionaris", "vóór di 24 nov 13:00"),
        ("Incidentfunctionaris", "vóór di 24 nov 13:00"),
    ]
    assert "Leg vast" in texts.task(texts.tasks(clip)[1])[1]


@pytest.mark.parametrize(
    ("changed", "age_s", "duties"),
    [
        ({}, 3600.0, ["aftercare", "outcome", "hold-or-let-go"]),
        ({}, 30 * 3600.0, ["outcome", "hold-or-let-go"]),
        ({}, None, ["outcome", "hold-or-let-go"]),
        ({"outcome": "threat"}, 30 * 3600.0, ["hold-or-let-go"]),
        ({"outcome": "threat", "held": True, "held_until": "2026-12-03T09:00:00Z"}, 30 * 3600.0, ["review-hold"]),
        ({"outcome": "false-press"}, 60.0, ["delete-early"]),
        ({"state": "recording"}, 60.0, []),
        ({"continues": "20261122T101502Z-aaaa"}, 60.0, []),
    ],
)
def test_what_a_clip_asks_of_people(changed: dict[str, object], age_s: float | None, duties: list[str]) -> None:
    [clip] = room(saying.clip(**changed)).clips
    found = tasks(clip, age_s=age_s)
    assert [task.duty for task in found] == duties
    assert all(task.by == (clip.held_until or clip.expires_at) for task in found if task.duty != "aftercare")


def test_a_held_clip_says_until_when_and_a_late_one_that_it_is_late() -> None:
    texts = Texts(words())
    said = [
        of(1, held=True, held_until="2026-12-03T09:00:00Z"),
        of(1, expires_in_s=61.0),
        of(1, expires_in_s=-1.0),
        of(1, expires_in_s=-301.0),
    ]
    assert [texts.goes(clip) for clip in room(*said).clips] == [
        "wordt vastgehouden",
        "nog 1 minuut en 1 seconde",
        "wordt nu verwijderd",
        "had al verwijderd moeten zijn",
    ]
    assert texts.end(room(said[0]).clips[0]) == "tot uiterlijk do 3 dec 10:00"


def test_what_is_in_memory_is_said_in_plain_words() -> None:
    texts = Texts(words())
    camera = SourceStatus(name="camera", track="picture", state="good", age_ms=40, reopened=0)
    closed = SourceStatus(name="microphone", track="sound", state="off", age_ms=None, reopened=0)
    assert texts.buffered(room()).startswith("Beeld en geluid (15,1 MB)")
    assert texts.buffered(room(sources=(camera, closed))).startswith("Beeld, geen geluid (15,1 MB)")
    assert texts.buffered(room(ring=saying.ring(bytes=0, seconds=0.0, is_wiped=True))) == "Leeg en gewist."


def test_a_reserve_in_use_by_a_clip_is_not_a_shortage() -> None:
    texts = Texts(words())
    heard = Heard(
        panel=saying.panel(NOW_NS),
        recorder=saying.recorder(NOW_NS),
        vault=saying.vault(NOW_NS, of(0), reserved_bytes=1),
    )
    short = compose(saying.config(), heard, now_ns=NOW_NS, now_wall_ns=WALL_NS)
    assert texts.reserve(short) == "te weinig"
    assert texts.reserve(replace(short, clips=(replace(short.clips[0], state="recording"),))) == "in gebruik"
    assert texts.reserve(room()) == "gereserveerd"


@pytest.mark.parametrize(
    ("was_pressed", "age_s", "dutch", "english"),
    [
        (None, None, "niet bekend", "not known"),
        (False, None, "nog niet ingedrukt", "not pressed yet"),
        (True, 3 * 86_400.0, "laatst ingedrukt: 3 dagen geleden", "last pressed: 3 days ago"),
        (True, 0.0, "laatst ingedrukt: nu", "last pressed: now"),
    ],
)
def test_the_panic_button_is_told_with_the_age_of_its_last_press(
    *, was_pressed: bool | None, age_s: float | None, dutch: str, english: str
) -> None:
    button = Button(was_pressed=was_pressed, pressed_at=None, age_seconds=age_s)
    assert Texts(words()).last_pressed(button) == dutch
    assert Texts(words(Language.ENGLISH)).last_pressed(button) == english


@pytest.mark.parametrize(
    ("result", "age_s", "dutch", "english"),
    [
        ("unknown", None, "niet bekend", "not known"),
        ("never", None, "nog niet gedaan", "not done yet"),
        ("passed", 3 * 3600.0, "geslaagd: 3 uur geleden", "passed: 3 hours ago"),
        ("failed", 1.0, "mislukt: nu", "failed: now"),
    ],
)
def test_a_self_test_is_told_with_its_age(
    result: Literal["unknown", "never", "passed", "failed"], age_s: float | None, dutch: str, english: str
) -> None:
    test = SelfTest(result=result, at=None, age_seconds=age_s)
    assert Texts(words()).tested(test) == dutch
    assert Texts(words(Language.ENGLISH)).tested(test) == english


@pytest.mark.parametrize(
    ("is_waiting", "waiting_s", "opened_s", "dutch", "english"),
    [
        (None, None, None, "niet bekend", "not known"),
        (False, None, None, "nog niet gehouden", "not held yet"),
        (True, 86_400.0, None, "wacht al 1 dag", "has been waiting for 1 day"),
        (False, None, 71 * 86_400.0, "laatst geopend: 71 dagen geleden", "last opened: 71 days ago"),
        (
            True,
            2 * 86_400.0,
            190 * 86_400.0,
            "wacht al 2 dagen · laatst geopend: 190 dagen geleden",
            "has been waiting for 2 days · last opened: 190 days ago",
        ),
    ],
)
def test_a_drill_is_told_while_it_waits_and_after_it_was_opened(
    *, is_waiting: bool | None, waiting_s: float | None, opened_s: float | None, dutch: str, english: str
) -> None:
    drill = Drill(
        is_waiting=is_waiting,
        waiting_since=None,
        waiting_seconds=waiting_s,
        opened_at=None,
        opened_age_seconds=opened_s,
    )
    assert Texts(words()).drilled(drill) == dutch
    assert Texts(words(Language.ENGLISH)).drilled(drill) == english


def test_the_three_checks_stand_together_on_the_page() -> None:
    checks = Page(Language.DUTCH).parts(room(), now_wall_ns=WALL_NS)["checks"]
    assert re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", checks) == [
        ("Noodknop", "laatst ingedrukt: 3 dagen geleden"),
        ("Zelftest", "geslaagd: 3 uur geleden"),
        ("Oefening met de sleutel", "laatst geopend: 71 dagen geleden"),
    ]


def test_a_deleted_clip_is_told_with_its_hour() -> None:
    heard = Heard(
        panel=saying.panel(NOW_NS),
        recorder=saying.recorder(NOW_NS),
        vault=saying.vault(
            NOW_NS,
            deleted=(
                DeletedClip(id="20261119T101502Z-aaaa", at_ns=NOW_NS - 7200 * SECOND),
                DeletedClip(id="20261119T111502Z-bbbb", at_ns=NOW_NS - 3600 * SECOND),
            ),
        ),
    )
    status = compose(saying.config(), heard, now_ns=NOW_NS, now_wall_ns=WALL_NS)
    assert [(gone.id[-4:], gone.at) for gone in status.deleted] == [
        ("bbbb", "2026-11-22T09:15:02Z"),
        ("aaaa", "2026-11-22T08:15:02Z"),
    ]
    assert "vandaag 10:15" in Page(Language.DUTCH).parts(status, now_wall_ns=WALL_NS)["deleted"]


def test_a_fault_is_told_in_the_readers_language_or_else_in_its_own_words() -> None:
    fault = RoomFault(code="low-space", process="vault", detail="12 MB short", fix="make space", since=None)
    dutch, english = Texts(words()).fault(fault), Texts(words(Language.ENGLISH)).fault(fault)
    assert (dutch.what, dutch.language) == ("Er is te weinig ruimte voor de volgende opnames.", "nl")
    assert (english.what, english.language) == ("There is too little space for the next clips.", "en")
    assert dutch.detail == "12 MB short"
    other = Texts(words()).fault(replace(fault, code="new"))
    assert (other.what, other.fix, other.detail, other.language) == ("12 MB short", "make space", "", "en")


WARNS_ONLY = {("recorder", "memory-partly-locked")}  # a line among the remarks, never a fault


def test_every_fault_that_a_process_can_have_has_a_text() -> None:
    """The codes are literals beside the word that sets them; a new one must come here too."""
    pattern = re.compile(
        r"(?:faults\.(?:show|set)\(|code=|found\.append\(\s*\(|_opened\(|wrong\()\s*\"([a-z][a-z-]+)\""
    )
    at_start = [ROOT / "edge" / "machine" / name for name in ("memory.py", "preflight.py")]
    for process in ("panel", "recorder", "vault"):
        paths = sorted((ROOT / "edge" / process).rglob("*.py")) + (at_start if process == "recorder" else [])
        code = "".join(path.read_text() for path in paths)
        found = set(pattern.findall(code))
        assert len(found) >= 5, process
        assert {(process, one) for one in found} - WARNS_ONLY <= known_codes()


def test_every_outcome_has_words() -> None:
    texts = Texts(words())
    for outcome in Outcome:
        [clip] = room(of(1, outcome=outcome.value)).clips
        assert outcome.value not in texts.made(clip)
