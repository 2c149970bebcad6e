"""What the set-up was told, whoever told it, and whether it makes a room. Reads files; writes none."""

from __future__ import annotations

import ipaddress
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from edge import config as configuration
from edge.config import Config
from edge.errors import BadConfig, Refused
from edge.recorder.seal import Sealer
from edge.setup import texts

_HASH: Final = "$argon2id$"
_KINDS: Final[Mapping[str, tuple[type, str]]] = {
    "ssh": (bool, "true of false"),
    "page": (bool, "true of false"),
    "password_hash": (str, "tekst"),
}

Raw = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """The configuration as TOML has it, and what does not belong in it."""

    config: Raw
    password_hash: str = field(default="", repr=False)  # argon2id; empty: no password
    camera_login: str = field(default="", repr=False)  # user:password; empty: none, or as it is
    is_page_open: bool = False  # in the firewall
    is_ssh_open: bool = False


def read(path: Path) -> Answers:
    """Answers for an unattended set-up: the same sections as the configuration, and `[setup]` with `ssh`, `page` and
    `password_hash`. Raises BadConfig with everything that is wrong.
    """
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except OSError as err:
        raise BadConfig([f"{path}: cannot be read: {err.strerror}"]) from err
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as err:
        raise BadConfig([f"{path}: is not TOML in UTF-8: {err}"]) from err
    told = raw.pop("setup", {})
    problems = list(_problems_of_setup(told))
    try:
        check(raw)
    except BadConfig as err:
        problems.extend(err.problems)
    if problems:
        raise BadConfig(problems)
    return Answers(
        config=raw,
        password_hash=told.get("password_hash", ""),
        is_page_open=told.get("page", False),
        is_ssh_open=told.get("ssh", False),
    )


def _problems_of_setup(told: Any) -> list[str]:
    if not isinstance(told, dict):
        return [texts.NOT_OF_KIND.format(name="*", kind="[setup]")]
    problems = []
    for name, value in told.items():
        if name not in _KINDS:
            problems.append(texts.UNKNOWN_SETUP.format(name=name, known=", ".join(_KINDS)))
        elif not isinstance(value, _KINDS[name][0]):
            problems.append(texts.NOT_OF_KIND.format(name=name, kind=_KINDS[name][1]))
        elif isinstance(value, str) and value and not (value.startswith(_HASH) and value.isascii()):
            problems.append(texts.NOT_A_HASH)
    return problems


def check(raw: Raw) -> Config:
    """The room that these settings make. Raises BadConfig with everything that is wrong, also what only a room in use
    needs: keys that are keys, and a record for its camera.
    """
    room = configuration.checked(raw)
    problems = []
    if room.camera.source != "none" and room.governance is None:
        problems.append(texts.NEEDS_RECORD)
    if room.camera.source != "none" and not room.seal.recipients:
        problems.append(texts.NEEDS_KEY)
    if room.seal.recipients:
        problems.extend(key_problems(room.seal.recipients))
    if room.camera.source.startswith("rtsp:") and network_camera(room.camera.source) is None:
        problems.append(texts.NAMED_CAMERA)
    if problems:
        raise BadConfig(problems)
    return room


def key_problems(recipients: tuple[str, ...]) -> list[str]:
    """What is wrong with these public keys: a letter mistyped is found by their checksum."""
    try:
        Sealer(recipients)
    except Refused as err:
        return [str(err)]
    return []


def network_camera(source: str) -> str | None:
    """The IP address in `rtsp://…`; None when there is a name instead."""
    try:
        return str(ipaddress.ip_address(urlsplit(source).hostname or ""))
    except ValueError:
        return None
