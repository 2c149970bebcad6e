"""When the panic button was last seen to work: in a test, or in earnest. The panel itself forgets that at each boot.

    store/button.json   the newest press that came to the ledger; before the first one, when this store began

Callers hold the keeper's lock, but for `status`.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge.durable import Disk
from edge.errors import BadMessage, StoreError
from edge.messages import Event, decode, encode
from edge.status import ButtonStatus
from edge.vault.faults import Faults
from edge.vault.moment import Moment
from edge.vault.retention import DAY_NS, Now

# The button is tested once a month; a test that is some days late is none that was forgotten.
OVERDUE_NS: Final = 35 * DAY_NS
_PRESSES: Final = frozenset({Event.PRESS, Event.PRESS_PRIVATE, Event.PRESS_TEST})


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is written down."""

    at: Moment
    is_press: bool  # False: since the store began nobody has pressed


class Button:
    """The newest press."""

    def __init__(self, disk: Disk, path: Path, faults: Faults, now: Now) -> None:
        self._disk = disk
        self._path = path
        self._faults = faults
        self._seen = read(path) or self._noted(Seen(at=Moment.of(now), is_press=False))

    def happened(self, event: Event, now: Now) -> None:
        """Something happened at the panel."""
        if event in _PRESSES:
            self._seen = self._noted(Seen(at=Moment.of(now), is_press=True))
            self.show_faults(now)

    def status(self, now: Now) -> ButtonStatus:
        seen = self._seen
        if not seen.is_press:
            return ButtonStatus(pressed_at=None, age_s=None)
        return ButtonStatus(pressed_at=seen.at.at(now), age_s=seen.at.age_s(now))

    def show_faults(self, now: Now) -> None:
        """Show or clear that it was not tested for too long."""
        age_ns = self._seen.at.age_ns(now)
        detail = f"nobody has pressed the panic button for {age_ns // DAY_NS} days" if age_ns > OVERDUE_NS else ""
        self._faults.show("test-overdue", detail, "turn the test key and press the button", now.boot_ns)

    def _noted(self, seen: Seen) -> Seen:
        with contextlib.suppress(StoreError):  # the disk has faults of its own, and the next press is written again
            self._disk.replace(self._path, encode(seen) + b"\n")
        return seen


def read(path: Path) -> Seen | None:
    """What was written last; None when there is nothing, or nothing that can be read."""
    try:
        return decode(Seen, path.read_bytes())
    except (OSError, BadMessage):
        return None
