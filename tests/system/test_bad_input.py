"""What a person gets wrong, and what a disk does: one clear line, the right exit code, nothing half-made, nothing lost."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.config import load
from edge.demo.folder import prepare
from edge.messages import decode
from edge.status import RecorderStatus, VaultStatus
from edge.wire import read_snapshot
from tests.fixtures.room import write_room
from tests.support import evidence
from tests.support.evidence import ROOM
from tests.support.processes import Four, Room, eventually, free_port, memory_folder, ran, spreekkamer, until


def one_line(result: subprocess.CompletedProcess[str], code: int) -> str:
    """The only thing that was said."""
    assert "Traceback" not in result.stderr
    assert (result.returncode, result.stdout) == (code, ""), result.stderr
    assert re.fullmatch(r"[^\n]+\n", result.stderr), result.stderr
    return result.stderr


def tried(folder: Path, *options: str | Path) -> subprocess.CompletedProcess[str]:
    """A demo that may not come to be. Whatever becomes of it, it leaves nothing in RAM."""
    with memory_folder() as run:
        result = ran("demo", "--dir", folder, "--script", "1:quit", "--port", str(free_port()), *options, run=run)
        assert list(run.iterdir()) == []
        return result


def everything_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --- configuration


def test_a_configuration_with_five_mistakes_names_all_five(tmp_path: Path) -> None:
    room = Room(tmp_path / "D", tmp_path / "run", ROOM)
    room.config_file.write_text(
        room.config_file.read_text("utf-8")
        .replace('arming = "always"', 'aming = "always"')  # 1
        .replace("[ring]\nseconds = 30", "[ring]\nseconds = 600")  # 2
        .replace('mode = "in_ring"', 'mode = "sometimes"')  # 3
        .replace('store = "/', 'store = "')  # 4
        .replace("reset = { pin = 27 }", "reset = { pin = 17 }"),  # 5
        "utf-8",
    )
    for command in ("record", "keep", "show"):
        result = ran(command, "--config", room.config_file)
        assert (result.returncode, result.stdout) == (78, "")
        lines = result.stderr.splitlines()
        assert len(lines) == 5
        for line, (where, what) in zip(
            sorted(lines),
            [
                ("microphone.mode", "'sometimes'"),
                ("panel", "pin 17 is used for both panic and reset"),
                ("paths.store", "not an absolute path"),
                ("ring.seconds", "600"),
                ("room.aming", "did you mean arming?"),
            ],
            strict=True,
        ):
            assert line.startswith(f"{where}: ")
            assert what in line


@pytest.mark.parametrize("command", ["guard", "record", "keep", "show", "purge"])
def test_a_configuration_that_is_missing_or_no_toml_is_told_in_one_line(tmp_path: Path, command: str) -> None:
    assert "cannot be read" in one_line(ran(command, "--config", tmp_path / "none.toml"), 78)
    (tmp_path / "room.toml").write_text("[room\n")
    assert "is not TOML" in one_line(ran(command, "--config", tmp_path / "room.toml"), 78)


# --- the recording


def test_a_recording_that_cannot_be_played_is_told_in_one_line_and_nothing_is_made(tmp_path: Path) -> None:
    whole = ROOM.read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.mp4").write_text("not a film\n" * 1000)
    (tmp_path / "empty.mp4").write_bytes(b"")
    with_sound = tmp_path / "room.mp4"
    write_room(with_sound, seconds=2, size=(320, 180))
    sound = ["ffmpeg", "-v", "error", "-i", str(with_sound), "-vn", "-c", "copy", str(tmp_path / "sound.mp4")]
    subprocess.run(sound, check=True, stdin=subprocess.DEVNULL)
    for name in ("none.mp4", "cut.mp4", "text.mp4", "empty.mp4", "sound.mp4"):
        said = one_line(tried(tmp_path / "D", "--video", tmp_path / name), 1)
        assert name in said
        assert not (tmp_path / "D").exists()


# --- the folder


def test_a_file_in_the_place_of_the_folder_is_told_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for folder in (tmp_path / "file", tmp_path / "file" / "D"):
        assert str(tmp_path / "file") in one_line(tried(folder), 1)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 6 MB."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("a tmpfs cannot be mounted here")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_read_only_disk_is_told_in_one_line(small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert "Read-only" in one_line(tried(small_disk / "D"), 1)
    assert list(small_disk.iterdir()) == []


def fill(disk: Path) -> Path:
    """A file that leaves no byte."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while file.write(b"x" * size):
                    pass
            except OSError:
                continue
    return filler


def test_a_disk_that_is_full_at_the_start_is_told_in_one_line_and_no_half_key_is_left(small_disk: Path) -> None:
    filler = fill(small_disk)
    assert "No space left" in one_line(tried(small_disk / "D"), 1)
    assert [name for name, content in everything_in(small_disk).items() if name != "filler" and "key" in name] == []
    filler.unlink()
    done = tried(small_disk / "D")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_disk_that_others_fill_up_takes_no_space_from_a_clip(small_disk: Path) -> None:
    options = ["--port", str(free_port()), "--script", "3:press,6:reset,9:quit"]
    demo = subprocess.Popen(
        spreekkamer("demo", "--dir", small_disk / "D", *options),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until((small_disk / "D" / "store" / "clips.reserve").exists, what="the reserve")
    fill(small_disk)
    out, err = demo.communicate(timeout=60)
    assert (demo.returncode, err) == (0, "")
    assert "clip-safe" in out


def test_a_disk_without_reserve_that_fills_up_is_a_visible_fault_and_costs_no_frame_once_there_is_space(
    small_disk: Path, tmp_path: Path
) -> None:
    command: list[str | Path] = [
        "--dir",
        small_disk / "D",
        "--port",
        str(free_port()),
        "--script",
        "3:press,8:reset,40:quit",
    ]
    demo = subprocess.Popen(spreekkamer("demo", *command), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        config_file = small_disk / "D" / "config.toml"
        until(config_file.exists, what="the folder")
        paths = load(config_file).paths

        def recorder() -> RecorderStatus | None:
            try:
                return decode(RecorderStatus, read_snapshot(paths.status_socket("recorder")))
            except OSError:
                return None

        until(lambda: (now := recorder()) is not None and now.ring.seconds > 2, what="listening")
        (paths.store / "clips.reserve").unlink()
        filler = fill(small_disk)

        def trouble() -> str | None:
            now = recorder()
            return next((fault.detail for fault in now.faults if fault.code == "vault-away"), None) if now else None

        assert "No space left" in eventually(trouble, what="the fault")
        until(lambda: (now := recorder()) is not None and now.clip is not None and now.clip.waiting_bytes > 0)
        told = decode(VaultStatus, read_snapshot(paths.status_socket("vault")))
        assert "low-space" in [fault.code for fault in told.faults]
        filler.unlink()
        until(lambda: (now := recorder()) is not None and now.clip is not None and now.clip.safe_ns is not None)
    finally:
        demo.terminate()
        out, err = demo.communicate(timeout=60)
    assert (demo.returncode, err) == (0, "")
    assert "clip-safe" in out
    (folder,) = evidence.folders(paths.store)
    manifest = evidence.record(folder, "manifest.json")
    assert (manifest["state"], manifest["facts"]["frames_dropped"]) == ("complete", 0)
    clip = evidence.opened_file(folder, small_disk / "D" / "keys" / "officer.key", tmp_path)
    assert evidence.breaks(evidence.numbers(clip)) == []
    assert evidence.numbers(clip)[0] == 0


def test_a_folder_may_have_any_name_that_is_text(tmp_path: Path) -> None:
    folder = tmp_path / "één 😀 'twee' \" \x7f D#[room]{port}\\n"
    result = tried(folder)
    assert (result.returncode, result.stderr) == (0, "")
    assert load(folder / "config.toml").paths.store == folder / "store"


def test_a_folder_whose_name_is_no_text_is_told_in_one_line_and_not_made(tmp_path: Path) -> None:
    assert "not UTF-8" in one_line(tried(tmp_path / os.fsdecode(b"latin-\xe9")), 1)
    assert list(tmp_path.iterdir()) == []


# --- port and key


def test_a_used_port_is_told_in_one_line_before_anything_is_made(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"port {port}" in one_line(tried(tmp_path / "D", "--port", str(port)), 1)
        assert not (tmp_path / "D").exists()
        room = Room(tmp_path / "R", tmp_path / "run", ROOM)
        room.change(r"(?<=\[page\]\nport = )\d+", str(port))
        assert f"port {port}" in one_line(ran("show", "--config", room.config_file), 1)


@pytest.mark.parametrize("content", [b"", b"AGE-SECRET-KEY-1NONSENSE\n", b"\xff\xfe\x00", b"# public key: age1\n"])
def test_a_key_that_cannot_be_read_is_told_and_nothing_is_touched(tmp_path: Path, content: bytes) -> None:
    folder = tmp_path / "D"
    prepare(folder=folder, run=tmp_path / "run", port=free_port(), retention_s=3600, video=ROOM)
    clip = folder / "store" / "clips" / "20261122T101502Z-k3f9"
    clip.mkdir(parents=True)
    (clip / "0000.age").write_bytes(b"an old clip")
    key = folder / "keys" / "officer.key"
    key.write_bytes(content)
    before = everything_in(folder)
    said = one_line(tried(folder), 1)
    assert "officer.key" in said
    assert "NONSENSE" not in said, "what might be a key is never printed"
    assert everything_in(folder) == before


def test_a_key_that_is_a_folder_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "D" / "keys" / "officer.key").mkdir(parents=True)
    assert "officer.key" in one_line(tried(tmp_path / "D"), 1)


# --- words


@pytest.mark.parametrize("script", ["press", "1:dance", "-1:press", "nan:press", "inf:quit", "1:press,x"])
def test_a_script_that_cannot_be_followed_is_told_and_nothing_is_made(tmp_path: Path, script: str) -> None:
    assert one_line(tried(tmp_path / "D", f"--script={script}"), 1).startswith("script: ")
    assert not (tmp_path / "D").exists()


@pytest.mark.parametrize("retention", ["soon", "60", "-5s", "1d", "0s", "5s", "29h30", "673h", "9" * 5000 + "s"])
def test_a_retention_that_cannot_be_kept_is_told_and_nothing_is_made(tmp_path: Path, retention: str) -> None:
    assert one_line(tried(tmp_path / "D", f"--retention={retention}"), 1).startswith("retention: ")
    assert not (tmp_path / "D").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["dance"],
        ["demo", "--port", "0"],
        ["demo", "--port", "http"],
        ["demo", "--colour"],
        ["guard"],
        ["clips"],
        ["clips", "list"],
        ["clips", "fetch", "--config", "x"],
        ["demo", "extra"],
    ],
)
def test_wrong_usage_ends_with_2(arguments: list[str]) -> None:
    result = ran(*arguments)
    assert result.returncode == 2
    assert "Usage:" in result.stdout + result.stderr
    assert "Traceback" not in result.stderr


# --- a vault that is away, a store that cannot be used


@pytest.mark.parametrize(
    "arguments",
    [
        ["list"],
        ["fetch", "20200101T000000Z-k3f9", "--to", "COPY"],
        ["hold", "20200101T000000Z-k3f9", "--days", "1", "--reason", "police-report", "--actor", "officer"],
        ["release", "20200101T000000Z-k3f9", "--actor", "officer"],
        ["outcome", "20200101T000000Z-k3f9", "--reason", "test", "--actor", "officer"],
        ["delete", "20200101T000000Z-k3f9", "--reason", "test", "--actor", "officer"],
    ],
)
def test_without_a_vault_a_request_is_told_so_in_one_line(tmp_path: Path, arguments: list[str]) -> None:
    room = Room(tmp_path / "D", tmp_path / "run", ROOM)
    arguments = [str(tmp_path / "copy") if word == "COPY" else word for word in arguments]
    said = one_line(ran("clips", *arguments, "--config", room.config_file), 1)
    assert "spreekkamer keep" in said
    assert not (tmp_path / "copy").exists()


def test_a_store_that_cannot_be_used_is_told_in_one_line(tmp_path: Path) -> None:
    room = Room(tmp_path / "D", tmp_path / "run", ROOM)
    (tmp_path / "D" / "store").write_text("mine")
    assert str(tmp_path / "D" / "store") in one_line(ran("keep", "--config", room.config_file), 1)
    assert (tmp_path / "D" / "store").read_text() == "mine"


def test_a_folder_of_sockets_whose_name_is_too_long_is_told_in_one_line(tmp_path: Path) -> None:
    room = Room(tmp_path / "D", tmp_path / ("r" * 100), ROOM)
    for command in ("record", "keep"):
        assert "107 bytes" in one_line(ran(command, "--config", room.config_file), 1)


def test_a_recording_that_vanishes_is_a_fault_of_the_room_and_no_crash(tmp_path: Path) -> None:
    shutil.copy(ROOM, tmp_path / "room.mp4")
    with memory_folder() as folder:
        room = Room(tmp_path / "D", folder / "run", tmp_path / "room.mp4", ring_s=3)
        with Four(room) as four:
            four.use("privacy", is_used=True)
            (tmp_path / "room.mp4").unlink()
            until(lambda: (now := room.recorder()) is not None and now.state.value == "private")
            four.use("privacy", is_used=False)

            def fault() -> str | None:
                now = room.recorder()
                return next((fault.detail for fault in now.faults if "room.mp4" in fault.detail), None) if now else None

            assert eventually(fault, what="the fault that names the recording")
            assert four.press().presses == 1, "the alarm works without a picture"
