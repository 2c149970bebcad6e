"""A set-up without a person: answers in a file become a room, or one line for each thing that is wrong."""

from __future__ import annotations

import stat
import subprocess
import tomllib
from pathlib import Path

import pytest

from edge.config import load
from edge.errors import EXIT_CONFIG, EXIT_REFUSED
from tests.setup.rooms import ANSWERS, RECIPIENT, RECORD
from tests.support.processes import ran


def set_up(root: Path, answers: str, *more: str) -> subprocess.CompletedProcess[str]:
    file = root / "answers.toml"
    file.write_text(answers, "utf-8")
    return ran("setup", "--root", root, "--answers", file, *more)


def made(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()} - {"answers.toml"}


def test_answers_become_a_configuration_that_says_the_same(tmp_path: Path) -> None:
    done = set_up(tmp_path, ANSWERS)
    assert (done.returncode, done.stderr) == (0, "")
    config = tmp_path / "etc/spreekkamer/config.toml"
    told = tomllib.loads(ANSWERS)
    told.pop("setup")
    assert {name: section for name, section in tomllib.loads(config.read_text("utf-8")).items() if section} == told
    assert load(config).room.name == "Kamer “2” met \\ en ü"


def test_secrets_are_files_of_root_alone_and_never_in_the_configuration(tmp_path: Path) -> None:
    set_up(tmp_path, ANSWERS)
    credential = tmp_path / "etc/credstore/spreekkamer.page-password-hash"
    config = tmp_path / "etc/spreekkamer/config.toml"
    assert credential.read_text().startswith("$argon2id$")
    assert stat.S_IMODE(credential.stat().st_mode) == 0o600
    assert stat.S_IMODE(credential.parent.stat().st_mode) == 0o700
    assert "argon2" not in config.read_text("utf-8")
    assert stat.S_IMODE(config.stat().st_mode) == 0o644  # four accounts read it


def test_the_firewall_lets_in_what_was_said_and_nothing_else(tmp_path: Path) -> None:
    set_up(tmp_path, ANSWERS)
    folder = tmp_path / "etc/spreekkamer/firewall.d"
    assert {file.name: file.read_text() for file in folder.iterdir()} == {
        "page.nft": "tcp dport 8080 accept\n",
        "ssh.nft": "tcp dport 22 accept\n",
    }
    set_up(tmp_path, ANSWERS.replace("ssh = true", "ssh = false").replace("page = true\n", ""), "--replace")
    assert list(folder.iterdir()) == []


BAD = {
    "no room": ("[room]", "[rom]", "rom: no such setting; did you mean room?"),
    "a mistyped key": (RECIPIENT, RECIPIENT[:-1] + ("q" if RECIPIENT[-1] != "q" else "p"), "seal.recipients: number 1"),
    "no key": (f'"{RECIPIENT}"', "", "seal.recipients: er is een camera en geen sleutel"),
    "no record": (RECORD, "", "governance: er is een camera, dus dit deel is nodig"),
    "a pin twice": ("reset = { pin = 16 }", "reset = { pin = 5 }", "panel: pin 5 is used for both"),
    "a word for a truth": ("ssh = true", 'ssh = "ja"', "setup.ssh: moet true of false zijn"),
    "a strange word": ("ssh = true", "shh = true", "setup.shh: onbekend"),
    "a password": ("$argon2id$v=19", "geheim-geheim", "setup.password_hash: is geen argon2id-hash"),
    "no TOML": ("[room]", "[room", "is not TOML in UTF-8"),
    "a camera by name": (
        '"v4l2:/dev/v4l/by-id/usb-Cam_1-video-index0"',
        '"rtsp://camera.example/1"',
        "camera.source: noem de netwerkcamera bij haar IP-adres",
    ),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_what_cannot_be_is_told_in_a_line_and_nothing_is_written(tmp_path: Path, bad: tuple[str, str, str]) -> None:
    before, after, told = bad
    assert before in ANSWERS
    done = set_up(tmp_path, ANSWERS.replace(before, after, 1))
    assert done.returncode == EXIT_CONFIG
    assert any(told in line for line in done.stderr.splitlines()), done.stderr
    assert "geheim-geheim" not in done.stderr
    assert made(tmp_path) == set()


def test_everything_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    done = set_up(tmp_path, ANSWERS.replace("ssh = true", "ssh = 1").replace("pin = 16", "pin = 99"))
    assert len(done.stderr.splitlines()) == 2


def test_a_room_that_is_there_stays_unless_it_is_to_be_replaced(tmp_path: Path) -> None:
    set_up(tmp_path, ANSWERS)
    config = tmp_path / "etc/spreekkamer/config.toml"
    before = config.read_bytes()
    other = ANSWERS.replace("always", "conversation")
    done = set_up(tmp_path, other)
    assert done.returncode == EXIT_REFUSED
    assert "--replace" in done.stderr
    assert config.read_bytes() == before
    assert set_up(tmp_path, other, "--replace").returncode == 0
    assert load(config).room.arming == "conversation"


def test_without_a_terminal_and_without_answers_it_says_so(tmp_path: Path) -> None:
    done = ran("setup", "--root", tmp_path)
    assert (done.returncode, len(done.stderr.splitlines())) == (EXIT_REFUSED, 1)
    assert "--answers" in done.stderr


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    done = ran("setup", "--root", tmp_path, "--answers", tmp_path / "none.toml")
    assert (done.returncode, len(done.stderr.splitlines())) == (EXIT_CONFIG, 1)


def test_a_network_camera_opens_the_sandbox_for_its_address_alone(tmp_path: Path) -> None:
    examples = tmp_path / "opt/spreekkamer/examples"
    examples.mkdir(parents=True)
    shipped = Path(__file__).parents[2] / "systemd/examples"
    for file in shipped.iterdir():
        (examples / file.name).write_bytes(file.read_bytes())
    unit = tmp_path / "etc/systemd/system/spreekkamer-record.service.d/camera.conf"
    set_up(tmp_path, ANSWERS.replace("v4l2:/dev/v4l/by-id/usb-Cam_1-video-index0", "rtsp://10.1.2.3/live"))
    assert "IPAddressAllow=10.1.2.3\n" in unit.read_text()
    assert "192.0.2.10" not in unit.read_text()
    set_up(tmp_path, ANSWERS.replace("v4l2:/dev/v4l/by-id/usb-Cam_1-video-index0", "picamera"), "--replace")
    assert "char-media" in unit.read_text()
    set_up(tmp_path, ANSWERS, "--replace")
    assert not unit.exists()
