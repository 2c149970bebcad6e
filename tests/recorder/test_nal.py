"""Start codes become lengths and back, and nothing of a picture is lost or made up on the way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.recorder.capture.timestamps import Timeline
from edge.recorder.nal import is_sized, says_sized, shown, to_annex_b, to_sized
from tests.recorder.streams import raw

SHORT, LONG = b"\x00\x00\x01", b"\x00\x00\x00\x01"

# What an encoder never puts into a unit: a start code, and zeros at its end.
UNITS = st.lists(st.binary(min_size=1, max_size=40).filter(lambda unit: SHORT not in unit and unit[-1]), max_size=6)


@given(UNITS, st.data())
def test_every_unit_survives_whatever_stands_between_them(units: list[bytes], data: st.DataObject) -> None:
    between = st.sampled_from([SHORT, LONG, b"\x00\x00" + LONG])
    annex_b = b"".join(data.draw(between) + unit for unit in units) + data.draw(st.sampled_from([b"", b"\x00\x00"]))
    sized = to_sized(annex_b)
    assert sized == b"".join(len(unit).to_bytes(4, "big") + unit for unit in units)
    assert to_annex_b(sized) == b"".join(LONG + unit for unit in units)


def test_what_stands_before_the_first_start_code_is_no_unit() -> None:
    assert to_sized(b"noise" + LONG + b"\x65\x88") == b"\x00\x00\x00\x02\x65\x88"


def test_a_picture_without_any_unit_is_not_held() -> None:
    noise = to_sized(b"noise from the network")
    assert noise == b""
    assert Timeline(1).place(raw(pts=0, arrival_ns=0, data=noise)) is None


def test_what_has_no_units_is_shown_as_it_is() -> None:
    assert shown(b"\xff\xd8" + LONG + b"\xff\xd9", "mjpeg") == b"\xff\xd8" + LONG + b"\xff\xd9"


@pytest.mark.parametrize("sized", [b"\x00\x00\x00\x09\x65", b"\x00\x00\x00", b"\xff\xff\xff\xff\x65"])
def test_lengths_that_do_not_fit_are_refused(sized: bytes) -> None:
    with pytest.raises(ValueError, match="longer than the picture"):
        to_annex_b(sized)
    assert not is_sized(sized)


@given(UNITS)
def test_lengths_that_fit_are_known_as_such(units: list[bytes]) -> None:
    assert is_sized(b"".join(len(unit).to_bytes(4, "big") + unit for unit in units))


@pytest.mark.parametrize(
    ("extradata", "codec", "is_said"),
    [
        ("0142c028ffe1", "h264", True),
        ("0142c028fde1", "h264", False),  # lengths of two bytes
        ("0142c028", "h264", False),
        ("00000001674200", "h264", False),
        ("", "h264", False),
        ("01" + 20 * "00" + "0f", "hevc", True),
        ("01" + 20 * "00" + "0d", "hevc", False),
        ("01" + 20 * "00", "hevc", False),
        ("ffffffffffff", "mjpeg", False),
    ],
)
def test_a_file_says_whether_its_units_have_lengths_of_four_bytes(extradata: str, codec: str, is_said: bool) -> None:
    assert says_sized(bytes.fromhex(extradata), codec) == is_said
