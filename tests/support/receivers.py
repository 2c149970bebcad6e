"""Who is told of a room: a webhook that answers as a test wants, a real Mosquitto, and a subscriber at it."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.processes import CLOCK, eventually, free_port, until


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """One request as it came in."""

    headers: dict[str, str]
    body: bytes
    at_ns: int

    @property
    def json(self) -> dict[str, Any]:
        said: dict[str, Any] = json.loads(self.body)
        return said


class Receiver:
    """A webhook's other end. `answers` are used up one a request, the last one stays: a status, or how it goes wrong.

    hang: no answer until the test ends. drip: an answer without end, a byte at a time. reset: cut off.
    """

    def __init__(self, *answers: int | str, port: int = 0) -> None:
        self.answers = list(answers) or [204]
        self.posted: list[Posted] = []
        self.over = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                outer.posted.append(Posted(headers=headers, body=body, at_ns=CLOCK.boot_ns()))
                answer = outer.answers.pop(0) if len(outer.answers) > 1 else outer.answers[0]
                with contextlib.suppress(OSError):  # the sender did not wait
                    self._answer(answer)

            def _answer(self, answer: int | str) -> None:
                if answer == "hang":
                    outer.over.wait(30)
                elif answer == "reset":
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.connection.close()
                elif answer == "drip":
                    while not outer.over.wait(0.05):
                        self.wfile.write(b"H")
                else:
                    self.send_response(int(answer))
                    if int(answer) in (302, 307):
                        self.send_header("location", f"http://127.0.0.1:{outer.port}/elsewhere")
                    self.send_header("content-length", "0")
                    self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?key=s3cret-in-the-address"

    def told(self, kind: str) -> list[dict[str, Any]]:
        """What was posted of one kind, oldest first."""
        return [said for said in (one.json for one in list(self.posted)) if said["kind"] == kind]

    def wait(self, kind: str, count: int = 1) -> list[dict[str, Any]]:
        until(lambda: len(self.told(kind)) >= count, what=f"{count} of {kind}", patience_s=15)
        return self.told(kind)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


class Broker:
    """A Mosquitto of the test's own, on a port of loopback. Keeps nothing when it is restarted."""

    def __init__(self, folder: Path, *, user: str = "", password: str = "", certificate: Path | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self._log = folder / "mosquitto.log"
        lines = [f"listener {self.port} 127.0.0.1", "persistence false", "user root", f"log_dest file {self._log}"]
        if user:
            passwords = folder / "passwords"
            subprocess.run(["mosquitto_passwd", "-b", "-c", passwords, user, password], check=True, capture_output=True)
            lines += [f"password_file {passwords}", "allow_anonymous false"]
        else:
            lines.append("allow_anonymous true")
        if certificate is not None:
            lines += [f"certfile {certificate}", f"keyfile {certificate.with_suffix('.key')}"]
        self._file = folder / "mosquitto.conf"
        self._file.write_text("\n".join(lines) + "\n", "ascii")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/sbin:/bin") or "mosquitto"
        self._process = subprocess.Popen([program, "-c", self._file], stderr=subprocess.DEVNULL)
        until(self._answers, what="the broker", patience_s=10)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """One message as a subscriber gets it."""

    topic: str
    body: bytes
    is_retained: bool
    at_ns: int


class Subscriber:
    """Hears everything below one topic."""

    def __init__(self, port: int, topic: str) -> None:
        self.heard: list[Heard] = []
        self._topic = topic
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = self._on_message
        self._is_subscribed = threading.Event()
        self._client.on_connect = lambda client, *_: client.subscribe(f"{topic}/#", qos=1)
        self._client.on_subscribe = lambda *_: self._is_subscribed.set()
        self._client.reconnect_delay_set(1, 1)
        self._client.connect("127.0.0.1", port)

    def _on_message(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        topic = message.topic.removeprefix(f"{self._topic}/")
        self.heard.append(
            Heard(topic=topic, body=bytes(message.payload), is_retained=message.retain, at_ns=CLOCK.boot_ns())
        )

    def all(self, topic: str) -> list[bytes]:
        return [one.body for one in list(self.heard) if one.topic == topic]

    def events(self, kind: str) -> list[dict[str, Any]]:
        return [json.loads(body) for body in self.all(f"event/{kind}")]

    def wait(self, topic: str, body: bytes | None = None) -> bytes:
        """The first message there, or the first with this body."""

        def found() -> bytes | None:
            return next((one for one in self.all(topic) if body is None or one == body), None)

        return eventually(found, what=f"{topic} {body!r}", patience_s=40)

    def __enter__(self) -> Self:
        self._client.loop_start()
        assert self._is_subscribed.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@contextlib.contextmanager
def subscribed(broker: Broker, topic: str) -> Iterator[Subscriber]:
    with Subscriber(broker.port, topic) as subscriber:
        yield subscriber
