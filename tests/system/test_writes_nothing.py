"""What the kernel saw: the recorder writes to no file, nobody opens what is not theirs, and privacy leaves zeros."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import av
import pytest

import edge
from edge.clock import SECOND
from edge.status import RecorderState
from tests.support.evidence import ROOM
from tests.support.processes import CLOCK, Four, Room, memory_folder, until

# Every call by which bytes can reach a file, a file can come to be, or its name can change.
_WRITES: Final = (
    "write,writev,pwrite64,pwritev,pwritev2,sendfile,splice,tee,vmsplice,copy_file_range,truncate,ftruncate,fallocate,"
    "rename,renameat,renameat2,link,linkat,symlink,symlinkat,io_uring_setup,io_setup,io_submit,memfd_create,mmap"
)
_OPENS: Final = "open,openat,openat2,creat"
_CALL: Final = re.compile(r"^\d+ +(\w+)\((.*)$")
_OWN_DEVICES: Final = ("/dev/null", "/dev/urandom", "/dev/random")


def is_traceable() -> bool:
    """Whether strace may follow a process here; containers often forbid it."""
    return subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, check=False).returncode == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Traces:
    """What strace saw of each process from its start to its end, through listening, press, privacy and close."""

    calls: dict[str, list[tuple[str, str]]]  # by process: name of the call, the rest of its line
    room: Room
    write_bytes: int  # of /proc/PID/io, at the end
    told_write_bytes: int  # of the recorder's own status

    def opened(self, name: str) -> set[str]:
        """The paths that a process opened, or tried to."""
        found: set[str] = set()
        for call, rest in self.calls[name]:
            if call in _OPENS.split(",") and (path := re.search(r'"([^"]*)"', rest)):
                found.add(path[1])
        return found


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traces]:
    if not is_traceable():
        pytest.skip("strace may not trace here")
    root = tmp_path_factory.mktemp("traced")
    with memory_folder() as folder:
        room = Room(root / "D", folder / "run", ROOM, ring_s=3)
        names = ("recorder", "vault", "service")
        # In RAM: strace makes its file in the very process that it then follows, and that would be a write of its own.
        log = folder / "strace"
        log.mkdir()
        prefixes = {
            # -D: the process is our child and strace its grandchild, so that signals and process ids are its own.
            name: [
                "strace",
                "-D",
                "-f",
                "-y",
                "-qq",
                "-s",
                "300",
                "-e",
                f"trace={_WRITES},{_OPENS}",
                "-o",
                str(log / name),
            ]
            for name in names
        }
        with Four(room, prefixes=prefixes) as four:
            four.wait_ring(1.0)
            incident = four.press()
            until(lambda: CLOCK.boot_ns() - incident.pressed_ns > 2 * SECOND, every_s=0.05)
            four.reset()
            four.wait_safe(incident.id)
            four.wait_listening()
            four.use("privacy", is_used=True)
            told = four.wait_state(RecorderState.PRIVATE).write_bytes
            counted = write_bytes(four.pid("recorder"))
        yield Traces(
            calls={name: read_trace(log / name) for name in names},
            room=room,
            write_bytes=counted,
            told_write_bytes=told,
        )


def read_trace(path: Path) -> list[tuple[str, str]]:
    found = (_CALL.match(line) for line in path.read_text("utf-8", "replace").splitlines())
    return [(call[1], call[2]) for call in found if call]


def write_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/io").read_text("ascii").splitlines()
    (line,) = (line for line in lines if line.startswith("write_bytes:"))
    return int(line.split()[1])


# --- the one that listens cannot write


def test_the_recorder_writes_only_to_sockets_and_pipes(traces: Traces) -> None:
    calls = traces.calls["recorder"]
    writes = [(call, rest) for call, rest in calls if call in _WRITES.split(",") and call != "mmap"]
    to_files = [line for line in writes if not re.match(r"\d+<(socket|pipe|UNIX|anon_inode):", line[1])]
    assert to_files == []
    assert len(calls) > 100, "strace saw the process at all"


def test_the_recorder_opens_no_file_for_writing_and_maps_none_writably(traces: Traces) -> None:
    calls = traces.calls["recorder"]
    opened = [line for line in calls if line[0] in _OPENS.split(",") and re.search(r"O_WRONLY|O_RDWR|O_CREAT", line[1])]
    assert [line for line in opened if '"/dev/null"' not in line[1]] == []
    mapped = [rest for call, rest in calls if call == "mmap" and "MAP_SHARED" in rest and "PROT_WRITE" in rest]
    assert [rest for rest in mapped if "MAP_ANONYMOUS" not in rest] == []


def test_the_recorder_loads_no_program_once_its_camera_is_open(traces: Traces) -> None:
    """Reading a file for the first time may write its access time, which would show as bytes written while listening."""
    opened = [rest for call, rest in traces.calls["recorder"] if call in _OPENS.split(",")]
    # A recording is read once while its recorder starts, so that its own access time is written by then; then it is opened.
    _, camera, *_ = (number for number, rest in enumerate(opened) if f'"{ROOM}"' in rest)
    loaded = [rest for rest in opened[camera:] if re.search(r'\.(py|pyc|so[.0-9]*)"', rest) and "ENOENT" not in rest]
    assert loaded == []


def test_the_recorder_sets_up_no_ring_of_calls_that_strace_cannot_see(traces: Traces) -> None:
    assert {call for call, _ in traces.calls["recorder"]} & {"io_uring_setup", "io_setup", "memfd_create"} == set()


def test_not_one_byte_of_the_recorder_reached_storage(traces: Traces) -> None:
    assert traces.write_bytes == 0
    assert traces.told_write_bytes == 0


# --- nobody reaches what is not theirs


def test_the_recorder_opens_no_key_and_nothing_of_the_store(traces: Traces) -> None:
    theirs = (str(traces.room.place.key.parent), str(traces.room.config.paths.store))
    assert [path for path in traces.opened("recorder") if path.startswith(theirs) or path.endswith(".key")] == []


def test_the_vault_opens_no_decryption_key_and_no_device(traces: Traces) -> None:
    opened = traces.opened("vault")
    assert str(traces.room.config.paths.store / "device.key") in opened, "its signing key, which opens nothing"
    assert [path for path in opened if path.startswith(str(traces.room.place.key.parent))] == []
    assert [path for path in opened if path.endswith(".key") and not path.endswith("/device.key")] == []
    assert devices(opened, traces.room) == set()


def test_the_page_opens_nothing_of_the_store_and_no_device(traces: Traces) -> None:
    opened = traces.opened("service")
    assert [path for path in opened if path.startswith(str(traces.room.config.paths.store))] == []
    assert devices(opened, traces.room) == set()


def devices(opened: set[str], room: Room) -> set[str]:
    """Devices among the paths; /dev/shm holds the sockets."""
    return {path for path in opened if path.startswith("/dev/") and path not in _OWN_DEVICES} - {
        path for path in opened if path.startswith(str(room.config.paths.run.parent))
    }


@pytest.mark.parametrize(
    ("process", "never"),
    [
        ("edge.panel.process", {"av", "cv2", "numpy", "sounddevice", "pyrage", "sqlite3", "cryptography", "fastapi"}),
        # A USB camera and a microphone need numpy; it starts a thread of its own and takes as long as all the rest.
        ("edge.recorder.process", {"numpy", "sqlite3", "cryptography", "gpiozero", "fastapi", "edge.durable"}),
        ("edge.vault.process", {"av", "cv2", "numpy", "sounddevice", "pyrage", "gpiozero", "fastapi"}),
        ("service.process", {"av", "cv2", "numpy", "sounddevice", "pyrage", "gpiozero", "sqlite3", "edge.durable"}),
    ],
)
def test_a_process_has_nothing_loaded_that_it_may_not_use(process: str, never: set[str]) -> None:
    program = f"import sys, edge.cli, {process}; print(*sys.modules)"
    loaded = set(
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    )
    assert process in loaded
    assert loaded & never == set()
    theirs = {name for name in ("edge.panel", "edge.recorder", "edge.vault", "edge.desk", "service") if name in loaded}
    assert theirs == {process.rpartition(".")[0]}


# --- what privacy leaves


def test_after_privacy_the_ring_s_memory_holds_only_zeros(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may read another process's memory, and the recorder's not even its owner")
    known = known_windows()
    with memory_folder() as folder:
        room = Room(tmp_path / "D", folder / "run", ROOM, ring_s=10)
        with Four(room) as four:
            four.wait_ring(2.5)
            before = frozen_ring(four.pid("recorder"))
            assert any(before.strip(b"\0")), "footage was held"
            assert [window in before for window in known] == [True] * len(known), "it is the footage that was played"
            four.use("privacy", is_used=True)
            recorder = four.wait_state(RecorderState.PRIVATE)
            assert recorder.ring.is_wiped
            after = frozen_ring(four.pid("recorder"))
            assert len(after) >= 1 << 20, "memory is kept for the next time, and was looked at"
            assert not any(after)
            assert [window for window in known if window in after] == []


def known_windows() -> list[bytes]:
    """64 bytes out of the first slice of each of the recording's first pictures, as they are encoded."""
    with av.open(str(ROOM)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size > 400]
    return [packet[100:164] for packet in packets[1:11]]


def frozen_ring(pid: int) -> bytes:
    """The recorder's ring while it stands still: its mappings that a child would see as zeros (`wf`)."""
    os.kill(pid, signal.SIGSTOP)
    try:
        until(lambda: Path(f"/proc/{pid}/stat").read_text("ascii").split()[2] == "T", what="the stop")
        return b"".join(ring_memory(pid))
    finally:
        os.kill(pid, signal.SIGCONT)


def ring_memory(pid: int) -> Iterator[bytes]:
    start = end = 0
    with Path(f"/proc/{pid}/smaps").open(encoding="utf-8") as smaps, Path(f"/proc/{pid}/mem").open("rb", 0) as memory:
        for line in smaps:
            if mapping := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line):
                start, end = int(mapping[1], 16), int(mapping[2], 16)
            elif line.startswith("VmFlags:") and "wf" in line.split():
                memory.seek(start)
                yield memory.read(end - start)


def test_reading_its_own_program_for_the_first_time_is_not_told_as_writing(tmp_path: Path) -> None:
    """A file system that notes access times writes them on behalf of the reader, and the kernel counts that as its bytes."""
    for package in (edge, av):
        for path in Path(str(package.__file__)).parent.rglob("*"):
            os.utime(path, (1, path.stat().st_mtime))  # as if nobody had read it yet
    os.sync()  # what is waiting to be written anyhow is counted nobody's a second time
    with memory_folder() as folder:
        room = Room(tmp_path / "D", folder / "run", ROOM, ring_s=3)
        with Four(room):
            until(lambda: (now := room.recorder()) is not None and now.ring.seconds > 1, what="listening")
            now = room.recorder()
            assert now is not None
            assert now.write_bytes == 0
