"""Folding: a year of the ledger that is older than 24 months becomes totals by month, in a signed checkpoint.

The detail tells which role did what and when; after 24 months only numbers stay, which hold no person. The checkpoint
keeps the place of the year in the chain: what it follows from, and the head that the next year goes on from.

FOLD    1. the checkpoint's signature, the checkpoint, fsync the folder  2. ledger entry "ledger-folded" with the
        checkpoint's SHA-256  3. unlink the year's file, fsync the folder. Cut before 3: checkpoint and year lie side
        by side; a later pass works out the same bytes and goes on, whatever the clock says then.

The oldest year goes first, so that in the chain checkpoints stand before lines. Callers: the vault's main thread.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from edge.durable import Disk
from edge.errors import StoreError
from edge.messages import encode
from edge.vault import ledger_files
from edge.vault.clips import write_signed
from edge.vault.ledger import Action, Ledger
from edge.vault.retention import DAY_NS, Now
from edge.vault.signing import SIGNATURE_SUFFIX, DeviceKey
from edge.vault.store import Store
from edge.vault.tally import Tally, by_period

DETAIL_NS: Final = 731 * DAY_NS  # 24 months, the longest that they can be
_PLAIN: Final = re.compile(r"[a-z][a-z-]{0,39}", re.ASCII)  # a word of ours; free text is counted as "other"
_YEAR: Final = re.compile(r"\d{4}", re.ASCII)
_HASH: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_BEFORE_TRUST: Final = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What is left of a year. Hashes are SHA-256 in hex."""

    kind: Literal["ledger-folded"] = "ledger-folded"
    year: int
    first_seq: int
    last_seq: int
    prev: str  # what its first line follows from
    head: str  # the hash of its last line
    sha256: str  # of the whole file
    lines: int
    unsound: int  # lines that were no entry, or did not follow from the one before: to be 0
    folded: dict[str, str]  # the checkpoints that entries of this year vouched for: their hashes, by year
    totals: dict[
        str, dict[str, dict[str, int]]
    ]  # by month (that of the newest trusted entry until then), action, result
    figures: dict[str, dict[str, int]]  # by month and name, as `tally` counts them


def is_due(newest_wall_ns: int | None, now: Now) -> bool:
    """Every entry is surely older than 24 months."""
    return newest_wall_ns is not None and now.is_trusted and now.wall_ns - newest_wall_ns > DETAIL_NS


def fold_due(disk: Disk, store: Store, key: DeviceKey, ledger: Ledger, now: Now) -> int:
    """Fold every year that is due, and finish what was begun; how many. Raises StoreError."""
    folded = 0
    for year in ledger_files.closed_years(store):
        path = store.ledger_of(year)
        is_begun = _is_begun(store, key, year)
        if not is_begun and not is_due(ledger_files.newest_wall_ns(path), now):
            break
        _fold(disk, store, key, ledger, year, is_begun=is_begun)
        folded += 1
    return folded


def checkpoint(year: int, lines: Iterable[bytes]) -> Checkpoint:
    """The checkpoint of a year's lines, each with its newline; they are gone through once and not kept."""
    digest = hashlib.sha256()
    first: dict[str, Any] | None = None
    seq, head, count, unsound, month = 0, "", 0, 0, _BEFORE_TRUST
    counted: Counter[tuple[str, str, str]] = Counter()
    folded: dict[str, str] = {}
    tally = Tally()
    for line in lines:
        digest.update(line)
        bare = line.removesuffix(b"\n")
        entry = ledger_files.parsed(bare)
        follows = entry is not None and (first is None or (entry["prev"], entry["seq"]) == (head, seq + 1))
        unsound += not follows or bare == line
        count += 1
        head = ledger_files.hash_of(bare)
        if entry is None:
            continue
        first = first or entry
        seq = entry["seq"]
        if ledger_files.trusted_wall_ns(bare) is not None:
            month = str(entry.get("at"))[:7]
        counted[month, _word(entry.get("action")), _word(entry.get("result"))] += 1
        folded.update(_vouched(entry))
        tally.add(entry)
    first = first or {"seq": 0, "prev": ""}
    return Checkpoint(
        year=year,
        first_seq=first["seq"],
        last_seq=seq,
        prev=first["prev"],
        head=head,
        sha256=digest.hexdigest(),
        lines=count,
        unsound=unsound,
        folded=folded,
        totals=_nested(counted),
        figures=by_period(tally.days.items(), 7),
    )


def _is_begun(store: Store, key: DeviceKey, year: int) -> bool:
    """A checkpoint of this year that this device signed stands beside it."""
    path = store.ledger_checkpoint(year)
    raw, signature = _content(path), _content(path.with_name(path.name + SIGNATURE_SUFFIX))
    if raw is None or signature is None or not key.is_signed(raw, signature):
        return False
    return raw.startswith(b'{"kind":"ledger-folded","year":%d,' % year)


def _fold(disk: Disk, store: Store, key: DeviceKey, ledger: Ledger, year: int, *, is_begun: bool) -> None:
    """Procedure FOLD."""
    path, target = store.ledger_of(year), store.ledger_checkpoint(year)
    made = checkpoint(year, ledger_files.forwards(path))
    raw = encode(made) + b"\n"
    detail: dict[str, str | int] = {"head": made.head, "checkpoint_sha256": hashlib.sha256(raw).hexdigest()}
    if not is_begun or _content(target) != raw:
        write_signed(disk, store.root, key, target.name, raw)
    is_told = is_begun and any(
        (entry.get("object"), entry.get("detail")) == (str(year), detail) for entry in ledger.of(Action.LEDGER_FOLDED)
    )
    if not is_told:
        ledger.append(Action.LEDGER_FOLDED, str(year), "totals-kept", detail=detail)
    disk.unlink(path)
    disk.sync_folder(store.root)


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as err:
        raise StoreError(f"{path}: cannot be read: {err.strerror}") from err


def _vouched(entry: dict[str, Any]) -> dict[str, str]:
    detail = entry.get("detail")
    if entry.get("action") != Action.LEDGER_FOLDED or not isinstance(detail, dict):
        return {}
    year, sha256 = str(entry.get("object")), str(detail.get("checkpoint_sha256"))
    return {year: sha256} if _YEAR.fullmatch(year) and _HASH.fullmatch(sha256) else {}


def _word(value: object) -> str:
    return value if isinstance(value, str) and _PLAIN.fullmatch(value) else "other"


def _nested(counted: Counter[tuple[str, str, str]]) -> dict[str, dict[str, dict[str, int]]]:
    totals: dict[str, dict[str, dict[str, int]]] = {}
    for (month, action, result), number in sorted(counted.items()):
        totals.setdefault(month, {}).setdefault(action, {})[result] = number
    return totals
