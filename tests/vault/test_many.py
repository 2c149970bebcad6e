"""A store with very many clips: everything is found, nothing is checked twice, and memory stays flat. Speed: `make bench`."""

from __future__ import annotations

import gc
import json
import shutil
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.messages import Request, Verb
from edge.vault import passes
from edge.vault.purge import purge
from edge.vault.requests import Visit, reply
from edge.vault.store import Store
from tests.support.processes import IS_LONG
from tests.vault.many import make_many, number_of
from tests.vault.support import HOUR, SimClock, config, open_keeper, quick_folder

COUNT = 10_000 if IS_LONG else 500
DUE = [number_of(index) for index in range(5)]
EVERYTHING = [number_of(index) for index in range(COUNT)]


@pytest.fixture(scope="module")
def many() -> Iterator[Path]:
    """Five clips whose hour comes in an hour, and many that are young; never opened by a vault."""
    with quick_folder() as root:
        make_many(Store(root=root / "store"), SimClock(), 5, age_s=71 * 3600)
        make_many(Store(root=root / "store"), SimClock(), COUNT - 5, first=5)
        yield root


@pytest.fixture
def root(many: Path) -> Iterator[Path]:
    """A copy to spoil."""
    with quick_folder() as copy:
        shutil.copytree(many / "store", copy / "store", copy_function=shutil.copyfile)
        yield copy


def there(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "store" / "clips").iterdir())


def listed(root: Path, clock: SimClock) -> list[str]:
    keeper = open_keeper(root, clock)
    answer, rows = reply(keeper, Request(verb=Verb.LIST), Visit(uid=1))
    keeper.stop()
    assert answer.data == {"total": len(keeper.all())}
    assert {row["state"] for row in json.loads(rows)} == {"complete"}
    assert {row["safe_seconds"] for row in json.loads(rows)} == {3.0}
    return sorted(row["id"] for row in json.loads(rows))


def test_all_are_found_with_and_without_the_catalog_and_exactly_the_due_ones_go(root: Path) -> None:
    clock = SimClock()
    assert listed(root, clock) == EVERYTHING
    assert listed(root, clock) == EVERYTHING
    (root / "store" / "catalog.sqlite").unlink()
    assert listed(root, clock) == EVERYTHING
    clock.advance(HOUR)
    assert sorted(purge(config(root), clock=clock).deleted) == DUE
    assert there(root) == EVERYTHING[5:]
    assert listed(root, clock) == EVERYTHING[5:]


def test_what_was_checked_once_is_not_checked_again_by_either_enforcer(root: Path) -> None:
    clock = SimClock()
    assert listed(root, clock) == EVERYTHING
    for signature in (root / "store" / "clips").glob("*/birth.json.sig"):
        signature.write_bytes(bytes(64))
    keeper = open_keeper(root, clock)
    assert [clip.id for clip in keeper.all() if clip.problems] == []
    keeper.stop()
    clock.advance(HOUR)
    purged = purge(config(root), clock=clock)
    assert (sorted(purged.deleted), purged.failed) == (DUE, ())
    assert list((root / "store" / "clips").glob("*/sighting.json")) == []
    # Without the marks each one is looked at, found wanting, and given its last 72 hours.
    (root / "store" / "catalog.sqlite").unlink()
    assert purge(config(root), clock=clock).deleted == ()
    assert len(list((root / "store" / "clips").glob("*/sighting.json"))) == COUNT - 5


def test_passes_of_both_enforcers_leave_nothing_behind_in_memory(root: Path) -> None:
    clock = SimClock()
    keeper = open_keeper(root, clock)

    def grown(turns: int) -> int:
        for _ in range(turns):
            clock.advance(1)
            passes.pass_through(keeper)
            purge(config(root), clock=clock)
            keeper.status()
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        before = grown(2)
        assert grown(3) - before < 16 * 1024  # a clip kept once too often would be a megabyte
    finally:
        tracemalloc.stop()
    keeper.stop()
