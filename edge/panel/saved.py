"""The panel's memory of itself in one small file, so that its own death drops neither the alarm nor the incident.

The file is good for one boot: BOOTTIME means nothing in the next, and its folder is a tmpfs. So it is replaced whole
by rename, which no kill can halve, and never fsynced: what survives the process is all that is wanted, and nothing on
the way to the next press may wait for a disk. Called by the main loop only.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge.durable import Disk
from edge.errors import BadMessage
from edge.messages import decode, encode
from edge.panel.contact import Contact
from edge.panel.state import PanelState, is_sound


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """What is kept. `used`: the contacts that counted as used, so that one held over a restart is not pressed anew."""

    boot_id: str
    panel: PanelState
    used: tuple[Contact, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What was found. `saved` is None when there is nothing to resume; `problem` says why, if that is wrong.

    `is_first_start`: no panel has run in this boot, so a button that is closed now was closed when the machine started.
    """

    saved: Saved | None
    is_first_start: bool
    problem: str = ""


def load(path: Path, boot_id: str) -> Loaded:
    """What an earlier panel of this boot left. Never raises: without it the alarm must work all the same."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return Loaded(saved=None, is_first_start=True)
    except OSError as err:
        return Loaded(saved=None, is_first_start=False, problem=f"{path}: cannot be read: {err.strerror}")
    try:
        saved = decode(Saved, raw)
    except BadMessage as err:
        return Loaded(saved=None, is_first_start=False, problem=f"{path}: {err}")
    if saved.boot_id != boot_id:
        return Loaded(saved=None, is_first_start=True)
    if not is_sound(saved.panel):
        return Loaded(saved=None, is_first_start=False, problem=f"{path}: its parts contradict each other")
    return Loaded(saved=saved, is_first_start=False)


def save(path: Path, saved: Saved) -> None:
    """Replace the file whole. Raises StoreError; then the last one is still there."""
    Disk().swap(path, encode(saved))
