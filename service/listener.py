"""The page's listening socket: handed over by systemd, or opened here. Called once, at the start."""

from __future__ import annotations

import errno
import os
import socket
from typing import Final

from edge.errors import BadConfig, Refused

_BUFFER_BYTES: Final = 64 * 1024  # of the kernel, for one reader; its own measure would grow to megabytes
_FIRST_FD: Final = 3  # SD_LISTEN_FDS_START, sd_listen_fds(3)


def listen(bind: str, port: int, *, waiting: int) -> socket.socket:
    """The socket that systemd listens at for us, else a new one. Raises Refused, or BadConfig when systemd's is another."""
    handed = handed_over()
    if handed is None:
        return _opened(bind, port, waiting)
    try:
        agree(handed, bind, port)
        handed.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
    except BaseException:
        handed.close()
        raise
    return handed


def handed_over() -> socket.socket | None:
    """The one socket that systemd passed to this process (sd_listen_fds(3)). No child of ours is told of it."""
    pid, count = os.environ.pop("LISTEN_PID", ""), os.environ.pop("LISTEN_FDS", "")
    os.environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count:
        return None
    if count != "1":
        raise BadConfig(
            [f"systemd passed {count} sockets; the page listens at one: one ListenStream= in its socket unit"]
        )
    try:
        handed = socket.socket(fileno=_FIRST_FD)
    except OSError as err:
        raise BadConfig([f"what systemd passed is no socket: {err.strerror}"]) from err
    handed.set_inheritable(False)
    return handed


def agree(handed: socket.socket, bind: str, port: int) -> None:
    """Raise BadConfig for a socket that is none of TCP or listens elsewhere: who may read was judged by `page.bind`."""
    is_tcp = handed.family in {socket.AF_INET, socket.AF_INET6} and handed.type == socket.SOCK_STREAM
    if not is_tcp or not handed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        raise BadConfig(
            ["the socket that systemd passed does not listen for TCP; ListenStream=ADDRESS:PORT in its unit"]
        )
    at = handed.getsockname()[:2]
    if at != (bind, port):
        wanted = f"page.bind and page.port say {bind} port {port}; make them the same"
        raise BadConfig([f"the socket that systemd passed listens at {at[0]} port {at[1]}, {wanted}"])


def _opened(bind: str, port: int, waiting: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    # With the protocol named asyncio sets TCP_NODELAY; without it each answer waits 40 ms for a delayed ACK.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a restart need not wait for TIME_WAIT
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)  # each connection inherits it
        listener.bind((bind, port))
        listener.listen(waiting)
    except OSError as err:
        listener.close()
        if err.errno == errno.EADDRINUSE:
            raise Refused(
                f"port {port} on {bind} is already in use; stop the program that uses it or set page.port"
            ) from err
        raise Refused(f"port {port} on {bind} cannot be opened: {err.strerror}; set page.port or page.bind") from err
    return listener
