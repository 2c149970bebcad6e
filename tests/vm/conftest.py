"""Machines for scenarios: `machine` is fresh for each test; `product` is the image with the product installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vm.image import Image, image
from tests.vm.machine import Hardware, Machine, Warm, new_machine
from tests.vm.room import installed
from tests.vm.warm import warm

IS_INSIDE = Path("/etc/spreekkamer-vm").exists()
# What runs in the guest needs its devices.
collect_ignore_glob = [] if IS_INSIDE else ["inside/*"]


@pytest.fixture(scope="session")
def made() -> Image:
    """The image; the first time it takes some minutes."""
    return image()


@pytest.fixture(scope="session")
def booted(made: Image) -> Warm:
    """A machine of this image that has booted."""
    return warm(made)


@pytest.fixture
def machine(made: Image, booted: Warm) -> Iterator[Machine]:
    """A machine that has just booted, with nothing of the product installed, and an empty second disk /dev/vdb."""
    with new_machine(made, booted) as new:
        new.start()
        yield new


@pytest.fixture(scope="session")
def product(made: Image, tmp_path_factory: pytest.TempPathFactory) -> Image:
    """The image with the product installed, for machines that begin as a room (`tests.vm.room`)."""
    return installed(made, tmp_path_factory.mktemp("product"))


@pytest.fixture
def exact(made: Image) -> Iterator[Machine]:
    """A machine that has just booted and whose milliseconds are the same under any load of the host."""
    with new_machine(made, warm(made, Hardware(is_exact=True))) as new:
        new.start()
        yield new
