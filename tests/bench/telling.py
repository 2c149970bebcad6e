"""How long a press takes from the button to who is told, over the real panel, recorder, vault and service."""

from __future__ import annotations

import base64
import contextlib
import os
from pathlib import Path
from subprocess import Popen

from edge.config import load
from edge.status import PanelStatus, RecorderState, RecorderStatus
from tests.support.processes import CLOCK, Room, until
from tests.support.receivers import Broker, Receiver, Subscriber

_TOPIC = "spreekkamer/bench"
_SETTLED_S = 0.12  # a hand: the contact must have settled, else the next press is bounce


def press_to_told(folder: Path, run: Path, video: Path, *, presses: int) -> tuple[list[int], list[int], int]:
    """Nanoseconds from the button's edge to the MQTT subscriber and to the webhook; how many knew the clip's number."""
    room = Room(folder, run, video)
    with contextlib.ExitStack() as stack:
        broker = stack.enter_context(Broker(folder / "broker"))
        receiver = stack.enter_context(Receiver())
        subscriber = stack.enter_context(Subscriber(broker.port, _TOPIC))
        _tell_both(room, broker, receiver)
        guard = stack.enter_context(room.process("guard", "--keyboard"))
        _say(guard, "ready")
        for command in ("keep", "record", "show"):
            stack.enter_context(room.process(command))
        until(lambda: _state(room) is RecorderState.LISTENING, what="listening")
        subscriber.wait("online", b"online")
        receiver.wait("alive")
        began_ns = {}
        for number in range(1, presses + 1):
            CLOCK.sleep(os.urandom(1)[0] / 1000)  # at no fixed moment of the service's looks
            name, pressed_ns = _press(room, guard)
            began_ns[name] = pressed_ns
            until(lambda number=number: len(subscriber.events("press")) >= number, what="MQTT")  # type: ignore[misc]
            receiver.wait("press", number)
            _say(guard, "reset 1")
            until(lambda: not _panel(room).is_alarm_on, what="the reset")
            _say(guard, "reset 0")
            until(lambda: _state(room) is RecorderState.LISTENING, what="the next incident's room")
        by_mqtt = [one.at_ns for one in subscriber.heard if one.topic == "event/press"]
        by_hook = [one.at_ns for one in receiver.posted if one.json["kind"] == "press"]
        heard, posted = subscriber.events("press"), receiver.told("press")
        return (
            [at_ns - began_ns[said["incident"]] for at_ns, said in zip(by_mqtt, heard, strict=True)],
            [at_ns - began_ns[said["incident"]] for at_ns, said in zip(by_hook, posted, strict=True)],
            sum(said["clip"] is not None for said in heard),
        )


def _tell_both(room: Room, broker: Broker, receiver: Receiver) -> None:
    secret = room.config_file.parent / "webhook-secret"
    secret.write_text(f"whsec_{base64.b64encode(os.urandom(32)).decode()}\n", "ascii")
    secret.chmod(0o600)
    with room.config_file.open("a", encoding="utf-8") as file:
        file.write(
            f'\n[notify]\nwebhooks = [{{ url = "{receiver.url}", secret = "{secret}" }}]\n'
            f'mqtt = {{ host = "127.0.0.1", port = {broker.port}, tls = false, topic = "{_TOPIC}" }}\n'
        )
    room.config = load(room.config_file)


def _press(room: Room, guard: Popen[bytes]) -> tuple[str, int]:
    """One press of a room at rest: the incident's id and the edge's time."""
    _say(guard, "panic 1")
    until(lambda: _panel(room).is_alarm_on, what="the alarm")
    incident = _panel(room).incident
    assert incident is not None
    _say(guard, "panic 0")
    CLOCK.sleep(_SETTLED_S)
    return incident.id, incident.pressed_ns


def _panel(room: Room) -> PanelStatus:
    until(lambda: room.panel() is not None, what="the panel")
    status = room.panel()
    assert status is not None
    return status


def _state(room: Room) -> RecorderState | None:
    status = room.status(RecorderStatus, "recorder")
    return status.state if status else None


def _say(guard: Popen[bytes], line: str) -> None:
    assert guard.stdin is not None
    guard.stdin.write(f"{line}\n".encode())
    guard.stdin.flush()
