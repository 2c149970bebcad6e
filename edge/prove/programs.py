"""Which programs run here: a hash of each of our installed files, and the versions of what they stand on. Reads only."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import re
from pathlib import Path

import edge
from edge.errors import Refused
from edge.machine.reading import lines


def listing() -> bytes:
    """Each file of the installed packages as `sha256sum` writes it; what Python compiles by itself is left out.

    Raises Refused when one cannot be read.
    """
    root = Path(edge.__file__).parents[1]
    paths = [path for package in ("edge", "service") for path in (root / package).rglob("*") if path.is_file()]
    try:
        return "".join(
            f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(root)}\n"
            for path in sorted(paths)
            if "__pycache__" not in path.parts
        ).encode()
    except OSError as err:
        raise Refused(f"{err.filename}: an installed file cannot be read: {err.strerror}; run this as root") from err


def versions() -> dict[str, str]:
    """Of the product, what it depends on, Python, the kernel and the distribution."""
    found = {"spreekkamer": edge.__version__, "python": platform.python_version(), "kernel": os.uname().release}
    for line in lines(Path("/etc/os-release")):
        if line.startswith("PRETTY_NAME="):
            found["system"] = line.partition("=")[2].strip('"')
    try:
        wanted = importlib.metadata.requires("spreekkamer") or []
    except importlib.metadata.PackageNotFoundError:  # run from a copy of the sources
        wanted = []
    for requirement in wanted:
        if name := re.match(r"[A-Za-z0-9._-]+", requirement):
            found[name[0]] = _version(name[0])
    return found


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
