"""What systemd itself makes of the units: they load without a word, and no line that bounds a process was lost."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.units.reading import SERVICES, SYSTEMD

# Tenths of systemd's exposure level, 0 (nothing) to 100 (everything). What the project promises at most.
GATES = {"guard": 8, "record": 8, "keep": 10, "show": 13, "purge": 10}
COMMAND = "/opt/spreekkamer/venv/bin/spreekkamer"


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """A copy of the units, for a machine without the installation."""
    copy = tmp_path / "units"
    shutil.copytree(SYSTEMD, copy)
    for name in SERVICES:
        file = copy / f"spreekkamer-{name}.service"
        file.write_text(file.read_text("utf-8").replace(COMMAND, "/bin/true"), "utf-8")
    return copy


def analyzed(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def security(units: Path, name: str) -> subprocess.CompletedProcess[str]:
    file = units / f"spreekkamer-{name}.service"
    return analyzed("security", "--offline=true", f"--threshold={GATES[name]}", "--no-pager", str(file))


def test_systemd_reads_every_unit_without_a_complaint(units: Path) -> None:
    files = [str(path) for path in sorted(units.glob("spreekkamer*.*")) if path.is_file()]
    assert len(files) == 8
    verified = analyzed("verify", "--man=no", *files)
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")


def test_a_mistyped_key_is_a_complaint(units: Path) -> None:
    file = units / "spreekkamer-keep.service"
    file.write_text(file.read_text("utf-8").replace("PrivateDevices=", "PrivateDevice="), "utf-8")
    assert "PrivateDevice" in analyzed("verify", "--man=no", str(file)).stderr


@pytest.mark.parametrize("example", ["network-camera", "raspberry-pi-camera", "outgoing"])
def test_systemd_reads_every_example_without_a_complaint(units: Path, example: str) -> None:
    name = "show" if example == "outgoing" else "record"
    folder = units / f"spreekkamer-{name}.service.d"
    folder.mkdir()
    shutil.copy(units / "examples" / f"{example}.conf", folder)
    verified = analyzed("verify", "--man=no", str(units / f"spreekkamer-{name}.service"))
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")


@pytest.mark.parametrize("name", SERVICES)
def test_the_exposure_of_each_unit_is_at_most_what_is_promised(units: Path, name: str) -> None:
    judged = security(units, name)
    assert judged.returncode == 0, judged.stdout


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("guard", "PrivateUsers=yes"),
        ("record", "PrivateUsers=yes"),
        ("keep", "CapabilityBoundingSet="),
        ("show", "CapabilityBoundingSet="),
        ("purge", "CapabilityBoundingSet="),
    ],
)
def test_a_line_less_and_the_gate_is_shut(units: Path, name: str, line: str) -> None:
    for file in (units / f"spreekkamer-{name}.service", units / "spreekkamer-.service.d" / "10-sandbox.conf"):
        file.write_text(file.read_text("utf-8").replace(f"\n{line}\n", "\n"), "utf-8")
    assert security(units, name).returncode != 0
