"""Asks the devices of other rooms how they are: the one adapter of httpx. All on the event loop.

Each room has a connection of its own, is asked at most every 2 s while somebody looks, has 4 s for its whole answer,
and never holds up another. No redirect is followed, no proxy of the environment used, no cookie kept, and of an answer
no more read than a status can have. What cannot be had is a `Trouble` beside the last good answer.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path
from typing import Final, Self

import httpx

from edge import credentials
from edge.clock import SECOND
from edge.config import OtherRoom
from edge.errors import BadMessage, Refused
from edge.ports import Clock
from service.overview import Answered, Card, Trouble, there, told_in

EVERY_NS: Final = 2 * SECOND
PATIENCE_S: Final = 4.0  # for a whole answer; 2 + 4 s are below what makes a card grey
FIRST_S: Final = 1.0  # a page waits so long for rooms that were not asked lately, and then shows what it has
LIMIT_BYTES: Final = 256 * 1024  # a snapshot is 64 KiB; its words and numbers are written out longer here


_log = logging.getLogger(__name__)


class Remotes:
    """The other rooms. Who makes it closes it."""

    def __init__(self, rooms: tuple[OtherRoom, ...], clock: Clock, *, folder: Path | None = None) -> None:
        """`folder`: the credentials that systemd hands over. Raises Refused when a login or a certificate cannot be read."""
        self._clock = clock
        self._rooms = [_Room(room, clock, folder) for room in rooms]

    async def read(self, *, wait_s: float = 0.0) -> tuple[Card, ...]:
        """The cards, in the order of the configuration. `wait_s`: for rooms that are being asked now."""
        asking = [task for room in self._rooms if (task := room.ask()) is not None]
        if asking and wait_s:
            await asyncio.wait(asking, timeout=wait_s)
        now_ns = self._clock.boot_ns()
        return tuple(there(room.room, room.answered, now_ns=now_ns) for room in self._rooms)

    async def aclose(self) -> None:
        """End what is under way, and hang up. Idempotent."""
        await asyncio.gather(*(room.aclose() for room in self._rooms))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


class _Room:
    """One other room, and what it said last."""

    def __init__(self, room: OtherRoom, clock: Clock, folder: Path | None) -> None:
        self.room = room
        self.answered = Answered()
        self._clock = clock
        self._due_ns = 0
        self._asking: asyncio.Task[None] | None = None
        self._client = httpx.AsyncClient(
            base_url=room.url,
            auth=_login(room, folder),
            verify=_trust(room),
            timeout=PATIENCE_S,
            follow_redirects=False,
            trust_env=False,
            limits=httpx.Limits(max_connections=1),
            headers={"accept": "application/json", "accept-encoding": "identity"},  # nothing that could swell
        )

    def ask(self) -> asyncio.Task[None] | None:
        """The asking that is under way, or is due; None when the last one was just now."""
        if self._asking is not None and not self._asking.done():
            return self._asking
        if self._clock.boot_ns() < self._due_ns:
            return None
        self._asking = asyncio.get_running_loop().create_task(self._ask())
        return self._asking

    async def aclose(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait({self._asking})
        await self._client.aclose()

    async def _ask(self) -> None:
        asked_ns = self._clock.boot_ns()
        try:
            async with asyncio.timeout(PATIENCE_S):  # httpx's own patience begins anew with each piece
                raw = await self._fetched()
            self.answered = Answered(told=told_in(raw), asked_ns=asked_ns)
        except _Unusable as err:
            self._note(err.trouble)
        except BadMessage:
            self._note("wrong")
        except (TimeoutError, httpx.TimeoutException):
            self._note("slow")
        except httpx.ProtocolError:
            self._note("wrong")
        except httpx.TransportError as err:
            self._note("untrusted" if _is_about_trust(err) else "gone")
        except Exception:  # noqa: BLE001 - whatever another machine sends, its room is told as not known
            _log.exception("another room's page")
            self._note("wrong")
        finally:
            self._client.cookies.clear()
            self._due_ns = self._clock.boot_ns() + EVERY_NS

    async def _fetched(self) -> bytes:
        async with self._client.stream("GET", "/api/v1/status") as answer:
            if answer.status_code in (401, 403):
                raise _Unusable("login")
            is_json = answer.headers.get("content-type", "").split(";")[0].strip() == "application/json"
            if answer.status_code != 200 or not is_json or "content-encoding" in answer.headers:
                raise _Unusable("wrong")
            raw = bytearray()
            async for piece in answer.aiter_raw(64 * 1024):
                raw += piece
                if len(raw) > LIMIT_BYTES:
                    raise _Unusable("wrong")
            return bytes(raw)

    def _note(self, trouble: Trouble) -> None:
        self.answered = Answered(told=self.answered.told, asked_ns=self.answered.asked_ns, trouble=trouble)


class _Unusable(Exception):
    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble)
        self.trouble = trouble


def _login(room: OtherRoom, folder: Path | None) -> httpx.BasicAuth | None:
    if room.credential is None:
        return None
    what = f"page.rooms {room.name!r}: credential"
    pair = credentials.login(credentials.read(room.credential, folder, what=what, reader="page", error=Refused))
    if pair is None:
        raise Refused(f"{what} {room.credential}: is not one line of user:password in UTF-8")
    return httpx.BasicAuth(*pair)


def _trust(room: OtherRoom) -> ssl.SSLContext | bool:
    """Whom to believe. What is not https never leaves this computer (`config.OtherRoom`)."""
    if not room.url.startswith("https:"):
        return False
    try:
        return ssl.create_default_context(cafile=None if room.certificate is None else str(room.certificate))
    except OSError as err:
        why = "holds no certificate" if isinstance(err, ssl.SSLError) else err.strerror
        raise Refused(f"page.rooms {room.name!r}: certificate {room.certificate}: {why}; give a PEM file") from err


def _is_about_trust(err: BaseException | None) -> bool:
    while err is not None:
        if isinstance(err, ssl.SSLError):
            return True
        err = err.__cause__ or err.__context__
    return False
