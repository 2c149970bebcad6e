"""install.sh on a machine that has just booted, with its real systemd: a room by one command and a file of answers, brought
up to date only when nobody needs it, and taken away without its clips.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.setup.rooms import ANSWERS
from tests.support.processes import until
from tests.vm.image import PROJECT, Image
from tests.vm.machine import IS_FAST, Machine, new_machine

pytestmark = pytest.mark.vm

CONFIG: Final = "/etc/spreekkamer/config.toml"
INSTALL: Final = "/project/install.sh"
ROOM: Final = (
    ANSWERS.replace("usb-Cam_1-video-index0", "usb-vivid-index0")
    .replace('contact = "pair", pin_closed = 6', 'contact = "no"')
    .replace("[seal]", "width = 320\nheight = 180\nfps = 5\n\n[seal]")
    .replace("[panel]", "[clip]\npost_press_seconds = 900\n\n[panel]")
)
SLOWLY: Final = "/usr/local/lib/systemd/system/spreekkamer-.service.d/99-emulated.conf"
STATUS: Final = f"""
/opt/spreekkamer/venv/bin/python -IB - <<'END'
from pathlib import Path
from edge.config import load
from edge.wire import read_snapshot
print(read_snapshot(load(Path("{CONFIG}")).paths.status_socket("recorder")).decode())
END
"""
PIDS: Final = "systemctl show -p MainPID --value spreekkamer-guard spreekkamer-record spreekkamer-keep"


def install(machine: Machine, *arguments: str) -> tuple[int, str]:
    done = machine.exec(INSTALL, "--wheels", "/wheels", *arguments, is_checked=False, patience_s=2400.0)
    return done.code, done.out + done.err


def recorder(machine: Machine) -> dict[str, Any]:
    done = machine.exec("sh", "-c", STATUS, is_checked=False)
    said: dict[str, Any] = json.loads(done.out) if done.code == 0 else {"state": "away"}
    return said


def waits_for(machine: Machine, state: str) -> None:
    seen: list[dict[str, Any]] = []

    def is_so() -> bool:
        seen.append(recorder(machine))
        return bool(seen[-1]["state"] == state)

    try:
        until(is_so, patience_s=120.0 if IS_FAST else 900.0, every_s=0.5, what=state)
    except AssertionError as err:
        journal = machine.sh("journalctl -b --no-pager -n 60 -u 'spreekkamer-*'")
        raise AssertionError(f"{err}\n{seen[-1]}\n{journal}") from None


def clips(machine: Machine) -> list[str]:
    return machine.sh("ls /var/lib/spreekkamer/clips").split()


@pytest.fixture(scope="module")
def program(made: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The program's folder as an image builder makes it, with the installer's own --root, by its name in the guest. With it
    lgpio, which is of the distribution where it has no wheel: on Python 3.13, and here on a PC.

    In an emulated machine pip takes half an hour. Should the guest want another version, it makes its own after all.
    """
    root = tmp_path_factory.mktemp("program")
    with zipfile.ZipFile(next(made.wheels.glob("lgpio-*"))) as wheel:
        modules = [name for name in wheel.namelist() if "/" not in name]
        wheel.extractall(root / "usr/lib/python3/dist-packages", modules)
    command: list[str | Path] = [PROJECT / "install.sh", "--root", root, "--wheels", made.wheels]
    subprocess.run(command, env=os.environ | {"PYTHON": "/usr/bin/python3"}, check=True, timeout=1800.0)
    packed = PROJECT / ".venv/program.tar"  # a place in the checkout that the guest sees and git does not
    folders = ["opt/spreekkamer/versions", "usr/lib/python3/dist-packages"]
    subprocess.run(["tar", "-cf", packed, "-C", root, *folders], check=True)
    shutil.rmtree(root)
    yield f"/project/.venv/{packed.name}"
    packed.unlink()


@pytest.fixture(scope="module")
def room(made: Image, program: str) -> Iterator[Machine]:
    """A machine on which the one command and the answers were run, and which was restarted as they ask."""
    with new_machine(made) as machine:
        machine.start()
        machine.exec(
            "systemctl", "is-system-running", "--wait", is_checked=False
        )  # the host's folders are mounted late
        if not IS_FAST:
            machine.put(b"[Service]\nTimeoutStartSec=15min\nTimeoutStopSec=5min\n", SLOWLY)
        machine.sh(f"tar -xf {program} -C / --no-same-owner", patience_s=1200.0)
        code, said = install(machine)
        assert code == 0, said
        machine.put(ROOM.encode(), "/root/answers.toml", mode=0o600)
        machine.sh("spreekkamer setup --answers /root/answers.toml")
        machine.sh("sync")
        machine.power_cut()  # a restart that nobody prepared
        machine.restart()
        yield machine


def test_the_room_listens_after_one_command_and_a_restart(room: Machine) -> None:
    waits_for(room, "listening")
    code, said = install(room, "--check")
    assert (code, said) == (0, "everything is as it should be\n")


def test_the_machine_is_as_the_firmware_configuration_says(room: Machine) -> None:
    assert room.sh("cat /proc/sys/kernel/core_pattern") == "core\n"
    assert room.sh("swapon --noheadings") == ""
    # What was written before the installation stays; nothing is added.
    assert room.sh("find /var/log/journal -type f -newer /run/gpio 2>/dev/null || true") == ""
    assert room.sh("find /run/log/journal -name system.journal | wc -l") == "1\n"
    assert room.sh("systemctl is-enabled swap.target || true") == "masked\n"
    assert "unknown" not in room.sh("journalctl -b --no-pager _PID=1 | grep -i 90-spreekkamer || true").lower()
    rules = room.sh("nft list ruleset")
    assert "policy drop" in rules
    assert "tcp dport 22 accept" in rules


def test_the_same_version_again_restarts_nothing(room: Machine) -> None:
    before = room.sh(PIDS)
    code, said = install(room)
    assert (code, said) == (0, "install: everything is as it should be\n")
    assert room.sh(PIDS) == before


def test_nothing_is_touched_while_a_clip_is_recorded(room: Machine) -> None:
    waits_for(room, "listening")
    before = room.sh(PIDS)
    room.sh("echo '# edited' >>/etc/modprobe.d/90-spreekkamer.conf")
    room.sh("echo pull-down >/run/gpio/5/pull; sleep 0.2; echo pull-up >/run/gpio/5/pull")
    waits_for(room, "recording")
    code, said = install(room)
    assert code == 1
    assert "an alarm is on" in said or "a clip is being recorded" in said
    assert room.sh(PIDS) == before
    assert room.sh("tail -1 /etc/modprobe.d/90-spreekkamer.conf") == "# edited\n"
    room.sh("echo pull-down >/run/gpio/16/pull; sleep 0.2; echo pull-up >/run/gpio/16/pull")
    waits_for(room, "listening")
    until(lambda: install(room)[0] == 0, patience_s=900.0, every_s=1.0, what="an installation after the reset")
    assert "edited" not in room.sh("cat /etc/modprobe.d/90-spreekkamer.conf")
    waits_for(room, "listening")


def test_taking_it_away_leaves_the_clip_and_the_way_back(room: Machine, program: str) -> None:
    kept = clips(room)
    assert kept
    code, said = install(room, "--uninstall")
    assert code == 0, said
    assert f"{len(kept)} sealed clips are still in /var/lib/spreekkamer/clips" in said
    assert room.sh("ls -d /opt/spreekkamer /etc/systemd/system/spreekkamer* 2>/dev/null || true") == ""
    assert room.sh("systemctl list-units --no-legend 'spreekkamer*'") == ""
    assert room.sh(f"test -f {CONFIG}; pgrep -f '[o]pt/spreekkamer' | wc -l") == "0\n"
    room.sh(f"tar -xf {program} -C / --no-same-owner", patience_s=1200.0)  # as before the first
    code, said = install(room)  # and back again, with the same room
    assert code == 0, said
    waits_for(room, "listening")
    assert clips(room) == kept
