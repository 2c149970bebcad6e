"""What can be played as a camera, and what is refused, in one line that names the file."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import av
import pytest

from edge.clock import MILLISECOND, SECOND, SystemClock
from edge.errors import BadSource, SourceLost
from edge.packet import SOUND, Packet, RawPacket, Track
from edge.recorder import nal
from edge.recorder.capture.fixture import FixtureSource, check_recording
from edge.recorder.capture.sources import Sources
from edge.recorder.capture.supervise import STALE_NS, Capture
from edge.recorder.ring import Ring
from tests.fixtures.make_room import ROOM
from tests.fixtures.room import Audio, Video, write_room
from tests.recorder.conftest import Rooms
from tests.recorder.streams import BOTH, START_NS, SimClock, raw, recording, unit_kinds
from tests.support.processes import until


def missing(folder: Path) -> Path:
    return folder / "nobody.mp4"


def truncated(folder: Path) -> Path:
    path = folder / "short.mp4"
    path.write_bytes(ROOM.read_bytes()[: ROOM.stat().st_size // 2])
    return path


def text(folder: Path) -> Path:
    path = folder / "notes.mp4"
    path.write_text("This is no recording.\n" * 200)
    return path


def empty(folder: Path) -> Path:
    path = folder / "empty.mp4"
    path.write_bytes(b"")
    return path


def directory(folder: Path) -> Path:
    path = folder / "folder.mp4"
    path.mkdir()
    return path


def sound_only(folder: Path) -> Path:
    import av

    path, whole = folder / "sound.mkv", folder / "whole.mkv"
    write_room(whole, audio="pcm", seconds=2, size=(320, 180))
    with av.open(str(whole)) as given, av.open(str(path), "w") as made:
        stream = made.add_stream_from_template(given.streams.audio[0])
        for each in given.demux(given.streams.audio[0]):
            if each.size:
                each.stream = stream
                made.mux(each)
    return path


@pytest.mark.parametrize(
    "make", [missing, truncated, text, empty, directory, sound_only], ids=lambda make: make.__name__
)
def test_a_file_that_cannot_be_played_is_refused_in_one_line(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    path = make(tmp_path)
    with pytest.raises(BadSource) as refused:
        FixtureSource(path, BOTH, SystemClock())
    line = str(refused.value)
    assert str(path) in line
    assert "\n" not in line
    assert "choose" in line, "it says what to do"


def test_sound_alone_is_a_microphone(tmp_path: Path) -> None:
    assert recording(sound_only(tmp_path), [Track.SOUND]).read().format == SOUND


def test_a_recording_that_breaks_while_it_is_played_is_lost_not_fatal(rooms: Rooms, tmp_path: Path) -> None:
    path = tmp_path / "room.mp4"
    path.write_bytes(rooms("h264", "aac").read_bytes())
    source = recording(path)
    source.read()
    path.unlink()
    with pytest.raises((SourceLost, BadSource)):
        exhaust(source)


def exhaust(source: FixtureSource) -> None:
    for _ in range(5_000):
        source.read()


@pytest.mark.parametrize(
    ("video", "audio"),
    [("h264", "aac"), ("h264-b", "opus"), ("h264-open", "aac"), ("hevc", "pcm"), ("mjpeg", None), ("h264", "pcm")],
)
def test_packets_come_at_their_moment_in_one_form_round_after_round(
    rooms: Rooms, video: Video, audio: Audio | None
) -> None:
    source = recording(rooms(video, audio))
    packets = [source.read() for _ in range(3 * 200 + (3 * 375 if audio else 0))]
    pictures = [each for each in packets if each.track is Track.PICTURE]
    sounds = [each for each in packets if each.track is Track.SOUND]
    times = sorted(each.pts or 0 for each in pictures)[:-6]  # the next to come may be shown before the last
    assert {after - before for before, after in pairwise(times)} == {40 * MILLISECOND}
    assert times[0] == START_NS
    assert all(each.is_key == (((each.pts or 0) - START_NS) % SECOND == 0) for each in pictures) or video == "mjpeg"
    for track in (pictures, sounds):
        order = [each.dts or 0 for each in track]
        assert order == sorted(set(order))
        assert all((each.dts or 0) <= (each.pts or 0) <= each.arrival_ns for each in track)
    assert len({each.format for each in pictures}) == 1
    assert {each.format for each in sounds} <= {SOUND}
    if audio:
        steps = [after - before for before, after in pairwise(each.pts or 0 for each in sounds)]
        # What is encoded here ends some packets early in each round: its encoder is made anew at the seam.
        assert max(steps) < (22 if audio == "aac" else 70) * MILLISECOND
        assert min(steps) > 10 * MILLISECOND
    if video in {"h264", "h264-b", "h264-open", "hevc"}:
        keys = [each.data for each in pictures if each.is_key]
        assert all(has_parameters(data, video) for data in keys)
        assert all(nal.is_sized(each.data) for each in pictures)


def has_parameters(data: bytes, video: Video) -> bool:
    """Parameter sets stand in front of the key picture, so that a clip can begin at it."""
    return ({32, 33, 34} if video == "hevc" else {7, 8}) <= set(unit_kinds(data, video))


@pytest.mark.parametrize("video", ["h264", "hevc"])
def test_a_recording_with_start_codes_gives_the_same_pictures(rooms: Rooms, tmp_path: Path, video: Video) -> None:
    stream = tmp_path / "room.ts"
    with av.open(str(rooms(video, None))) as given, av.open(str(stream), "w") as made:
        track = made.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(video=0):
            if packet.size:
                packet.stream = track
                made.mux(packet)
    sized, started = (recording(path, [Track.PICTURE]) for path in (rooms(video, None), stream))
    delimiter, parameters = (35, {32, 33, 34}) if video == "hevc" else (9, {7, 8})
    for _ in range(60):
        pictures = [source.read() for source in (sized, started)]
        assert all(nal.is_sized(picture.data) for picture in pictures)
        one, other = (
            [kind for kind in unit_kinds(picture.data, video) if kind not in {delimiter, *parameters}]
            for picture in pictures
        )
        assert one == other
        assert pictures[0].is_key == pictures[1].is_key
        assert pictures[1].data.endswith(pictures[0].data[-100:])


def test_closing_ends_a_waiting_read_and_every_later_one(rooms: Rooms) -> None:
    source = FixtureSource(rooms("h264", "aac"), BOTH, SystemClock())
    source.read()
    source.close()
    source.close()
    for _ in range(2):
        with pytest.raises(SourceLost, match="recording"):
            source.read()


def test_a_microphone_is_in_step_with_the_picture_of_the_same_recording(rooms: Rooms) -> None:
    """The run-up of the AAC encoder is no sound: counted in, each round came 21 ms later."""
    assert check_recording(rooms("h264", "aac"), [Track.SOUND]).length_ns == 8 * SECOND
    assert recording(rooms("h264", "aac"), [Track.SOUND]).read().pts == START_NS


# --- the reader -------------------------------------------------------------------------------------------------------


class Scripted:
    """A source that gives what it is told, then is lost."""

    name = "scripted"

    def __init__(self, packets: list[RawPacket]) -> None:
        self._packets = iter(packets)

    def read(self) -> RawPacket:
        for packet in self._packets:
            return packet
        raise SourceLost("over")

    def close(self) -> None:
        """Nothing is open."""


class NotedRing(Ring):
    def __init__(self) -> None:
        super().__init__(cap_bytes=8 << 20)
        self.noted: list[Packet] = []

    def append(self, packet: Packet, now_ns: int) -> bool:
        self.noted.append(packet)
        return super().append(packet, now_ns)


def test_a_picture_that_stops_is_reopened_even_when_its_sound_goes_on() -> None:
    """Judged by the picture: a camera whose picture hangs is no camera."""
    clock, ring, opened = SimClock(), NotedRing(), []

    def open_source() -> Scripted:
        opened.append(clock.now_ns)
        return Scripted([])

    capture = Capture(name="camera", tracks=BOTH, open_source=open_source, ring=ring, clock=clock)
    capture.start()
    first = capture._reader
    capture._last_ns = {Track.PICTURE: clock.now_ns, Track.SOUND: clock.now_ns}
    clock.now_ns += 9 * SECOND
    capture._last_ns[Track.SOUND] = clock.now_ns
    capture.check(clock.now_ns)
    assert capture._reader is not first
    assert capture.stop()


def test_a_camera_that_never_gave_a_picture_stays_a_fault_while_it_is_tried_again() -> None:
    clock, ring = SimClock(), NotedRing()
    capture = Capture(name="camera", tracks=BOTH, open_source=lambda: Scripted([]), ring=ring, clock=clock)
    capture.start()
    first = capture._reader
    for _ in range(12):
        clock.now_ns += SECOND
        capture.check(clock.now_ns)
        is_late = clock.now_ns - START_NS >= STALE_NS
        assert {status.state for status in capture.status(clock.now_ns)} == {"stale" if is_late else "opening"}
    assert capture._reader is not first
    assert capture.stop()


def test_a_track_that_is_not_taken_is_never_held(rooms: Rooms) -> None:
    clock, ring = SystemClock(), NotedRing()
    capture = Capture(
        name="camera",
        tracks=BOTH,
        open_source=lambda: FixtureSource(rooms("h264", "aac"), BOTH, clock),
        ring=ring,
        clock=clock,
    )
    sources = Sources([capture])
    ring.open(3 * SECOND)
    sources.take(Track.PICTURE)
    until(lambda: len(ring.noted) > 20, patience_s=20)
    assert (sources.takes(Track.PICTURE), sources.takes(Track.SOUND)) == (True, False)
    sources.stop()
    assert not sources.is_running
    assert {packet.track for packet in ring.noted} == {Track.PICTURE}


def test_what_a_bad_source_says_is_what_a_person_reads() -> None:
    clock, ring = SystemClock(), NotedRing()

    def refuse() -> Scripted:
        raise BadSource("no such camera; plug it in")

    capture = Capture(name="camera", tracks=BOTH, open_source=refuse, ring=ring, clock=clock)
    sources = Sources([capture])
    sources.take(Track.PICTURE)
    until(lambda: capture.trouble is not None, patience_s=20)
    late_ns = clock.boot_ns() + 4 * SECOND
    assert sources.troubles(late_ns) == [("picture-sound", "no such camera; plug it in")]
    assert {status.state for status in sources.status(late_ns)} == {"stale"}
    sources.stop()


def test_a_camera_without_its_sound_is_a_silent_microphone_and_not_a_dead_camera() -> None:
    clock, ring = SimClock(), NotedRing()
    capture = Capture(name="camera", tracks=BOTH, open_source=lambda: Scripted([]), ring=ring, clock=clock)
    sources = Sources([capture])
    sources.take(Track.PICTURE)
    clock.now_ns += 4 * SECOND
    capture._last_ns = {Track.PICTURE: clock.now_ns, Track.SOUND: clock.now_ns - 4 * SECOND}
    assert sources.troubles(clock.now_ns) == [("sound", "camera gives no sound")]
    sources.stop()


def test_generations_rise_with_each_opening_and_each_jump() -> None:
    clock, ring = SimClock(), NotedRing()
    ring.open(3 * SECOND)
    capture = Capture(name="camera", tracks=BOTH, open_source=lambda: Scripted([]), ring=ring, clock=clock)
    capture.taken = frozenset(BOTH)

    class Wanted:
        is_wanted = True
        has_read = False

    for jump in (0, 3_600_000):
        stamps = [raw(pts=n * 40 + jump * (n > 1), arrival_ns=START_NS + n * 40 * MILLISECOND) for n in range(4)]
        with pytest.raises(SourceLost):
            capture.read_into_ring(Wanted(), Scripted(stamps))  # type: ignore[arg-type]
    with pytest.raises(SourceLost):
        capture.read_into_ring(Wanted(), Scripted([raw(pts=0, arrival_ns=START_NS)]))  # type: ignore[arg-type]
    assert [packet.generation for packet in ring.noted] == [1, 1, 1, 1, 2, 2, 3, 3, 4]
