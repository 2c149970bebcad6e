"""Reads what a machine says of itself below `root`, which is `/`, or a test's folder. Opens no device, writes nothing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

_WHERE: Final = (
    "usr/lib",
    "run",
    "etc",
)  # lowest first; a name in a later one hides it in an earlier (systemd.unit(5))


def lines(path: Path) -> list[str]:
    """The lines of a text; none when it is not there or cannot be read."""
    try:
        return path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return []


def word(path: Path) -> str | None:
    """The one line of a file of the kernel; None when it cannot be read."""
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return None


def below(root: Path, path: Path) -> Path:
    """An absolute path of the machine, as it lies below `root`."""
    return root / path.relative_to("/")


def setting(root: Path, file: str, section: str, key: str) -> str | None:
    """A setting in the manner of systemd: `file` and its drop-ins `file.d/*.conf`, the last one that says it counts.

    `file` is named from etc, such as `systemd/journald.conf`. None when nothing says it.
    """
    main = [found for where in reversed(_WHERE) if (found := root / where / file).is_file()][:1]
    drop_ins: dict[str, Path] = {}
    for where in _WHERE:
        drop_ins |= {path.name: path for path in (root / where / f"{file}.d").glob("*.conf")}
    value: str | None = None
    for path in (*main, *(drop_ins[name] for name in sorted(drop_ins))):
        value = _of_section(lines(path), section, key) or value
    return value


def _of_section(text: list[str], section: str, key: str) -> str | None:
    here, value = "", None
    for line in text:
        if header := re.fullmatch(r"\s*\[(.+)\]\s*", line):
            here = header[1]
        elif here == section and (pair := re.fullmatch(r"\s*([^#;=\s]+)\s*=\s*(.*?)\s*", line)) and pair[1] == key:
            value = pair[2]
    return value


def is_enabled(root: Path, unit: str) -> bool:
    """Something starts this unit at the next boot: a link in a `.wants` folder, and it is not masked."""
    mask = root / "etc/systemd/system" / unit
    if mask.is_symlink() and mask.readlink() == Path("/dev/null"):
        return False
    wants = [folder for where in _WHERE for folder in (root / where / "systemd/system").glob("*.wants")]
    return any((folder / unit).is_symlink() for folder in wants)


def unit_file(root: Path, unit: str) -> Path | None:
    """Where a unit is installed; None when it is not."""
    for where in (*reversed(_WHERE), "lib"):
        if (path := root / where / "systemd/system" / unit).is_file():
            return path
    return None
