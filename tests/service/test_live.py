"""The live page: what its readers are told, and that neither their number nor their slowness costs the room anything."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from edge.status import RecorderState
from service import live as live_module
from service import process
from service.live import SEATS, WAITING, Live
from service.rooms import RoomStatus
from tests.service.test_app import House, calm, house  # noqa: F401 - fixtures
from tests.service.test_rooms import room


@contextlib.contextmanager
def reading(house: House, path: str, *, buffer: int | None = None) -> Iterator[socket.socket]:  # noqa: F811
    with socket.socket() as sock:
        if buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        sock.settimeout(15)
        sock.connect(("127.0.0.1", house.config.page.port))
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        yield sock


def until(sock: socket.socket, text: bytes) -> bytes:
    """What comes, up to and with `text`; an error when the stream ends before."""
    got = b""
    while text not in got:
        more = sock.recv(65536)
        assert more, f"ended before {text!r}: {got[-300:]!r}"
        got += more
    return got


def test_the_api_tells_the_whole_status_and_then_each_change(house: House) -> None:  # noqa: F811
    house.in_order()
    with reading(house, "/api/v1/events") as sock:
        first = until(sock, b"event: beat")
        assert b"content-type: text/event-stream" in first
        data = next(line for line in first.split(b"\n") if line.startswith(b"data: {"))
        assert json.loads(data.removeprefix(b"data: "))["state"] == "listening"
        house.say("recorder", lambda now_ns: replace(_recorder(now_ns), state=RecorderState.RECORDING))
        assert b'"state":"recording"' in until(sock, b'"recording"')


def _recorder(now_ns: int) -> Any:
    from tests.service import saying

    return saying.recorder(now_ns)


def test_the_page_is_told_only_what_changed_in_its_language(house: House) -> None:  # noqa: F811
    house.in_order()
    with reading(house, "/live?lang=en") as sock:
        first = until(sock, b"event: beat")
        assert b"event: tone\ndata: good" in first
        assert b"Ready" in first
        assert b"event: ring" in first
        until(sock, b"event: beat")  # a calm second
        house.say("recorder", lambda now_ns: replace(_recorder(now_ns), state=RecorderState.RECORDING))
        changed = until(sock, b"event: tone\ndata: recording")
        changed += until(sock, b"event: beat")
        assert b"Recording" in changed
        assert b"event: ring" not in changed
        assert b"event: storage" not in changed


def test_the_201st_reader_gets_one_line_and_the_room_is_asked_by_one(house: House) -> None:  # noqa: F811
    house.in_order()
    with contextlib.ExitStack() as stack:
        readers = [stack.enter_context(reading(house, f"/live?lang={'ne'[i % 2]}{'ln'[i % 2]}")) for i in range(SEATS)]
        for sock in readers:
            until(sock, b"event: beat")
        before, began = dict(house.asked), time.monotonic()
        with reading(house, "/api/v1/events") as late:
            assert late.recv(12) == b"HTTP/1.1 503"
            assert until(late, b"again later.\n").count(b"\n\n") == 0
        assert house.client.get("/api/v1/status").status_code == 200, "the page itself is still served"
        for sock in readers:
            until(sock, b"event: beat")
        allowed = (time.monotonic() - began) * 4 + 2
        assert all(0 < count - before[name] <= allowed for name, count in house.asked.items())
        readers[0].close()
        live_is_free = time.monotonic() + 10
        while True:
            with reading(house, "/live") as again:
                if again.recv(12) == b"HTTP/1.1 200":
                    break
            assert time.monotonic() < live_is_free, "the seat was not given back"


def test_who_does_not_take_what_it_asked_for_is_cut_off(house: House, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setattr(process, "_PATIENCE_S", 0.3)
    monkeypatch.setattr(live_module, "EVERY_S", 0.001)
    house.in_order()
    number = iter(range(10**9))
    # Much changes at each look, so that the buffers fill in no time.
    house.say(
        "recorder",
        lambda now_ns: replace(_recorder(now_ns), warnings=tuple(f"{next(number)} " * 50 for _ in range(60))),
    )
    with reading(house, "/api/v1/events", buffer=4096) as slow, reading(house, "/api/v1/events") as quick:
        until(quick, b"event: beat")
        live = house_live(house)
        deadline = time.monotonic() + 15
        while live.watching > 1:
            until(quick, b"event: beat")
            assert time.monotonic() < deadline, "the slow reader still has its seat"
        while connections() > 1:  # the page's own side of it; what the kernel had taken may still be on its way
            until(quick, b"event: beat")
            assert time.monotonic() < deadline, "the connection of the slow reader is still there"
        slow.close()


def connections() -> int:
    """How many the server holds, which runs in this process."""
    import gc

    [held] = {
        id(one.connections): one.connections for one in gc.get_objects() if isinstance(one, process._Connection)
    }.values()
    return len(held)


def house_live(house: House) -> Live[Any]:  # noqa: F811
    """The page's `Live`, found among what lives: the server runs in this process."""
    import gc

    found = [thing for thing in gc.get_objects() if isinstance(thing, Live) and thing.watching]
    assert len(found) == 1
    return found[0]


def test_who_asks_for_nothing_is_cut_off(house: House, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setattr(process, "_PATIENCE_S", 0.2)
    with socket.create_connection(("127.0.0.1", house.config.page.port), timeout=10) as sock:
        assert not sock.recv(1)
    with socket.create_connection(("127.0.0.1", house.config.page.port), timeout=10) as sock:
        sock.sendall(b"GET / HT")
        with contextlib.suppress(ConnectionResetError):
            assert sock.recv(1) == b""
    with socket.create_connection(("127.0.0.1", house.config.page.port), timeout=10) as sock:
        sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        until(sock, b"ok\n")
        sock.sendall(b"GET / HT")  # the second request of a connection is no better
        with contextlib.suppress(ConnectionResetError):
            assert sock.recv(1) == b""


def test_huge_headers_are_refused_and_the_page_goes_on(calm: House) -> None:  # noqa: F811
    with socket.create_connection(("127.0.0.1", calm.config.page.port), timeout=10) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Huge: ")
        with contextlib.suppress(ConnectionError):
            for _ in range(64):
                sock.sendall(b"x" * 65536)
        with contextlib.suppress(ConnectionError):
            assert sock.recv(65536).startswith(b"HTTP/1.1 400 ")
    assert calm.client.get("/healthz").text == "ok\n"


@pytest.mark.parametrize("path", ["/live", "/api/v1/events"])
def test_head_of_a_stream_has_an_end(calm: House, path: str) -> None:  # noqa: F811
    answer = calm.client.head(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")


# The seats, without a server.


def test_nobody_watches_nobody_looks() -> None:
    looks = 0

    async def look() -> RoomStatus:
        nonlocal looks
        looks += 1
        return room()

    async def story() -> None:
        live = Live(look, {"api": lambda status: {"state": status.state.value}})
        await asyncio.sleep(0)
        assert looks == 0
        seat = live._sit("api")
        assert seat is not None
        assert await seat.waiting.get() == "event: state\ndata: listening\n\nevent: beat\ndata: ·\n\n".encode()
        live._leave(seat)
        assert live._looking is None

    asyncio.run(story())


def test_who_is_too_far_behind_gets_the_end() -> None:
    async def look() -> RoomStatus:
        return room()

    async def story() -> None:
        live = Live(look, {"api": lambda status: {"state": "x"}})
        seat = live._sit("api")
        assert seat is not None
        for _ in range(WAITING + 1):
            live._tell(room())
        assert live.watching == 0
        assert seat.waiting.get_nowait() is None
        live._leave(seat)

    asyncio.run(story())


def test_a_look_that_fails_ends_the_streams_so_that_they_begin_anew(caplog: pytest.LogCaptureFixture) -> None:
    async def look() -> RoomStatus:
        raise RuntimeError("broken")

    async def story() -> None:
        live = Live(look, {"api": lambda status: {}})
        first = live._sit("api")
        assert first is not None
        assert await asyncio.wait_for(first.waiting.get(), 5) is None
        live._leave(first)
        again = live._sit("api")
        assert again is not None
        assert await asyncio.wait_for(again.waiting.get(), 5) is None, "it looks again, and it is still broken"
        live._leave(again)

    asyncio.run(story())
    assert "the live page stopped looking" in caplog.text


def test_after_the_end_nobody_is_seated() -> None:
    async def look() -> RoomStatus:
        return room()

    async def story() -> None:
        live = Live(look, {"api": lambda status: {}})
        live.close()
        assert live._sit("api") is None

    asyncio.run(story())
