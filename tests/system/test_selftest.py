"""The self-test and the drill with real processes, the stock `age` and a reader of digits that knows only their shapes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.recorder.testcard import DOT, FONT, FORMAT, LEFT, TOP
from tests.support import evidence
from tests.support.evidence import ROOM
from tests.support.processes import WARNINGS, Four, Room, memory_folder, ran, until


class SoonTested(Four):
    """A room whose recorder tests itself a second after its start."""

    def _started(self, name: str) -> subprocess.Popen[bytes]:
        if name != "recorder":
            return super()._started(name)
        command = [sys.executable, "-B", "-W", WARNINGS, "-m", "tests.system.record_child"]
        return subprocess.Popen(
            [*command, str(self.room.config_file), "1"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._log,
            bufsize=0,
        )


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Four]:
    with memory_folder() as folder:
        room = Room(tmp_path_factory.mktemp("tested") / "D", folder / "run", ROOM, ring_s=3)
        with SoonTested(room) as four:
            until(lambda: (vault := room.vault()) is not None and vault.drill.waiting_s is not None, what="the drill")
            yield four


def store(four: Four) -> Path:
    return four.room.config.paths.store


def page(four: Four) -> tuple[dict[str, Any], str]:
    address = f"http://127.0.0.1:{four.room.config.page.port}"
    with urllib.request.urlopen(f"{address}/api/v1/status") as answer:
        status = json.loads(answer.read())
    with urllib.request.urlopen(f"{address}/") as answer:
        return status, answer.read().decode()


def digits(picture: np.ndarray[Any, np.dtype[np.uint8]]) -> str:
    """The six digits of one grey picture: each of their places compared with each digit's shape, the likest taken."""
    found = ""
    for place in range(6):
        left = LEFT + place * 6 * DOT
        seen = picture[TOP : TOP + 7 * DOT, left : left + 5 * DOT].reshape(7, DOT, 5, DOT).mean(axis=(1, 3)) > 128
        shapes = {digit: np.array([[dot == "1" for dot in row] for row in rows]) for digit, rows in FONT.items()}
        (likest,) = [digit for digit, shape in shapes.items() if (shape == seen).all()]
        found += likest
    return found


def test_a_room_tests_itself_and_says_so(four: Four) -> None:
    vault = four.room.vault()
    assert vault is not None
    assert vault.self_test.is_passed
    assert vault.self_test.age_s is not None
    assert vault.self_test.age_s < 60
    assert [fault.code for fault in vault.faults] == []
    assert (vault.clips_total, evidence.folders(store(four))) == (0, [])
    assert evidence.told(store(four), "self-test", "self-test") == ["passed"]
    assert [path.name for path in (store(four) / "selftest").iterdir()] == ["result.json"]
    recorder = four.room.recorder()
    assert recorder is not None
    assert (recorder.faults, recorder.write_bytes) == ((), 0)
    status, html = page(four)
    assert (status["self_test"]["result"], status["drill"]["is_waiting"]) == ("passed", True)
    assert re.search(r"<dt>Zelftest</dt><dd>geslaagd: .*</dd>", html)
    assert re.search(r"<dt>Oefening met de sleutel</dt><dd>wacht al .*</dd>", html)


def test_an_officer_opens_the_drill_with_stock_age_and_confirms_what_it_shows(four: Four, tmp_path: Path) -> None:
    config = ("--config", four.room.config_file)
    fetched = ran("drill", "fetch", *config, "--to", tmp_path / "drill")
    assert (fetched.returncode, fetched.stderr) == (0, "")
    assert [path.name for path in (tmp_path / "drill").iterdir()] == ["0000.age"]
    film = tmp_path / "drill.mp4"
    film.write_bytes(evidence.opened(tmp_path / "drill", four.room.place.key))
    assert evidence.decoding_errors(film) == ""
    command = ["ffmpeg", "-v", "error", "-i", str(film), "-f", "rawvideo", "-pix_fmt", "gray", "-"]
    grey = subprocess.run(command, capture_output=True, check=True).stdout
    pictures = np.frombuffer(grey, np.uint8).reshape(-1, FORMAT.height, FORMAT.width)
    (code,) = {digits(picture) for picture in pictures}
    assert len(pictures) == 100

    again = ran("drill", "fetch", *config, "--to", tmp_path / "drill")
    assert (again.returncode, again.stderr.count("\n")) == (1, 1)
    assert "choose a new folder" in again.stderr
    other = f"{(int(code) + 1) % 10**6:06d}"
    wrong = ran("drill", "confirm", other, "--actor", "incident officer", *config)
    assert (wrong.returncode, wrong.stderr.count("\n")) == (1, 1)
    assert "not the code" in wrong.stderr
    right = ran("drill", "confirm", code, "--actor", "incident officer", *config)
    assert (right.returncode, right.stdout, right.stderr) == (0, '{"drill": "opened"}\n', "")

    vault = four.room.vault()
    assert vault is not None
    assert vault.drill.waiting_since is None
    assert vault.drill.opened_s is not None
    assert [path.name for path in (store(four) / "drill").iterdir()] == ["drill.json"]
    drills = [entry for entry in evidence.ledger(store(four)) if entry["action"].startswith("drill-")]
    assert [(entry["action"], entry["actor"]) for entry in drills] == [
        ("drill-made", ""),
        ("drill-wrong-code", "incident officer"),
        ("drill-opened", "incident officer"),
    ]
    late = ran("drill", "fetch", *config, "--to", tmp_path / "late")
    assert (late.returncode, late.stderr.count("\n")) == (1, 1)
    assert not (tmp_path / "late").exists()
    status, html = page(four)
    assert status["drill"]["is_waiting"] is False
    assert re.search(r"<dd>laatst geopend: (?:nu|\d+ seconden? geleden)</dd>", html)


def test_a_press_after_it_is_recorded_as_ever(four: Four, tmp_path: Path) -> None:
    four.wait_ring(1.0)
    incident = four.press()
    until(lambda: (now := four.room.recorder()) is not None and now.clip is not None and now.clip.segments_safe > 1)
    four.reset()
    four.wait_safe(incident.id)
    (folder,) = evidence.folders(store(four))
    clip = evidence.opened_file(folder, four.room.place.key, tmp_path)
    assert evidence.breaks(evidence.numbers(clip)) == []
    assert evidence.decoding_errors(clip) == ""
