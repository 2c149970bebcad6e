"""The vault's part in the self-test: a probe's bytes go to the disk as a segment does, come back from it, and are gone.

    store/selftest/   probe.age (while a test runs), result.json (how the newest one ended)

PROBE   1. what a crash left goes  2. probe.age: temp, fsync, link, fsync the folder  3. its pages are dropped from the
        cache, so that the disk is asked  4. it is read  5. unlinked, the folder synced  6. look: it is gone
RESULT  1. result.json is replaced  2. ledger entry "self-test". Cut after 1: the entry is missing, the result stands.

Nothing here touches a clip, the catalog or the keeper's lock: a press waits for no test. Callers: the connections'
threads (`probe`, `conclude`), the vault's main thread (`sweep`, `show_faults`), the status thread (`status`).
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from edge.clock import SECOND
from edge.durable import TEMP_SUFFIX, Disk
from edge.errors import BadMessage, StoreError
from edge.messages import ProbeResult, Step, decode, encode
from edge.status import SelfTestStatus
from edge.vault.faults import Faults
from edge.vault.ledger import Action
from edge.vault.moment import Moment
from edge.vault.retention import Now
from edge.vault.store import Store

OVERDUE_NS: Final = 36 * 3600 * SECOND  # half a day beyond the daily one
GRACE_NS: Final = 3600 * SECOND  # a device that was off for a week may first test itself
PROBE_LIMIT: Final = 4 * 1024 * 1024  # bytes; two seconds of the test card are a hundredth

_DISK_FIX: Final = "mend or replace the disk of paths.store"
_VIDEO_FIX: Final = "install spreekkamer and its packages anew: the video library does not work"
FIXES: Final = {
    Step.MAKE: _VIDEO_FIX,
    Step.SEAL: "install spreekkamer and its packages anew: sealing does not work",
    Step.HAND_OVER: "start spreekkamer keep; look at its faults",
    Step.STORE: "make space on the disk of paths.store, or mend it",
    Step.READ_BACK: _DISK_FIX,
    Step.DELETE: _DISK_FIX + ": what is deleted does not go",
    Step.COMPARE: _DISK_FIX + ": it does not give back what was written",
    Step.OPEN: "install spreekkamer and its packages anew: what is sealed does not open",
    Step.WATCH: _VIDEO_FIX,
    Step.DRILL: "make space on the disk of paths.store; check seal.recipients",
}

T = TypeVar("T")


class StepFailed(Exception):
    """One step of a probe did not work; the line says why."""

    def __init__(self, step: Step, why: str) -> None:
        super().__init__(why)
        self.step = step


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The newest test, as it is written down."""

    at: Moment
    failed: Step | None
    detail: str


class SelfTest:
    """The newest result, and the place of the probes. One probe at a time."""

    def __init__(
        self,
        *,
        disk: Disk,
        store: Store,
        faults: Faults,
        note: Callable[..., None],
        now: Callable[[], Now],
        is_expected: bool,
    ) -> None:
        """`note` is `Keeper.note`. `is_expected`: the room has a camera and a key, so that its recorder tests itself."""
        self._disk = disk
        self._folder = store.selftest
        self._probe = store.selftest / "probe.age"
        self._file = store.selftest / "result.json"
        self._faults = faults
        self._note = note
        self._now = now
        self._is_expected = is_expected
        self._lock = threading.Lock()
        self._result = read(self._file)
        self._started_ns = now().boot_ns

    def sweep(self) -> None:
        """Remove what a crash left of a test. Raises StoreError."""
        if not self._folder.is_dir():
            return
        for path in (self._probe, *self._folder.glob("*" + TEMP_SUFFIX)):
            self._disk.unlink(path)
        self._disk.sync_folder(self._folder)

    def probe(self, sealed: bytes | memoryview) -> bytes:
        """Procedure PROBE; what the disk gave back. Raises StepFailed."""
        if not 0 < len(sealed) <= PROBE_LIMIT:
            raise StepFailed(Step.STORE, f"a probe of {len(sealed)} bytes is not taken")
        with self._lock:
            try:
                _step(Step.STORE, lambda: self._stored(sealed))
                found = _step(Step.READ_BACK, lambda: _read_back(self._probe))
            except StepFailed:
                with contextlib.suppress(StoreError):  # what failed first is told; what stays goes with the next probe
                    self._deleted()
                raise
            _step(Step.DELETE, self._deleted)
        return found

    def conclude(self, message: ProbeResult, *, uid: int) -> None:
        """Procedure RESULT. Raises StepFailed; the result is shown even so."""
        with self._lock:
            now = self._now()
            self._result = Result(at=Moment.of(now), failed=message.failed, detail=message.detail)
            self.show_faults(now)
            try:
                _step(Step.STORE, self._written)
            finally:
                outcome, detail = (
                    ("passed", {}) if message.failed is None else ("failed", {"step": message.failed.value})
                )
                self._note(Action.SELF_TEST, "self-test", outcome, uid=uid, detail=detail)

    def status(self, now: Now) -> SelfTestStatus:
        """The newest test, with its age."""
        result = self._result
        if result is None:
            return SelfTestStatus(is_passed=None, failed="", at=None, age_s=None)
        return SelfTestStatus(
            is_passed=result.failed is None,
            failed=result.failed or "",
            at=result.at.at(now),
            age_s=result.at.age_s(now),
        )

    def show_faults(self, now: Now) -> None:
        """Show or clear what the newest test tells, and that there is none."""
        result = self._result
        failed = result.failed if result else None
        detail = f"{failed}: {result.detail}" if result and failed else ""
        self._faults.show("self-test-failed", detail, FIXES.get(failed, "") if failed else "", now.boot_ns)
        fix = "start spreekkamer record, and look at its faults"
        self._faults.show("self-test-overdue", self._overdue(now), fix, now.boot_ns)

    def _overdue(self, now: Now) -> str:
        if not self._is_expected or now.boot_ns - self._started_ns <= GRACE_NS:
            return ""
        if self._result is None:
            return "the recorder has never tested itself"
        age_ns = self._result.at.age_ns(now)
        return f"the last self-test was {age_ns // (3600 * SECOND)} hours ago" if age_ns > OVERDUE_NS else ""

    def _stored(self, sealed: bytes | memoryview) -> None:
        self._disk.make_folder(self._folder)
        self._disk.unlink(self._probe)
        self._disk.create(self._probe, sealed)

    def _deleted(self) -> None:
        if self._folder.is_dir():
            self.sweep()
        if os.path.lexists(self._probe):
            raise StoreError(f"{self._probe}: still there after it was removed")

    def _written(self) -> None:
        assert self._result is not None  # noqa: S101 - for the type checker; `conclude` set it
        self._disk.make_folder(self._folder)
        self._disk.replace(self._file, encode(self._result) + b"\n")


def read(path: Path) -> Result | None:
    """The result that was written last; None when there is nothing, or nothing that can be read: the next test tells."""
    try:
        return decode(Result, path.read_bytes())
    except (OSError, BadMessage):
        return None


def _step(step: Step, call: Callable[[], T]) -> T:
    try:
        return call()
    except StoreError as err:
        raise StepFailed(step, str(err)) from err


def _read_back(path: Path) -> bytes:
    try:
        with path.open("rb", buffering=0) as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)  # advice: a kernel may keep the pages
            return file.read()
    except OSError as err:
        raise StoreError(f"{path}: cannot be read: {err.strerror}") from err
