"""The socket at which the recorder hears what is wanted and says how it is. Thread: its own, `link`; the main loop
calls `publish`, which swaps one reference and wakes the thread: no reader can make the alarm wait.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import socket
import threading
from pathlib import Path
from typing import Final, Self

from edge.errors import BadMessage
from edge.messages import Report, Wanted, decode, encode
from edge.panel.inbox import Heard, Inbox
from edge.ports import Clock
from edge.wire import listen, receive_frame, send_frame

_log = logging.getLogger(__name__)

_READERS: Final = 8  # one recorder, and its successor while the kernel buries it; more are turned away
_REST_OF_A_FRAME_S: Final = 0.1  # a report comes in one piece; who sends half of one is dropped


class Link:
    """Sends the latest `Wanted` to each who connects, and again whenever it is published. Raises Refused as `listen`.

    A client that does not take a message whole at once (its socket buffer is full), or sends nonsense, is dropped.
    """

    def __init__(self, path: Path, clock: Clock, inbox: Inbox) -> None:
        self._path = path
        self._clock = clock
        self._inbox = inbox
        self._server = listen(path)
        self._server.setblocking(False)
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._selector = selectors.DefaultSelector()
        self._wanted: Wanted | None = None
        self._speaker: socket.socket | None = None  # whose report was the last
        self._is_closing = False
        self._thread = threading.Thread(target=self._serve, name="link", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def publish(self, wanted: Wanted) -> None:
        """Send this to all, now. Any thread; never blocks."""
        self._wanted = wanted
        self._ring()

    def _ring(self) -> None:
        with contextlib.suppress(BlockingIOError):  # rung 2^64 times and not heard: it is ringing
            os.eventfd_write(self._wake, 1)

    def _serve(self) -> None:
        self._selector.register(self._server, selectors.EVENT_READ)
        self._selector.register(self._wake, selectors.EVENT_READ)
        while not self._is_closing:
            for key, _ in self._selector.select():
                if key.fileobj is self._server:
                    self._accept()
                elif key.fileobj == self._wake:
                    os.eventfd_read(self._wake)
                    self._send(*self._clients())
                elif isinstance(key.fileobj, socket.socket) and key.fileobj.fileno() != -1:  # not dropped just now
                    self._hear(key.fileobj)

    def _clients(self) -> list[socket.socket]:
        return [
            key.fileobj
            for key in self._selector.get_map().values()
            if isinstance(key.fileobj, socket.socket) and key.fileobj is not self._server
        ]

    def _accept(self) -> None:
        try:
            client, _ = self._server.accept()
        except OSError:  # it went away while it waited, or we are out of descriptors: it may try again
            return
        if len(self._clients()) >= _READERS:
            _log.warning("more than %d readers of what is wanted: the newest is turned away", _READERS)
            client.close()
            return
        self._selector.register(client, selectors.EVENT_READ)
        self._send(client)

    def _send(self, *clients: socket.socket) -> None:
        wanted = self._wanted
        if wanted is None or not clients:
            return
        raw = encode(wanted)
        for client in clients:
            try:
                client.setblocking(False)
                send_frame(client, raw)
            except ConnectionError:
                self._hung_up(client)
            except OSError as err:
                self._drop(client, f"a reader did not take what is wanted: {err.strerror}")

    def _hear(self, client: socket.socket) -> None:
        try:
            client.settimeout(_REST_OF_A_FRAME_S)
            frame = receive_frame(client)
            report = None if frame is None else decode(Report, frame[0])
        except ConnectionError:
            report = None
        except (OSError, BadMessage) as err:
            self._drop(client, f"a reader said what cannot be understood: {err}")
            return
        if report is None:
            self._hung_up(client)
            return
        self._speaker = client
        self._inbox.put(Heard(report=report, at_ns=self._clock.boot_ns()))

    def _hung_up(self, client: socket.socket) -> None:
        if client is self._speaker:  # its process ended, or ends, and its camera with it
            self._inbox.put(Heard(report=None, at_ns=self._clock.boot_ns()))
        self._drop(client, "")

    def _drop(self, client: socket.socket, why: str) -> None:
        if why:
            _log.warning("%s", why)
        self._selector.unregister(client)
        client.close()

    def close(self) -> None:
        """Hang up on all and remove the socket file. Idempotent."""
        if self._is_closing:
            return
        self._is_closing = True
        self._ring()
        self._thread.join(2.0)
        if self._thread.is_alive():
            raise TimeoutError("the link's thread did not end")
        for client in self._clients():
            client.close()
        self._selector.close()
        self._server.close()
        os.close(self._wake)
        self._path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
