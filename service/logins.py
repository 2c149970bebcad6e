"""Judges passwords without holding up the page: one hash at a time on one thread, a bounded number waiting.

Who was right is known for some minutes by a keyed hash in RAM, so that a page, its files and its stream cost one
argon2 together. Only for the network that proved it, and only as long as that network hardly guesses: else the memory
would be a quick place to try passwords. All but the hashing happens on the event loop.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, Self

from edge.clock import SECOND
from edge.ports import Clock
from service.guesses import Guesses
from service.password import PasswordHash

PROVEN_S: Final = 600
PROVEN: Final = 256  # networks; beyond it the one that proved it longest ago proves it again
MISSES: Final = 20  # other passwords from a network that proved one, before it proves it again
WAITING: Final = 8  # hashes at once, one a network; beyond it the answer is to come again. Some 50 ms each


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`wait_s` above 0: not judged, come again after so long."""

    is_right: bool = False
    wait_s: int = 0


@dataclass(slots=True, kw_only=True)
class _Proof:
    digest: bytes = field(repr=False)
    until_ns: int
    misses: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _UnderWay:
    digest: bytes = field(repr=False)
    verdict: asyncio.Task[Verdict]


class Logins:
    """Judges guesses of the one password. Whoever makes it closes it, after the event loop."""

    def __init__(self, password: PasswordHash, clock: Clock) -> None:
        self._password = password
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._guesses = Guesses()
        self._proven: OrderedDict[str, _Proof] = OrderedDict()
        self._under_way: dict[str, _UnderWay] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="password")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Wait for the hash that is being made; those behind it are dropped. Idempotent."""
        self._thread.shutdown(cancel_futures=True)

    async def judge(self, network: str, guess: bytes) -> Verdict:
        """Whether this network knows the password."""
        digest = hmac.digest(self._key, guess, "sha256")
        now_ns = self._clock.boot_ns()
        if self._has_proven(network, digest, now_ns):
            return Verdict(is_right=True)
        if wait_s := self._guesses.wait_s(network, now_ns):
            return Verdict(wait_s=wait_s)
        under_way = self._under_way.get(network)
        if under_way is None:
            if len(self._under_way) >= WAITING:
                return Verdict(wait_s=1)
            verdict = asyncio.get_running_loop().create_task(self._verify(network, digest, guess))
            under_way = self._under_way[network] = _UnderWay(digest=digest, verdict=verdict)
        elif not hmac.compare_digest(under_way.digest, digest):
            return Verdict(wait_s=1)  # one guess a network at a time
        return await asyncio.shield(under_way.verdict)  # a browser's first six requests share one

    async def _verify(self, network: str, digest: bytes, guess: bytes) -> Verdict:
        try:
            is_right = await asyncio.get_running_loop().run_in_executor(self._thread, self._password.fits, guess)
        finally:
            del self._under_way[network]
        now_ns = self._clock.boot_ns()
        if not is_right:
            self._guesses.wrong(network, now_ns)
            return Verdict()
        self._guesses.right(network)
        self._proven.pop(network, None)
        self._proven[network] = _Proof(digest=digest, until_ns=now_ns + PROVEN_S * SECOND)
        while len(self._proven) > PROVEN:
            self._proven.popitem(last=False)
        return Verdict(is_right=True)

    def _has_proven(self, network: str, digest: bytes, now_ns: int) -> bool:
        proof = self._proven.get(network)
        if proof is None:
            return False
        if now_ns < proof.until_ns and hmac.compare_digest(proof.digest, digest):
            return True
        proof.misses += 1
        if now_ns >= proof.until_ns or proof.misses >= MISSES:
            del self._proven[network]
        return False
