"""The Raspberry Pi camera: one contract for a stand-in with either chip, and for the real library and camera where there are."""

from __future__ import annotations

import inspect
import io
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge.clock import MILLISECOND, SECOND, SystemClock
from edge.config import Config
from edge.errors import BadSource, SourceError, SourceLost
from edge.packet import Format, Packet, RawPacket, Track
from edge.recorder.capture import picamera
from edge.recorder.capture.backlog import Backlog, Seen
from edge.recorder.capture.picamera import Library, PiCamera, load
from edge.recorder.capture.sources import sources
from edge.recorder.capture.supervise import STALE_NS, Capture
from edge.recorder.capture.timestamps import Timeline
from edge.recorder.mux import Mux
from edge.recorder.ring import Ring
from tests.recorder.streams import IS_LONG, START_NS, SimClock, unit_kinds
from tests.support.cameras import ROOT, Pixels, drawn, jpeg
from tests.support.picameras import FPS, RIBBON, SIZE, USB, StandIn, read_some, room

CHIPS = ["VC4", "PISP"]
PERIOD_US = 1_000_000 // FPS


def real_library() -> Library:
    try:
        return load()
    except BadSource as err:
        pytest.skip(str(err))


def good(packets: Sequence[RawPacket]) -> list[RawPacket]:
    return [packet for packet in packets if packet.data]


def placed(packets: Sequence[RawPacket]) -> tuple[list[Packet], Timeline]:
    timeline = Timeline(1)
    return [found for packet in packets if (found := timeline.place(packet)) is not None], timeline


def decoded(packets: Sequence[RawPacket]) -> list[Pixels]:
    """What a player shows of a clip of these."""
    mux = Mux(packets[0].format, has_sound=False)
    zero_us = packets[0].pts or 0
    for packet in packets:
        at_ns = ((packet.pts or 0) - zero_us) * 1000
        duration_ns = packet.duration * 1000
        mux.put_picture(packet.data, pts_ns=at_ns, dts_ns=at_ns, duration_ns=duration_ns, is_key=packet.is_key)
    mux.close()
    with av.open(io.BytesIO(mux.take()), mode="r") as clip:
        return [frame.to_ndarray(format="bgr24").astype(np.uint8) for frame in clip.decode(video=0)]


def opened_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def refusal(camera: PiCamera) -> str:
    with pytest.raises(SourceError) as refused:
        camera.open()
    line = str(refused.value)
    assert "\n" not in line
    assert line.startswith("Raspberry Pi camera: ")
    return line


# --- the contract


@pytest.mark.parametrize("kind", [*CHIPS, "real"])
def test_every_call_is_one_that_the_library_takes(kind: str) -> None:
    library = real_library() if kind == "real" else StandIn(chip=kind).library()
    this = object()
    inspect.signature(library.camera.global_camera_info).bind()
    inspect.signature(library.camera.__init__).bind(this, 0)
    inspect.signature(library.camera.create_video_configuration).bind(
        this, main={"size": SIZE, "format": "YUV420"}, controls={}
    )
    inspect.signature(library.camera.configure).bind(this, {})
    inspect.signature(library.camera.start_recording).bind(this, object(), object())
    for name in ("stop_recording", "close"):
        inspect.signature(getattr(library.camera, name)).bind(this)
    encoders = dict(library.encoders)
    inspect.signature(encoders["h264"].__init__).bind(this, bitrate=1, repeat=True, iperiod=1)
    inspect.signature(encoders["mjpeg"].__init__).bind(this, bitrate=1)
    given = list(inspect.signature(library.output.outputframe).parameters)
    taken = list(inspect.signature(picamera._output(library.output, print).outputframe).parameters)
    assert given[1:] == taken[: len(given) - 1], "an output is called with these"
    assert issubclass(type(picamera._output(library.output, print)), library.output), (
        "it takes nothing but its own kind"
    )


def packets_of_stand_in(chip: str) -> tuple[list[RawPacket], tuple[int, int], int]:
    stand_in = StandIn(chip=chip)
    camera = room(stand_in).open()
    packets = []
    for _ in range(4):
        stand_in.give(FPS)
        packets += read_some(camera, FPS)
    camera.close()
    return packets, SIZE, FPS


def packets_of_real_camera() -> tuple[list[RawPacket], tuple[int, int], int]:
    real_library()
    size, fps = (1280, 720), 15
    try:
        camera = PiCamera(width=size[0], height=size[1], fps=fps, clock=SystemClock()).open()
    except SourceLost as err:
        pytest.skip(str(err))
    packets = read_some(camera, 4 * fps)
    camera.close()
    return packets, size, fps


@pytest.mark.parametrize("kind", [*CHIPS, "real"])
def test_pictures_can_be_begun_at_each_second_and_are_dated_by_the_sensor(kind: str) -> None:
    packets, size, fps = packets_of_real_camera() if kind == "real" else packets_of_stand_in(kind)
    assert len(packets) == 4 * fps
    assert {packet.format for packet in packets} == {Format(codec="h264", width=size[0], height=size[1])}
    assert {packet.track for packet in packets} == {Track.PICTURE}
    keys = [number for number, packet in enumerate(packets) if packet.is_key]
    assert keys == list(range(0, 4 * fps, fps)), "a key picture each second"
    assert all(unit_kinds(packets[number].data)[:2] == [7, 8] for number in keys), "with its parameter sets in front"
    assert all(after.pts > before.pts for before, after in pairwise(packets) if before.pts and after.pts), "no B-frames"
    found, timeline = placed(packets)
    assert (len(found), timeline.jumps, timeline.rejected) == (4 * fps, 0, 0)
    assert [packet.pts_ns for packet in found] == [(packet.pts or 0) * 1000 for packet in packets]
    assert len(decoded(packets[keys[2] :])) == 2 * fps


# --- what it gives


def test_pictures_carry_the_moment_at_which_the_sensor_saw_them() -> None:
    stand_in = StandIn(late_s=0.4)
    camera = room(stand_in).open()
    seen_ns = stand_in.give(2 * FPS)
    found, _ = placed(read_some(camera, 2 * FPS))
    assert [packet.pts_ns for packet in found] == [at_ns // 1000 * 1000 for at_ns in seen_ns]
    assert [packet.duration_ns for packet in found] == [PERIOD_US * 1000] * len(found)
    camera.close()


@pytest.mark.parametrize(
    "wrong",
    [
        {"first_stamp_ns": 7 * SECOND},
        {"first_stamp_ns": 9_000 * SECOND},
        {"has_stamps": False},
        {"is_stamp_still": True},
    ],
    ids=["slept", "ahead", "none", "still"],
)
def test_whatever_the_sensor_s_clock_pictures_lie_near_their_arrival_in_order(wrong: dict[str, Any]) -> None:
    stand_in = StandIn(late_s=0.0, **wrong)
    camera = room(stand_in).open()
    packets = []
    for _ in range(10):
        stand_in.give(FPS)
        packets += read_some(camera, FPS)
    found, timeline = placed(packets)
    assert len(found) == 10 * FPS
    assert timeline.jumps <= 1
    for number, packet in enumerate(found):
        assert abs(packet.pts_ns - (START_NS + (number + 1) * SECOND // FPS)) <= 2 * MILLISECOND
    camera.close()


def test_an_older_library_tells_less_and_is_understood() -> None:
    stand_in = StandIn(is_old=True)
    camera = room(stand_in).open()
    stand_in.give(FPS)
    assert len(good(read_some(camera, FPS))) == FPS
    camera.close()


def test_an_odd_size_is_made_even() -> None:
    stand_in = StandIn()
    camera = room(stand_in, size=(161, 121)).open()
    stand_in.give(1)
    assert str(camera.read().format) == "h264 160x120"
    camera.close()


def test_without_an_encoder_for_h264_pictures_are_jpegs() -> None:
    stand_in = StandIn(broken={"H264Encoder"})
    camera = room(stand_in).open()
    stand_in.give(3)
    packets = read_some(camera, 3)
    assert {packet.format for packet in packets} == {Format(codec="mjpeg", width=SIZE[0], height=SIZE[1])}
    assert all(packet.is_key for packet in packets)
    assert [packet.data for packet in packets] == [jpeg(drawn(number, SIZE)) for number in range(3)]
    assert len(decoded(packets)) == 3
    camera.close()


def test_an_encoder_that_was_started_for_nothing_is_stopped() -> None:
    stand_in = StandIn(broken={"start"})
    camera = room(stand_in).open()
    assert [encoder.kind for encoder in stand_in.holder.encoders] == ["MJPEGEncoder"]
    camera.close()


def test_a_picture_that_can_never_be_shown_is_counted_and_not_held() -> None:
    stand_in = StandIn()
    camera = room(stand_in).open()
    (encoder,) = stand_in.holder.encoders
    encoder.output.outputframe(b"\x00\x00\x00\x01\x67\x00", True, 0, None, False)
    encoder.output.outputframe(b"\x00\x00\x00\x01\x65\x88", True, 1, None, False)
    encoder.output.outputframe(None, True, 2, None, True)  # sound, which nobody asked for
    stand_in.give(1)
    found, timeline = placed(read_some(camera, 3))
    assert (len(found), timeline.rejected) == (1, 2)
    camera.close()


# --- a reader that stalls


KINDS = st.lists(st.sampled_from(["key", "other", "take"]), max_size=120)


@settings(max_examples=500 if IS_LONG else 100, derandomize=not IS_LONG)
@example(limit=3, steps=["key", *["other"] * 9, "take"])
@given(limit=st.integers(1, 12), steps=KINDS)
def test_a_backlog_is_bounded_can_be_decoded_and_loses_none_uncounted(limit: int, steps: list[str]) -> None:
    backlog, put, out = Backlog(limit), 0, []
    for step in steps:
        if step == "take":
            out += [backlog.take()] if backlog else []
            continue
        backlog.put(Seen(data=b"", is_key=step == "key", stamp_us=put, arrival_ns=0))
        put += 1
        assert len(backlog) <= limit
    while backlog:
        out.append(backlog.take())
    kept = [seen for seen in out if seen is not None]
    assert len(out) + backlog.dropped == put
    stamps = [seen.stamp_us or 0 for seen in kept]
    assert stamps == sorted(set(stamps))
    # After each gap comes a key picture, and before the first one nothing.
    for before, after in zip([-2, *stamps], kept, strict=False):
        assert after.is_key or after.stamp_us == before + 1


def test_a_reader_that_stalls_finds_the_newest_seconds_and_the_rest_counted() -> None:
    stand_in = StandIn()
    camera = room(stand_in).open()
    stand_in.give(3)
    first = read_some(camera, 3)
    stand_in.give(10 * FPS)
    rest = read_some(camera, 1_000)
    kept = good(rest)
    assert len(first) + len(rest) == stand_in.given, "each that was dropped is told"
    assert FPS < len(kept) <= 2 * FPS
    assert kept[0].is_key
    assert (kept[-1].pts or 0) - (first[0].pts or 0) == (stand_in.given - 1) * PERIOD_US, "the newest is there"
    assert len(decoded(kept)) == len(kept)
    assert placed([*first, *rest])[1].rejected == len(rest) - len(kept)
    camera.close()


# --- what goes wrong


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"cameras": []}, "not found; switch the Pi off, press the ribbon cable in"),
        ({"cameras": [USB]}, "not found; switch the Pi off"),
        ({"is_busy": True}, "(Failed to acquire camera: Device or resource busy); end the program that uses it"),
        ({"broken": {"sensor"}}, "cannot be opened (Unable to read sensor modes)"),
        ({"broken": {"configure"}}, "(Camera configuration has been adjusted!); check camera.width, height and fps"),
        ({"broken": {"H264Encoder", "MJPEGEncoder"}}, "cannot be encoded ([Errno 2] No such file or directory"),
    ],
    ids=["no camera", "only a USB camera", "busy", "sensor", "settings", "encoders"],
)
def test_what_cannot_be_opened_is_told_in_one_line_and_leaves_nothing_behind(wrong: dict[str, Any], told: str) -> None:
    stand_in = StandIn(**wrong)
    camera = room(stand_in)
    assert told in refusal(camera)
    before = opened_files()
    for _ in range(20):
        refusal(camera)
    assert opened_files() == before, "a camera that is tried every 5 s leaves no file open"
    assert stand_in.holder is None
    stand_in.cameras, stand_in.is_busy, stand_in.broken = [RIBBON], False, set()
    opened = camera.open()
    stand_in.give(1)
    assert opened.read().data
    opened.close()


def test_the_ribbon_camera_is_taken_and_not_the_usb_camera_beside_it() -> None:
    stand_in = StandIn(cameras=[USB, RIBBON])
    camera = room(stand_in).open()
    assert stand_in.holder.name == RIBBON["Id"]
    camera.close()


@pytest.mark.parametrize("err", [ImportError, ValueError], ids=["missing", "built for another numpy"])
def test_a_library_that_cannot_be_used_is_told_at_each_opening_and_stops_nothing_else(
    err: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unusable:
        def __getattr__(self, name: str) -> object:
            raise err("numpy.dtype size changed,\nmay indicate binary incompatibility")

    monkeypatch.setitem(sys.modules, "picamera2", None if err is ImportError else Unusable())
    camera = PiCamera(width=640, height=480, fps=15, clock=SimClock())
    lines = {refusal(camera) for _ in range(3)}
    (line,) = lines
    assert "apt install python3-picamera2" in line
    assert "--system-site-packages" in line


def test_a_refusal_that_is_repeated_for_days_does_not_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "picamera2", None)
    camera = PiCamera(width=640, height=480, fps=15, clock=SimClock())
    depths = []
    for _ in range(3):
        with pytest.raises(BadSource) as refused:
            camera.open()
        depths.append(len(inspect.getinnerframes(refused.tb)))
        cause = refused.value.__cause__
        assert cause is not None
        assert cause.__traceback__ is not None
        depths.append(len(inspect.getinnerframes(cause.__traceback__)))
    assert len(set(depths[::2])) == len(set(depths[1::2])) == 1


@pytest.mark.parametrize("codec", ["h264", "mjpeg"])
def test_the_library_is_found_under_its_own_names(codec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = StandIn(broken={"H264Encoder"} if codec == "mjpeg" else set())
    for name, module in stand_in.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    level = logging.getLogger("picamera2").level
    camera = PiCamera(width=160, height=120, fps=10, clock=stand_in.clock).open()
    stand_in.give(1)
    assert camera.read().format.codec == codec
    camera.close()
    logging.getLogger("picamera2").setLevel(level)


def test_a_camera_that_falls_silent_is_lost_in_a_line_about_its_cable() -> None:
    stand_in = StandIn()
    camera = room(stand_in).open()
    stand_in.give(2)
    assert len(read_some(camera, 2)) == 2
    with pytest.raises(SourceLost, match="gives no picture; switch the Pi off, press the ribbon cable in") as lost:
        camera.read()
    assert "\n" not in str(lost.value)
    camera.close()


# --- closing


def test_closing_from_another_thread_ends_a_waiting_read_and_the_reader_leaves_a_dark_camera() -> None:
    stand_in, told = StandIn(), []
    is_open, is_over = threading.Event(), threading.Event()
    opened: list[Any] = []

    def read() -> None:
        camera = room(stand_in, patience_s=60).open()
        opened.append(camera)
        is_open.set()
        try:
            camera.read()
        except SourceLost as err:
            told.append(str(err))
        camera.close()
        told.append("dark" if stand_in.holder is None else "still on")
        is_over.set()

    threading.Thread(target=read, daemon=True).start()
    assert is_open.wait(10)
    opened[0].close()
    assert is_over.wait(10)
    assert told == ["Raspberry Pi camera: closed", "dark"]
    for _ in range(2):
        opened[0].close()
        with pytest.raises(SourceLost, match="closed"):
            opened[0].read()


def test_a_closed_camera_holds_no_picture_and_takes_none() -> None:
    stand_in = StandIn()
    camera = room(stand_in).open()
    stand_in.give(3)
    (encoder,) = stand_in.holder.encoders
    output = encoder.output
    camera.close()
    output.outputframe(b"\x00\x00\x00\x01\x65\x88", True, 1, None, False)
    assert len(camera._pictures._backlog) == 0


def test_a_camera_that_hangs_while_it_is_closed_holds_up_nobody_and_is_told_until_it_lets_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(picamera, "_LET_GO_S", 0.05)
    stand_in = StandIn(goes_on=threading.Event())
    pi = room(stand_in)
    pi.open().close()
    assert stand_in.holder is not None, "it hangs"
    for _ in range(2):
        assert "hangs since it was closed; switch the Pi off" in refusal(pi)
    assert stand_in.opened == 1, "nothing was opened beside it"
    assert stand_in.goes_on is not None
    stand_in.goes_on.set()
    monkeypatch.setattr(picamera, "_LET_GO_S", 10.0)
    again = pi.open()
    stand_in.give(1)
    assert again.read().data
    again.close()
    assert stand_in.holder is None


def test_a_camera_that_hangs_does_not_keep_the_process_from_ending() -> None:
    """The library would close it once more at the interpreter's end, and wait."""
    script = """\
import threading
from edge.recorder.capture import picamera
from tests.support.picameras import StandIn, room
picamera._LET_GO_S = 0.05
stand_in = StandIn(goes_on=threading.Event())
room(stand_in).open().close()
print("hangs" if stand_in.holder is not None else "closed")
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=40, check=True
    )
    assert done.stdout == "hangs\n"


def test_an_error_while_closing_is_noted_and_the_camera_can_be_opened_again(caplog: pytest.LogCaptureFixture) -> None:
    stand_in = StandIn(broken={"close"})
    pi = room(stand_in)
    pi.open().close()
    assert "Failed to release camera: Invalid argument" in caplog.text
    stand_in.broken = set()
    pi.open().close()
    assert stand_in.opened == 2


# --- in the recorder


def until_opened(stand_in: StandIn, times: int) -> None:
    with stand_in.was_opened:
        assert stand_in.was_opened.wait_for(lambda: stand_in.opened >= times, 10)


def test_a_camera_whose_cable_comes_loose_is_stale_told_and_taken_up_again() -> None:
    stand_in, ring = StandIn(), Ring(cap_bytes=8 << 20)
    ring.open(60 * SECOND)
    capture = Capture(
        name="pi", tracks=[Track.PICTURE], open_source=room(stand_in).open, ring=ring, clock=stand_in.clock
    )
    capture.taken = frozenset([Track.PICTURE])
    capture.start()
    held = ring.cursor()
    until_opened(stand_in, 1)
    feed(stand_in, capture)
    (first,) = held.read(patience_s=10, limit_bytes=1)
    assert [status.state for status in capture.status(stand_in.clock.now_ns)] == ["good"]
    until_opened(stand_in, 2)
    assert capture.trouble is not None
    assert "ribbon cable" in capture.trouble
    assert [status.state for status in capture.status(stand_in.clock.now_ns + STALE_NS)] == ["stale"]
    feed(stand_in, capture)
    (second,) = held.read(patience_s=10, limit_bytes=1)
    assert second.generation > first.generation
    assert second.is_key
    assert capture.stop()
    assert stand_in.holder is None


def feed(stand_in: StandIn, capture: Capture) -> None:
    """One picture, once the encoder is there (the camera is acquired a moment before)."""
    patience = SystemClock()
    while stand_in.holder is None or not stand_in.holder.encoders:
        patience.sleep(0.002)
    stand_in.give(1)


def test_a_machine_without_picamera2_says_so_and_has_a_recorder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "picamera2", None)
    config = Config.model_validate(
        {
            "room": {"name": "x"},
            "panel": {"panic": {"pin": 17}, "alarm": {"pin": 5}},
            "camera": {"source": "picamera"},
            "microphone": {"mode": "in_ring", "source": "alsa:USB Mic"},
        }
    )
    found = sources(config, Ring(cap_bytes=8 << 20), SimClock())
    assert [(capture.name, capture.tracks) for capture in found.captures] == [
        ("Raspberry Pi camera", (Track.PICTURE,)),
        ("microphone USB Mic", (Track.SOUND,)),
    ]
    camera = found.captures[0]
    camera.start()
    wait_for(lambda: camera.trouble is not None)
    assert "apt install python3-picamera2" in str(camera.trouble)
    assert camera.stop()


def wait_for(condition: Callable[[], bool]) -> None:
    patience = SystemClock()
    while not condition():
        patience.sleep(0.002)
