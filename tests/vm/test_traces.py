"""The search for known media finds every piece of them, and nothing else."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.vm.traces import WINDOW, Media

CHANCE = random.Random(7)
MEDIA = CHANCE.randbytes(64 * WINDOW)
SHORTEST = 2 * WINDOW - 1


def test_a_piece_is_found_at_every_offset_and_from_every_place_of_the_media(tmp_path: Path) -> None:
    media, file = Media([MEDIA]), tmp_path / "file"
    for offset in range(WINDOW):
        for place in range(0, len(MEDIA) - SHORTEST, 37):
            file.write_bytes(bytes(offset) + MEDIA[place : place + SHORTEST] + bytes(100))
            assert media.find(file).offsets == ((offset + WINDOW - 1) // WINDOW * WINDOW,)


def test_what_lies_across_the_pieces_of_a_large_file_and_after_holes_is_found(tmp_path: Path) -> None:
    media, file = Media([MEDIA]), tmp_path / "file"
    border, far = 8 << 20, 900 << 20
    with file.open("wb") as disk:
        disk.write(CHANCE.randbytes(border - WINDOW) + MEDIA[: 2 * WINDOW] + CHANCE.randbytes(1 << 20))
        disk.seek(far)
        disk.write(MEDIA)
    found = media.find(file)
    assert found.offsets == (border - WINDOW, border, *range(far, far + len(MEDIA), WINDOW))
    assert found.data_bytes < border + (2 << 20), "the hole was read"
    assert media.find(file, start=border).offsets == found.offsets[1:]


def test_half_a_window_other_data_and_what_could_be_anything_are_not_found(tmp_path: Path) -> None:
    silence = bytes(4096) + b"\x01\x00" * 4096
    media, file = Media([MEDIA, silence]), tmp_path / "file"
    file.write_bytes(silence + MEDIA[: WINDOW - 1] + b"\0" + CHANCE.randbytes(1 << 20))
    assert media.find(file).offsets == ()
    assert len(media) == len(MEDIA) - WINDOW + 1
    with pytest.raises(ValueError, match="no window"):
        Media([silence, b"short"])


def test_a_file_of_nothing_but_a_hole_holds_nothing(tmp_path: Path) -> None:
    file = tmp_path / "file"
    with file.open("wb") as disk:
        os.truncate(disk.fileno(), 1 << 30)
    assert Media([MEDIA]).find(file).offsets == ()
    file.write_bytes(b"")
    assert Media([MEDIA]).find(file).offsets == ()
