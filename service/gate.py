"""What every request passes: only GET and HEAD, only known names of this host, and the same headers on each answer.

Plain ASGI, outside the routes, so that no route can forget it. Caller: the event loop.
"""

from __future__ import annotations

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

METHODS: Final = ("GET", "HEAD")
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})

HEADERS: Final = {
    # Nothing inline and nothing from elsewhere: what a fault or a name brings along is never run or styled.
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; connect-src 'self'; "
        "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), display-capture=(), geolocation=()",
    "cache-control": "no-store",
}
_RAW_HEADERS: Final = [(name.encode("ascii"), value.encode("ascii")) for name, value in HEADERS.items()]
_SET_HERE: Final = frozenset(name for name, _ in _RAW_HEADERS)
_HTTPS_ONLY: Final = (b"strict-transport-security", b"max-age=31536000")
_ALLOW: Final = (b"allow", ", ".join(METHODS).encode("ascii"))


class Gate:
    """Refuses with 405 what is not GET or HEAD, and with 421 what is addressed to another host (DNS rebinding).

    `names`: what this host is called beside the names of loopback.
    """

    def __init__(self, app: ASGIApp, *, names: frozenset[str], is_secured: bool) -> None:
        self._app = app
        self._names = _LOOPBACK | names
        self._is_secured = is_secured

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        called = _called(scope)
        # Not to a loopback name: the browser would want https of whatever else a developer runs there.
        is_https_only = self._is_secured and called in self._names and called not in _LOOPBACK
        ours = [*_RAW_HEADERS, _HTTPS_ONLY] if is_https_only else _RAW_HEADERS

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = [(name, value) for name, value in message.get("headers", []) if name.lower() not in _SET_HERE]
                message = {**message, "headers": own + ours}
            await send(message)

        if called not in self._names:
            await refuse(send_with_headers, 421, "This page answers only to its own name.\n")
        elif scope["method"] not in METHODS:
            await refuse(send_with_headers, 405, "This page only shows; nothing can be changed through it.\n", _ALLOW)
        else:
            # The routes know only GET; the server leaves out the body of an answer to HEAD, and a stream its endlessness.
            is_head = scope["method"] == "HEAD"
            await self._app({**scope, "method": "GET", "is_head": is_head}, receive, send_with_headers)


def _called(scope: Scope) -> str | None:
    """The name that the request is addressed to, without its port; None when it has none, or several."""
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    if len(hosts) != 1:
        return None
    host = hosts[0].decode("latin-1").lower()
    end = host.find("]") + 1 if host.startswith("[") else host.find(":")
    name, port = (host, "") if end <= 0 else (host[:end], host[end:])
    return name if not port or (port[0] == ":" and port[1:].isdecimal()) else None


async def refuse(send: Send, status: int, text: str, *headers: tuple[bytes, bytes]) -> None:
    """Answer with a few words instead of the page."""
    body = text.encode("utf-8")
    about = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode("ascii"))]
    await send({"type": "http.response.start", "status": status, "headers": [*about, *headers]})
    await send({"type": "http.response.body", "body": body})
