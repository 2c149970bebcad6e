"""Puts the set-up's files in place: all of them, or none. Run by root.

What is written first is written beside its place; then only names change, the configuration last, so that a room
whose set-up was cut off is a room without one.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge.config import Config
from edge.durable import TEMP_SUFFIX, Disk
from edge.errors import Refused, StoreError
from edge.setup import texts
from edge.setup.answers import Answers, network_camera
from edge.setup.written import written

_NEW: Final = ".spreekkamer-new"
_EXAMPLE_ADDRESS: Final = "192.0.2.10"  # in systemd/examples/network-camera.conf


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where things go. `root` is the machine's, or a test's."""

    config: Path
    root: Path = Path("/")

    def credential(self, name: str) -> Path:
        """Where systemd looks for a secret that a unit may have (systemd/README.md)."""
        return self.root / "etc/credstore" / f"spreekkamer.{name}"

    def firewall(self, name: str) -> Path:
        """What firewall.nft lets in besides."""
        return self.root / "etc/spreekkamer/firewall.d" / f"{name}.nft"

    @property
    def camera_unit(self) -> Path:
        """What the recorder's sandbox lets through for this kind of camera."""
        return self.root / "etc/systemd/system/spreekkamer-record.service.d/camera.conf"

    def example(self, name: str) -> Path:
        """Where install.sh put systemd/examples."""
        return self.root / "opt/spreekkamer/examples" / name


def put(place: Place, answers: Answers, room: Config, disk: Disk) -> None:
    """Write everything. Raises Refused or StoreError: then the configuration is the old one, and where the disk failed
    before the last names were changed so is all the rest.
    """
    contents, gone = _files(place, answers, room)
    fresh: list[Path] = []
    try:
        for path, (data, mode) in contents.items():
            disk.make_folder(path.parent, mode=0o700 if path.parent.name == "credstore" else 0o755)
            fresh.append(path.with_name(path.name + _NEW))
            disk.replace(fresh[-1], data, mode=mode)
        for path in gone:
            disk.unlink(path)
        for path, new in zip(contents, fresh, strict=True):
            disk.rename(new, path)
    except StoreError as err:
        for path in fresh:
            with contextlib.suppress(StoreError):
                disk.unlink(path)
                disk.unlink(path.with_name(path.name + TEMP_SUFFIX))
        if isinstance(err.__cause__, PermissionError):
            raise Refused(texts.MUST_BE_ROOT) from err
        raise


def _files(place: Place, answers: Answers, room: Config) -> tuple[dict[Path, tuple[bytes, int]], list[Path]]:
    """What is written, with its mode, the configuration last; and what must not be there."""
    contents: dict[Path, tuple[bytes, int]] = {}
    gone: list[Path] = []

    def put_if(path: Path, text: str, *, mode: int = 0o644) -> None:
        if text:
            contents[path] = (text.encode(), mode)
        else:
            gone.append(path)

    if answers.password_hash:
        put_if(place.credential("page-password-hash"), answers.password_hash + "\n", mode=0o600)
    if answers.camera_login:
        put_if(place.credential("camera-login"), answers.camera_login + "\n", mode=0o600)
    put_if(place.firewall("page"), f"tcp dport {room.page.port} accept\n" if answers.is_page_open else "")
    put_if(place.firewall("ssh"), "tcp dport 22 accept\n" if answers.is_ssh_open else "")
    put_if(place.camera_unit, _camera_unit(place, room))
    # Anybody may read it: no secret is in it, and four accounts must.
    put_if(place.config, written(answers.config))
    return contents, gone


def _camera_unit(place: Place, room: Config) -> str:
    """The drop-in for the recorder's unit; empty for a USB camera or none."""
    source = room.camera.source
    if source == "picamera":
        return _read(place.example("raspberry-pi-camera.conf"))
    address = network_camera(source) if source.startswith("rtsp:") else None
    if address is not None:
        return _read(place.example("network-camera.conf")).replace(_EXAMPLE_ADDRESS, address)
    return ""


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as err:
        raise Refused(f"{path}: cannot be read: {err.strerror}; run install.sh first") from err


def may_write(path: Path) -> bool:
    """Asked before the questions rather than after them."""
    nearest = next(folder for folder in path.parents if folder.is_dir())
    return os.access(nearest, os.W_OK)
