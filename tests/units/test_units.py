"""What the units say, as tables that a person can read."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.config import Paths
from edge.errors import EXIT_CONFIG
from edge.vault.watch import SILENT_NS
from tests.units.reading import SERVICES, SYSTEMD, read, service

PATHS = Paths()

# What every process has given up.
EVERYWHERE = {
    "NoNewPrivileges": "yes",
    "CapabilityBoundingSet": "",
    "AmbientCapabilities": "",
    "UMask": "0077",
    "LimitCORE": "0",
    "MemorySwapMax": "0",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "ReadOnlyPaths": "/tmp /var/tmp | /run -/dev/shm -/dev/mqueue",
    "PrivateMounts": "yes",
    "DevicePolicy": "closed",
    "PrivateNetwork": "yes",
    "RestrictAddressFamilies": "AF_UNIX",
    "IPAddressDeny": "any",
    "ProtectProc": "invisible",
    "ProtectControlGroups": "yes",
    "ProtectHostname": "yes",
    "ProtectKernelLogs": "yes",
    "ProtectKernelModules": "yes",
    "ProtectKernelTunables": "yes",
    "RestrictNamespaces": "yes",
    "RestrictRealtime": "yes",
    "RestrictSUIDSGID": "yes",
    "RemoveIPC": "yes",
    "PrivateIPC": "yes",
    "KeyringMode": "private",
    "LockPersonality": "yes",
    "MemoryDenyWriteExecute": "yes",
    "SystemCallArchitectures": "native",
    "SystemCallErrorNumber": "EPERM",
    "SystemCallFilter": "@system-service | ~@aio @keyring @privileged @resources | adjtimex clock_adjtime clock_adjtime64",
}

ABSENT = None  # the key is not there: systemd's own default
HAS_STORE = "/var/lib/spreekkamer"  # made unreachable for who has no business in it
CREDENTIALS = (
    "page-password-hash:spreekkamer.page-password-hash | page-tls-certificate:spreekkamer.page-tls-certificate"
    " | page-tls-key:spreekkamer.page-tls-key"
)

# What is each one's own: guard, record, keep, show, purge.
OWN: dict[str, tuple[str | None, ...]] = {
    "User": ("spreekkamer-guard", "spreekkamer-record", "spreekkamer-keep", "spreekkamer-show", "spreekkamer-keep"),
    "SupplementaryGroups": ("gpio", "video audio", ABSENT, "spreekkamer-status", ABSENT),
    "DeviceAllow": ("char-gpiochip rw", "char-video4linux rw | char-alsa rw", ABSENT, ABSENT, ABSENT),
    "PrivateDevices": (ABSENT, ABSENT, "yes", "yes", "yes"),
    "PrivateUsers": ("yes", "yes", ABSENT, "yes", "yes"),  # the vault must see who asks
    "LimitFSIZE": (ABSENT, "0", ABSENT, "0", ABSENT),
    "LimitMEMLOCK": (ABSENT, "infinity", ABSENT, ABSENT, ABSENT),
    "StateDirectory": (ABSENT, ABSENT, "spreekkamer", ABSENT, "spreekkamer"),
    "StateDirectoryMode": (ABSENT, ABSENT, "0700", ABSENT, "0700"),
    "InaccessiblePaths": tuple(
        " | ".join([*([] if name in {"keep", "purge"} else [f"-{HAS_STORE}"]), "-/media -/mnt"]) for name in SERVICES
    ),
    "LoadCredential": (ABSENT, ABSENT, "device.key:spreekkamer.device.key", CREDENTIALS,
                       "device.key:spreekkamer.device.key"),
    "Type": ("notify", "notify", "notify", "notify", "oneshot"),
    "WatchdogSec": ("2s", "20s", "60s", "30s", ABSENT),
    "WatchdogSignal": ("SIGKILL", "SIGKILL", "SIGKILL", "SIGKILL", ABSENT),
    "Restart": ("always", "always", "always", "always", ABSENT),
    "RestartSec": ("100ms", "100ms", "1s", "1s", ABSENT),
    "RestartPreventExitStatus": (str(EXIT_CONFIG),) * 4 + (ABSENT,),
    "StartLimitIntervalSec": ("0", "0", "0", "0", ABSENT),
    "CPUSchedulingPolicy": ("rr", ABSENT, ABSENT, ABSENT, ABSENT),
    "OOMScoreAdjust": ("-1000", ABSENT, ABSENT, ABSENT, ABSENT),
}  # fmt: skip

WRITABLE = {
    "guard": {PATHS.panel_socket.parent, PATHS.panel_state.parent, PATHS.status_socket("panel").parent},
    "record": {PATHS.status_socket("recorder").parent},
    "keep": {PATHS.vault_socket.parent, PATHS.clips_socket.parent, PATHS.status_socket("vault").parent},
    "show": set(),
    "purge": set(),
}

# Each folder of sockets: who makes the socket, and the group that may connect.
FOLDERS = {
    PATHS.status_socket("panel").parent: ("spreekkamer-guard", "spreekkamer-status"),
    PATHS.panel_socket.parent: ("spreekkamer-guard", "spreekkamer-record"),
    PATHS.status_socket("recorder").parent: ("spreekkamer-record", "spreekkamer-status"),
    PATHS.status_socket("vault").parent: ("spreekkamer-keep", "spreekkamer-status"),
    PATHS.vault_socket.parent: ("spreekkamer-keep", "spreekkamer-record"),
    PATHS.clips_socket.parent: ("spreekkamer-keep", "spreekkamer-officers"),
}


@pytest.mark.parametrize("name", SERVICES)
def test_every_process_has_given_up_what_none_needs(name: str) -> None:
    unit = service(name)
    assert {key: unit.get(key) for key in EVERYWHERE} == EVERYWHERE


@pytest.mark.parametrize("key", OWN)
def test_each_process_has_what_it_alone_needs(key: str) -> None:
    assert {name: service(name).get(key) for name in SERVICES} == dict(zip(SERVICES, OWN[key], strict=True))


@pytest.mark.parametrize("name", SERVICES)
def test_only_the_folders_of_its_own_sockets_are_writable_beside_the_vaults_store(name: str) -> None:
    named = service(name).get("ReadWritePaths", "").split()
    assert {Path(path) for path in named} == WRITABLE[name]


@pytest.mark.parametrize("name", SERVICES)
def test_a_unit_runs_the_installed_command_on_the_rooms_configuration(name: str) -> None:
    command = f"/opt/spreekkamer/venv/bin/spreekkamer {name} --config /etc/spreekkamer/config.toml"
    assert service(name)["ExecStart"] == command


def test_nothing_in_a_unit_is_left_to_a_drop_in_that_is_not_there() -> None:
    assert Path(HAS_STORE) == PATHS.store, "the store that the units know is the one of the configuration"
    for name in SERVICES:
        keys = set(service(name)) - EVERYWHERE.keys() - OWN.keys()
        assert keys <= {
            "Description", "PartOf", "Before", "ExecStart", "TimeoutStartSec", "TimeoutStopSec", "TasksMax", "MemoryMax",
            "Environment", "WorkingDirectory", "ReadWritePaths", "CPUSchedulingPriority", "Sockets",
        }  # fmt: skip


def test_the_panel_starts_before_the_others_and_needs_none_of_them() -> None:
    guard = service("guard")
    assert set(guard["Before"].split()) == {f"spreekkamer-{name}.service" for name in ("record", "keep", "show")}
    for name in SERVICES:
        assert not {"Requires", "BindsTo", "Requisite", "After", "OnFailure"} & service(name).keys()


def test_the_panel_drives_real_pins_and_keeps_its_pipes_in_its_own_folder() -> None:
    environment = service("guard")["Environment"].split(" | ")
    assert "GPIOZERO_PIN_FACTORY=lgpio" in environment
    assert f"LG_WD={PATHS.panel_state.parent}" in environment


def test_the_folders_of_the_sockets_are_owned_and_grouped_by_who_speaks_there() -> None:
    lines = [line.split() for line in (SYSTEMD / "tmpfiles.d/spreekkamer.conf").read_text("utf-8").splitlines()]
    made = {Path(line[1]): line[2:] for line in lines if line and line[0] == "d"}
    for folder, (owner, group) in FOLDERS.items():
        assert made[folder] == ["2750", owner, group, "-"]
    own = PATHS.panel_state.parent
    assert made[own] == ["0700", "spreekkamer-guard", "spreekkamer-guard", "-"], "lgpio's pipes are in it"
    assert {path for path in made if path.is_relative_to(PATHS.run)} == {*FOLDERS, PATHS.run, own}
    assert made[Path("/etc/credstore")] == ["0700", "root", "root", "-"]


def test_every_account_and_group_that_is_named_is_made() -> None:
    lines = [line.split() for line in (SYSTEMD / "sysusers.d/spreekkamer.conf").read_text("utf-8").splitlines()]
    made = {line[1] for line in lines if line and line[0] in "ug"}
    named = {service(name)["User"] for name in SERVICES}
    for name in SERVICES:
        named |= set(service(name).get("SupplementaryGroups", "").split())
    named |= {name for names in FOLDERS.values() for name in names}
    assert made == named - {"video", "audio"}, "those two systemd makes itself"


def test_the_target_brings_the_whole_room() -> None:
    wanted = set(read(SYSTEMD / "spreekkamer.target")["Wants"].replace("|", " ").split())
    assert wanted == {
        *(f"spreekkamer-{name}.service" for name in ("guard", "record", "keep", "show")),
        "spreekkamer-show.socket", "spreekkamer-purge.timer",
    }  # fmt: skip
    assert read(SYSTEMD / "spreekkamer.target")["WantedBy"] == "multi-user.target"


def test_purge_runs_hourly_by_a_clock_that_cannot_jump() -> None:
    timer = read(SYSTEMD / "spreekkamer-purge.timer")
    assert timer["OnUnitInactiveSec"] == "1h"
    assert SILENT_NS > 3600 * 10**9, "the vault calls it silent only after it should have run"
    assert "OnCalendar" not in timer


def test_the_page_is_on_loopback_unless_somebody_says_otherwise() -> None:
    assert read(SYSTEMD / "spreekkamer-show.socket")["ListenStream"] == "127.0.0.1:8080"
    assert service("show")["Sockets"] == "spreekkamer-show.socket"


def test_a_network_camera_gives_the_recorder_one_address_and_takes_all_devices() -> None:
    unit = service("record", SYSTEMD / "examples/network-camera.conf")
    assert unit["PrivateNetwork"] == "no"
    assert unit["RestrictAddressFamilies"] == "AF_UNIX | AF_INET AF_INET6"
    assert (unit["IPAddressDeny"], unit["IPAddressAllow"]) == ("any", "192.0.2.10")
    assert (unit["DeviceAllow"], unit["SupplementaryGroups"]) == ("", "")
    assert unit["LoadCredential"] == "camera-login:spreekkamer.camera-login"


def test_the_other_examples_loosen_what_they_name_and_nothing_else() -> None:
    camera, plain = service("record", SYSTEMD / "examples/raspberry-pi-camera.conf"), service("record")
    assert {key: camera[key] for key in camera if camera[key] != plain.get(key)} == {
        "DeviceAllow": "char-video4linux rw | char-alsa rw | char-media rw | char-dma_heap rw",
        "LimitFSIZE": "infinity",
        "RestrictAddressFamilies": "AF_UNIX | AF_NETLINK",
    }
    outgoing, quiet = service("show", SYSTEMD / "examples/outgoing.conf"), service("show")
    assert {key: outgoing[key] for key in outgoing if outgoing[key] != quiet.get(key)} == {
        "PrivateNetwork": "no",
        "RestrictAddressFamilies": "AF_UNIX | AF_INET AF_INET6",
        "IPAddressAllow": "192.0.2.20 192.0.2.53",
    }
