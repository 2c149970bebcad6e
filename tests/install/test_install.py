"""install.sh into a folder: what it puts there, that a second run changes nothing, what it finds changed, what it leaves."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.install.machine import CMDLINE_TXT, CONFIG_TXT, ROOT, copy_of, install, make_root, make_source, tree

LIST = Path(__file__).parent / "tree.txt"
PROGRAM = "opt/spreekkamer/versions/"


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The tree, and a machine that it was installed on."""
    folder = tmp_path_factory.mktemp("install")
    source, root = make_source(folder), make_root(folder)
    done = install(source, root)
    assert done.returncode == 0, done.stderr
    return source, root


@pytest.fixture
def source(made: tuple[Path, Path]) -> Path:
    return made[0]


@pytest.fixture
def root(made: tuple[Path, Path], tmp_path: Path) -> Path:
    """A machine with an installation of its own, to be changed."""
    return Path(shutil.copytree(made[1], tmp_path / "root", symlinks=True))


def in_use(root: Path) -> Path:
    return root / (root / "opt/spreekkamer/venv").readlink().relative_to("/")


def test_what_is_put_where_is_this_list(source: Path, root: Path) -> None:
    before = tree(make_root(root.parent / "fresh"))
    added = [
        f"{name} {what.split()[0] if what[0] != '-' else what}"
        for name, what in tree(root).items()
        if name not in before and not name.startswith(PROGRAM) and not what.startswith("folder")
    ]
    wanted = LIST.read_text("utf-8").splitlines()[1:]
    program = in_use(root).name
    assert [line.replace(program, "VERSION") for line in added] == wanted


def test_the_program_runs_and_nothing_else_is_in_its_folder_of_commands(root: Path) -> None:
    said = subprocess.run(
        [in_use(root) / "bin/python", "-IB", in_use(root) / "bin/spreekkamer"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == "the program runs\n"
    names = {path.name for path in (in_use(root) / "bin").iterdir()}
    assert {name for name in names if not name.startswith("python")} == {"spreekkamer"}
    assert (
        (in_use(root) / "bin/spreekkamer")
        .read_text()
        .startswith(f"#!/{in_use(root).relative_to(root)}/bin/python -IB\n")
    )


def test_the_device_has_no_pip(root: Path) -> None:
    packages = {path.name for path in in_use(root).glob("lib/python3*/site-packages/*")}
    assert not {name for name in packages if name.startswith("pip")}


def test_a_second_run_changes_nothing(source: Path, root: Path) -> None:
    def stamps() -> dict[Path, tuple[int, int]]:
        return {path: (path.lstat().st_ino, path.lstat().st_mtime_ns) for path in root.rglob("*")}

    before = stamps()
    done = install(source, root)
    assert (done.returncode, done.stdout) == (0, "install: everything is as it should be\n")
    assert install(source, root, "--check").returncode == 0
    assert stamps() == before


def test_the_kernels_line_stays_one_line_and_keeps_what_was_there(root: Path) -> None:
    line = (root / "boot/firmware/cmdline.txt").read_text()
    assert line == (
        "console=tty1 root=PARTUUID=1-02 rootfstype=ext4 fsck.repair=yes rootwait "
        "cgroup_enable=memory cgroup_memory=1 panic=10\n"
    )


def test_config_txt_keeps_every_line_that_was_there(source: Path, root: Path) -> None:
    file = root / "boot/firmware/config.txt"
    assert file.read_text().startswith(CONFIG_TXT)
    file.write_text(file.read_text() + "dtparam=rtc_bbat_vchg=3000000\n")  # after our block, where a README says
    assert install(source, root, "--check").returncode == 0
    (root / "etc/sysctl.d/90-spreekkamer.conf").unlink()
    assert install(source, root).returncode == 0
    assert file.read_text().endswith("# <<< spreekkamer\ndtparam=rtc_bbat_vchg=3000000\n")
    assert file.read_text().count("dtparam=watchdog=on") == 1


def edit(name: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        path = root / name
        path.write_bytes(path.read_bytes() + b"# a word more\n")

    return change


def remove(name: str) -> Callable[[Path], None]:
    return lambda root: (root / name).unlink()


def give_mode(name: str, mode: int) -> Callable[[Path], None]:
    return lambda root: (root / name).chmod(mode)


def in_program(change: Callable[[Path], None]) -> Callable[[Path], None]:
    return lambda root: change(in_use(root))


def plant(root: Path) -> None:
    (next(in_use(root).glob("lib/python3*/site-packages")) / "planted.pth").write_text("import os\n")


def lose_word(root: Path) -> None:
    (root / "boot/firmware/cmdline.txt").write_text(CMDLINE_TXT)


def change_block(root: Path) -> None:
    file = root / "boot/firmware/config.txt"
    file.write_text(file.read_text().replace("enable_uart=0", "enable_uart=1"))


CHANGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "an edited file": (edit("etc/sysctl.d/90-spreekkamer.conf"), "differs: /etc/sysctl.d/90-spreekkamer.conf"),
    "a missing unit": (
        remove("etc/systemd/system/spreekkamer-keep.service"),
        "missing: /etc/systemd/system/spreekkamer-keep.service",
    ),
    "a changed mode": (
        give_mode("etc/systemd/system/spreekkamer-guard.service", 0o666),
        "differs: /etc/systemd/system/spreekkamer-guard.service",
    ),
    "a mask that is gone": (
        remove("etc/systemd/user/rpi-connect.service"),
        "missing: /etc/systemd/user/rpi-connect.service",
    ),
    "a changed program": (in_program(edit("bin/spreekkamer")), "a file of the program was changed"),
    "a planted file": (plant, "a file of the program was changed"),
    "another kernel line": (lose_word, "differs: /boot/firmware/cmdline.txt"),
    "a changed block": (change_block, "differs: /boot/firmware/config.txt"),
    "a target that does not start": (
        remove("etc/systemd/system/multi-user.target.wants/spreekkamer.target"),
        "not enabled: spreekkamer.target",
    ),
    "no program": (remove("opt/spreekkamer/venv"), "missing: /opt/spreekkamer/venv"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_check_names_what_was_changed_and_changes_nothing(
    source: Path, root: Path, change: tuple[Callable[[Path], None], str]
) -> None:
    alter, told = change
    alter(root)
    before = tree(root)
    done = install(source, root, "--check")
    assert done.returncode == 1
    assert [line for line in done.stdout.splitlines() if told in line], done.stdout
    assert len(done.stdout.splitlines()) == 1
    assert tree(root) == before


def test_what_was_changed_is_mended(source: Path, root: Path) -> None:
    before = tree(root)
    for name in ("edited file", "missing unit", "changed mode", "changed block"):
        CHANGES[f"an {name}" if name[0] == "e" else f"a {name}"][0](root)
    assert install(source, root).returncode == 0
    assert tree(root) == before


def clips_and_configuration(root: Path) -> None:
    for name in ("etc/spreekkamer/config.toml", "etc/credstore/spreekkamer.page-password-hash"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("a room\n")
    clip = root / "var/lib/spreekkamer/clips/20261122T101502Z-k3f9"
    clip.mkdir(parents=True)
    (clip / "0000.age").write_bytes(b"sealed")


def test_uninstalling_leaves_clips_configuration_and_the_machine_as_it_was(source: Path, root: Path) -> None:
    fresh = tree(make_root(root.parent / "fresh"))
    clips_and_configuration(root)
    kept = {
        name: what for name, what in tree(root).items() if name.startswith(("var/lib/spreekkamer", "etc/credstore"))
    }
    done = install(source, root, "--uninstall")
    assert done.returncode == 0, done.stderr
    after = tree(root)
    configuration = {name for name in after if name.startswith("etc/spreekkamer")}
    assert configuration == {"etc/spreekkamer", "etc/spreekkamer/config.toml", "etc/spreekkamer/firewall.d"}
    assert {name: what for name, what in after.items() if name not in configuration} == fresh | kept
    assert "1 sealed clips are still in /var/lib/spreekkamer/clips" in done.stdout  # and nothing deletes them any more


def test_only_when_told_so_clips_and_configuration_go_too(source: Path, root: Path) -> None:
    fresh = tree(make_root(root.parent / "fresh"))
    clips_and_configuration(root)
    assert install(source, root, "--uninstall", "--delete-clips-and-configuration").returncode == 0
    assert tree(root) == fresh | {"etc/credstore": "folder 755"}


def test_an_upgrade_keeps_configuration_and_clips_and_leaves_nothing_of_the_old_version(
    source: Path, root: Path, tmp_path: Path
) -> None:
    clips_and_configuration(root)
    old = in_use(root)
    kept = {name: what for name, what in tree(root).items() if name.endswith((".toml", ".age", "hash"))}
    newer = copy_of(source, tmp_path / "newer")
    (newer / "edge/cli.py").write_text("def main() -> None:\n    print('newer')\n")
    (newer / "systemd/examples/outgoing.conf").unlink()
    (newer / "firmware_config/root/etc/modprobe.d/90-spreekkamer.conf").write_text("# other\n")
    assert install(newer, root).returncode == 0
    assert not old.exists()
    assert [path.name for path in (root / "opt/spreekkamer/versions").iterdir()] == [in_use(root).name]
    assert not (root / "opt/spreekkamer/examples/outgoing.conf").exists()
    assert (root / "etc/modprobe.d/90-spreekkamer.conf").read_text() == "# other\n"
    assert {name: what for name, what in tree(root).items() if name.endswith((".toml", ".age", "hash"))} == kept
    assert install(newer, root, "--check").returncode == 0
    assert install(newer, root, "--uninstall", "--delete-clips-and-configuration").returncode == 0
    assert tree(root) == tree(make_root(tmp_path / "fresh")) | {"etc/credstore": "folder 755"}


def test_a_package_that_is_not_the_locked_one_leaves_everything_as_it_was(
    source: Path, root: Path, tmp_path: Path
) -> None:
    newer = copy_of(source, tmp_path / "newer")
    lock = newer / "requirements/run.lock"
    lock.write_text(lock.read_text()[:-5] + "0000\n")
    before = tree(root)
    done = install(newer, root)
    assert done.returncode == 1
    assert tree(root) == before


def test_a_machine_that_cannot_be_written_whole_is_left_as_it_was(source: Path, root: Path) -> None:
    for name in ("etc/sysctl.d/90-spreekkamer.conf", "etc/systemd/system/spreekkamer.target"):
        (root / name).unlink()
    shutil.rmtree(root / "etc/udev")
    (root / "etc/udev").write_text("a file where a folder must be\n")
    before = tree(root)
    done = install(source, root)
    assert done.returncode == 1
    assert tree(root) == before


def test_an_installation_that_was_cut_off_at_its_last_step_is_finished_by_the_next(source: Path, root: Path) -> None:
    before = tree(root)
    wants = root / "etc/systemd/system/multi-user.target.wants"
    shutil.rmtree(wants)
    wants.write_text("a file where a folder must be\n")  # so that nothing can be enabled
    assert install(source, root).returncode == 1
    wants.unlink()
    wants.mkdir()
    (wants / "spreekkamer.target").symlink_to("/etc/systemd/system/spreekkamer.target")
    told = install(source, root, "--check")
    assert (told.returncode, told.stdout) == (1, "not finished: the last installation; run it again\n")
    assert install(source, root).returncode == 0
    assert tree(root) == before


def test_a_unit_of_somebody_elses_is_not_masked_away(source: Path, tmp_path: Path) -> None:
    root = make_root(tmp_path)
    (root / "etc/systemd/system/avahi-daemon.service").write_text("[Unit]\n")
    before = tree(root)
    done = install(source, root)
    assert done.returncode == 1
    assert "/etc/systemd/system/avahi-daemon.service is there, and is not ours" in done.stderr
    assert tree(root) == before


def test_a_kernel_line_of_two_lines_is_refused(source: Path, tmp_path: Path) -> None:
    root = make_root(tmp_path)
    (root / "boot/firmware/cmdline.txt").write_text(f"{CMDLINE_TXT}quiet\n")
    before = tree(root)
    assert install(source, root).returncode == 1
    assert tree(root) == before


def test_wifi_that_is_kept_once_stays_kept(source: Path, root: Path) -> None:
    file = root / "boot/firmware/config.txt"
    assert file.read_text().count("dtoverlay=disable-wifi\n") == 2
    assert install(source, root, "--keep-wifi").returncode == 0
    assert "dtoverlay=disable-wifi\n" not in file.read_text()
    assert install(source, root).stdout == "install: everything is as it should be\n"


@pytest.mark.parametrize(
    "wrong", [["--chek"], ["--check", "--uninstall"], ["--delete-clips-and-configuration"], ["--root"]]
)
def test_wrong_usage_does_nothing(tmp_path: Path, wrong: list[str]) -> None:
    done = subprocess.run([ROOT / "install.sh", *wrong], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode in {1, 2}
    assert done.stderr
    assert done.stdout == ""


def test_uninstalling_what_is_not_there_is_refused(tmp_path: Path) -> None:
    done = install(ROOT, make_root(tmp_path), "--uninstall")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)


def test_shellcheck_has_nothing_against_the_scripts() -> None:
    scripts = [ROOT / "install.sh", *(path for path in (ROOT / "scripts").iterdir() if path.is_file())]
    found = subprocess.run(["shellcheck", *map(str, scripts)], capture_output=True, text=True, check=False)
    assert found.stdout == ""
