"""Cameras and microphones that are here, by the names that the configuration takes."""

from __future__ import annotations

from pathlib import Path

from edge.config import Camera, Microphone
from edge.setup.found import look


def card(root: Path, number: int, *, records: bool) -> None:
    (root / f"proc/asound/card{number}" / ("pcm0c" if records else "pcm0p")).mkdir(parents=True)


def test_cards_that_can_record_are_named_as_arecord_names_them(tmp_path: Path) -> None:
    for number, records in ((0, False), (1, True), (2, True), (3, True)):
        card(tmp_path, number, records=records)
    (tmp_path / "proc/asound/cards").write_text(
        " 0 [vc4hdmi        ]: vc4-hdmi - vc4-hdmi\n"
        "                      vc4-hdmi\n"
        " 1 [Microphone     ]: USB-Audio - Jabra - Speak 510\n"
        "                      at usb-0000:01:00.0-1.1\n"
        " 2 [Device         ]: USB-Audio - Twin\n"
        " 3 [Device_1       ]: USB-Audio - Twin\n"
    )
    found = look(tmp_path)
    assert found.microphones == ("alsa:Jabra - Speak 510",)  # of two that share a name nobody knows which is meant
    assert Microphone(mode="in_ring", source=found.microphones[0]).source == found.microphones[0]


def test_a_camera_is_its_picture_and_not_its_metadata(tmp_path: Path) -> None:
    by_id = tmp_path / "dev/v4l/by-id"
    by_id.mkdir(parents=True)
    for name in ("usb-Cam_1-video-index0", "usb-Cam_1-video-index1"):
        (by_id / name).touch()
    found = look(tmp_path)
    assert found.cameras == ("v4l2:/dev/v4l/by-id/usb-Cam_1-video-index0",)
    assert Camera(source=found.cameras[0]).source == found.cameras[0]


def test_an_empty_machine_has_nothing(tmp_path: Path) -> None:
    found = look(tmp_path)
    assert (found.cameras, found.microphones) == ((), ())
