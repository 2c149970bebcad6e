"""An instant that keeps its age: over restarts by the powered-on counter, over a power-off by a trusted wall clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from edge.clock import SECOND, iso
from edge.vault import retention
from edge.vault.retention import Life, Now


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When something was, as it is written down."""

    powered_on_ns: int
    wall_ns: int | None  # None: no trusted clock knew

    @classmethod
    def of(cls, now: Now) -> Self:
        return cls(powered_on_ns=now.powered_on_ns, wall_ns=now.wall_ns if now.is_trusted else None)

    def age_ns(self, now: Now) -> int:
        """How long ago it surely was: counted as a clip's age is."""
        return retention.age_ns(Life(powered_on_ns=self.powered_on_ns, wall_ns=self.wall_ns, keep_ns=0), now)

    def age_s(self, now: Now) -> float:
        return round(self.age_ns(now) / SECOND, 1)

    def at(self, now: Now) -> str:
        """When it was, in wall time for people (ISO, UTC)."""
        return iso(now.wall_ns - self.age_ns(now) if self.wall_ns is None else self.wall_ns)
