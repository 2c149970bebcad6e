"""Real devices, as far as a kernel can simulate them: V4L2, ALSA and GPIO, by the tests that stand-ins have to pass too."""

from __future__ import annotations

import pytest

from tests.vm.machine import IS_FAST, Machine

pytestmark = pytest.mark.vm

PATIENCE_S = 300.0 if IS_FAST else 1200.0


def run_tests(machine: Machine, *arguments: str) -> str:
    """Run tests of this checkout with the guest's Python and devices; what pytest says. Raises Failed when one fails.

    All that they touch is in RAM: in an exact machine time flies while it waits for a disk.
    """
    machine.sh("mkdir /dev/shm/project; cd /project; cp -r edge service tests pyproject.toml /dev/shm/project")
    done = machine.exec(
        *(
            "/usr/bin/env",
            "-C",
            "/dev/shm/project",
            "/opt/tests/bin/python",
            "-m",
            "pytest",
            "-m",
            "",
            "-rA",
            "--durations=0",
        ),
        *("-p", "no:cacheprovider", "-o", f"faulthandler_timeout={PATIENCE_S:g}", *arguments),
        environment={"TMPDIR": "/dev/shm", "HYPOTHESIS_STORAGE_DIRECTORY": "/dev/shm/hypothesis"},
        patience_s=PATIENCE_S,
    )
    print(done.out)
    assert " skipped" not in done.out.splitlines()[-1]
    return done.out


def test_a_camera_of_raw_pictures(machine: Machine) -> None:
    assert "1 passed" in run_tests(machine, "tests/recorder/test_v4l2.py", "-k", "real_device")


def test_the_contract_of_cameras_on_a_device_that_is_fed_mjpeg_and_raw_pictures(machine: Machine) -> None:
    machine.sh("modprobe v4l2loopback && udevadm settle")
    # A device that nobody feeds gives nothing: the test of a real one is vivid's.
    done = run_tests(machine, "tests/recorder/test_v4l2.py", "-k", "loopback and not real_device")
    assert " 6 passed" in done.splitlines()[-1]


def test_a_microphone_that_comes_and_goes(exact: Machine) -> None:
    run_tests(exact, "tests/vm/inside/test_microphone.py")


def test_a_panel_on_its_header(exact: Machine) -> None:
    run_tests(exact, "tests/vm/inside/test_panel.py")
