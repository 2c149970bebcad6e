"""A room in the virtual machine: the product installed, on the machine's camera, microphone and header."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from edge.desk.keys import new_key
from tests.vm.machine import IS_FAST, Machine

PATIENCE_S: Final = 60.0 if IS_FAST else 600.0
PINS: Final = {"panic": 17, "reset": 27, "privacy": 22, "alarm": 5, "lamp_official": 6, "lamp_resident": 13}
TONE_HZ: Final = 440
_STORE: Final = "/var/lib/spreekkamer"
_CONFIG: Final = """\
[room]
name = "Spreekkamer 1"
arming = "always"

[governance]
controller = "Gemeente Voorbeeld"
dpo_contact = "fg@voorbeeld.example"
purpose = "test"
criteria = "test"
criteria_by = "test"
less_intrusive = "test"
legal_basis = "gerechtvaardigd belang"
dpia_reference = "test"
dpia_date = 2026-01-15
review_by = 2099-01-15
works_council_consent = "test"

[camera]
source = "v4l2:/dev/v4l/by-id/usb-vivid-index0"
width = 320
height = 180
fps = 5

[microphone]
mode = "in_ring"
source = "alsa:Loopback"

[retention]
reserve_clips = 1

[seal]
recipients = ["{recipient}"]

[panel]
panic = {{ pin = 17 }}
reset = {{ pin = 27 }}
privacy = {{ pin = 22 }}
alarm = {{ pin = 5 }}
lamp_official = {{ pin = 6 }}
lamp_resident = {{ pin = 13 }}
"""


class Room:
    """Hands on a room. `key` is the officer's, outside the machine."""

    def __init__(self, machine: Machine, folder: Path) -> None:
        self.machine = machine
        self.key = folder / "officer.key"
        self._recipient = new_key(self.key)

    def install(self) -> None:
        """Install and start. To come: the project's own installer and units; until then the processes are started bare."""
        self.machine.put(_CONFIG.format(recipient=self._recipient).encode(), "/etc/spreekkamer/config.toml")
        for name in ("guard", "keep", "record"):
            self.machine.exec(
                *("systemd-run", "--quiet", f"--unit=spreekkamer-{name}", "-p", "Restart=always", "-p", "LimitCORE=0"),
                *("-p", "LimitMEMLOCK=infinity", "-p", "WorkingDirectory=/project", "-E", "GPIOZERO_PIN_FACTORY=lgpio"),
                *("-E", "PYTHONDONTWRITEBYTECODE=1", "/opt/tests/bin/python", "-m", "edge", name),
                *("--config", "/etc/spreekkamer/config.toml"),
            )

    def wait(self, process: str, *wanted: str) -> dict[str, Any]:
        """The first snapshot of panel, recorder or vault that says this: `state="listening"`, `ring.seconds=>5`."""
        done = self.machine.exec(
            *("/usr/bin/python3", "/project/tests/vm/inside/watch.py", f"/run/spreekkamer/{process}/status.sock"),
            *(str(PATIENCE_S), *wanted),
            patience_s=PATIENCE_S + 60,
            is_checked=False,
        )
        journal = "" if done.code == 0 else self.machine.sh("journalctl --no-pager -n 40 -u 'spreekkamer-*'")
        assert done.code == 0, f"{process} never says {' '.join(wanted)}: {done.out[-3000:]}\n{done.err}{journal}"
        told: dict[str, Any] = json.loads(done.out)
        return told

    def use(self, contact: str, *, is_used: bool) -> None:
        """Close a contact, or let it go."""
        self.machine.sh(f"echo pull-{'down' if is_used else 'up'} >/run/gpio/{PINS[contact]}/pull")

    def is_high(self, output: str) -> bool:
        return self.machine.get(f"/run/gpio/{PINS[output]}/value") == b"1\n"

    def play(self, file: str) -> None:
        """Sound in the room, over and over."""
        self.machine.exec(
            *("systemd-run", "--quiet", "--unit=played", "-p", "Restart=always", "-p", "RestartSec=0"),
            *("aplay", "--quiet", "-D", "plughw:Loopback,1", file),
        )

    def store(self, to: Path) -> Path:
        """The store as it is now, copied out of the machine."""
        return self.machine.get_folder(_STORE, to)
