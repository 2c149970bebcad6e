"""The recorder as it runs, with threads and in real time: a press, a clip, and everything that can come between."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from itertools import pairwise
from pathlib import Path

import pyrage
import pytest

from edge.clock import MILLISECOND, SECOND, SystemClock
from edge.messages import ClipFacts, Event, Lamp, Mode, PanelEvent
from edge.packet import Packet, Track
from edge.ports import Source
from edge.recorder.capture.fixture import FixtureSource
from edge.status import RecorderState
from tests.fixtures.room import Audio, Video, read_frames
from tests.recorder.clips import Truth, assert_every_picture, assert_sound_beside_picture, is_forgetting, key_indices
from tests.recorder.conftest import Rooms
from tests.recorder.room import Breakable, TestRoom, from_openers
from tests.recorder.streams import BOTH, IS_LONG, Windowed
from tests.support.evidence import decoding_errors

FORMS: list[tuple[Video, Audio | None]] = [
    ("h264", "aac"),
    ("h264-b", "opus"),
    ("h264-open", "aac"),
    ("hevc", "pcm"),
    ("mjpeg", None),
]
PHASES = [0.12, 0.37, 0.5, 0.62, 0.85] if IS_LONG else [0.2, 0.75]
REORDER_S = 0.32


class Take:
    """One press in a running room, and what came of it."""

    path: Path
    facts: ClipFacts
    truth: Truth
    seen: list[Packet]
    pressed_ns: int
    until_ns: int
    opened_ns: int

    def __init__(self, room: TestRoom, share: float, *, post_s: float = 1.3) -> None:
        room.until_held()
        room.until_phase(share)
        incident = room.press(post_s=post_s)
        (clip,) = room.wait_closed()
        progress = room.recorder.status().clip
        assert progress is not None
        self.path, self.facts, self.truth = room.clip_file(clip), room.facts(clip), room.truth
        self.seen, self.opened_ns = list(room.ring.seen), progress.opened_ns
        self.pressed_ns, self.until_ns = incident.pressed_ns, incident.until_ns
        self.promise_ns = room.ring_s * SECOND

    @property
    def first(self) -> int:
        """The oldest picture that can be decoded and is inside the promise."""
        keys = key_indices(self.seen, self.truth)
        return min(key for key in keys if self.truth.time_ns(key) >= self.pressed_ns - self.promise_ns)


# After the microphone's opening; the press comes after some 2 s, the end 4 s later.
MICROPHONES = {
    "starts late": [(0.0, 3.0)],
    "dies in the middle": [(3.0, 1e6)],
    "never speaks": [(0.0, 1e6)],
    "comes back": [(1.5, 3.4)],
}
MICROPHONE_SHARE = 0.4


def with_microphone(room: Path, microphone: Path, habit: str, folder: Path) -> TestRoom:
    def open_microphone(clock: SystemClock) -> Source:
        return Windowed(FixtureSource(microphone, [Track.SOUND], clock), silent=MICROPHONES[habit])

    def open_camera(clock: SystemClock) -> Source:
        return FixtureSource(room, [Track.PICTURE], clock)

    make = from_openers(((Track.PICTURE,), open_camera), ((Track.SOUND,), open_microphone))
    return TestRoom(folder=folder, video=room, make_sources=make)


@pytest.fixture(scope="module")
def takes(rooms: Rooms, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, float], Take]:
    """All forms and phases at the same time: each room spends its time waiting."""
    for video, audio in [*FORMS, ("h264-b", "aac")]:
        rooms(video, audio)  # made now: drawing them beside running rooms would starve those
    with ExitStack() as stack:
        opened: dict[tuple[str, float], TestRoom] = {}
        for video, audio in FORMS:
            mode = "in_ring" if audio else "off"
            for share in PHASES:
                room = TestRoom(
                    folder=tmp_path_factory.mktemp("clips"),
                    video=rooms(video, audio),
                    microphone={"mode": mode, "source": "camera"},
                )
                opened[video, share] = stack.enter_context(room)
        for habit in MICROPHONES:
            room = with_microphone(
                rooms("h264-b", "aac"), rooms("h264", "aac"), habit, tmp_path_factory.mktemp("clips")
            )
            opened[habit, MICROPHONE_SHARE] = stack.enter_context(room)
        with ThreadPoolExecutor(len(opened)) as pool:
            made = {
                key: pool.submit(Take, room, key[1], post_s=2.6 if key[0] in MICROPHONES else 1.3)
                for key, room in opened.items()
            }
            return {key: future.result() for key, future in made.items()}


@pytest.mark.parametrize("share", PHASES)
@pytest.mark.parametrize(("video", "audio"), FORMS)
def test_a_press_keeps_every_picture_and_its_sound(
    takes: dict[tuple[str, float], Take], video: Video, audio: Audio | None, share: float
) -> None:
    take = takes[video, share]
    assert [line for line in decoding_errors(take.path).splitlines() if not is_forgetting(line, video)] == []
    reorder_s = REORDER_S if video in {"h264-b", "h264-open"} else 0
    frames = assert_every_picture(take.path, take.truth, first=take.first, until_ns=take.until_ns, reorder_s=reorder_s)
    assert take.facts.picture_frames == len(frames)
    assert (take.facts.picture_gaps_ms, take.facts.frames_dropped, take.facts.ended_by) == ((), 0, "until")
    if audio:
        assert_sound_beside_picture(
            take.path, take.truth, first=take.first, until_ns=take.until_ns, has_seam=audio != "aac"
        )
        assert take.facts.sound_gaps_ms == ()


# --- the microphone -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("habit", MICROPHONES)
def test_a_failing_microphone_costs_no_picture_and_is_told(takes: dict[tuple[str, float], Take], habit: str) -> None:
    take = takes[habit, MICROPHONE_SHARE]
    assert decoding_errors(take.path) == ""
    assert_every_picture(take.path, take.truth, first=take.first, until_ns=take.until_ns, reorder_s=REORDER_S)
    heard = [packet for packet in take.seen if packet.track is Track.SOUND]
    gaps = missing(heard, take.truth.time_ns(take.first), take.until_ns)
    assert gaps, "the microphone did not fail while it was recorded"
    for told, meant in zip(take.facts.sound_gaps_ms, gaps, strict=True):
        assert told == pytest.approx(meant, abs=70)


def missing(heard: list[Packet], start_ns: int, end_ns: int) -> list[tuple[int, int]]:
    """Where nothing was heard for more than 150 ms, start and length in milliseconds."""
    gaps, reached_ns = [], start_ns
    for at_ns in [*sorted(packet.pts_ns for packet in heard), end_ns]:
        if start_ns <= at_ns <= end_ns:
            if at_ns - reached_ns > 150 * MILLISECOND:
                gaps.append(((reached_ns - start_ns) // MILLISECOND, (at_ns - reached_ns) // MILLISECOND))
            reached_ns = at_ns + 21 * MILLISECOND
    return gaps


# --- the camera -----------------------------------------------------------------------------------------------------


class Camera:
    """Cameras that can be unplugged, exchanged or made to hang; `opened` counts them."""

    def __init__(self, *videos: Path) -> None:
        self.videos = list(videos)
        self.opened = 0
        self.lose, self.hang, self.hangs, self.release = (threading.Event() for _ in range(4))

    def open(self, clock: SystemClock) -> Source:
        video = self.videos[min(self.opened, len(self.videos) - 1)]
        # Only the first camera hangs; the next one works.
        hang = self.hang if not self.opened else threading.Event()
        self.opened += 1
        source = FixtureSource(video, BOTH, clock)
        return Breakable(source, lose=self.lose, hang=hang, hangs=self.hangs, release=self.release)


@pytest.fixture
def camera(rooms: Rooms) -> Iterator[Camera]:
    camera = Camera(rooms("h264", "aac"))
    yield camera
    camera.release.set()


def room_with(camera: Camera, folder: Path) -> TestRoom:
    return TestRoom(folder=folder, video=camera.videos[0], make_sources=from_openers((BOTH, camera.open)))


def test_a_camera_that_is_lost_in_a_clip_is_opened_again_and_the_gap_is_told(camera: Camera, tmp_path: Path) -> None:
    with room_with(camera, tmp_path) as room:
        room.until_held()
        room.press(post_s=3.0)
        room.until(lambda: room.recorder.state() is RecorderState.RECORDING)
        camera.lose.set()
        (clip,) = room.wait_closed()
        path, facts = room.clip_file(clip), room.facts(clip)
        pictures = room.ring.pictures()
    assert camera.opened == 2
    assert decoding_errors(path, is_steady=False) == ""
    frames = read_frames(path)
    assert facts.picture_frames == len(frames)
    seam = next(at for at in range(1, len(pictures)) if pictures[at].generation != pictures[at - 1].generation)
    lost_ms = (pictures[seam].pts_ns - pictures[seam - 1].pts_ns - 40 * MILLISECOND) // MILLISECOND
    if lost_ms > 500:
        assert [length for _, length in facts.picture_gaps_ms] == [pytest.approx(lost_ms, abs=2)]
    steps = [(after.pts_s - before.pts_s) * 1000 for before, after in pairwise(frames)]
    assert max(steps) == pytest.approx(lost_ms + 40, abs=2)
    assert frames[steps.index(max(steps)) + 1].number == 0, "it goes on with the new camera's first picture"


def test_a_camera_that_is_lost_again_and_again_is_opened_again_quickly(camera: Camera, tmp_path: Path) -> None:
    with room_with(camera, tmp_path) as room:
        for times in range(1, 7):
            room.until_held(0.2)
            before = room.ring.seen[-1].generation
            camera.lose.set()
            room.until(partial(has_come_back, room, before), patience_s=2)
            assert camera.opened == times + 1


def has_come_back(room: TestRoom, before: int) -> bool:
    return room.ring.seen[-1].generation > before


def test_a_camera_that_hangs_is_shown_and_replaced_and_the_picture_goes_on(camera: Camera, tmp_path: Path) -> None:
    with room_with(camera, tmp_path) as room:
        room.until_held()
        room.press(post_s=13.0)
        camera.hang.set()
        room.until(lambda: all(source.state == "stale" for source in room.recorder.status().sources), patience_s=5)
        assert "source-picture-sound" in {fault.code for fault in room.recorder.status().faults}
        room.until(lambda: camera.opened == 2, patience_s=10)
        room.until(lambda: all(source.state == "good" for source in room.recorder.status().sources), patience_s=3)
        camera.release.set()  # the first one comes back from its read: too late, nobody wants it any more
        room.until(lambda: len(room.ring.pictures()) > 100)
        room.reset()
        (clip,) = room.wait_closed()
        path, facts, pictures = room.clip_file(clip), room.facts(clip), room.ring.pictures()
    assert decoding_errors(path, is_steady=False) == ""
    assert len(facts.picture_gaps_ms) == 1
    assert facts.picture_gaps_ms[0][1] > 7_000
    assert len({packet.generation for packet in pictures}) == 2, "what comes after the gap is told apart"


def test_privacy_wipes_at_once_while_a_camera_hangs(camera: Camera, tmp_path: Path) -> None:
    with room_with(camera, tmp_path) as room:
        room.until_held()
        camera.hang.set()
        assert camera.hangs.wait(5)
        room.want(Mode.PRIVATE)
        asked_ns = room.clock.boot_ns()
        wiped = threading.Event()
        watcher = threading.Thread(target=lambda: until_true(lambda: room.ring.is_wiped, wiped), daemon=True)
        watcher.start()
        assert wiped.wait(10)
        assert room.clock.boot_ns() - asked_ns < SECOND
        camera.release.set()


def until_true(condition: object, done: threading.Event) -> None:
    clock = SystemClock()
    while not condition():  # type: ignore[operator]
        clock.sleep(0.005)
    done.set()


def test_another_form_of_picture_ends_the_clip_and_a_second_one_goes_on(
    rooms: Rooms, camera: Camera, tmp_path: Path
) -> None:
    camera.videos.append(rooms("h264", "aac", size=(640, 360)))
    with room_with(camera, tmp_path) as room:
        room.until_held()
        incident = room.press(post_s=3.0)
        room.until(lambda: room.recorder.state() is RecorderState.RECORDING)
        camera.lose.set()
        first, second = room.wait_closed(2)
        paths = [room.clip_file(clip) for clip in (first, second)]
        facts = [room.facts(clip) for clip in (first, second)]
        births = [room.keeper.births[clip] for clip in (first, second)]
        large = [packet for packet in room.ring.pictures() if packet.format.width == 640]
    assert [decoding_errors(path, is_steady=False) for path in paths] == ["", ""]
    assert [each.ended_by for each in facts] == ["source-changed", "until"]
    assert [each.picture for each in facts] == ["h264 320x180", "h264 640x360"]
    assert {birth.incident for birth in births} == {incident.id}
    wanted = [packet for packet in large if packet.dts_ns < incident.until_ns]
    assert [frame.number for frame in read_frames(paths[1])] == list(range(len(wanted)))


# --- the vault ------------------------------------------------------------------------------------------------------

AWAY_S = 10.0 if IS_LONG else 3.0


def test_a_vault_that_is_away_in_the_middle_of_a_clip_costs_no_picture(rooms: Rooms, tmp_path: Path) -> None:
    with TestRoom(folder=tmp_path, video=rooms("h264", "aac")) as room:
        room.until_held()
        incident = room.press(post_s=AWAY_S + 1)
        room.until(lambda: bool(room.keeper.closed or any(room.keeper.segments.values())))
        room.keeper.is_away = True
        room.clock.sleep(AWAY_S)
        status = room.recorder.status()
        assert not status.is_vault_reached
        assert "vault-away" in {fault.code for fault in status.faults}
        room.keeper.is_away = False
        (clip,) = room.wait_closed()
        room.until(lambda: room.recorder.status().is_vault_reached)
        path, facts, truth, seen = room.clip_file(clip), room.facts(clip), room.truth, room.ring.seen
        assert room.outbox.waiting_bytes == 0
    first = min(key for key in key_indices(seen, truth) if truth.time_ns(key) >= incident.pressed_ns - 2 * SECOND)
    assert_every_picture(path, truth, first=first, until_ns=incident.until_ns)
    assert_sound_beside_picture(path, truth, first=first, until_ns=incident.until_ns)
    assert decoding_errors(path) == ""
    assert (facts.picture_gaps_ms, facts.sound_gaps_ms, facts.frames_dropped) == ((), (), 0)


def test_a_vault_that_is_away_while_nothing_happens_shows_on_the_lamp_before_a_press(
    rooms: Rooms, tmp_path: Path
) -> None:
    with TestRoom(folder=tmp_path, video=rooms("h264", "aac")) as room:
        room.until_held()
        room.until(lambda: room.recorder.report().lamp is Lamp.READY)
        room.keeper.is_away = True
        room.until(lambda: room.recorder.report().lamp is Lamp.FAULT)
        assert "vault-away" in {fault.code for fault in room.recorder.status().faults}
        room.keeper.is_away = False
        room.until(lambda: room.recorder.report().lamp is Lamp.READY)


def test_a_vault_that_is_away_too_long_keeps_the_first_and_tells_the_gap(rooms: Rooms, tmp_path: Path) -> None:
    cap = 900_000
    with TestRoom(folder=tmp_path, video=rooms("mjpeg", "aac"), outbox_bytes=cap) as room:
        room.until_held()
        room.keeper.is_away = True
        room.press(post_s=4.0)
        room.until(lambda: "clip-incomplete" in {fault.code for fault in room.recorder.status().faults})
        assert 0 < room.outbox.waiting_bytes <= cap
        room.keeper.is_away = False
        (clip,) = room.wait_closed()
        path, facts = room.clip_file(clip), room.facts(clip)
    assert decoding_errors(path) == ""
    frames = read_frames(path)
    numbers = [(after.number - before.number) % 200 for before, after in pairwise(frames)]
    holes = [step for step in numbers if step != 1]
    assert len(holes) >= 1
    assert numbers.index(holes[0]) >= 24, "what was seen around the press is kept"
    assert len(facts.picture_gaps_ms) >= 1
    assert facts.picture_gaps_ms[0][0] / 1000 == pytest.approx(frames[numbers.index(holes[0])].pts_s, abs=0.2)


def test_a_clip_whose_beginning_finds_no_room_still_plays(rooms: Rooms, tmp_path: Path) -> None:
    """The first piece holds what a player needs for all others."""
    with TestRoom(folder=tmp_path, video=rooms("h264", "aac"), outbox_bytes=90_000) as room:
        room.until_held()
        room.keeper.is_away = True
        room.press(post_s=20.0)
        room.until(lambda: "clip-incomplete" in {fault.code for fault in room.recorder.status().faults})
        room.reset()
        room.until(lambda: room.recorder.state() is RecorderState.LISTENING)
        incident = room.press(post_s=2.5)
        room.until(lambda: room.recorder.state() is RecorderState.RECORDING)
        room.until(lambda: room.clock.boot_ns() > incident.pressed_ns + 1200 * MILLISECOND)
        room.keeper.is_away = False
        for clip in room.wait_closed(2):
            gap_ms = min([start for start, _ in room.facts(clip).picture_gaps_ms], default=1 << 40)
            whole = sum(segment.media_until_ms <= gap_ms for segment, _ in room.segments(clip))
            path = tmp_path / f"{clip}-to-its-gap.mp4"
            path.write_bytes(room.opened(clip, upto=whole))
            assert decoding_errors(path) == ""
            assert read_frames(path)


def test_every_segment_opens_alone_with_the_stock_age_tool(rooms: Rooms, tmp_path: Path) -> None:
    key = tmp_path / "officer.key"
    with TestRoom(folder=tmp_path, video=rooms("h264", "aac")) as room:
        key.write_text(str(room.identity), "ascii")
        room.until_held()
        room.press(post_s=1.5)
        (clip,) = room.wait_closed()
        opened, whole = b"", room.opened(clip)
        assert len(room.segments(clip)) >= 2
        for number, (segment, sealed) in enumerate(room.segments(clip)):
            assert segment.number == number
            plain = subprocess.run(
                ["age", "-d", "-i", str(key)], input=sealed, capture_output=True, timeout=30, check=True
            ).stdout
            assert plain == pyrage.decrypt(sealed, [room.identity])
            opened += plain
            beginning = tmp_path / f"until-{number}.mp4"
            beginning.write_bytes(opened)
            assert decoding_errors(beginning) == "", "it plays up to each cut"
        assert opened == whole
        reached = [segment.media_until_ms for segment, _ in room.segments(clip)]
        assert reached == sorted(reached)


# --- the incident ---------------------------------------------------------------------------------------------------


def test_privacy_in_a_clip_cuts_it_and_keeps_it_and_the_ring_is_zero(rooms: Rooms, tmp_path: Path) -> None:
    with TestRoom(folder=tmp_path, video=rooms("h264", "aac")) as room:
        room.until_held()
        room.press(post_s=60)
        room.until(lambda: len(room.ring.pictures()) > 60)
        room.want(Mode.PRIVATE)
        wanted_ns = room.clock.boot_ns()
        (clip,) = room.wait_closed()
        room.until(lambda: room.recorder.state() is RecorderState.PRIVATE)
        status, facts, path, seen = room.recorder.status(), room.facts(clip), room.clip_file(clip), room.ring.pictures()
        assert status.ring.is_wiped
        assert (status.ring.bytes, status.ring.seconds) == (0, 0)
        chunks = [held.chunk for held in room.ring._rooms] + room.ring._spare
        assert chunks
        assert all(bytes(chunk.view) == bytes(chunk.size) for chunk in chunks)
        assert not room.recorder.report().is_camera_on
    assert facts.ended_by == "private"
    assert decoding_errors(path) == ""
    assert seen[-1].arrival_ns < wanted_ns + 300 * MILLISECOND
    frames = read_frames(path)
    assert facts.picture_frames == len(frames)
    assert (wanted_ns - (seen[0].pts_ns + frames[-1].number * 40 * MILLISECOND)) / SECOND < 0.3, (
        "kept up to the switch"
    )  # what was not given yet stays out


def test_pressing_again_moves_the_end_and_a_reset_ends_at_the_reset(rooms: Rooms, tmp_path: Path) -> None:
    with TestRoom(folder=tmp_path, video=rooms("h264", "aac")) as room:
        room.until_held()
        incident = room.press(post_s=1.0)
        room.until(lambda: room.recorder.state() is RecorderState.RECORDING)
        room.press_again(post_s=60)
        room.until(lambda: room.clock.boot_ns() > incident.until_ns + 500 * MILLISECOND)
        assert room.recorder.state() is RecorderState.RECORDING
        room.until_phase(0.31)
        reset_ns = room.reset()
        (clip,) = room.wait_closed()
        path, truth, seen = room.clip_file(clip), room.truth, room.ring.seen
        first = min(key for key in key_indices(seen, truth) if truth.time_ns(key) >= incident.pressed_ns - 2 * SECOND)
        assert_every_picture(path, truth, first=first, until_ns=reset_ns)
        assert len(room.keeper.births) == 1

        # A new incident at once has the whole of its past, though part of it is in the clip before.
        room.until(lambda: room.recorder.state() is RecorderState.LISTENING)
        again = room.press(post_s=1.5)
        _, second = room.wait_closed(2)
        path, truth, seen = room.clip_file(second), room.truth, room.ring.seen
        first = min(key for key in key_indices(seen, truth) if truth.time_ns(key) >= again.pressed_ns - 2 * SECOND)
        assert_every_picture(path, truth, first=first, until_ns=again.until_ns)


def test_an_incident_that_goes_on_after_its_clip_makes_another_without_a_gap(rooms: Rooms, tmp_path: Path) -> None:
    with TestRoom(folder=tmp_path, video=rooms("h264", "aac")) as room:
        room.until_held()
        incident = room.press(post_s=0.8)
        room.wait_closed()
        after = room.press_again(post_s=1.6)
        clips = room.wait_closed(2)
        truth, seen, paths = room.truth, room.ring.seen, [room.clip_file(clip) for clip in clips]
        assert {birth.incident for birth in room.keeper.births.values()} == {incident.id}
    assert [decoding_errors(path) for path in paths] == ["", ""]
    first = max(key for key in key_indices(seen, truth) if truth.time_ns(key) < incident.until_ns)
    assert_every_picture(paths[1], truth, first=first, until_ns=after.until_ns)


def test_stopping_in_a_clip_closes_it(rooms: Rooms, tmp_path: Path) -> None:
    with TestRoom(folder=tmp_path, video=rooms("h264", "aac")) as room:
        room.until_held()
        room.press(post_s=60)
        room.until(lambda: room.recorder.state() is RecorderState.RECORDING)
        room.stop()
        (clip,) = room.keeper.closed
        assert room.facts(clip).ended_by == "stop"
        assert decoding_errors(room.clip_file(clip)) == ""
        assert room.ring.is_wiped
        assert (room.ring._rooms, room.ring._spare) == ([], [])


def test_from_the_press_holds_nothing_of_the_past(rooms: Rooms, tmp_path: Path) -> None:
    with TestRoom(folder=tmp_path, video=rooms("h264", "aac"), ring_s=0) as room:
        room.until(lambda: room.recorder.state() is RecorderState.OFF)
        assert room.ring.seen == []
        assert not room.recorder.report().is_camera_on
        incident = room.press(post_s=2.0)
        (clip,) = room.wait_closed()
        room.until(lambda: room.recorder.state() is RecorderState.OFF)
        assert room.ring.is_wiped
        path, facts, truth = room.clip_file(clip), room.facts(clip), room.truth
    assert facts.pre_roll_delivered_ms == facts.pre_roll_asked_ms == 0
    assert decoding_errors(path) == ""
    assert_every_picture(path, truth, first=0, until_ns=incident.until_ns)
    assert truth.zero_ns >= incident.pressed_ns


def test_a_microphone_from_the_press_hears_nothing_before_it(rooms: Rooms, tmp_path: Path) -> None:
    microphone = {"mode": "from_press", "source": f"fixture:{rooms('h264', 'aac')}"}
    with TestRoom(folder=tmp_path, video=rooms("h264", "aac"), microphone=microphone) as room:
        room.until_held()
        assert [packet for packet in room.ring.seen if packet.track is Track.SOUND] == []
        assert {source.state for source in room.recorder.status().sources if source.track == "sound"} == {"off"}
        incident = room.press(post_s=1.5)
        (clip,) = room.wait_closed()
        room.until(lambda: room.recorder.state() is RecorderState.LISTENING)
        room.until(lambda: {s.state for s in room.recorder.status().sources if s.track == "sound"} == {"off"})
        facts, path = room.facts(clip), room.clip_file(clip)
        heard = [packet.pts_ns for packet in room.ring.seen if packet.track is Track.SOUND]
        held = room.ring.cursor().read(patience_s=0, limit_bytes=1 << 30)
    assert decoding_errors(path) == ""
    assert min(heard) >= incident.pressed_ns - 5 * MILLISECOND
    ((start, length), *rest) = facts.sound_gaps_ms
    assert (start, rest) == (0, [])
    assert length == pytest.approx(facts.pre_roll_delivered_ms, abs=150)
    assert all(packet.pts_ns <= incident.until_ns + SECOND for packet in held if packet.track is Track.SOUND)


def test_no_panel_for_three_seconds_wipes_the_ring(rooms: Rooms, tmp_path: Path) -> None:
    with TestRoom(folder=tmp_path, video=rooms("h264", "aac")) as room:
        room.until_held()
        room.is_panel_silent = True
        silent_ns = room.clock.boot_ns()
        room.until(lambda: room.ring.is_wiped, patience_s=6)
        assert 2.9 * SECOND < room.clock.boot_ns() - silent_ns < 5 * SECOND
        assert room.recorder.state() is RecorderState.FAULT
        room.is_panel_silent = False
        room.until_held(0.5)
        assert room.recorder.state() is RecorderState.LISTENING


def test_a_clip_goes_on_to_its_end_without_a_panel_and_then_the_ring_is_wiped(rooms: Rooms, tmp_path: Path) -> None:
    with TestRoom(folder=tmp_path, video=rooms("h264", "aac")) as room:
        room.until_held()
        incident = room.press(post_s=4.5)
        room.until(lambda: room.recorder.state() is RecorderState.RECORDING)
        room.is_panel_silent = True
        (clip,) = room.wait_closed()
        room.until(lambda: room.ring.is_wiped, patience_s=5)
        path, truth, seen = room.clip_file(clip), room.truth, room.ring.seen
    first = min(key for key in key_indices(seen, truth) if truth.time_ns(key) >= incident.pressed_ns - 2 * SECOND)
    assert_every_picture(path, truth, first=first, until_ns=incident.until_ns)
    assert decoding_errors(path) == ""


def test_what_happened_at_the_panel_reaches_the_vault_once(rooms: Rooms, tmp_path: Path) -> None:
    happened = tuple(
        PanelEvent(run="run", seq=seq, event=Event.ATTENTION, at_ns=seq, wall_ns=seq, is_wall_trusted=False)
        for seq in range(5)
    )
    with TestRoom(folder=tmp_path, video=rooms("h264", "aac"), events=happened[:3]) as room:
        room.keeper.is_away = True
        room.until(lambda: room.outbox.trouble is not None)
        room.events = happened
        room.keeper.is_away = False
        room.until(lambda: len(room.keeper.events) >= 5)
        room.until_held(0.5)
        assert room.keeper.events == list(happened)
