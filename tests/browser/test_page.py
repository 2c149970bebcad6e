"""The page in a browser: it follows a real room, is right without its script, and anyone can use it."""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from edge.config import Config, OtherRoom
from tests.browser.situations import SITUATIONS, in_order, opened, several, the_day_after
from tests.service.test_app import House
from tests.support.processes import IS_LONG, Four, until

AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text("utf-8")
PATIENCE_MS = 20_000
PHONE, DESK = (390, 844), (1280, 800)


class Reader:
    """Opens pages; each test ends with no word on the console and no request to another host."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self.complaints: list[str] = []
        self._contexts: list[Any] = []

    def open(self, config: Config, path: str = "/", *, size: tuple[int, int] = DESK, **settings: Any) -> Page:
        address = f"http://127.0.0.1:{config.page.port}"
        context = self._browser.new_context(viewport={"width": size[0], "height": size[1]}, locale="nl-NL", **settings)
        self._contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda asked: None if asked.url.startswith(address) else self.complaints.append(asked.url))
        page.goto(address + path, wait_until="load")
        return page

    def close(self) -> None:
        for context in self._contexts:
            context.close()


@pytest.fixture
def reader(browser: Browser) -> Iterator[Reader]:
    reader = Reader(browser)
    yield reader
    reader.close()
    assert reader.complaints == []


def headline(page: Page) -> Any:
    return page.locator(".headline")


def shows(page: Page, text: str | re.Pattern[str]) -> None:
    faults = page.locator("[data-part=faults]")
    try:
        expect(headline(page)).to_have_text(text, timeout=PATIENCE_MS)
    except AssertionError as err:
        raise AssertionError(f"{err}\nfaults: {faults.inner_text()}") from None


# A real room


def test_a_press_shows_the_clip_counts_down_and_goes_at_its_hour(four: Four, reader: Reader) -> None:
    page = reader.open(four.room.config)
    shows(page, "Paraat")
    expect(page.locator(".kept-today")).to_have_text("niets")
    without = reader.open(four.room.config, java_script_enabled=False)
    shows(without, "Paraat")

    four.press()
    expect(headline(page)).to_have_text("Opname", timeout=1_000 if IS_LONG else PATIENCE_MS)
    expect(page).to_have_title(re.compile("^Opname"), timeout=PATIENCE_MS)
    expect(page.locator(".kept-today")).to_have_text("1 opname", timeout=PATIENCE_MS)
    expect(page.locator(".clip")).to_contain_text("wordt nu gemaakt", timeout=PATIENCE_MS)
    shows(without, "Opname")  # by asking anew, every 5 s

    four.reset()
    shows(page, "Paraat")
    expect(page.locator(".goes")).to_have_text(re.compile(r"^nog \d+ seconden?$|^wordt nu"), timeout=PATIENCE_MS)
    expect(page.locator(".clip")).to_have_count(0, timeout=PATIENCE_MS + 20_000)
    expect(page.locator(".kept-today")).to_have_text("niets")
    expect(page.locator(".deleted li")).to_have_count(1)
    expect(without.locator(".kept-today")).to_have_text("niets", timeout=PATIENCE_MS)


def test_a_page_whose_server_is_gone_turns_grey_and_comes_back(four: Four, reader: Reader) -> None:
    page = reader.open(four.room.config)
    expect(page.locator("html")).not_to_have_class(re.compile("is-lost"))
    four.freeze("service")  # it neither answers nor hangs up
    try:
        expect(page.locator("#lost")).to_have_text(
            re.compile(r"^Geen verbinding: .* \d+ seconden geleden\.$"), timeout=PATIENCE_MS
        )
        expect(page.locator("html")).to_have_class(re.compile("is-lost"))
        expect(page).to_have_title(re.compile("^Geen verbinding"))
        assert colour(page) == GREY
    finally:
        four.thaw("service")
    expect(page.locator("#lost")).to_have_text("", timeout=PATIENCE_MS)
    assert colour(page) == GREEN, page.locator("[data-part=faults]").inner_text()
    four.kill("service")  # this one hangs up; it is started again, and the page finds it
    until(lambda: four.restarted_ns("service") > 0, what="the new service")
    with page.expect_response(lambda answer: "/live" in answer.url and answer.ok):
        pass
    shows(page, "Paraat")
    reader.complaints[:] = [line for line in reader.complaints if "net::ERR_" not in line]  # the browser's own words


GREY, GREEN = "rgb(231, 233, 231)", "rgb(227, 242, 233)"
RED, BLUE = "rgb(252, 232, 234)", "rgb(232, 240, 246)"


def colour(page: Page) -> str:
    return str(page.eval_on_selector(".state", "element => getComputedStyle(element).backgroundColor"))


# Made-up rooms


def test_a_process_that_hangs_makes_the_page_grey_and_never_green(house: House, reader: Reader) -> None:
    page = reader.open(house.config)
    assert colour(page) == GREEN
    SITUATIONS["recorder-hangs"](house)
    expect(page.locator(".age")).to_have_text("bijgewerkt: 47 seconden geleden", timeout=PATIENCE_MS)
    assert colour(page) == GREY
    expect(page.locator(".faults")).to_contain_text("De opnemer hangt.")
    in_order(house)
    shows(page, "Paraat")
    expect(page.locator(".faults")).to_have_count(0, timeout=PATIENCE_MS)
    assert colour(page) == GREEN


# Several rooms


@pytest.fixture
def rooms() -> Iterator[tuple[House, dict[str, House]]]:
    with tempfile.TemporaryDirectory(prefix="sk-") as folder, several(Path(folder)) as made:
        yield made


def test_the_overview_follows_each_room_and_greys_the_one_that_falls_silent(
    rooms: tuple[House, dict[str, House]], reader: Reader
) -> None:
    own, houses = rooms
    others = {f"{house.url}/" for house in houses.values()}
    page = reader.open(own.config)
    without = reader.open(own.config, java_script_enabled=False)
    for one in (page, without):
        expect(one.locator("h1")).to_have_text("3 van 4 ruimtes in orde", timeout=PATIENCE_MS)
    assert card_colours(page) == [GREEN, RED, BLUE, GREY]
    in_order(houses["Spreekkamer 4"])
    for one in (page, without):
        expect(one.locator("h1")).to_have_text("Alle 4 ruimtes zijn in orde", timeout=PATIENCE_MS)
    page.locator(".card a").nth(3).focus()
    for process in ("panel", "recorder", "vault"):
        houses["Spreekkamer 1"].silence(process)
    card = page.locator(".card").nth(1)
    expect(card.locator(".headline")).to_have_text("Storing", timeout=PATIENCE_MS)
    assert page.evaluate("document.activeElement.textContent") == "Spreekkamer 4", "the focus stays while cards change"
    assert {link.get_attribute("href") for link in page.locator(".card a").all()[1:]} <= others
    page.locator(".card a").first.press("Enter")
    shows(page, "Paraat")
    page.locator(".brand a").press("Enter")
    expect(page.locator(".card")).to_have_count(4)


def card_colours(page: Page) -> list[str]:
    colours = "cards => cards.map(card => getComputedStyle(card).backgroundColor)"
    return list(page.eval_on_selector_all(".card-state", colours))


@pytest.mark.long  # ten seconds of silence; tests/service/test_overview.py has the same without a browser
def test_a_room_whose_page_is_gone_turns_grey_and_says_since_when(reader: Reader) -> None:
    with tempfile.TemporaryDirectory(prefix="sk-") as folder, contextlib.ExitStack() as stack:
        houses: list[House] = []
        for number in range(2):
            (place := Path(folder) / str(number)).mkdir()
            rooms = tuple(OtherRoom(name="Spreekkamer 1", url=house.url) for house in houses)
            houses.append(stack.enter_context(opened(House(place, rooms=rooms))))
            in_order(houses[-1])
        other, own = houses
        page = reader.open(own.config)
        expect(page.locator("h1")).to_have_text("Alle 2 ruimtes zijn in orde", timeout=PATIENCE_MS)
        other.stop()
        card = page.locator(".card").nth(1)
        expect(card).to_contain_text("niet te bereiken", timeout=PATIENCE_MS)
        expect(card).to_contain_text(re.compile(r"Laatst gehoord: 1\d seconden geleden", re.IGNORECASE))
        assert card_colours(page) == [GREEN, GREY]


@pytest.mark.parametrize(("language", "scheme"), [("nl", "dark"), pytest.param("en", "light", marks=pytest.mark.long)])
def test_axe_finds_nothing_on_the_overview(
    rooms: tuple[House, dict[str, House]], reader: Reader, language: str, scheme: Any
) -> None:
    own, houses = rooms
    SITUATIONS["camera-fault"](houses["Spreekkamer 3"])
    page = reader.open(own.config, f"/?lang={language}", color_scheme=scheme, bypass_csp=True)
    page.add_script_tag(content=AXE)
    for size in (DESK, PHONE):
        page.set_viewport_size({"width": size[0], "height": size[1]})
        assert axe(page) == []


def test_the_overview_is_whole_by_keyboard_at_200_percent_and_without_motion(
    rooms: tuple[House, dict[str, House]], reader: Reader
) -> None:
    own, _ = rooms
    page = reader.open(own.config, size=(640, 400), reduced_motion="reduce")
    reached = []
    for _ in range(6):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.textContent.trim()"))
        element = page.evaluate_handle("document.activeElement.closest('.card') ?? document.activeElement")
        assert element.evaluate("e => getComputedStyle(e).outlineStyle") == "solid"
        assert element.bounding_box()["y"] >= 0, "where the focus is can be seen"  # type: ignore[attr-defined]
    assert reached == ["Naar de ruimtes", "English", *(f"Spreekkamer {number}" for number in (2, 1, 3, 4))]
    for size in ((640, 400), (320, 256), PHONE):
        page.set_viewport_size({"width": size[0], "height": size[1]})
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    assert moving(page) == 0


@pytest.mark.parametrize(
    ("language", "scheme"),
    [
        ("nl", "light"),
        ("en", "dark"),
        pytest.param("nl", "dark", marks=pytest.mark.long),
        pytest.param("en", "light", marks=pytest.mark.long),
    ],
)
def test_axe_finds_nothing_in_any_situation(house: House, reader: Reader, language: str, scheme: Any) -> None:
    page = reader.open(house.config, f"/?lang={language}", color_scheme=scheme, bypass_csp=True)
    for name, bring in SITUATIONS.items():
        bring(house)
        page.reload()
        page.locator(".figures summary").click()
        page.add_script_tag(content=AXE)
        for size in (DESK, PHONE):
            page.set_viewport_size({"width": size[0], "height": size[1]})
            assert axe(page) == [], (name, size)


def axe(page: Page) -> list[tuple[str, list[str]]]:
    """What axe-core finds wrong: the rule, and where."""
    found = page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
    assert len(found["passes"]) > 15
    return [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in found["violations"]]


def test_axe_can_find_something(house: House, reader: Reader) -> None:
    page = reader.open(house.config, bypass_csp=True)
    page.add_script_tag(content=AXE)
    page.evaluate("document.querySelector('.headline').style.color = '#ccc'")
    found = page.evaluate("() => axe.run(document)")
    assert "color-contrast" in {rule["id"] for rule in found["violations"]}


def test_the_keyboard_reaches_everything_and_shows_where_it_is(house: House, reader: Reader) -> None:
    house.say("recorder", _warned)
    page = reader.open(house.config)
    expect(page.locator(".warnings summary")).to_be_visible()
    reached = []
    for _ in range(4):
        page.keyboard.press("Tab")
        element = page.evaluate_handle("document.activeElement")
        reached.append(element.evaluate("e => e.className.includes('skip') ? 'skip' : e.tagName.toLowerCase()"))
        if reached[-1] != "body":
            outline = element.evaluate(
                "e => [getComputedStyle(e).outlineStyle, parseFloat(getComputedStyle(e).outlineWidth)]"
            )
            assert outline[0] == "solid"
            assert outline[1] >= 2
            box = element.bounding_box()  # type: ignore[attr-defined]
            assert box["y"] >= 0, "where the focus is can be seen"
    assert reached[:3] == ["skip", "a", "summary"]
    for part, inside in ((".warnings", "li"), (".figures", "table")):
        page.locator(f"{part} summary").focus()
        page.keyboard.press("Enter")
        expect(page.locator(f"{part} {inside}")).to_be_visible()
    page.locator(".bar a").focus()
    page.keyboard.press("Enter")
    shows(page, "Ready")


def _warned(now_ns: int) -> Any:
    from tests.service import saying

    return saying.recorder(now_ns, warnings=("a warning",))


@pytest.mark.parametrize("size", [(640, 400), (320, 256), PHONE])
def test_nothing_is_cut_off_at_200_percent_or_on_a_small_screen(
    house: House, reader: Reader, size: tuple[int, int]
) -> None:
    """200 % of 1280 x 800 is a page of 640 x 400; 400 % is 320 wide (WCAG 1.4.10)."""
    the_day_after(house)
    page = reader.open(house.config, size=size)
    page.locator(".figures summary").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    cut = page.evaluate(
        "[...document.querySelectorAll('main *')].filter(e => e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0"
        " && getComputedStyle(e).overflow !== 'visible').length"
    )
    assert cut == 0
    page.evaluate("document.documentElement.style.fontSize = '200%'")  # text alone, WCAG 1.4.4
    assert page.evaluate("document.documentElement.scrollWidth") <= max(size[0], 640)


def test_nothing_moves_for_who_wants_no_motion(house: House, reader: Reader) -> None:
    page = reader.open(house.config, reduced_motion="reduce")
    assert moving(page) == 0


def moving(page: Page) -> int:
    """How many elements could move."""
    return int(
        page.evaluate(
            "[...document.querySelectorAll('*')].filter(e => parseFloat(getComputedStyle(e).transitionDuration) > 0"
            " || getComputedStyle(e).animationName !== 'none').length"
        )
    )


def test_opened_remarks_stay_open_while_the_page_changes(house: House, reader: Reader) -> None:
    house.say("recorder", _warned)
    page = reader.open(house.config)
    page.locator(".warnings summary").click()
    SITUATIONS["recording"](house)
    shows(page, "Opname")
    expect(page.locator(".warnings")).to_have_attribute("open", "")
