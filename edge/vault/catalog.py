"""The catalog of clips: an index in SQLite, the only import of it. Losing it loses nothing; see schema.sql.

Callers hold the keeper's lock. Every failure is a StoreError, after which the caller goes on without a catalog.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from importlib import resources
from typing import Final, get_args

from edge.durable import Disk
from edge.errors import StoreError
from edge.vault.reading import Memo, State
from edge.vault.store import Store

_USER_VERSION: Final = 2
# Written through without waiting for the disk: a power cut may take the newest rows, never the file's soundness.
# Exclusive, so that SQLite keeps the log's index in its own memory: mapped from a file on a full disk, it ended the
# process by SIGBUS (ext4 with blocks of 1 KiB; test_small_disk).
_PRAGMAS: Final = (
    "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; "
    "PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 256;"
)
_ALL: Final = "SELECT id, proof, state, safe_ms, bytes, segments, acts FROM clip"
_COLUMNS: Final = f"{_ALL} LIMIT 0"
_PUT: Final = (
    "INSERT INTO clip (id, proof, state, safe_ms, bytes, segments, acts) "
    "VALUES (:id, :proof, :state, :safe_ms, :bytes, :segments, :acts) "
    "ON CONFLICT (id) DO UPDATE SET proof = :proof, state = :state, safe_ms = :safe_ms, bytes = :bytes, "
    "segments = :segments, acts = :acts"
)
_FORGET: Final = "DELETE FROM clip WHERE id = :id"
_STATES: Final = get_args(State)


class Catalog:
    """An open catalog."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def all(self) -> dict[str, Memo]:
        with _translated():
            rows = self._connection.execute(_ALL).fetchall()
            return {row[0]: _memo(row) for row in rows if row[2] in _STATES}

    def put(self, memos: Mapping[str, Memo]) -> None:
        """Write rows, in one transaction."""
        with _translated(), self._connection:
            self._connection.executemany(
                _PUT,
                [
                    {
                        "id": clip,
                        "proof": memo.proof,
                        "state": memo.state,
                        "safe_ms": memo.safe_ms,
                        "bytes": memo.size,
                        "segments": memo.segments,
                        "acts": memo.acts,
                    }
                    for clip, memo in memos.items()
                ],
            )

    def forget(self, clips: Iterable[str]) -> None:
        """Remove rows, in one transaction."""
        with _translated(), self._connection:
            self._connection.executemany(_FORGET, [{"id": clip} for clip in clips])

    def close(self) -> None:
        with _translated():
            self._connection.close()


def open_catalog(disk: Disk, store: Store) -> Catalog:
    """Open the catalog; one that is missing, damaged or of another version is started afresh. Raises StoreError."""
    try:
        return _open(store)
    except StoreError:
        for suffix in ("", "-wal", "-shm"):
            disk.unlink(store.catalog.with_name(store.catalog.name + suffix))
        return _open(store)


def peek(store: Store) -> dict[str, Memo]:
    """The rows as they lie on the disk now, for a process beside the vault; none when they cannot be read.

    It takes no lock and waits for none, so a row may be old or torn. Only `proof` may be believed: nobody but this
    device can make one, and it says nothing but that a birth's signature was checked before.
    """
    if not store.catalog.is_file():  # a pipe would be waited for
        return {}
    where = f"{store.catalog.absolute().as_uri()}?mode=ro&immutable=1"
    with (
        contextlib.suppress(StoreError),
        _translated(),
        contextlib.closing(sqlite3.connect(where, uri=True, timeout=0.0)) as connection,
    ):
        return Catalog(connection).all()
    return {}


def _open(store: Store) -> Catalog:
    with _translated(), contextlib.ExitStack() as undo:
        connection = sqlite3.connect(store.catalog, check_same_thread=False, timeout=0.0)
        undo.callback(connection.close)
        connection.executescript(_PRAGMAS)
        store.catalog.chmod(0o600)
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, _USER_VERSION):
            raise StoreError(f"{store.catalog}: made by another version")
        connection.executescript(resources.files("edge.vault").joinpath("schema.sql").read_text(encoding="utf-8"))
        connection.execute(f"PRAGMA user_version = {_USER_VERSION}")
        if connection.execute("PRAGMA quick_check").fetchone()[0] != "ok":
            raise StoreError(f"{store.catalog}: damaged")
        connection.execute(_COLUMNS).fetchall()  # else they are not of this version
        undo.pop_all()
        return Catalog(connection)


def _memo(row: tuple[str, bytes, State, int | None, int, int, int]) -> Memo:
    return Memo(proof=row[1], state=row[2], safe_ms=row[3], size=row[4], segments=row[5], acts=row[6])


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as err:
        raise StoreError(f"the catalog: {err}") from err
