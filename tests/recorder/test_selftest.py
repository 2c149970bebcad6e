"""The recorder's half of the self-test: what it makes, what it sees when it comes back, when it runs and when it gives way."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pyrage
import pytest

from edge.clock import SECOND
from edge.errors import BadSource, SealFailed, VaultAway
from edge.messages import Answer, DrillMade, Mode, Probe, ProbeResult, Step, Trial, TrialAnswer, encode
from edge.packet import Format
from edge.recorder import process, seal, testcard
from edge.recorder.capture.encode import silence
from edge.recorder.clip import Container
from edge.recorder.memory import Heap
from edge.recorder.mux import Mux
from edge.recorder.seal import Sealer
from edge.recorder.selftest import AGAIN_NS, EVERY_NS, FIRST_S, LATER_NS, SelfTest
from edge.recorder.vault_link import VaultLink
from edge.wire import listen, receive_frame, send_frame
from tests.recorder.clips import assert_every_picture, assert_sound_beside_picture, key_indices
from tests.recorder.conftest import Rooms
from tests.recorder.room import PATIENCE_S, TestRoom
from tests.support.evidence import decoding_errors
from tests.support.processes import memory_folder
from tests.vault.support import SimClock, config

OFFICER: Final = pyrage.x25519.Identity.generate()
SILENCE: Final = silence()
PASSED: Final = TrialAnswer(failed=None, error="", is_drill_due=False)
MINUTE_NS: Final = 60 * SECOND


def echo(sealed: bytes) -> bytes:
    return sealed


@dataclass
class FakeVault:
    """Gives a probe back as `give_back` makes it; `told` is all that was said to it."""

    give_back: Callable[[bytes], bytes] = echo
    fails: Step | None = None  # of the probe
    is_away: bool = False
    is_drill_due: bool = False
    told: list[Trial] = field(default_factory=list)
    payloads: list[bytes] = field(default_factory=list)

    def attempt(self, trial: Trial, payload: bytes = b"") -> tuple[TrialAnswer, memoryview]:
        if self.is_away:
            raise VaultAway("the vault does not answer")
        self.told.append(trial)
        self.payloads.append(payload)
        if isinstance(trial, Probe):
            failed = TrialAnswer(failed=self.fails, error="so it is" if self.fails else "", is_drill_due=False)
            return failed, memoryview(self.give_back(payload))
        is_due = isinstance(trial, ProbeResult) and self.is_drill_due
        return TrialAnswer(failed=None, error="", is_drill_due=is_due), memoryview(b"")

    def close(self) -> None:
        """Nothing is open."""

    @property
    def results(self) -> list[ProbeResult]:
        return [trial for trial in self.told if isinstance(trial, ProbeResult)]


def plain_container(picture: Format, has_sound: bool) -> Container:
    return Mux(picture, has_sound=has_sound)


@dataclass
class Bench:
    """A self-test in simulated time."""

    vault: FakeVault = field(default_factory=FakeVault)
    clock: SimClock = field(default_factory=SimClock)
    container: Callable[[Format, bool], Container] = plain_container
    sound: bytes | None = SILENCE

    def __post_init__(self) -> None:
        self.test = SelfTest(
            vault=self.vault,
            sealer=Sealer([str(OFFICER.to_public())]),
            clock=self.clock,
            heap=Heap(),
            container=lambda picture, has_sound: self.container(picture, has_sound),  # noqa: PLW0108 - it is exchanged
            silence=self.sound,
        )

    def tick_after(self, ns: int, *, is_idle: bool = True) -> None:
        """The loop comes by after so long, and what it began is done."""
        self.clock.advance(ns)
        self.test.tick(is_idle=is_idle)
        assert self.test.wait(patience_s=PATIENCE_S)

    def result(self, *, after_ns: int = MINUTE_NS) -> ProbeResult:
        """What the vault is told of one run."""
        before = len(self.vault.results)
        self.tick_after(after_ns)
        (told,) = self.vault.results[before:]
        return told


# --- what it makes


@pytest.mark.parametrize("sound", [SILENCE, None], ids=["sound", "no sound"])
def test_a_test_in_order_passes_and_shows_the_vault_nothing_but_sealed_bytes(sound: bytes | None) -> None:
    bench = Bench(sound=sound)
    assert bench.result() == ProbeResult(failed=None, detail="", recipients=bench.vault.results[0].recipients)
    assert [trial.kind for trial in bench.vault.told] == ["probe", "probe-result"]
    sealed = bench.vault.payloads[0]
    assert sealed.startswith(b"age-encryption.org/v1\n-> X25519 ")
    assert len(sealed) > 2000
    assert [mark for mark in (b"ftyp", b"moof", b"mdat", b"AGE-SECRET-KEY") if mark in sealed] == []
    with pytest.raises(pyrage.DecryptError):
        pyrage.decrypt(sealed, [OFFICER])
    assert bench.test.trouble is None


def test_each_test_has_its_own_key_and_its_own_numbers() -> None:
    bench = Bench()
    bench.result()
    bench.result(after_ns=EVERY_NS)
    first, second = (payload for payload in bench.vault.payloads if payload)
    assert first.splitlines()[1] != second.splitlines()[1], "the key's share in the age header"
    assert first[200:] != second[200:]


def test_every_digit_is_read_as_it_was_drawn() -> None:
    codes = ["012345", "678901", "999999", "000000", "135790", "864208"]
    packets = list(testcard.draw(codes, start_ns=SECOND))
    assert [packet.is_key for packet in packets] == [True] + [False] * 5
    mux = Mux(testcard.FORMAT, has_sound=False)
    for packet in packets:
        at_ns = packet.pts_ns - SECOND
        mux.put_picture(packet.data, pts_ns=at_ns, dts_ns=at_ns, duration_ns=packet.duration_ns, is_key=packet.is_key)
    mux.close()
    assert testcard.watch(mux.take()) == testcard.Watched(codes=tuple(codes), sound_s=None)


def test_a_drill_that_is_due_shows_the_code_that_only_its_hash_tells_of() -> None:
    bench = Bench(vault=FakeVault(is_drill_due=True))
    bench.tick_after(MINUTE_NS)
    assert [trial.kind for trial in bench.vault.told] == ["probe", "probe-result", "drill-made"]
    made = bench.vault.told[2]
    assert isinstance(made, DrillMade)
    opened = pyrage.decrypt(bench.vault.payloads[2], [OFFICER])
    (code,) = set(testcard.watch(opened).codes)
    assert hashlib.sha256((made.salt + code).encode()).hexdigest() == made.code_sha256
    assert len(made.salt) == 32
    assert code not in made.salt
    bench.vault.is_drill_due = False
    bench.tick_after(EVERY_NS - SECOND)
    assert len(bench.vault.told) == 3, "the test passed: the next one is tomorrow's"


# --- what fails, by its step, and passes again


class OneSecondTwice(Mux):
    """Puts the first second's pictures in the place of the second one's."""

    def __init__(self, picture: Format, *, has_sound: bool) -> None:
        super().__init__(picture, has_sound=has_sound)
        self._seen: list[bytes] = []

    def put_picture(self, data: bytes, *, pts_ns: int, dts_ns: int, duration_ns: int, is_key: bool) -> None:
        self._seen.append(data)
        shown = self._seen[(len(self._seen) - 1) % testcard.FPS]
        super().put_picture(shown, pts_ns=pts_ns, dts_ns=dts_ns, duration_ns=duration_ns, is_key=is_key)


class OnePictureLess(Mux):
    """Loses the last picture."""

    def __init__(self, picture: Format, *, has_sound: bool) -> None:
        super().__init__(picture, has_sound=has_sound)
        self._count = 0

    def put_picture(self, data: bytes, *, pts_ns: int, dts_ns: int, duration_ns: int, is_key: bool) -> None:
        self._count += 1
        if self._count != 20:
            super().put_picture(data, pts_ns=pts_ns, dts_ns=dts_ns, duration_ns=duration_ns, is_key=is_key)


class Deaf(Mux):
    """Takes no sound."""

    def put_sound(self, data: bytes, *, at: int) -> None:
        """Nothing."""


def refuse_to_seal(self: Sealer, plain: bytes) -> bytes:
    raise SealFailed("no entropy")


def refuse_to_open(self: seal.OneTimeKey, sealed: bytes) -> bytes:
    raise SealFailed("no such key")


def refuse_to_encode() -> None:
    raise BadSource("no such encoder")


def flipped(sealed: bytes) -> bytes:
    return sealed[:-1] + bytes([sealed[-1] ^ 1])


def cut_probe(sealed: bytes) -> bytes:
    raise VaultAway("the vault closed the line")


@pytest.mark.parametrize(
    ("give_back", "fails", "step", "says"),
    [
        (flipped, None, Step.COMPARE, "other bytes"),
        (lambda sealed: b"", None, Step.COMPARE, "other bytes"),
        (cut_probe, None, Step.HAND_OVER, "closed the line"),
        (echo, Step.STORE, Step.STORE, "so it is"),
        (echo, Step.READ_BACK, Step.READ_BACK, "so it is"),
        (echo, Step.DELETE, Step.DELETE, "so it is"),
    ],
)
def test_what_the_vault_does_wrong_is_told_by_its_step(
    give_back: Callable[[bytes], bytes], fails: Step | None, step: Step, says: str
) -> None:
    bench = Bench(vault=FakeVault(give_back=give_back, fails=fails))
    failed = bench.result()
    assert failed.failed is step
    assert says in failed.detail
    bench.vault.give_back, bench.vault.fails = echo, None
    bench.tick_after(AGAIN_NS - SECOND)
    assert len(bench.vault.results) == 1
    assert bench.result(after_ns=SECOND).failed is None


@pytest.mark.parametrize(
    ("container", "says"),
    [
        (OneSecondTwice, "picture 11 shows "),
        (OnePictureLess, "20 pictures were made and 19 came back"),
        (Deaf, "2.0 s of sound were made and 0.0 s came back"),
    ],
)
def test_a_clip_that_shows_something_else_fails_to_be_watched(container: type[Mux], says: str) -> None:
    bench = Bench(container=lambda picture, has_sound: container(picture, has_sound=has_sound))
    failed = bench.result()
    assert (failed.failed, says in failed.detail) == (Step.WATCH, True), failed.detail
    bench.container = plain_container
    assert bench.result(after_ns=AGAIN_NS).failed is None


@pytest.mark.parametrize(
    ("place", "name", "instead", "step"),
    [
        (testcard, "_encoder", refuse_to_encode, Step.MAKE),
        (Sealer, "seal", refuse_to_seal, Step.SEAL),
        (seal.OneTimeKey, "open", refuse_to_open, Step.OPEN),
    ],
)
def test_what_this_machine_cannot_do_any_more_is_told_by_its_step(
    monkeypatch: pytest.MonkeyPatch, place: object, name: str, instead: object, step: Step
) -> None:
    bench = Bench()
    with monkeypatch.context() as broken:
        broken.setattr(place, name, instead)
        failed = bench.result()
    assert failed.failed is step
    assert failed.detail.startswith("no ")
    assert bench.result(after_ns=AGAIN_NS).failed is None


def test_a_drill_that_cannot_be_made_is_told_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(vault=FakeVault(is_drill_due=True))
    whole = Sealer.seal
    calls: list[int] = []

    def second_fails(self: Sealer, plain: bytes) -> bytes:
        calls.append(len(plain))
        return refuse_to_seal(self, plain) if len(calls) == 2 else whole(self, plain)

    monkeypatch.setattr(Sealer, "seal", second_fails)
    bench.tick_after(MINUTE_NS)
    assert [result.failed for result in bench.vault.results] == [None, Step.DRILL]
    bench.tick_after(AGAIN_NS)
    assert isinstance(bench.vault.told[-1], DrillMade)


def test_a_vault_that_does_not_answer_at_all_is_the_recorder_s_own_fault_to_show() -> None:
    bench = Bench(vault=FakeVault(is_away=True))
    bench.tick_after(MINUTE_NS)
    assert bench.test.trouble == "hand-over: the vault does not answer"
    bench.vault.is_away = False
    assert bench.result(after_ns=AGAIN_NS).failed is None
    assert bench.test.trouble is None


@pytest.mark.parametrize(
    ("answer", "patience_s", "says"),
    [
        (None, PATIENCE_S, "closed the line"),
        (b"", 0.2, "timed out"),
        (encode(Answer(is_durable=True)), PATIENCE_S, "failed: Field required"),
    ],
    ids=["cut", "silent", "something else"],
)
def test_a_line_that_is_cut_or_silent_is_a_failed_hand_over_and_the_next_line_is_good(
    answer: bytes | None, patience_s: float, says: str
) -> None:
    with memory_folder() as folder, listen(folder / "ingest.sock") as server:
        link = VaultLink(folder / "ingest.sock", patience_s=patience_s)
        with ThreadPoolExecutor() as threads:
            for reply, expected in ((answer, says), (encode(PASSED), "")):
                asked = threads.submit(link.attempt, Probe(), b"sealed")
                sock, _ = server.accept()
                with sock:
                    frame = receive_frame(sock)
                    assert frame is not None
                    assert (json.loads(frame[0])["kind"], bytes(frame[1])) == ("probe", b"sealed")
                    if reply:
                        send_frame(sock, reply, b"back")
                    if reply is not None:
                        wait([asked], PATIENCE_S)
                if expected:
                    with pytest.raises(VaultAway, match=expected):
                        asked.result(PATIENCE_S)
                else:
                    passed, back = asked.result(PATIENCE_S)
                    assert (passed, bytes(back)) == (PASSED, b"back")
        link.close()


# --- when it runs


def test_it_runs_a_minute_after_the_start_and_then_each_day() -> None:
    bench = Bench()
    assert round(FIRST_S) == 60
    bench.tick_after(MINUTE_NS - 1)
    assert bench.vault.told == []
    bench.tick_after(1)
    assert len(bench.vault.results) == 1
    bench.tick_after(24 * 60 * MINUTE_NS - 1)
    assert len(bench.vault.results) == 1
    bench.tick_after(1)
    assert len(bench.vault.results) == 2


def test_it_never_runs_while_the_room_is_not_idle() -> None:
    bench = Bench()
    bench.tick_after(2 * MINUTE_NS, is_idle=False)
    assert bench.vault.told == []
    bench.tick_after(0)
    assert len(bench.vault.results) == 1


def test_a_test_that_gives_way_while_it_is_made_hands_nothing_over() -> None:
    bench = Bench()

    def pressed_meanwhile(picture: Format, has_sound: bool) -> Container:
        bench.test.tick(is_idle=False)
        return plain_container(picture, has_sound)

    bench.container = pressed_meanwhile
    bench.tick_after(MINUTE_NS)
    assert bench.vault.told == []


@pytest.mark.parametrize("place", ["handed over", "watched"])
def test_a_test_that_gave_way_tells_nothing_and_is_tried_again_later(
    monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    bench = Bench()
    watch = testcard.watch

    def pressed_at(here: str) -> None:
        if here == place:
            bench.test.tick(is_idle=False)

    def pressed_at_hand_over(sealed: bytes) -> bytes:
        pressed_at("handed over")
        return sealed

    def pressed_at_the_end(clip: bytes) -> testcard.Watched:
        pressed_at("watched")
        return watch(clip)

    bench.vault.give_back = pressed_at_hand_over
    with monkeypatch.context() as pressed:
        pressed.setattr(testcard, "watch", pressed_at_the_end)
        bench.tick_after(MINUTE_NS)
    assert [trial.kind for trial in bench.vault.told] == ["probe"]
    assert bench.test.trouble is None
    bench.vault.give_back = echo
    bench.tick_after(LATER_NS - 1)
    assert bench.vault.results == []
    assert bench.result(after_ns=1).failed is None


def test_a_room_without_camera_or_key_has_no_self_test(tmp_path: Path) -> None:
    room, sealer = config(tmp_path), Sealer([str(OFFICER.to_public())])
    assert room.camera.source == "none"
    assert process._self_test(room, sealer, SimClock(), Heap(), 0) is None
    watched = room.model_copy(update={"camera": room.camera.model_copy(update={"source": "fixture:room.mp4"})})
    assert process._self_test(watched, None, SimClock(), Heap(), 0) is None
    assert process._self_test(watched, sealer, SimClock(), Heap(), 0) is not None


# --- beside a real room


class Stalled(FakeVault):
    """Holds a probe until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.holds, self.let_go = threading.Event(), threading.Event()

    def attempt(self, trial: Trial, payload: bytes = b"") -> tuple[TrialAnswer, memoryview]:
        if isinstance(trial, Probe):
            self.holds.set()
            assert self.let_go.wait(PATIENCE_S)
        return super().attempt(trial, payload)


def room_with(bench: Bench, folder: Path, video: Path) -> TestRoom:
    return TestRoom(folder, video, make_self_test=lambda _: bench.test)


def test_a_press_in_the_middle_of_a_test_makes_a_whole_and_exact_clip(rooms: Rooms, tmp_path: Path) -> None:
    vault = Stalled()
    bench = Bench(vault=vault)
    with room_with(bench, tmp_path, rooms()) as room:
        room.until_held()
        bench.clock.advance(MINUTE_NS)
        assert vault.holds.wait(PATIENCE_S), "the test is under way"
        incident = room.press(post_s=1.0)
        (clip,) = room.wait_closed()
        vault.let_go.set()
        assert bench.test.wait(patience_s=PATIENCE_S)
        assert vault.results == [], "it gave way"
        path = room.clip_file(clip)
        floor_ns = incident.pressed_ns - room.ring_s * SECOND
        first = min(index for index in key_indices(room.ring.seen, room.truth) if room.truth.time_ns(index) >= floor_ns)
        assert_every_picture(path, room.truth, first=first, until_ns=incident.until_ns)
        assert_sound_beside_picture(path, room.truth, first=first, until_ns=incident.until_ns)
        assert decoding_errors(path) == ""
        facts = room.facts(clip)
        assert (facts.picture_gaps_ms, facts.sound_gaps_ms, facts.frames_dropped) == ((), (), 0)
        bench.clock.advance(LATER_NS)
        room.want(Mode.LISTEN)
        room.until(lambda: [result.failed for result in vault.results] == [None])


def test_no_test_begins_while_a_clip_is_open_or_waits_for_the_vault(rooms: Rooms, tmp_path: Path) -> None:
    bench = Bench()
    with room_with(bench, tmp_path, rooms()) as room:
        room.until_held()
        room.press()
        room.until(lambda: room.recorder.status().clip is not None)
        bench.clock.advance(MINUTE_NS)
        room.until(lambda: len(room.keeper.segments) == 1 and len(next(iter(room.keeper.segments.values()))) > 1)
        assert bench.vault.told == [], "a clip is open"
        room.keeper.is_away = True
        room.reset()
        room.until(lambda: (clip := room.recorder.status().clip) is not None and not clip.is_open)
        looks = iter(range(3))
        room.until(lambda: next(looks) == 2)  # the loop has come by twice
        assert bench.vault.told == [], "its end waits for the vault"
        room.keeper.is_away = False
        room.wait_closed()
        room.until(lambda: len(bench.vault.results) == 1)


def test_a_failure_that_the_vault_does_not_know_is_shown_by_the_recorder(rooms: Rooms, tmp_path: Path) -> None:
    bench = Bench(vault=FakeVault(is_away=True))
    with room_with(bench, tmp_path, rooms()) as room:
        bench.clock.advance(MINUTE_NS)
        room.until(lambda: "self-test-failed" in [fault.code for fault in room.recorder.status().faults])
        bench.vault.is_away = False
        bench.clock.advance(AGAIN_NS)
        room.until(lambda: room.recorder.status().faults == ())
