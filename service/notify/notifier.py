"""Watches the room and has it told: one thread with an event loop of its own, so that no receiver slows the page.

The panel is asked five times a second, alone, so that neither a hanging vault nor a busy page holds up a press; the
whole room once a second. Nothing is written: what was told is remembered here, and at the broker.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from typing import Final, Self

from edge import credentials
from edge.clock import SECOND
from edge.config import Config
from edge.ports import Clock
from edge.status import PanelStatus, RecorderStatus
from service.notify import events
from service.notify.events import Event, Kind, Told
from service.notify.mqtt import MqttSender, read_login
from service.notify.outbox import Outbox
from service.notify.together import together
from service.notify.webhook import WebhookSender, read_secret
from service.rooms import Channel, compose
from service.snapshots import Snapshots

LOOK_S: Final = 0.2  # at the panel; a press is to be told within 0.5 s
ROOM_S: Final = 1.0  # at everything
ALIVE_S: Final = (
    300.0  # to webhooks: one that is dead is found before the press, and so is this device when it is silent
)
_CLIP_S: Final = 0.1  # for the recorder to say which clip a press opened; longer the press does not wait
_AGAIN_S: Final = 5.0  # after an error of our own
_HUNG_S: Final = 30.0  # without a look: this thread does not tell anybody anything
_END_S: Final = 3.0  # for a sender to say goodbye
_JOIN_S: Final = 10.0

_log = logging.getLogger(__name__)


class Notifier:
    """Starts and stops with the page; without [notify] it does nothing. Raises Refused for a secret that is not there."""

    def __init__(self, config: Config, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._stop = threading.Event()
        self._task: tuple[asyncio.AbstractEventLoop, asyncio.Task[None] | None] | None = None
        self._told = Told()
        self._clip_of: dict[str, str] = {}
        self._looked_ns = clock.boot_ns()
        handed = credentials.folder()
        self._webhooks = [
            WebhookSender(
                hook,
                read_secret(hook.secret, handed),
                room=config.room,
                outbox=Outbox(f"webhook-{number}", clock),
                clock=clock,
            )
            for number, hook in enumerate(config.notify.webhooks, 1)
        ]
        self._mqtt: MqttSender | None = None
        if (broker := config.notify.mqtt) is not None:
            login = None if broker.login is None else read_login(broker.login, handed)
            self._mqtt = MqttSender(broker, login, room=config.room, outbox=Outbox("mqtt", clock), clock=clock)
        self._thread = threading.Thread(target=self._run, name="notify", daemon=True)

    def __enter__(self) -> Self:
        if self._senders:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._task is not None:
            loop, task = self._task
            if task is not None and not loop.is_closed():
                loop.call_soon_threadsafe(task.cancel)
        if self._thread.is_alive():
            self._thread.join(_JOIN_S)
            if self._thread.is_alive():
                raise RuntimeError(f"notifications did not stop within {_JOIN_S:.0f} s")

    def channels(self) -> tuple[Channel, ...]:
        """How telling each receiver goes, now. Any thread."""
        now_ns = self._clock.boot_ns()
        silent_s = round((now_ns - self._looked_ns) / SECOND, 1)
        states = tuple(sender.outbox.channel(now_ns) for sender in self._senders)
        if silent_s < _HUNG_S:
            return states
        return tuple(
            Channel(
                name=state.name,
                failing_seconds=max(silent_s, state.failing_seconds or 0.0),
                waiting=state.waiting,
                dropped=state.dropped,
            )
            for state in states
        )

    @property
    def _senders(self) -> list[WebhookSender | MqttSender]:
        return [*self._webhooks, *([] if self._mqtt is None else [self._mqtt])]

    def _run(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):  # told to stop
            asyncio.run(self._work())

    async def _work(self) -> None:
        self._task = asyncio.get_running_loop(), asyncio.current_task()
        while not self._stop.is_set():
            try:
                await self._tell()
            except Exception:  # noqa: BLE001 - whatever is wrong here must not end the telling for good
                _log.exception("notifications stopped; they begin again in %s s", _AGAIN_S)
                await asyncio.sleep(_AGAIN_S)

    async def _tell(self) -> None:
        paths = self._config.paths
        with Snapshots(paths, self._clock) as panel, Snapshots(paths, self._clock) as room:
            works = [sender.run() for sender in self._senders]
            if self._webhooks:
                works.append(self._say_alive())
            await together(*works, self._watch_panel(panel), self._watch_room(room), again_s=_END_S)

    async def _watch_panel(self, snapshots: Snapshots) -> None:
        while True:
            panel = await snapshots.panel()
            if isinstance(panel, PanelStatus):
                self._put(await self._news_of(panel, snapshots))
            await asyncio.sleep(LOOK_S)  # not a clock: between two looks

    async def _news_of(self, panel: PanelStatus, snapshots: Snapshots) -> tuple[Event, ...]:
        incident = panel.incident
        if incident is not None and incident.id not in self._clip_of and f"press-{incident.id}" not in self._told.panel:
            recorder = await snapshots.recorder(patience_s=_CLIP_S)
            if isinstance(recorder, RecorderStatus) and recorder.clip is not None:
                self._clip_of = {recorder.clip.incident: recorder.clip.clip}
        now_ns = self._clock.boot_ns()
        news, self._told = events.of_panel(self._told, panel, config=self._config, clip_of=self._clip_of, now_ns=now_ns)
        return news

    async def _watch_room(self, snapshots: Snapshots) -> None:
        while True:
            heard = await snapshots.read()
            now_ns = self._looked_ns = self._clock.boot_ns()
            room = compose(
                self._config, heard, now_ns=now_ns, now_wall_ns=self._clock.wall_ns(), channels=self.channels()
            )
            news, self._told = events.of_room(self._told, room, now_ns=now_ns)
            self._put(news)
            if self._mqtt is not None:
                self._mqtt.show(room)
            await asyncio.sleep(ROOM_S)  # not a clock: between two looks

    async def _say_alive(self) -> None:
        while True:
            now_ns = self._clock.boot_ns()
            until_ns = now_ns + round(ALIVE_S * SECOND)
            event = Event(kind=Kind.ALIVE, id=f"alive-{self._clock.boot_id[:8]}-{now_ns // SECOND}", until_ns=until_ns)
            for sender in self._webhooks:
                sender.outbox.put(event)
            await asyncio.sleep(ALIVE_S)  # not a clock: about so often

    def _put(self, news: tuple[Event, ...]) -> None:
        for event in news:
            for sender in self._senders:
                sender.outbox.put(event)
