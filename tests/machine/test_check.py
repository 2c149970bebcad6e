"""Each condition beyond the recorder's own, on a made-up machine: in order, and each way in which it is not."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Sequence
from io import StringIO
from pathlib import Path
from typing import Any, Final

import pytest

from edge.config import Config, Page, load
from edge.machine import devices, gpio, sandbox, store
from edge.machine.check import check, may_listen
from edge.machine.finding import Finding, State, fine, wrong
from edge.machine.gpio import Chip
from edge.machine.preflight import Today
from edge.machine.sandbox import PROMISED, Unit, excused
from edge.machine.shown import as_json, as_text
from edge.panel import board
from tests.machine.support import CAMERA, TCP, TODAY, enable, machine, put, recorded, room, seal, told
from tests.support.evidence import ROOM
from tests.support.processes import Room, memory_folder, ran

HEADER: Final = Chip(name="gpiochip0", label="pinctrl-rp1", lines=54)
GENERATOR: Final = "usr/lib/systemd/system-generators/rpi-swap-generator"
MOUNT: Final = "22 1 179:2 / / rw - ext4 /dev/sda2 rw\n"


def promised(unit: str, keys: Sequence[str]) -> dict[str, str]:
    """A systemd that has every unit in force as it is promised."""
    (process,) = (process for process, name in sandbox.UNITS.items() if name == unit)
    return {"LoadState": "loaded", "DropInPaths": "", **PROMISED[process]}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(gpio, "chips", lambda _root: [HEADER])
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    return machine(tmp_path)


def looked(root: Path, config: Config | None = None, **changed: Any) -> list[Finding]:
    return check(config or room(), root=root, **{"seal": seal, "today": TODAY, "show": promised, **changed})


def test_a_room_in_order_has_nothing_but_ok(root: Path) -> None:
    found = looked(root)
    assert told(found) == {}
    assert len(found) >= 20
    assert may_listen(found)
    assert all(not finding.fix for finding in found)


def spoil_mode(root: Path) -> None:
    (root / "var/lib/spreekkamer").chmod(0o755)


def spoil_login(root: Path) -> None:
    put(root, "etc/login", "user:password\n")
    (root / "etc/login").chmod(0o644)


def with_rpi_swap(root: Path) -> None:
    put(root, GENERATOR, "")


def with_rpi_swap_set_back(root: Path) -> None:
    """The administrator's cure, undone by a later file."""
    put(root, GENERATOR, "")
    put(root, "etc/rpi/swap.conf.d/80-off.conf", "[Main]\nMechanism=none\n")
    put(root, "etc/rpi/swap.conf.d/90-on.conf", "[Main]\nMechanism=zram+file\n")


def listening(address: str, port: int) -> str:
    return f"{TCP}   0: {address}:{port:04X} 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 99 1\n"


SPOILED: Final[dict[str, tuple[Callable[[Path], object], str, State, str]]] = {
    "rpi-swap as it comes": (with_rpi_swap, "swap-at-boot", State.WARNING, "rpi-swap (Mechanism=auto)"),
    "rpi-swap switched on again": (with_rpi_swap_set_back, "swap-at-boot", State.WARNING, "zram+file"),
    "dphys-swapfile": (lambda root: enable(root, "dphys-swapfile.service"), "swap-at-boot", State.WARNING, "dphys"),
    "a line in fstab": (
        lambda root: put(root, "etc/fstab", "UUID=1 none swap sw 0 0\n"), "swap-at-boot", State.WARNING, "UUID=1"),
    "zram-generator": (
        lambda root: put(root, "etc/systemd/zram-generator.conf", "[zram0]\nwriteback-device=/dev/sda3\n"),
        "swap-at-boot", State.WARNING, "zram-generator.conf"),
    "a journal that is kept": (
        lambda root: put(root, "etc/systemd/journald.conf", "[Journal]\nStorage=persistent\n"),
        "journal", State.WARNING, "persistent"),
    "a journal that is kept by its folder": (
        lambda root: (root / "var/log/journal").mkdir(parents=True), "journal", State.WARNING, "auto"),
    "a watchdog that nobody uses": (
        lambda root: put(root, "sys/class/watchdog/watchdog0/state", "inactive\n"), "watchdog", State.WARNING, "nobody"),
    "no watchdog": (
        lambda root: shutil.rmtree(root / "sys/class/watchdog"),
        "watchdog", State.WARNING, "no hardware watchdog"),
    "a camera that is unplugged": (lambda root: (root / CAMERA[1:]).unlink(), "camera", State.REFUSES, CAMERA),
    "a store that others may open": (spoil_mode, "store", State.WARNING, "0755"),
    "a store of somebody else": (
        lambda root: put(root, "etc/passwd", "spreekkamer-keep:x:999:999::/:/bin/false\n"),
        "store", State.WARNING, "not to spreekkamer-keep"),
    "no store": (lambda root: (root / "var/lib/spreekkamer").rmdir(), "store", State.WARNING, "not there"),
    "a store in RAM": (
        lambda root: put(root, "proc/self/mountinfo", MOUNT.replace("ext4", "tmpfs")),
        "store-disk", State.WARNING, "tmpfs"),
    "a store on a stick": (
        lambda root: put(root, "proc/self/mountinfo", MOUNT.replace("ext4", "vfat")),
        "store-disk", State.REFUSES, "vfat"),
    "a store on a disk that is read-only": (
        lambda root: put(root, "proc/self/mountinfo", MOUNT.replace("rw - ", "ro - ")),
        "store-disk", State.REFUSES, "read-only"),
    "a card that is not told what is free": (
        lambda root: put(root, "proc/self/mountinfo", MOUNT.replace("sda2", "mmcblk0p3")),
        "store-discard", State.WARNING, "mmcblk0p3"),
    "a remote shell": (lambda root: put(root, "usr/bin/rpi-connect", ""), "remote-shell", State.WARNING, "Connect"),
    "bluetooth": (lambda root: (root / "sys/class/bluetooth/hci0").mkdir(parents=True), "bluetooth", State.WARNING, "on"),
    "bluetooth at the next boot": (lambda root: enable(root, "bluetooth.service"), "bluetooth", State.WARNING, "on"),
    "avahi": (lambda root: enable(root, "avahi-daemon.service"), "avahi", State.WARNING, "avahi"),
    "SSH": (lambda root: put(root, "proc/net/tcp", listening("00000000", 22)), "open-ports", State.WARNING, "22 (SSH)"),
    "SSH by IPv6": (
        lambda root: put(root, "proc/net/tcp6", listening("0" * 32, 22)), "open-ports", State.WARNING, "22 (SSH)"),
    "a page that a socket unit opened": (
        lambda root: put(root, "proc/net/tcp", listening("00000000", 8080)), "page", State.WARNING, "8080"),
    "ports that cannot be seen": (
        lambda root: shutil.rmtree(root / "proc/net"),
        "open-ports", State.WARNING, "cannot be seen"),
    "no systemd": (lambda root: (root / "run/systemd/system").rmdir(), "units", State.WARNING, "no systemd"),
}  # fmt: skip


@pytest.mark.parametrize("name", SPOILED)
def test_each_thing_that_is_not_in_order_is_named_alone_with_what_mends_it(root: Path, name: str) -> None:
    spoil, code, state, culprit = SPOILED[name]
    spoil(root)
    found = looked(root)
    assert set(told(found)) == {code}
    [finding] = [finding for finding in found if finding.code == code]
    assert finding.state is state
    assert culprit in finding.detail
    assert finding.fix
    assert may_listen(found) is (state is not State.REFUSES)


def test_what_cures_swap_at_the_next_boot_is_believed(root: Path) -> None:
    put(root, GENERATOR, "")
    put(root, "usr/lib/rpi/swap.conf.d/50-vendor.conf", "[Main]\nMechanism=swapfile\n")
    put(root, "etc/rpi/swap.conf.d/50-vendor.conf", "# hides the vendor's\n")
    put(root, "etc/rpi/swap.conf", "[Zram]\nMechanism=file\n[Main]\nMechanism=zram\n")
    put(root, "etc/fstab", "/swap none swap sw,noauto 0 0\n")
    enable(root, "dphys-swapfile.service")
    (root / "etc/systemd/system/dphys-swapfile.service").symlink_to("/dev/null")
    assert told(looked(root)) == {}


@pytest.mark.parametrize(
    ("page", "says"),
    [
        (Page(bind="192.0.2.7", certificate="c", key="k", password_hash="h"), "with a password over TLS"),
        (Page(bind="192.0.2.7", names=("room.example",), proxies=("192.0.2.1",)), "through its proxies"),
    ],
)
def test_a_page_for_other_machines_is_told_with_what_guards_it(root: Path, page: Page, says: str) -> None:
    put(root, "proc/net/tcp", listening("070200C0", 8080))
    found = looked(root, room().model_copy(update={"page": page}))
    assert told(found) == {}
    [finding] = [finding for finding in found if finding.code == "page"]
    assert says in finding.detail


def test_a_port_of_this_machine_alone_is_no_door(root: Path) -> None:
    put(root, "proc/net/tcp", listening("0100007F", 22))
    put(root, "proc/net/tcp6", listening("0" * 24 + "01000000", 8080))
    assert told(looked(root)) == {}


def test_a_clock_that_nothing_keeps_right_is_told(root: Path) -> None:
    found = looked(root, today=Today(date=TODAY.date, is_trusted=False))
    assert told(found) == {"clock": "warning: no network source keeps the clock right"}


def test_a_disk_with_too_little_room_is_told_with_both_sizes() -> None:
    facts = store.Facts(path=Path("/s"), is_there=True, kind="ext4", mode=0o700, free_bytes=1_999_999_999)
    [finding] = [
        one for one in store.judge(facts, wanted_bytes=2_000_000_000, refuses=True) if one.state is not State.OK
    ]
    assert (finding.code, finding.state) == ("store-space", State.WARNING)
    assert "1999 MB" in finding.detail
    assert "2000 MB" in finding.detail


def test_what_the_reserve_holds_counts_as_room(root: Path) -> None:
    folder = root / "var/lib/spreekkamer"
    before = store.read(root, Path("/var/lib/spreekkamer")).free_bytes
    with (folder / "clips.reserve").open("wb") as file:
        file.truncate(1 << 40)  # a hole: it takes nothing of the disk
    after = store.read(root, Path("/var/lib/spreekkamer")).free_bytes
    assert before is not None
    assert after is not None
    assert after - before > 1 << 39


# --- camera, microphone, pins


def test_a_network_camera_needs_a_login_that_nobody_else_can_read(root: Path) -> None:
    config = room(camera={"source": "rtsp://camera.example/1", "login": "/etc/login"})
    assert "cannot be read" in told(devices.camera(root, config.camera))["camera-login"]
    spoil_login(root)
    assert "others may read" in told(devices.camera(root, config.camera))["camera-login"]
    (root / "etc/login").chmod(0o600)
    assert told(devices.camera(root, config.camera)) == {}
    by_credential = room(camera={"source": "rtsp://camera.example/1", "login": "camera"})
    assert told(devices.camera(root, by_credential.camera)) == {}


def test_a_raspberry_pi_camera_is_seen_by_its_sensor(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    camera = room(camera={"source": "picamera"}).camera
    assert "library" in told(devices.camera(root, camera))["camera"]
    monkeypatch.setattr(devices, "find_spec", lambda _name: object())
    assert "refuses: no Raspberry Pi camera" in told(devices.camera(root, camera))["camera"]
    put(root, "sys/class/video4linux/v4l-subdev0/name", "imx708\n")
    [found] = devices.camera(root, camera)
    assert (found.state, "imx708" in found.detail) == (State.OK, True)


@pytest.mark.parametrize(
    ("source", "missing"),
    [
        ("alsa:USB Microphone", None),
        ("default", None),
        ("alsa:Mic", "Mic is not there"),  # its id, which PortAudio does not know
        ("alsa:array", "array is not there"),
    ],
)
def test_a_microphone_is_known_by_the_name_in_brackets(root: Path, source: str, missing: str | None) -> None:
    found = told(looked(root, room(microphone={"mode": "in_ring", "source": source})))
    assert found == ({} if missing is None else {"microphone": f"warning: {missing}"})


def test_a_microphone_of_asound_conf_and_a_card_that_only_plays(root: Path) -> None:
    put(root, "proc/asound/pcm", "01-00: USB Audio : USB Audio : playback 1\n")
    config = room(microphone={"mode": "in_ring", "source": "alsa:array"})
    put(root, "etc/asound.conf", "pcm.array { type hw }\n")
    assert told(looked(root, config)) == {}
    assert "microphone" in told(looked(root, room(microphone={"mode": "in_ring", "source": "default"})))


def test_a_room_with_a_recording_whose_file_is_gone_does_not_listen(root: Path) -> None:
    assert "refuses" in told(looked(root, recorded()))["camera"]


@pytest.mark.parametrize(
    ("chips", "code", "culprit"),
    [
        ([], "gpio", "no GPIO chip"),
        ([Chip(name="gpiochip0", label="gpio-mockup-A", lines=8)], "gpio", "gpiochip0 (gpio-mockup-A)"),
        ([Chip(name="gpiochip0", error="Permission denied")], "gpio", "Permission denied"),
        (
            [Chip(name="gpiochip0", label="pinctrl-rp1", lines=54, users={17: "spi0 CS1"})],
            "gpio-pin",
            "held by spi0 CS1",
        ),
        ([Chip(name="gpiochip0", label="pinctrl-rp1", lines=54, users={5: ""})], "gpio-pin", "held by the kernel"),
        ([Chip(name="gpiochip0", label="pinctrl-rp1", lines=8)], "gpio-pin", "no line 17"),
    ],
)
def test_a_panel_without_its_pins_is_told(chips: list[Chip], code: str, culprit: str) -> None:
    panel = room().panel
    [found] = devices.pins(panel, chips, refuses=True)
    assert (found.code, found.state) == (code, State.REFUSES)
    assert culprit in found.detail
    [warned] = devices.pins(panel, chips, refuses=False)
    assert warned.state is State.WARNING


def test_pins_in_use_by_the_panel_itself_are_counted() -> None:
    [found] = devices.pins(
        room().panel, [Chip(name="c", label="pinctrl-rp1", lines=54, users={17: "lg", 2: "x"})], refuses=True
    )
    assert (found.state, "1 of the panel's 2 pins" in found.detail) == (State.OK, True)


def test_the_chips_are_those_that_the_panel_looks_for() -> None:
    header = (Path(board.__file__).parent / "header.py").read_text()  # imports lgpio, which is not everywhere
    assert all(f'"{label}": 0x' in header for label in gpio.HEADERS)
    assert header.count('": 0x') == len(gpio.HEADERS)


# --- units


@pytest.mark.parametrize(
    ("process", "key"),
    [(process, key) for process in PROMISED for key in PROMISED[process] if key not in excused(process, CAMERA)],
)
def test_each_promise_of_a_sandbox_that_a_drop_in_takes_back_is_named_by_its_key(
    root: Path, process: str, key: str
) -> None:
    def show(unit: str, keys: Sequence[str]) -> dict[str, str]:
        assert key in keys or unit != sandbox.UNITS[process]
        is_spoiled = unit == sandbox.UNITS[process]
        by = {key: "weak", "DropInPaths": "/etc/systemd/system/x.conf"} if is_spoiled else {}
        return {**promised(unit, keys), **by}

    [finding] = [found for found in looked(root, show=show) if found.state is not State.OK]
    assert (finding.code, finding.state) == ("sandbox", State.WARNING)
    assert f"{sandbox.UNITS[process]} has {key}=weak" in finding.detail
    assert "/etc/systemd/system/x.conf" in finding.detail


def test_a_unit_that_is_not_installed_is_told(root: Path) -> None:
    found = told(looked(root, show=lambda unit, _keys: {"LoadState": "not-found"}))
    assert set(found) == {"units"}
    assert "no systemd" in told(looked(root, show=lambda *_: None))["units"]


@pytest.mark.parametrize(
    ("process", "camera", "freed"),
    [
        ("recorder", "rtsp://camera.example/1", {"PrivateNetwork", "RestrictAddressFamilies"}),
        ("recorder", "picamera", {"LimitFSIZE", "RestrictAddressFamilies"}),
        ("recorder", "v4l2:/dev/video0", set()),
        ("service", "none", {"PrivateNetwork", "RestrictAddressFamilies"}),
        ("vault", "rtsp://camera.example/1", set()),
    ],
)
def test_a_drop_in_of_the_examples_takes_back_no_more_than_it_must(process: str, camera: str, freed: set[str]) -> None:
    promised = PROMISED[process]
    unit = Unit(process=process, name="u", shown=dict.fromkeys(promised, "weak"))
    assert set(unit.weakened(camera)) == set(promised) - freed


def test_a_list_may_stand_in_any_order_and_the_product_s_own_drop_in_is_not_blamed() -> None:
    own = "/etc/systemd/system/spreekkamer-.service.d/10-sandbox.conf"
    shown = {**PROMISED["panel"], "IPAddressDeny": "::/0 0.0.0.0/0", "DropInPaths": f"{own} /x/other.conf"}
    unit = Unit(process="panel", name="u", shown=shown)
    assert (unit.weakened("none"), unit.drop_ins) == ({}, ["/x/other.conf"])


# --- as it is shown


FOUND: Final = [fine("a", "good"), wrong("b", "[bad]", "mend it"), wrong("c", "worse", "stop", refuses=True)]


def test_what_refuses_stands_first_and_each_has_its_fix_below_it() -> None:
    out = StringIO()
    as_text(FOUND, "Room 2", out)
    assert out.getvalue().splitlines() == [
        "refuses  c: worse",
        "         to mend: stop",
        "warning  b: [bad]",
        "         to mend: mend it",
        "ok       a: good",
        "Room 2 does not listen: the alarm works, the camera stays closed (1 refuse, 1 warn, 1 are in order)",
    ]


def test_json_says_the_same() -> None:
    said = json.loads(as_json(FOUND, "Room 2"))
    assert (said["room"], said["may_listen"]) == ("Room 2", False)
    assert said["findings"][1] == {"code": "b", "state": "warning", "detail": "[bad]", "fix": "mend it"}


# --- the real machine, and the command


def test_this_very_machine_can_be_looked_at(tmp_path: Path) -> None:
    room = Room(tmp_path / "D", tmp_path / "run", ROOM)
    by_code = {finding.code: finding for finding in check(room.config, seal=seal, today=TODAY)}
    swaps = Path("/proc/swaps").read_text().splitlines()[1:]
    assert (by_code["swap"].state is State.OK) is all(line.startswith("/dev/zram") for line in swaps)
    assert (by_code["core-dumps"].state is State.OK) is (
        Path("/proc/sys/kernel/core_pattern").read_text()[0] not in "|@"
    )
    disk = subprocess.run(["findmnt", "-no", "FSTYPE", "-T", tmp_path], capture_output=True, text=True, check=True)
    assert disk.stdout.strip() in by_code["store-disk"].detail
    assert may_listen(list(by_code.values())), "its only source is a recording that is there"


def test_the_command_is_0_for_a_room_that_may_listen_and_1_for_one_that_may_not(tmp_path: Path) -> None:
    with memory_folder() as folder:
        room = Room(tmp_path / "D", folder / "run", ROOM)
        done = ran("check", "--config", room.config_file)
        assert (done.returncode, done.stderr) == (0, "")
        assert "\x1b" not in done.stdout
        assert "may listen (0 refuse, " in done.stdout.splitlines()[-1]
        room.change(r'(?<=source = )"fixture:[^"]*"', f'"fixture:{tmp_path}/gone.mp4"')
        done = ran("check", "--config", room.config_file, "--json")
        said = json.loads(done.stdout)
        assert (done.returncode, done.stderr, said["may_listen"]) == (1, "", False)
        assert [found["code"] for found in said["findings"] if found["state"] == "refuses"] == ["camera"]


def test_a_configuration_that_cannot_be_used_is_78_with_every_problem(tmp_path: Path) -> None:
    config = tmp_path / "room.toml"
    config.write_text("[rom]\nname = 'x'\n[panel]\npanic = { pin = 99 }\n")
    done = ran("check", "--config", config)
    assert (done.returncode, done.stdout) == (78, "")
    assert len(done.stderr.splitlines()) == 4
    as_json = ran("check", "--config", config, "--json")
    assert as_json.returncode == 78
    assert json.loads(as_json.stdout) == {
        "software": json.loads(as_json.stdout)["software"],
        "may_listen": False,
        "problems": done.stderr.splitlines(),
    }
    with pytest.raises(Exception, match="panic"):
        load(config)


def test_a_terminal_is_given_colour_and_one_that_wants_none_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured, plain = Terminal(), Terminal()
    as_text(FOUND, "Room 2", coloured)
    assert "\x1b[1;31mrefuses" in coloured.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    as_text(FOUND, "Room 2", plain)
    assert "31m" not in plain.getvalue()
