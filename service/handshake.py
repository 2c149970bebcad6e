"""TLS before HTTP: each connection shakes hands in bounded time and number, then goes to the HTTP protocol.

asyncio's own way (`create_server(ssl=…)`) lets any number of connections wait, each for a minute. On the event loop.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any, Final

AT_ONCE: Final = 64  # handshakes; for one more the oldest is cut off: an honest one takes milliseconds
_GOODBYE_S: Final = 2.0  # for the other end to answer that it ends too


class Handshakes:
    """Makes, in the place of uvicorn's protocol class, protocols that first shake hands."""

    def __init__(
        self, context: ssl.SSLContext, connection: Callable[..., asyncio.Protocol], *, patience_s: float
    ) -> None:
        self._context = context
        self._connection = connection
        self._patience_s = patience_s
        self._shaking: dict[asyncio.Transport, asyncio.Task[None]] = {}  # the oldest first

    def __call__(self, **given: Any) -> asyncio.Protocol:
        return _Early(self, self._connection(**given))

    def begin(self, transport: asyncio.Transport, early: _Early) -> None:
        """Shake hands on a new connection."""
        transport.pause_reading()  # what comes is TLS's to read
        if len(self._shaking) >= AT_ONCE:
            oldest = next(iter(self._shaking))
            self._shaking.pop(oldest).cancel()
            oldest.abort()
        self._shaking[transport] = asyncio.get_running_loop().create_task(self._shake(transport, early))

    async def _shake(self, transport: asyncio.Transport, early: _Early) -> None:
        try:
            secured = await asyncio.get_running_loop().start_tls(
                transport,
                early,
                self._context,
                server_side=True,
                ssl_handshake_timeout=self._patience_s,
                ssl_shutdown_timeout=_GOODBYE_S,
            )
        except OSError:  # it spoke no TLS, was too slow, or went away
            transport.abort()
            return
        finally:
            self._shaking.pop(transport, None)
        if secured is None or early.is_gone:
            transport.abort()
        else:
            early.hand_over(secured)


class _Early(asyncio.Protocol):
    """Holds what came with the last word of the handshake, until the HTTP protocol is there to take it."""

    def __init__(self, handshakes: Handshakes, http: asyncio.Protocol) -> None:
        self._handshakes = handshakes
        self._http = http
        self._came: list[bytes] = []
        self.is_gone = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._handshakes.begin(transport, self)

    def data_received(self, data: bytes) -> None:
        self._came.append(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self.is_gone = True

    def hand_over(self, transport: asyncio.Transport) -> None:
        transport.set_protocol(self._http)
        self._http.connection_made(transport)
        for data in self._came:
            self._http.data_received(data)
