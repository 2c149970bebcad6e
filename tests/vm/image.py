"""The virtual machine's image: Debian with a room's devices simulated. Made once, then kept in the cache.

Each of its three parts is a folder that is named by a hash of what it is made of, and is there whole or not at all:

wheels   what requirements/*.lock name for the guest's Python, checked by their hashes
kernel   Debian's kernel and modules, with gpio-sim and v4l2loopback compiled for it
root     the root file system with the recipe's tree and, in /opt/tests, the means to run tests inside
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PROJECT: Final = Path(__file__).parents[2]
RECIPE: Final = Path(__file__).with_name("recipe")
SUITE: Final = "bookworm"  # as on the Raspberry Pi OS that most devices run
PYTHON: Final = (3, 11)  # of that suite
_ROOT_BYTES: Final = 4 << 30  # room for an installation and clips; an empty file system costs nothing
_SOURCES: Final = Path("/etc/apt/sources.list.d/debian.sources")
# What a board's system has too, or a scenario needs: nothing of the project, which brings its own.
_PACKAGES: Final = (
    "age,alsa-utils,dbus,e2fsprogs,iproute2,kmod,libportaudio2,nftables,openssl,procps,python3,python3-venv,"
    "qemu-guest-agent,strace,systemd,systemd-sysv,systemd-timesyncd,udev,v4l-utils"
)
_KERNEL_PACKAGES: Final = "linux-image-amd64,linux-headers-amd64,linux-source,make,xz-utils,bzip2"
_UNUSED_MODULES: Final = (
    "drivers/gpu",
    "drivers/infiniband",
    "drivers/net/ethernet",
    "drivers/net/wireless",
    "sound/soc",
)
# Of the developer's lock: what runs tests in the guest, and what builds the project there.
_TESTS: Final = frozenset({"hypothesis", "iniconfig", "packaging", "pluggy", "pygments", "pytest", "sortedcontainers"})
_BUILD: Final = frozenset({"hatchling", "packaging", "pathspec", "pluggy", "tomlkit", "trove-classifiers"})


class CannotBuild(Exception):
    """The image cannot be made; the text says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    kernel: Path
    initrd: Path
    root: Path  # qcow2, never written: machines have overlays
    wheels: Path


def image() -> Image:
    """The image, from the cache or made now (some minutes). Raises CannotBuild."""
    with locked_cache() as cache:
        wanted = tests_lock()
        wheels = made(cache, "wheels", wanted, lambda to: _download(wanted, to))
        kernel = made(cache, "kernel", _text("kernel"), _make_kernel)
        root = made(
            cache,
            "root",
            wanted + kernel.name + _text("root") + _tree(),
            lambda to: _make_root(to, kernel=kernel, wheels=wheels, lock=wanted),
        )
    return Image(kernel=kernel / "vmlinux", initrd=kernel / "initrd.img", root=root / "root.qcow2", wheels=wheels)


def tests_lock() -> str:
    """What is installed for tests in the guest: the product's lock, and of the developer's what runs tests.

    The guest's board is simulated on x86-64, where the product's lock leaves out lgpio.
    """
    product, developer = (_entries(PROJECT / "requirements" / f"{name}.lock") for name in ("run", "dev"))
    product["lgpio"] = re.sub(r" ;.*?(?= \\$)", "", product["lgpio"], count=1, flags=re.MULTILINE)
    return "".join((developer | product)[name] for name in sorted(product.keys() | _TESTS | _BUILD))


def _entries(lock: Path) -> dict[str, str]:
    """The entries of a lock by the name of their package; two versions for two Pythons are one entry."""
    found: dict[str, str] = {}
    for entry in re.findall(r"^[a-z].*\n(?:[ ].*\n)*", lock.read_text("utf-8"), re.MULTILINE):
        name = re.split(r"[=\[]", entry, maxsplit=1)[0]
        found[name] = found.get(name, "") + entry
    return found


def _text(name: str) -> str:
    """What a stage is made of, apart from what other stages made."""
    return f"{SUITE} {_PACKAGES} {_KERNEL_PACKAGES} {_UNUSED_MODULES} {_ROOT_BYTES}\n" + (RECIPE / name).read_text(
        "utf-8"
    )


def _tree() -> str:
    paths = sorted(path for path in (RECIPE / "tree").rglob("*") if path.is_file())
    return "".join(
        f"{path.relative_to(RECIPE)} {path.stat().st_mode & 0o111}\n{path.read_text('utf-8')}" for path in paths
    )


@contextmanager
def locked_cache() -> Iterator[Path]:
    """The cache, of which nobody else makes anything now: of several test runs one makes it and the others wait."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "spreekkamer-vm"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield cache


def made(cache: Path, kind: str, made_of: str, make: Callable[[Path], None]) -> Path:
    """The folder for what is made of this, made if it is not there."""
    folder = cache / f"{kind}-{hashlib.sha256(made_of.encode()).hexdigest()[:16]}"
    if not folder.exists():
        with _halfmade(cache) as new:
            print(f"virtual machine: making {folder.name}", file=sys.stderr)
            make(new)
            new.rename(folder)
    return folder


@contextmanager
def _halfmade(cache: Path) -> Iterator[Path]:
    new = cache / "new"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    try:
        yield new
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _download(lock: str, to: Path) -> None:
    if sys.version_info[:2] != PYTHON:
        wanted = ".".join(map(str, PYTHON))
        raise CannotBuild(f"the guest has Python {wanted}: make .venv with it (PYTHON=python{wanted} scripts/venv)")
    (to / "tests.lock").write_text(lock, "utf-8")
    _run(
        *(
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--require-hashes",
            "--only-binary",
            ":all:",
        ),
        *("--dest", str(to), "-r", str(to / "tests.lock")),
    )


def _make_kernel(to: Path) -> None:
    _debian(
        _KERNEL_PACKAGES,
        # Before the kernel's package makes one with everything in it, which takes long.
        '--setup-hook=mkdir -p "$1/etc/initramfs-tools/conf.d" && echo MODULES=list >"$1/etc/initramfs-tools/conf.d/vm"',
        *(f"--dpkgopt=path-exclude=/lib/modules/*/kernel/{folder}/*" for folder in _UNUSED_MODULES),
        f'--customize-hook=cp {RECIPE}/kernel "$1"/make',
        '--customize-hook=env -i PATH="$PATH" HOME=/root chroot "$1" /make >&2',
        f'--customize-hook=cp "$1"/made/* {to}/',
    )


def _make_root(to: Path, *, kernel: Path, wheels: Path, lock: str) -> None:
    (to / "tests.lock").write_text(lock, "utf-8")
    tree, raw = to / "tree", to / "root.raw"
    _debian(
        _PACKAGES,
        *(f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in ("doc", "locale", "man")),
        f"--customize-hook=tar-in {kernel}/modules.tar /",
        f"--customize-hook=sync-in {RECIPE}/tree /",
        f'--customize-hook=cp -r {wheels} "$1"/wheels && cp {to}/tests.lock "$1"/ && cp {RECIPE}/root "$1"/make',
        '--customize-hook=env -i PATH="$PATH" HOME=/root chroot "$1" /make >&2',
        '--customize-hook=rm "$1"/make',
        to=tree,
    )
    with raw.open("wb") as file:
        file.truncate(_ROOT_BYTES)
    _run("mke2fs", "-q", "-t", "ext4", "-d", str(tree), str(raw))
    _run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(to / "root.qcow2"))
    raw.unlink()
    shutil.rmtree(tree)


def _debian(packages: str, *options: str, to: Path | None = None) -> None:
    """Make a Debian with these hooks, in this folder, or in a temporary one that is gone afterwards."""
    if os.geteuid() != 0:
        raise CannotBuild("the image is not in the cache, and making it needs root: sudo make test-vm, once")
    sources = [str(_SOURCES)] if _SOURCES.exists() and f" {SUITE}" in _SOURCES.read_text("utf-8") else []
    _run(
        *("mmdebstrap", "--mode=root", "--variant=minbase", f"--format={'directory' if to else 'null'}", "--quiet"),
        *(f"--include={packages}", *options, SUITE, str(to or "-"), *sources),
    )


def _run(*command: str) -> None:
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
    except FileNotFoundError as err:
        raise CannotBuild(f"{command[0]} is not there: scripts/system-packages --vm installs what is needed") from err
    if done.returncode != 0:
        raise CannotBuild(f"{command[0]} ended with {done.returncode}:\n{done.stdout[-4000:]}")
