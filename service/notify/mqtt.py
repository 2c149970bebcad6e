"""The broker: events, and the room's state for whoever comes later. The only user of aiomqtt.

TOPIC/online        retained    online | offline; the broker itself says offline when this device falls silent
TOPIC/state         retained    the room as JSON, each time it changes
TOPIC/told          retained    the ids of the newest events, so that a service that starts again repeats none
TOPIC/event/KIND                one event as JSON, QoS 1
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edge import credentials
from edge.config import Mqtt, Room
from edge.errors import NotDelivered, Refused
from edge.ports import Clock
from service.notify.message import message
from service.notify.outbox import Outbox
from service.notify.together import together
from service.rooms import RoomStatus

if TYPE_CHECKING:
    import aiomqtt

KEEP_ALIVE_S: Final = 20  # the broker gives up after one and a half times this: well within the promised 60 s
PATIENCE_S: Final = 10.0
TOLD: Final = 128  # ids that are kept at the broker
_GOODBYE_S: Final = 1.0
_REMEMBER_S: Final = 1.0  # for the broker to say what was told before; it has it at hand or has nothing
_TOLD_BYTES: Final = 64 * 1024

_log = logging.getLogger(__name__)


class Login:
    """User and password. Shown, it tells nothing."""

    def __init__(self, user: str, password: str) -> None:
        self.user = user
        self.password = password

    def __repr__(self) -> str:
        return "Login()"


def read_login(name: str, folder: Path | None) -> Login:
    """Read `user:password` from a file or a credential. Raises Refused, without any of the content."""
    text = credentials.read(name, folder, what="MQTT login", reader="service", error=Refused)
    parts = credentials.login(text)
    if parts is None:
        raise Refused(f"MQTT login {name}: is not one line of user:password in UTF-8")
    return Login(*parts)


class MqttSender:
    """Tells one broker. Runs until it is cancelled; then it says that the device is gone, and goes."""

    def __init__(self, broker: Mqtt, login: Login | None, *, room: Room, outbox: Outbox, clock: Clock) -> None:
        self.outbox = outbox
        self._broker = broker
        self._login = login
        self._room = room
        self._clock = clock
        self._state: bytes | None = None
        self._state_changed = asyncio.Event()
        self._told: list[str] = []
        self._is_remembered = False  # the broker was asked what it keeps of us

    def show(self, room: RoomStatus) -> None:
        """Have the room's state stand at the broker. Only the newest counts."""
        state = json.dumps(_state(room), ensure_ascii=False).encode()
        if state != self._state:
            self._state = state
            self._state_changed.set()

    async def run(self) -> None:
        while True:
            try:
                await self._connected()
            except NotDelivered as err:
                if self.outbox.channel(self._clock.boot_ns()).failing_seconds is None:  # once an outage
                    _log.warning("mqtt: %s", err)
                self.outbox.failed()
                await self.outbox.pause()

    async def _connected(self) -> None:
        import aiomqtt  # noqa: PLC0415 - only where there is a broker

        try:
            async with self._client() as client:
                await self._serve(client)
        except (aiomqtt.MqttError, OSError, ValueError) as err:
            raise NotDelivered(str(err).splitlines()[0][:200] if str(err) else type(err).__name__) from None

    def _client(self) -> aiomqtt.Client:
        import aiomqtt  # noqa: PLC0415 - as above

        login = self._login
        return aiomqtt.Client(
            self._broker.host,
            self._broker.port or (8883 if self._broker.tls else 1883),
            username=None if login is None else login.user,
            password=None if login is None else login.password,
            # The same each time: the will of a connection that died unnoticed must not come after a new one is made.
            identifier=f"spreekkamer-{hashlib.sha256(self._broker.topic.encode()).hexdigest()[:10]}",
            will=aiomqtt.Will(self._topic("online"), "offline", qos=1, retain=True),
            timeout=PATIENCE_S,
            keepalive=KEEP_ALIVE_S,
            max_queued_incoming_messages=4,
            # The machine's own trust, where a municipality adds its authority.
            tls_context=ssl.create_default_context() if self._broker.tls else None,
        )

    async def _serve(self, client: aiomqtt.Client) -> None:
        """Until the connection is lost. Raises MqttError."""
        await self._remember(client)
        await self._publish(client, "online", b"online", retain=True)
        self.outbox.reached()
        self._state_changed.set()
        try:
            await together(self._tell(client), self._keep_state(client), _until_lost(client), again_s=0.2)
        except asyncio.CancelledError:
            # A clean goodbye sends no will, so it is said; if it cannot be, the broker finds out by itself.
            with contextlib.suppress(Exception):
                await client.publish(self._topic("online"), b"offline", qos=1, retain=True, timeout=_GOODBYE_S)
            raise

    async def _remember(self, client: aiomqtt.Client) -> None:
        """Ask the broker, once, what was told before this process began."""
        if self._is_remembered:
            return
        topic = self._topic("told")
        await client.subscribe(topic, qos=1)
        with contextlib.suppress(TimeoutError):  # nothing was told, or nothing is kept
            async with asyncio.timeout(_REMEMBER_S):
                self._told = _ids(await anext(client.messages))
        await client.unsubscribe(topic)
        self._is_remembered = True

    async def _tell(self, client: aiomqtt.Client) -> None:
        told = self._told
        while True:
            event = await self.outbox.next()
            if event.id not in told:
                body = message(event, self._room, now_ns=self._clock.boot_ns())
                await self._publish(client, f"event/{event.kind.value}", body)
                told.append(event.id)
                del told[:-TOLD]
            self.outbox.delivered(event)
            await self._publish(client, "told", json.dumps(told).encode(), retain=True)

    async def _keep_state(self, client: aiomqtt.Client) -> None:
        while True:
            await self._state_changed.wait()
            self._state_changed.clear()
            if self._state is not None:
                await self._publish(client, "state", self._state, retain=True)

    async def _publish(self, client: aiomqtt.Client, name: str, body: bytes, *, retain: bool = False) -> None:
        await client.publish(self._topic(name), body, qos=1, retain=retain)

    def _topic(self, name: str) -> str:
        return f"{self._broker.topic}/{name}"


async def _until_lost(client: aiomqtt.Client) -> None:
    async for _ in client.messages:
        pass  # nothing is asked for; the iterator raises when the connection is lost


def _ids(kept: aiomqtt.Message) -> list[str]:
    """What the broker keeps of us, if that is what it is."""
    if len(kept.payload) > _TOLD_BYTES:
        return []
    try:
        ids = json.loads(kept.payload)
    except ValueError:
        return []
    return [name for name in ids if isinstance(name, str)][-TOLD:] if isinstance(ids, list) else []


def _state(room: RoomStatus) -> dict[str, Any]:
    """What stands at the broker: nothing in it moves by itself, so that it changes only when the room does."""
    return {
        "room": room.room,
        "building": room.building,
        "state": room.state.value,
        "in_order": room.in_order,
        "is_stale": room.is_stale,
        "is_alarm_on": room.alarm.is_on,
        "clips": room.clips_total,
        "faults": [{"process": process, "code": code} for process, code in _faults(room)],
    }


def _faults(room: RoomStatus) -> list[tuple[str, str]]:
    return sorted({(fault.process, fault.code) for fault in room.faults})
