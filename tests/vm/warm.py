"""A machine that has booted, kept in the cache with its RAM, so that others go on from there in a second or two."""

from __future__ import annotations

import json
import socket
import subprocess
from pathlib import Path
from typing import Any, Final

from tests.vm.agent import CLOCK
from tests.vm.image import PROJECT, Image, locked_cache, made
from tests.vm.machine import Hardware, Machine, Warm, command, new_machine

_ANSWER_S: Final = 30.0


def warm(image: Image, hardware: Hardware | None = None) -> Warm:
    """The booted machine, from the cache or booted now. QEMU takes RAM back only with the same version and devices."""
    hardware = hardware or Hardware()
    version = subprocess.run(["qemu-system-x86_64", "--version"], capture_output=True, text=True, check=True).stdout
    # Wherever its files are and whoever's checkout it is.
    devices = " ".join(command(image, Path("/"), hardware)).replace(str(PROJECT), "")
    procedure = Path(__file__).read_text("utf-8")
    with locked_cache() as cache:
        made_of = f"{image.root} {devices} {version} {procedure}"
        folder = made(cache, "warm", made_of, lambda to: _boot(image, hardware, to))
    return Warm(ram=folder / "ram", root=folder / "root.qcow2", hardware=hardware)


def _boot(image: Image, hardware: Hardware, to: Path) -> None:
    with new_machine(image) as machine:
        machine.start(hardware)
        machine.exec("systemctl", "is-system-running", "--wait")
        machine.sh("umount /project /wheels; sync")
        _save_ram(machine, to / "ram")
        machine.power_cut()
        (machine.folder / "root.qcow2").rename(to / "root.qcow2")


def _save_ram(machine: Machine, to: Path) -> None:
    """Move the running machine into a file; its disk is at rest then, and whoever takes the file up runs at once."""
    with socket.socket(socket.AF_UNIX) as monitor:
        monitor.settimeout(_ANSWER_S)
        monitor.connect(str(machine.folder / "monitor.sock"))
        lines = monitor.makefile("rw", encoding="utf-8")

        def ask(command: str, **arguments: str) -> dict[str, Any]:
            lines.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
            lines.flush()
            while "return" not in (answer := json.loads(lines.readline())):  # events come in between
                assert "error" not in answer, answer
            told: dict[str, Any] = answer["return"]
            return told

        ask("qmp_capabilities")
        ask("migrate", uri=f"exec:cat >{to}")
        while (status := ask("query-migrate")["status"]) != "completed":
            assert status not in {"failed", "cancelled"}, status
            CLOCK.sleep(0.1)
