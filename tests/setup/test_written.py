"""The configuration that the set-up writes: it reads back as what was said, and explains all the rest."""

from __future__ import annotations

import re
import tomllib
from datetime import date
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from edge.config import Config, checked
from edge.setup import texts
from edge.setup.written import toml, written
from tests.setup.rooms import ANSWERS


def told() -> dict[str, Any]:
    raw = tomllib.loads(ANSWERS)
    raw.pop("setup")
    return raw


def test_every_setting_is_explained() -> None:
    text = written(told())
    room = checked(told())
    for section in Config.model_fields:
        assert section in texts.SECTIONS, f"{section}: say what it is in edge/setup/texts.py"
        for key in type(getattr(room, section)).model_fields:
            assert texts.SETTINGS.get(f"{section}.{key}"), f"{section}.{key}: say what it is in edge/setup/texts.py"
            assert re.search(rf"^(# )?{key} = ", text, re.MULTILINE), key


def test_what_stands_there_as_default_is_the_default() -> None:
    with_defaults = re.sub(r"^# (\w+ = (?!…))", r"\1", written(told()), flags=re.MULTILINE)
    assert with_defaults.count("\nfps = ") == 1
    assert checked(tomllib.loads(with_defaults)) == checked(told())


def test_an_alarm_button_alone_needs_no_record() -> None:
    raw = {"room": {"name": "Kamer 1"}, "panel": {"panic": {"pin": 5}, "alarm": {"pin": 26}}}
    text = written(raw)
    assert tomllib.loads(text)["room"] == raw["room"]
    assert checked(tomllib.loads(text)) == checked(raw)
    assert "\n# [governance]\n" in text


_VALUES = st.recursive(
    st.booleans() | st.integers() | st.dates(min_value=date(1, 1, 1)) | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(_VALUES)
def test_any_value_reads_back_as_itself(value: Any) -> None:
    assert tomllib.loads(f"key = {toml(value)}") == {"key": value}
