"""Ten thousand clips in one store: how long a start, each enforcer and a list take, and what stays in memory."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from edge.clock import SECOND
from edge.config import Config
from edge.durable import Disk
from edge.vault import passes, reading, signing
from edge.vault.process import open_keeper
from edge.vault.purge import purge
from edge.vault.records import BIRTH
from edge.vault.signing import SIGNATURE_SUFFIX
from edge.vault.store import Store
from tests.bench.rig import rss_mb
from tests.support.processes import CLOCK, Room, ran, until
from tests.vault.many import make_many


@dataclass(frozen=True, slots=True, kw_only=True)
class Many:
    """Seconds, but for `grown_mb`: what the vault's memory gained over a hundred passes."""

    start_s: float  # of the process, to its first answer
    recovery_s: float  # procedure START alone
    start_lost_s: float  # without catalog: each birth's signature is checked
    purge_s: float  # of the process
    purging_s: float  # the pass alone
    purge_lost_s: float
    checks_s: float  # the signature checks alone
    list_s: float
    pass_s: float
    grown_mb: float


def measure(room: Room, *, count: int, times: int) -> Many:
    """All of it, on a store made for it; medians of `times`."""
    store = Store(root=room.config.paths.store)
    make_many(store, CLOCK, count)
    starts_lost_s = [_without_catalog(store, lambda: _start(room)[0]) for _ in range(times)]
    starts_s, lists_s = zip(*(_start(room) for _ in range(times)), strict=True)
    purges_s = [_took_s(lambda: _purged(room)) for _ in range(times)]
    recoveries_s = [_took_s(lambda: open_keeper(room.config, CLOCK, Disk(), None).stop()) for _ in range(times)]
    purgings_s = [_took_s(lambda: purge(room.config, clock=CLOCK)) for _ in range(times)]
    purges_lost_s = [_without_catalog(store, lambda: _took_s(lambda: _purged(room))) for _ in range(times)]
    pass_s, grown_mb = _passes(room.config)
    return Many(
        start_s=median(starts_s),
        recovery_s=median(recoveries_s),
        start_lost_s=median(starts_lost_s),
        purge_s=median(purges_s),
        purging_s=median(purgings_s),
        purge_lost_s=median(purges_lost_s),
        checks_s=median(_took_s(lambda: _check_all(store)) for _ in range(times)),
        list_s=median(lists_s),
        pass_s=pass_s,
        grown_mb=grown_mb,
    )


def _without_catalog(store: Store, measured: Callable[[], float]) -> float:
    store.catalog.unlink(missing_ok=True)
    return measured()


def _start(room: Room) -> tuple[float, float]:
    """From `keep` to its first answer, and then a list."""
    begun_ns = CLOCK.boot_ns()
    with room.process("keep") as keep:
        until(lambda: room.vault() is not None)
        start_s = (CLOCK.boot_ns() - begun_ns) / SECOND
        list_s = _took_s(lambda: ran("clips", "list", "--config", room.config_file).check_returncode())
        keep.terminate()
        keep.wait()
    return start_s, list_s


def _purged(room: Room) -> None:
    done = ran("purge", "--config", room.config_file)
    assert (done.returncode, done.stdout) == (0, "0 deleted\n"), done.stderr


def _passes(config: Config) -> tuple[float, float]:
    """The median pass, and by how much the process grew over a hundred of them."""
    keeper = open_keeper(config, CLOCK, Disk(), None)
    took_s = [_took_s(lambda: passes.pass_through(keeper)) for _ in range(10)]
    before_mb = rss_mb(os.getpid())
    for _ in range(100):
        passes.pass_through(keeper)
    grown_mb = rss_mb(os.getpid()) - before_mb
    keeper.stop()
    return median(took_s), grown_mb


def _check_all(store: Store) -> None:
    key = signing.load(store, None)
    for number in reading.ids(store.clips):
        file = store.clip(number) / BIRTH
        assert key.is_signed(file.read_bytes(), file.with_name(BIRTH + SIGNATURE_SUFFIX).read_bytes())


def _took_s(call: Callable[[], object]) -> float:
    begun_ns = CLOCK.boot_ns()
    call()
    return (CLOCK.boot_ns() - begun_ns) / SECOND
