"""A room in a machine: the product put into the image by its own installer, its people's hands, and eyes on its status.

What the machine acknowledged is learnt by asking it up to its end: `eyes` writes down in the guest's RAM what the status
sockets say, with the hash of each segment that is said to be safe, and `Room.look` brings it out.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from edge.desk.keys import new_key
from tests.setup.rooms import RECORD
from tests.support.processes import until
from tests.vm.agent import AgentError
from tests.vm.image import PROJECT, Image
from tests.vm.machine import IS_FAST, PATIENCE_S, Machine

VIVID: Final = "v4l2:/dev/v4l/by-id/usb-vivid-index0"
LOOPBACK: Final = "v4l2:/dev/v4l/by-id/usb-loopback-index0"
STORE: Final = "/var/lib/spreekkamer"
_CONFIG: Final = "/etc/spreekkamer/config.toml"
LINES: Final = {"panic": 17, "reset": 27, "alarm": 5, "lamp_official": 6, "lamp_resident": 13}
_SLOW_S: Final = 4 * PATIENCE_S  # for what takes a room's start: four processes, a camera, an encoder

# As an image builder does it. Its mounts are gone with it, however it ends. lgpio is in no lock for a PC: its package's files
# go where a distribution has them.
_INSTALL: Final = """
mount -o loop "$1" "$2"
mkdir -p "$2/project" "$2/wheels"
mount --rbind "$3" "$2/project"
mount --bind "$4" "$2/wheels"
mount -t proc proc "$2/proc"
cat >"$2/run/lgpio.py" <<'END'
import glob, zipfile
with zipfile.ZipFile(glob.glob("/wheels/lgpio-*")[0]) as wheel:
    wheel.extractall("/usr/lib/python3/dist-packages", [name for name in wheel.namelist() if "/" not in name])
END
env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 chroot "$2" /bin/sh -ec \\
    'python3 /run/lgpio.py; rm /run/lgpio.py; cd /project; ./install.sh --wheels /wheels;
    systemctl --quiet disable spreekkamer.target'
for unit in $5; do
    mkdir -p "$2/etc/systemd/system/spreekkamer-$unit.service.d"
    printf '[Service]\\nWatchdogSec=10min\\nTimeoutStartSec=20min\\nCPUSchedulingPolicy=other\\n' \\
        >"$2/etc/systemd/system/spreekkamer-$unit.service.d/90-emulated.conf"
done
umount -R "$2"
"""
# Emulated on a busy computer, a start that takes long and a process that hangs look alike, and one that goes before all
# others holds up the machine; so there these units have patience, which is not what the scenarios try.
_PATIENT: Final = "" if IS_FAST else "guard record keep show"

# Runs in the guest: what the three say, a few times a second.
_EYES: Final = """
import contextlib, hashlib, json, os, socket, time
run, store, acknowledged = "/run/spreekkamer", "/var/lib/spreekkamer/clips", {}

def status(name):
    with contextlib.suppress(OSError, ValueError), socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(1)
        sock.connect(f"{run}/{name}/status.sock")
        return json.loads(b"".join(iter(lambda: sock.recv(65536), b"")))

while True:
    said = {name: status(name) for name in ("panel", "recorder", "vault")}
    clip = (said["recorder"] or {}).get("clip")
    for number in range(clip["segments_safe"] if clip else 0):
        name = f"{clip['clip']}/{number:04}.age"
        with contextlib.suppress(OSError):  # deleted meanwhile
            if name not in acknowledged:
                with open(f"{store}/{name}", "rb") as file:
                    acknowledged[name] = hashlib.sha256(file.read()).hexdigest()
    with open("/run/eyes.new", "w") as file:
        json.dump(said | {"acknowledged": acknowledged}, file)
    os.rename("/run/eyes.new", "/run/eyes.json")
    time.sleep(0.3)
"""


def installed(image: Image, to: Path) -> Image:
    """The image with the product in it, made in the folder `to`; without a configuration, and nothing starts before `furnish`."""
    raw, mount, root = to / "room.raw", to / "mount", to / "room.qcow2"
    mount.mkdir()
    _convert("qcow2", image.root, "raw", raw)
    try:
        command = [
            "unshare",
            "--mount",
            "sh",
            "-euc",
            _INSTALL,
            "sh",
            *map(str, (raw, mount, PROJECT, image.wheels, _PATIENT)),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        _convert("raw", raw, "qcow2", root)
    finally:
        raw.unlink()
        mount.rmdir()
    return dataclasses.replace(image, root=root)


def _convert(form: str, source: Path, new_form: str, to: Path) -> None:
    subprocess.run(["qemu-img", "convert", "-f", form, "-O", new_form, str(source), str(to)], check=True)


def clip_of(seen: dict[str, Any]) -> dict[str, Any]:
    """The clip that the recorder tells of, being made or made last; empty when there is none, or no recorder."""
    return (seen["recorder"] or {}).get("clip") or {}


class Room:
    """A machine with the product in it. `key` opens its clips; it lies outside, in `folder`."""

    def __init__(self, machine: Machine, folder: Path) -> None:
        self.machine = machine
        self.key = folder / "officer.key"
        self._recipient = new_key(self.key)

    def furnish(
        self,
        *,
        camera: str,
        width: int,
        height: int,
        fps: int,
        microphone: str = "off",
        ring_s: int = 30,
        retention_s: int = 3600,
        unit: str = "spreekkamer.target",
    ) -> None:
        """Say what the room is, and start it (`unit`: this much of it)."""
        panel = "\n".join(f"{name} = {{ pin = {line} }}" for name, line in LINES.items())
        text = f"""\
[room]
name = "Spreekkamer 2"
arming = "always"
{RECORD}
[camera]
source = "{camera}"
width = {width}
height = {height}
fps = {fps}
[microphone]
mode = "{microphone}"
source = "alsa:Loopback"
[ring]
seconds = {ring_s}
[seal]
recipients = ["{self._recipient}"]
[retention]
seconds = {retention_s}
reserve_clips = 1
[panel]
{panel}
"""
        self.machine.put(text.encode(), _CONFIG)
        # Not reloaded: that made the emulated machine silent for more than a minute, four times in four.
        self.machine.sh("systemctl --quiet --no-reload enable spreekkamer.target; sync", patience_s=_SLOW_S)
        self.machine.sh(f"systemctl restart --no-block {unit}")

    # Eyes

    def watch(self) -> None:
        """Begin to look. To be said after each start of the machine."""
        self.machine.put(_EYES.encode(), "/run/eyes.py")
        self.machine.sh("systemd-run --quiet --unit eyes python3 -ISB /run/eyes.py")

    def look(self) -> dict[str, Any]:
        """What `panel`, `recorder` and `vault` said last (None: nothing), and the hashes of what is `acknowledged`."""
        said: dict[str, Any] = json.loads(self.machine.get("/run/eyes.json"))
        return said

    def wait(
        self, condition: Callable[[dict[str, Any]], Any], *, what: str, patience_s: float = _SLOW_S
    ) -> dict[str, Any]:
        """The first look that fulfils a condition."""
        seen: list[dict[str, Any]] = [{}]

        def is_so() -> bool:
            try:
                seen[0] = self.look()
            except AgentError:  # not written yet
                return False
            return bool(condition(seen[0]))

        try:
            until(is_so, patience_s=patience_s, every_s=0.1, what=what)
        except AssertionError as err:
            journal = self.machine.sh("journalctl -b --no-pager -n 80 -u 'spreekkamer-*'")
            raise AssertionError(f"{err}\n{seen[0]}\n{journal}") from None
        return seen[0]

    def wait_state(self, state: str) -> dict[str, Any]:
        """The first look at which the recorder is `listening`, `recording` or whatever is asked for."""
        return self.wait(lambda seen: seen["recorder"] and seen["recorder"]["state"] == state, what=f"state {state}")

    def is_high(self, output: str) -> bool:
        """What drives a lamp or the relay."""
        return self.machine.get(f"/run/gpio/{LINES[output]}/value") == b"1\n"

    # Hands

    def press(self) -> None:
        self._use("panic", lambda seen: seen["panel"] and seen["panel"]["is_alarm_on"], "the alarm")

    def reset(self) -> None:
        self._use("reset", lambda seen: seen["panel"] and not seen["panel"]["is_alarm_on"], "the reset")

    def play(self, file: str) -> None:
        """Sound in the room, over and over."""
        play = f"while aplay -q -D plughw:Loopback,1 {file}; do :; done"
        self.machine.sh(f"systemd-run --quiet --unit sound sh -c '{play}'")

    def _use(self, contact: str, has_worked: Callable[[dict[str, Any]], Any], what: str) -> None:
        self.machine.sh(f"echo pull-down >/run/gpio/{LINES[contact]}/pull")
        self.wait(has_worked, what=what)
        self.machine.sh(f"echo pull-up >/run/gpio/{LINES[contact]}/pull")

    # What is left

    def store(self, to: Path) -> Path:
        """A copy of the store, as it is on the disk, in the new folder `to`."""
        shutil.rmtree(to, ignore_errors=True)
        # Not the reserve, which is large and empty. The vault goes on meanwhile: tar would not like it.
        wanted = "clips ledger*.json* device.pub.pem $(test ! -e trash || echo trash)"
        self.machine.sh(f"rm -rf /run/copy; mkdir /run/copy; cd {STORE}; cp -a {wanted} /run/copy")
        return self.machine.get_folder("/run/copy", to)

    def cut_off(self) -> list[str]:
        """Files of the store that were being written when the machine ended, and are still there."""
        return self.machine.sh(f"find {STORE} -name '*.tmp' ! -newer /run/gpio").split()
