"""Segments are age files for the recipients, and for nobody else; and nothing that holds footage or a key shows it."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO

import pyrage
import pytest

from edge.errors import Refused, SealFailed
from edge.messages import Segment
from edge.packet import Format
from edge.recorder.capture.encode import Encoded, EncodedPicture
from edge.recorder.capture.fixture import _Piece
from edge.recorder.memory import CHUNK, Chunk
from edge.recorder.mux import Mux
from edge.recorder.outbox import Parcel
from edge.recorder.ring import Ring
from edge.recorder.seal import Sealer, is_whole
from edge.recorder.sound import Placed, SoundTrack
from tests.recorder.streams import H264, START_NS, packet, raw
from tests.support.processes import CLOCK

OFFICERS = [pyrage.x25519.Identity.generate() for _ in range(2)]
PLAIN = random.Random(1).randbytes(300_000)
FOOTAGE = b"the face of a resident"


def age(sealed: bytes, key: Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["age", "-d", "-i", str(key)], input=sealed, capture_output=True, timeout=30, check=False)


def test_each_recipient_alone_opens_it_with_the_stock_tool_and_a_stranger_does_not(tmp_path: Path) -> None:
    sealed = Sealer([str(officer.to_public()) for officer in OFFICERS]).seal(PLAIN)
    assert PLAIN[:64] not in sealed
    for number, officer in enumerate([*OFFICERS, pyrage.x25519.Identity.generate()]):
        key = tmp_path / f"{number}.key"
        key.write_text(str(officer), "ascii")
        opened = age(sealed, key)
        if number < 2:
            assert (opened.returncode, opened.stdout) == (0, PLAIN)
        else:
            assert opened.returncode != 0
            assert opened.stdout == b""


def test_an_altered_segment_does_not_open(tmp_path: Path) -> None:
    key = tmp_path / "officer.key"
    key.write_text(str(OFFICERS[0]), "ascii")
    sealed = bytearray(Sealer([str(OFFICERS[0].to_public())]).seal(PLAIN))
    sealed[-1] ^= 1
    assert age(bytes(sealed), key).returncode != 0


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 300_000])
def test_a_segment_that_lacks_its_end_is_known(size: int) -> None:
    """The library may lose the error of its last write."""
    sealed = Sealer([str(officer.to_public()) for officer in OFFICERS]).seal(PLAIN[:size])
    assert pyrage.decrypt(sealed, [OFFICERS[1]]) == PLAIN[:size]
    assert is_whole(sealed, size)
    for wrong in (sealed[:-1], sealed[: -(size % 65_536) - 16], sealed + b"\0", sealed[:60], b""):
        assert not is_whole(wrong, size)


def test_what_the_library_does_not_seal_whole_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    sealer = Sealer([str(OFFICERS[0].to_public())])
    whole = pyrage.encrypt_io

    def without_end(taken: IO[bytes], made: IO[bytes], recipients: list[pyrage.x25519.Recipient]) -> None:
        whole(taken, made, recipients)
        made.truncate(made.tell() - 20)

    monkeypatch.setattr(pyrage, "encrypt_io", without_end)
    with pytest.raises(SealFailed, match="sealing 300000 bytes failed: only"):
        sealer.seal(PLAIN)


def test_other_threads_have_their_turn_while_a_piece_is_sealed() -> None:
    """The library itself holds on to the interpreter to its end; then a turn or two come before and after."""
    sealer, turns, is_over = Sealer([str(OFFICERS[0].to_public())]), 0, threading.Event()

    def take_turns() -> None:
        nonlocal turns
        while not is_over.is_set():
            turns += 1
            CLOCK.sleep(0)

    other = threading.Thread(target=take_turns)
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.0001)
    try:
        other.start()
        sealer.seal(bytes(32 << 20))
    finally:
        is_over.set()
        other.join()
        sys.setswitchinterval(before)
    assert turns > 20


def test_no_recipient_is_refused_with_what_to_do() -> None:
    with pytest.raises(Refused, match="age-keygen"):
        Sealer([])


@pytest.mark.parametrize("bad", ["age1nonsense", "AGE-SECRET-KEY-1QQQQQQQQQQ", str(OFFICERS[1]), "ssh-ed25519 AAAA"])
def test_a_bad_recipient_is_named_by_its_number_only(bad: str) -> None:
    with pytest.raises(Refused) as refused:
        Sealer([str(OFFICERS[0].to_public()), bad])
    assert "number 2" in str(refused.value)
    assert bad not in str(refused.value)
    assert bad.removeprefix("AGE-SECRET-KEY-1")[:10] not in str(refused.value)


def shown() -> list[object]:
    ring = Ring(cap_bytes=8 * CHUNK)
    ring.open(1)
    ring.append(packet(START_NS, data=FOOTAGE), START_NS)
    chunk = Chunk()
    chunk.view[: len(FOOTAGE)] = FOOTAGE
    mux = Mux(Format(codec="mjpeg", width=16, height=16), has_sound=False)
    mux.put_picture(FOOTAGE, pts_ns=0, dts_ns=0, duration_ns=1, is_key=True)
    track = SoundTrack(0, FOOTAGE)
    made = packet(START_NS, data=FOOTAGE)
    segment = Segment(clip="c", number=0, media_until_ms=0)
    return [
        made,
        made._replace(is_key=False),
        raw(pts=0, arrival_ns=0, data=FOOTAGE),
        ring,
        ring.cursor(),
        *ring._rooms,
        *ring._tracks.values(),
        chunk,
        mux,
        mux._picture,
        mux._picture._held,
        track,
        track.reach(10**9),
        Placed(data=FOOTAGE, at=0),
        Encoded(data=FOOTAGE, at=0),
        EncodedPicture(data=FOOTAGE, seen_us=0, is_key=True),
        _Piece(track=made.track, format=H264, data=FOOTAGE, pts_ns=0, dts_ns=0, duration_ns=0, is_key=True),
        Parcel(message=segment, payload=FOOTAGE),
        Sealer([str(OFFICERS[0].to_public())]),
    ]


@pytest.mark.parametrize("thing", shown(), ids=lambda thing: type(thing).__name__)
def test_nothing_that_holds_footage_or_a_key_shows_it(thing: object) -> None:
    text = repr(thing) + str(thing)
    assert "resident" not in text
    assert FOOTAGE.hex() not in text
    assert str(OFFICERS[0].to_public()) not in text
