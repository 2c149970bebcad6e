"""Who may read the page from another computer, by a real server with real TLS; each address of 127/8 is another one."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from edge.config import Page, load
from edge.errors import BadConfig
from service import handshake, process
from service.access import Need, needed
from service.gate import HEADERS
from service.guesses import FREE
from service.logins import MISSES, WAITING
from service.password import PasswordHash, hash_of
from tests.service.test_app import PATHS, STREAMS, House, calm, serving  # noqa: F401 - a fixture
from tests.service.test_live import until
from tests.support.certificates import NAME, Pair, make
from tests.support.processes import IS_LONG, WARNINGS, ran, spreekkamer
from tests.support.processes import until as comes_true

PASSWORD = "vier woorden zijn één"
GUARDED = [path for path in PATHS if path != "/healthz"]


def login(password: str = PASSWORD, user: str = "desk") -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return make(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def hash_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("hash") / "hash"
    file.write_text(f"{hash_of(PASSWORD)}\n", "ascii")
    return file


class Door:
    """A page that is reached from elsewhere: `ask` comes from an address of its own, which has asked nothing before."""

    def __init__(self, house: House, pair: Pair) -> None:
        self.house, self.pair = house, pair
        self.url = f"{'https' if house.config.page.has_tls else 'http'}://127.0.0.1:{house.config.page.port}"
        self._came = 10

    def address(self) -> str:
        self._came += 1
        return f"127.0.{self._came // 250}.{self._came % 250 + 1}"

    def client(self, address: str | None = None, headers: dict[str, str] | None = None) -> httpx.Client:
        transport = httpx.HTTPTransport(local_address=address or self.address(), verify=self.pair.client())
        return httpx.Client(base_url=self.url, transport=transport, headers=headers, timeout=15)

    def ask(self, path: str = "/readyz", address: str | None = None, **headers: str) -> httpx.Response:
        with self.client(address) as client:
            return client.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    @contextlib.contextmanager
    def connected(self, address: str | None = None) -> Iterator[ssl.SSLSocket]:
        place = ("127.0.0.1", self.house.config.page.port)
        with (
            socket.create_connection(place, timeout=15, source_address=(address or self.address(), 0)) as sock,
            self.pair.client().wrap_socket(sock, server_hostname=NAME) as tls,
        ):
            yield tls


@contextlib.contextmanager
def door(pair: Pair, **page: Any) -> Iterator[Door]:
    with tempfile.TemporaryDirectory(prefix="sk-") as folder:
        house = House(Path(folder), **page)
        house.in_order()
        with house.stack, house.client, serving(house.config):
            yield Door(house, pair)


def tls(pair: Pair) -> dict[str, str]:
    return {"certificate": str(pair.certificate), "key": str(pair.key)}


@pytest.fixture(scope="module")
def wide(pair: Pair, hash_file: Path) -> Iterator[Door]:
    """Open to the network, with password and TLS."""
    with door(pair, bind="0.0.0.0", password_hash=str(hash_file), **tls(pair)) as opened:
        yield opened


# The password


@pytest.mark.parametrize("path", [*GUARDED, *STREAMS, "/nowhere"])
def test_nothing_is_read_without_the_password(wide: Door, path: str) -> None:
    answer = wide.ask(path)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Basic realm="Spreekkamer", charset="UTF-8"'
    assert "wachtwoord" in answer.text
    assert "password" in answer.text
    for name, value in HEADERS.items():
        assert answer.headers.get_list(name) == [value]


def test_everything_is_read_with_it_and_without_a_cookie(wide: Door) -> None:
    with wide.client(headers=login()) as client:
        for path in PATHS:
            answer = client.get(path)
            assert answer.status_code == 200, path
            assert "set-cookie" not in answer.headers
        assert "Spreekkamer 2" in client.get("/").text
        assert client.head("/").status_code == 200


def test_the_stream_is_live_with_the_password(wide: Door) -> None:
    with wide.connected() as sock:
        lines = [f"{name}: {value}" for name, value in login().items()]
        sock.sendall("\r\n".join(["GET /live HTTP/1.1", "Host: localhost", *lines, "", ""]).encode())
        assert b"event: tone\ndata: good" in until(sock, b"event: beat")
        until(sock, b"event: beat")


def test_any_user_name_will_do_and_an_unknown_one_is_no_other_case(wide: Door) -> None:
    for user in ("", "root", "désk", "x" * 500):
        assert wide.ask(**login(user=user)).status_code == 200
        wrong = wide.ask(**login("geen van de woorden", user=user))
        assert (wrong.status_code, wrong.text) == (401, wide.ask().text)


@pytest.mark.parametrize(
    "given",
    ["", "Basic", "Basic =", "Basic !!!!", "Bearer " + "x" * 40, "Digest username=x", "Basic " + "Zm9v", "é"],
)
def test_what_is_no_login_is_asked_again_and_is_no_guess(wide: Door, given: str) -> None:
    address = wide.address()
    with wide.client(address) as client:
        for _ in range(FREE + 1):
            assert client.get("/", headers={b"authorization": given.encode("latin-1")}).status_code == 401
    assert wide.ask("/", address, **login()).status_code == 200


def test_two_logins_at_once_are_none(wide: Door) -> None:
    with wide.client() as client:
        twice = [("authorization", login()["authorization"]), ("authorization", login("x" * 20)["authorization"])]
        assert client.get("/", headers=httpx.Headers(twice)).status_code == 401


def test_guessing_makes_that_address_wait_and_no_other(wide: Door) -> None:
    address = wide.address()
    for _ in range(FREE):
        assert wide.ask("/", address, **login("geen van de woorden")).status_code == 401
    late = wide.ask("/", address, **login())
    assert late.status_code == 429
    assert 1 <= int(late.headers["retry-after"]) <= 2
    assert "opnieuw" in late.text
    assert wide.ask("/", address).status_code == 401, "who asks without a password is told to bring one"
    assert wide.ask("/", **login()).status_code == 200
    # It ends by itself, also for who kept asking.
    comes_true(lambda: wide.ask("/", address, **login()).status_code == 200, every_s=0.2, what="the end of the wait")


def test_a_flood_of_guesses_keeps_nobody_from_reading(wide: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = wide.address()
    assert wide.ask("/", reader, **login()).status_code == 200
    go = threading.Event()
    fits = PasswordHash.fits

    def held_up(hashed: PasswordHash, guess: bytes) -> bool:
        assert go.wait(20)
        return fits(hashed, guess)

    monkeypatch.setattr(PasswordHash, "fits", held_up)
    answers: list[int] = []
    guess = login("geen van de woorden")
    guessers = [
        threading.Thread(target=lambda: answers.append(wide.ask("/", **guess).status_code)) for _ in range(WAITING + 12)
    ]
    try:
        for guesser in guessers:
            guesser.start()
        comes_true(lambda: len(answers) == 12, what="the answers to those without a place")
        assert set(answers) == {429}
        assert wide.ask("/api/v1/status", reader, **login()).json()["in_order"] is True, "while every guess hangs"
        assert wide.ask("/healthz").text == "ok\n"
    finally:
        go.set()
        for guesser in guessers:
            guesser.join(20)
    assert sorted(answers) == [401] * WAITING + [429] * 12


def test_a_desk_that_guesses_has_to_prove_it_anew(wide: Door) -> None:
    address = wide.address()
    assert wide.ask("/", address, **login()).status_code == 200
    for n in range(MISSES):
        wide.ask("/", address, **login(f"geen van de woorden {n}"))
    assert wide.ask("/", address, **login()).status_code == 429


def test_a_watcher_needs_no_secret_to_know_that_something_answers(wide: Door) -> None:
    assert wide.ask("/healthz").text == "ok\n"


def test_what_is_asked_for_is_judged_before_who_asks(wide: Door) -> None:
    assert wide.ask("/", host="evil.example").status_code == 421
    with wide.client() as client:
        assert client.post("/").status_code == 405


# The names and the headers


def test_the_names_of_the_certificate_are_the_pages_own(wide: Door) -> None:
    for host in (NAME, f"{NAME.upper()}:8443", "127.0.0.1", "localhost"):
        assert wide.ask("/healthz", host=host).status_code == 200
    for host in ("gemeente.example", f"x.{NAME}", f"{NAME}.evil.example"):
        assert wide.ask("/healthz", host=host).status_code == 421


def test_browsers_come_by_https_for_a_year_to_the_pages_name_but_not_to_localhost(wide: Door) -> None:
    assert wide.ask("/", host=NAME).headers.get_list("strict-transport-security") == ["max-age=31536000"]
    assert wide.ask("/", host=NAME, **login()).headers.get_list("strict-transport-security") == ["max-age=31536000"]
    assert "strict-transport-security" not in wide.ask("/", host="localhost:8443").headers
    assert "strict-transport-security" not in wide.ask("/", host="evil.example").headers


def test_without_tls_no_browser_is_told_to_use_it(calm: House) -> None:  # noqa: F811
    assert "strict-transport-security" not in calm.client.get("/").headers


# TLS


def test_plain_http_gets_no_answer_from_a_page_with_tls(wide: Door) -> None:
    with socket.create_connection(("127.0.0.1", wide.house.config.page.port), timeout=15) as sock:
        sock.sendall(
            b"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: " + login()["authorization"].encode() + b"\r\n\r\n"
        )
        with contextlib.suppress(ConnectionResetError):
            answer = sock.recv(65536)
            assert b"HTTP" not in answer
            assert b"Spreekkamer" not in answer


def test_tls_older_than_1_2_is_refused(wide: Door) -> None:
    old = wide.pair.client()
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with (
        socket.create_connection(("127.0.0.1", wide.house.config.page.port), timeout=15) as sock,
        pytest.raises((ssl.SSLError, ConnectionResetError)),
    ):
        old.wrap_socket(sock, server_hostname=NAME)


def test_a_request_that_comes_with_the_last_word_of_the_handshake_is_answered(wide: Door) -> None:
    for _ in range(20):  # the two in one write, as a browser may send them
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls_end = wide.pair.client().wrap_bio(incoming, outgoing, server_hostname=NAME)
        with socket.create_connection(("127.0.0.1", wide.house.config.page.port), timeout=15) as sock:
            while True:
                try:
                    tls_end.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    sock.sendall(outgoing.read())
                    incoming.write(sock.recv(65536))
            tls_end.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            sock.sendall(outgoing.read())
            got = b""
            while b"ok\n" not in got:
                came = sock.recv(65536)
                assert came, "the request was lost"
                incoming.write(came)
                with contextlib.suppress(ssl.SSLWantReadError):
                    while more := tls_end.read(65536):  # a record at a time
                        got += more
            assert got.startswith(b"HTTP/1.1 200 ")


@pytest.fixture
def hasty(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    """A page with TLS and little patience."""
    monkeypatch.setattr(process, "_PATIENCE_S", 0.3)
    with door(pair, **tls(pair)) as opened:
        yield opened


def ends(sock: socket.socket) -> bool:
    """The other end hangs up; an error after the socket's own patience."""
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while sock.recv(65536):
            pass
    return True


def test_who_never_shakes_hands_or_asks_nothing_afterwards_is_cut_off(hasty: Door) -> None:
    place = ("127.0.0.1", hasty.house.config.page.port)
    with socket.create_connection(place, timeout=15) as silent, socket.create_connection(place, timeout=15) as half:
        half.sendall(b"\x16\x03\x01\x02\x00")  # the head of a ClientHello
        assert ends(silent)
        assert ends(half)
    with hasty.connected() as sock:
        assert ends(sock)
    with hasty.connected() as sock:
        sock.sendall(b"GET / HT")
        assert ends(sock)
    assert hasty.ask("/healthz").text == "ok\n"


def test_more_handshakes_than_places_cut_off_the_oldest(wide: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handshake, "AT_ONCE", 4)
    with contextlib.ExitStack() as stack:
        place = ("127.0.0.1", wide.house.config.page.port)
        silent = [stack.enter_context(socket.create_connection(place, timeout=5)) for _ in range(5)]
        assert ends(silent[0])
        assert wide.ask("/healthz").text == "ok\n"
        assert ends(silent[1])
        silent[4].setblocking(False)
        with pytest.raises(BlockingIOError):
            silent[4].recv(1)


def test_who_does_not_take_what_it_asked_for_is_cut_off_through_tls_too(hasty: Door) -> None:
    request = b"GET /static/components.css HTTP/1.1\r\nHost: localhost\r\n\r\n"

    def ask_and_ask(sock: ssl.SSLSocket) -> None:
        while True:
            sock.sendall(request * 100)  # and read nothing of it

    with hasty.connected() as sock, pytest.raises((ConnectionError, ssl.SSLError)):  # not the socket's own time-out
        ask_and_ask(sock)
    assert hasty.ask("/healthz").text == "ok\n"


def test_huge_headers_are_refused_through_tls_too(wide: Door) -> None:
    with wide.connected() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic ")
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            for _ in range(64):
                sock.sendall(b"x" * 65536)
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            assert sock.recv(65536).startswith(b"HTTP/1.1 400 ")
    assert wide.ask("/healthz").text == "ok\n"


@pytest.mark.parametrize(
    "path", ["/static/../app.py", "/%2e%2e/healthz", "/healthz/../", "//healthz", "/healthz/", "/healthz%2f"]
)
def test_no_trick_with_a_path_comes_around_the_password(wide: Door, path: str) -> None:
    with wide.connected() as sock:
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        assert sock.recv(65536).startswith(b"HTTP/1.1 401 ")


def test_more_connections_than_are_allowed_are_hung_up_on(hasty: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_PATIENCE_S", 20.0)
    monkeypatch.setattr(process, "_MOST", 3)
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(hasty.connected())
        with contextlib.suppress(ConnectionError, ssl.SSLError), hasty.connected() as sock:
            assert ends(sock)


# A reverse proxy: 127.0.0.7 is one of ours


PROXY = "127.0.0.7"


@pytest.mark.parametrize(
    ("has_password", "has_proxies", "is_from_proxy", "is_https", "need"),
    [
        (False, False, False, False, Need.NOTHING),
        (False, False, False, True, Need.NOTHING),
        (True, False, False, True, Need.PASSWORD),
        (True, False, False, False, Need.HTTPS),
        (False, True, False, False, Need.PROXY),
        (False, True, False, True, Need.PROXY),
        (False, True, True, False, Need.NOTHING),
        (False, True, True, True, Need.NOTHING),
        (True, True, False, False, Need.PROXY),
        (True, True, False, True, Need.PASSWORD),
        (True, True, True, False, Need.HTTPS),
        (True, True, True, True, Need.PASSWORD),
    ],
)
def test_what_a_request_needs(
    has_password: bool, has_proxies: bool, is_from_proxy: bool, is_https: bool, need: Need
) -> None:
    facts = {"has_proxies": has_proxies, "is_from_proxy": is_from_proxy, "is_https": is_https}
    assert needed(has_password=has_password, **facts) is need


def test_only_the_proxy_may_ask_and_then_it_asks_for_the_login(pair: Pair) -> None:
    with door(pair, bind="0.0.0.0", proxies=[PROXY], names=[NAME]) as behind:
        assert behind.ask("/", PROXY, host=NAME).status_code == 200
        assert behind.ask("/", PROXY, host="evil.example").status_code == 421
        for path in (*GUARDED, *STREAMS):
            refused = behind.ask(path, x_forwarded_for=PROXY, x_forwarded_proto="https", forwarded=f"for={PROXY}")
            assert (refused.status_code, refused.headers.get("www-authenticate")) == (403, None), path
        assert behind.ask("/healthz").status_code == 200
        assert "securitySchemes" not in behind.ask("/api/v1/openapi.json", PROXY).json()["components"]


def test_behind_a_proxy_the_page_may_ask_for_its_own_password(pair: Pair, hash_file: Path) -> None:
    with door(pair, bind="0.0.0.0", proxies=[PROXY], names=[NAME], password_hash=str(hash_file)) as behind:
        https = {"x_forwarded_proto": "https"}
        assert behind.ask("/", PROXY, **https).status_code == 401
        assert behind.ask("/", PROXY, **https, **login()).status_code == 200
        assert behind.ask("/", PROXY, **login()).status_code == 403, "the browser's way to the proxy can be overheard"
        assert "X-Forwarded-Proto" in behind.ask("/", PROXY, x_forwarded_proto="http", **login()).text
        assert behind.ask("/", **https, **login()).status_code == 403, "who is no proxy of ours says so in vain"


def test_behind_a_proxy_who_guesses_is_whom_the_proxy_names(pair: Pair, hash_file: Path) -> None:
    with door(pair, bind="0.0.0.0", proxies=[PROXY], names=[NAME], password_hash=str(hash_file)) as behind:

        def ask(password: str, forwarded: str) -> int:
            headers = {"x_forwarded_proto": "https", "x_forwarded_for": forwarded}
            return behind.ask("/", PROXY, **headers, **login(password)).status_code

        for n in range(FREE):  # what the guesser wrote itself stands before what the proxy added
            assert ask("geen van de woorden", f"10.9.9.{n}, 10.1.1.1") == 401
        assert ask(PASSWORD, "10.9.9.200, 10.1.1.1") == 429
        assert ask(PASSWORD, f"10.1.1.1, 10.1.1.2, {PROXY}") == 200, "through two of our proxies"
        assert ask(PASSWORD, "no address at all") == 200


def test_an_address_that_is_no_proxy_cannot_choose_who_it_is(pair: Pair, hash_file: Path) -> None:
    with door(pair, bind="0.0.0.0", proxies=[PROXY], password_hash=str(hash_file), **tls(pair)) as both:
        address = both.address()
        for n in range(FREE):
            headers = {"x_forwarded_for": f"10.1.1.{n}", **login("geen van de woorden")}
            assert both.ask("/", address, **headers).status_code == 401
        assert both.ask("/", address, x_forwarded_for="10.1.1.99", **login()).status_code == 429
        assert both.ask("/", **login()).status_code == 200


# The description


def test_the_openapi_tells_of_the_password_where_one_is_asked(wide: Door, calm: House) -> None:  # noqa: F811
    schema = wide.ask("/api/v1/openapi.json", **login()).json()
    assert schema["components"]["securitySchemes"]["password"]["scheme"] == "basic"
    for path, operations in schema["paths"].items():
        is_open = path == "/healthz"
        assert ("security" in operations["get"]) is not is_open
        assert ({"401", "429"} <= set(operations["get"]["responses"])) is not is_open
    without = calm.client.get("/api/v1/openapi.json").json()
    assert "securitySchemes" not in without["components"]
    assert all("401" not in operations["get"]["responses"] for operations in without["paths"].values())


def test_the_guarded_api_answers_as_its_openapi_says(wide: Door, tmp_path: Path) -> None:
    description = tmp_path / "openapi.json"
    description.write_bytes(wide.ask("/api/v1/openapi.json", **login()).content)
    command = [sys.executable, "-m", "schemathesis.cli", "run", str(description), f"--url={wide.url}"]
    settings = [
        f"--tls-verify={wide.pair.authority}",
        f"--header=Authorization: {login()['authorization']}",
        "--exclude-path=/api/v1/events",
        "--checks=all",
        "--exclude-checks=ignored_auth",  # it guesses, and then has to wait; what it asks is asked above
        "--phases=examples,coverage,fuzzing",
        f"--max-examples={200 if IS_LONG else 2}",
    ]
    done = subprocess.run([*command, *settings], capture_output=True, text=True, timeout=300, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No issues found" in done.stdout


def test_an_ending_certificate_is_a_warning_on_the_page(tmp_path: Path) -> None:
    ending = make(tmp_path / "tls", ends_days=9.5)
    with door(ending, **tls(ending)) as opened:
        assert "page certificate: ends 20" in opened.ask("/").text
        [warning] = opened.ask("/api/v1/status").json()["warnings"]
        assert ", in 9 days; " in warning


# Refusals of the process


def room_file(folder: Path, page: str) -> Path:
    file = folder / "room.toml"
    file.write_text(
        f'[room]\nname = "R"\n[panel]\npanic = {{ pin = 17 }}\nalarm = {{ pin = 5 }}\n[page]\n{page}\n', "utf-8"
    )
    return file


def refused(folder: Path, page: str) -> list[str]:
    result = ran("show", "--config", room_file(folder, page))
    assert (result.returncode, result.stdout) == (78, ""), result.stderr
    return result.stderr.splitlines()


UNASKED = 'page: bind = "{bind}" is open to the network: say password_hash, certificate and key, or proxies (docs/desk-browser.md)'


@pytest.mark.parametrize("bind", ["0.0.0.0", "::", "10.1.2.3"])
@pytest.mark.parametrize(
    "beside", ["", 'password_hash = "/h"', 'certificate = "/c"\nkey = "/k"'], ids=["", "password", "tls"]
)
def test_nobody_reads_the_page_from_elsewhere_by_accident(bind: str, beside: str) -> None:
    page = {"bind": bind, "names": ["x.example"]} | dict(re.findall(r'(\w+) = "(.*?)"', beside))
    with pytest.raises(ValueError, match=re.escape(UNASKED.removeprefix("page: ").format(bind=bind))):
        Page.model_validate(page)


def test_all_that_is_wrong_with_the_settings_is_told_at_once(tmp_path: Path) -> None:
    assert refused(tmp_path, 'bind = "0.0.0.0"\nkey = "/k"') == [
        "page: certificate and key go together; "
        + UNASKED.format(bind="0.0.0.0").removeprefix("page: ")
        + "; say in names what browsers call this page, since no certificate says it"
    ]
    page = """
        bind = "everywhere"
        names = ["Room:8443"]
        key = "no/path"
        password_hash = "$argon2id$x"
        proxies = ["0.0.0.0"]
    """
    with pytest.raises(BadConfig) as wrong:
        load(room_file(tmp_path, page))
    lines = wrong.value.problems
    assert [line.partition(":")[0] for line in lines] == [
        "page.bind",
        "page.names",
        "page.key",
        "page.password_hash",
        "page.proxies",
    ]


def test_all_that_is_wrong_with_the_files_is_told_at_once(tmp_path: Path) -> None:
    page = f'bind = "0.0.0.0"\ncertificate = "{tmp_path}/c"\nkey = "page-tls-key"\npassword_hash = "{tmp_path}/h"'
    assert refused(tmp_path, page) == [
        "page.key: no credentials were handed over; LoadCredential=page-tls-key:… in the unit",
        f"page.password_hash: {tmp_path}/h: cannot be read: No such file or directory",
    ]


def test_a_password_is_not_asked_where_it_can_be_overheard(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=r"^page: password_hash needs certificate and key, or proxies"):
        load(room_file(tmp_path, 'password_hash = "/h"'))


# The process as a whole


@contextlib.contextmanager
def shown(
    config: Path, ready: Callable[[], object], env: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        spreekkamer("show", "--config", config),
        env=os.environ | (env or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        first = process.stdout.readline()
        assert first.startswith("page "), (first, process.communicate()[1])
        ready()
        yield process
    finally:
        process.terminate()
        process.wait(15)
        for pipe in (process.stdout, process.stderr):
            if pipe:
                pipe.close()


def test_credentials_are_taken_from_systemd_and_the_password_is_told_to_nobody(
    tmp_path: Path, pair: Pair, hash_file: Path
) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir(mode=0o700)
    for name, source in (("certificate", pair.certificate), ("key", pair.key), ("password_hash", hash_file)):
        (credentials / name).write_bytes(source.read_bytes())
        (credentials / name).chmod(0o400)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    named = 'certificate = "certificate"\nkey = "key"\npassword_hash = "password_hash"'
    config = room_file(tmp_path, f'bind = "0.0.0.0"\nport = {port}\n{named}\n[paths]\nrun = "{tmp_path}"')
    asked: list[httpx.Response] = []

    def ask() -> None:
        with httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=pair.client(), trust_env=False) as client:
            guesses = (PASSWORD, "geheime gok nummer een", PASSWORD)
            asked.extend(client.get("/", headers=login(password)) for password in guesses)

    with shown(config, ask, {"CREDENTIALS_DIRECTORY": str(credentials)}) as process:
        proc = Path(f"/proc/{process.pid}")
        assert [answer.status_code for answer in asked[:3]] == [200, 401, 200]
        command = (proc / "cmdline").read_bytes() + (proc / "environ").read_bytes()
        process.terminate()
        assert process.stdout is not None
        assert process.stderr is not None
        said = process.stdout.read() + process.stderr.read()
    key = pair.key.read_text("ascii").splitlines()[1]
    for secret in (PASSWORD, "geheime gok", login()["authorization"].split()[1], "$argon2", key):
        assert secret not in said
        assert secret.encode() not in command
        assert all(secret not in answer.text for answer in asked)
    assert WARNINGS == "error"
    assert "Traceback" not in said
