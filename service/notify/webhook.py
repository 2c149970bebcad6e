"""One webhook: a signed POST for each event, tried again until it is taken. The only user of httpx here.

The signature is that of Standard Webhooks (standardwebhooks.com): HMAC-SHA256 over `id.timestamp.body`.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import logging
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edge import credentials
from edge.clock import SECOND
from edge.config import Room, Webhook
from edge.errors import NotDelivered, Refused
from edge.ports import Clock
from service.notify.message import message
from service.notify.outbox import Outbox

if TYPE_CHECKING:
    import httpx

PATIENCE_S: Final = 10.0  # for the whole of it, however slowly the receiver speaks
_CONNECT_S: Final = 5.0
_PREFIX: Final = "whsec_"
_SECRET_BYTES: Final = range(24, 65)  # as Standard Webhooks has it

_log = logging.getLogger(__name__)


class Secret:
    """The key of a signature. Shown, it tells nothing."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def __repr__(self) -> str:
        return f"Secret({len(self._key)} bytes)"

    def headers(self, name: str, timestamp: int, body: bytes) -> dict[str, str]:
        """What proves that a body is ours, and of when."""
        signed = hmac.digest(self._key, f"{name}.{timestamp}.".encode() + body, hashlib.sha256)
        return {
            "webhook-id": name,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
        }


def read_secret(name: str, folder: Path | None) -> Secret:
    """Read `whsec_` and base64 from a file or a credential. Raises Refused, without any of the content."""
    text = credentials.read(name, folder, what="webhook secret", reader="service", error=Refused)
    key = _key(text)
    if key is None:
        raise Refused(
            f"webhook secret {name}: is not {_PREFIX} and {_SECRET_BYTES.start} to {_SECRET_BYTES.stop - 1} bytes in "
            f'base64; make one with: echo "{_PREFIX}$(openssl rand -base64 32)"'
        )
    return Secret(key)


def _key(text: str) -> bytes | None:
    try:
        key = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if text.startswith(_PREFIX) and len(key) in _SECRET_BYTES else None


class WebhookSender:
    """Tells one receiver. Runs until it is cancelled."""

    def __init__(self, hook: Webhook, secret: Secret, *, room: Room, outbox: Outbox, clock: Clock) -> None:
        self.outbox = outbox
        self._url = hook.url
        self._secret = secret
        self._room = room
        self._clock = clock

    async def run(self) -> None:
        import httpx  # noqa: PLC0415 - only where there is a webhook

        for talker in ("httpx", "httpcore"):  # they would log the address of each request, which is often a secret
            logging.getLogger(talker).setLevel(logging.WARNING)
        context = ssl.create_default_context()  # the machine's own trust, where a municipality adds its authority
        async with httpx.AsyncClient(
            verify=context,
            follow_redirects=False,  # a redirect would carry the message to a host that nobody chose
            trust_env=False,
            timeout=httpx.Timeout(PATIENCE_S, connect=_CONNECT_S),
            limits=httpx.Limits(max_connections=1),
        ) as client:
            while True:
                event = await self.outbox.next()
                body = message(event, self._room, now_ns=self._clock.boot_ns())
                try:
                    await self._post(client, event.id, body)
                except NotDelivered as err:
                    if self.outbox.channel(self._clock.boot_ns()).failing_seconds is None:  # once an outage
                        _log.warning("%s: %s", self.outbox.name, err)
                    self.outbox.failed(event, was_sent=err.was_sent)
                    await self.outbox.pause()
                else:
                    self.outbox.delivered(event)

    async def _post(self, client: httpx.AsyncClient, name: str, body: bytes) -> None:
        import httpx  # noqa: PLC0415 - as above

        headers = {"content-type": "application/json", "user-agent": "spreekkamer"}
        headers |= self._secret.headers(name, self._clock.wall_ns() // SECOND, body)
        try:
            async with (
                asyncio.timeout(PATIENCE_S),
                client.stream("POST", self._url, content=body, headers=headers) as answer,
            ):
                status = answer.status_code  # what it says besides is not read
        except TimeoutError:
            raise NotDelivered(f"no answer within {PATIENCE_S:.0f} s") from None
        except (httpx.ConnectError, httpx.ConnectTimeout) as err:
            raise NotDelivered(type(err).__name__, was_sent=False) from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as err:
            raise NotDelivered(type(err).__name__) from None  # its text would show the address
        if not 200 <= status < 300:
            raise NotDelivered(f"answered {status}")
