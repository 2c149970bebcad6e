"""Unix sockets: framed messages, and sockets that write one snapshot and read nothing.

A frame is an eight-byte header (two big-endian 32-bit lengths: JSON, then payload) and those bytes. Access control
is the socket file's permissions; who is at the other end is asked of the kernel (`peer_uid`).
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Self

from edge.errors import BadMessage, Refused
from edge.status import SNAPSHOT_LIMIT

_log = logging.getLogger(__name__)

_HEADER: Final = struct.Struct(">II")
_TIMEVAL: Final = struct.Struct("@ll")  # seconds and microseconds, socket(7)
JSON_LIMIT: Final = 256 * 1024  # bytes; nothing we say comes near it
PAYLOAD_LIMIT: Final = 64 * 1024 * 1024  # bytes; a sealed segment of the pre-roll is the largest
_PATH_LIMIT: Final = 107  # bytes of an AF_UNIX path, unix(7)
_SNAPSHOT_PATIENCE_S: Final = 1.0


def listen(path: Path, *, mode: int = 0o660, backlog: int = 16) -> socket.socket:
    """A listening stream socket at `path`; a socket file that a dead process left there is replaced.

    Its folder is made where nobody has (on the appliance tmpfiles.d has, for the group that may connect).
    Raises Refused when the path is too long for a socket, or its folder cannot be made or is not ours.
    """
    if len(os.fsencode(path)) > _PATH_LIMIT:
        raise Refused(f"{path}: longer than {_PATH_LIMIT} bytes, too long for a socket; choose a shorter paths.run")
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        # Bound under a umask that lets nobody in; the permissions wanted come after, so there is no gap.
        previous = os.umask(0o177)
        try:
            server.bind(str(path))
        finally:
            os.umask(previous)
        path.chmod(mode)
        server.listen(backlog)
    except OSError as err:
        server.close()
        raise Refused(f"{path}: cannot open this socket: {err.strerror}; check paths.run and its owner") from err
    return server


def connect(path: Path, *, patience_s: float) -> socket.socket:
    """A connected stream socket whose every operation gives up after `patience_s`. Raises OSError.

    The kernel does the waiting. Python's own time-out makes the socket non-blocking: a queue that is full for a moment
    is an error at once (unix(7), EAGAIN), and a megabyte goes in pieces, for each of which a thread waits its turn.
    """
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        whole_s, rest = divmod(patience_s, 1)
        patience = _TIMEVAL.pack(int(whole_s), int(rest * 1_000_000))
        for side in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):
            client.setsockopt(socket.SOL_SOCKET, side, patience)
        with _in_time(f"{path}: busy for {patience_s} s"):
            client.connect(str(path))
    except OSError:
        client.close()
        raise
    return client


@contextlib.contextmanager
def _in_time(why: str = "timed out") -> Iterator[None]:
    """The kernel's word for a time-out is that it would have to wait."""
    try:
        yield
    except BlockingIOError as err:
        raise TimeoutError(why) from err


def send_frame(sock: socket.socket, json: bytes, payload: bytes | memoryview = b"") -> None:
    """Send one frame. Raises OSError (a time-out too) when the other end does not take it."""
    with _in_time():
        sock.sendall(_HEADER.pack(len(json), len(payload)) + json)
        if len(payload):
            sock.sendall(payload)


def receive_frame(sock: socket.socket) -> tuple[bytes, memoryview] | None:
    """The next frame's JSON and payload; None when the other end closed between frames.

    Raises BadMessage on lengths beyond the limits or an end in mid-frame, OSError as the socket does.
    """
    header = _receive(sock, _HEADER.size, may_end=True)
    if not header:
        return None
    json_bytes, payload_bytes = _HEADER.unpack(header)
    if json_bytes > JSON_LIMIT or payload_bytes > PAYLOAD_LIMIT:
        raise BadMessage(f"a frame of {json_bytes} + {payload_bytes} bytes is over the limit")
    return bytes(_receive(sock, json_bytes)), _receive(sock, payload_bytes)


def _receive(sock: socket.socket, count: int, *, may_end: bool = False) -> memoryview:
    parts: list[bytes] = []  # one, but where a signal came in between: a buffer to fill would be zeroed first
    have = 0
    while have < count:
        with _in_time():
            part = sock.recv(count - have, socket.MSG_WAITALL)
        if not part:
            if may_end and not have:
                break
            raise BadMessage("the connection ended in the middle of a frame")
        parts.append(part)
        have += len(part)
    return memoryview(parts[0] if len(parts) == 1 else b"".join(parts))


def peer_uid(sock: socket.socket) -> int:
    """The user id of the process at the other end, as the kernel noted it when it connected."""
    return _peer(sock)[1]


def peer_pid(sock: socket.socket) -> int:
    """The process at the other end, as the kernel noted it when that began to listen, or connected."""
    return _peer(sock)[0]


def _peer(sock: socket.socket) -> tuple[int, int, int]:
    pid, uid, gid = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return pid, uid, gid


class SnapshotSocket:
    """Writes one snapshot to each who connects, and never reads. Thread: its own, named after the socket.

    A client that does not take its snapshot within a second is dropped; it delays only other readers of status.
    """

    def __init__(self, path: Path, snapshot: Callable[[], bytes], *, mode: int = 0o660) -> None:
        self._path = path
        self._snapshot = snapshot
        self._server = listen(path, mode=mode)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._serve, name=f"status:{path.stem}", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while not self._closing.is_set():
            try:
                client, _ = self._server.accept()
            except OSError as err:
                if not self._closing.wait(_SNAPSHOT_PATIENCE_S):  # out of file descriptors, say: it may pass
                    _log.warning("%s: %s", self._path, err.strerror)
                continue
            # A client that went away is its own affair; the next one is served.
            with client, contextlib.suppress(OSError):
                client.settimeout(_SNAPSHOT_PATIENCE_S)
                client.sendall(self._made())

    def _made(self) -> bytes:
        try:
            return self._snapshot()
        except Exception:  # noqa: BLE001 - whatever is wrong with one snapshot must not end them all: the reader sees none
            _log.exception("%s: no snapshot", self._path)
            return b""

    def close(self) -> None:
        """Stop serving and remove the socket file. Idempotent."""
        if self._closing.is_set():
            return
        self._closing.set()
        with contextlib.suppress(OSError):  # not connected: shutdown still wakes accept on Linux
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._path.unlink(missing_ok=True)
        self._thread.join(2.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_snapshot(path: Path, *, patience_s: float = 1.0) -> bytes:
    """One whole snapshot. Raises OSError when nobody answers in time, BadMessage when it is over the limit."""
    with connect(path, patience_s=patience_s) as sock:
        return receive_snapshot(sock, path.name)


def receive_snapshot(sock: socket.socket, name: str) -> bytes:
    """The snapshot at the other end of a connection; `name` is for the error. Raises as `read_snapshot` does."""
    parts: list[bytes] = []
    size = 0
    while part := _part(sock):
        parts.append(part)
        size += len(part)
        if size > SNAPSHOT_LIMIT:
            raise BadMessage(f"{name}: a snapshot over {SNAPSHOT_LIMIT} bytes")
    return b"".join(parts)


def _part(sock: socket.socket) -> bytes:
    with _in_time():
        return sock.recv(65536)
