"""`spreekkamer show`: the web server of one room. Caller: the command; `run` blocks its thread until told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import threading
from collections.abc import Generator
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from edge import credentials, systemd
from edge.clock import SystemClock
from edge.config import Config, Page
from service.app import create_app
from service.entrance import Entrance, open_entrance
from service.handshake import Handshakes
from service.listener import listen
from service.live import SEATS, Live
from service.logins import Logins
from service.notify.notifier import Notifier
from service.remote import Remotes
from service.snapshots import Snapshots
from service.theme import load

_CONNECTIONS: Final = SEATS + 64  # at once; beyond it the answer is 503. A room's page has a handful of readers.
_MOST: Final = (
    _CONNECTIONS + 64
)  # beyond it not even that: each costs a file descriptor, which asking the room takes too
_PATIENCE_S: Final = 10.0  # for a request to come in whole, and for a full buffer to be taken


def run(config: Config, stop: threading.Event) -> None:
    """Serve the page until `stop` is set.

    Raises Refused when port, theme or a secret of another cannot be had, BadConfig when certificate or password cannot.
    """
    clock = SystemClock()
    theme = load(config.page.theme)
    entrance = open_entrance(config.page, clock, credentials.folder())
    remotes = Remotes(config.page.rooms, clock, folder=credentials.folder()) if config.page.rooms else None
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(listen(config.page.bind, config.page.port, waiting=_CONNECTIONS))
        snapshots = stack.enter_context(Snapshots(config.paths, clock))
        watched = stack.enter_context(systemd.Notifier(clock))
        notifier = stack.enter_context(Notifier(config, clock))
        logins = stack.enter_context(Logins(entrance.password, clock)) if entrance.password else None
        app = create_app(
            config,
            snapshots=snapshots,
            clock=clock,
            entrance=entrance,
            logins=logins,
            remotes=remotes,
            theme=theme,
            channels=notifier.channels,
        )
        http: Any = _Connection  # or what makes one, after a handshake
        if entrance.tls is not None:
            http = Handshakes(entrance.tls.context, _Connection, patience_s=_PATIENCE_S)
        settings = uvicorn.Config(
            app,
            loop="asyncio",
            http=http,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            proxy_headers=False,  # uvicorn would believe anybody on this computer; service/access.py asks whom to believe
            server_header=False,
            limit_concurrency=_CONNECTIONS,
            timeout_graceful_shutdown=2,
        )
        address = _address(config.page, entrance)
        server = _Server(settings, stop=stop, live=app.state.live, remotes=remotes, address=address, watched=watched)
        asyncio.run(server.serve(sockets=[listener]))


class _Connection(H11Protocol):
    """Cuts off who asks for nothing, or does not take what was asked for: they would hold a place for ever."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > _MOST:
            transport.abort()
        else:
            self._expect()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.flow.write_paused:
            return
        cycle = getattr(self, "cycle", None)  # None before the first request, whatever its type says
        if cycle is not None and not cycle.response_complete:
            self._done()  # a whole request has come in
        elif self._deadline is None:
            self._expect()  # the beginning of a next one, which ended uvicorn's own limit between two

    def pause_writing(self) -> None:
        super().pause_writing()
        self._expect()

    def resume_writing(self) -> None:
        self._done()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._done()
        super().connection_lost(exc)

    def _expect(self) -> None:
        self._done()
        self._deadline = self.loop.call_later(_PATIENCE_S, self.transport.abort)

    def _done(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class _Server(uvicorn.Server):
    """Stops at an event instead of a signal: signals are the command's."""

    def __init__(
        self,
        settings: uvicorn.Config,
        *,
        stop: threading.Event,
        live: Live[Any],
        remotes: Remotes | None,
        address: str,
        watched: systemd.Notifier,
    ) -> None:
        super().__init__(settings)
        self._watched = watched
        self._remotes = remotes
        self._stop = stop
        self._live = live
        self._address = address

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        sys.stdout.write(f"page {self._address}\n")
        sys.stdout.flush()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        if self._remotes is not None:
            await self._remotes.aclose()

    async def on_tick(self, counter: int) -> bool:  # every 0.1 s
        self.should_exit = self.should_exit or self._stop.is_set()
        if self.should_exit:
            self._live.close()  # else each stream would be waited for
        else:
            self._watched.alive(f"page {self._address}")
        return await super().on_tick(counter)


def _address(page: Page, entrance: Entrance) -> str:
    scheme = "https" if entrance.tls else "http"
    name = page.names[0] if page.names else f"[{page.bind}]" if ":" in page.bind else page.bind
    return f"{scheme}://{name}:{page.port}/"
