"""docs/verify.md: its commands are run as they stand, on sound copies and on tampered ones."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from tests.desk.copies import CUT, DARK, OTHER, REST, Device
from tests.vault.support import CLIP
from tests.vault.years import Years

PAGE: Final = Path(__file__).parents[2] / "docs" / "verify.md"
MARK: Final = "<!-- run by tests/desk/test_by_hand.py -->\n```sh\n"
SHELLS: Final = [shell for shell in ("sh", "bash", "dash") if shutil.which(shell)]


def blocks() -> tuple[str, str, str, str]:
    """The page's commands: for a clip, for its segments one by one, for the ledger, for its checkpoints."""
    clip, segments, ledger, checkpoints = [
        part.partition("```\n")[0] for part in PAGE.read_text("utf-8").split(MARK)[1:]
    ]
    return clip, segments, ledger, checkpoints


def run(block: str, folder: Path, *, shell: str = "sh", head: str = "") -> tuple[int, str]:
    done = subprocess.run(
        [shell, "-c", block],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "head": head},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    return done.returncode, done.stdout.decode(errors="replace")


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("clip", [CLIP, CUT, REST, DARK])
def test_a_sound_clip_passes(device: Device, tmp_path: Path, clip: str, shell: str) -> None:
    folder = device.copy(clip, tmp_path / "copy")
    code, said = run(blocks()[0], folder, shell=shell)
    assert (code, said.splitlines()[-1]) == (0, "the clip is sound"), said
    assert said.count("Signature Verified Successfully") == len(list(folder.glob("*.json")))
    code, said = run(blocks()[1], folder, shell=shell)
    assert (code, said.count(": OK")) == (0, 4), said


def put(folder: Path, device: Device, *names: str) -> None:
    for name in names:
        shutil.copy(device.store / "clips" / OTHER / name, folder / name)


TAMPERINGS: Final[dict[str, tuple[Callable[[Path, Device], object], str]]] = {
    "a segment missing": (lambda it, _: (it / "0001.age").unlink(), "not those of the manifest"),
    "the last segment missing": (lambda it, _: (it / "0003.age").unlink(), "not those of the manifest"),
    "a segment edited": (lambda it, _: (it / "0003.age").write_bytes(bytes(120)), "not those of the manifest"),
    "a segment put in": (lambda it, _: (it / "0004.age").write_bytes(b"x"), "not those of the manifest"),
    "a foreign segment": (lambda it, other: put(it, other, "0001.age"), "not those of the manifest"),
    "a foreign birth": (lambda it, other: put(it, other, "birth.json", "birth.json.sig"), "more than one clip"),
    "a foreign manifest": (lambda it, other: put(it, other, "manifest.json", "manifest.json.sig"), "more than one"),
    "no manifest": (lambda it, _: (it / "manifest.json").unlink(), "manifest.json is missing"),
    "a signature missing": (lambda it, _: (it / "hold-1.json.sig").unlink(), "hold-1.json"),
    "a hold edited": (lambda it, _: (it / "hold-1.json").write_bytes(b"{}\n"), "Verification Failure"),
    "a record in another's place": (
        lambda it, _: [shutil.copy(it / f"hold-1.json{end}", it / f"outcome-1.json{end}") for end in ("", ".sig")],
        "outcome-1.json is another record",
    ),
}


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("name", TAMPERINGS)
def test_a_tampered_clip_does_not_pass(device: Device, copied: Path, name: str, shell: str) -> None:
    tamper, what = TAMPERINGS[name]
    tamper(copied, device)
    code, said = run(blocks()[0], copied, shell=shell)
    assert code != 0
    assert what in said


def test_the_segments_one_by_one_name_the_wrong_one(copied: Path) -> None:
    (copied / "0002.age").write_bytes(b"x")
    code, said = run(blocks()[1], copied)
    assert code != 0
    assert "0002.age: FAILED" in said
    assert said.count(": OK") == 3


def without(content: bytes, line: int) -> bytes:
    lines = content.splitlines(keepends=True)
    return b"".join([*lines[: line - 1], *lines[line:]])


@pytest.mark.parametrize("shell", SHELLS)
def test_the_ledger_by_hand(device: Device, tmp_path: Path, shell: str) -> None:
    file = tmp_path / "ledger.jsonl"
    sound = (device.store / "ledger.jsonl").read_bytes()

    def said(content: bytes, head: str = device.heads[1]) -> tuple[int, str]:
        file.write_bytes(content)
        code, text = run(blocks()[2], tmp_path, shell=shell, head=head)
        return code, text.splitlines()[-1]

    assert said(sound) == (0, "head found at line 4 of ledger.jsonl")
    assert said(sound, device.heads[-1]) == (0, "head found at line 14 of ledger.jsonl")
    assert said(without(sound, 9)) == (1, "ledger.jsonl: line 9 does not follow from the one before")
    assert said(sound.replace(b'"result":"complete"', b'"result":"complexe"', 1))[0] == 1
    assert said(sound[:-1]) == (1, "ledger.jsonl: half a line after line 13")
    code, text = said(without(sound, 14), device.heads[-1])
    assert (code, "no line has this head" in text) == (1, True)
    assert said(sound, "")[0] != 0


@pytest.fixture(scope="module")
def years(tmp_path_factory: pytest.TempPathFactory) -> Years:
    made = Years(root=tmp_path_factory.mktemp("years"))
    made.live(2023, 2027)
    return made


@pytest.mark.parametrize("shell", SHELLS)
def test_the_ledger_of_years_by_hand(years: Years, tmp_path: Path, shell: str) -> None:
    def said(tamper: Callable[[Path], object], block: int = 2, head: str = years.ledger.head) -> tuple[int, str]:
        folder = tmp_path / "copy"
        shutil.copytree(years.root, folder)
        tamper(folder)
        code, text = run(blocks()[block], folder, shell=shell, head=head)
        shutil.rmtree(folder)
        return code, text.splitlines()[-1]

    def edit(name: str, old: bytes, new: bytes) -> Callable[[Path], object]:
        return lambda it: (it / name).write_bytes((it / name).read_bytes().replace(old, new, 1))

    end = hashlib.sha256(years.store.ledger_of(2026).read_bytes().splitlines()[-1]).hexdigest()
    assert said(lambda _: None)[1].endswith("of ledger.jsonl")
    assert said(lambda _: None, head=end)[1].endswith("of ledger-2026.jsonl")
    code, text = said(lambda it: (it / "ledger-2025.jsonl").unlink())
    assert (code, text) == (1, "ledger-2026.jsonl: line 1 does not follow from the one before")
    code, text = said(lambda it: (it / "ledger-2024.folded.json").unlink())
    assert (code, text) == (1, "ledger-2025.jsonl: line 1 does not follow from the one before")
    code, text = said(edit("ledger-2024.folded.json", b'"press":1', b'"press":0'))
    assert (code, text) == (1, "ledger-2024.folded.json is not signed by the device")
    code, text = said(lambda it: (it / "ledger-2023.folded.json").rename(it / "ledger-2024.folded.json"))
    assert (code, text) == (1, "ledger-2024.folded.json is not signed by the device")
    assert said(lambda _: None, 3)[0] == 0
    code, text = said(edit("ledger-2024.folded.json", b'"press":1', b'"press":0'), 3)
    assert (code, text) == (1, "nothing vouches for ledger-2024.folded.json")


def test_the_page_names_what_a_manifest_holds(device: Device) -> None:
    manifest = (device.store / "clips" / CLIP / "manifest.json").read_text()
    command = PAGE.read_text("utf-8").partition("head=$(")[2].partition(" manifest.json)`")[0]
    code, said = run(f"{command} manifest.json", device.store / "clips" / CLIP)
    assert (code, said.strip()) == (0, device.heads[0])
    assert '"ledger_head":' in manifest
