"""What could be the room's eye and ear: cameras and microphones that are here. Looks at names only, opens nothing."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_CARD: Final = re.compile(r"^\s*(\d+) \[[^]]*\]: \S+ - (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Sources as the configuration names them."""

    cameras: tuple[str, ...]  # v4l2:/dev/v4l/by-id/…
    microphones: tuple[str, ...]  # alsa:NAME, cards that can record
    has_picamera: bool


def look(root: Path = Path("/")) -> Found:
    """Look around. `root` is the machine's, or a test's."""
    # index0 is the picture; a camera's other names are its metadata, which is no video.
    by_id = sorted((root / "dev/v4l/by-id").glob("*-video-index0"))
    return Found(
        cameras=tuple(f"v4l2:/dev/v4l/by-id/{path.name}" for path in by_id),
        microphones=tuple(f"alsa:{name}" for name in _recording_cards(root)),
        has_picamera=importlib.util.find_spec("picamera2") is not None,
    )


def _recording_cards(root: Path) -> list[str]:
    """Cards by the name that `arecord -l` has in brackets; two of one name cannot be told apart and are left out."""
    try:
        cards = _CARD.findall((root / "proc/asound/cards").read_text("utf-8", "replace"))
    except OSError:
        return []
    names = [name.strip() for number, name in cards if any((root / f"proc/asound/card{number}").glob("pcm*c"))]
    return [name for name in names if names.count(name) == 1]
