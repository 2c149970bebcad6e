"""Reads the three status sockets, and the vault's figures: at most four times a second however many ask, and never longer than its patience.

Blocking sockets in threads of their own, one a socket, so that a process that hangs delays neither the page's event
loop nor what the others say. Callers: the event loop.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, Generic, Literal, Self, TypeAlias, TypeVar

from edge.clock import MILLISECOND, SECOND
from edge.config import Paths
from edge.errors import BadMessage
from edge.figures import Counted
from edge.messages import decode
from edge.ports import Clock
from edge.status import PanelStatus, RecorderStatus, VaultStatus
from edge.wire import read_snapshot
from service.rooms import Heard, ProcessName, Silent

PATIENCE_S: Final = (
    1.0  # for a whole snapshot; a millisecond in health, but the recorder may just be sealing on a small Pi
)
KEPT_NS: Final = 250 * MILLISECOND  # for so long one reading answers everybody
FIGURES_KEPT_NS: Final = 60 * SECOND  # they change once a day
FIGURES_AGAIN_NS: Final = 5 * SECOND  # after they could not be had

_Why: TypeAlias = Literal["gone", "hanging", "unreadable"]
S = TypeVar("S", PanelStatus, RecorderStatus, VaultStatus)
T = TypeVar("T")


class Snapshots:
    """What the three processes last said of themselves, and what the vault counted."""

    def __init__(self, paths: Paths, clock: Clock) -> None:
        self._clock = clock
        self._lock = asyncio.Lock()
        # One thread a socket: one that is held up by a dripping socket is waited for, never joined by a second.
        self._threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="snapshot")
        self._panel = _Socket(paths.status_socket("panel"), PanelStatus, self._threads)
        self._recorder = _Socket(paths.status_socket("recorder"), RecorderStatus, self._threads)
        self._vault = _Socket(paths.status_socket("vault"), VaultStatus, self._threads)
        self._figures = _Socket(paths.figures_socket, Counted, self._threads)
        self._heard_ns: dict[ProcessName, int] = {}
        self._kept: tuple[int, Heard] | None = None
        self._counted: Counted | None = None
        self._count_again_ns = 0

    async def read(self) -> Heard:
        """The newest snapshots, at most KEPT_NS old; within PATIENCE_S (twice that in a queue behind another reading)."""
        async with self._lock:
            if self._kept is None or self._clock.boot_ns() - self._kept[0] >= KEPT_NS:
                heard = await self._read()
                self._kept = (self._clock.boot_ns(), heard)
            return self._kept[1]

    async def counted(self) -> Counted | None:
        """What the vault counted, at most FIGURES_KEPT_NS old; None when it cannot be had now, or is not whole yet.

        Within PATIENCE_S; who asks while they are being read gets those of before.
        """
        now_ns = self._clock.boot_ns()
        if now_ns >= self._count_again_ns:
            self._count_again_ns = now_ns + FIGURES_AGAIN_NS
            said = await self._figures.ask()
            self._counted = said if isinstance(said, Counted) and said.is_whole else None
            if self._counted is not None:
                self._count_again_ns = now_ns + FIGURES_KEPT_NS
        return self._counted

    async def _read(self) -> Heard:
        panel, recorder, vault = await asyncio.gather(self._panel.ask(), self._recorder.ask(), self._vault.ask())
        return Heard(
            panel=self._heard("panel", panel),
            recorder=self._heard("recorder", recorder),
            vault=self._heard("vault", vault),
        )

    async def panel(self) -> PanelStatus | Silent:
        """What the panel says now. Callers take turns: a second one is told that it hangs."""
        return self._heard("panel", await self._panel.ask())

    async def recorder(self, *, patience_s: float) -> RecorderStatus | Silent:
        """The same of the recorder, for who cannot wait long."""
        return self._heard("recorder", await self._recorder.ask(patience_s))

    def _heard(self, process: ProcessName, said: S | _Why) -> S | Silent:
        if isinstance(said, str):
            return Silent(why=said, heard_ns=self._heard_ns.get(process))
        self._heard_ns[process] = said.as_of_ns
        return said

    def close(self) -> None:
        """Start no more readings; one that is under way ends by its own patience. Idempotent."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Socket(Generic[T]):
    """One snapshot socket."""

    def __init__(self, path: Path, kind: type[T], threads: ThreadPoolExecutor) -> None:
        self._path = path
        self._kind = kind
        self._threads = threads
        self._reading: Future[T] | None = None

    async def ask(self, patience_s: float = PATIENCE_S) -> T | _Why:
        """The snapshot, or why there is none; within `patience_s`."""
        if self._reading is not None and not self._reading.done():
            return "hanging"
        self._reading = self._threads.submit(self._read)
        waiting = asyncio.wrap_future(self._reading)
        waiting.add_done_callback(_take_outcome)
        # A socket's patience counts for each piece it gives; this one counts for the whole snapshot.
        await asyncio.wait({waiting}, timeout=patience_s)
        if not waiting.done():
            return "hanging"
        try:
            return waiting.result()
        except (TimeoutError, BlockingIOError):  # says nothing, or its queue of those who wait is full
            return "hanging"
        except OSError:
            return "gone"
        except BadMessage:
            return "unreadable"

    def _read(self) -> T:
        return decode(self._kind, read_snapshot(self._path, patience_s=PATIENCE_S))


def _take_outcome(reading: asyncio.Future[Any]) -> None:
    """Look at the error of a reading that nobody waits for any more, so that asyncio does not log it as lost."""
    if not reading.cancelled():
        reading.exception()
