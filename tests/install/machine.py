"""A machine in a folder, and a small copy of this tree to install there: the real install.sh, units and overlay, a program of
two modules and one package, so that a version is made in seconds. Nothing of the computer that runs the tests is changed.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
OURS: Final = ("install.sh", "systemd", "firmware_config")
CONFIG_TXT: Final = "dtparam=audio=on\n[cm4]\notg_mode=1\n\n[all]\n"
CMDLINE_TXT: Final = "console=serial0,115200 console=tty1 root=PARTUUID=1-02 rootfstype=ext4 fsck.repair=yes rootwait\n"
ACCOUNTS: Final = frozenset({"passwd", "group", "shadow", "gshadow", ".pwd.lock"})
PACKAGE: Final = "spreekkamer_test_dependency"


def make_source(folder: Path) -> Path:
    """The tree that is installed."""
    source = folder / "source"
    source.mkdir()
    for name in OURS:
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy2)(ROOT / name, source / name)
    for package in ("edge", "service"):
        (source / package).mkdir()
        (source / package / "__init__.py").write_text('__version__: str = "0.1.0"\n')
    (source / "edge/cli.py").write_text(f"import {PACKAGE}\n\n\ndef main() -> None:\n    print({PACKAGE}.SAYS)\n")
    (source / "requirements").mkdir()
    wheel = make_wheel(folder)
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    (source / "requirements/run.lock").write_text(f"{PACKAGE.replace('_', '-')}==1.0 \\\n    --hash=sha256:{digest}\n")
    return source


def make_wheel(folder: Path) -> Path:
    """A package of one module, in `folder/wheels`."""
    info = f"{PACKAGE}-1.0.dist-info"
    files = {
        f"{PACKAGE}.py": b'SAYS = "the program runs"\n',
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {PACKAGE.replace('_', '-')}\nVersion: 1.0\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},sha256={_digest(data)},{len(data)}\n" for name, data in files.items())
    path = folder / "wheels" / f"{PACKAGE}-1.0-py3-none-any.whl"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as wheel:
        for name, data in {**files, f"{info}/RECORD": f"{record}{info}/RECORD,,\n".encode()}.items():
            wheel.writestr(name, data)
    return path


def copy_of(source: Path, folder: Path) -> Path:
    """Another tree with its packages, to become another version."""
    shutil.copytree(source.parent / "wheels", folder / "wheels")
    return Path(shutil.copytree(source, folder / "source"))


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def make_root(folder: Path, *, is_pi: bool = True) -> Path:
    """A machine before anything was installed, with what a stock one has in the places concerned."""
    root = folder / "root"
    for name in ("etc/sysctl.d", "etc/systemd/system", "usr/local/bin", "usr/lib/systemd/system", "opt", "var/lib"):
        (root / name).mkdir(parents=True)
    (root / "etc/sysctl.d/99-mine.conf").write_text("kernel.printk = 3\n")
    (root / "etc/systemd/system/rsyslog.service").symlink_to("/dev/null")  # somebody masked it before us
    if is_pi:
        (root / "boot/firmware").mkdir(parents=True)
        (root / "boot/firmware/config.txt").write_text(CONFIG_TXT)
        (root / "boot/firmware/cmdline.txt").write_text(CMDLINE_TXT)
    return root


def install(source: Path, root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `install.sh --root`; it takes its packages from the folder beside the tree."""
    wheels = ["--wheels", str(source.parent / "wheels")] if "--check" not in arguments else []
    return subprocess.run(
        [source / "install.sh", "--root", root, *wheels, *arguments],
        env={name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON"))},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300.0,
        check=False,
    )


def tree(root: Path) -> dict[str, str]:
    """Every file, link and folder of a machine: what it holds and its mode. Passed over: accounts, which always stay, so
    that the number of a clip's owner is never given to somebody else.
    """
    return {str(path.relative_to(root)): _what(path) for path in sorted(root.rglob("*")) if path.name not in ACCOUNTS}


def _what(path: Path) -> str:
    if path.is_symlink():
        return f"-> {path.readlink()}"
    mode = f"{path.stat().st_mode & 0o7777:o}"
    return f"folder {mode}" if path.is_dir() else f"file {mode} {hashlib.sha256(path.read_bytes()).hexdigest()}"
