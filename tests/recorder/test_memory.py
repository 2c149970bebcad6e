"""The ring's memory cannot reach a disk, a core dump or a child process."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest

from edge.machine.memory import can_lock
from edge.recorder.memory import CHUNK, Chunk


def address_of(chunk: Chunk) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(chunk.view))


def flags_of(chunk: Chunk) -> set[str]:
    """What the kernel says about the mapping that `chunk` lies in."""
    at, inside = address_of(chunk), False
    for line in Path("/proc/self/smaps").read_text("ascii").splitlines():
        words = line.split()
        if "-" in words[0] and not words[0].endswith(":"):
            start, end = (int(number, 16) for number in words[0].split("-"))
            inside = start <= at < end
        elif inside and words[0] == "VmFlags:":
            return set(words[1:])
    raise AssertionError("no such mapping")


def test_a_chunk_is_locked_left_out_of_core_dumps_and_wiped_in_children() -> None:
    chunk = Chunk()
    flags = flags_of(chunk)
    assert {"wf", "dd"} <= flags
    assert "sh" not in flags  # a shared mapping would outlive a fork with its bytes
    if can_lock(CHUNK):
        assert "lo" in flags
        assert chunk.is_locked
    chunk.close()


def test_a_forked_child_sees_only_zeros() -> None:
    # In a process of its own: this one has threads, and a fork of it would be no fair test.
    script = (
        "import os\n"
        "from edge.recorder.memory import Chunk\n"
        "chunk = Chunk()\n"
        "chunk.view[:7] = b'footage'\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    os._exit(0 if bytes(chunk.view[:7]) == bytes(7) else 1)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, 'the child sees footage'\n"
        "assert bytes(chunk.view[:7]) == b'footage'\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("start", "end"), [(0, None), (1, CHUNK - 1), (70_000, 70_001), (5, 5)])
def test_a_wipe_zeroes_what_it_was_told_and_nothing_else(start: int, end: int | None) -> None:
    chunk = Chunk()
    chunk.view[:] = b"\xff" * CHUNK
    chunk.wipe(start, end)
    stop = CHUNK if end is None else end
    assert bytes(chunk.view) == b"\xff" * start + bytes(stop - start) + b"\xff" * (CHUNK - stop)
    assert chunk.is_zero() == (start == 0 and end is None)
    chunk.close()


def test_memory_is_zero_when_it_is_given_back_and_closing_twice_is_harmless(monkeypatch: pytest.MonkeyPatch) -> None:
    chunk, wiped = Chunk(), []
    chunk.view[:] = b"\xff" * CHUNK
    wipe = Chunk.wipe

    def watched(self: Chunk, start: int = 0, end: int | None = None) -> None:
        wipe(self, start, end)
        wiped.append(self.is_zero())

    monkeypatch.setattr(Chunk, "wipe", watched)
    chunk.close()
    chunk.close()
    assert wiped == [True]


# What a clip leaves behind between pieces that are still in use: the kernel takes no page of it while it is locked.
PASSED = """
import ctypes, sys, threading
from pathlib import Path
from edge.recorder.memory import Heap

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
heap = Heap()
if "locked" in sys.argv:
    assert heap.lock()

def kib(line):
    return int(next(row for row in Path("/proc/self/status").read_text().splitlines() if row.startswith(line)).split()[1])

def clip():
    before = kib("VmRSS")
    pieces = [libc.malloc(100_000) for _ in range(300)]
    for piece in pieces:
        ctypes.memset(piece, 7, 100_000)
    for number, piece in enumerate(pieces):
        if number % 5:
            libc.free(piece)
    held = kib("VmRSS") - before
    heap.give_back()
    print(held, kib("VmRSS") - before, kib("VmLck"))

thread = threading.Thread(target=clip)  # as in the recorder: memory of a thread is another part of the heap
thread.start()
thread.join()
"""


@pytest.mark.parametrize("is_locked", [False, True])
def test_what_passed_through_is_given_back_also_by_a_locked_process(is_locked: bool) -> None:
    if is_locked and not can_lock(1 << 30):
        pytest.skip("this user may not lock so much memory")
    command = [sys.executable, "-c", PASSED, *(["locked"] if is_locked else [])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    held_kib, left_kib, locked_kib = map(int, done.stdout.split())
    assert held_kib > 28_000, "it was there"
    assert left_kib < held_kib / 3
    assert (locked_kib > 10_000) is is_locked, "it is locked again"
