from __future__ import annotations

from pathlib import Path

import pytest

from tests.desk.copies import Device, make_device
from tests.vault.support import CLIP


@pytest.fixture(scope="session")
def device(tmp_path_factory: pytest.TempPathFactory) -> Device:
    return make_device(tmp_path_factory.mktemp("device"))


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Device:
    """Another device."""
    return make_device(tmp_path_factory.mktemp("stranger"))


@pytest.fixture
def copied(device: Device, tmp_path: Path) -> Path:
    return device.copy(CLIP, tmp_path / "copy")
