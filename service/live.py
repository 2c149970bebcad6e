"""Server-sent events: one look at the room for all who watch, and to each only what has changed. Bounded; no HTML here.

Nobody watches: nobody looks. All on the event loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final, Generic, TypeVar

from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.types import Receive, Scope, Send

SEATS: Final = 200
EVERY_S: Final = 0.5  # between two looks: a press shows within a second
WAITING: Final = 8  # messages for one reader; who is further behind is sent away, and may come again

_log = logging.getLogger(__name__)

T = TypeVar("T")  # what a look gives
Tell = Callable[[T], Mapping[str, str]]  # what is said of it, by the name of the event

_FULL: Final = f"There are {SEATS} readers already; close a page somewhere, or ask again later.\n"
_BEAT: Final = b"event: beat\ndata: \xc2\xb7\n\n"  # proves that somebody still looks; without data it would be dropped


class _Seat:
    """One reader's place: what was said and not yet taken."""

    def __init__(self, channel: str) -> None:
        self.channel = channel
        self.waiting: asyncio.Queue[bytes | None] = asyncio.Queue(WAITING + 1)  # full: sent away, with the None

    def say(self, message: bytes | None) -> bool:
        """False when the reader is too far behind; then the end is all it still gets."""
        if message is not None and self.waiting.qsize() < WAITING:
            self.waiting.put_nowait(message)
            return True
        while not self.waiting.empty():
            self.waiting.get_nowait()
        self.waiting.put_nowait(None)
        return False


class Live(Generic[T]):
    """Looks at the room while somebody watches, and tells each channel (the API, the page in each language)."""

    def __init__(self, look: Callable[[], Awaitable[T]], channels: Mapping[str, Tell[T]]) -> None:
        self._look = look
        self._channels = channels
        self._seats: set[_Seat] = set()
        self._said: dict[str, dict[str, str]] = {}
        self._looking: asyncio.Task[None] | None = None
        self._is_closed = False

    @property
    def watching(self) -> int:
        """How many readers there are."""
        return len(self._seats)

    def stream(self, channel: str) -> StreamingResponse:
        """The answer that follows the room on one channel."""
        return _Stream(self, channel)

    def close(self) -> None:
        """End every stream. Idempotent."""
        self._is_closed = True
        for seat in self._seats:
            seat.say(None)

    def _sit(self, channel: str) -> _Seat | None:
        if self._is_closed or len(self._seats) >= SEATS:
            return None
        seat = _Seat(channel)
        if channel in self._said:
            seat.say(_events(self._said[channel]))
        self._seats.add(seat)
        if self._looking is None:
            self._looking = asyncio.get_running_loop().create_task(self._run())
        return seat

    def _leave(self, seat: _Seat) -> None:
        self._seats.discard(seat)
        if not self._seats and self._looking is not None:
            self._looking.cancel()
            self._looking = None
            self._said.clear()

    async def _run(self) -> None:
        try:
            while True:
                self._tell(await self._look())
                await asyncio.sleep(EVERY_S)  # not a clock: between two looks
        except Exception:  # noqa: BLE001 - whatever is wrong with one look must not leave the readers with an old one
            # The readers see their stream end, and go grey until they have another one.
            _log.exception("the live page stopped looking; readers begin anew")
            self._looking = None
            self._said.clear()
            for seat in self._seats:
                seat.say(None)

    def _tell(self, seen: T) -> None:
        for channel in {seat.channel for seat in self._seats}:
            before = self._said.get(channel, {})
            said = dict(self._channels[channel](seen))
            changed = {name: text for name, text in said.items() if before.get(name) != text}
            self._said[channel] = said
            message = _events(changed) + _BEAT
            # Who came after the last look has been told what was said then.
            behind = [seat for seat in self._seats if seat.channel == channel and not seat.say(message)]
            self._seats.difference_update(behind)
        for channel in self._said.keys() - {seat.channel for seat in self._seats}:
            del self._said[channel]


class _Stream(StreamingResponse):
    """A reader's stream; 503 when there is no seat. The seat is given back however the stream ends."""

    def __init__(self, live: Live[Any], channel: str) -> None:
        super().__init__(self._messages(), media_type="text/event-stream")
        self._live = live
        self._channel = channel
        self._seat: _Seat | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("is_head"):  # the headers are all; a stream would have no end
            await PlainTextResponse("", headers=dict(self.headers))(scope, receive, send)
            return
        self._seat = self._live._sit(self._channel)
        if self._seat is None:
            await PlainTextResponse(_FULL, 503, headers={"retry-after": "30"})(scope, receive, send)
            return
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._live._leave(self._seat)

    async def _messages(self) -> AsyncIterator[bytes]:
        yield b"retry: 1000\n\n"
        while self._seat is not None and (message := await self._seat.waiting.get()) is not None:
            yield message


def _events(said: Mapping[str, str]) -> bytes:
    """Server-sent events (WHATWG HTML, 9.2): each line of a text is a data line; one without any would be dropped."""

    def event(name: str, text: str) -> str:
        lines = "".join(f"data: {line}\n" for line in text.splitlines() or [" "])
        return f"event: {name}\n{lines}\n"

    return "".join(event(name, text) for name, text in said.items()).encode()
