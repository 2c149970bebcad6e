"""Asks systemd for the properties of a unit as they are in force. The only file that runs `systemctl`."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_PATIENCE_S: Final = 10.0
RUNS: Final = Path("run/systemd/system")  # sd_booted(3)


def show(unit: str, keys: Sequence[str]) -> dict[str, str] | None:
    """The properties of a unit by name; None when no systemd answers here."""
    command = ["systemctl", "show", "--no-pager", f"--property={','.join(keys)}", unit]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_PATIENCE_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode != 0:
        return None
    return {key: value for key, equals, value in (line.partition("=") for line in done.stdout.splitlines()) if equals}
