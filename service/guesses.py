"""How long who guessed wrong has to wait. Pure; bounded whatever number of addresses guess. Callers: the event loop."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

from edge.clock import SECOND

FREE: Final = 4  # wrong ones before anybody waits: people mistype
WAITS_S: Final = (1, 2, 4, 8, 16, 32, 60)  # longer would shut out a desk for one bad hour of somebody else there
FORGOTTEN_S: Final = 900  # after the newest wrong one
REMEMBERED: Final = 4096  # networks; beyond it the one that was wrong longest ago is forgotten


def normal(address: str) -> str:
    """An address in one spelling; an IPv4 address that came through an IPv6 socket is itself. What is none is ""."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return str(mapped or found)


def network(address: str) -> str:
    """Who is counted as one: an IPv4 address, or the /64 that a single IPv6 customer has to choose addresses from.

    What is no address is one too: a proxy that tells none makes one reader of all.
    """
    address = normal(address)
    return str(ip_network(f"{address}/64", strict=False)) if ":" in address else address


@dataclass(slots=True)
class _Wrong:
    count: int
    newest_ns: int


class Guesses:
    """The networks that guessed wrong of late. Times on BOOTTIME."""

    def __init__(self) -> None:
        self._wrong: OrderedDict[str, _Wrong] = OrderedDict()  # the one that was wrong longest ago first

    def wait_s(self, network: str, now_ns: int) -> int:
        """Whole seconds until this network may guess again; 0: now. Longer with each wrong guess, up to a minute."""
        known = self._wrong.get(network)
        if known is None or known.count < FREE:
            return 0
        wait_s = WAITS_S[min(known.count - FREE, len(WAITS_S) - 1)]
        left_ns = known.newest_ns + wait_s * SECOND - now_ns
        return max(0, -(-left_ns // SECOND))

    def wrong(self, network: str, now_ns: int) -> None:
        """It guessed wrong."""
        known = self._wrong.pop(network, None)
        is_new = known is None or now_ns - known.newest_ns > FORGOTTEN_S * SECOND
        self._wrong[network] = _Wrong(count=1 if known is None or is_new else known.count + 1, newest_ns=now_ns)
        while len(self._wrong) > REMEMBERED:
            self._wrong.popitem(last=False)

    def right(self, network: str) -> None:
        """It knows the password."""
        self._wrong.pop(network, None)

    def __len__(self) -> int:
        return len(self._wrong)
