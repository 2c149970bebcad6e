"""docs/desk-browser.md, carried out: its own commands, its settings, and then a browser that warns of nothing."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Playwright, expect, sync_playwright

from edge.status import RecorderState
from service.password import hash_of
from tests.browser.conftest import CHROMIUM
from tests.service import saying
from tests.service.test_app import House, serving
from tests.support.certificates import NAME
from tests.support.terminal import typed

PASSWORD = "vier woorden zijn één"
PATIENCE_MS = 20_000
TEXT = (Path(__file__).parents[2] / "docs" / "desk-browser.md").read_text("utf-8")


def written(name: str) -> str:
    """A part of the page that is meant to be carried out."""
    found = re.search(rf"<!-- run: {name} -->\n```\w+\n(.*?)```\n<!-- end -->", TEXT, re.DOTALL)
    assert found, name
    return found[1]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home folder whose browser trusts the authority, and the files that the commands made."""
    home = tmp_path_factory.mktemp("desk")
    environment = os.environ | {"HOME": str(home)}
    phrase = ("phrase", "een wachtzin")
    for name, answers in (("authority", [phrase] * 3), ("check", []), ("trust", [])):
        code, shown = typed(["sh", "-euc", written(name)], answers, cwd=home, env=environment)
        assert code == 0, shown
    assert (home / "authority.key").stat().st_mode & 0o077 == 0
    assert "ENCRYPTED" in (home / "authority.key").read_text("ascii")
    return home


@pytest.fixture(scope="module")
def house(desk: Path) -> Iterator[House]:
    """The page as the settings say, with the credentials where systemd would put them."""
    settings = tomllib.loads(written("settings"))["page"]
    del settings["port"]  # a free one instead
    credentials = desk / "credentials"
    credentials.mkdir(mode=0o700)
    (credentials / settings["certificate"]).write_bytes((desk / "page.pem").read_bytes())
    (credentials / settings["key"]).write_bytes((desk / "page.key").read_bytes())
    (credentials / settings["key"]).chmod(0o400)
    (credentials / settings["password_hash"]).write_text(hash_of(PASSWORD), "ascii")
    with tempfile.TemporaryDirectory(prefix="sk-") as folder, pytest.MonkeyPatch.context() as environment:
        environment.setenv("CREDENTIALS_DIRECTORY", str(credentials))
        house = House(Path(folder), **settings)
        house.in_order()
        with house.stack, house.client, serving(house.config):
            yield house


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture
def contexts(playwright: Playwright, desk: Path) -> Iterator[list[BrowserContext]]:
    opened: list[BrowserContext] = []
    yield opened
    for context in opened:
        context.close()


def browsing(playwright: Playwright, home: Path, *, password: str | None) -> BrowserContext:
    """Chromium of the user with this home folder; only the name's way to this computer is made up."""
    login = None if password is None else {"username": "balie", "password": password}
    return playwright.chromium.launch_persistent_context(
        tempfile.mkdtemp(dir=home),
        executable_path=CHROMIUM,
        args=[f"--host-resolver-rules=MAP {NAME} 127.0.0.1", *(["--no-sandbox"] if os.geteuid() == 0 else [])],
        env={**os.environ, "HOME": str(home)},
        http_credentials=login,  # type: ignore[arg-type]
        locale="nl-NL",
    )


def test_the_desk_sees_the_live_page_without_a_warning(
    playwright: Playwright, contexts: list[BrowserContext], desk: Path, house: House
) -> None:
    context = browsing(playwright, desk, password=PASSWORD)
    contexts.append(context)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    answer = page.goto(f"https://{NAME}:{house.config.page.port}/")
    assert answer is not None
    assert answer.status == 200
    security = answer.security_details()
    assert security is not None
    assert security["protocol"] in {"TLS 1.2", "TLS 1.3"}
    expect(page.locator(".headline")).to_have_text("Paraat", timeout=PATIENCE_MS)
    house.say("recorder", lambda now_ns: saying.recorder(now_ns, state=RecorderState.RECORDING))
    try:
        expect(page.locator(".headline")).to_have_text("Opname", timeout=PATIENCE_MS)  # by its stream
    finally:
        house.in_order()
    expect(page.locator(".headline")).to_have_text("Paraat", timeout=PATIENCE_MS)
    assert context.cookies() == []
    assert complaints == []


def test_who_has_not_the_password_sees_what_is_asked_and_nothing_of_the_room(
    playwright: Playwright, contexts: list[BrowserContext], desk: Path, house: House
) -> None:
    context = browsing(playwright, desk, password="geen van de woorden")
    contexts.append(context)
    page = context.new_page()
    answer = page.goto(f"https://{NAME}:{house.config.page.port}/")
    assert answer is not None
    assert answer.status in {401, 429}
    assert "Spreekkamer 2" not in page.content()
    assert "wachtwoord" in page.content() or "opnieuw" in page.content()


def test_a_desk_that_was_not_told_of_the_authority_is_warned(
    playwright: Playwright, contexts: list[BrowserContext], house: House, tmp_path: Path
) -> None:
    context = browsing(playwright, tmp_path, password=PASSWORD)
    contexts.append(context)
    with pytest.raises(Exception, match="ERR_CERT_AUTHORITY_INVALID"):
        context.new_page().goto(f"https://{NAME}:{house.config.page.port}/")


def test_the_command_to_try_it_does_what_the_page_says(desk: Path, house: House) -> None:
    port = house.config.page.port
    command = written("try").strip().replace("8443", str(port)) + f" --resolve {NAME}:{port}:127.0.0.1 --silent"
    code, shown = typed(["sh", "-euc", command], [("password", PASSWORD)], cwd=desk)
    assert (code, shown.strip().splitlines()[-1]) == (0, "ok")


def test_the_authority_can_speak_for_no_other_name(desk: Path, tmp_path: Path) -> None:
    forged = written("authority").replace(f"NAME={NAME}", "NAME=bank.example")
    forged = re.sub(r"openssl req -x509.*?authority\.pem\n", "", forged, flags=re.DOTALL)
    for name in ("authority.key", "authority.pem"):
        (tmp_path / name).write_bytes((desk / name).read_bytes())
    code, shown = typed(["sh", "-euc", forged], [("phrase", "een wachtzin")], cwd=tmp_path)
    assert code == 0, shown
    check = written("check").replace(NAME, "bank.example")
    done = subprocess.run(["sh", "-euc", check], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert "permitted subtree violation" in done.stderr
