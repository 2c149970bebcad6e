"""A socket that systemd opened and passed on: taken when it is where the configuration says, refused elsewhere."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from edge.errors import BadConfig
from service.listener import agree, handed_over
from tests.service.test_access import room_file
from tests.support.processes import WARNINGS

# What systemd does between fork and exec: the sockets from 3 on, and whom they are for.
PASS_ON = """
import os, sys
for at, fd in enumerate(sys.argv[1].split(",")):
    os.dup2(int(fd), 3 + at)
os.environ |= {"LISTEN_FDS": str(at + 1), "LISTEN_PID": str(os.getpid()), "LISTEN_FDNAMES": "page"}
os.execv(sys.executable, [sys.executable, "-B", "-m", "edge", "show", "--config", sys.argv[2]])
"""


def started(config: Path, *sockets: socket.socket) -> subprocess.Popen[str]:
    numbers = [sock.fileno() for sock in sockets]
    return subprocess.Popen(
        [sys.executable, "-c", PASS_ON, ",".join(map(str, numbers)), str(config)],
        pass_fds=numbers,
        env=os.environ | {"PYTHONWARNINGS": WARNINGS},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def at(folder: Path, port: int) -> Path:
    return room_file(folder, f'port = {port}\n[paths]\nrun = "{folder}"')


def test_who_comes_before_the_page_is_there_is_answered_by_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as ours:
        port = ours.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port), timeout=30) as early:
            early.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            process = started(at(tmp_path, port), ours)
            try:
                assert early.recv(65536).startswith(b"HTTP/1.1 200 ")
                assert httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False).text == "ok\n"
            finally:
                process.terminate()
                said = process.communicate(timeout=30)
    assert said == (f"page http://127.0.0.1:{port}/\n", "")
    assert process.returncode == 0


def test_a_socket_that_listens_elsewhere_is_refused_because_others_could_read(tmp_path: Path) -> None:
    with socket.create_server(("0.0.0.0", 0)) as ours:
        port = ours.getsockname()[1]
        process = started(at(tmp_path, port), ours)
        try:
            out, err = process.communicate(timeout=30)
        finally:
            process.kill()
    assert (process.returncode, out) == (78, "")
    assert err == (
        f"the socket that systemd passed listens at 0.0.0.0 port {port}, page.bind and page.port say 127.0.0.1 "
        f"port {port}; make them the same\n"
    )


def test_what_is_not_one_listening_tcp_socket_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as deaf, socket.socket(type=socket.SOCK_DGRAM) as udp:
        for sock in (deaf, udp):
            sock.bind(("127.0.0.1", 0))
            with pytest.raises(BadConfig, match=r"^the socket that systemd passed does not listen for TCP"):
                agree(sock, *sock.getsockname())
    monkeypatch.setenv("LISTEN_FDS", "2")
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    with pytest.raises(BadConfig, match=r"^systemd passed 2 sockets; "):
        handed_over()


def test_sockets_for_another_process_are_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_FDS", "1")
    monkeypatch.setenv("LISTEN_PID", "1")
    assert handed_over() is None
    assert "LISTEN_FDS" not in os.environ, "no child of ours takes them for its own"
