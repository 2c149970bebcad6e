"""A USB camera: one contract for a stand-in and for the real OpenCV on a camera in user space, and any device.

Where there is a v4l2loopback device (tests/vm) the contract is held on it too.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

import av
import cv2
import numpy as np
import pytest

from edge.clock import MILLISECOND, SECOND, SystemClock
from edge.config import Config
from edge.errors import BadSource, SourceLost
from edge.packet import Format, Packet, RawPacket, Track
from edge.recorder.capture.encode import PictureEncoder
from edge.recorder.capture.sources import sources
from edge.recorder.capture.supervise import Capture
from edge.recorder.capture.timestamps import Timeline
from edge.recorder.capture.v4l2 import Newest, V4l2Camera
from edge.recorder.mux import Mux
from edge.recorder.ring import Ring
from tests.recorder.streams import START_NS, SimClock, unit_kinds
from tests.support.cameras import (
    LOOPBACK,
    SIZE,
    Pixels,
    StandIn,
    Taken,
    drawn,
    jpeg,
    open_stand_in,
    read_all,
    taken_from_device,
    taken_from_loopback,
    taken_from_opencv,
    taken_from_stand_in,
    without_tables,
)

Kind: TypeAlias = Callable[..., Taken]
ROOT = Path(__file__).parents[2]
CAN_COMPILE = shutil.which("cc") is not None and Path("/usr/include/linux/videodev2.h").exists()
JPEGS = [jpeg(drawn(number)) for number in range(6)]
BY_ID = "v4l2:/dev/v4l/by-id/usb-camera-index0"


KINDS = [
    pytest.param(taken_from_stand_in, id="stand-in"),
    pytest.param(
        taken_from_opencv,
        id="opencv",
        marks=pytest.mark.skipif(not CAN_COMPILE, reason="no C compiler for the camera in user space"),
    ),
]
if LOOPBACK.exists():
    KINDS.append(pytest.param(taken_from_loopback, id="loopback"))


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    made: Kind = request.param
    return made


def good(packets: Sequence[RawPacket]) -> list[RawPacket]:
    return [packet for packet in packets if packet.data]


def pixels_of(data: bytes) -> Pixels:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)  # type: ignore[return-value]


def placed(packets: Sequence[RawPacket]) -> tuple[list[Packet], Timeline]:
    timeline = Timeline(1)
    return [found for packet in packets if (found := timeline.place(packet)) is not None], timeline


def decoded(packets: Sequence[RawPacket]) -> list[Pixels]:
    """What a player shows of a clip of these."""
    mux = Mux(packets[0].format, has_sound=False)
    for packet, _ in zip(placed(packets)[0], packets, strict=True):
        at_ns = packet.pts_ns - (packets[0].pts or 0) * 1000 + SECOND
        mux.put_picture(packet.data, pts_ns=at_ns, dts_ns=at_ns, duration_ns=packet.duration_ns, is_key=packet.is_key)
    mux.close()
    with av.open(io.BytesIO(mux.take()), mode="r") as clip:
        return [frame.to_ndarray(format="bgr24").astype(np.uint8) for frame in clip.decode(video=0)]


# --- the contract: stand-in and real OpenCV


def test_offered_jpeg_is_passed_on_undecoded_with_the_driver_s_own_time(kind: Kind, tmp_path: Path) -> None:
    bare = without_tables(JPEGS[1])
    taken = kind(tmp_path, [JPEGS[0], bare, *JPEGS[2:]], end="again", form="MJPG", count=12)
    assert taken.error == ""
    assert {packet.format for packet in taken.packets} == {Format(codec="mjpeg", width=SIZE[0], height=SIZE[1])}
    shown = {packet.data for packet in taken.packets}
    assert set(JPEGS) - {JPEGS[1]} < shown
    (mended,) = shown - set(JPEGS)
    assert len(mended) == len(bare) + 420, "the tables that the camera left out are in"
    assert np.array_equal(pixels_of(mended), pixels_of(JPEGS[1]))
    assert all(packet.is_key and packet.track is Track.PICTURE for packet in taken.packets)
    found, timeline = placed(taken.packets)
    assert (len(found), timeline.jumps) == (12, 0)
    for packet, raw in zip(found, taken.packets, strict=True):
        assert packet.pts_ns == (raw.pts or 0) * 1000, "the driver's clock is taken as it is, not by arrival"
    for before, after in pairwise(found):
        assert after.duration_ns == after.pts_ns - before.pts_ns, "a picture is shown for as long as the stamps say"


def test_a_cut_picture_is_dropped_and_counted_and_the_next_one_is_whole(kind: Kind, tmp_path: Path) -> None:
    pictures = [JPEGS[0], JPEGS[1], JPEGS[2][:900], JPEGS[3], JPEGS[4]]
    taken = kind(tmp_path, pictures, end="gone", form="MJPG", count=50)
    found, timeline = placed(taken.packets)
    assert timeline.rejected == 1
    assert [packet.data for packet in found][-3:] == [JPEGS[1], JPEGS[3], JPEGS[4]]


def test_an_unplugged_camera_is_lost_in_one_line(kind: Kind, tmp_path: Path) -> None:
    taken = kind(tmp_path, JPEGS, end="gone", form="MJPG", count=50)
    assert JPEGS[5] in [packet.data for packet in taken.packets]
    assert "gives no picture" in taken.error
    assert "\n" not in taken.error


def test_a_camera_that_falls_silent_is_lost_and_not_waited_for(kind: Kind, tmp_path: Path) -> None:
    taken = kind(tmp_path, JPEGS, end="silent", form="MJPG", count=50)
    assert JPEGS[5] in [packet.data for packet in taken.packets]
    assert "gives no picture" in taken.error


def test_another_size_is_another_form(kind: Kind, tmp_path: Path) -> None:
    large = [jpeg(drawn(number, (96, 64))) for number in range(3)]
    taken = kind(tmp_path, [*JPEGS, *large], end="gone", form="MJPG", count=50)
    sizes = [(packet.format.width, packet.format.height) for packet in taken.packets]
    assert sizes[-4:] == [SIZE, (96, 64), (96, 64), (96, 64)]


def test_raw_pictures_become_h264_that_shows_them(kind: Kind, tmp_path: Path) -> None:
    shades = [40 + 20 * number for number in range(8)]
    noise = np.random.default_rng(3).integers(0, 9, SIZE[0] * SIZE[1])
    pictures = []
    for shade in shades:
        yuyv = np.full(SIZE[0] * SIZE[1] * 2, 128, np.uint8)
        yuyv[::2] = shade + noise
        pictures.append(yuyv.tobytes())
    taken = kind(tmp_path, pictures, end="gone", form="YUYV", count=50)
    assert {packet.format for packet in taken.packets} == {Format(codec="h264", width=SIZE[0], height=SIZE[1])}
    assert taken.packets[0].is_key
    seen = [float(picture.mean()) for picture in decoded(taken.packets)]
    wanted = [(shade + 4 - 16) * 255 / 219 for shade in shades][-len(seen) :]
    assert len(seen) >= 7
    assert seen == pytest.approx(wanted, abs=6)


def test_a_camera_that_is_not_there_is_told_in_one_line_that_says_what_to_do(tmp_path: Path) -> None:
    for error in (
        taken_from_device(tmp_path / "video7", count=1).error,
        _refusal(StandIn(JPEGS, is_there=False)),
    ):
        assert "plug it in" in error
        assert "\n" not in error


def _refusal(stand_in: StandIn) -> str:
    with pytest.raises(SourceLost) as refused:
        open_stand_in(stand_in)
    return str(refused.value)


@pytest.mark.parametrize("path", sorted(Path("/dev/v4l/by-id").glob("*-index0")) or [None], ids=str)
def test_a_real_device_gives_pictures_in_order(path: Path | None) -> None:
    if path is None:
        pytest.skip("no USB camera on this machine")
    taken = taken_from_device(path, count=20, size=(640, 480))
    if "cannot be opened" in taken.error:
        pytest.skip(f"{path} is in use, or not for this user")
    found, _ = placed(taken.packets)
    assert len(found) >= 10
    assert len({packet.format for packet in found}) == 1
    assert all(after.dts_ns > before.dts_ns for before, after in pairwise(found))


# --- what cameras were seen to do, in simulated time


def test_the_same_picture_for_ever_is_no_camera_and_stays_none_when_opened_again() -> None:
    newest, clock = Newest(), SimClock()
    stand_in = StandIn(JPEGS, end="same", clock=clock)
    first = read_all(open_stand_in(stand_in, newest=newest), 10_000)
    assert len(good(first.packets)) == len(JPEGS)
    assert "the same picture again and again" in first.error
    assert clock.now_ns - (good(first.packets)[-1].arrival_ns) < 3 * SECOND, "told before it counts as stale"
    again = read_all(open_stand_in(stand_in, newest=newest), 10_000)
    assert good(again.packets) == []
    assert "the same picture again and again" in again.error


def test_a_camera_that_repeats_a_picture_now_and_then_goes_on() -> None:
    """Webcams do so in the dark, to keep up their rate."""
    doubled = [picture for picture in JPEGS for _ in range(2)]
    taken = read_all(open_stand_in(StandIn(doubled)), 400)
    found, timeline = placed(taken.packets)
    assert taken.error == ""
    assert (len(found), timeline.rejected, timeline.jumps) == (200, 200, 0)


@pytest.mark.parametrize("is_raw", [False, True])
def test_a_dark_room_at_night_raises_no_alarm(*, is_raw: bool) -> None:
    dark = np.full((240, 320, 3), 3, np.uint8)
    stand_in = StandIn([dark if is_raw else jpeg(dark)], form="YUYV" if is_raw else "MJPG")
    taken = read_all(open_stand_in(stand_in), 500)
    assert taken.error == ""
    assert len(good(taken.packets)) == 500


def test_a_driver_that_gives_the_same_dark_picture_with_the_same_stamp_is_stuck() -> None:
    taken = read_all(open_stand_in(StandIn([jpeg(np.full((240, 320, 3), 3, np.uint8))], end="stuck")), 500)
    assert len(good(taken.packets)) == 1
    assert "the same picture" in taken.error


def test_nothing_but_broken_pictures_is_no_camera() -> None:
    cut = [picture[:-3] for picture in JPEGS]
    taken = read_all(open_stand_in(StandIn(cut)), 10_000)
    assert good(taken.packets) == []
    assert "broken pictures" in taken.error
    assert placed(taken.packets)[1].rejected == len(taken.packets) > 50


@pytest.mark.parametrize(
    ("stamp", "is_kept"),
    [
        (None, True),
        (lambda seen_ns: (seen_ns - 600 * SECOND) / 1e6, False),  # the machine slept for ten minutes
        (lambda _: 0.0, False),  # the driver gives none
        (lambda _: 1_234.0, False),  # it gives one that stands still
        (lambda seen_ns: seen_ns / 1e6 + 3_600_000, False),  # a clock ahead of ours
    ],
    ids=["monotonic", "slept", "none", "still", "ahead"],
)
def test_whatever_the_driver_s_clock_pictures_lie_near_their_arrival_in_order(
    stamp: Callable[[int], float] | None, *, is_kept: bool
) -> None:
    late_ns = 30 * MILLISECOND
    stand_in = StandIn(JPEGS, stamp=stamp, late_s=late_ns / SECOND)
    taken = read_all(open_stand_in(stand_in), 300)
    found, timeline = placed(taken.packets)
    assert len(found) >= 299
    assert timeline.jumps <= 1
    for before_last, packet in enumerate(reversed(found[2:])):
        came_ns = START_NS + (300 - before_last) * 20 * MILLISECOND
        assert abs(packet.pts_ns - (came_ns - late_ns * is_kept)) <= 2_000
    steps = {round((after.pts_ns - before.pts_ns) / MILLISECOND) for before, after in pairwise(found[2:])}
    assert steps == {20}


def test_raw_pictures_have_a_key_each_second_whatever_the_rate_and_no_b_frames() -> None:
    for period_s, count in ((1 / 15, 60), (0.3, 20)):
        stand_in = StandIn([drawn(number, (320, 240)) for number in range(7)], form="YUYV", period_s=period_s)
        packets = read_all(open_stand_in(stand_in), count).packets
        keys = [packet.pts or 0 for packet in packets if packet.is_key]
        assert len(keys) >= 3
        assert all(1_000_000 <= after - before < 1_000_000 + period_s * 1e6 + 1 for before, after in pairwise(keys))
        assert all({7, 8, 5} <= set(unit_kinds(packet.data)) for packet in packets if packet.is_key)
        assert [packet.pts for packet in packets] == sorted({packet.pts or 0 for packet in packets})
        assert len(decoded(packets)) == len(packets)


def test_raw_pictures_of_another_size_are_another_form() -> None:
    stand_in = StandIn([drawn(1), drawn(2), drawn(3, (97, 65)), drawn(4, (97, 65))], form="YUYV", end="gone")
    packets = read_all(open_stand_in(stand_in), 10).packets
    assert [str(packet.format) for packet in packets] == ["h264 64x48"] * 2 + ["h264 96x64"] * 2
    assert packets[2].is_key


def test_an_encoder_that_is_not_there_or_cannot_encode_is_passed_over() -> None:
    pixels = drawn(1)
    names = ["no-such-encoder", "h264_v4l2m2m", "libx264"]
    (made,) = PictureEncoder(width=SIZE[0], height=SIZE[1], fps=15, names=names).encode(pixels, 0)
    assert made.is_key
    with pytest.raises(BadSource, match="choose a camera that offers MJPEG") as refused:
        PictureEncoder(width=SIZE[0], height=SIZE[1], fps=15, names=["no-such-encoder"])
    assert "\n" not in str(refused.value)


def test_a_read_that_hangs_is_given_up_replaced_and_its_late_picture_refused() -> None:
    hung, fresh = StandIn(JPEGS, end="hang"), StandIn([jpeg(drawn(99))] * 2, end="gone")
    clock, ring = SimClock(), Ring(cap_bytes=8 << 20)
    ring.open(60 * SECOND)
    newest, turns = Newest(), iter([hung, fresh, fresh])
    taken_up = threading.Event()

    def open_source() -> V4l2Camera:
        stand_in = next(turns)
        stand_in.clock = clock
        if stand_in is fresh:
            taken_up.set()
        return open_stand_in(stand_in, newest=newest)

    capture = Capture(name="camera", tracks=[Track.PICTURE], open_source=open_source, ring=ring, clock=clock)
    capture.taken = frozenset([Track.PICTURE])
    capture.start()
    assert hung.hangs.wait(10)
    held = ring.cursor()
    assert len(held.read(patience_s=0, limit_bytes=1 << 20)) == len(JPEGS)
    capture.check(clock.now_ns + 9 * SECOND)
    assert taken_up.wait(10)
    assert hung.released == 0, "a device is never released in the midst of a read"
    (packet,) = held.read(patience_s=10, limit_bytes=1)
    assert packet.data == jpeg(drawn(99))
    assert packet.generation == 2
    before = ring.held_bytes
    hung.pictures = [*hung.pictures, jpeg(drawn(100))]
    hung.release.set()
    patience = SystemClock()
    while not hung.released:
        patience.sleep(0.01)
    assert ring.held_bytes == before, "what came late is not put into the ring"
    capture.stop()


def test_closing_from_another_thread_waits_for_the_read_and_lets_the_device_go() -> None:
    stand_in = StandIn(JPEGS)
    camera = open_stand_in(stand_in)
    camera.read()
    camera.close()
    camera.close()
    assert stand_in.released == 1
    with pytest.raises(SourceLost, match="closed"):
        camera.read()


def config_of(camera: str, microphone: dict[str, str]) -> Config:
    return Config.model_validate(
        {
            "room": {"name": "x"},
            "panel": {"panic": {"pin": 17}, "alarm": {"pin": 5}},
            "camera": {"source": camera},
            "microphone": microphone,
        }
    )


def test_a_usb_camera_and_its_microphone_are_two_sources() -> None:
    wanted = config_of(BY_ID, {"mode": "in_ring", "source": "alsa:USB Camera"})
    found = sources(wanted, Ring(cap_bytes=8 << 20), SimClock())
    assert [(capture.name, capture.tracks) for capture in found.captures] == [
        ("camera usb-camera-index0", (Track.PICTURE,)),
        ("microphone USB Camera", (Track.SOUND,)),
    ]
    assert not found.is_running


@pytest.mark.parametrize(
    ("camera", "microphone", "imported"),
    [
        ("fixture:/x", {"mode": "in_ring", "source": "alsa:x"}, []),
        (BY_ID, {"mode": "from_press", "source": "alsa:x"}, ["cv2"]),
    ],
)
def test_a_library_is_imported_only_for_what_is_configured(
    camera: str, microphone: dict[str, str], imported: list[str]
) -> None:
    """The sound library not even then: importing it looks into every microphone, so it waits for the opening."""
    script = f"""\
import sys
import edge.recorder.process
from edge.clock import SystemClock
from edge.config import Config
from edge.recorder.capture.sources import sources
from edge.recorder.ring import Ring
found = sources(Config.model_validate({{
    "room": {{"name": "x"}}, "panel": {{"panic": {{"pin": 17}}, "alarm": {{"pin": 5}}}},
    "camera": {{"source": {camera!r}}}, "microphone": {microphone!r},
}}), Ring(cap_bytes=8 << 20), SystemClock())
print(*[name for name in ("cv2", "sounddevice") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == imported
