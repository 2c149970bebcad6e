"""The pack of a running room: its values are true, it is signed, whatever is changed in it is found, and it can say no."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from edge.desk import verify_proof
from edge.errors import Refused
from edge.prove.pack import prove
from edge.recorder.seal import Sealer
from tests.support.evidence import ROOM, ledger
from tests.support.processes import CLOCK, Four, Room, memory_folder, ran, until

FILES: Final = {
    "SHA256SUMS", "bewijs.txt", "device.pub.pem", "programs.sha256", "proof.json", "statement.txt", "statement.txt.sig",
}  # fmt: skip
# Without it the recorder would hold the tests' own log open for writing, and be told so.
QUIET: Final = ["sh", "-c", 'exec "$@" 2>/dev/null', "sh"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A pack, and what was true when it was made."""

    room: Room
    pids: dict[str, int]
    pack: Path
    said: str
    complaint: str
    without_recorder: Path
    without_vault: str
    clip: str

    @property
    def proof(self) -> dict[str, Any]:
        return read(self.pack)

    def points(self, process: str = "recorder") -> dict[str, str]:
        return seen(self.pack, process)


def read(pack: Path) -> dict[str, Any]:
    return dict(json.loads((pack / "proof.json").read_bytes()))


def seen(pack: Path, process: str) -> dict[str, str]:
    """How the points of a process came out."""
    return {point["code"]: point["seen"] for point in read(pack)["points"] if point["process"] == process}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    root = tmp_path_factory.mktemp("proved")
    with memory_folder() as folder:
        room = Room(root / "D", folder / "run", ROOM, ring_s=5)
        with Four(room, prefixes={"recorder": QUIET}) as four:
            incident = four.press()
            four.reset()
            four.wait_safe(incident.id)
            four.wait_listening()
            four.wait_ring(2.0)
            done = ran("prove", "--config", room.config_file, "--to", root / "pack", "--actor", "administrator")
            pids = {name: four.pid(name) for name in ("panel", "recorder", "vault", "service")}
            four.keep_down("recorder")
            four.kill("recorder")
            until(lambda: not four.is_alive("recorder"), what="the recorder's end")
            assert ran("prove", "--config", room.config_file, "--to", root / "dead").returncode == 1
            four.end("vault")
            away = ran("prove", "--config", room.config_file, "--to", root / "unsigned")
        [clip] = [path.name for path in room.clips.iterdir()]
        yield Made(
            room=room,
            pids=pids,
            pack=root / "pack",
            said=done.stdout,
            complaint=done.stderr,
            without_recorder=root / "dead",
            without_vault=away.stderr,
            clip=clip,
        )


# --- what it says is true


def test_it_is_made_whole_and_says_where(made: Made) -> None:
    assert {path.name for path in made.pack.iterdir()} == FILES
    assert {path.stat().st_mode & 0o777 for path in made.pack.iterdir()} == {0o600}
    assert re.fullmatch(r"\d+ points in \S+/pack, signed; read \S+/bewijs\.txt\n", made.said)


def test_the_four_processes_are_those_that_run(made: Made) -> None:
    assert {name: found["pid"] for name, found in made.proof["processes"].items()} == made.pids
    assert {name: made.points(name)["running"] for name in made.pids} == dict.fromkeys(made.pids, "shown")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may read another process's memory map")
def test_the_recorder_s_memory_is_locked_and_it_wrote_nothing(made: Made) -> None:
    memory, ring = made.proof["processes"]["recorder"]["memory"], made.proof["ring"]
    assert memory["locked"] > memory["ring"] >= ring["bytes"] > 10_000
    assert (memory["ring_loose"], memory["swapped"]) == (0, 0)
    assert made.proof["processes"]["recorder"]["write_bytes"] == 0
    assert made.proof["processes"]["vault"]["write_bytes"] > 10_000, "the one that writes is seen to write"
    shown = {"running", "locked", "swapped", "written", "no-file", "core", "ring", "away-from-store"}
    assert {made.points()[code] for code in shown} == {"shown"}


def test_the_age_of_the_oldest_byte_is_told_and_within_the_promise(made: Made) -> None:
    assert 2.0 <= made.proof["ring"]["oldest_seconds"] <= 5.5


def test_what_a_laptop_lacks_is_told_as_not_in_order_and_the_command_says_how_much(made: Made) -> None:
    failed = [point for point in made.proof["points"] if point["seen"] == "failed"]
    assert ("", "sandbox") in {(point["process"], point["code"]) for point in failed}
    assert f"{len(failed)} of them are not in order" in made.complaint
    assert "NIET IN ORDE" in (made.pack / "bewijs.txt").read_text()


def test_it_names_no_clip_and_holds_no_key(made: Made) -> None:
    everything = b"".join(path.read_bytes() for path in made.pack.iterdir())
    assert made.clip.encode() not in everything
    assert b"age1" not in everything
    assert b"PRIVATE" not in everything


def test_the_programs_are_listed_as_sha256sum_checks_them(made: Made) -> None:
    listed = (made.pack / "programs.sha256").read_text()
    assert f"{hashlib.sha256(listed.encode()).hexdigest()}" == made.proof["programs"]["sha256"]
    root = Path(__file__).parents[2]
    subprocess.run(["sha256sum", "--check", "--quiet", "--strict"], input=listed.encode(), cwd=root, check=True)
    assert "  edge/prove/pack.py\n" in listed
    assert "  service/templates/room.html\n" in listed


def test_the_ledger_tells_who_had_what_signed(made: Made) -> None:
    digest = hashlib.sha256((made.pack / "SHA256SUMS").read_bytes()).hexdigest()
    [entry] = [entry for entry in ledger(made.room.config.paths.store) if entry["object"] == digest]
    assert (entry["action"], entry["result"], entry["actor"]) == ("proof-signed", "signed", "administrator")
    assert entry["uid"] == os.geteuid()
    _, _, _, said = (made.pack / "statement.txt").read_text().splitlines()
    assert int(said.split()[1]) >= entry["seq"]


# --- it can say no


def test_a_recorder_that_was_killed_is_told_as_not_running_and_nothing_is_shown_of_it(made: Made) -> None:
    found = seen(made.without_recorder, "recorder")
    assert found.pop("running") == "failed"
    assert set(found.values()) == {"unseen"}
    assert seen(made.without_recorder, "panel")["running"] == "shown"
    assert read(made.without_recorder)["processes"]["recorder"] is None


def test_without_a_vault_nothing_is_signed_and_nothing_is_made(made: Made) -> None:
    assert re.fullmatch(r"the vault does not answer at [^\n]*; is `spreekkamer keep` running\?\n", made.without_vault)
    assert list(made.pack.parent.glob("unsigned*")) == []


def test_a_folder_that_is_used_is_refused_before_anything_is_read(made: Made) -> None:
    with pytest.raises(Refused, match="exists and is not empty"):
        prove(made.room.config, made.pack, seal=Sealer, clock=CLOCK, actor="")


# --- its signature


def test_stock_tools_check_it_as_the_text_says(made: Made) -> None:
    text = (made.pack / "bewijs.txt").read_text()
    commands = [line.strip() for line in text.splitlines() if line.startswith(("  openssl", "  grep", "  sha256sum"))]
    assert len(commands) == 3
    for command in commands:
        subprocess.run(["sh", "-c", command], cwd=made.pack, check=True, capture_output=True)


def test_the_product_checks_it_too(made: Made) -> None:
    done = ran("verify", "proof", made.pack)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("as the device signed it\n")
    key = ["openssl", "pkey", "-pubin", "-in", str(made.pack / "device.pub.pem"), "-outform", "DER"]
    fingerprint = hashlib.sha256(subprocess.run(key, capture_output=True, check=True).stdout).hexdigest()
    assert fingerprint in done.stdout
    assert verify_proof.check(made.pack, fingerprint=fingerprint).is_ok
    assert "another device" in verify_proof.check(made.pack, fingerprint="00" * 32).problems[0]


def change(name: str, old: bytes, new: bytes) -> Callable[[Path], object]:
    def changed(pack: Path) -> None:
        content = (pack / name).read_bytes()
        assert old in content
        (pack / name).write_bytes(content.replace(old, new, 1))

    return changed


TAMPERED: Final[dict[str, tuple[Callable[[Path], object], str]]] = {
    "a point": (change("proof.json", b'"failed"', b'"shown"'), "proof.json: changed"),
    "the text": (change("bewijs.txt", b"NIET", b"WEL "), "bewijs.txt: changed"),
    "a program": (change("programs.sha256", b"edge", b"evil"), "programs.sha256: changed"),
    "the list": (change("SHA256SUMS", b"bewijs.txt", b"beweer.txt"), "SHA256SUMS: not the list"),
    "a list that is none": (change("SHA256SUMS", b"  ", b" ../"), "no line of a list"),
    "the date": (change("statement.txt", b"at 2", b"at 3"), "statement.txt: not signed"),
    "the context": (change("statement.txt", b"proof", b"birth"), "not a statement about a proof"),
    "the signature": (lambda pack: (pack / "statement.txt.sig").write_bytes(bytes(64)), "statement.txt: not signed"),
    "a file that is gone": (lambda pack: (pack / "proof.json").unlink(), "proof.json: missing"),
    "a file put in": (lambda pack: (pack / "more.txt").write_text("all is well"), "more.txt: not in the list"),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_whatever_is_changed_in_it_is_found(made: Made, tmp_path: Path, name: str) -> None:
    pack = tmp_path / "pack"
    shutil.copytree(made.pack, pack)
    tamper, expected = TAMPERED[name]
    tamper(pack)
    found = verify_proof.check(pack)
    assert not found.is_ok
    assert any(expected in problem for problem in found.problems), found.problems


def test_a_tampered_pack_is_1_and_each_problem_a_line(made: Made, tmp_path: Path) -> None:
    shutil.copytree(made.pack, tmp_path / "pack")
    (tmp_path / "pack" / "proof.json").write_text("{}")
    done = ran("verify", "proof", tmp_path / "pack")
    assert (done.returncode, done.stdout) == (1, "proof.json: changed since it was signed\n")
    assert "not what the device signed: 1 wrong" in done.stderr


def test_a_folder_that_is_no_pack_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"holds no statement\.txt"):
        verify_proof.check(tmp_path)


def test_the_signature_of_a_birth_is_none_of_a_proof_nor_the_other_way_round(made: Made, tmp_path: Path) -> None:
    pack, clip = tmp_path / "pack", made.room.clips / made.clip
    shutil.copytree(made.pack, pack)
    shutil.copy(clip / "birth.json", pack / "statement.txt")
    shutil.copy(clip / "birth.json.sig", pack / "statement.txt.sig")
    assert verify_proof.check(pack).problems[0] == "statement.txt: not a statement about a proof"
    with pytest.raises(ValueError, match="Expecting value"):
        json.loads((made.pack / "statement.txt").read_bytes())
