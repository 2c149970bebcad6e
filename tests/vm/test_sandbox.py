"""From inside each unit: what a process could do if it were taken over. `probe.py` tries, in the very sandbox of the unit.

The probe is started by a copy of the unit that differs in its command, and outside any sandbox by root: there all of it
succeeds, so what fails inside is the sandbox's work.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.units.reading import SERVICES
from tests.vm.image import Image
from tests.vm.machine import Machine, new_machine

pytestmark = pytest.mark.vm

PATIENCE_S: Final = 600.0  # each tries every folder twice, and the machine may be emulated
RUN: Final = "/run/spreekkamer"
STORE: Final = "/var/lib/spreekkamer"
HARMLESS: Final = {"/dev/full", "/dev/null", "/dev/random", "/dev/urandom", "/dev/zero", "/dev/ptmx"}
KEYS: Final = ("/root/officer.key", "/home/officer/officer.key", "/media/stick/officer.key")

# What each may make files in; of the store, all that is below it.
FOLDERS: Final[dict[str, set[str]]] = {
    "guard": {f"{RUN}/panel", f"{RUN}/panel-own", f"{RUN}/panel-link"},
    "record": {f"{RUN}/recorder"},
    "keep": {f"{RUN}/vault", f"{RUN}/vault-ingest", f"{RUN}/vault-clips", STORE},
    "show": set(),
    "purge": {STORE},
}
# Devices beside the harmless ones, by how their names begin.
DEVICES: Final[dict[str, tuple[str, ...]]] = {
    "guard": ("/dev/gpiochip",),
    "record": ("/dev/video", "/dev/snd/"),
    "keep": (),
    "show": (),
    "purge": (),
}
# What nobody may, and root outside can.
FORBIDDEN: Final = ("sees_others", "unshares", "mounts", "traces", "makes_rings", "runs_what_it_writes")

_INSTALL: Final = """
    cp -r /project/systemd/spreekkamer* /etc/systemd/system/
    mkdir -p /etc/sysusers.d /etc/tmpfiles.d; cp /project/systemd/sysusers.d/* /etc/sysusers.d/; cp /project/systemd/tmpfiles.d/* /etc/tmpfiles.d/
    systemd-sysusers; systemd-tmpfiles --create
    for key in %(keys)s; do install -D -m 644 /etc/hostname $key; done
    chmod 711 /root; chmod 755 /home/officer /media/stick
    for name in %(names)s; do
        sed -e 's,^ExecStart=.*,ExecStart=/usr/bin/python3 -I /project/tests/vm/probe.py,; s,^Type=.*,Type=oneshot,' \
            -e '/^Restart/d; /^Watchdog/d; /^Sockets/d; /^TimeoutStart/d' \
            /etc/systemd/system/spreekkamer-$name.service >/run/systemd/system/spreekkamer-probe-$name.service
    done
    systemctl daemon-reload
"""

Could = dict[str, Any]


@pytest.fixture(scope="module")
def rig(made: Image) -> Iterator[Machine]:
    """A machine with the units, and keys that lie about where anybody could read them but for the sandbox."""
    with new_machine(made) as new:
        new.start()
        new.sh(_INSTALL % {"keys": " ".join(KEYS), "names": " ".join(SERVICES)})
        yield new


@pytest.fixture(scope="module")
def could(rig: Machine) -> dict[str, Could]:
    """What the probe could do in each unit, and outside."""
    found: dict[str, Could] = {}
    for name in SERVICES:  # the vault first makes the store, as it does at an installation
        unit = f"spreekkamer-probe-{name}"
        rig.sh(f"systemctl start {unit}", patience_s=PATIENCE_S)
        said = rig.sh(f"journalctl --quiet --unit={unit} --output=cat --no-pager | grep '^{{'")
        found[name] = json.loads(said.splitlines()[-1])
    outside = rig.sh("python3 -I /project/tests/vm/probe.py", patience_s=PATIENCE_S)
    return found | {"outside": json.loads(outside)}


@pytest.mark.parametrize("name", SERVICES)
def test_a_process_makes_files_in_its_own_folders_alone(could: dict[str, Could], name: str) -> None:
    made = {STORE if folder.startswith(f"{STORE}/") else folder for folder in could[name]["creates_in"]}
    assert made == FOLDERS[name]
    assert {"/", "/etc", "/tmp", "/dev/shm", "/run/lock", f"{RUN}/panel"} <= set(could["outside"]["creates_in"])


def test_the_recorder_and_the_service_cannot_write_a_byte_anywhere(could: dict[str, Could]) -> None:
    assert could["record"]["writes_in"] == could["show"]["writes_in"] == []
    assert could["outside"]["writes_in"] == could["outside"]["creates_in"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_process_opens_its_own_devices_alone(could: dict[str, Could], name: str) -> None:
    opened = set(could[name]["opens"]) - HARMLESS - {path for path in could[name]["opens"] if "/pts/" in path}
    assert all(path.startswith(DEVICES[name]) for path in opened) if DEVICES[name] else not opened, opened
    for kind in DEVICES[name]:
        assert any(path.startswith(kind) for path in opened), kind
    assert {"/dev/gpiochip0", "/dev/video0", "/dev/vda"} <= set(could["outside"]["opens"])


@pytest.mark.parametrize("name", SERVICES)
def test_no_process_can_make_a_network_socket(could: dict[str, Could], name: str) -> None:
    assert could[name]["makes_sockets"] == []
    assert could["outside"]["makes_sockets"] == ["AF_INET", "AF_INET6", "AF_NETLINK", "AF_PACKET"]


@pytest.mark.parametrize("name", SERVICES)
def test_no_process_reads_a_key_and_only_the_keepers_see_the_store(could: dict[str, Could], name: str) -> None:
    assert could[name]["reads_secrets"] == []
    assert could[name]["reads_store"] is (name in {"keep", "purge"})
    assert could["outside"]["reads_secrets"] == list(KEYS)
    assert could["outside"]["reads_store"] is True


@pytest.mark.parametrize("name", SERVICES)
def test_no_process_gets_at_the_kernel_or_at_another_process(could: dict[str, Could], name: str) -> None:
    assert {what: could[name][what] for what in FORBIDDEN} == dict.fromkeys(FORBIDDEN, False)
    assert {what: could["outside"][what] for what in FORBIDDEN} == dict.fromkeys(FORBIDDEN, True)


@pytest.mark.parametrize("name", SERVICES)
def test_a_process_may_ask_whether_the_clock_is_right(could: dict[str, Could], name: str) -> None:
    assert could[name]["knows_whether_the_clock_is_right"], "else expiry would never trust a clock"
