"""Readers of the live page, as many as are wanted, who count its beats."""

from __future__ import annotations

import selectors
import socket
import threading


class Readers:
    """So many readers of the live page, who take all that they are sent. Thread: `readers`, its own."""

    def __init__(self, port: int, count: int) -> None:
        self.beats = [0] * count
        self._selector = selectors.DefaultSelector()
        self._ending = threading.Event()
        self._sockets = [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(count)]
        for number, sock in enumerate(self._sockets):
            path = ("/live?lang=nl", "/live?lang=en", "/api/v1/events")[number % 3]
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            self._selector.register(sock, selectors.EVENT_READ, number)
        self._thread = threading.Thread(target=self._read, name="readers")
        self._thread.start()

    def _read(self) -> None:
        while not self._ending.is_set():
            for key, _ in self._selector.select(0.1):
                assert isinstance(key.fileobj, socket.socket)
                self.beats[key.data] += key.fileobj.recv(1 << 20).count(b"event: beat")

    def close(self) -> None:
        self._ending.set()
        self._thread.join(10)
        self._selector.close()
        for sock in self._sockets:
            sock.close()
