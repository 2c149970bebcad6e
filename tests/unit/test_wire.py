"""Frames and sockets between processes: limits, halves, peers that vanish, and a snapshot socket that nobody can block."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import struct
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import BadMessage, Refused
from edge.status import SNAPSHOT_LIMIT
from edge.wire import (
    JSON_LIMIT,
    PAYLOAD_LIMIT,
    SnapshotSocket,
    connect,
    listen,
    peer_uid,
    read_snapshot,
    receive_frame,
    send_frame,
)
from tests.support.processes import memory_folder

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    one, other = socket.socketpair()
    with one, other:
        one.settimeout(5)
        other.settimeout(5)
        yield one, other


@pytest.fixture
def short() -> Iterator[Path]:
    with memory_folder() as folder:
        yield folder


def received(sock: socket.socket) -> tuple[bytes, bytes] | None:
    frame = receive_frame(sock)
    return None if frame is None else (frame[0], bytes(frame[1]))


def header(json_bytes: int, payload_bytes: int) -> bytes:
    return struct.pack(">II", json_bytes, payload_bytes)


# --- frames


@given(frames=st.lists(st.tuples(st.binary(max_size=300), st.binary(max_size=5000)), max_size=5))
def test_frames_arrive_whole_and_in_their_order(frames: list[tuple[bytes, bytes]]) -> None:
    one, other = socket.socketpair()
    with one, other:
        for json, payload in frames:
            send_frame(one, json, payload)
        one.shutdown(socket.SHUT_WR)
        assert [received(other) for _ in frames] == frames
        assert received(other) is None


def test_a_frame_larger_than_the_socket_s_buffer_arrives_whole(pair: Pair) -> None:
    payload = os.urandom(3 << 20)
    sender = threading.Thread(target=send_frame, args=(pair[0], b"{}", memoryview(payload)))
    sender.start()
    assert received(pair[1]) == (b"{}", payload)
    sender.join()


def test_a_frame_that_comes_byte_by_byte_arrives_whole(pair: Pair) -> None:
    def drip() -> None:
        for byte in header(2, 3) + b"{}abc":
            pair[0].send(bytes([byte]))

    sender = threading.Thread(target=drip)
    sender.start()
    assert received(pair[1]) == (b"{}", b"abc")
    sender.join()


@pytest.mark.parametrize("cut_at", [1, 7, 8, 9, 10, 12])
def test_an_end_in_the_middle_of_a_frame_is_told(pair: Pair, cut_at: int) -> None:
    pair[0].sendall((header(2, 3) + b"{}abc")[:cut_at])
    pair[0].close()
    with pytest.raises(BadMessage, match="in the middle"):
        receive_frame(pair[1])


@pytest.mark.parametrize("lengths", [(JSON_LIMIT + 1, 0), (0, PAYLOAD_LIMIT + 1), (0xFFFFFFFF, 0xFFFFFFFF)])
def test_lengths_beyond_the_limits_are_refused_before_a_byte_of_them_is_read(
    pair: Pair, lengths: tuple[int, int]
) -> None:
    pair[0].sendall(header(*lengths) + b"x" * 100)
    with pytest.raises(BadMessage, match="over the limit"):
        receive_frame(pair[1])
    assert pair[1].recv(200) == b"x" * 100


def test_the_largest_json_allowed_passes(pair: Pair) -> None:
    largest = b" " * JSON_LIMIT
    sender = threading.Thread(target=send_frame, args=(pair[0], largest))
    sender.start()
    assert received(pair[1]) == (largest, b"")
    sender.join()


def test_who_does_not_speak_in_time_is_told_apart_from_who_hung_up(pair: Pair) -> None:
    pair[1].settimeout(0.01)
    pair[0].sendall(header(2, 0) + b"{")
    with pytest.raises(TimeoutError):
        receive_frame(pair[1])


# --- sockets


def test_a_path_of_107_bytes_is_a_socket_and_one_more_is_refused(short: Path) -> None:
    fits = short / ("s" * (107 - len(str(short)) - 1))
    with listen(fits), connect(fits, patience_s=1):
        pass
    with pytest.raises(Refused, match=r"107 bytes.*shorter paths\.run"):
        listen(fits.with_name(fits.name + "s"))
    counted_in_bytes = short / ("é" * ((107 - len(str(short)) - 1) // 2 + 1))
    with pytest.raises(Refused, match="107 bytes"):
        listen(counted_in_bytes)


def test_a_socket_file_of_a_dead_process_is_replaced(short: Path) -> None:
    listen(short / "s").close()
    with listen(short / "s"), connect(short / "s", patience_s=1):
        pass


def test_only_owner_and_group_may_connect_at_no_moment_anybody_else(short: Path) -> None:
    with listen(short / "s"):
        assert stat.S_IMODE((short / "s").stat().st_mode) == 0o660
    with listen(short / "t", mode=0o600):
        assert stat.S_IMODE((short / "t").stat().st_mode) == 0o600


def test_a_folder_that_is_missing_is_made_for_owner_and_group_alone(short: Path) -> None:
    with listen(short / "run" / "panel" / "s"), connect(short / "run" / "panel" / "s", patience_s=1):
        assert stat.S_IMODE((short / "run" / "panel").stat().st_mode) & 0o007 == 0


def test_a_socket_in_a_folder_of_a_group_belongs_to_that_group(short: Path) -> None:
    (short / "folder").mkdir()
    group = 4711 if os.geteuid() == 0 else os.getgroups()[-1]
    os.chown(short / "folder", -1, group)
    (short / "folder").chmod(0o2750)
    with listen(short / "folder" / "s"):
        found = (short / "folder" / "s").stat()
    assert (found.st_gid, stat.S_IMODE(found.st_mode)) == (group, 0o660)


def test_a_folder_that_cannot_be_made_or_one_in_the_way_is_refused_in_one_line(short: Path) -> None:
    (short / "folder").mkdir()
    (short / "file").touch()
    for path in (short / "file" / "s", short / "folder"):
        with pytest.raises(Refused, match=r"cannot open this socket: .*; check paths\.run"):
            listen(path)


def test_nobody_at_the_other_end_is_an_os_error(short: Path) -> None:
    with pytest.raises(FileNotFoundError):
        connect(short / "s", patience_s=1)
    listen(short / "s").close()
    with pytest.raises(ConnectionRefusedError):
        connect(short / "s", patience_s=1)


def test_the_kernel_says_who_is_at_the_other_end(short: Path) -> None:
    with listen(short / "s") as server, connect(short / "s", patience_s=1):
        client, _ = server.accept()
        with client:
            assert peer_uid(client) == os.getuid()


# --- snapshots


def test_each_who_connects_gets_one_whole_snapshot_of_that_moment(short: Path) -> None:
    count = iter(range(100))
    with SnapshotSocket(short / "s", lambda: b"%d" % next(count)):
        assert [read_snapshot(short / "s") for _ in range(3)] == [b"0", b"1", b"2"]
    assert not (short / "s").exists()


def test_a_snapshot_at_the_limit_passes_and_one_beyond_it_is_refused_by_its_reader(short: Path) -> None:
    with SnapshotSocket(short / "s", lambda: b"x" * SNAPSHOT_LIMIT):
        assert len(read_snapshot(short / "s")) == SNAPSHOT_LIMIT
    with (
        SnapshotSocket(short / "t", lambda: b"x" * (SNAPSHOT_LIMIT + 1)),
        pytest.raises(BadMessage, match="over 65536 bytes"),
    ):
        read_snapshot(short / "t")


def test_a_client_that_takes_nothing_is_dropped_and_the_next_one_is_served(short: Path) -> None:
    # More than a Unix socket's buffer holds, so that the one who does not read blocks its server.
    with (
        SnapshotSocket(short / "s", lambda: b"x" * (4 << 20)),
        connect(short / "s", patience_s=5) as idle,
        closing(connect(short / "s", patience_s=5)) as next_one,
    ):
        got = sum(iter(lambda: len(next_one.recv(1 << 20)), 0))
        assert got == 4 << 20
        assert sum(iter(lambda: len(idle.recv(1 << 20)), 0)) < 4 << 20, "it was cut off"


def test_clients_that_vanish_cost_the_next_one_nothing(short: Path) -> None:
    with SnapshotSocket(short / "s", lambda: b"x" * 60_000):
        for _ in range(50):
            connect(short / "s", patience_s=1).close()
        assert len(read_snapshot(short / "s")) == 60_000


def test_a_client_that_speaks_is_not_heard_and_costs_the_next_one_nothing(short: Path) -> None:
    with SnapshotSocket(short / "s", lambda: b"ok"):
        for _ in range(20):
            with connect(short / "s", patience_s=1) as client, contextlib.suppress(ConnectionError):
                client.sendall(b"x" * 100_000)
        assert read_snapshot(short / "s") == b"ok"


def test_who_finds_the_queue_full_waits_for_a_place_and_gives_up_in_time(short: Path) -> None:
    with listen(short / "s", backlog=0) as server, connect(short / "s", patience_s=1):
        with pytest.raises(TimeoutError, match="busy"):
            connect(short / "s", patience_s=0.05)

        def take_one() -> None:
            server.accept()[0].close()

        opener = threading.Timer(0.05, take_one)
        opener.start()
        connect(short / "s", patience_s=5).close()
        opener.join()


def test_a_socket_may_be_closed_twice_and_its_thread_is_gone(short: Path) -> None:
    before = threading.active_count()
    served = SnapshotSocket(short / "s", lambda: b"ok")
    served.close()
    served.close()
    assert threading.active_count() == before
    with pytest.raises(FileNotFoundError):
        read_snapshot(short / "s")


def test_a_reader_gives_up_on_a_process_that_hangs(short: Path) -> None:
    with listen(short / "s"), pytest.raises(TimeoutError):
        read_snapshot(short / "s", patience_s=0.05)


def test_a_snapshot_that_fails_once_costs_the_next_reader_nothing(short: Path) -> None:
    answers: Iterator[bytes | OSError] = iter([OSError("/proc is gone"), b"ok"])

    def snapshot() -> bytes:
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        return answer

    with SnapshotSocket(short / "s", snapshot):
        assert read_snapshot(short / "s") == b""
        assert read_snapshot(short / "s") == b"ok"
