"""`spreekkamer clips` against a running demo: what an officer does with a clip, and what the ledger then says."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edge.config import Config, load
from edge.errors import BadMessage
from edge.messages import decode
from edge.status import RecorderStatus
from edge.wire import read_snapshot
from tests.support import evidence
from tests.support.processes import eventually, free_port, ran, spreekkamer, until


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """A demo that goes on, and the commands of an officer."""

    config_file: Path
    config: Config
    key: Path

    def clips(self, verb: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return ran("clips", verb, *arguments, "--config", self.config_file)

    def done(self, verb: str, *arguments: str | Path) -> str:
        result = self.clips(verb, *arguments)
        assert (result.returncode, result.stderr) == (0, "")
        return result.stdout

    def refused(self, verb: str, *arguments: str | Path) -> str:
        """The one line that it says."""
        result = self.clips(verb, *arguments)
        assert (result.returncode, result.stdout) == (1, ""), result.stderr
        assert re.fullmatch(r"[^\n]+\n", result.stderr), result.stderr
        return result.stderr

    def row(self, clip: str) -> dict[str, Any] | None:
        rows = [json.loads(line) for line in self.done("list").splitlines()]
        return next((row for row in rows if row["id"] == clip), None)

    def folder(self, clip: str) -> Path:
        return self.config.paths.store / "clips" / clip

    def told(self, action: str, clip: str) -> list[dict[str, Any]]:
        return [
            entry
            for entry in evidence.ledger(self.config.paths.store)
            if (entry["action"], entry["object"]) == (action, clip)
        ]

    def safe_clip(self, number: int) -> str:
        """The clip of the demo's press number so many, once it is stored."""

        def is_there() -> str | None:
            folders = evidence.folders(self.config.paths.store)
            ledger = evidence.ledger(self.config.paths.store)
            born = [entry["object"] for entry in ledger if entry["action"] == "clip-born"]
            is_closed = len(born) > number and (self.folder(born[number]) / "manifest.json.sig").exists()
            return born[number] if is_closed and folders else None

        return eventually(is_there, what=f"clip {number}")


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """A demo that makes three clips, each with 12 s to live."""
    folder = tmp_path_factory.mktemp("office") / "D"
    script = "1:press,1.6:reset,2:press,2.6:reset,3:press,3.6:reset,120:quit"
    options = ["--port", str(free_port()), "--script", script, "--retention", "12s"]
    demo = subprocess.Popen(
        spreekkamer("demo", "--dir", folder, *options), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    config_file = folder / "config.toml"
    until(config_file.exists, what="the demo's folder")
    config = load(config_file)

    def is_up() -> bool:
        try:
            decode(RecorderStatus, read_snapshot(config.paths.status_socket("recorder")))
        except (OSError, BadMessage):
            return False
        return True

    until(is_up, what="the demo")
    yield Office(config_file=config_file, config=config, key=folder / "keys" / "officer.key")
    demo.terminate()
    _, err = demo.communicate(timeout=60)
    assert (demo.returncode, err) == (0, "")


def test_what_an_officer_does_with_clips_holds_until_it_is_released(office: Office, tmp_path: Path) -> None:
    held, free, wrong = office.safe_clip(0), office.safe_clip(1), office.safe_clip(2)

    # Held at once, because it has twelve seconds to live.
    office.done("hold", held, "--days", "2", "--reason", "police-report", "--actor", "officer")
    row = office.row(held)
    assert row is not None
    assert (row["state"], row["held"], row["continues"]) == ("complete", True, None)

    # A copy is sealed as the clip is, opens with age, and is entered.
    to = tmp_path / "copy"
    office.done("fetch", held, "--to", to, "--actor", "officer")
    originals = [*office.folder(held).iterdir(), office.config.paths.store / "device.pub.pem"]
    assert {path.name: path.read_bytes() for path in to.iterdir()} == {
        path.name: path.read_bytes() for path in originals
    }
    clip = evidence.opened_file(to, office.key, tmp_path)
    assert evidence.decoding_errors(clip) == ""
    assert evidence.breaks(evidence.numbers(clip)) == []
    (fetched,) = office.told("clip-fetched", held)
    assert (fetched["actor"], fetched["uid"]) == ("officer", os.getuid())

    # What was no incident goes before its hour: here a press by mistake.
    office.done("outcome", held, "--reason", "threat", "--actor", "officer")
    assert (office.row(held) or {})["outcome"] == "threat"
    office.done("delete", wrong, "--reason", "false-press", "--actor", "officer")
    assert office.row(wrong) is None
    assert not office.folder(wrong).exists()
    assert [entry["detail"]["reason"] for entry in office.told("clip-delete", wrong)] == ["false-press"]

    # The hour comes: the free one goes, the held one stays.
    until(lambda: bool(office.told("clip-deleted", free)), what="the deletion of the free clip", every_s=0.1)
    assert not office.folder(free).exists()
    assert office.folder(held).exists()
    assert (office.row(held) or {})["held"] is True

    # Released after its hour, it goes as well.
    office.done("release", held, "--actor", "officer")
    until(lambda: bool(office.told("clip-deleted", held)), what="the deletion of the released clip")
    assert not office.folder(held).exists()
    story = [entry["action"] for entry in evidence.ledger(office.config.paths.store) if entry["object"] == held]
    assert story == [
        "clip-born",
        "clip-closed",
        "clip-held",
        "clip-fetched",
        "clip-outcome",
        "clip-released",
        "clip-delete",
        "clip-deleted",
    ]
    assert evidence.opened(to, office.key), "the copy is the officer's"


def test_a_clip_that_is_not_there_is_refused_by_its_number(office: Office, tmp_path: Path) -> None:
    unknown = "20200101T000000Z-k3f9"
    assert unknown in office.refused("fetch", unknown, "--to", tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert unknown in office.refused("release", unknown, "--actor", "officer")
    assert "not a clip's number" in office.refused("fetch", "../../keys", "--to", tmp_path / "new")


def test_a_copy_goes_to_no_folder_that_holds_something(office: Office, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    assert "not empty" in office.refused("fetch", "20200101T000000Z-k3f9", "--to", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize(
    ("verb", "arguments"),
    [
        ("hold", ["--days", "2", "--actor", "officer"]),
        ("hold", ["--days", "2", "--reason", "police-report"]),
        ("hold", ["--days", "29", "--reason", "police-report", "--actor", "officer"]),
        ("hold", ["--reason", "police-report", "--actor", "officer"]),
        ("delete", ["--actor", "officer"]),
        ("fetch", []),
    ],
)
def test_what_must_be_said_is_asked_for(office: Office, verb: str, arguments: list[str]) -> None:
    result = office.clips(verb, "20200101T000000Z-k3f9", *arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert "Usage:" in result.stderr


def test_a_reason_that_is_not_on_the_list_is_refused_and_the_list_is_told(office: Office) -> None:
    said = office.refused("hold", "20200101T000000Z-k3f9", "--days", "1", "--reason", "curious", "--actor", "officer")
    assert "20200101T000000Z-k3f9" in said or "police-report" in said
