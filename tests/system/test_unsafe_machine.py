"""R3 in real processes: on a machine that is not safe the recorder does not listen, says why, and the alarm works all the same."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from edge.status import RecorderState
from tests.machine.support import SWAPS
from tests.support.evidence import ROOM
from tests.support.processes import Four, Room, memory_folder, until

# What the recorder alone sees in place of the machine's own; $$ is its process.
UNSAFE: Final = {
    "/proc/swaps": SWAPS + "/dev/sda2    partition  1024  0  -2\n",
    "/proc/sys/kernel/core_pattern": "|/usr/lib/systemd/systemd-coredump %P\n",
    "/proc/$$/cgroup": "0::/system.slice/spreekkamer-record.service\n",
    "/sys/fs/cgroup/cgroup.controllers": "cpu\n",
}
CODES: Final = {"swap", "core-dumps", "memory-controller"}
# Outside a unit nobody asks for the memory controller, which a test's machine may lack.
SWAPPING: Final = {path: UNSAFE[path] for path in ("/proc/swaps", "/proc/sys/kernel/core_pattern")}
MENDED: Final = {"/proc/swaps": SWAPS, "/proc/sys/kernel/core_pattern": "core\n"}


def seeing(folder: Path, files: Mapping[str, str]) -> list[str]:
    """What starts a process for which these files of the kernel say something else."""
    become(folder, files)
    mounts = ["set -e"]
    for number, path in enumerate(files):
        mounts.append(f"test ! -e {path} || mount --bind {folder}/{number} {path}")
    return ["unshare", "--mount", "sh", "-c", "\n".join([*mounts, 'exec "$@"']), "sh"]


def become(folder: Path, files: Mapping[str, str]) -> None:
    """Have them say this, also to who sees them already."""
    for number, text in enumerate(files.values()):
        (folder / str(number)).write_text(text)


def a_room_with_a_camera(folder: Path, run: Path) -> Room:
    """Nobody listens to a real camera on an unsafe machine; this one is not there."""
    room = Room(folder / "D", run, ROOM)
    room.change(r'(?<=mode = )"in_ring"', '"off"')
    room.change(r'(?<=source = )"fixture:[^"]*"', '"v4l2:/dev/v4l/by-id/none"')
    return room


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may show a process another /proc")
def test_the_recorder_does_not_listen_and_says_why_while_the_button_calls_for_help(tmp_path: Path) -> None:
    with memory_folder() as folder:
        room = a_room_with_a_camera(tmp_path, folder / "run")
        four = Four(room, prefixes={"recorder": seeing(tmp_path, UNSAFE)})
        try:
            recorder = four.wait_state(RecorderState.FAULT)
            assert {fault.code for fault in recorder.faults} >= CODES
            assert {source.state for source in recorder.sources} == {"off"}, "the camera is not even opened"
            four.press()
            now = room.recorder()
            assert now is not None
            assert (now.state, now.ring.bytes, now.clip) == (RecorderState.FAULT, 0, None)
            until(
                lambda: (vault := room.vault()) is not None and vault.ledger.entries > 1, what="the press in the ledger"
            )
            assert list(room.clips.iterdir()) == []
        finally:
            four.__exit__()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may show a process another /proc")
def test_a_machine_that_is_mended_or_becomes_unsafe_is_judged_anew_without_anybodys_doing(tmp_path: Path) -> None:
    with memory_folder() as folder:
        room = a_room_with_a_camera(tmp_path, folder / "run")
        four = Four(room, prefixes={"recorder": seeing(tmp_path, SWAPPING)})

        def refuses() -> bool | None:
            now = room.recorder()
            return None if now is None else bool({fault.code for fault in now.faults} & CODES)

        try:
            until(lambda: refuses() is True, what="a recorder that refuses")
            become(tmp_path, MENDED)
            until(lambda: refuses() is False, what="a recorder that opens its camera")
            become(tmp_path, SWAPPING)
            until(lambda: refuses() is True, what="a recorder that has closed it")
        finally:
            four.__exit__()
