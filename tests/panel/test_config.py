"""`[panel]`: what an installer may write, and what is said of a mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.config import load_panel
from edge.errors import BadConfig
from edge.panel.contact import Contact
from edge.panel.inputs import wires


def written(folder: Path, panic: str, rest: str = "alarm = { pin = 5 }") -> Path:
    path = folder / "config.toml"
    path.write_text(f"[room]\nname = 'x'\n[panel]\npanic = {{ {panic} }}\n{rest}\n")
    return path


def test_a_pair_has_a_wire_for_each_contact(tmp_path: Path) -> None:
    config, told = load_panel(written(tmp_path, "pin = 17, contact = 'pair', pin_closed = 27"))
    assert told == ()
    assert list(wires(config.panel)) == [(Contact.PANIC, 17, False), (Contact.PANIC_CLOSED, 27, True)]


def test_the_alarm_is_steady_unless_it_is_said_to_pulse(tmp_path: Path) -> None:
    assert load_panel(written(tmp_path, "pin = 17"))[0].panel.alarm.signal == "steady"
    pulsed = written(tmp_path, "pin = 17", "alarm = { pin = 5, signal = 'pulse' }")
    assert load_panel(pulsed)[0].panel.alarm.signal == "pulse"


@pytest.mark.parametrize(
    ("panic", "rest", "problem"),
    [
        ("pin = 17, contact = 'pair'", "", 'panel.panic: contact = "pair" has two contacts; say pin_closed'),
        ("pin = 17, pin_closed = 27", "", 'panel.panic: pin_closed is for contact = "pair", not for "no"'),
        (
            "pin = 17, contact = 'pair', pin_closed = 17",
            "",
            "panel: pin 17 is used for both panic and panic.pin_closed",
        ),
        ("pin = 17, contact = 'pair', pin_closed = 5", "", "panel: pin 5 is used for both alarm and panic.pin_closed"),
        ("pin = 17, contact = 'pair', pin_closed = 28", "", "panel.panic.pin_closed: "),
        ("pin = 17", "reset = { pin = 6, contact = 'pair' }\n", "panel.reset.contact: "),
        ("pin = 17", "lamp_official = { pin = 6, signal = 'pulse' }\n", "panel.lamp_official.signal: no such setting"),
    ],
)
def test_a_mistake_is_told_in_one_line(tmp_path: Path, panic: str, rest: str, problem: str) -> None:
    with pytest.raises(BadConfig) as told:
        load_panel(written(tmp_path, panic, f"alarm = {{ pin = 5 }}\n{rest}"))
    assert [line[: len(problem)] for line in told.value.problems] == [problem]
    assert "\n" not in told.value.problems[0]
