"""The served page and API, by a real server on loopback over real status sockets."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from edge.clock import SystemClock
from edge.config import Config
from edge.errors import Refused
from edge.messages import encode
from edge.status import Fault, RecorderState
from edge.wire import SnapshotSocket, listen
from service import snapshots
from service.gate import HEADERS
from service.process import run
from tests.service import saying

CLOCK = SystemClock()
PATHS = (
    "/",
    "/?lang=en",
    "/api/v1/status",
    "/api/v1/clips",
    "/api/v1/faults",
    "/api/v1/figures",
    "/api/v1/figures?period=2026",
    "/api/v1/openapi.json",
    "/healthz",
    "/readyz",
    "/metrics",
    "/static/page.css",
    "/static/components.css",
    "/static/page.js",
    "/static/icon.svg",
    "/static/vendor/atkinson-hyperlegible-next.woff2",
)
STREAMS = ("/live", "/live?lang=en", "/api/v1/events")
BOUND_S = 2 * snapshots.PATIENCE_S + 0.5  # the longest an answer may take, whatever hangs


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class House:
    """A room whose processes a test starts, changes and stops, and the page served over it."""

    def __init__(self, folder: Path, *, name: str = "Spreekkamer 2", **page: Any) -> None:
        self.config: Config = saying.config(run=folder, port=free_port(), name=name, **page)
        self.asked = {"panel": 0, "recorder": 0, "vault": 0}
        self.stack = contextlib.ExitStack()
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.config.page.port}", timeout=10, trust_env=False)
        self.stop: Callable[[], None] = lambda: None
        self.sockets: dict[str, SnapshotSocket] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.config.page.port}"

    @contextlib.contextmanager
    def served(self) -> Iterator[None]:
        """Its page; until `stop`, at the latest."""
        with serving(self.config) as stop:
            self.stop = stop.set
            yield

    def path(self, process: Any) -> Path:
        paths = self.config.paths
        path = paths.figures_socket if process == "figures" else paths.status_socket(process)
        path.parent.mkdir(exist_ok=True)
        return path

    def say(self, process: str, make: Callable[[int], object]) -> None:
        def snapshot() -> bytes:
            if process in self.asked:
                self.asked[process] += 1
            return encode(make(CLOCK.boot_ns()))

        self.say_bytes(process, snapshot)

    def say_bytes(self, process: str, snapshot: Callable[[], bytes]) -> None:
        self.silence(process)
        self.sockets[process] = self.stack.enter_context(SnapshotSocket(self.path(process), snapshot))

    def silence(self, process: str) -> None:
        if process in self.sockets:
            self.sockets.pop(process).close()

    def in_order(self) -> None:
        self.say("panel", saying.panel)
        self.say("recorder", saying.recorder)
        self.say("vault", lambda now_ns: saying.vault(now_ns, saying.clip()))
        self.say("figures", saying.counted)

    def status(self) -> dict[str, Any]:
        """The status after the last change: what was kept of a reading before it has gone."""
        time.sleep(snapshots.KEPT_NS / 1e9)
        answer = self.client.get("/api/v1/status")
        assert answer.status_code == 200
        data: dict[str, Any] = answer.json()
        return data

    def page(self) -> str:
        time.sleep(snapshots.KEPT_NS / 1e9)
        answer = self.client.get("/")
        assert answer.status_code == 200
        return re.sub(r"\s+", " ", answer.text)


@contextlib.contextmanager
def serving(config: Config) -> Iterator[threading.Event]:
    """The page process in a thread, from its first answer until it has stopped."""
    stop = threading.Event()
    failed: list[BaseException] = []

    def serve() -> None:
        try:
            run(config, stop)
        except BaseException as err:  # noqa: BLE001  # told to the test
            failed.append(err)

    thread = threading.Thread(target=serve, name="page")
    thread.start()
    deadline = time.monotonic() + 10
    try:
        while not failed and time.monotonic() < deadline:
            # Not merely connected: the port is open before the application is made.
            with contextlib.suppress(OSError), connected(config) as sock:
                sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                if sock.recv(1):
                    break
            time.sleep(0.01)
        else:
            assert failed, "the page does not answer"
        yield stop
    finally:
        stop.set()
        thread.join(10)
        assert not thread.is_alive()
        assert not failed, failed


def connected(config: Config) -> socket.socket:
    """A connection to the page, through TLS where it has that. Raises OSError."""
    plain = socket.create_connection(("127.0.0.1", config.page.port), 10)
    if not config.page.has_tls:
        return plain
    anybody = ssl.create_default_context()
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    return anybody.wrap_socket(plain)


@pytest.fixture
def house() -> Iterator[House]:
    with tempfile.TemporaryDirectory(prefix="sk-") as folder:
        house = House(Path(folder))
        with house.stack, house.client, serving(house.config):
            yield house


@pytest.fixture(scope="module")
def calm() -> Iterator[House]:
    """A room in order, shared by tests that change nothing in it."""
    with tempfile.TemporaryDirectory(prefix="sk-") as folder:
        house = House(Path(folder))
        house.in_order()
        with house.stack, house.client, serving(house.config):
            yield house


def test_status_has_the_shape_of_the_contract(calm: House) -> None:
    status = calm.status()
    assert status["room"] == "Spreekkamer 2"
    assert status["state"] == "listening"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", status["as_of"])
    assert status["in_order"] is True
    assert {key: status["ring"][key] for key in ("seconds", "promised_seconds", "bytes")} == {
        "seconds": 29.5,
        "promised_seconds": 30.0,
        "bytes": 15_123_456,
    }
    assert [source["state"] for source in status["sources"]] == ["good", "good"]
    [clip] = status["clips"]
    assert (
        clip.items()
        >= {
            "id": saying.CLIP_ID,
            "pressed_at": "2026-11-22T10:15:02Z",
            "expires_at": "2026-11-25T10:15:02Z",
            "held": False,
            "state": "complete",
            "safe_seconds": 67.0,
        }.items()
    )
    assert status["faults"] == []
    assert status["ledger"].items() >= {"head": saying.HEAD, "anchored_at": None}.items()
    assert status["written_bytes"] == 0
    assert [part["process"] for part in status["information"] if part["is_heard"]] == ["panel", "recorder", "vault"]


def test_the_page_tells_the_room_in_dutch(calm: House) -> None:
    page = calm.page()
    assert '<html lang="nl">' in page
    assert '<p class="headline">Paraat</p>' in page
    assert "29 <small>van 30 seconden</small>" in page
    assert "Beeld en geluid (15,1 MB), alleen in het werkgeheugen." in page
    assert "laatste beeld: nu" in page
    assert "nog 2 dagen en 23 uur" in page
    assert f">{saying.HEAD[:12]}</code>" in page
    assert "Nog niet buiten dit apparaat vastgelegd." in page
    assert "bijgewerkt: nu" in page
    assert re.search(
        r"Geschreven tijdens luisteren</h2> <div data-part=\"written\"><p class=\"figure\">0 bytes</p>", page
    )


def test_the_page_follows_the_room(house: House) -> None:
    house.in_order()
    house.say("vault", saying.vault)
    assert '<p class="kept-today">niets</p>' in house.page()
    house.say("recorder", lambda now_ns: saying.recorder(now_ns, state=RecorderState.RECORDING))
    house.say("panel", lambda now_ns: saying.panel(now_ns, is_alarm_on=True, alarm_on_ns=now_ns))
    page = house.page()
    assert '<p class="headline">Opname</p>' in page
    assert "gaat af" in page
    house.silence("recorder")
    page = house.page()
    assert '<p class="headline">Storing</p>' in page
    assert "De opnemer antwoordt niet." in page
    assert "zwijgt al 0 seconden" in page
    house.say("recorder", saying.recorder)
    assert '<p class="headline">Paraat</p>' in house.page()


def test_old_information_is_grey_on_the_page(house: House) -> None:
    house.in_order()
    assert 'data-tone="good"' in house.page()
    house.say("recorder", lambda now_ns: saying.recorder(now_ns - 7_000_000_000))
    page = house.page()
    assert 'data-tone="stale"' in page
    assert "bijgewerkt: 7 seconden geleden" in page


def test_the_page_is_right_without_a_script(calm: House) -> None:
    page = calm.page()
    assert '<noscript><meta http-equiv="refresh" content="5"></noscript>' in page
    assert not re.search(r"<script(?! src=\"/static/)|<style| style=| on\w+=", page), "CSP would block it"
    links = set(re.findall(r"(?:src|href)=\"([^\"]*)\"", page))
    assert links == {
        "/?lang=en",
        "#room",
        *(path for path in PATHS if path.startswith("/static/") and ".woff" not in path),
    }
    styles = calm.client.get("/static/page.css").text + calm.client.get("/static/components.css").text
    assert set(re.findall(r"url\(['\"]?([^'\")]*)", styles)) == {"/static/vendor/atkinson-hyperlegible-next.woff2"}
    assert "@import" not in styles


def test_the_page_is_in_the_language_that_was_asked_for(calm: House) -> None:
    assert '<p class="headline">Paraat</p>' in calm.client.get("/", headers={"accept-language": "fr, de;q=0.5"}).text
    english = calm.client.get("/", headers={"accept-language": "fr, en-GB;q=0.5, nl;q=0.2"}).text
    assert '<html lang="en">' in english
    assert '<p class="headline">Ready</p>' in english
    assert 'href="/?lang=nl"' in english
    asked = calm.client.get("/?lang=nl", headers={"accept-language": "en"}).text
    assert '<p class="headline">Paraat</p>' in asked
    assert 'data-live="/live?lang=nl"' in asked


def test_clips_and_faults_are_what_the_status_says(house: House) -> None:
    house.in_order()
    house.silence("recorder")
    status = house.status()
    clips, faults = house.client.get("/api/v1/clips").json(), house.client.get("/api/v1/faults").json()
    assert [clip["id"] for clip in clips["clips"]] == [saying.CLIP_ID]
    assert clips["total"] == status["clips_total"] == 1
    assert faults["faults"] == status["faults"]
    assert faults["faults"][0]["code"] == "recorder-silent"
    assert faults["in_order"] is False


def test_ready_means_that_all_three_are_heard_and_fresh(house: House) -> None:
    house.in_order()
    house.status()
    assert house.client.get("/readyz").text == "ok\n"
    house.say("panel", lambda now_ns: saying.panel(now_ns - 6_000_000_000))
    house.silence("vault")
    house.status()
    answer = house.client.get("/readyz")
    assert (answer.status_code, answer.text) == (503, "not heard: panel vault\n")
    assert house.client.get("/healthz").status_code == 200


def test_what_a_process_says_is_escaped(house: House) -> None:
    house.in_order()
    fault = Fault(code="new", detail="<img src=x onerror=alert(1)>", fix="<b>fix</b>", since_ns=0)
    house.say("recorder", lambda now_ns: saying.recorder(now_ns, faults=(fault,), warnings=("<i>",)))
    page = house.page()
    assert "<img src=x" not in page
    assert "<b>fix" not in page
    assert "<i>" not in page
    assert "&lt;b&gt;fix" in page


def test_nobody_there_is_three_faults_and_a_page(house: House) -> None:
    assert [fault["code"] for fault in house.status()["faults"]] == ["panel-silent", "recorder-silent", "vault-silent"]
    page = house.page()
    assert '<p class="kept-today">niet bekend</p>' in page
    assert "geen informatie" in page


@pytest.mark.parametrize("process", ["panel", "recorder", "vault"])
def test_a_process_that_says_nothing_is_a_fault_in_bounded_time(house: House, process: str) -> None:
    house.in_order()
    house.status()
    house.silence(process)
    with listen(house.path(process), backlog=1):  # accepted by the kernel, never answered; then its queue is full
        for _ in range(3):
            began = time.monotonic()
            status = house.status()
            assert time.monotonic() - began < BOUND_S
            [fault] = status["faults"]
            assert fault["code"] == f"{process}-silent"
            assert fault["detail"] == f"The {process} does not answer."
            assert fault["fix"]
            assert fault["since"] is not None
    house.in_order()
    assert house.status()["faults"] == []


def test_a_process_that_drips_delays_nobody_beyond_the_bound(house: House) -> None:
    house.in_order()
    house.silence("vault")
    dripping = threading.Event()

    def drip(server: socket.socket) -> None:
        with contextlib.suppress(OSError), server.accept()[0] as client:
            while not dripping.wait(snapshots.PATIENCE_S / 4):
                client.sendall(b" ")

    with listen(house.path("vault")) as server:
        thread = threading.Thread(target=drip, args=(server,))
        thread.start()
        try:
            for _ in range(2):
                began = time.monotonic()
                assert [fault["code"] for fault in house.status()["faults"]] == ["vault-silent"]
                assert time.monotonic() - began < BOUND_S
        finally:
            dripping.set()
            thread.join(5)


@pytest.mark.parametrize("said", [b"", b"{}", b"no json", b"[" * 1000, b"x" * 70_000], ids=lambda said: f"{len(said)}")
def test_a_snapshot_that_cannot_be_read_is_a_fault(house: House, said: bytes) -> None:
    house.in_order()
    house.say_bytes("vault", lambda: said)
    [fault] = house.status()["faults"]
    assert fault["code"] == "vault-silent"
    assert fault["detail"] == "The vault answers with something that cannot be read."


def test_many_readers_cost_a_process_few_readings(house: House) -> None:
    house.in_order()
    house.status()
    before, began = dict(house.asked), time.monotonic()

    def is_asked_again() -> bool:
        return all(count > before[process] for process, count in house.asked.items())

    def read() -> None:
        with httpx.Client(base_url=house.client.base_url, trust_env=False) as client:
            for times in range(2_000):  # a quick machine answers the first 25 from one reading
                if times >= 25 and is_asked_again():
                    break
                assert client.get("/api/v1/status").status_code == 200

    readers = [threading.Thread(target=read) for _ in range(8)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(30)
    allowed = (time.monotonic() - began) * 4 + 1
    for process, count in house.asked.items():
        assert 0 < count - before[process] <= allowed


def test_only_get_and_head_exist_anywhere(calm: House) -> None:
    for path in (*PATHS, *STREAMS, "/nowhere", "/static/"):
        for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "QUERY", "BREW", "get"):
            answer = calm.client.send(_request(calm, method, path))
            assert answer.status_code == 405, (method, path)
            assert answer.headers["allow"] == "GET, HEAD"
    openapi = calm.client.get("/api/v1/openapi.json").json()
    assert {method for operations in openapi["paths"].values() for method in operations} == {"get"}
    api = {f"/api/v1/{name}" for name in ("status", "clips", "faults", "figures", "events")}
    assert set(openapi["paths"]) == {*api, "/healthz", "/readyz", "/metrics"}


def _request(house: House, method: str, path: str) -> httpx.Request:
    request = house.client.build_request(method, path)
    request.method = method  # httpx would make it upper case
    return request


@pytest.mark.parametrize("path", PATHS)
def test_head_is_get_without_the_body(calm: House, path: str) -> None:
    got, head = calm.client.get(path), calm.client.head(path)
    assert (got.status_code, head.status_code) == (200, 200)
    assert head.content == b""
    assert head.headers["content-type"] == got.headers["content-type"]
    assert int(head.headers["content-length"]) > 0


@pytest.mark.parametrize("path", [*PATHS, *STREAMS, "/nowhere"])
def test_every_answer_has_the_headers(calm: House, path: str) -> None:
    for method in ("HEAD", "POST") if path in STREAMS else ("GET", "HEAD", "POST"):
        answer = calm.client.request(method, path)
        for name, value in HEADERS.items():
            assert answer.headers.get_list(name) == [value], (method, name)
        assert "server" not in answer.headers
    assert "default-src 'none'" in HEADERS["content-security-policy"]
    assert HEADERS["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("host", "code"),
    [
        ("localhost", 200),
        ("LOCALHOST:8080", 200),
        ("127.0.0.1:1", 200),
        ("[::1]:8080", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost:80@evil.example", 421),
        ("localhost:", 421),
        ("[::1]evil", 421),
        ("[::2]", 421),
        ("", 421),
    ],
)
def test_only_its_own_names_are_answered(calm: House, host: str, code: int) -> None:
    assert calm.client.get("/healthz", headers={"host": host}).status_code == code


@pytest.mark.parametrize(
    "path", ["/docs", "/redoc", "/static/../app.py", "/static/%2e%2e/app.py", "/static//etc/passwd", "//", "/healthz/"]
)
def test_there_is_nothing_else(calm: House, path: str) -> None:
    with socket.create_connection(("127.0.0.1", calm.config.page.port), timeout=5) as sock:
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode("ascii"))
        assert sock.recv(65536).startswith(b"HTTP/1.1 404 ")


def test_no_answer_names_a_file_or_a_path(house: House) -> None:
    secret = f"{house.config.paths.store}/clips/{saying.CLIP_ID}/0000.age"
    fault = Fault(code="new", detail=f"{secret} is short", fix=f"see {secret}", since_ns=0)
    house.in_order()
    house.say("vault", lambda now_ns: saying.vault(now_ns, saying.clip(), faults=(fault,)))
    house.status()
    for path in PATHS:
        if path.endswith(".woff2"):
            continue
        text = house.client.get(path).text
        assert not re.search(r"\d\.age|store/|clips/", text)
        assert str(house.config.paths.store) not in text
        assert str(house.config.paths.run) not in text


def test_status_agrees_with_its_own_schema(calm: House) -> None:
    schema = calm.client.get("/api/v1/openapi.json").json()["components"]["schemas"]
    status = calm.status()
    assert set(status) == set(schema["RoomStatus"]["properties"])
    assert json.dumps(status)


def test_a_used_port_is_refused_in_one_line_that_names_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = int(taken.getsockname()[1])
        with pytest.raises(Refused, match=f"^port {port} on 127.0.0.1 is already in use; .*page.port$"):
            run(saying.config(port=port), threading.Event())


def test_it_says_where_it_serves_and_stops_when_told(capfd: pytest.CaptureFixture[str]) -> None:
    config = saying.config(port=free_port())
    with serving(config) as stop, httpx.Client(trust_env=False) as client:
        assert client.get(f"http://127.0.0.1:{config.page.port}/healthz").text == "ok\n"
        began = time.monotonic()
        stop.set()
    assert time.monotonic() - began < 3
    assert capfd.readouterr() == (f"page http://127.0.0.1:{config.page.port}/\n", "")
    with socket.create_server(("127.0.0.1", config.page.port)):
        pass  # the port is free again
