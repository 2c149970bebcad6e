"""What the vault's tests share: a simulated clock, a store with its keeper, messages with few words, a crashing disk."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from edge.clock import SECOND
from edge.config import Config
from edge.desk import verify_ledger
from edge.durable import TEMP_SUFFIX, Disk
from edge.errors import StoreError, StoreFull
from edge.messages import (
    Answer,
    Birth,
    ClipFacts,
    Close,
    Event,
    Happened,
    PanelEvent,
    Reply,
    Request,
    Segment,
    ToVault,
    Verb,
)
from edge.vault import ingest, process
from edge.vault.keeper import Keeper
from edge.vault.requests import Visit, reply

HOUR = 3600 * SECOND
START_WALL_NS = 1_795_000_000 * SECOND  # 2026-11-18
CLIP = "20261118T085320Z-k3f9"
UID = 1000
IS_LONG = os.environ.get("SPREEKKAMER_LONG") == "1"  # `make long`: full counts

T = TypeVar("T")


class SimClock:
    """`ports.Clock`: time passes only when told, or slept."""

    def __init__(self) -> None:
        self.boots = 1
        self.since_boot_ns = 100 * SECOND
        self.wall = START_WALL_NS
        self.trusted = True
        self.is_stuck = False  # the wall clock stands still; BOOTTIME never does

    @property
    def boot_id(self) -> str:
        return f"boot-{self.boots}"

    def boot_ns(self) -> int:
        return self.since_boot_ns

    def wall_ns(self) -> int:
        return self.wall

    def is_trusted(self) -> bool:
        return self.trusted

    def sleep(self, seconds: float) -> None:
        self.advance(int(seconds * SECOND))

    def sleep_until(self, until_ns: int, wake: threading.Event) -> bool:
        self.advance(max(0, until_ns - self.since_boot_ns))
        return wake.is_set()

    def advance(self, ns: int) -> None:
        self.since_boot_ns += ns
        self.wall += 0 if self.is_stuck else ns

    def reboot(self, *, off_ns: int = 0) -> None:
        """Off for a while, then on: BOOTTIME begins again."""
        self.boots += 1
        self.since_boot_ns = 0
        self.wall += off_ns


def config(root: Path, *, retention_s: int = 72 * 3600, reserve_clips: int = 0) -> Config:
    return Config.model_validate(
        {
            "room": {"name": "Kamer 1"},
            "panel": {"panic": {"pin": 17}, "alarm": {"pin": 5}},
            "retention": {"seconds": retention_s, "reserve_clips": reserve_clips},
            "paths": {"store": str(root / "store"), "run": str(root / "run")},
        }
    )


def open_keeper(root: Path, clock: SimClock, *, retention_s: int = 72 * 3600, disk: Disk | None = None) -> Keeper:
    settings = config(root, retention_s=retention_s)
    return process.open_keeper(settings, clock, Disk() if disk is None else disk, None)


def birth(clock: SimClock, *, clip: str = CLIP, incident: str = "incident-1", pressed_ns: int | None = None) -> Birth:
    return Birth(
        clip=clip,
        incident=incident,
        pressed_ns=clock.boot_ns() if pressed_ns is None else pressed_ns,
        pressed_wall_ns=clock.wall_ns(),
        is_wall_trusted=clock.is_trusted(),
        boot_id=clock.boot_id,
        pre_roll_asked_ms=30_000,
        sources=("camera",),
        software="spreekkamer 0.1.0",
    )


def segment(number: int, *, clip: str = CLIP, until_ms: int = 1000) -> Segment:
    return Segment(clip=clip, number=number, media_until_ms=until_ms * (number + 1))


def close(segments: int, *, clip: str = CLIP) -> Close:
    facts = ClipFacts(
        pre_roll_asked_ms=30_000,
        pre_roll_delivered_ms=29_960,
        post_roll_ms=5_000,
        picture_frames=875,
        picture_gaps_ms=(),
        sound_gaps_ms=(),
        frames_dropped=0,
        sound_dropped=0,
        sound_offset_ms=None,
        picture="h264 640x360",
        sound=None,
        ended_by="until",
    )
    return Close(clip=clip, segments=segments, facts=facts)


def happened(seq: int, *, run: str = "run-1", event: Event = Event.PRESS) -> Happened:
    return Happened(event=PanelEvent(run=run, seq=seq, event=event, at_ns=1, wall_ns=2, is_wall_trusted=False))


class Recorder:
    """The recorder's end of a keeper, without a socket."""

    def __init__(self, keeper: Keeper) -> None:
        self.keeper = keeper
        self.link = object()

    def tell(self, message: ToVault, payload: bytes = b"") -> Answer:
        return ingest.answer(self.keeper, message, payload, uid=UID, link=self.link)

    def must(self, message: ToVault, payload: bytes = b"") -> None:
        answer = self.tell(message, payload)
        assert answer.is_durable, answer.error

    def hang_up(self) -> None:
        ingest.lost(self.keeper, self.link)


def make_clip(keeper: Keeper, clock: SimClock, *, clip: str = CLIP, segments: int = 2, closed: bool = True) -> Recorder:
    recorder = Recorder(keeper)
    recorder.must(birth(clock, clip=clip, incident=f"of-{clip}"))
    for number in range(segments):
        payload = f"{clip} {number}".encode() * 100
        recorder.must(segment(number, clip=clip), payload)
    if closed:
        recorder.must(close(segments, clip=clip))
    return recorder


class Crash(BaseException):
    """The machine stopped here."""


class CrashingDisk(Disk):
    """A disk whose machine stops before the n-th effect; nothing has an effect after that."""

    def __init__(self, at: int) -> None:
        self.left = at
        self.crashed = False

    def effect(self, what: str, path: Path, call: Callable[[], T]) -> T:
        if self.crashed or self.left == 0:
            self.crashed = True
            raise Crash(what)
        self.left -= 1
        return super().effect(what, path, call)


class RecordingDisk(Disk):
    """Remembers its effects in their order."""

    def __init__(self) -> None:
        self.effects: list[tuple[str, str]] = []

    def effect(self, what: str, path: Path, call: Callable[[], T]) -> T:
        result = super().effect(what, path, call)
        self.effects.append((what, path.name))
        return result


class FaultyDisk(Disk):
    """A disk that goes wrong as told: stops its machine, fails, is full, tears a write. It skips fsync, to be quick.

    Effects are counted from the call of `crash_at`, `fail_at` or `tear`, the first being number 0.
    """

    def __init__(self) -> None:
        self.mend()

    def mend(self) -> None:
        """From now on it works; a machine that stopped was started again."""
        self.is_failing = False  # every effect fails: torn out, or read-only
        self.is_full = False  # what needs space fails
        self.has_struck = False  # what was ordered happened
        self._done = 0  # effects since the last order
        self._crash_at: int | None = None
        self._fail_at: int | None = None
        self._goes_on_failing = False
        self._torn = ("", 0)
        self._writes_before = 0

    @property
    def is_broken(self) -> bool:
        return self.is_failing or self.is_full

    def disarm(self) -> None:
        """Forget the order, come true or not; what fails or is full stays so."""
        self.has_struck, self._crash_at, self._fail_at = False, None, None

    def crash_at(self, number: int) -> None:
        """The machine stops before this effect, and nothing has an effect after that."""
        self._done, self._crash_at = 0, number

    def fail_at(self, number: int, *, goes_on: bool) -> None:
        """This effect fails; with `goes_on` every later one too."""
        self._done, self._fail_at, self._goes_on_failing = 0, number, goes_on

    def tear(self, name: str, size: int, *, after: int) -> None:
        """Of a write to a file of this name only `size` bytes arrive, and the machine stops; `after` writes go well."""
        self._torn, self._writes_before = (name, size), after

    def effect(self, what: str, path: Path, call: Callable[[], T]) -> T:
        if self._crash_at is not None and self._done >= self._crash_at:
            self.has_struck = True
            raise Crash(what)
        self._done += 1
        if self._fail_at is not None and self._done > self._fail_at:
            self.has_struck = True
            self.is_failing = self._goes_on_failing
            self._fail_at = None
            raise StoreError(f"{path}: cannot {what}: Input/output error")
        if self.is_failing:
            raise StoreError(f"{path}: cannot {what}: Read-only file system")
        if self.is_full and what in ("write", "make this folder", "reserve space for"):
            raise StoreFull(f"{path}: cannot {what}: No space left on device")
        if what == "fsync":
            return None  # type: ignore[return-value]
        return super().effect(what, path, call)

    def _write(self, fd: int, path: Path, data: bytes | memoryview) -> None:
        name, size = self._torn
        if path.name.removesuffix(TEMP_SUFFIX) == name:
            self._writes_before -= 1
            if self._writes_before < 0:
                os.write(fd, data[:size])
                self.crash_at(0)
        super()._write(fd, path, data)


@contextmanager
def quick_folder() -> Iterator[Path]:
    """A folder in memory where there is one: thousands of stores are made, and no test here is about a real disk."""
    shm = Path("/dev/shm")
    with TemporaryDirectory(dir=shm if os.access(shm, os.W_OK) else None) as name:
        yield Path(name)


def ask(
    keeper: Keeper, verb: Verb, *, clip: str = CLIP, actor: str = "officer", reason: str = "", days: int = 0
) -> Reply:
    """What a person asks of the vault, without a socket."""
    return reply(keeper, Request(verb=verb, clip=clip, actor=actor, reason=reason, days=days), Visit(uid=UID))[0]


def is_kept(root: Path, clip: str = CLIP) -> bool:
    """Something of the clip is in the store: its birth or its footage, in its place or in trash."""
    folders = (root / "store" / "clips" / clip, root / "store" / "trash" / clip)
    names = [file.name for folder in folders if folder.is_dir() for file in folder.iterdir()]
    return any(name == "birth.json" or ".age" in name for name in names)


def assert_ledger(root: Path) -> None:
    """The ledger verifies, with all its years; the newest file may be a year that was just closed."""
    store = root / "store"
    files = [*sorted(store.glob("ledger-????.jsonl")), *store.glob("ledger.jsonl")]
    if files:
        found = verify_ledger.check(files[-1])
        assert found.is_ok, str(found)
