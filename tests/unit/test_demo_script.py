"""The words of an unattended demo."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.config import RETENTION_CAP_S, RETENTION_FLOOR_S
from edge.demo.script import Act, Step, parse, retention_seconds
from edge.errors import Refused


def test_steps_come_in_the_order_of_time_whatever_the_order_of_words() -> None:
    assert parse("30:quit, 8:press ,15.5:privacy") == (
        Step(at_s=8, act=Act.PRESS),
        Step(at_s=15.5, act=Act.PRIVACY),
        Step(at_s=30, act=Act.QUIT),
    )


def test_steps_of_one_moment_keep_their_order() -> None:
    assert [step.act for step in parse("1:kill-panel,1:kill-recorder,1:quit")] == [
        Act.KILL_PANEL,
        Act.KILL_RECORDER,
        Act.QUIT,
    ]


def test_a_script_without_quit_quits_five_seconds_after_its_last_step() -> None:
    assert parse("2:press")[-1] == Step(at_s=7, act=Act.QUIT)


@pytest.mark.parametrize("nothing", ["", " ", ",", " , "])
def test_no_script_is_no_steps(nothing: str) -> None:
    assert parse(nothing) == ()


@pytest.mark.parametrize("act", Act)
def test_each_action_has_its_word(act: Act) -> None:
    assert parse(f"1:{act.value}")[0].act is act


@pytest.mark.parametrize(
    "part", ["press", "1", "1:", ":press", "x:press", "1:Press", "-1:press", "nan:press", "inf:press", "604801:press"]
)
def test_a_part_that_is_no_step_is_refused_by_its_own_words(part: str) -> None:
    with pytest.raises(Refused) as found:
        parse(f"1:press,{part}")
    assert f"{part!r}" in str(found.value)


@given(st.text(max_size=30))
def test_any_text_is_steps_or_a_refusal(text: str) -> None:
    try:
        steps = parse(text)
    except Refused:
        return
    assert all(math.isfinite(step.at_s) for step in steps)
    assert list(steps) == sorted(steps, key=lambda step: step.at_s)
    assert not steps or any(step.act is Act.QUIT for step in steps)


@pytest.mark.parametrize(
    ("words", "seconds"), [("10s", 10), ("60s", 60), ("10m", 600), ("72h", 259_200), (" 1h ", 3600)]
)
def test_a_retention_is_seconds_minutes_or_hours(words: str, seconds: int) -> None:
    assert retention_seconds(words) == seconds


@pytest.mark.parametrize("words", ["", "60", "s", "1.5h", "-1h", "1d", "1h30m", "٣s", "1 h", "9" * 5000 + "h"])
def test_a_retention_in_other_words_is_refused(words: str) -> None:
    with pytest.raises(Refused, match="is not a duration"):
        retention_seconds(words)


@pytest.mark.parametrize("seconds", [0, RETENTION_FLOOR_S - 1, RETENTION_CAP_S + 1])
def test_a_retention_that_no_room_may_have_is_refused_with_the_limits(seconds: int) -> None:
    with pytest.raises(Refused, match="10s to 672h"):
        retention_seconds(f"{seconds}s")
