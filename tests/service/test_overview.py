"""The overview of several rooms: a card is never better than what is surely known, whatever answers at an address."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import ssl
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge.clock import SECOND, SystemClock
from edge.config import OtherRoom
from edge.errors import BadMessage, Refused
from edge.status import Fault, RecorderState
from service import examples, remote
from service.language import Language
from service.overview import Answered, Card, Told, here, there, told_in
from service.page import Page, tone
from service.process import run
from service.remote import LIMIT_BYTES, Remotes
from tests.browser.situations import several
from tests.service import saying
from tests.service.test_app import House, free_port, house, serving  # noqa: F401 - a fixture
from tests.service.test_rooms import WALL_NS, room

CLOCK = SystemClock()
GOOD = json.dumps(examples.STATUS).encode()
ROOM = OtherRoom(name="Kamer 9", url="http://localhost:1")


def answer(body: bytes, *, head: str = "200 OK", kind: str = "application/json", extra: str = "") -> bytes:
    lines = f"HTTP/1.1 {head}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n{extra}\r\n"
    return lines.encode("latin-1") + body


class Device:
    """Something at an address: gives each who asks the same bytes. `asked` are the heads of the requests."""

    def __init__(self, give: bytes | Callable[[socket.socket], None], trust: ssl.SSLContext | None = None) -> None:
        self.asked: list[str] = []
        self._give = give
        self._trust = trust
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._serve, daemon=True)]
        self._threads[0].start()

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self._server.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._answer, args=(sock,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _answer(self, plain: socket.socket) -> None:
        with plain, contextlib.suppress(OSError):
            sock = plain if self._trust is None else self._trust.wrap_socket(plain, server_side=True)
            with sock:
                sock.settimeout(10)
                while text := sock.recv(65536):
                    self.asked.append(text.decode("latin-1"))
                    if isinstance(self._give, bytes):
                        sock.sendall(self._give)
                    else:
                        self._give(sock)
                        self._ending.wait(10)

    def close(self) -> None:
        self._ending.set()
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()


@contextlib.contextmanager
def device(give: bytes | Callable[[socket.socket], None], **settings: Any) -> Iterator[Device]:
    made = Device(give, **settings)
    try:
        yield made
    finally:
        made.close()


def asked(*rooms: OtherRoom, credentials: Path | None = None, wait_s: float = 10.0) -> tuple[Card, ...]:
    """The cards after each room was asked once, and had so long to answer."""

    async def ask() -> tuple[Card, ...]:
        async with Remotes(rooms, CLOCK, folder=credentials) as remotes:
            return await remotes.read(wait_s=wait_s)

    return asyncio.run(ask())


def at(port: int, **changed: Any) -> OtherRoom:
    return OtherRoom(**({"name": "Kamer 9", "url": f"http://127.0.0.1:{port}"} | changed))


# What an answer may say


def test_a_card_has_what_the_device_says_under_the_name_of_the_configuration() -> None:
    told = told_in(GOOD)
    card = there(ROOM, Answered(told=told, asked_ns=5 * SECOND), now_ns=7 * SECOND)
    assert (card.name, card.url, card.state) == ("Kamer 9", "http://localhost:1/", RecorderState.LISTENING)
    assert (card.in_order, card.is_stale, card.age_seconds, card.kept) == (True, False, 2.1, 1)
    assert tone(card) == "good"


@pytest.mark.parametrize(
    "changed",
    [
        {"faults": [{"process": "vault", "code": "x"}]},
        {"state": "fault"},
        {"in_order": False},
        {
            "information": [
                {"process": p, "is_heard": p != "vault", "is_stale": False} for p in ("panel", "recorder", "vault")
            ]
        },
        {
            "information": [
                {"process": p, "is_heard": True, "is_stale": p == "vault"} for p in ("panel", "recorder", "vault")
            ]
        },
        {"age_seconds": 11.0},
    ],
)
def test_green_needs_every_part_of_the_answer(changed: dict[str, Any]) -> None:
    told = told_in(json.dumps({**examples.STATUS, **changed}).encode())
    card = there(ROOM, Answered(told=told, asked_ns=0), now_ns=0)
    assert tone(card) not in ("good", "calm")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"<html>all is well</html>",
        b"[" * 100_000,
        json.dumps({**examples.STATUS, "state": "splendid"}).encode(),
        json.dumps({**examples.STATUS, "in_order": "yes, truly"}).encode(),
        json.dumps({**examples.STATUS, "age_seconds": -5}).encode(),
        GOOD.replace(b'"age_seconds": 0.1, "information"', b'"age_seconds": NaN, "information"'),
        json.dumps({**examples.STATUS, "information": []}).encode(),
        json.dumps({**examples.STATUS, "faults": [{"process": "panel", "code": "x" * 65}]}).encode(),
        json.dumps({**examples.STATUS, "faults": [{"process": "panel", "code": "x"}] * 257}).encode(),
        json.dumps({**examples.STATUS, "clips_total": -1}).encode(),
        json.dumps({key: value for key, value in examples.STATUS.items() if key != "faults"}).encode(),
    ],
)
def test_what_is_no_status_of_a_room_is_none(body: bytes) -> None:
    with pytest.raises(BadMessage):
        told_in(body)


def test_old_information_is_grey_and_says_how_old_it_is() -> None:
    known = Answered(told=told_in(GOOD), asked_ns=0, trouble="gone")
    page = Page(Language.DUTCH)
    for seconds, colour, word in ((9, "good", "Paraat"), (11, "stale", "Niet bekend"), (3600, "stale", "Niet bekend")):
        card = there(ROOM, known, now_ns=seconds * SECOND)
        said = page.cards((card,), now_wall_ns=WALL_NS)["card-0"]
        assert tone(card) == colour
        assert f'<p class="headline">{word}</p>' in said
        assert ("uur geleden" in said) is (seconds == 3600)
        assert ("niet te bereiken" in said) is (colour == "stale")


def test_a_room_that_was_never_heard_is_grey() -> None:
    for trouble in (None, "gone", "slow", "untrusted", "login", "wrong"):
        card = there(ROOM, Answered(trouble=trouble), now_ns=CLOCK.boot_ns())
        said = Page(Language.ENGLISH).cards((card,), now_wall_ns=WALL_NS)
        assert 'data-tone="stale"' in said["card-0"]
        assert "never heard yet" in said["card-0"]
        assert said["rooms"] == "0 of 1 rooms in order"


def test_nothing_that_another_device_writes_stands_on_the_page() -> None:
    mark = "<script>alert(1)</script> Jansen"
    status = {**examples.STATUS, "room": mark, "building": mark, "warnings": [mark], "as_of": mark}
    fault = {"process": "vault", "code": mark, "detail": mark, "fix": mark, "since": mark}
    told = told_in(json.dumps({**status, "faults": [fault]}).encode())
    card = there(ROOM, Answered(told=told, asked_ns=0), now_ns=0)
    said = "".join(Page(Language.DUTCH).cards((card,), now_wall_ns=WALL_NS).values())
    assert "script" not in said
    assert "Jansen" not in said
    assert "Er is een storing." in said


def test_a_fault_of_another_room_is_told_in_our_words() -> None:
    faults = [{"process": "recorder", "code": "source-picture"}, {"process": "vault", "code": "low-space"}]
    told = told_in(json.dumps({**examples.STATUS, "faults": faults}).encode())
    card = there(ROOM, Answered(told=told, asked_ns=0), now_ns=0)
    said = Page(Language.DUTCH).cards((card,), now_wall_ns=WALL_NS)["card-0"]
    assert "De camera geeft geen beeld. En nog 1 storing." in said
    assert "Paraat, met storing" in said


def test_this_device_s_own_card_is_as_its_page() -> None:
    fault = Fault(code="low-space", detail="x", fix="y", since_ns=0)
    for status in (room(), room(vault=saying.vault(5_000 * SECOND, faults=(fault,)))):
        card = here(status, path="/room")
        assert (tone(card), card.in_order, card.kept) == (tone(status), status.in_order, status.clips_total)


# What may be at an address


def test_another_device_is_asked_and_its_state_shown() -> None:
    with device(answer(GOOD)) as other:
        [card] = asked(at(other.port))
    assert tone(card) == "good"
    assert other.asked[0].startswith("GET /api/v1/status HTTP/1.1\r\n")
    assert "cookie" not in other.asked[0].lower()


@pytest.mark.parametrize(
    ("give", "trouble"),
    [
        (answer(GOOD, head="302 Found", extra="location: http://127.0.0.1:1/\r\n"), "wrong"),
        (answer(GOOD, head="500 Oops"), "wrong"),
        (answer(GOOD, head="404 Not Found"), "wrong"),
        (answer(GOOD, head="401 Unauthorized", extra='www-authenticate: Basic realm="x"\r\n'), "login"),
        (answer(GOOD, head="403 Forbidden"), "login"),
        (answer(GOOD, kind="text/html"), "wrong"),
        (answer(GOOD, extra="content-encoding: gzip\r\n"), "wrong"),
        (answer(b"{}"), "wrong"),
        (answer(GOOD + b" " * LIMIT_BYTES), "wrong"),
        (answer(GOOD, extra="x: " + "x" * 300_000 + "\r\n"), "wrong"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "wrong"),
        (b"\x00" * 4096, "wrong"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_whatever_else_answers_makes_the_room_grey(give: bytes, trouble: str) -> None:
    with device(give) as other:
        [card] = asked(at(other.port))
    assert (card.trouble, tone(card), card.in_order) == (trouble, "stale", False)


def test_nobody_there_is_told_as_such() -> None:
    [card] = asked(at(free_port()))
    assert (card.trouble, tone(card)) == ("gone", "stale")


async def looked(remotes: Remotes, is_it: Callable[[tuple[Card, ...]], bool]) -> tuple[Card, ...]:
    """The cards, once they are so."""
    for _ in range(1000):
        cards = await remotes.read()
        if is_it(cards):
            return cards
        await asyncio.sleep(0.01)
    raise AssertionError("never so")


@pytest.mark.parametrize("how", ["silent", "dripping", "half"])
def test_a_slow_room_is_given_up_and_delays_no_other(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    monkeypatch.setattr(remote, "PATIENCE_S", 0.5)
    ended = threading.Event()

    def give(sock: socket.socket) -> None:
        if how == "half":
            sock.sendall(answer(GOOD)[:200])
        while how == "dripping" and not ended.wait(0.05):
            sock.sendall(b"H")

    with device(give) as slow, device(answer(GOOD)) as quick:
        rooms = (at(slow.port, name="A"), at(quick.port, name="B"))

        async def story() -> None:
            async with Remotes(rooms, CLOCK) as remotes:
                cards = await looked(remotes, lambda cards: cards[1].state is not None)
                assert (cards[0].trouble, tone(cards[0])) == (None, "stale"), "it is still being asked"
                cards = await looked(remotes, lambda cards: cards[0].trouble is not None)
                assert (cards[0].trouble, tone(cards[0]), tone(cards[1])) == ("slow", "stale", "good")

        asyncio.run(story())
        ended.set()


def test_however_many_look_a_room_is_asked_once_in_two_seconds() -> None:
    with device(answer(GOOD)) as other:

        async def story() -> None:
            async with Remotes((at(other.port),), CLOCK) as remotes:
                await asyncio.gather(*(remotes.read(wait_s=5) for _ in range(50)))
                for _ in range(5):
                    await remotes.read(wait_s=5)

        asyncio.run(story())
        assert len(other.asked) == 1


# Login and certificate


def test_a_login_goes_to_its_own_room_and_nowhere_else(tmp_path: Path) -> None:
    secret = tmp_path / "login"
    secret.write_bytes(b"page:s3cret\n")
    secret.chmod(0o600)
    with device(answer(GOOD)) as one, device(answer(GOOD)) as two:
        asked(at(one.port, name="A", credential=str(secret)), at(two.port, name="B"))
        assert "authorization: basic cgfnztpzm2nyzxq=" in one.asked[0].lower()
        assert "authorization" not in two.asked[0].lower()
        asked(at(one.port, credential="login"), credentials=tmp_path)
        assert "authorization: Basic" in one.asked[-1] or "Authorization: Basic" in one.asked[-1]


def test_a_login_that_cannot_be_read_stops_the_start_in_one_line(tmp_path: Path) -> None:
    secret = tmp_path / "login"
    with pytest.raises(
        Refused, match=r"^page.rooms 'Kamer 9': credential .*cannot be read: No such file .*let the page read it$"
    ):
        Remotes((at(1, credential=str(secret)),), CLOCK)
    secret.write_bytes(b"page:s3cret\n")
    secret.chmod(0o644)
    with pytest.raises(Refused, match="others may read it; chmod 600"):
        Remotes((at(1, credential=str(secret)),), CLOCK)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    ]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run([*command, *names, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    return key, cert


def test_a_certificate_that_was_given_is_trusted_and_no_other(certificate: tuple[Path, Path], tmp_path: Path) -> None:
    key, cert = certificate
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trust.load_cert_chain(cert, key)
    with device(answer(GOOD), trust=trust) as other:
        url = f"https://127.0.0.1:{other.port}"
        [card] = asked(at(0, url=url, certificate=str(cert)))
        assert tone(card) == "good"
        [card] = asked(at(0, url=url))
        assert (card.trouble, tone(card)) == ("untrusted", "stale")
        assert len(other.asked) == 1, "nothing was asked of who is not trusted"


def test_a_certificate_that_is_none_stops_the_start_in_one_line(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("no certificate")
    with pytest.raises(Refused, match=r"^page.rooms 'Kamer 9': certificate .*holds no certificate; give a PEM file$"):
        Remotes((at(1, url="https://kamer9", certificate=str(wrong)),), CLOCK)
    with pytest.raises(Refused, match=r"No such file or directory; give a PEM file$"):
        Remotes((at(1, url="https://kamer9", certificate=str(tmp_path / "none")),), CLOCK)


# The served overview


@pytest.fixture(scope="module")
def four() -> Iterator[tuple[House, dict[str, House]]]:
    with tempfile.TemporaryDirectory(prefix="sk-") as folder, several(Path(folder)) as rooms:
        yield rooms


def test_the_overview_shows_all_rooms_and_links_to_each(four: tuple[House, dict[str, House]]) -> None:
    own, houses = four
    page = own.page()
    assert "3 van 4 ruimtes in orde" in page
    assert re.findall(r'data-tone="(\w+)"', page) == ["good", "recording", "calm", "stale"]
    links = re.findall(r'<h2[^>]*>.*?<a class="nl-link" href="([^"]+)">([^<]+)</a>', page)
    others = [(f"{houses[name].url}/", name) for name in ("Spreekkamer 1", "Spreekkamer 3", "Spreekkamer 4")]
    assert links == [("/room?lang=nl", "Spreekkamer 2"), *others]
    assert not re.search(r"<script(?! src=\"/static/)|<style| style=| on\w+=", page), "CSP would block it"


def test_this_room_s_own_page_is_beside_the_overview_and_leads_back(four: tuple[House, dict[str, House]]) -> None:
    own, _ = four
    page = own.client.get("/room?lang=nl").text
    assert '<p class="headline">Paraat</p>' in page
    assert '<a class="nl-link" href="/?lang=nl">' in page
    assert 'href="/room?lang=en"' in page
    assert own.client.get("/api/v1/status").json()["room"] == "Spreekkamer 2"


def test_without_other_rooms_there_is_no_overview(house: House) -> None:  # noqa: F811
    house.in_order()
    assert house.client.get("/room").status_code == 404
    assert '<p class="headline">Paraat</p>' in house.page()


def test_the_overview_s_stream_has_a_part_for_each_room(four: tuple[House, dict[str, House]]) -> None:
    from tests.service.test_live import reading, until

    own, _ = four
    with reading(own, "/live?view=rooms&lang=en") as sock:
        first = until(sock, b"event: beat")
        for part in (b"event: title", b"event: rooms", b"event: card-0", b"event: card-3"):
            assert part in first
        assert b"event: ring" not in first


def test_a_bad_login_refuses_the_start_of_the_page(tmp_path: Path) -> None:
    config = saying.config(port=free_port(), rooms=(at(1, credential=str(tmp_path / "none")),))
    with pytest.raises(Refused, match=r"^page.rooms 'Kamer 9': credential "):
        run(config, threading.Event())
    with socket.create_server(("127.0.0.1", config.page.port)):
        pass  # nothing was left open


def test_told_takes_only_numbers_and_closed_words() -> None:
    assert set(Told.__dataclass_fields__) == {
        "state",
        "in_order",
        "age_seconds",
        "information",
        "faults",
        "clips_total",
    }
