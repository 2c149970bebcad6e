"""Pictures of the page in every situation, for looking at: `python -m tests.browser FOLDER` (docs/page.png is one of them)."""

from __future__ import annotations

import itertools
import sys
import tempfile
from pathlib import Path
from typing import Final, Literal

from playwright.sync_api import Browser, sync_playwright

from tests.browser.conftest import CHROMIUM
from tests.browser.situations import SITUATIONS, several
from tests.service.test_app import House, serving

SIZES: Final = {"desk": (1280, 800, 1), "phone": (390, 844, 2)}
SCHEMES: Final[tuple[Literal["light", "dark"], ...]] = ("light", "dark")


def main(folder: Path) -> None:
    """Write SITUATION-SIZE-SCHEME.png for all of them, and for the overview of four rooms."""
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="sk-") as run, sync_playwright() as playwright:
        (one := Path(run) / "one").mkdir()
        house = House(one)
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        with house.stack, house.client, serving(house.config):
            for name, bring in SITUATIONS.items():
                bring(house)
                _take(chromium, house.url, folder, name)
        with several(Path(run)) as (own, _):
            _take(chromium, own.url, folder, "four-rooms")
        chromium.close()


def _take(chromium: Browser, url: str, folder: Path, name: str) -> None:
    for (size, (width, height, scale)), scheme in itertools.product(SIZES.items(), SCHEMES):
        page = chromium.new_page(
            viewport={"width": width, "height": height}, color_scheme=scheme, device_scale_factor=scale
        )
        page.goto(f"{url}/?lang=nl")
        page.wait_for_function("document.fonts.ready")
        page.wait_for_timeout(600)
        page.screenshot(path=folder / f"{name}-{size}-{scheme}.png", full_page=True)
        page.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
