"""Notifications by the real service: to webhooks that are down, slow or wrong, and to a real Mosquitto."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gc
import json
import logging
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Never

import pytest

from edge.clock import SECOND
from edge.config import Config, Mqtt, Notify, Webhook
from edge.errors import Refused
from edge.messages import Incident
from edge.status import ClipProgress, ClipStatus, Fault
from edge.wire import listen
from service.notify import notifier as notifier_module
from service.notify import outbox as outbox_module
from service.notify import webhook as webhook_module
from service.notify.events import Kind
from service.notify.notifier import Notifier
from service.notify.outbox import LIMIT
from service.snapshots import Snapshots
from tests.service import saying
from tests.service.test_app import House, serving
from tests.support.processes import CLOCK, free_port, spreekkamer, until
from tests.support.receivers import Broker, Posted, Receiver, subscribed

# paho leaves the socket of a refused certificate to the garbage collector, which may come in a later test.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <ssl.SSLSocket:pytest.PytestUnraisableExceptionWarning"
)

TOPIC = "spreekkamer/stadhuis/2"
DOCUMENT = Path(__file__).parents[2] / "docs" / "notifications.md"
KEY = bytes(range(32))
LINE = f"whsec_{base64.b64encode(KEY).decode()}\n"


def incident(name: str = "a1", *, ago_s: int = 0) -> Incident:
    now_ns = CLOCK.boot_ns() - ago_s * SECOND
    return Incident(
        id=name,
        pressed_ns=now_ns,
        pressed_wall_ns=CLOCK.wall_ns() - ago_s * SECOND,
        is_wall_trusted=True,
        until_ns=now_ns + 300 * SECOND,
        presses=1,
    )


class Told(House):
    """A room whose processes a test plays, and who is told of it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.secret = folder / "secret"
        self.secret.write_text(LINE)
        self.secret.chmod(0o600)

    def notify(self, *receivers: Receiver | str, mqtt: Mqtt | None = None) -> Config:
        urls = [one if isinstance(one, str) else one.url for one in receivers]
        hooks = tuple(Webhook(url=url, secret=str(self.secret)) for url in urls)
        self.config = self.config.model_copy(update={"notify": Notify(webhooks=hooks, mqtt=mqtt)})
        return self.config

    def press(self, name: str = "a1", *, ago_s: int = 0) -> None:
        pressed = incident(name, ago_s=ago_s)
        self.say("panel", lambda now_ns: saying.panel(now_ns, incident=pressed))

    def hold(self, *clips: ClipStatus) -> None:
        self.say("vault", lambda now_ns: saying.vault(now_ns, *clips))

    def fault(self, *codes: str) -> None:
        faults = tuple(Fault(code=code, detail="d", fix="f", since_ns=CLOCK.boot_ns()) for code in codes)
        self.say("vault", lambda now_ns: saying.vault(now_ns, faults=faults))


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    """Everything is quicker than in earnest, so that a test waits for what happens and not for the hour."""
    monkeypatch.setattr(outbox_module, "_FIRST_PAUSE_S", 0.02)
    monkeypatch.setattr(outbox_module, "_LONGEST_PAUSE_S", 0.1)
    monkeypatch.setattr(webhook_module, "PATIENCE_S", 0.5)
    monkeypatch.setattr(notifier_module, "LOOK_S", 0.02)
    monkeypatch.setattr(notifier_module, "ROOM_S", 0.05)
    with tempfile.TemporaryDirectory(prefix="sk-") as folder:
        told = Told(Path(folder))
        told.say("panel", saying.panel)
        told.say("recorder", saying.recorder)
        told.say("vault", saying.vault)
        with told.stack:
            yield told


def broker_of(broker: Broker) -> Mqtt:
    return Mqtt(host="127.0.0.1", port=broker.port, tls=False, topic=TOPIC)


def is_failing(notifier: Notifier) -> bool:
    return any(channel.failing_seconds is not None for channel in notifier.channels())


def waiting(notifier: Notifier) -> int:
    return max(channel.waiting for channel in notifier.channels())


# Webhooks


def signature_by_openssl(posted: Posted) -> str:
    signed = f"{posted.headers['webhook-id']}.{posted.headers['webhook-timestamp']}.".encode() + posted.body
    digest = subprocess.run(
        ["openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt", f"hexkey:{KEY.hex()}", "-binary"],
        input=signed,
        capture_output=True,
        check=True,
    ).stdout
    return f"v1,{base64.b64encode(digest).decode()}"


def test_a_press_is_posted_with_its_clip_and_a_signature_that_openssl_confirms(room: Told) -> None:
    progress = ClipProgress(
        clip=saying.CLIP_ID,
        incident="a1",
        opened_ns=CLOCK.boot_ns(),
        pre_roll_asked_s=30,
        pre_roll_delivered_s=30,
        pre_roll_safe_ns=None,
        safe_ns=None,
        is_open=True,
        segments=0,
        segments_safe=0,
        waiting_bytes=0,
    )
    room.say("recorder", lambda now_ns: saying.recorder(now_ns, clip=progress))
    with Receiver() as receiver, Notifier(room.notify(receiver), CLOCK):
        [alive] = receiver.wait("alive")
        assert alive["text"] == "Spreekkamer 2, Stadhuis is er nog."
        room.press()
        [press] = receiver.wait("press")
    assert (press["id"], press["clip"], len(press["checklist"])) == ("press-a1", saying.CLIP_ID, 4)
    for posted in receiver.posted:
        assert posted.headers["webhook-signature"] == signature_by_openssl(posted)
        assert posted.headers["webhook-id"] == posted.json["id"]
        assert abs(int(posted.headers["webhook-timestamp"]) - CLOCK.wall_ns() // SECOND) < 60
        assert posted.headers["content-type"] == "application/json"


def test_a_press_does_not_wait_for_a_look_at_the_room_that_hangs(room: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hangs(_: Snapshots) -> Never:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(Snapshots, "read", hangs)
    with Receiver() as receiver, Notifier(room.notify(receiver), CLOCK):
        room.press()
        receiver.wait("press")


def test_a_press_of_which_the_recorder_says_nothing_is_told_without_a_clip(room: Told) -> None:
    room.silence("recorder")
    with listen(room.path("recorder")), Receiver() as receiver, Notifier(room.notify(receiver), CLOCK):
        room.press()
        [press] = receiver.wait("press")
    assert press["clip"] is None


@pytest.mark.parametrize("wrong", [500, 302, 401, "hang", "drip", "reset"])
def test_a_receiver_that_goes_wrong_is_tried_until_it_takes_the_press(room: Told, wrong: int | str) -> None:
    with Receiver(wrong, wrong, 204) as receiver, Notifier(room.notify(receiver), CLOCK) as notifier:
        room.press()
        until(lambda: receiver.posted != [] and is_failing(notifier), what="a failure")
        receiver.wait("press")
        until(lambda: waiting(notifier) == 0 and not is_failing(notifier), what="the delivery")
        ids = [posted.headers["webhook-id"] for posted in receiver.posted]
    assert {posted.headers["webhook-id"] for posted in receiver.posted if "press" in posted.headers["webhook-id"]} == {
        "press-a1"
    }
    assert len(ids) >= 3


def test_a_redirect_is_not_followed(room: Told) -> None:
    with Receiver() as elsewhere, Receiver(307) as receiver:  # which asks for the same POST elsewhere
        receiver_port, receiver.port = receiver.port, elsewhere.port  # where it redirects to
        config = room.notify(f"http://127.0.0.1:{receiver_port}/hook")
        with Notifier(config, CLOCK) as notifier:
            room.press()
            receiver.wait("press", 2)
            assert is_failing(notifier)
        assert elsewhere.posted == []


def test_a_receiver_that_was_down_is_told_what_still_matters_and_nothing_else(room: Told) -> None:
    with Receiver() as receiver:
        port = receiver.port
    with Notifier(room.notify(f"http://127.0.0.1:{port}/"), CLOCK) as notifier:
        until(lambda: is_failing(notifier), what="the failure")
        room.press(ago_s=3 * 3600)
        until(lambda: waiting(notifier) >= 2, what="the press")
        room.fault("store", "low-space")
        until(lambda: waiting(notifier) >= 4, what="the faults")
        room.fault("low-space")
        until(lambda: waiting(notifier) == 3, what="the end of one")
        with Receiver(port=port) as back:
            [press] = back.wait("press")
            [fault] = back.wait("fault")
            until(lambda: waiting(notifier) == 0, what="all of it")
    assert press["is_late"] is True
    assert fault["code"] == "low-space"


def test_a_receiver_that_never_answers_gets_a_bounded_queue_and_holds_up_nobody(room: Told) -> None:
    with Receiver("hang") as stuck, Receiver() as well, Notifier(room.notify(stuck, well), CLOCK) as notifier:
        until(lambda: len(stuck.posted) > 0, what="the first try")
        for number in range(0, LIMIT + 20, 10):
            held = tuple(
                saying.clip(id=f"20261122T101502Z-{name:04d}".replace("0", "a").replace("1", "b"), **FRESH)
                for name in range(number, number + 10)
            )
            room.hold(*held)
            well.wait("clip-safe", number + 10)
        room.press()
        well.wait("press")
        until(lambda: notifier.channels()[1].waiting == 0, what="its last answer")
        slow, quick = notifier.channels()
        assert slow.waiting <= LIMIT
        assert slow.dropped > 0
        assert quick.dropped == 0


FRESH: dict[str, Any] = {"pressed_at": "2099-01-01T00:00:00Z", "expires_at": "2099-01-04T00:00:00Z"}


def test_neither_address_nor_secret_is_in_a_log_or_a_repr(room: Told, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with Receiver(500) as receiver:
        config = room.notify(receiver)
        with Notifier(config, CLOCK) as notifier:
            until(lambda: is_failing(notifier), what="the failure")
            shown = f"{config!r} {notifier!r} {vars(notifier)!r} {[vars(s) for s in notifier._webhooks]!r}"
            shown = shown.replace(f"'_url': {receiver.url!r}", "")  # the one place that must have it
    assert "answered 500" in caplog.text
    for text in (shown, caplog.text):
        assert "s3cret-in-the-address" not in text
        assert LINE.strip().removeprefix("whsec_") not in text


@pytest.mark.parametrize(
    ("content", "mode", "told"),
    [
        (LINE, 0o644, "others may read it; chmod 600"),
        ("s3cret", 0o600, "is not whsec_ and 24 to 64 bytes in base64"),
        ("whsec_czNjcmV0", 0o600, "is not whsec_ and 24 to 64 bytes in base64"),
        ("whsec_s3cret!", 0o600, "make one with: echo"),
        (None, 0o600, "cannot be read: No such file"),
    ],
)
def test_a_bad_secret_is_refused_at_the_start(room: Told, content: str | None, mode: int, told: str) -> None:
    room.secret.unlink()
    if content is not None:
        room.secret.write_text(content)
        room.secret.chmod(mode)
    with pytest.raises(Refused) as refused:
        Notifier(room.notify("http://127.0.0.1:9/"), CLOCK)
    assert told in str(refused.value)
    assert "s3cret" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_receiver_of_the_documentation_takes_what_is_ours_and_nothing_else(room: Told, tmp_path: Path) -> None:
    [code] = re.findall(r"<!-- receiver -->\n```python\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    program, other = tmp_path / "receiver.py", tmp_path / "other"
    program.write_text(code)
    other.write_text(f"whsec_{base64.b64encode(bytes(32)).decode()}\n")
    ports = free_port(), free_port()
    with contextlib.ExitStack() as stack:
        ours, theirs = (
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-W", "ignore", program, secret, str(port)], stdout=subprocess.PIPE, text=True
                )
            )
            for secret, port in zip((room.secret, other), ports, strict=True)
        )
        stack.callback(ours.kill)
        stack.callback(theirs.kill)
        config = room.notify(*(f"http://127.0.0.1:{port}/" for port in ports))
        stack.enter_context(Notifier(config, CLOCK))
        assert ours.stdout is not None
        assert theirs.stdout is not None
        assert ours.stdout.readline() == "Spreekkamer 2, Stadhuis is er nog.\n"
        assert theirs.stdout.readline() == "refused\n"


def test_the_documentation_has_every_kind() -> None:
    for kind in Kind:
        assert f"| `{kind.value}` |" in DOCUMENT.read_text("utf-8")


# MQTT


def test_the_broker_has_the_room_and_its_events(room: Told, tmp_path: Path) -> None:
    with Broker(tmp_path) as broker, subscribed(broker, TOPIC) as subscriber:
        with Notifier(room.notify(mqtt=broker_of(broker)), CLOCK):
            subscriber.wait("online", b"online")
            state = json.loads(subscriber.wait("state"))
            assert state | {"state": "listening", "in_order": True, "is_alarm_on": False, "faults": []} == state
            room.press()
            subscriber.wait("event/press")
            room.fault("store")
            subscriber.wait("event/fault")
            until(
                lambda: any(json.loads(body)["in_order"] is False for body in subscriber.all("state")),
                what="the state with the fault",
            )
        subscriber.wait("online", b"offline")  # a clean stop sends no will
        [press] = subscriber.events("press")
        assert (press["room"], press["building"]) == ("Spreekkamer 2", "Stadhuis")
        with subscribed(broker, TOPIC) as later:
            later.wait("state")
            later.wait("told")
            later.wait("online", b"offline")
            assert {one.topic for one in later.heard} == {"online", "state", "told"}
            assert all(one.is_retained for one in later.heard)


def test_a_service_that_starts_again_tells_the_broker_nothing_twice(room: Told, tmp_path: Path) -> None:
    with Broker(tmp_path) as broker, subscribed(broker, TOPIC) as subscriber:
        config = room.notify(mqtt=broker_of(broker))
        room.press()
        with Notifier(config, CLOCK):
            until(lambda: b"press-a1" in b"".join(subscriber.all("told")), what="the note at the broker")
        with Notifier(config, CLOCK):
            until(lambda: subscriber.all("online").count(b"online") == 2, what="the second service")
            room.press("b2")
            until(lambda: len(subscriber.events("press")) >= 2, what="the second press")
        assert [press["id"] for press in subscriber.events("press")] == ["press-a1", "press-b2"]


def test_a_broker_that_was_restarted_has_the_state_again_and_what_happened_meanwhile(
    room: Told, tmp_path: Path
) -> None:
    with Broker(tmp_path) as broker, Notifier(room.notify(mqtt=broker_of(broker)), CLOCK) as notifier:
        with subscribed(broker, TOPIC) as before:
            before.wait("state")
        broker.stop()
        until(lambda: is_failing(notifier), what="the failure")
        room.press()
        until(lambda: waiting(notifier) == 1, what="the press")
        broker.start()
        with subscribed(broker, TOPIC) as after:
            assert json.loads(after.wait("state"))["room"] == "Spreekkamer 2"
            after.wait("online", b"online")
        until(lambda: waiting(notifier) == 0 and not is_failing(notifier), what="the delivery")


def test_a_press_in_an_outage_of_the_broker_reaches_who_subscribes_again(room: Told, tmp_path: Path) -> None:
    with (
        Broker(tmp_path) as broker,
        subscribed(broker, TOPIC) as subscriber,
        Notifier(room.notify(mqtt=broker_of(broker)), CLOCK) as notifier,
    ):
        subscriber.wait("online", b"online")
        broker.stop()
        until(lambda: is_failing(notifier), what="the failure")
        broker.start()
        until(lambda: subscriber.all("online").count(b"online") >= 2, what="both are back")
        room.press()
        subscriber.wait("event/press")


def test_a_login_over_tls_is_needed_and_enough(
    room: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    certificate = tmp_path / "broker.pem"
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=DNS:localhost"]
    files = ["-out", str(certificate), "-keyout", str(certificate.with_suffix(".key"))]
    subprocess.run([*make, *names, *files], check=True, capture_output=True)
    login = tmp_path / "login"
    login.write_text("room-2:pass:wörd\n")
    login.chmod(0o600)
    with Broker(tmp_path / "b", user="room-2", password="pass:wörd", certificate=certificate) as broker:
        mqtt = Mqtt(host="localhost", port=broker.port, topic=TOPIC, login=str(login))
        with Notifier(room.notify(mqtt=mqtt), CLOCK) as notifier:
            until(lambda: is_failing(notifier), what="the refusal of a certificate that nobody vouches for")
        assert "CERTIFICATE_VERIFY_FAILED" in caplog.text
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        with Notifier(room.notify(mqtt=mqtt), CLOCK) as notifier:
            until(lambda: notifier._mqtt is not None and notifier._mqtt._is_remembered, what="the login")
            assert not is_failing(notifier)
        without = mqtt.model_copy(update={"login": None})
        with Notifier(room.notify(mqtt=without), CLOCK) as notifier:
            until(lambda: is_failing(notifier), what="the refusal without a login")
    assert "wörd" not in caplog.text
    gc.collect()


def test_a_broker_that_says_nothing_stops_neither_the_others_nor_the_end(room: Told) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute, Receiver() as receiver:
        mqtt = Mqtt(host="127.0.0.1", port=mute.getsockname()[1], tls=False, topic=TOPIC)
        with Notifier(room.notify(receiver, mqtt=mqtt), CLOCK):
            room.press()
            receiver.wait("press")


def test_what_the_broker_keeps_of_us_may_be_anything(room: Told, tmp_path: Path) -> None:
    for body in (b"\xff[1, null]", b"[" * 100_000):
        with Broker(tmp_path) as broker, subscribed(broker, TOPIC) as subscriber:
            subscriber._client.publish(f"{TOPIC}/told", body, qos=1, retain=True).wait_for_publish(10)
            room.press()
            with Notifier(room.notify(mqtt=broker_of(broker)), CLOCK):
                subscriber.wait("event/press")


# The process


def toml(room: Told, broker: Broker | None, *urls: str) -> Path:
    hooks = ", ".join(f'{{ url = "{url}", secret = "{room.secret}" }}' for url in urls)
    mqtt = (
        f'\n[notify.mqtt]\nhost = "127.0.0.1"\nport = {broker.port}\ntls = false\ntopic = "{TOPIC}"' if broker else ""
    )
    file = room.config.paths.run / "config.toml"
    file.write_text(
        f'[room]\nname = "Spreekkamer 2"\nbuilding = "Stadhuis"\n'
        f"[panel]\npanic = {{ pin = 17 }}\nalarm = {{ pin = 5 }}\n"
        f'[page]\nport = {room.config.page.port}\n[paths]\nrun = "{room.config.paths.run}"\n'
        f"[notify]\nwebhooks = [{hooks}]{mqtt}\n"
    )
    return file


@contextlib.contextmanager
def show(file: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(spreekkamer("show", "--config", file), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_killed_service_is_noticed_by_its_last_will(room: Told, tmp_path: Path) -> None:
    with Broker(tmp_path) as broker, subscribed(broker, TOPIC) as subscriber, show(toml(room, broker)) as process:
        subscriber.wait("online", b"online")
        room.press()
        subscriber.wait("event/press")
        process.kill()
        subscriber.wait("online", b"offline")


def test_a_stopped_service_says_goodbye_and_ends_well(room: Told, tmp_path: Path) -> None:
    with (
        Broker(tmp_path) as broker,
        Receiver() as receiver,
        subscribed(broker, TOPIC) as subscriber,
        show(toml(room, broker, receiver.url)) as process,
    ):
        subscriber.wait("state")
        receiver.wait("alive")
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=20)
        subscriber.wait("online", b"offline")
    assert (process.returncode, errors) == (0, b"")


@pytest.mark.long
def test_a_service_that_hangs_is_noticed_within_a_minute(room: Told, tmp_path: Path) -> None:
    with Broker(tmp_path) as broker, subscribed(broker, TOPIC) as subscriber, show(toml(room, broker)) as process:
        subscriber.wait("online", b"online")
        process.send_signal(signal.SIGSTOP)
        began_ns = CLOCK.boot_ns()
        subscriber.wait("online", b"offline")
        assert CLOCK.boot_ns() - began_ns < 60 * SECOND


def test_how_telling_goes_is_on_the_page_in_the_api_and_in_the_metrics(
    room: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.rooms.FAILING_S", 0.2)
    with Receiver(500) as receiver, room.client, serving(room.notify(receiver)):
        room.press()
        receiver.wait("press")
        until(lambda: room.status()["in_order"] is False, what="the fault")
        status = room.status()
        [channel] = status["notifications"]
        assert (channel["name"], channel["dropped"]) == ("webhook-1", 0)
        assert channel["waiting"] >= 1
        assert channel["failing_seconds"] > 0
        assert [(fault["process"], fault["code"]) for fault in status["faults"]] == [("service", "notify-failing")]
        page = room.page()
        assert "Meldingen over deze ruimte komen niet aan." in page
        assert "<dt>Melding via webhook-1</dt><dd>lukt al" in page
        metrics = room.client.get("/metrics").text
        assert 'spreekkamer_notify_failing{channel="webhook-1"} 1.0' in metrics
        assert 'spreekkamer_fault{code="notify-failing",process="service"} 1.0' in metrics
        for text in (page, metrics, json.dumps(status)):
            assert "s3cret-in-the-address" not in text
            assert str(receiver.port) not in text
        receiver.answers[:] = [204]
        until(lambda: room.status()["in_order"] is True, what="the end of it")
