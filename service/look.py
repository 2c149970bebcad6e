"""One look at everything that a page shows: this room, its figures, and the other rooms. Caller: the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

from edge.config import Config
from edge.ports import Clock
from service.entrance import Entrance
from service.figures import Told, told_of
from service.overview import Card, here
from service.remote import Remotes
from service.rooms import Channel, RoomStatus, compose
from service.snapshots import Snapshots

Channels: TypeAlias = Callable[[], tuple[Channel, ...]]  # how notifications go, now


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one look gives."""

    status: RoomStatus
    figures: Told
    cards: tuple[Card, ...]  # this room's first; empty without other rooms


class Looker:
    """Looks when asked."""

    def __init__(
        self,
        config: Config,
        snapshots: Snapshots,
        clock: Clock,
        *,
        entrance: Entrance,
        channels: Channels,
        remotes: Remotes | None,
    ) -> None:
        self._config = config
        self._snapshots = snapshots
        self._clock = clock
        self._entrance = entrance
        self._channels = channels
        self._remotes = remotes
        self.room_path = "/" if remotes is None else "/room"  # this room's own page

    async def room(self) -> RoomStatus:
        """This room now."""
        heard = await self._snapshots.read()
        now_ns, now_wall_ns = self._clock.boot_ns(), self._clock.wall_ns()
        status = compose(self._config, heard, now_ns=now_ns, now_wall_ns=now_wall_ns, channels=self._channels())
        return replace(status, warnings=status.warnings + self._entrance.warnings(now_wall_ns))

    async def all(self, *, wait_s: float = 0.0) -> Seen:
        """Everything. `wait_s`: for other rooms that were not asked lately."""
        status, counted, others = await asyncio.gather(self.room(), self._snapshots.counted(), self._others(wait_s))
        cards = () if self._remotes is None else (here(status, path=self.room_path), *others)
        return Seen(status=status, figures=told_of(self._config.room.name, counted), cards=cards)

    async def _others(self, wait_s: float) -> tuple[Card, ...]:
        return () if self._remotes is None else await self._remotes.read(wait_s=wait_s)
