"""How long this device has been running in all: one durable counter, by which clips age when no clock can be trusted.

Within a boot it moves with BOOTTIME, whoever reads it and however often the vault starts. At a new boot it goes on
from what was saved last, plus the time since this boot began; so a reboot loses at most the minute since the last
save, and a vault that did not start for days loses nothing. It never runs ahead of the time that really passed, as
long as the store's disk is not carried, powered on, into a machine that was already running.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge.clock import SECOND
from edge.durable import Disk
from edge.errors import BadMessage
from edge.messages import decode, encode
from edge.ports import Clock
from edge.vault.retention import Now

SAVE_EVERY_NS: Final = 60 * SECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """The counter's file."""

    powered_on_ns: int
    boot_id: str
    boot_ns: int
    lost_at_ns: int | None = None  # what it went on from when it was last found lost


def read(path: Path) -> Saved | None:
    """What was saved last; None when there is nothing, or nothing that can be read."""
    try:
        saved = decode(Saved, path.read_bytes())
    except (OSError, BadMessage):
        return None
    return saved if saved.powered_on_ns >= 0 else None


class PoweredOn:
    """The counter. Any thread may read; one thread saves."""

    def __init__(self, disk: Disk, path: Path, clock: Clock, *, at_least_ns: int = 0) -> None:
        """Go on from the file; `at_least_ns` (the clips know) stands in for one that was lost, and the loss is kept."""
        self._disk = disk
        self._path = path
        self._clock = clock
        saved = read(path)
        self._lost_at_ns = saved.lost_at_ns if saved else at_least_ns or None
        now_ns = clock.boot_ns()
        if saved is None:
            # A fresh store starts at zero; after a loss the newest birth is the last we know of.
            self._at_boot_ns = at_least_ns - now_ns
        elif saved.boot_id == clock.boot_id:
            self._at_boot_ns = saved.powered_on_ns - saved.boot_ns
        else:
            self._at_boot_ns = saved.powered_on_ns
        self._saved_ns: int | None = saved.boot_ns if saved and saved.boot_id == clock.boot_id else None

    def not_below(self, stood_ns: int) -> None:
        """A clip of an earlier boot knows that it stood so, and the save after it was lost.

        Else it would jump up to there, past younger clips, should its file be lost too.
        """
        if stood_ns > max(0, self._at_boot_ns):  # a new store's counter stood below zero when this boot began
            self._at_boot_ns, self._saved_ns = stood_ns, None

    @property
    def at_boot_ns(self) -> int:
        """What it stood at when this boot began."""
        return self._at_boot_ns

    def was_lost_after(self, stood_ns: int) -> bool:
        """The counter was lost once after it stood so: what is counted from there may be too little."""
        return self._lost_at_ns is not None and stood_ns <= self._lost_at_ns

    def at_ns(self, boot_ns: int) -> int:
        """What it stands at, at an instant of this boot."""
        return max(0, self._at_boot_ns + boot_ns)

    def now(self) -> Now:
        """This instant on every clock. The wall clock counts only if it was trusted before and after reading it."""
        was_trusted = self._clock.is_trusted()
        wall_ns = self._clock.wall_ns()
        boot_ns = self._clock.boot_ns()
        return Now(
            boot_id=self._clock.boot_id,
            boot_ns=boot_ns,
            wall_ns=wall_ns,
            is_trusted=was_trusted and self._clock.is_trusted(),
            powered_on_ns=self.at_ns(boot_ns),
        )

    @property
    def is_save_due(self) -> bool:
        """A minute has passed since the last save, or this boot has none yet."""
        return self._saved_ns is None or self._clock.boot_ns() - self._saved_ns >= SAVE_EVERY_NS

    def save(self) -> None:
        """Make it last. Raises StoreError. Callers hold the store's lock: both enforcers save."""
        now_ns = self._clock.boot_ns()
        saved = Saved(
            powered_on_ns=self.at_ns(now_ns),
            boot_id=self._clock.boot_id,
            boot_ns=now_ns,
            lost_at_ns=self._lost_at_ns,
        )
        self._disk.replace(self._path, encode(saved) + b"\n")
        self._saved_ns = now_ns
