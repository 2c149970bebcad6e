"""What is counted of a room for the yearly report: numbers by month, never a person, a clip or a moment. Values only.

The vault counts (`vault/tally.py`) and writes `Counted` to whoever connects to its figures socket, as it does with its
status; the service makes the answer of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

LATE: Final = "late-"  # and seconds, rounded up to two digits: a clip that went so long after its hour


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """Counts by name (`vault/tally.py` has the names), as of `as_of_ns` on BOOTTIME.

    The day that goes on is not in it, so that nothing here moves at a press. `months` may begin later than `years`:
    what does not fit into a snapshot is told by year alone.
    """

    as_of_ns: int
    today: str  # the day that goes on, by the device's clock in UTC: "2026-11-22"
    since: str  # the first day of which something was counted; empty while there is none
    is_whole: bool  # False: the ledger is still being read, after a start
    months: dict[str, dict[str, int]]  # by "2026-11"
    years: dict[str, dict[str, int]]  # by "2026"
