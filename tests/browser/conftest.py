"""One Chromium for all; a real room with its four processes; and a made-up one whose state a test sets."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser.situations import in_order
from tests.service.test_app import House, serving
from tests.support.evidence import ROOM
from tests.support.processes import Four, Room, memory_folder, until

CHROMIUM = Path("/usr/bin/chromium")  # scripts/system-packages


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Ended with its module: while Playwright runs, its event loop does too, and no test could start one of its own."""
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield chromium
        chromium.close()


@pytest.fixture
def house() -> Iterator[House]:
    """The page over made-up snapshots, in order at first."""
    with tempfile.TemporaryDirectory(prefix="sk-") as folder:
        house = House(Path(folder))
        in_order(house)
        with house.stack, house.client, serving(house.config):
            yield house


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Four]:
    """A real room whose clips live for 12 s, and its four processes."""
    with memory_folder() as memory:
        room = Room(tmp_path_factory.mktemp("room") / "D", memory / "run", ROOM, retention_s=12)
        with Four(room) as processes:
            until(lambda: _answers(room), what="the page")
            yield processes


def _answers(room: Room) -> bool:
    try:
        httpx.get(f"http://127.0.0.1:{room.config.page.port}/healthz", trust_env=False)
    except httpx.TransportError:
        return False
    return True
