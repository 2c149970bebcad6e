"""The page beside a real recording: its readers cost the room nothing, and nothing of the room's footage is on it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from edge.clock import SECOND
from service.live import SEATS
from tests.support import evidence
from tests.support.evidence import ROOM
from tests.support.processes import CLOCK, IS_LONG, Four, Room, eventually, memory_folder, until
from tests.support.readers import Readers

RECORDED_S: Final = 30 if IS_LONG else 4
# What a file of pictures or sound begins with, or holds soon after: MP4, JPEG, PNG, WebP and AVI, Ogg, age, H.264 sets.
_FOOTAGE: Final = re.compile(
    rb"ftyp|moof|mdat|\xff\xd8\xff|\x89PNG|RIFF|OggS|age-encryption\.org|\x00\x00\x00\x01[\x67\x68]|data:(?:image|video|audio)"
)
_TYPES: Final = ("application/json", "text/html", "text/plain", "text/event-stream")
_PEOPLE: Final = ("fg@voorbeeld.example", "Ondernemingsraad")  # whom the configuration names


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """A clip that was made while all seats of the page were taken, and what the page said meanwhile and afterwards."""

    room: Room
    clip: Path
    beats: list[int]  # of each reader, while the clip was made
    answers: dict[str, httpx.Response]  # by path, with a clip being made and with it kept


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    with memory_folder() as memory, ExitStack() as stack:
        room = Room(tmp_path_factory.mktemp("page") / "D", memory / "run", ROOM, ring_s=3)
        four = stack.enter_context(Four(room))
        port = room.config.page.port
        client = stack.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False))
        until(lambda: answers(client), what="the page")
        readers = Readers(port, SEATS)
        stack.callback(readers.close)
        until(lambda: min(readers.beats) > 0, what="every reader's first beat")
        four.wait_ring(2.5)
        incident = four.press()
        before = list(readers.beats)
        walked = {f"{path} (recording)": answer for path, answer in walk(client)}
        while CLOCK.boot_ns() - incident.pressed_ns < RECORDED_S * SECOND:
            assert client.get("/api/v1/status").status_code == 200
        beats = [now - then for now, then in zip(readers.beats, before, strict=True)]
        four.reset()
        four.wait_safe(incident.id)
        walked |= dict(walk(client))
        [clip] = eventually(lambda: evidence.folders(room.config.paths.store) or None)
        yield Story(room=room, clip=clip, beats=beats, answers=walked)


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False


def walk(client: httpx.Client) -> Iterator[tuple[str, httpx.Response]]:
    """Every path of the OpenAPI, both pages' languages, and the OpenAPI itself."""
    openapi = client.get("/api/v1/openapi.json")
    yield "/api/v1/openapi.json", openapi
    for path in (*openapi.json()["paths"], "/?lang=nl", "/?lang=en"):
        if path != "/api/v1/events":
            yield path, client.get(path)


def test_no_frame_is_lost_while_every_seat_of_the_page_is_taken(story: Story, tmp_path: Path) -> None:
    path = evidence.opened_file(story.clip, story.room.place.key, tmp_path)
    found = evidence.numbers(path)
    assert len(found) >= (RECORDED_S + 2) * 25 - 5
    assert evidence.breaks(found) == []
    facts = evidence.record(story.clip, "manifest.json")["facts"]
    assert (facts["frames_dropped"], facts["picture_gaps_ms"], facts["sound_gaps_ms"]) == (0, [], [])
    assert evidence.told(story.room.config.paths.store, "clip-closed", story.clip.name) == ["complete"]


def test_every_reader_goes_on_being_told_while_a_clip_is_made(story: Story) -> None:
    assert len(story.beats) == SEATS
    assert min(story.beats) >= RECORDED_S / 2, "a beat twice a second, and the machine may be busy"


def test_no_answer_holds_a_picture_a_sound_the_name_of_a_footage_file_or_a_person(story: Story) -> None:
    assert {"/api/v1/status", "/api/v1/clips", "/api/v1/figures", "/metrics", "/?lang=nl"} <= story.answers.keys()
    assert story.clip.name in story.answers["/api/v1/clips"].text, "there is a clip to tell of"
    store, run = story.room.config.paths.store, story.room.config.paths.run
    files = [path.name for path in story.clip.iterdir()]
    assert "0000.age" in files
    secrets = [*files, str(store), str(run), str(ROOM), ROOM.name, *_PEOPLE]
    for path, answer in story.answers.items():
        assert answer.headers["content-type"].split(";")[0] in _TYPES, path
        assert _FOOTAGE.search(answer.content) is None, path
        assert [word for word in secrets if word in answer.text] == [], path
        assert answer.status_code in (200, 503 if path.startswith("/api/v1/figures") else 200), path


def test_no_field_of_the_api_could_hold_a_person(story: Story) -> None:
    names = set(fields(story.answers["/api/v1/openapi.json"].json()["components"]["schemas"]))
    assert {"pressed_at", "faults", "clips"} <= names
    assert (
        names & {"actor", "person", "user", "uid", "case", "topic", "label", "image", "video", "audio", "url"} == set()
    )


def fields(schema: Any) -> Iterator[str]:
    """The names of all properties in a schema."""
    if isinstance(schema, dict):
        properties = schema.get("properties")
        yield from properties if isinstance(properties, dict) else ()
        for inner in schema.values():
            yield from fields(inner)


def test_the_checks_above_can_fail() -> None:
    assert _FOOTAGE.search(ROOM.read_bytes())
    assert list(fields(json.loads('{"A": {"properties": {"actor": {}}}}'))) == ["actor"]
