"""The figures of a month or a year: what they say, which periods are refused, and that they are of numbers alone."""

from __future__ import annotations

import re

import httpx
import pytest

from edge.errors import Refused
from edge.figures import Counted
from edge.messages import encode
from service.figures import figures, told_of
from tests.service import saying
from tests.service.test_app import House, calm, house  # noqa: F401 - fixtures


def counted(**changed: object) -> Counted:
    return saying.counted(0, **changed)


def test_a_month_and_a_year_have_the_counts_of_the_ledger() -> None:
    month, year = figures("Kamer", "2026-11", counted()), figures("Kamer", "2026", counted())
    assert (month.conversations, year.conversations) == (212, 1873)
    assert (month.presses.real, month.presses.private, month.presses.test) == (1, 0, 1)
    assert year.clips.deleted_by_cause["no-incident"] == 1
    assert year.clips.deleted == 3
    assert (year.clips.held, year.clips.exported, month.clips.held) == (1, 1, 0)
    assert month.clips.outcomes["threat"] == 1
    assert (month.self_tests.passed, month.self_tests.failed) == (21, 0)
    assert (month.is_over, figures("Kamer", "2026-10", counted()).is_over) == (False, True)
    assert (month.since, month.until) == ("2026-03-02", "2026-11-22")


def test_a_month_without_anything_is_zeros_and_not_unknown() -> None:
    found = figures("Kamer", "2026-10", counted(months={"2026-03": {"press": 1}, "2026-11": {}}))
    assert (found.conversations, found.clips.made, found.deletion_delay.max_seconds) == (0, 0, None)


@pytest.mark.parametrize(
    ("late", "median", "most"),
    [
        ({}, None, None),
        ({"late-7": 1}, 7, 7),
        ({"late-1": 1, "late-12": 1}, 12, 12),
        ({"late-0": 5, "late-9": 3, "late-130": 1}, 0, 130),
        ({"late-2": 2, "late-10": 2, "late-9": 1}, 9, 10),
    ],
)
def test_the_delay_is_the_middle_one_and_the_longest(
    late: dict[str, int], median: int | None, most: int | None
) -> None:
    found = figures("Kamer", "2026", counted(years={"2026": late})).deletion_delay
    assert (found.median_seconds, found.max_seconds) == (median, most)


@pytest.mark.parametrize(
    ("period", "line"),
    [
        ("2026-12", "2026-12 has not come yet; the newest period is 2026-11"),
        ("2027", "2027 has not come yet; the newest period is 2026"),
        ("2026-02", "nothing is known of 2026-02; the first period is 2026-03"),
        ("2025", "nothing is known of 2025; the first period is 2026"),
        ("2026-13", "a period is a month or a year, such as 2026-11 or 2026"),
        ("2026-1", "a period is a month or a year, such as 2026-11 or 2026"),
        ("", "a period is a month or a year, such as 2026-11 or 2026"),
        ("٢٠٢٦", "a period is a month or a year, such as 2026-11 or 2026"),
        ("2026-11\n", "a period is a month or a year, such as 2026-11 or 2026"),
        ("<b>", "a period is a month or a year, such as 2026-11 or 2026"),
    ],
)
def test_a_period_that_cannot_be_is_refused_in_one_line(calm: House, period: str, line: str) -> None:  # noqa: F811
    with pytest.raises(Refused, match=f"^{re.escape(line)}$"):
        figures("Kamer", period, counted())
    answer = calm.client.get("/api/v1/figures", params={"period": period})
    assert (answer.status_code, answer.json()) == (422, {"detail": line})


def test_months_that_no_longer_fit_are_refused_and_their_year_is_told() -> None:
    old = counted(since="2019-05-01", years={"2019": {"press": 3}, "2026": {}})
    with pytest.raises(Refused, match="the months of 2019 are told no more; ask for the year"):
        figures("Kamer", "2019-06", old)
    assert figures("Kamer", "2019", old).presses.real == 3


def test_without_a_period_this_month_is_meant(calm: House) -> None:  # noqa: F811
    assert calm.client.get("/api/v1/figures").json() == calm.client.get("/api/v1/figures?period=2026-11").json()


def test_a_new_store_tells_zeros_and_a_vault_that_is_still_counting_nothing(house: House) -> None:  # noqa: F811
    house.in_order()
    house.say("figures", lambda now_ns: saying.counted(now_ns, is_whole=False))
    answer = house.client.get("/api/v1/figures")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")
    assert "the vault does not tell the figures now" in answer.json()["detail"]
    assert re.search(r'data-part="figures"><p class="figure">niet bekend</p>', house.page())
    new = figures("Kamer", "2026-11", counted(since="", months={}, years={}))
    assert (new.since, new.presses.real) == ("", 0)


def test_no_vault_no_figures_and_the_room_is_told_all_the_same(house: House) -> None:  # noqa: F811
    house.in_order()
    house.silence("figures")
    assert house.client.get("/api/v1/figures").status_code == 503
    assert house.status()["in_order"] is True


def test_the_page_tells_this_month_and_this_year(calm: House) -> None:  # noqa: F811
    page = calm.page()
    assert '<th scope="col">november 2026</th><th scope="col">2026</th>' in page
    assert '<tr><th scope="row">Gesprekken</th><td>212</td><td>1873</td></tr>' in page
    assert "<td>1 seconde</td><td>12 seconden</td>" in page
    english: httpx.Response = calm.client.get("/?lang=en")
    assert '<th scope="col">November 2026</th>' in english.text


def test_the_figures_hold_numbers_and_days_and_nothing_else() -> None:
    text = encode(figures("Kamer", "2026", counted())).decode()
    assert not re.search(r"\d\d:\d\d|T\d\d|[0-9a-f]{8}-|\d{8}", text), "no moment and no clip's number"
    assert told_of("Kamer", None) is None
