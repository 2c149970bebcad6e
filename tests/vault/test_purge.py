"""The second enforcer alone: what may be broken around it, and what it and the vault make of each other."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import hmac
import json
import os
import random
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge.clock import SECOND, SystemClock
from edge.durable import Disk
from edge.errors import StoreError
from edge.messages import Request, Verb, decode
from edge.ports import Clock
from edge.vault import passes, records
from edge.vault.keeper import Keeper
from edge.vault.purge import Purged, purge
from edge.vault.requests import Visit, reply
from edge.vault.retention import DAY_NS
from edge.vault.signing import SIGNATURE_SUFFIX
from edge.vault.store import Store
from edge.vault.watch import Note
from tests.support.processes import ran, spreekkamer
from tests.vault.many import make_many, number_of
from tests.vault.support import CLIP, HOUR, SimClock, assert_ledger, config, make_clip, open_keeper

DUE, YOUNG = number_of(0), number_of(1)
CLOCK = SystemClock()
SOUND = """
[room]
name = "Kamer 1"
[panel]
panic = { pin = 17 }
alarm = { pin = 5 }
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A clip whose hour has just come, and one that is as young as can be."""
    store = Store(root=tmp_path / "store")
    make_many(store, CLOCK, 1, age_s=3600, keep_s=3600)
    make_many(store, CLOCK, 1, keep_s=3600, first=1)
    return store


def there(store: Store) -> list[str]:
    return sorted(path.name for path in store.clips.iterdir())


def room_file(folder: Path, text: str) -> Path:
    file = folder / "room.toml"
    file.write_text(text)
    return file


# --- a configuration that is broken


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        ("[nonsense]\nof = 1\n", "nonsense: no such setting"),
        ("[ring]\nseconds = 'many'\n[camera]\nsource = 7\n", "ring.seconds: "),
        ("[retention]\nseconds = 9_000_000\n", "retention.seconds: "),
    ],
)
def test_what_is_wrong_elsewhere_is_told_and_stops_no_deletion(
    store: Store, tmp_path: Path, broken: str, told: str
) -> None:
    file = room_file(tmp_path, f'{SOUND}{broken}[paths]\nstore = "{store.root}"\n')
    done = ran("purge", "--config", file)
    assert (done.returncode, done.stdout) == (78, "1 deleted\n")
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert there(store) == [YOUNG]


def test_a_broken_run_folder_stops_no_deletion(store: Store, tmp_path: Path) -> None:
    file = room_file(tmp_path, f'[paths]\nrun = 5\nrum = 6\nstore = "{store.root}"\n')
    done = ran("purge", "--config", file)
    assert (done.returncode, done.stdout) == (78, "1 deleted\n")
    assert {line.split(":")[0] for line in done.stderr.splitlines()} == {"room", "panel", "paths.run", "paths.rum"}
    assert there(store) == [YOUNG]


NOWHERE = [
    (None, "cannot be read"),
    ("[paths\n", "is not TOML"),
    ("paths = 3\n", "paths: "),
    ("[paths]\nstore = 'somewhere'\n", "paths.store: 'somewhere' is not an absolute path"),
    ("[paths]\nstore = ''\n", "paths.store: "),
    (f"{SOUND}[paths]\nstor = '/data'\n", "paths.stor: no such setting; did you mean store?"),
]


@pytest.mark.parametrize(("text", "told"), NOWHERE)
def test_without_a_usable_store_in_the_file_the_default_store_is_purged(
    store: Store, tmp_path: Path, text: str | None, told: str
) -> None:
    if os.geteuid() != 0:
        pytest.skip("putting a store in the default's place, for this process alone, needs root")
    file = tmp_path / "none.toml" if text is None else room_file(tmp_path, text)
    command = " ".join(map(str, spreekkamer("purge", "--config", file)))
    script = (
        "mount -t tmpfs tmpfs /var/lib && mkdir /var/lib/spreekkamer && "
        f"mount --bind {store.root} /var/lib/spreekkamer || exit 99; {command}"
    )
    done = subprocess.run(["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, check=False)
    if done.returncode in (1, 99) and "purge" not in done.stderr and "deleted" not in done.stderr:
        pytest.skip(f"cannot mount here: {done.stderr.strip()}")
    assert (done.returncode, done.stdout) == (78, "")
    [line] = done.stderr.splitlines()
    assert told in line
    assert "1 deleted from the default store /var/lib/spreekkamer; mend this, or use --store DIR" in line
    assert there(store) == [YOUNG]


def test_a_store_that_is_named_outright_needs_no_file(store: Store) -> None:
    done = ran("purge", "--store", store.root)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1 deleted\n", "")
    assert there(store) == [YOUNG]


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--store", "/no/such/folder"], 78, "there is no such folder"),
        (["--store", "x" * 300], 78, "there is no such folder"),
        ([], 2, "--store"),
        (["--store", "/tmp", "--config", "/room.toml"], 2, "either"),
    ],
)
def test_a_store_that_cannot_be_is_refused(arguments: list[str], code: int, told: str) -> None:
    done = ran("purge", *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert told in done.stderr


# --- a catalog that is not as it was


def lose(store: Store) -> None:
    store.catalog.unlink()


def scramble(store: Store) -> None:
    store.catalog.write_bytes(random.Random(3).randbytes(store.catalog.stat().st_size))


def scramble_rows(store: Store) -> None:
    whole = store.catalog.read_bytes()
    store.catalog.write_bytes(whole[:4096] + random.Random(3).randbytes(len(whole) - 4096))


def cut(store: Store) -> None:
    store.catalog.write_bytes(store.catalog.read_bytes()[:4500])


def pipe(store: Store) -> None:
    store.catalog.unlink()
    os.mkfifo(store.catalog)


@pytest.mark.parametrize("damage", [lose, scramble, scramble_rows, cut, pipe, lambda _: None])
def test_whatever_the_catalog_is_exactly_what_is_due_goes(
    store: Store, tmp_path: Path, damage: Callable[[Store], None]
) -> None:
    settings = config(tmp_path)
    open_keeper_of(store).stop()
    damage(store)
    purged = purge(settings, clock=CLOCK)
    assert (purged.deleted, purged.failed) == ((DUE,), ())
    assert there(store) == [YOUNG]
    assert_ledger(tmp_path)


def open_keeper_of(store: Store) -> Keeper:
    """A vault on the machine's clock; it has not made its first pass."""
    from edge.vault.process import open_keeper as opened

    return opened(config(store.root.parent), CLOCK, Disk(), None)


def test_a_catalog_that_the_vault_keeps_locked_is_read_without_disturbing_it(store: Store, tmp_path: Path) -> None:
    open_keeper_of(store).stop()
    keeper = open_keeper_of(store)
    with (
        contextlib.closing(sqlite3.connect(store.catalog, timeout=0.0)) as another,
        pytest.raises(sqlite3.OperationalError, match="locked"),
    ):
        another.execute("SELECT * FROM clip")
    (store.clip(DUE) / (records.BIRTH + SIGNATURE_SUFFIX)).write_bytes(bytes(64))  # only the catalog's mark is left
    purged = purge(config(tmp_path), clock=CLOCK)
    assert (purged.deleted, purged.failed) == ((DUE,), ())
    passes.pass_through(keeper)
    assert [clip.id for clip in keeper.all()] == [YOUNG]
    assert "catalog" not in {fault.code for fault in keeper.status().faults}
    keeper.stop()
    with contextlib.closing(sqlite3.connect(store.catalog)) as after:
        assert after.execute("SELECT id FROM clip").fetchall() == [(YOUNG,)]


def test_without_the_private_key_no_mark_in_the_catalog_is_believed(store: Store, tmp_path: Path) -> None:
    open_keeper_of(store).stop()
    store.device_key.unlink()
    file = store.clip(YOUNG) / records.BIRTH
    forged = file.read_bytes().replace(b'"retention_s":3600', b'"retention_s":0')
    file.write_bytes(forged)
    mark = hmac.digest(hashlib.sha256(b"spreekkamer catalog memo\0").digest(), forged, "sha256")
    with contextlib.closing(sqlite3.connect(store.catalog)) as catalog, catalog:
        catalog.execute("UPDATE clip SET proof = ? WHERE id = ?", (mark, YOUNG))
    purged = purge(config(tmp_path), clock=CLOCK)
    assert purged.deleted == (DUE,)
    assert "private key" in purged.failed[0]
    assert there(store) == [YOUNG]


# --- what cannot be done


def test_a_pipe_in_the_place_of_a_birth_holds_up_nobody(store: Store, tmp_path: Path) -> None:
    file = store.clip(YOUNG) / records.BIRTH
    file.unlink()
    os.mkfifo(file)
    assert purge(config(tmp_path), clock=CLOCK).deleted == (DUE,)


def test_without_any_key_nothing_is_deleted_and_the_note_says_so(store: Store, tmp_path: Path) -> None:
    store.device_key.unlink()
    store.device_public.unlink()
    store.powered_on.unlink()
    done = ran("purge", "--store", store.root)
    assert (done.returncode, done.stdout) == (1, "0 deleted\n")
    assert "device.pub.pem" in done.stderr
    assert there(store) == sorted([DUE, YOUNG])
    assert "device.pub.pem" in decode(Note, store.purge_note.read_bytes()).failed
    assert not store.powered_on.exists(), "nobody knows what it stood at"


class AwaitedDisk(Disk):
    """Something happens while the store's lock is waited for."""

    def __init__(self, meanwhile: Callable[[], object]) -> None:
        self._meanwhile = [meanwhile]

    @contextlib.contextmanager
    def locked(self, path: Path, clock: Clock, *, patience_s: float = 10.0) -> Iterator[bool]:
        while self._meanwhile:
            self._meanwhile.pop()()
        with super().locked(path, clock, patience_s=patience_s) as got:
            yield got


class StuckDisk(Disk):
    """Moves no clip away."""

    def rename(self, source: Path, target: Path) -> None:
        raise StoreError(f"{source}: cannot move away: stuck")


# --- the vault watches purge


@pytest.fixture
def clock() -> SimClock:
    return SimClock()


@pytest.fixture
def keeper(tmp_path: Path, clock: SimClock) -> Iterator[Keeper]:
    keeper = open_keeper(tmp_path, clock)
    clock.advance(SECOND)  # a counter that stands at zero cannot be lost
    make_clip(keeper, clock)
    passes.pass_through(keeper)
    yield keeper
    keeper.stop()


def faults(keeper: Keeper) -> dict[str, str]:
    """The faults of the watch, after a pass."""
    passes.pass_through(keeper)
    return {
        fault.code: fault.detail
        for fault in keeper.status().faults
        if fault.code in {"enforcers-disagree", "purge-silent", "counter-lost"}
    }


def run_for(keeper: Keeper, clock: SimClock, hours: int, *, purging: Path | None = None) -> None:
    """Time with the vault's ticks, and with purge each hour."""
    for _ in range(hours):
        for _ in range(2):
            clock.advance(HOUR // 2)
            passes.tick(keeper)
        if purging:
            assert purge(config(purging), clock=clock).failed == ()


def test_two_enforcers_that_agree_are_no_fault(keeper: Keeper, clock: SimClock, tmp_path: Path) -> None:
    run_for(keeper, clock, 71, purging=tmp_path)
    clock.advance(HOUR)
    assert purge(config(tmp_path), clock=clock) == Purged(deleted=(CLIP,))
    assert faults(keeper) == {}


def test_a_clip_deleted_by_request_is_no_disagreement(keeper: Keeper) -> None:
    answer, _ = reply(keeper, Request(verb=Verb.DELETE, clip=CLIP, actor="officer", reason="test"), Visit(uid=1))
    assert answer.error == ""
    assert faults(keeper) == {}


def test_purge_that_deletes_before_the_hour_is_a_fault_for_a_day_of_running(
    keeper: Keeper, clock: SimClock, tmp_path: Path
) -> None:
    lying = copy.copy(clock)
    lying.wall += 72 * HOUR
    assert purge(config(tmp_path), clock=lying).deleted == (CLIP,)
    assert CLIP in faults(keeper)["enforcers-disagree"]
    assert "259200 s before its hour" in faults(keeper)["enforcers-disagree"]
    keeper.stop()
    clock.reboot(off_ns=7 * DAY_NS)  # being off is no time in which somebody could see it
    again = open_keeper(tmp_path, clock)
    run_for(again, clock, 22, purging=tmp_path)
    assert CLIP in faults(again)["enforcers-disagree"]
    run_for(again, clock, 2, purging=tmp_path)
    assert faults(again) == {}
    again.stop()


@pytest.mark.parametrize(("early_ns", "is_fault"), [(9 * SECOND, False), (11 * SECOND, True)])
def test_the_seconds_between_the_two_looks_are_no_disagreement(
    keeper: Keeper, clock: SimClock, tmp_path: Path, early_ns: int, is_fault: bool
) -> None:
    later = copy.copy(clock)
    later.advance(72 * HOUR)
    assert purge(config(tmp_path), clock=later).deleted == (CLIP,)
    clock.advance(72 * HOUR - early_ns)
    assert ("enforcers-disagree" in faults(keeper)) == is_fault


def test_a_vault_that_ran_and_let_purge_do_its_work_tells_of_itself(
    keeper: Keeper, clock: SimClock, tmp_path: Path
) -> None:
    clock.advance(72 * HOUR + 301 * SECOND)  # it hung
    purged = purge(config(tmp_path), clock=clock)
    assert (purged.deleted, purged.late) == ((CLIP,), (CLIP,))
    assert "spreekkamer keep" in purged.complaints[0]
    assert CLIP in faults(keeper)["enforcers-disagree"]


def test_a_vault_that_did_not_run_is_not_to_blame(keeper: Keeper, clock: SimClock, tmp_path: Path) -> None:
    keeper.stop()
    clock.advance(80 * HOUR)
    again = open_keeper(tmp_path, clock)  # and has no time for a pass
    assert purge(config(tmp_path), clock=clock).late == (CLIP,)
    assert faults(again) == {}
    again.stop()


def test_nobody_is_late_when_the_clock_has_only_just_become_right(
    keeper: Keeper, clock: SimClock, tmp_path: Path
) -> None:
    keeper.stop()
    clock.reboot(off_ns=100 * HOUR)
    clock.advance(10 * 60 * SECOND)
    assert purge(config(tmp_path), clock=clock) == Purged(deleted=(CLIP,))


def test_purge_that_cannot_delete_is_a_fault_until_a_day_after_it_could(
    keeper: Keeper, clock: SimClock, tmp_path: Path
) -> None:
    clock.advance(72 * HOUR)
    stuck = purge(config(tmp_path), clock=clock, disk=StuckDisk())
    assert (stuck.deleted, (tmp_path / "store" / "clips" / CLIP).exists()) == ((), True)
    assert "0 deleted, but: " in stuck.complaints[0]
    assert "stuck" in faults(keeper)["enforcers-disagree"]
    run_for(keeper, clock, 23, purging=tmp_path)
    assert "stuck" in faults(keeper)["enforcers-disagree"]
    run_for(keeper, clock, 1, purging=tmp_path)
    assert faults(keeper) == {}


def test_purge_that_goes_on_failing_stays_a_fault(keeper: Keeper, clock: SimClock, tmp_path: Path) -> None:
    clock.advance(72 * HOUR)
    purge(config(tmp_path), clock=clock, disk=StuckDisk())
    run_for(keeper, clock, 60)
    assert set(faults(keeper)) == {"enforcers-disagree", "purge-silent"}


def test_purge_that_falls_silent_is_a_fault_but_one_that_never_ran_is_none(
    keeper: Keeper, clock: SimClock, tmp_path: Path
) -> None:
    run_for(keeper, clock, 10)
    assert faults(keeper) == {}
    purge(config(tmp_path), clock=clock)
    run_for(keeper, clock, 3)
    assert faults(keeper) == {}
    clock.advance(SECOND)
    assert "3.0 h ago" in faults(keeper)["purge-silent"]
    purge(config(tmp_path), clock=clock)
    assert faults(keeper) == {}


def test_silence_is_counted_while_the_device_runs(keeper: Keeper, clock: SimClock, tmp_path: Path) -> None:
    purge(config(tmp_path), clock=clock)
    keeper.stop()
    clock.reboot(off_ns=30 * DAY_NS)
    again = open_keeper(tmp_path, clock)
    assert faults(again) == {}
    run_for(again, clock, 4)
    assert "purge-silent" in faults(again)
    again.stop()


def test_a_hold_that_comes_while_purge_waits_for_the_lock_counts(
    keeper: Keeper, clock: SimClock, tmp_path: Path
) -> None:
    hold = Request(verb=Verb.HOLD, clip=CLIP, days=3, actor="officer", reason="police-report")
    clock.advance(72 * HOUR)
    disk = AwaitedDisk(lambda: reply(keeper, hold, Visit(uid=1)))
    assert purge(config(tmp_path), clock=clock, disk=disk) == Purged()
    assert faults(keeper) == {}
    clock.advance(72 * HOUR)
    assert purge(config(tmp_path), clock=clock).deleted == (CLIP,)


# --- purge watches the vault


def test_purge_names_the_vault_when_a_clip_is_overdue_and_deletes_it_all_the_same(tmp_path: Path) -> None:
    store = Store(root=tmp_path / "store")
    make_many(store, CLOCK, 5, age_s=3600 + 310, keep_s=3600)
    make_many(store, CLOCK, 1, age_s=3600 + 290, keep_s=3600, first=5)
    make_many(store, CLOCK, 1, keep_s=3600, first=6)
    done = ran("purge", "--store", store.root)
    assert (done.returncode, done.stdout) == (1, "6 deleted\n")
    [line] = done.stderr.splitlines()
    named = ", ".join(number_of(index) for index in range(3))
    assert f"the vault should have deleted 5 more than 5 minutes ago ({named}, …)" in line
    assert "spreekkamer keep" in line
    assert there(store) == [number_of(6)]
    note = decode(Note, store.purge_note.read_bytes())
    assert (note.deleted, note.late, note.failed) == (6, tuple(number_of(index) for index in range(3)), "")
    assert note.boot_id == CLOCK.boot_id
    again = ran("purge", "--store", store.root)
    assert (again.returncode, again.stdout, again.stderr) == (0, "0 deleted\n", "")


# --- a lost powered-on counter


def scrambled(file: Path) -> None:
    file.write_bytes(random.Random(5).randbytes(60))


@pytest.mark.parametrize("lost", [Path.unlink, scrambled])
@pytest.mark.parametrize("found_by", ["vault", "purge"])
def test_a_lost_counter_is_told_as_long_as_a_clip_of_before_is_there(
    keeper: Keeper, clock: SimClock, tmp_path: Path, lost: Callable[[Path], None], found_by: str
) -> None:
    run_for(keeper, clock, 1)
    make_clip(keeper, clock, clip=YOUNG)
    keeper.stop()
    lost(tmp_path / "store" / "powered-on.json")
    clock.trusted = False
    clock.reboot()
    if found_by == "purge":
        assert purge(config(tmp_path), clock=clock) == Purged()
    for _ in range(2):
        again = open_keeper(tmp_path, clock)
        assert faults(again)["counter-lost"] == f"{CLIP}, {YOUNG}"
        again.stop()
        clock.reboot()
    again = open_keeper(tmp_path, clock)
    run_for(again, clock, 1)
    make_clip(again, clock, clip="20261122T101502Z-zzzz")
    run_for(again, clock, 70)  # the counter went on from the newest birth
    assert faults(again)["counter-lost"] == YOUNG
    run_for(again, clock, 1)
    assert "counter-lost" not in faults(again)
    assert [clip.id for clip in again.all()] == ["20261122T101502Z-zzzz"]
    again.stop()


def test_a_new_store_has_lost_nothing(tmp_path: Path, clock: SimClock) -> None:
    for _ in range(2):
        keeper = open_keeper(tmp_path, clock)
        make_clip(keeper, clock, clip=number_of(clock.boots))
        assert faults(keeper) == {}
        keeper.stop()
        clock.reboot()


def test_a_folder_that_cannot_be_read_does_not_stop_a_start_without_counter(
    keeper: Keeper, clock: SimClock, tmp_path: Path
) -> None:
    keeper.stop()
    (tmp_path / "store" / "powered-on.json").unlink()
    (tmp_path / "store" / "clips" / YOUNG).symlink_to(YOUNG)  # to itself: no process can list it
    again = open_keeper(tmp_path, clock)
    assert faults(again)["counter-lost"] == CLIP
    again.stop()


def test_a_damaged_note_or_disagreement_stops_nobody(keeper: Keeper, clock: SimClock, tmp_path: Path) -> None:
    keeper.stop()
    for name in ("purge.json", "disagreement.json"):
        scrambled(tmp_path / "store" / name)
    again = open_keeper(tmp_path, clock)
    assert faults(again) == {}
    purge(config(tmp_path), clock=clock)
    assert json.loads((tmp_path / "store" / "purge.json").read_bytes())["deleted"] == 0
    again.stop()
