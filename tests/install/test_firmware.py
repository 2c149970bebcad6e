"""The machine's own configuration: each file is what its reader understands, and its parts agree with each other."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from edge.setup.dialog import STANDARD

FIRMWARE = Path(__file__).parents[2] / "firmware_config"
ETC = FIRMWARE / "root/etc"
FILES = sorted(path for path in (FIRMWARE / "root").rglob("*") if path.is_file())


def settings(path: Path) -> list[str]:
    return [line for line in path.read_text("utf-8").splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(FIRMWARE)))
def test_every_file_says_why_it_is_there(path: Path) -> None:
    assert re.search(r"^\s*# \S.{20}", path.read_text("utf-8"), re.MULTILINE)


def in_a_network_of_its_own(*command: str | Path) -> subprocess.CompletedProcess[str]:
    unshare = ["unshare", "--net", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"  # where Debian has nft, for a user too
    return subprocess.run(
        ["env", f"PATH={path}", *unshare, *command], capture_output=True, text=True, timeout=60.0, check=False
    )


def firewall(folder: Path, **opened: str) -> Path:
    """The rules, with what set-up let in taken from `folder`."""
    for name, rule in opened.items():
        (folder / f"{name}.nft").write_text(rule)
    rules = folder / "firewall"
    rules.write_text((ETC / "spreekkamer/firewall.nft").read_text().replace("/etc/spreekkamer/firewall.d", str(folder)))
    return rules


def accepted_ports(rules: Path) -> list[str]:
    """The ports that the kernel, having taken the rules, lets in from outside.

    The names of protocols are Debian's package netbase's, which a small system does not have: no rule may stand on it.
    """
    script = """
for file in /etc/protocols /etc/services; do [ ! -e $file ] || mount --bind /dev/null $file; done
nft -f "$0" && nft list ruleset
"""
    done = in_a_network_of_its_own("sh", "-ec", script, rules)
    assert done.returncode == 0, done.stderr
    assert "hook input priority filter; policy drop;" in done.stdout
    assert "hook forward priority filter; policy drop;" in done.stdout
    return re.findall(r"tcp dport (\d+) accept", done.stdout)


def test_the_firewall_lets_in_nobody_by_itself(tmp_path: Path) -> None:
    assert accepted_ports(firewall(tmp_path)) == []


def test_the_firewall_lets_in_what_set_up_wrote(tmp_path: Path) -> None:
    rules = firewall(tmp_path, page="tcp dport 8080 accept\n", ssh="tcp dport 22 accept\n")
    assert accepted_ports(rules) == ["8080", "22"]


def test_kernel_settings_are_written_as_sysctl_reads_them() -> None:
    lines = settings(ETC / "sysctl.d/90-spreekkamer.conf")
    names = [re.fullmatch(r"-?([a-z0-9_.]+) = (\d+|core)", line) for line in lines]
    assert all(names), lines
    assert len({name[1] for name in names if name}) == len(lines)


@pytest.mark.parametrize("key", ["kernel.core_pattern = core", "fs.suid_dumpable = 0", "-kernel.io_uring_disabled = 2"])
def test_what_the_promise_stands_on_is_among_them(key: str) -> None:
    assert key in settings(ETC / "sysctl.d/90-spreekkamer.conf")


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("rpi/swap.conf.d/90-spreekkamer.conf", "Mechanism=none"),
        ("systemd/journald.conf.d/90-spreekkamer.conf", "Storage=volatile"),
        ("systemd/system.conf.d/90-spreekkamer.conf", "DefaultLimitCORE=0"),
        ("systemd/system.conf.d/90-spreekkamer.conf", "RuntimeWatchdogSec=14s"),  # the chip counts to 15
        ("systemd/coredump.conf.d/90-spreekkamer.conf", "Storage=none"),
        ("systemd/timesyncd.conf.d/90-spreekkamer.conf", "SaveIntervalSec=60"),
    ],
)
def test_the_machine_keeps_nothing_and_restarts_itself(file: str, line: str) -> None:
    assert line in settings(ETC / file)


def masks() -> list[str]:
    return [line.split()[0] for line in settings(FIRMWARE / "masks")]


def test_each_mask_is_a_unit_once_and_has_a_reason() -> None:
    assert len(set(masks())) == len(masks())
    for line in settings(FIRMWARE / "masks"):
        assert re.fullmatch(r"(system|user)/[\w@-]+\.(service|socket|timer|target|path) +\S.*", line), line
    for needed in ("system/swap.target", "system/dphys-swapfile.service", "user/rpi-connect.service"):
        assert needed in masks()


FILTERS = {"all", "pi4", "pi5", "pi02"}


def sections() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    now = ""
    for line in settings(FIRMWARE / "config.txt"):
        if line.startswith("["):
            now = line.strip("[]")
        else:
            found.setdefault(now, []).append(line)
    return found


def test_config_txt_has_the_firmwares_filters_and_ends_for_every_model() -> None:
    assert set(sections()) <= FILTERS
    assert settings(FIRMWARE / "config.txt")[-1] == "[all]"  # what somebody adds after it holds for every model
    for lines in sections().values():
        assert all(re.fullmatch(r"[a-z_]+=[\w,=-]+", line) for line in lines)


def test_a_zero_keeps_its_only_network() -> None:
    assert "dtoverlay=disable-wifi" not in sections().get("all", []) + sections().get("pi02", [])
    assert "dtoverlay=disable-wifi" in sections()["pi4"]


def test_the_proposed_wires_start_quietly() -> None:
    pulls = {
        int(pin): line.rsplit(",", 1)[1]
        for line in sections()["all"]
        if line.startswith("gpio=")
        for pin in line.split("=")[1].split(",")
    }
    assert {name: pulls.get(STANDARD[name]) for name in ("panic", "panic_closed")} == {
        "panic": "pu",
        "panic_closed": "pu",
    }
    for name in ("alarm", "lamp_official", "lamp_resident"):
        assert pulls.get(STANDARD[name]) == "pd"
        assert STANDARD[name] >= 9  # pulled down by the chip itself, before the firmware runs
    drawn = (FIRMWARE / "README.md").read_text("utf-8")
    assert all(f"| {pin} |" in drawn for pin in STANDARD.values())


def test_the_words_of_the_kernel_line_are_words() -> None:
    lines = settings(FIRMWARE / "cmdline.txt")
    assert all(re.fullmatch(r"[+-] [a-z_]+=[\w,]+", line) for line in lines)
    assert {"+ cgroup_enable=memory", "- console=serial0,115200"} <= set(lines)


def test_the_read_only_roots_fstab_is_one() -> None:
    done = subprocess.run(
        ["findmnt", "--verify", "--tab-file", FIRMWARE / "fstab.read-only"], capture_output=True, text=True, check=False
    )
    assert re.search(r"^0 parse errors, \d+ errors?, 0 warnings", done.stderr, re.MULTILINE), done.stderr
    lines = [line.split() for line in settings(FIRMWARE / "fstab.read-only")]
    assert next(line for line in lines if line[1] == "/")[3].startswith("ro,")
    assert "discard" in next(line for line in lines if line[1] == "/data")[3].split(",")
