"""The container: every packet at its time and as long as it lasts, playable at every cut, as players want it."""

from __future__ import annotations

import io
import subprocess
from itertools import pairwise

import av

from edge.clock import MILLISECOND, SECOND
from edge.packet import SOUND_FRAME, SOUND_RATE, Format
from edge.recorder import testcard
from edge.recorder.capture.encode import silence
from edge.recorder.mux import Mux
from edge.recorder.nal import to_annex_b

JPEG = b"\xff\xd8\xff\xd9"
FORM = Format(codec="mjpeg", width=16, height=16)


def demuxed(data: bytes, kind: str) -> list[tuple[int, bytes]]:
    with av.open(io.BytesIO(data), mode="r") as container:
        stream = container.streams.get({kind: 0})
        return [(each.pts or 0, bytes(each)) for each in container.demux(stream) if each.size]


def test_every_packet_keeps_its_time() -> None:
    """`frag_every_frame` gave each packet the time of the one after it."""
    mux = Mux(FORM, has_sound=True)
    times_ms, made = [0, 40, 95, 120, 520, 530, 900, 940], b""
    for number in range(50):
        at_ms = number * SOUND_FRAME * 1000 // SOUND_RATE
        while times_ms and times_ms[0] <= at_ms:
            at_ns = times_ms.pop(0) * MILLISECOND
            mux.put_picture(JPEG, pts_ns=at_ns, dts_ns=at_ns, duration_ns=MILLISECOND, is_key=True)
            made += mux.take()
        mux.put_sound(silence(), at=number * SOUND_FRAME)
    mux.close()
    made += mux.take()
    assert [pts // 90 for pts, _ in demuxed(made, "video")] == [0, 40, 95, 120, 520, 530, 900, 940]
    assert [pts for pts, _ in demuxed(made, "audio")] == [number * SOUND_FRAME for number in range(50)]


def test_pictures_that_came_at_almost_the_same_moment_are_both_kept() -> None:
    """A source without stamps is placed by arrival, and after a stall its packets arrive within microseconds."""
    mux = Mux(FORM, has_sound=False)
    for at_ns in (0, 40 * MILLISECOND, 40 * MILLISECOND + 1, 40 * MILLISECOND + 2, 80 * MILLISECOND):
        mux.put_picture(JPEG, pts_ns=at_ns, dts_ns=at_ns, duration_ns=MILLISECOND, is_key=True)
    mux.close()
    times = [pts for pts, _ in demuxed(mux.take(), "video")]
    assert len(times) == 5
    assert times == sorted(set(times))
    assert times[-1] == 7_200


def test_what_was_taken_at_any_moment_is_a_playable_beginning() -> None:
    mux, made = Mux(FORM, has_sound=False), b""
    for number in range(20):
        at_ns = number * 40 * MILLISECOND
        mux.put_picture(JPEG, pts_ns=at_ns, dts_ns=at_ns, duration_ns=40 * MILLISECOND, is_key=True)
        made += mux.take()
        if number:
            assert len(demuxed(made, "video")) >= number  # all but the newest


def test_every_packet_lasts_until_the_next() -> None:
    """What a source says of a picture's length is a guess: in the dark a camera gives fewer a second."""
    mux, times_ms, places = Mux(FORM, has_sound=True), [0, 40, 95, 99, 520], [0, 1024, 2148, 3172]
    for at_ms in times_ms:
        at_ns = at_ms * MILLISECOND
        mux.put_picture(JPEG, pts_ns=at_ns, dts_ns=at_ns, duration_ns=33 * MILLISECOND, is_key=True)
    for at in places:
        mux.put_sound(silence(), at=at)
    made = mux.take()
    mux.close()
    with av.open(io.BytesIO(made + mux.take()), mode="r") as clip:
        lasting = [(each.stream.type, each.duration) for each in clip.demux() if each.size]
    pictures = [duration for kind, duration in lasting if kind == "video"]
    sounds = [duration for kind, duration in lasting if kind == "audio"]
    assert pictures == [*(90 * (after - before) for before, after in pairwise(times_ms)), 33 * 90]
    assert sounds == [*(after - before for before, after in pairwise(places)), SOUND_FRAME]


def test_pictures_are_held_as_players_want_them() -> None:
    """Parameter sets in the header, a length before each unit; ffmpeg takes much else, browsers do not."""
    mux = Mux(testcard.FORMAT, has_sound=False)
    codes = [f"{number:06d}" for number in range(12)]
    for number, packet in enumerate(testcard.draw(codes, start_ns=0)):
        at_ns = number * SECOND // testcard.FPS
        mux.put_picture(packet.data, pts_ns=at_ns, dts_ns=at_ns, duration_ns=1, is_key=packet.is_key)
    mux.close()
    made = mux.take()
    assert testcard.watch(made).codes == tuple(codes)
    with av.open(io.BytesIO(made), mode="r") as clip:
        assert (clip.streams.video[0].codec_context.extradata or b"")[:1] == b"\x01"
        for picture in clip.demux(video=0):
            to_annex_b(bytes(picture))
    played = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", "-", "-f", "null", "-"], input=made, capture_output=True, check=True
    )
    assert played.stderr == b""
