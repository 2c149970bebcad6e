"""A camera's JPEG pictures: whole or not at all, playable by everybody."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge.recorder.capture.jpeg import is_flat, whole
from tests.support.cameras import Pixels, drawn, jpeg, without_tables

PICTURE = jpeg(drawn(1))


def decoded(data: bytes) -> Pixels:
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    return pixels  # type: ignore[return-value]


def test_a_whole_picture_passes_unchanged_with_its_size() -> None:
    found = whole(PICTURE)
    assert found is not None
    assert (found.data, found.width, found.height) == (PICTURE, 64, 48)


def test_the_tables_that_a_camera_leaves_out_are_put_in_and_the_picture_is_the_same() -> None:
    bare = without_tables(PICTURE)
    assert b"\xff\xc4" not in bare
    assert len(bare) < len(PICTURE)
    found = whole(bare)
    assert found is not None
    assert found.data.count(b"\xff\xc4\x01\xa2") == 1
    assert np.array_equal(decoded(found.data), decoded(PICTURE))


def test_what_the_driver_left_behind_the_end_is_cut_off() -> None:
    found = whole(PICTURE + bytes(500) + b"\xff\xd9")
    assert found is not None
    assert found.data == PICTURE


@pytest.mark.parametrize("is_bare", [False, True])
def test_cut_anywhere_it_is_no_picture(*, is_bare: bool) -> None:
    data = without_tables(PICTURE) if is_bare else PICTURE
    for length in [*range(800), *range(800, len(data), 7), len(data) - 1]:
        assert whole(data[:length]) is None
        assert whole(data[:length].ljust(len(data), b"\0")) is None


def test_any_bytes_are_a_picture_or_none_and_never_an_error() -> None:
    random = np.random.default_rng(7)
    for _ in range(2_000):
        data = bytearray(PICTURE)
        for at in random.integers(0, 700, 3):
            data[at] = random.integers(0, 256)
        whole(bytes(data))
    for data_ in (b"", b"\xff", b"\xff\xd8", b"\xff\xd8\xff\xff\xff", b"GIF89a", bytes(100), b"\xff" * 100):
        assert whole(data_) is None


def test_a_size_of_nothing_is_no_picture() -> None:
    at = PICTURE.index(b"\xff\xc0")
    assert whole(PICTURE[: at + 5] + bytes(4) + PICTURE[at + 9 :]) is None


@pytest.mark.parametrize("size", [(320, 240), (1280, 720)])
def test_a_picture_of_one_colour_is_told_from_one_with_something_in_it(size: tuple[int, int]) -> None:
    dark = np.full((size[1], size[0], 3), 3, np.uint8)
    seen = dark.copy()
    cv2.circle(seen, (size[0] // 2, size[1] // 2), size[1] // 3, (90, 90, 90), 3)
    noisy = np.clip(np.random.default_rng(1).normal(6, 4, dark.shape), 0, 255).astype(np.uint8)
    assert is_flat(jpeg(dark))
    assert not is_flat(jpeg(noisy))
    assert not is_flat(jpeg(drawn(1, size)))
    assert not is_flat(jpeg(seen))
