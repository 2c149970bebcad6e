"""Are camera, microphone and pins there? By their paths and by what the kernel tells; no camera and no microphone is opened."""

from __future__ import annotations

import re
import stat
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from edge.config import Camera, Config, Microphone, Panel
from edge.machine.finding import Finding, fine, wrong
from edge.machine.gpio import HEADERS, Chip
from edge.machine.reading import below, lines, word

_OURS: Final = "lg"  # the name under which lgpio holds a line
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def camera(root: Path, camera: Camera) -> list[Finding]:
    """The camera that is configured."""
    kind, _, name = camera.source.partition(":")
    match kind:
        case "none":
            return [fine("camera", "none is configured: the alarm alone")]
        case "fixture":
            return [_path("camera", root, Path(name).absolute(), "the recording", "name a recording that is there")]
        case "v4l2":
            fix = "plug it in, or name one of `ls /dev/v4l/by-id` in camera.source"
            return [_path("camera", root, Path(name), "the camera", fix)]
        case "rtsp":
            return [
                fine("camera", "a network camera: whether it answers shows when the recorder runs"),
                *_login(root, camera),
            ]
        case _:
            return [_ribbon(root)]


def _path(code: str, root: Path, path: Path, what: str, fix: str) -> Finding:
    try:
        is_there = below(root, path).exists()
    except OSError:
        is_there = False
    if is_there:
        return fine(code, f"{what} {path} is there")
    return wrong(code, f"{what} {path} is not there", fix, refuses=True)


def _login(root: Path, camera: Camera) -> list[Finding]:
    """The file of user and password; a credential of systemd is seen by its unit alone."""
    if camera.login is None or not camera.login.startswith("/"):
        return []
    path = below(root, Path(camera.login))
    try:
        mode = path.stat().st_mode
    except OSError as err:
        detail = f"the camera's login {camera.login} cannot be read: {err.strerror}"
        return [wrong("camera-login", detail, "make this file, with user:password in one line", refuses=True)]
    if mode & _OTHERS:
        detail = f"others may read the camera's login {camera.login}"
        return [wrong("camera-login", detail, f"chmod 600 {camera.login}", refuses=True)]
    return [fine("camera-login", "nobody else may read it")]


def _ribbon(root: Path) -> Finding:
    """A Raspberry Pi camera: its sensor is a sub-device of the kernel."""
    sensors = [word(path) or "" for path in sorted((root / "sys/class/video4linux").glob("v4l-subdev*/name"))]
    if find_spec("picamera2") is None:
        detail = "the library of the Raspberry Pi camera is not installed"
        return wrong("camera", detail, "apt install python3-picamera2", refuses=True)
    if not sensors:
        fix = "check the ribbon cable with the power off; `rpicam-hello --list-cameras` shows what is found"
        return wrong("camera", "no Raspberry Pi camera is there", fix, refuses=True)
    return fine("camera", f"the Raspberry Pi camera is there ({', '.join(sensors)})")


def microphone(root: Path, microphone: Microphone) -> list[Finding]:
    """The microphone that is configured. A room without sound still listens, so what is missing is a warning."""
    if microphone.mode == "off":
        return [fine("microphone", "off: it is not even opened")]
    kind, _, name = microphone.source.partition(":")
    if kind == "fixture":
        found = _path("microphone", root, Path(name).absolute(), "the recording", "name a recording that is there")
        return [found if not found.refuses else wrong(found.code, found.detail, found.fix)]
    if kind == "camera":
        return [fine("microphone", "the camera's own")]
    cards = _capturing(root)
    if name in cards or (kind == "default" and cards):
        return [fine("microphone", f"{name or ', '.join(cards)} is there")]
    if name and f"pcm.{name}" in " ".join(lines(root / "etc/asound.conf")):
        return [fine("microphone", f"{name} is in /etc/asound.conf")]
    fix = "plug it in, or name one of `arecord -l` (what it has in brackets) in microphone.source"
    return [wrong("microphone", f"{name or 'a microphone'} is not there", fix)]


def _capturing(root: Path) -> list[str]:
    """The cards that can record, by the name that `arecord -l` has in brackets and PortAudio shows."""
    names: dict[int, str] = {}
    for line in lines(root / "proc/asound/cards"):
        if card := re.match(r"\s*(\d+)\s+\[.{15}\]: .*? - (.*\S)", line):
            names[int(card[1])] = card[2]
    able = {int(line[:2]) for line in lines(root / "proc/asound/pcm") if "capture" in line and line[:2].isdigit()}
    return [name for number, name in names.items() if number in able]


def pins(panel: Panel, chips: Sequence[Chip], *, refuses: bool) -> list[Finding]:
    """The header's chip, and whether anybody else holds a line that the panel needs."""
    header = next((chip for chip in chips if chip.label in HEADERS), None)
    if header is None:
        seen = ", ".join(f"{chip.name} ({chip.error or chip.label})" for chip in chips) or "no GPIO chip"
        detail = f"no GPIO chip of a Raspberry Pi's header: found {seen}"
        return [wrong("gpio", detail, "run this as root on the Raspberry Pi that has the button", refuses=refuses)]
    found: list[Finding] = []
    for name, pin in panel.wires():
        holder = header.users.get(pin)
        if pin >= header.lines:
            detail = f"panel.{name}: {header.name} has no line {pin}"
            found.append(wrong("gpio-pin", detail, "name a pin of the header", refuses=refuses))
        elif holder is not None and holder != _OURS:
            detail = f"panel.{name}: pin {pin} is held by {holder or 'the kernel'}"
            fix = "take another pin, or switch off what uses it (dtparam=spi, i2c_arm, enable_uart in /boot/firmware/config.txt)"
            found.append(wrong("gpio-pin", detail, fix, refuses=refuses))
    held = sum(header.users.get(pin) == _OURS for _, pin in panel.wires())
    count = len(panel.wires())
    return found or [
        fine("gpio", f"{header.name} ({header.label}); {held} of the panel's {count} pins are in use by it")
    ]


def look(root: Path, config: Config, chips: Sequence[Chip]) -> list[Finding]:
    """All devices of the room."""
    return [
        *camera(root, config.camera),
        *microphone(root, config.microphone),
        *pins(config.panel, chips, refuses=not config.has_only_fixtures),
    ]
