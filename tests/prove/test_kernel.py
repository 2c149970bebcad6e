"""What the kernel says of a real process that is as the recorder should be, and of one that is not in one respect."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from edge.prove import kernel
from edge.prove.kernel import Process
from edge.recorder.memory import CHUNK
from tests.prove.stand_in import NOBODY
from tests.support.processes import free_port

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may drop what a unit drops, and see it")


@contextmanager
def standing_in(folder: Path, *spoiled: str) -> Iterator[int]:
    """A stand-in that is ready; its process."""
    file = folder / "file"
    file.touch(mode=0o666)
    command = [sys.executable, "-B", "-m", "tests.prove.stand_in", str(file), *spoiled]
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,  # not a file of pytest, which would be one open for writing
        cwd=Path(__file__).parents[2],
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield process.pid
        finally:
            process.kill()


def looked(folder: Path, *spoiled: str) -> Process:
    with standing_in(folder, *spoiled) as pid:
        found = kernel.look(pid)
        assert found is not None
        assert found.pid == pid
        return found


GOOD: Final[dict[str, Callable[[Process], object]]] = {
    "lock": lambda found: found.memory and (found.memory.ring, found.memory.ring_loose) == (CHUNK, 0),
    "dumpable": lambda found: found.is_dumpable is False,
    "capabilities": lambda found: found.rights and found.rights.capabilities == 0,
    "privileges": lambda found: found.rights and found.rights.has_no_new_privileges,
    "filter": lambda found: found.rights and found.rights.is_filtered,
    "account": lambda found: found.rights and found.rights.uid == NOBODY,
    "core": lambda found: found.rights and found.rights.core_limit == "0",
    "written": lambda found: found.write_bytes == 0,
    "file": lambda found: found.open and not found.open.writable,
    "socket": lambda found: found.sockets == {},
}


def test_a_process_that_is_as_it_should_be_shows_it(tmp_path: Path) -> None:
    found = looked(tmp_path)
    assert [name for name, is_good in GOOD.items() if not is_good(found)] == []
    assert found.memory is not None
    assert found.memory.locked > found.memory.ring
    assert found.memory.swapped == 0
    assert found.open is not None
    assert str(tmp_path / "file") in found.open.paths
    assert found.open.kinds["file"] == 1


@pytest.mark.parametrize("spoiled", GOOD)
def test_each_respect_in_which_it_is_not_shows_and_no_other(tmp_path: Path, spoiled: str) -> None:
    found = looked(tmp_path, spoiled)
    # Of a process of root, dumpable or not, the kernel shows no owner that tells: then it is not seen.
    also = {"account": {"dumpable", "capabilities"}}.get(spoiled, set())
    assert {name for name, is_good in GOOD.items() if not is_good(found)} - also == {spoiled}
    if spoiled == "account":
        assert found.is_dumpable is None


def test_its_network_is_its_own(tmp_path: Path) -> None:
    first = Path("/proc/1/ns/net")
    try:
        first.readlink()
    except OSError:
        with standing_in(tmp_path) as pid:
            found = kernel.look(pid)
        assert found is not None
        assert found.own_spaces is None, "what cannot be compared is not seen"
        return
    assert "net" in (looked(tmp_path).own_spaces or ())
    assert "net" not in (looked(tmp_path, "network").own_spaces or ())


def test_who_is_not_root_sees_nothing_that_is_root_s_alone_and_is_told_so(tmp_path: Path) -> None:
    with standing_in(tmp_path) as pid:
        os.seteuid(NOBODY)
        try:
            found = kernel.look(pid)
        finally:
            os.seteuid(0)
    assert found is not None
    assert (found.memory, found.write_bytes, found.open, found.sockets, found.own_spaces) == (None,) * 5


def test_a_process_that_is_gone_is_none() -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    assert kernel.look(process.pid) is None


def test_who_listens_at_a_port_is_found() -> None:
    port = free_port()
    assert kernel.holder_of(port) is None
    with socket.create_server(("127.0.0.1", port)):
        assert kernel.holder_of(port) == os.getpid()


def test_a_disk_that_is_mounted_read_only_for_a_process_is_none_of_its_writable_ones(tmp_path: Path) -> None:
    wait = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && echo ready && sleep 60'
    here = ["sh", "-c", wait.partition(" && mount -o")[0] + " && echo ready && sleep 60", "sh", str(tmp_path)]
    for command, is_writable in ((here, True), (["sh", "-c", wait, "sh", str(tmp_path)], False)):
        with subprocess.Popen(["unshare", "--mount", *command], stdout=subprocess.PIPE) as process:
            try:
                assert process.stdout is not None
                assert process.stdout.readline() == b"ready\n"
                found = kernel.look(process.pid)
                assert found is not None
                assert found.writable_disks is not None
                assert (str(tmp_path) in found.writable_disks) is is_writable
            finally:
                process.kill()
