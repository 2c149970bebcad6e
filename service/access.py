"""Who may read the page from another computer: a password over TLS, or what a trusted reverse proxy lets through.

No cookie and no session: HTTP Basic (RFC 7617) with each request. There is one password, and the user's name is not
looked at, so that no name of a person is ever kept or compared. `needed` decides; `Access` carries it out, as plain
ASGI within the gate. Caller: the event loop.
"""

from __future__ import annotations

import base64
import binascii
from enum import Enum, auto
from typing import Any, Final

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from service.gate import refuse
from service.guesses import network, normal
from service.logins import Logins

OPEN: Final = "/healthz"  # says no more than that something answers here, and a watcher needs no password for it

_CHALLENGE: Final = (b"www-authenticate", b'Basic realm="Spreekkamer", charset="UTF-8"')
_WHO: Final = "Deze pagina vraagt om een wachtwoord. De gebruikersnaam maakt niet uit.\nThis page asks for a password. Any user name will do.\n"
_LATER: Final = (
    "Te vaak geprobeerd. Wacht even en probeer het dan opnieuw.\nTried too often. Wait a moment, then try again.\n"
)
_ONLY_PROXY: Final = "This page is reached through its reverse proxy only.\n"
_ONLY_HTTPS: Final = "The reverse proxy must say that the browser came by https (X-Forwarded-Proto).\n"


class Need(Enum):
    """What a request must bring."""

    NOTHING = auto()
    PASSWORD = auto()
    PROXY = auto()  # to come from a trusted reverse proxy
    HTTPS = auto()  # to have come to that proxy by https


def needed(*, has_password: bool, has_proxies: bool, is_from_proxy: bool, is_https: bool) -> Need:
    """What a request must bring. A password is asked only where nobody can overhear it."""
    if has_proxies and not is_from_proxy and not (has_password and is_https):
        return Need.PROXY
    if not has_password:
        return Need.NOTHING  # the proxy asks for it, or nobody else can reach us
    return Need.PASSWORD if is_https else Need.HTTPS


class Access:
    """Lets a request through, or refuses it with 401 (who are you), 403 (not this way) or 429 (not now)."""

    def __init__(self, app: ASGIApp, *, proxies: tuple[str, ...], logins: Logins | None) -> None:
        self._app = app
        self._proxies = frozenset(normal(proxy) for proxy in proxies)
        self._logins = logins
        judge: Any = self._judge  # uvicorn has ASGI types of its own
        self._as_told_by_proxy = ProxyHeadersMiddleware(judge, sorted(self._proxies))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] == OPEN:
            await self._app(scope, receive, send)
            return
        peer, port = scope["client"] or ("", 0)
        scope = {**scope, "client": (normal(peer), port), "is_from_proxy": normal(peer) in self._proxies}
        told: Any = (scope, receive, send)
        # It reads X-Forwarded-For and -Proto, which anybody can write, only when a proxy of ours is the peer.
        await self._as_told_by_proxy(*told)

    async def _judge(self, scope: Scope, receive: Receive, send: Send) -> None:
        need = needed(
            has_password=self._logins is not None,
            has_proxies=bool(self._proxies),
            is_from_proxy=scope["is_from_proxy"],
            is_https=scope["scheme"] == "https",
        )
        if need is Need.PROXY:
            await refuse(send, 403, _ONLY_PROXY)
        elif need is Need.HTTPS:
            await refuse(send, 403, _ONLY_HTTPS)
        elif need is Need.NOTHING or self._logins is None:
            await self._app(scope, receive, send)
        elif (guess := _password(scope)) is None:
            await refuse(send, 401, _WHO, _CHALLENGE)
        else:
            verdict = await self._logins.judge(network(scope["client"][0]), guess)
            if verdict.wait_s:
                await refuse(send, 429, _LATER, (b"retry-after", str(verdict.wait_s).encode("ascii")))
            elif not verdict.is_right:
                await refuse(send, 401, _WHO, _CHALLENGE)
            else:
                await self._app(scope, receive, send)


def _password(scope: Scope) -> bytes | None:
    """The password that a request brings; None without one, or with what is no Basic login."""
    given = [value for name, value in scope["headers"] if name == b"authorization"]
    scheme, _, token = (given[0] if len(given) == 1 else b"").partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        login = base64.b64decode(token.strip(), validate=True)
    except binascii.Error:
        return None
    _, colon, password = login.partition(b":")
    return password if colon else None


def documented(schema: dict[str, Any]) -> dict[str, Any]:
    """The OpenAPI description, with the password that every operation but one asks for."""
    schema.setdefault("components", {})["securitySchemes"] = {
        "password": {"type": "http", "scheme": "basic", "description": "Any user name; by https only."}
    }
    text = {"text/plain": {"schema": {"type": "string"}}}
    answers = {
        "401": {
            "description": "No password, or a wrong one",
            "headers": {"WWW-Authenticate": {"schema": {"type": "string"}}},
            "content": text,
        },
        "429": {
            "description": "Wrong too often, or too many at once",
            "headers": {"Retry-After": {"description": "Seconds", "schema": {"type": "integer"}}},
            "content": text,
        },
    }
    for path, operations in schema["paths"].items():
        for operation in operations.values() if path != OPEN else ():
            operation["security"] = [{"password": []}]
            operation["responses"].update(answers)
    return schema
