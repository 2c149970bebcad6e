"""A network camera on loopback, served by GStreamer: what a clip of it holds, what befalls it, and what it never tells."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Final, Self

import av
import pytest

from edge.clock import SECOND, SystemClock
from edge.config import Config
from edge.errors import BadSource, SourceLost
from edge.packet import SOUND, Format, Packet, RawPacket, Track
from edge.recorder.capture.rtsp import NAME, RtspCamera, RtspSource
from edge.recorder.capture.sources import Sources
from edge.recorder.capture.supervise import Capture
from edge.recorder.capture.timestamps import Timeline
from edge.recorder.ring import Ring
from service.faults import known_codes
from tests.fixtures.room import Audio, Video, av_offsets, read_frames
from tests.recorder.clips import is_forgetting
from tests.recorder.conftest import Rooms
from tests.recorder.room import TestRoom
from tests.recorder.streams import BOTH
from tests.recorder.test_sources import has_parameters
from tests.support.evidence import decoding_errors
from tests.support.processes import CLOCK, free_port, until
from tests.support.rtsp_server import RtspServer, why_not

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))

PICTURE: Final = (Track.PICTURE,)
FAULT_S: Final = 10.0
NASTY: Final = ("admin", "g:h@im/ö#?% &")


@dataclass(frozen=True, slots=True)
class Form:
    """What a camera sends, and how."""

    video: Video
    picture: str
    sound: str | None
    sets_in_band: bool = True
    stamp: int = 1_000_000


FORMS: Final = {
    # Its RTP clock comes round a second after the beginning.
    "H.264 with B-frames, AAC": Form("h264-b", "h264", "aac", stamp=2**32 - 90_000),
    "H.264 with open groups, Opus": Form("h264-open", "h264", "opus"),
    "H.265 without sound": Form("hevc", "hevc", None),
    "H.264, G.711, sets in the SDP alone": Form("h264", "h264", "pcm_mulaw", sets_in_band=False),
}


@pytest.fixture(scope="module")
def films(rooms: Rooms, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Form], Path]:
    """The room as such a camera holds it: several rounds, so that no test outlasts it."""
    folder = tmp_path_factory.mktemp("films")

    def film(form: Form) -> Path:
        path = folder / f"{form.video}-{form.sound}.mkv"
        audio: Audio | None = "opus" if form.sound == "opus" else "pcm" if form.sound else None
        coded = {None: ["-an"], "opus": ["-c:a", "copy"], "aac": ["-c:a", "aac", "-ac", "1"]}
        telephone = ["-c:a", str(form.sound), "-ar", "8000", "-ac", "1"]
        if not path.exists():
            made = rooms(form.video, audio)
            command = ["ffmpeg", "-v", "error", "-stream_loop", "3", "-i", str(made), "-c:v", "copy"]
            subprocess.run([*command, *coded.get(form.sound, telephone), str(path)], check=True)
        return path

    return film


def server(film: Path, form: Form, port: int | None = None) -> RtspServer:
    return RtspServer(
        file=film,
        port=port or free_port(),
        picture=form.picture,
        sound=form.sound,
        has_sets_in_band=form.sets_in_band,
        stamp=form.stamp,
    )


def camera(address: str, tracks: tuple[Track, ...] = BOTH, login: Path | str | None = None) -> RtspCamera:
    name = None if login is None else str(login)
    return RtspCamera(address, login=name, credentials=None, tracks=tracks, clock=CLOCK)


def opened(address: str, tracks: tuple[Track, ...] = BOTH, login: Path | None = None) -> RtspSource:
    return camera(address, tracks, login).open()


def room_at(address: str, folder: Path, tracks: tuple[Track, ...]) -> TestRoom:
    """A recorder whose one camera this is. (Its configuration names a recording, as for all rooms of tests.)"""

    def make(config: Config, ring: Ring, clock: SystemClock) -> Sources:
        opener = camera(address, tracks).open
        return Sources([Capture(name=NAME, tracks=tracks, open_source=opener, ring=ring, clock=clock)])

    return TestRoom(folder=folder, video=folder / "none", make_sources=make)


# --- clips --------------------------------------------------------------------------------------------------------------


class Take:
    """One press in a room with such a camera."""

    def __init__(self, form: Form, film: Path, folder: Path) -> None:
        tracks = BOTH if form.sound else PICTURE
        with server(film, form) as playing, room_at(playing.address, folder, tracks) as room:
            room.until_held()
            incident = room.press(post_s=1.3)
            (clip,) = room.wait_closed()
            self.path, self.facts = room.clip_file(clip), room.facts(clip)
            self.status = room.recorder.status()
            self.asked = playing.read_asked()
            self.seen = room.ring.pictures()
        self.pressed_ns, self.until_ns = incident.pressed_ns, incident.until_ns


class Broken:
    """One press in a room whose camera is unplugged in the middle of the clip, and plugged in again."""

    def __init__(self, form: Form, film: Path, folder: Path) -> None:
        with server(film, form) as playing, room_at(playing.address, folder, BOTH) as room:
            room.until_held(1.0)
            room.press()
            room.until(lambda: room.recorder.status().clip is not None)
            last_ns = CLOCK.boot_ns() + SECOND
            room.until(lambda: room.ring.pictures()[-1].pts_ns > last_ns)
            playing.kill()
            before, killed_ns = len(room.ring.pictures()), CLOCK.boot_ns()
            room.until(lambda: CLOCK.boot_ns() > killed_ns + SECOND)
            playing.start()
            room.until(lambda: len(room.ring.pictures()) > before + 40)
            room.reset()
            (clip,) = room.wait_closed()
            self.path, self.facts = room.clip_file(clip), room.facts(clip)
            self.seen = room.ring.pictures()
            self.reopened = room.recorder.status().sources[0].reopened


@pytest.fixture(scope="module")
def going_on(
    films: Callable[[Form], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[object]]]:
    """Everything that mostly waits, at the same time."""
    shown = {name: films(form) for name, form in FORMS.items()}  # made now: it would starve what runs beside it
    simple = FORMS["H.264, G.711, sets in the SDP alone"]
    plain = films(simple)
    with ThreadPoolExecutor(12) as pool:
        jobs: dict[str, Future[object]] = {
            name: pool.submit(Take, form, shown[name], tmp_path_factory.mktemp("take")) for name, form in FORMS.items()
        }
        jobs["broken"] = pool.submit(Broken, simple, plain, tmp_path_factory.mktemp("broken"))
        for trouble in TROUBLES:
            jobs[trouble.__name__] = pool.submit(trouble, plain, tmp_path_factory.mktemp("trouble"))
        yield jobs


@pytest.mark.parametrize("name", FORMS)
def test_a_press_keeps_every_picture_and_its_sound(going_on: dict[str, Future[object]], name: str) -> None:
    take, form = going_on[name].result(), FORMS[name]
    assert isinstance(take, Take)
    assert [
        line for line in decoding_errors(take.path, is_steady=False).splitlines() if not is_forgetting(line, form.video)
    ] == []
    # Each at its time: the camera's picture of that number, where it was placed on the room's clock. Behind the end
    # come only those that others needed.
    shown_ns = sorted(packet.pts_ns for packet in take.seen)
    frames = read_frames(take.path)
    first_ns, first = shown_ns[frames[0].number], frames[0].number
    frames = [frame for frame in frames if frame.pts_s - frames[0].pts_s < (take.until_ns - first_ns) / SECOND]
    assert [frame.number for frame in frames] == list(range(first, first + len(frames)))
    wanted = [(at_ns - first_ns) / SECOND for at_ns in shown_ns[first : first + len(frames)]]
    assert [frame.pts_s - frames[0].pts_s for frame in frames] == pytest.approx(wanted, abs=3e-5)
    assert take.pressed_ns - 2 * SECOND <= first_ns < take.pressed_ns - SECOND
    assert frames[-1].pts_s - frames[0].pts_s == pytest.approx((take.until_ns - first_ns) / SECOND, abs=0.25)
    assert (take.facts.picture_gaps_ms, take.facts.frames_dropped, take.facts.ended_by) == ((), 0, "until")
    assert take.facts.picture == f"{form.picture} 320x180"
    assert [source.state for source in take.status.sources] == ["good"] * (2 if form.sound else 1)
    assert take.status.sources[0].reopened == 0
    if form.sound:
        offsets = av_offsets(take.path, fps=25)
        assert len(offsets) >= 2
        assert max(abs(offset) for offset in offsets) < 0.020, offsets


def test_a_camera_that_is_replugged_in_a_clip_leaves_a_gap_that_is_told(going_on: dict[str, Future[object]]) -> None:
    take = going_on["broken"].result()
    assert isinstance(take, Broken)
    assert decoding_errors(take.path, is_steady=False) == ""
    frames = read_frames(take.path)
    steps = [(before, after) for before, after in pairwise(frames) if (after.number - before.number) % 200 != 1]
    ((before, after),) = steps
    assert after.number == 0, "it begins anew"
    ((start_ms, length_ms),) = take.facts.picture_gaps_ms
    assert start_ms / 1000 == pytest.approx(before.pts_s - frames[0].pts_s + 0.04, abs=0.01)
    assert length_ms / 1000 == pytest.approx(after.pts_s - before.pts_s - 0.04, abs=0.01)
    assert take.facts.sound_gaps_ms
    assert take.reopened >= 1
    assert len({packet.generation for packet in take.seen}) == 2


def test_key_pictures_that_come_too_seldom_are_a_fault_that_names_the_setting(rooms: Rooms, tmp_path: Path) -> None:
    film = rooms("h264", "aac", gop=200)
    with server(film, Form("h264", "h264", None)) as playing, room_at(playing.address, tmp_path, PICTURE) as room:
        room.until_held(1.0)
        assert room.recorder.status().faults == ()
        room.until(lambda: bool(room.recorder.status().faults))
        (fault,) = room.recorder.status().faults
        assert fault.code == "key-frames"
        assert "key-frame interval" in fault.fix
        assert room.ring.held_ns(CLOCK.boot_ns()) == 0 or "less than half of 2 s" in fault.detail
    assert ("recorder", "key-frames") in known_codes()


# --- what befalls a camera ----------------------------------------------------------------------------------------------


class Watched:
    """A camera that is taken, and what is told of it. `fault` and `recovery` wait, and say how long it took."""

    def __init__(self, address: str, login: Path | None = None) -> None:
        self._ring = Ring(cap_bytes=8 << 20)
        self._ring.open(3 * SECOND)
        capture = Capture(
            name=NAME, tracks=PICTURE, open_source=camera(address, PICTURE, login).open, ring=self._ring, clock=CLOCK
        )
        self._sources = Sources([capture])

    def __enter__(self) -> Self:
        self._sources.take(Track.PICTURE)
        return self

    def __exit__(self, *_: object) -> None:
        self._sources.stop()
        self._ring.close()

    def fault(self) -> str:
        """The one fault, when it is told."""
        self._wait(lambda: any(NAME in detail for _, detail in self._sources.troubles(CLOCK.boot_ns())))
        ((tracks, detail),) = self._sources.troubles(CLOCK.boot_ns())
        assert tracks == "picture"
        return detail

    def recovers(self) -> bool:
        self._wait(lambda: not self._sources.troubles(CLOCK.boot_ns()) and self._ring.held_bytes > 0)
        return True

    def _wait(self, is_so: Callable[[], bool]) -> None:
        def look() -> bool:
            self._sources.check(CLOCK.boot_ns())
            return is_so()

        until(look, patience_s=FAULT_S, every_s=0.1)


@dataclass(frozen=True, slots=True)
class Told:
    """What was told of a trouble that was then mended, and whether the camera came back by itself."""

    fault: str
    came_back: bool


SIMPLE: Final = FORMS["H.264, G.711, sets in the SDP alone"]


def wrong_password(film: Path, folder: Path) -> Told:
    login = folder / "login"
    login.touch(mode=0o600)
    login.write_text("admin:wrong\n")
    playing = server(film, SIMPLE)
    playing.login = NASTY
    with playing, Watched(playing.address, login) as watched:
        fault = watched.fault()
        login.write_text(":".join(NASTY) + "\n")
        return Told(fault, watched.recovers())


def wrong_path(film: Path, folder: Path) -> Told:
    playing = server(film, SIMPLE)
    address = playing.address
    playing.path = "elsewhere"
    with playing, Watched(address) as watched:
        fault = watched.fault()
        playing.kill()
        playing.path = "cam"
        playing.start()
        return Told(fault, watched.recovers())


def nobody_there(film: Path, folder: Path) -> Told:
    playing = server(film, SIMPLE)
    with Watched(playing.address) as watched:
        fault = watched.fault()
        with playing:
            return Told(fault, watched.recovers())


def dead_host(film: Path, folder: Path) -> Told:
    """Nothing answers, not even to refuse: a queue of callers that is full."""
    with ExitStack() as stack:
        deaf = stack.enter_context(socket.socket())
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for _ in range(2):
            caller = stack.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(deaf.getsockname())
        playing = server(film, SIMPLE, deaf.getsockname()[1])
        with Watched(playing.address) as watched:
            fault = watched.fault()
            stack.close()
            with playing:
                return Told(fault, watched.recovers())


def accepts_and_says_nothing(film: Path, folder: Path) -> Told:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        playing = server(film, SIMPLE, mute.getsockname()[1])
        with Watched(playing.address) as watched:
            fault = watched.fault()
            mute.close()
            with playing:
                return Told(fault, watched.recovers())


def hangs_in_the_middle(film: Path, folder: Path) -> Told:
    with server(film, SIMPLE) as playing, Watched(playing.address) as watched:
        assert watched.recovers()
        playing.freeze(is_frozen=True)
        fault = watched.fault()
        playing.freeze(is_frozen=False)
        return Told(fault, watched.recovers())


TROUBLES: Final = (wrong_password, wrong_path, nobody_there, dead_host, accepts_and_says_nothing, hangs_in_the_middle)
FAULTS: Final = {
    "wrong_password": "refuses the login; put the right user:password into what camera.login names",
    "wrong_path": "has no such path; check camera.source",
    "nobody_there": "does not take calls at this port; check that RTSP is on, and camera.source",
}


@pytest.mark.parametrize("trouble", [trouble.__name__ for trouble in TROUBLES])
def test_a_camera_in_trouble_is_a_fault_within_ten_seconds_and_comes_back_by_itself(
    going_on: dict[str, Future[object]], trouble: str
) -> None:
    told = going_on[trouble].result()
    assert isinstance(told, Told)
    assert told.came_back
    expected = FAULTS.get(trouble)
    assert told.fault in ([f"{NAME}: {expected}"] if expected else [f"{NAME} gives nothing", f"{NAME}: {UNANSWERED}"])
    assert "127.0.0.1" not in told.fault


UNANSWERED: Final = "does not answer; check its power and cable, and camera.source"


# --- what is asked of a camera, and what it says -------------------------------------------------------------------------


def test_sound_that_is_off_is_never_set_up(films: Callable[[Form], Path]) -> None:
    for tracks, streams in ((PICTURE, ["SETUP cam/stream=0"]), (BOTH, ["SETUP cam/stream=0", "SETUP cam/stream=1"])):
        with server(films(SIMPLE), SIMPLE) as playing:
            source = opened(playing.address, tracks)
            packets = [source.read() for _ in range(30)]
            source.close()
            until(lambda: "TEARDOWN cam" in playing.read_asked())
            assert {packet.track for packet in packets} == set(tracks)
            assert [line for line in playing.asked if line.startswith("SETUP")] == streams


@contextlib.contextmanager
def between(port: int, alter: Callable[[bytes], bytes]) -> Iterator[str]:
    """The address of a go-between that alters what the server at `port` answers."""
    front = socket.create_server(("127.0.0.1", 0))
    ends: list[socket.socket] = [front]

    def carry(come: socket.socket, go: socket.socket, change: Callable[[bytes], bytes]) -> None:
        with contextlib.suppress(OSError):
            while data := come.recv(65536):
                go.sendall(change(data))
            go.shutdown(socket.SHUT_WR)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = front.accept()
                back = socket.create_connection(("127.0.0.1", port))
                ends.extend((client, back))
                threading.Thread(target=carry, args=(client, back, bytes), daemon=True).start()
                threading.Thread(target=carry, args=(back, client, alter), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"rtsp://127.0.0.1:{front.getsockname()[1]}/cam"
    finally:
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


def beginning_in_mid_group(film: Path, path: Path) -> Path:
    """The film without its first pictures: what a viewer gets who comes when a camera has long been running."""
    with av.open(str(film)) as given, av.open(str(path), "w") as made:
        stream = made.add_stream_from_template(given.streams.video[0])
        for packet in list(given.demux(given.streams.video[0]))[12:]:
            if packet.size:
                packet.stream = stream
                made.mux(packet)
    return path


@pytest.mark.parametrize("name", ["H.264 with B-frames, AAC", "H.265 without sound"])
def test_a_stream_without_sets_in_the_sdp_that_is_met_in_mid_group_is_whole_from_its_next_key_picture(
    films: Callable[[Form], Path], tmp_path: Path, name: str
) -> None:
    form = FORMS[name]
    film = beginning_in_mid_group(films(form), tmp_path / "film.mkv")
    playing = server(film, replace(form, sound=None))
    with playing, between(playing.port, lambda data: data.replace(b"sprop-", b"sprap-")) as address:
        source = opened(address, PICTURE)
        packets = [source.read() for _ in range(45)]
        source.close()
    assert packets[0].is_key
    keys = [packet for packet in packets if packet.is_key]
    assert len(keys) == 2
    assert all(has_parameters(key.data, form.video) for key in keys)
    assert {packet.format for packet in packets} == {Format(codec=form.picture, width=320, height=180)}
    placed = place_all(packets)
    assert len(placed) == len(packets)
    assert {packet.generation for packet in placed} == {1}


def place_all(packets: list[RawPacket]) -> list[Packet]:
    timeline = Timeline(1)
    return [placed for packet in packets if (placed := timeline.place(packet)) is not None]


def test_sound_of_any_kind_comes_as_the_rings_and_beside_the_first_picture(films: Callable[[Form], Path]) -> None:
    with server(films(SIMPLE), SIMPLE) as playing:
        source = opened(playing.address)
        packets = place_all([source.read() for _ in range(60)])
        source.close()
    assert packets[0].track is Track.PICTURE
    sounds = [packet for packet in packets if packet.track is Track.SOUND]
    assert {packet.format for packet in sounds} == {SOUND}
    assert sounds[0].pts_ns - packets[0].pts_ns < SECOND // 5


def test_no_picture_is_decoded_not_even_to_see_what_it_is(films: Callable[[Form], Path]) -> None:
    form = FORMS["H.265 without sound"]
    level = av.logging.get_level()
    av.logging.set_level(av.logging.DEBUG)
    try:
        with server(films(form), form) as playing, av.logging.Capture(local=False) as said:
            source = opened(playing.address, PICTURE)
            for _ in range(10):
                source.read()
            source.close()
    finally:
        av.logging.set_level(level)
    assert any("not on whitelist" in text for _, name, text in said if name == "hevc")
    assert not any("Output frame" in text or "thread" in text for _, name, text in said if name == "hevc")


def test_closing_ends_the_reading_and_hangs_up(films: Callable[[Form], Path]) -> None:
    with server(films(SIMPLE), SIMPLE) as playing:
        source = opened(playing.address, PICTURE)
        source.read()
        ended = threading.Event()

        def read() -> None:
            with contextlib.suppress(SourceLost):
                while True:
                    source.read()
            ended.set()

        threading.Thread(target=read, daemon=True).start()
        source.close()
        assert ended.wait(5)
        source.close()
        with pytest.raises(SourceLost, match="closed"):
            source.read()
        until(lambda: "TEARDOWN cam" in playing.read_asked())


# --- what is never told -------------------------------------------------------------------------------------------------

# A process of its own, with all that libraries may write: what Python shows of everything at hand, and both descriptors.
CHILD: Final = """
import logging, sys, traceback
from pathlib import Path
from edge.clock import SystemClock
from edge.config import Config
from edge.errors import SourceError
from edge.packet import Track
from edge.recorder.capture.login import read_login
from edge.recorder.capture.rtsp import RtspCamera

logging.basicConfig(level=1)
clock = SystemClock()
for address, login in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
    camera = RtspCamera(address, login=login, credentials=None, tracks=list(Track), clock=clock)
    print(camera, repr(camera), read_login(login, None), flush=True)
    try:
        source = camera.open()
        print(source, repr(source), source.read(), source.read())
        source.close()
        source.read()
    except SourceError as err:
        while err is not None:
            print(err, repr(err), err.args, vars(err))
            traceback.print_exception(err)
            err = err.__cause__ or err.__context__
    print("*** next ***", flush=True)
"""


@pytest.mark.parametrize("is_basic", [True, False], ids=["basic", "digest"])
def test_a_password_and_an_address_are_nowhere_in_what_is_said(
    films: Callable[[Form], Path], tmp_path: Path, *, is_basic: bool
) -> None:
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    for path, text in ((right, ":".join(NASTY)), (wrong, "somebody:s3cr3t-w0rd")):
        path.touch(mode=0o600)
        path.write_text(text)
    playing = server(films(SIMPLE), SIMPLE)
    playing.login, playing.is_basic = NASTY, is_basic
    dead = f"rtsp://127.0.0.1:{free_port()}/nobody-there"
    with playing:
        tries = [(playing.address, right), (playing.address, wrong), (dead, wrong), (f"{playing.address}-not", right)]
        done = subprocess.run(
            [sys.executable, "-c", CHILD, *(str(part) for each in tries for part in each)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert said.count("*** next ***") == 4
    assert "closed" in said, "the right login was let in"
    assert "refuses the login" in said
    for secret in (NASTY[1], "g%3Ah", "h@im", "s3cr3t", "somebody", "127.0.0.1", "nobody-there"):
        assert secret not in said


def test_a_login_that_was_refused_is_not_tried_again_at_once(films: Callable[[Form], Path], tmp_path: Path) -> None:
    """A camera locks a user out who is refused too often."""
    login = tmp_path / "login"
    login.touch(mode=0o600)
    login.write_text("admin:wrong")
    playing = server(films(SIMPLE), SIMPLE)
    playing.login = ("admin", "right")
    with playing:
        network = camera(playing.address, PICTURE, login)
        for _ in range(2):
            with pytest.raises(BadSource, match="refuses the login"):
                network.open()
            playing.kill()  # the second answer comes without asking anybody
        playing.start()
        login.write_text("admin:right")
        source = network.open()
        assert source.read().track is Track.PICTURE
        source.close()
