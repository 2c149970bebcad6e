"""The folder of one clip, read back: what it says, what of it counts, and what does not fit. Reads only.

Only what this device signed counts. What does not is told in `Clip.problems`, and the rest is read all the same.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeVar

from edge.clock import SECOND
from edge.durable import TEMP_SUFFIX
from edge.errors import BadMessage, NoSuchClip, StoreError
from edge.messages import CLIP_ID
from edge.vault import records
from edge.vault.records import BirthRecord, HoldRecord, Manifest, OutcomeRecord, PressWall, Sighting
from edge.vault.retention import CAP_NS, Life
from edge.vault.signing import SIGNATURE_SUFFIX, DeviceKey
from edge.vault.store import Store

SEGMENT: Final = re.compile(r"\d{4,6}\.age", re.ASCII)
_RECORD_BYTES: Final = 4 * 1024 * 1024  # twenty times the longest manifest; what is longer is no record of ours
_NUMBERED: Final = re.compile(r"(hold|outcome)-([1-9]\d{0,3})\.json", re.ASCII)

State = Literal["open", "complete", "interrupted"]
A = TypeVar("A", HoldRecord, OutcomeRecord)
R = TypeVar("R", BirthRecord, PressWall, HoldRecord, OutcomeRecord, Sighting)


@dataclass(frozen=True, slots=True, kw_only=True)
class Memo:
    """What the catalog remembers of a clip, so that a start need not work it out again."""

    proof: bytes  # the device's mark over the birth whose signature was checked
    state: State
    safe_ms: int | None
    size: int  # bytes
    segments: int
    acts: int  # holds, releases and outcomes that were there


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """One clip as its folder tells it. `life` is None while a damaged birth has no sighting yet."""

    id: str
    state: State
    life: Life | None
    birth: BirthRecord | None  # None: unreadable or forged
    wall_ns: int | None  # the press's wall time if a trusted clock ever knew it
    segments: int
    size: int  # bytes of all segments
    safe_ms: int | None  # how far the stored picture reaches; None: nobody knows
    outcome: str | None
    held_reason: str | None
    actors: tuple[tuple[str, int], ...]  # who held, released or recorded an outcome, with uid, oldest first
    holds: int  # highest number among them
    outcomes: int
    acts: int  # how many there are, or once were
    problems: tuple[str, ...]
    proof: bytes
    has_temps: bool  # a crash left temp files, or a writer is at work

    @property
    def counter_ns(self) -> int:
        """The highest stand of the powered-on counter that this clip bears witness to; 0: none."""
        born_ns = self.birth.born_powered_on_ns if self.birth else 0
        return max(born_ns, self.life.powered_on_ns if self.life else 0)

    @property
    def memo(self) -> Memo:
        return Memo(
            proof=self.proof,
            state=self.state,
            safe_ms=self.safe_ms,
            size=self.size,
            segments=self.segments,
            acts=self.acts,
        )


@contextlib.contextmanager
def reading_many() -> Iterator[None]:
    """Read thousands of clips: all of it stays, so the collector would walk it again and again for nothing (a fifth)."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def ids(folder: Path) -> list[str]:
    """The clips in `store.clips` or `store.trash`, oldest first; other names are not clips."""
    try:
        return sorted(entry.name for entry in os.scandir(folder) if CLIP_ID.fullmatch(entry.name))
    except FileNotFoundError:
        return []
    except OSError as err:
        raise StoreError(f"{folder}: cannot be read: {err.strerror}") from err


def read(
    store: Store, clip: str, key: DeviceKey, memo: Memo | None = None, *, with_contents: bool = True
) -> Clip | None:
    """A clip's folder as it is; None for one that holds neither a birth nor footage. Raises NoSuchClip when it is gone.

    Without contents (state, size and safe seconds stay unknown) it costs half, and tells all that retention asks.
    """
    folder = store.clip_text(clip)
    reader = _Reader(folder=folder, names=names_in(folder), clip=clip, key=key, memo=memo, with_contents=with_contents)
    return reader.read() if reader.is_born else None


def hash_of(path: Path) -> tuple[str, int]:
    """SHA-256 and size of a stored segment. Raises StoreError."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest(), os.fstat(file.fileno()).st_size
    except OSError as err:
        raise StoreError(f"{path}: cannot be read: {err.strerror}") from err


def may_be_fetched(name: str) -> bool:
    """A name that a clip's folder can hold and that is worth having."""
    plain = name.removesuffix(SIGNATURE_SUFFIX)
    fixed = (records.BIRTH, records.PRESS_WALL, records.MANIFEST)
    return plain in fixed or bool(SEGMENT.fullmatch(name)) or bool(_NUMBERED.fullmatch(plain))


def files(store: Store, clip: str) -> list[str]:
    """The names in a clip's folder that may be fetched. Raises NoSuchClip."""
    return sorted(name for name in names_in(store.clip(clip)) if may_be_fetched(name))


def names_in(folder: Path | str) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 -- ten thousand folders: names are wanted, not paths
    except (FileNotFoundError, NotADirectoryError) as err:
        raise NoSuchClip(f"no clip {Path(folder).name} in the store") from err
    except OSError as err:
        raise StoreError(f"{folder}: cannot be read: {err.strerror}") from err


class _Reader:
    """Reads one folder; what does not fit is told in `problems`, and the rest is read all the same.

    A start reads ten thousand of them: text instead of paths, and few calls, make it four times as fast.
    """

    def __init__(
        self, *, folder: str, names: list[str], clip: str, key: DeviceKey, memo: Memo | None, with_contents: bool
    ) -> None:
        self._folder = folder
        self._names = names
        self._clip = clip
        self._key = key
        self._memo = memo
        self._with_contents = with_contents
        self._records = sorted(
            (match[1], int(match[2]), name)
            for name in names
            if name.startswith(("hold-", "outcome-")) and (match := _NUMBERED.fullmatch(name))
        )
        self._segments = [name for name in names if name.endswith(".age") and SEGMENT.fullmatch(name)]
        self._numbers = sorted(int(name[:-4]) for name in self._segments)
        self._problems: list[str] = []

    @property
    def is_born(self) -> bool:
        return records.BIRTH in self._names or bool(self._numbers)

    def read(self) -> Clip:
        birth, proof = self._birth()
        holds, outcomes = self._acts("hold", HoldRecord), self._acts("outcome", OutcomeRecord)
        acts: list[HoldRecord | OutcomeRecord] = [*holds, *outcomes]
        hold = holds[-1] if holds else None
        wall_ns = birth.pressed_wall_ns if birth is not None and birth.is_wall_trusted else None
        if wall_ns is None and records.PRESS_WALL in self._names:
            correction = self._signed(PressWall, records.PRESS_WALL)
            wall_ns = None if correction is None else correction.pressed_wall_ns
        if self._numbers != list(range(len(self._numbers))):
            self._problems.append("a segment is missing")
        known_acts = max(self._highest("hold") + self._highest("outcome"), self._memo.acts if self._memo else 0)
        if len(self._records) < known_acts:
            self._problems.append("a hold, a release or an outcome was removed")
        state, safe_ms, size = self._contents() if self._with_contents else ("open", None, 0)
        return Clip(
            id=self._clip,
            state=state,
            life=self._life(birth, wall_ns, hold),
            birth=birth,
            wall_ns=wall_ns,
            segments=len(self._numbers),
            size=size,
            safe_ms=safe_ms,
            outcome=outcomes[-1].outcome.value if outcomes else None,
            held_reason=hold.reason.value if hold is not None and hold.reason is not None else None,
            actors=tuple((act.actor, act.uid) for act in sorted(acts, key=lambda act: act.number)),
            holds=self._highest("hold"),
            outcomes=self._highest("outcome"),
            acts=known_acts,
            problems=tuple(self._problems),
            proof=proof,
            has_temps=any(name.endswith(TEMP_SUFFIX) for name in self._names),
        )

    def _birth(self) -> tuple[BirthRecord | None, bytes]:
        try:
            raw = self._bytes(records.BIRTH)
            birth = records.from_bytes(BirthRecord, self._clip, raw)
            proof = self._key.memo(raw)
            if self._memo is not None and self._memo.proof == proof:
                return birth, proof
            if self._key.is_signed(raw, self._bytes(records.BIRTH + SIGNATURE_SUFFIX)):
                return birth, proof
            self._problems.append("the birth is not signed by this device")
        except OSError as err:
            self._problems.append(f"the birth cannot be read: {err.strerror}")
        except BadMessage as err:
            self._problems.append(f"the birth cannot be used: {err}")
        return None, b""

    def _signed(self, kind: type[R], name: str) -> R | None:
        try:
            raw = self._bytes(name)
            if self._key.is_signed(raw, self._bytes(name + SIGNATURE_SUFFIX)):
                return records.from_bytes(kind, self._clip, raw)
            self._problems.append(f"{name} is not signed by this device and does not count")
        except OSError as err:
            self._problems.append(f"{name} cannot be read and does not count: {err.strerror}")
        except BadMessage as err:
            self._problems.append(f"{name} cannot be used and does not count: {err}")
        return None

    def _bytes(self, name: str) -> bytes:
        """A whole record. Never waits, not even where somebody put a pipe."""
        fd = os.open(f"{self._folder}/{name}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            return os.read(fd, min(os.fstat(fd).st_size, _RECORD_BYTES))
        finally:
            os.close(fd)

    def _acts(self, word: str, kind: type[A]) -> list[A]:
        """The holds, or the outcomes, that count, oldest first."""
        acts: list[A] = []
        for number, name in [(number, name) for its, number, name in self._records if its == word]:
            act = self._signed(kind, name)
            if act is not None and act.number == number:
                acts.append(act)
            elif act is not None:
                self._problems.append(f"{name} is number {act.number} and does not count")
        return acts

    def _highest(self, word: str) -> int:
        return max((number for its, number, _ in self._records if its == word), default=0)

    def _contents(self) -> tuple[State, int | None, int]:
        """State, safe milliseconds and bytes: from the memo where it still fits, else from the files."""
        is_closed = records.MANIFEST in self._names
        memo = self._memo
        if memo is not None and memo.segments == len(self._numbers) and (memo.state != "open") == is_closed:
            return memo.state, memo.safe_ms, memo.size
        size = 0
        try:
            size = sum(os.stat(f"{self._folder}/{name}").st_size for name in self._segments)  # noqa: PTH116 -- see above
            if is_closed:
                manifest = records.from_bytes(Manifest, self._clip, self._bytes(records.MANIFEST))
                return manifest.state, manifest.media_ms, size
        except OSError as err:
            self._problems.append(f"cannot be read: {err.strerror}")
        except BadMessage as err:
            self._problems.append(f"the manifest cannot be used: {err}")
            return "interrupted", None, size
        return "open", None if memo is None else memo.safe_ms, size

    def _life(self, birth: BirthRecord | None, wall_ns: int | None, hold: HoldRecord | None) -> Life | None:
        hold_ns = 0 if hold is None or hold.is_released else min(CAP_NS, hold.until_age_ns)
        if birth is not None:
            return Life(
                powered_on_ns=birth.powered_on_ns,
                wall_ns=wall_ns,
                keep_ns=min(CAP_NS, birth.retention_s * SECOND),
                hold_ns=hold_ns,
            )
        if hold is not None and hold_ns:  # a signed hold knows the press by itself; a lost birth may not shorten it
            return Life(powered_on_ns=hold.press_powered_on_ns, wall_ns=hold.press_wall_ns, keep_ns=0, hold_ns=hold_ns)
        return self._sighting()

    def _sighting(self) -> Life | None:
        if records.SIGHTING not in self._names:
            return None
        sighting = self._signed(Sighting, records.SIGHTING)
        return None if sighting is None else life_of_sighting(sighting)


def life_of_sighting(sighting: Sighting) -> Life:
    return Life(
        powered_on_ns=sighting.powered_on_ns,
        wall_ns=sighting.wall_ns,
        keep_ns=min(CAP_NS, max(0, sighting.keep_ns)),
    )
