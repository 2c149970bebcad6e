"""The daily self-test and the half-yearly drill: synthetic pictures go the way of a clip, and come back to be looked at.

    test    draw, mux and seal as for a clip, to a key that lives for this run; the vault stores, reads back and
            deletes; what came back is compared, opened, decoded and looked at; the vault is told how it ended
    drill   when the vault says that one is due: a clip that shows a code, sealed to the officer's keys, to be opened

Never the room's pictures, never a clip. Thread: `self-test`, its own for each run; `tick` and `close` are the loop's.
It gives way to a press: the run is abandoned between two steps, and tried again later. The plain pictures and the key
stay in RAM, and die with the run.
"""

from __future__ import annotations

import hashlib
import heapq
import logging
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile
from typing import Final, Protocol

from edge.clock import SECOND
from edge.errors import VaultAway
from edge.messages import DrillMade, Probe, ProbeResult, Step, Trial, TrialAnswer
from edge.packet import SOUND, SOUND_FRAME, SOUND_RATE, Format, Packet, Track
from edge.ports import Clock
from edge.recorder import testcard
from edge.recorder.clip import Clip, Container
from edge.recorder.memory import Heap
from edge.recorder.seal import OneTimeKey, Sealer
from edge.recorder.testcard import DIGITS, FPS, Watched

_log = logging.getLogger(__name__)

FIRST_S: Final = 60.0  # after a start: the room is ready by then, and a fault shows before the first conversation
EVERY_NS: Final = 24 * 3600 * SECOND
AGAIN_NS: Final = 300 * SECOND  # after a failure: a fault that was mended clears soon
LATER_NS: Final = 60 * SECOND  # after it gave way
_PICTURES: Final = 2 * FPS
_DRILL_PICTURES: Final = 10 * FPS  # long enough for a person to read six digits
_SOUND_NEAR_S: Final = 0.1  # AAC comes in packets of 21 ms
_DETAIL: Final = 160  # characters of a failure's detail
_ZERO_NS: Final = SECOND  # where the synthetic time line begins; any moment does
_JOIN_S: Final = 5.0


class Vault(Protocol):
    """`vault_link.VaultLink`, one of its own: no test stands before footage."""

    def attempt(self, trial: Trial, payload: bytes = b"") -> tuple[TrialAnswer, memoryview]: ...
    def close(self) -> None: ...


class _GaveWayError(Exception):
    """There is something to record, or the process stops."""


class SelfTest:
    """Begins a run when it is due and the room is idle. `trouble`: a failure that the vault could not be told."""

    def __init__(
        self,
        *,
        vault: Vault,
        sealer: Sealer,
        clock: Clock,
        heap: Heap,
        container: Callable[[Format, bool], Container],
        silence: bytes | None,
        first_s: float = FIRST_S,
    ) -> None:
        """`silence`: one packet of it, None for clips without sound."""
        self._vault = vault
        self._sealer = sealer
        self._clock = clock
        self._heap = heap
        self._make_container = container
        self._silence = silence
        self._next_ns = clock.boot_ns() + round(first_s * SECOND)
        self._give_way = threading.Event()
        self._thread: threading.Thread | None = None
        self._step = Step.MAKE
        self.trouble: str | None = None

    def tick(self, *, is_idle: bool) -> None:
        """Each round of the loop: begin what is due, or give way. Never waits."""
        if not is_idle:
            self._give_way.set()
        elif self._clock.boot_ns() >= self._next_ns and (self._thread is None or not self._thread.is_alive()):
            self._give_way.clear()
            self._thread = threading.Thread(target=self._run, name="self-test", daemon=True)
            self._thread.start()

    def wait(self, *, patience_s: float) -> bool:
        """Wait until no run is under way; False when one still is after `patience_s`."""
        if self._thread is not None:
            self._thread.join(patience_s)
        return self._thread is None or not self._thread.is_alive()

    def close(self) -> None:
        """Abandon what is under way. Idempotent."""
        self._give_way.set()
        self._vault.close()
        self.wait(patience_s=_JOIN_S)

    def _run(self) -> None:
        pause_ns = LATER_NS
        try:
            pause_ns = self._round()
        except _GaveWayError:
            pass  # nothing is left behind: the vault keeps nothing of a test beyond its own answer
        except Exception as err:  # noqa: BLE001 - whatever it is, the thread ends with a fault on display
            _log.exception("self-test")
            self.trouble = f"{self._step}: {err}"
        finally:
            self._vault.close()
            self._heap.give_back()
            self._next_ns = self._clock.boot_ns() + pause_ns

    def _round(self) -> int:
        """Test, tell, and drill if that is due; how long until the next (ns)."""
        result = self._tested()
        try:
            if self._told(result) and result.failed is None:
                result = self._drilled()
                if result.failed is not None:
                    self._told(result)
        except VaultAway as err:
            self.trouble = f"{result.failed or Step.HAND_OVER}: {result.detail or err}"
            return AGAIN_NS
        self.trouble = None
        return EVERY_NS if result.failed is None else AGAIN_NS

    def _tested(self) -> ProbeResult:
        try:
            self._begin(Step.MAKE)
            first = secrets.randbelow(10**DIGITS - _PICTURES)
            codes = [f"{first + number:0{DIGITS}d}" for number in range(_PICTURES)]
            plain = self._filmed(codes)
            self._begin(Step.SEAL)
            key = OneTimeKey()
            sealed = Sealer([key.recipient]).seal(plain)
            self._begin(Step.HAND_OVER)
            answer, stored = self._vault.attempt(Probe(), sealed)
            if answer.failed is not None:
                return self._result(answer.failed, answer.error)
            self._begin(Step.COMPARE)
            if stored != sealed:
                return self._result(Step.COMPARE, "the disk gave back other bytes than were handed over")
            self._begin(Step.OPEN)
            opened = key.open(bytes(stored))
            self._begin(Step.WATCH)
            wrong = difference(testcard.watch(opened), codes, has_sound=self._silence is not None)
            return self._result(Step.WATCH if wrong else None, wrong)
        except _GaveWayError:
            raise
        except Exception as err:  # noqa: BLE001 - whatever it is, this step does not work, and that is the result
            return self._result(self._step, str(err) or type(err).__name__)

    def _drilled(self) -> ProbeResult:
        try:
            self._begin(Step.DRILL)
            code, salt = f"{secrets.randbelow(10**DIGITS):0{DIGITS}d}", secrets.token_hex(16)
            sealed = self._sealer.seal(self._filmed([code] * _DRILL_PICTURES))
            made = DrillMade(
                salt=salt,
                code_sha256=hashlib.sha256((salt + code).encode()).hexdigest(),
                recipients=self._sealer.fingerprint,
            )
            self._begin(Step.DRILL)
            answer, _ = self._vault.attempt(made, sealed)
            return self._result(answer.failed, answer.error)
        except _GaveWayError:
            raise
        except Exception as err:  # noqa: BLE001 - as above
            return self._result(Step.DRILL, str(err) or type(err).__name__)

    def _told(self, result: ProbeResult) -> bool:
        """Tell the vault; whether a drill is due. Raises VaultAway."""
        if self._give_way.is_set():
            raise _GaveWayError
        return self._vault.attempt(result)[0].is_drill_due

    def _filmed(self, codes: Sequence[str]) -> bytes:
        """The clip that shows these codes, put together as any other."""
        has_sound = self._silence is not None
        clip = Clip(
            pressed_ns=_ZERO_NS,
            floor_ns=_ZERO_NS,
            until_ns=_ZERO_NS + len(codes) * SECOND // FPS,
            has_sound=has_sound,
            silence=self._silence or b"",
            container=lambda picture: self._make_container(picture, has_sound),
        )
        pictures = testcard.draw(codes, start_ns=_ZERO_NS)
        sound = takewhile(lambda packet: packet.pts_ns < clip.until_ns, _quiet(self._silence))
        for packet in heapq.merge(pictures, sound, key=lambda packet: packet.pts_ns):
            self._begin(self._step)
            clip.feed(packet)
        return clip.finish()

    def _begin(self, step: Step) -> None:
        self._step = step
        if self._give_way.is_set():
            raise _GaveWayError

    def _result(self, failed: Step | None, detail: str) -> ProbeResult:
        one_line = " ".join(detail.split())[:_DETAIL]
        return ProbeResult(failed=failed, detail=one_line, recipients=self._sealer.fingerprint)


def difference(watched: Watched, codes: Sequence[str], *, has_sound: bool) -> str:
    """What a clip shows otherwise than was drawn, in one line; empty when nothing."""
    if len(watched.codes) != len(codes):
        return f"{len(codes)} pictures were made and {len(watched.codes)} came back"
    for number, (wanted, shown) in enumerate(zip(codes, watched.codes, strict=True), start=1):
        if wanted != shown:
            return f"picture {number} shows {shown} instead of {wanted}"
    if not has_sound:
        return "" if watched.sound_s is None else "there is sound where none was made"
    wanted_s = len(codes) / FPS
    if watched.sound_s is None or abs(watched.sound_s - wanted_s) > _SOUND_NEAR_S:
        return f"{wanted_s:.1f} s of sound were made and {watched.sound_s or 0:.1f} s came back"
    return ""


def _quiet(silence: bytes | None) -> Iterator[Packet]:
    """Packets of silence without end; none for a clip without sound."""
    number = 0
    while silence is not None:
        at_ns = _ZERO_NS + number * SOUND_FRAME * SECOND // SOUND_RATE
        yield Packet(
            track=Track.SOUND,
            format=SOUND,
            data=silence,
            pts_ns=at_ns,
            dts_ns=at_ns,
            duration_ns=SOUND_FRAME * SECOND // SOUND_RATE,
            is_key=True,
            arrival_ns=at_ns,
            generation=0,
        )
        number += 1
