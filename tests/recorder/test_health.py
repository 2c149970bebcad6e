"""Camera and microphone health: what is wrong is told within 10 s, and a good room is left in peace."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from itertools import count, pairwise
from pathlib import Path
from typing import TypeAlias

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.clock import MILLISECOND, SECOND, SystemClock
from edge.messages import Mode
from edge.packet import SOUND_FRAME, SOUND_RATE, Format, Track
from edge.recorder.capture import look
from edge.recorder.capture.encode import AacEncoder, PictureEncoder, silence
from edge.recorder.capture.fixture import FixtureSource
from edge.recorder.capture.look import Look, Round, see
from edge.recorder.health import HEIGHT, WIDTH, Code, Judge, measure_picture, measure_sound
from edge.recorder.nal import to_sized
from edge.recorder.ring import Ring
from edge.status import RecorderState, RecorderStatus
from service.faults import known_codes
from tests.fixtures import real_footage
from tests.fixtures.room import Video
from tests.recorder.conftest import Rooms
from tests.recorder.room import TestRoom
from tests.recorder.streams import START_NS, packet
from tests.support.processes import Four, Room, eventually, memory_folder

Grey: TypeAlias = NDArray[np.float32]  # height x width, 0 to 255
Scene: TypeAlias = Callable[[float], Grey]  # by the time in seconds
Samples: TypeAlias = NDArray[np.float32]

SIZE = (320, 180)
HALF_AN_HOUR_S = 1800
FOUND_WITHIN_S = 10.0
NOISE = np.random.default_rng(4).standard_normal((24, SIZE[1] + 32, SIZE[0] + 32)).astype(np.float32)


# --- pictures ---------------------------------------------------------------------------------------------------------


@cache
def footage(name: str) -> list[Grey]:
    """The pictures of a real clip."""
    with av.open(str(real_footage.clips()[name])) as container:
        shown = (frame.reformat(*SIZE, format="gray") for frame in container.decode(video=0))
        return [frame.to_ndarray().astype(np.float32) for frame in shown]


def noisy(picture: Grey, strength: float, rng: np.random.Generator) -> Grey:
    """With a sensor's noise: another one each time."""
    which, down, right = rng.integers(0, (len(NOISE), 32, 32))
    return picture + strength * NOISE[which, down : down + SIZE[1], right : right + SIZE[0]]


def still(t: float) -> Grey:
    return footage("bikes")[40]


def talk(t: float) -> Grey:
    """Somebody who speaks and moves, forth and back."""
    pictures = footage("carphone_pristine")
    at = round(t * 30) % (2 * len(pictures) - 2)
    return pictures[min(at, 2 * len(pictures) - 2 - at)]


def office_day(t: float) -> Grey:
    """Nobody moves, then people come and go, clouds pass, and the camera follows the light with a second's delay."""
    scene = still(t) if t % 600 < 300 else talk(t)
    clouds = 0.75 + 0.25 * np.sin(t / 40) * np.cos(t / 7)
    flash = 4.0 if t % 300 < 1.5 else 1.0  # a door opens to the sun
    return scene * np.float32(clouds * flash)


def evening(t: float) -> Grey:
    """It grows dark in half an hour, and the lamp is switched on and off each minute."""
    daylight = 0.08 + 0.9 * max(0.0, 1 - t / 1500)
    lamp = 0.7 if t % 120 < 60 else 0.0
    return footage("bigbuckbunny")[60] * np.float32(min(1.0, daylight + lamp))


def night(t: float) -> Grey:
    """A dark building: the light of an exit sign and a little from the corridor."""
    picture = footage("bikes")[200] * np.float32(0.05)
    picture[20:32, 250:290] += 60
    return picture


PLACE = np.linspace(-1, 1, SIZE[0], dtype=np.float32)[np.newaxis, :] * np.ones((SIZE[1], 1), np.float32)

GOOD: dict[str, tuple[Scene, tuple[float, ...]]] = {  # with the strengths of the noise, one after the other
    "a day": (office_day, (0.5,)),
    "an evening": (evening, (3.0,)),
    "a night": (night, (0.7, 5.0)),
}
BAD: dict[str, tuple[Scene, float, Code]] = {
    "black without noise": (lambda t: 0 * PLACE, 0.0, Code.DARK),
    "a black tape, the camera at its most sensitive": (lambda t: 0 * PLACE, 12.0, Code.DARK),
    "a paper before the lens": (lambda t: 120 + 5 * PLACE, 1.0, Code.DARK),
    "a hand before the lens": (lambda t: 70 - 50 * PLACE - 20 * PLACE**2, 3.0, Code.DARK),
    "a torch into the lens": (lambda t: 400 + 0 * PLACE, 2.0, Code.DARK),
    "the blue of a dead sensor": (lambda t: 29 + 0 * PLACE, 0.0, Code.DARK),
}


# --- the simulated recorder -------------------------------------------------------------------------------------------


class Simulated:
    """A camera and a microphone that fill a ring, and the looks at it, in simulated time."""

    def __init__(self, *, key_s: float = 2.9) -> None:
        self.ring = Ring(cap_bytes=32 << 20)
        self.ring.open(10 * SECOND)
        self.round = Round(self.ring)
        self.now_ns = START_NS
        self._key_ns = self._heard_ns = self.now_ns
        self._step_ns = round(key_s * SECOND)
        self._look_ns = self.now_ns + self.round.pause_ns
        self._encoder = PictureEncoder(width=SIZE[0], height=SIZE[1], fps=1)
        self._rng = np.random.default_rng(1)
        self._numbers = count()

    @property
    def seconds(self) -> float:
        return (self.now_ns - START_NS) / SECOND

    def until(
        self, seconds: float, scene: Scene = still, *, noise: float = 1.0, sound: list[bytes] | None = None
    ) -> Iterator[tuple[float, set[Code]]]:
        """Each look until then: when, and what is wrong."""
        end_ns = START_NS + round(seconds * SECOND)
        while (next_ns := min(self._key_ns, self._look_ns)) < end_ns:
            self.now_ns = next_ns
            if next_ns == self._key_ns:
                self._show(noisy(scene(self.seconds), noise, self._rng))
                self._key_ns += self._step_ns
            else:
                self._say(sound or [])
                found = {each.code for each in self.round.look()}
                self._look_ns += self.round.pause_ns
                yield self.seconds, found
        self.now_ns = end_ns

    def _show(self, picture: Grey) -> None:
        pixels = np.repeat(np.clip(np.rint(picture), 0, 255).astype(np.uint8)[:, :, np.newaxis], 3, axis=2)
        for made in self._encoder.encode(pixels, self.now_ns // 1000):
            assert made.is_key
            form = Format(codec="h264", width=SIZE[0], height=SIZE[1])
            self.ring.append(packet(self.now_ns, data=to_sized(made.data), picture=form), self.now_ns)

    def _say(self, sound: list[bytes]) -> None:
        self._heard_ns = max(self._heard_ns, self.now_ns - 6 * SECOND // 5)  # more than a look takes in is not needed
        while sound and self._heard_ns < self.now_ns:
            data = sound[next(self._numbers) % len(sound)]
            self.ring.append(packet(self._heard_ns, data=data, track=Track.SOUND), self._heard_ns)
            self._heard_ns += SOUND_FRAME * SECOND // SOUND_RATE


def assert_found(looks: Iterator[tuple[float, set[Code]]], code: Code, *, since_s: float) -> None:
    """Within ten seconds, and from then on."""
    found = [(at, code in codes) for at, codes in looks]
    first = next((at for at, is_told in found if is_told), None)
    assert first is not None, f"{code} is never found"
    assert first - since_s <= FOUND_WITHIN_S
    assert all(is_told for at, is_told in found if at >= first)


@pytest.mark.parametrize("name", GOOD)
def test_half_an_hour_of_a_good_room_has_no_false_alarm(name: str) -> None:
    scene, noises = GOOD[name]
    camera = Simulated()
    for part, noise in enumerate(noises, start=1):
        looks = list(camera.until(HALF_AN_HOUR_S * part / len(noises), scene, noise=noise))
        assert len(looks) >= 500 / len(noises)
        assert [(at, codes) for at, codes in looks if codes] == []


@pytest.mark.parametrize("key_s", [1.0, 2.5])
@pytest.mark.parametrize("name", BAD)
def test_what_hides_the_room_is_found_within_ten_seconds(name: str, key_s: float) -> None:
    scene, noise, code = BAD[name]
    for phase in (0.05, 1.1, 2.2):
        camera = Simulated(key_s=key_s)
        assert not any(codes for _, codes in camera.until(9 + phase, talk))
        assert_found(camera.until(30 + phase, scene, noise=noise), code, since_s=9 + phase)


@pytest.mark.parametrize("key_s", [1.0, 2.5])
def test_a_frozen_picture_is_found_within_ten_seconds_though_its_clock_goes_on(key_s: float) -> None:
    for phase in (0.05, 0.7, 1.4, 2.1, 2.8):
        camera = Simulated(key_s=key_s)
        assert not any(codes for _, codes in camera.until(9 + phase, talk))
        last = noisy(talk(9), 1.0, np.random.default_rng(2))

        def frozen(t: float, last: Grey = last) -> Grey:
            picture = last.copy()
            picture[4:14, 200 : 220 + round(t * 10) % 80] = 255  # the camera writes the time into its picture
            return picture

        assert_found(camera.until(30 + phase, frozen, noise=0), Code.FROZEN, since_s=9 + phase)


def test_what_is_mended_is_taken_back_and_a_moment_before_the_lens_is_nothing() -> None:
    camera = Simulated()
    assert not any(codes for _, codes in camera.until(20, talk))
    black = BAD["black without noise"][0]
    assert not any(codes for _, codes in camera.until(22, black)), "two seconds are not enough"
    assert not any(codes for _, codes in camera.until(60, talk))
    assert_found(camera.until(80, black, noise=3), Code.DARK, since_s=60)
    after = list(camera.until(120, talk))
    assert after[0][1] == {Code.DARK}, "one good look is not enough"
    assert all(codes == set() for at, codes in after if at > 90)


def test_what_is_too_bright_or_too_dark_for_noise_is_not_frozen() -> None:
    """Most of this room is black or white, and the same each time; only a window with a little noise says that it lives."""

    def harsh(t: float) -> Grey:
        picture = np.where(PLACE < 0, np.float32(-60), np.float32(320))
        picture[30:150, 60:200] = still(t)[30:150, 60:200]
        return picture

    assert not any(codes for _, codes in Simulated().until(120, harsh, noise=1.0))


def test_an_encoder_that_goes_to_and_fro_between_two_qualities_hides_no_frozen_picture() -> None:
    judge, rng = Judge(), np.random.default_rng(5)
    fine, coarse = (measure_picture(memoryview(rng.bytes(HEIGHT * WIDTH))) for _ in range(2))
    for seen in (fine, coarse, fine, coarse):
        judge.see(seen)
    assert [each.code for each in judge.found()] == [Code.FROZEN]


def test_a_light_that_flickers_about_the_limit_is_told_once() -> None:
    """A dusk in which the outlines come and go must not turn the lamp on and off."""
    camera, dark, rng = Simulated(), BAD["black without noise"][0], np.random.default_rng(3)

    def dusk(t: float) -> Grey:
        if t < 20:
            return talk(t)
        return dark(t) if t < 40 else talk(20) * np.float32(rng.uniform(0.005, 0.032))

    looks = list(camera.until(600, dusk, noise=1.0))
    told = [Code.DARK in codes for _, codes in looks]
    assert sum(was != now for was, now in pairwise(told)) == 1


# --- sound ------------------------------------------------------------------------------------------------------------


def aac(samples: Samples) -> list[bytes]:
    return [made.data for made in AacEncoder().put(samples.astype(np.float32), 0)]


@cache
def film() -> Samples:
    """A real film's sound, at full level where it is loudest."""
    with av.open(str(real_footage.clips()["bigbuckbunny"])) as container:
        resampler = av.AudioResampler(format="fltp", layout="mono", rate=SOUND_RATE)
        parts = [part.to_ndarray()[0] for frame in container.decode(audio=0) for part in resampler.resample(frame)]
    samples = np.concatenate(parts)
    loud: Samples = (samples / np.abs(samples).max()).astype(np.float32)
    return loud


def hiss(level_db: float, seconds: int = 4) -> Samples:
    noise = np.random.default_rng(6).standard_normal(seconds * SOUND_RATE) * 10 ** (level_db / 20)
    return (np.round(noise * 32768) / 32768).astype(np.float32)


def shouting() -> Samples:
    """A shout that is cut flat for a second and a half in every eight, above the hiss of a room."""
    samples = hiss(-60, 8)
    samples[: 3 * SOUND_RATE // 2] += np.clip(film()[3 * SOUND_RATE : SOUND_RATE * 9 // 2] * 60, -1, 1)
    return np.clip(samples, -1, 1)


GOOD_SOUNDS: dict[str, Callable[[], Samples]] = {
    "a film": lambda: film() * np.float32(0.9),
    "a whisper": lambda: film() * np.float32(0.003),
    "an empty room at night": lambda: hiss(-80),
    "shouting": shouting,
}
BAD_SOUNDS: dict[str, tuple[Callable[[], list[bytes]], Code]] = {
    "digital silence": (lambda: [silence()], Code.SILENT),
    "nothing but rounding": (lambda: aac(hiss(-97)), Code.SILENT),
    "the constant that a muted G.711 gives": (lambda: aac(np.full(4 * SOUND_RATE, 8 / 32768)), Code.SILENT),
    "turned up much too far": (lambda: aac(np.clip(film() * 200, -1, 1)), Code.CLIPPED),
    "a broken input": (lambda: aac(np.clip(hiss(10), -1, 1)), Code.CLIPPED),
}


def test_half_an_hour_of_good_sound_has_no_false_alarm() -> None:
    room = Simulated(key_s=1e6)
    for part, make in enumerate(GOOD_SOUNDS.values(), start=1):
        looks = list(room.until(HALF_AN_HOUR_S * part / len(GOOD_SOUNDS), sound=aac(make())))
        assert len(looks) >= 500 / len(GOOD_SOUNDS)
        assert [(at, codes) for at, codes in looks if codes] == []


@pytest.mark.parametrize("name", BAD_SOUNDS)
def test_a_microphone_that_is_dead_or_too_loud_is_found_within_ten_seconds(name: str) -> None:
    make, code = BAD_SOUNDS[name]
    good, bad = aac(film()), make()
    for phase in (0.05, 1.1, 2.2):
        room = Simulated(key_s=1e6)
        assert not any(codes for _, codes in room.until(9 + phase, sound=good))
        assert_found(room.until(30 + phase, sound=bad), code, since_s=9 + phase)


# --- measures and looks -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("video", ["h264", "h264-b", "hevc", "mjpeg"])
def test_every_form_of_picture_is_seen(rooms: Rooms, video: Video) -> None:
    source = FixtureSource(rooms(video, None), [Track.PICTURE], SystemClock())
    raw = source.read()
    source.close()
    assert raw.is_key
    seen = see(packet(START_NS, data=raw.data, picture=raw.format))
    assert seen is not None
    assert seen.level == pytest.approx(185, abs=4), "as drawn"
    assert seen.outlines > 30
    assert "tiles" not in repr(seen)


def test_what_does_not_decode_tells_nothing_and_harms_nothing() -> None:
    ring = Ring(cap_bytes=4 << 20)
    ring.open(10 * SECOND)
    eye = Round(ring)
    assert eye.look() == ()
    for number in range(4):
        at_ns = START_NS + number * SECOND
        ring.append(packet(at_ns, data=b"no picture"), at_ns)
        for each in range(60):
            sound_ns = at_ns + each * MILLISECOND
            ring.append(packet(sound_ns, data=b"\xff no sound", track=Track.SOUND), sound_ns)
        assert eye.look() == ()
    ring.close()


def test_a_picture_that_was_looked_at_is_not_judged_twice() -> None:
    """A camera that stops is stale, not frozen: the newest picture in the ring stays the same one."""
    camera = Simulated(key_s=1.0)
    list(camera.until(5, talk))
    newest = camera.ring.newest_key()
    assert newest is not None
    assert [camera.round.look() for _ in range(5)] == [()] * 5
    assert not camera.round._judge.is_in_doubt


def test_numbers_alone_stay_of_a_picture() -> None:
    """What the judge keeps does not change when the picture is overwritten, and holds no part of it."""
    seen = measure_picture(memoryview(np.random.default_rng(5).bytes(HEIGHT * WIDTH)))
    judge = Judge()
    judge.see(seen)
    assert {type(each) for each in seen.tiles} == {int}
    assert (type(seen.level), type(seen.outlines)) == (float, float)
    heard = measure_sound([memoryview(hiss(-50).tobytes()).cast("f")])
    assert (type(heard.level_db), type(heard.clipped)) == (float, float)


def test_the_ring_gives_its_newest_key_picture_and_sound() -> None:
    ring = Ring(cap_bytes=4 << 20)
    ring.open(10 * SECOND)
    assert (ring.newest_key(), ring.newest_sounds(3)) == (None, [])
    for number, is_key in enumerate((True, False, True, False, False)):
        at_ns = START_NS + number * SECOND
        ring.append(packet(at_ns, data=bytes([number]), is_key=is_key), at_ns)
        ring.append(packet(at_ns, data=bytes([10 + number]), track=Track.SOUND), at_ns)
    newest = ring.newest_key()
    assert newest is not None
    assert (newest.data, newest.pts_ns) == (b"\x02", START_NS + 2 * SECOND)
    assert [sound.data for sound in ring.newest_sounds(2)] == [b"\x0d", b"\x0e"]
    assert len(ring.newest_sounds(49)) == 5
    ring.close()
    assert (ring.newest_key(), ring.newest_sounds(3)) == (None, [])


def test_one_who_does_not_look_any_more_is_missed() -> None:
    clock, ring = SystemClock(), Ring(cap_bytes=4 << 20)
    eye = Look(ring, clock)
    assert not eye.is_asleep(clock.boot_ns() + 1000 * SECOND), "it was not asked to look"
    eye.start()
    assert not eye.is_asleep(clock.boot_ns())
    assert eye.is_asleep(clock.boot_ns() + 31 * SECOND)
    eye.stop()
    assert not eye.is_asleep(clock.boot_ns() + 1000 * SECOND)


# --- in the recorder --------------------------------------------------------------------------------------------------


def write_scene(path: Path, scene: Scene, *, noise: float, seconds: int = 7) -> Path:
    """A recording of this scene; its length is no multiple of the pause between two looks."""
    rng = np.random.default_rng(9)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        stream.codec_context.options = {"preset": "ultrafast", "x264-params": "keyint=10:min-keyint=10:scenecut=0"}
        for number in range(seconds * 10):
            pixels = np.clip(np.rint(noisy(scene(number / 10), noise, rng)), 0, 255).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="gray").reformat(format="yuv420p")))
        container.mux(stream.encode(None))
    return path


def faults(room: TestRoom) -> set[str]:
    return {fault.code for fault in room.recorder.status().faults}


def looking() -> int:
    return sum(thread.name == "health" for thread in threading.enumerate())


def test_a_recorder_tells_what_is_wrong_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A frozen camera, a dark room where nobody is known to be, and a good one with a silent microphone, side by side."""
    monkeypatch.setattr(look, "EVERY_NS", SECOND // 2)
    monkeypatch.setattr(look, "IN_DOUBT_NS", SECOND // 2)
    off = {"mode": "off"}
    black = write_scene(tmp_path / "black.mp4", BAD["black without noise"][0], noise=2.0)
    frozen = write_scene(tmp_path / "frozen.mp4", still, noise=0.0)
    good = write_scene(tmp_path / "good.mp4", talk, noise=1.0)
    mute = tmp_path / "mute.wav"
    with av.open(str(mute), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=SOUND_RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 7 * SOUND_RATE), np.int16), format="s16", layout="mono")
        frame.sample_rate = SOUND_RATE
        container.mux(stream.encode(frame))
    with ExitStack() as stack:
        icy = stack.enter_context(TestRoom(folder=tmp_path, video=frozen, microphone=off))
        dark = stack.enter_context(TestRoom(folder=tmp_path, video=black, microphone=off))
        hears = {"mode": "in_ring", "source": f"fixture:{mute}"}
        deaf = stack.enter_context(TestRoom(folder=tmp_path, video=good, microphone=hears))

        icy.until(lambda: Code.FROZEN in {each.code for each in icy.recorder._look.found()})
        assert "camera-frozen" not in faults(icy), "a recording gives its pictures over and over"
        camera = icy.config.camera.model_copy(update={"source": "v4l2:/dev/video0"})
        icy.recorder._config = icy.config.model_copy(update={"camera": camera})
        icy.until(lambda: "camera-frozen" in faults(icy))
        icy.until(lambda: icy.recorder.state() is RecorderState.FAULT)
        held = len(icy.ring.seen)
        icy.until(lambda: len(icy.ring.seen) > held, patience_s=5)  # it listens on: a press may still be of use
        assert icy.recorder.report().is_camera_on

        deaf.until(lambda: "sound-silent" in faults(deaf))
        assert deaf.recorder.state() is RecorderState.LISTENING, "the picture is good: the lamp does not warn"

        dark.until(lambda: any("the room is dark" in line for line in dark.recorder.status().warnings))
        assert "camera-dark" not in faults(dark), "a dark building at night"
        assert dark.recorder.state() is RecorderState.LISTENING
        dark.press(post_s=60)
        dark.until(lambda: "camera-dark" in faults(dark))
        assert not any("the room is dark" in line for line in dark.recorder.status().warnings)

        with monkeypatch.context() as impatient:
            impatient.setattr(look, "_ASLEEP_NS", -1)
            assert "health" in faults(deaf), "one who does not look any more is missed"
        assert "health" not in faults(deaf)

        assert looking() == 3
        icy.want(Mode.PRIVATE)
        icy.until(lambda: icy.ring.is_wiped and icy.recorder.state() is RecorderState.PRIVATE)
        icy.until(lambda: not icy.recorder._sources.is_running)
        assert faults(icy).isdisjoint(Code)
        assert looking() == 2, "nobody looks into a private room"
    assert looking() == 0


def test_a_covered_camera_is_told_by_the_real_processes(tmp_path: Path) -> None:
    paper, noise, _ = BAD["a paper before the lens"]
    video = write_scene(tmp_path / "covered.mp4", paper, noise=noise)
    with memory_folder() as run, Four(Room(tmp_path / "room", run, video)) as four:

        def told() -> RecorderStatus | None:
            status = four.room.recorder()
            return status if status and any(fault.code == "camera-dark" for fault in status.faults) else None

        status = eventually(told, what="the fault")
        assert status.state is RecorderState.FAULT
        assert status.ring.seconds > 0, "it listens on"
        assert status.write_bytes == 0
        eventually(lambda: ((panel := four.room.panel()) and panel.lamp == "fault") or None, what="the official's lamp")


def test_every_fault_of_health_is_told_in_dutch() -> None:
    assert {("recorder", code) for code in (*Code, "health")} <= known_codes()
