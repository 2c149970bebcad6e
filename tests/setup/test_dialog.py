"""A person at a terminal sets the room up: asked again when it cannot be, and nothing is written before the end."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from edge.config import load
from edge.errors import EXIT_REFUSED
from edge.setup import texts
from service.password import read_hash
from tests.setup.person import CTRL_C, CTRL_D, Person, at_a_terminal
from tests.setup.rooms import RECIPIENT

PASSWORD = "correct horse battery staple"


def machine(root: Path) -> Path:
    """A machine with a camera and a microphone, by their names."""
    by_id = root / "dev/v4l/by-id"
    by_id.mkdir(parents=True)
    (by_id / "usb-Cam_1-video-index0").touch()
    (by_id / "usb-Cam_1-video-index1").touch()
    card = root / "proc/asound/card1/pcm0c"
    card.mkdir(parents=True)
    (root / "proc/asound/cards").write_text(
        " 0 [vc4hdmi        ]: vc4-hdmi - vc4-hdmi\n                      vc4-hdmi\n"
        " 1 [Device         ]: USB-Audio - USB PnP Sound Device\n                      at usb-1\n"
    )
    return root


def answers_the_record(person: Person) -> None:
    for name in ("controller", "dpo_contact", "purpose", "criteria", "criteria_by", "less_intrusive"):
        person.answers(texts.SETTINGS[f"governance.{name}"][:20], f"antwoord {name}")
    person.answers("De grondslag", "toestemming")
    person.waits_for("Dat kan niet")
    person.answers("De grondslag", "Gerechtvaardigd belang")
    person.answers("Kenmerk van de", "DPIA-1")
    person.answers("Datum van de DPIA", "15 januari")
    person.waits_for("2026-01-31")
    person.answers("Datum van de DPIA", "2026-01-15")
    person.answers("Uiterlijk dan", "2027-01-15")
    person.answers("Instemming", "2026-02-01")


def answers_the_wires(person: Person) -> None:
    person.answers("Soort noodknop", "3")
    person.answers("Noodknop: pin")
    person.answers("verbreekcontact: pin", "5")
    person.waits_for("Dat kan niet")
    person.answers("verbreekcontact: pin")
    person.answers("Alarmrelais: pin")
    for wire in ("Herstelknop", "Privacyschakelaar", "Gespreksschakelaar"):
        person.answers(wire)
    for wire in ("Aandachtsknop", "Proefsleutel"):
        person.answers(wire, "-")
    person.answers("Lamp van de medewerker", "4")
    person.waits_for("Let op: pin 4")
    person.answers("Lamp van de bezoeker", "-")


def test_a_person_sets_up_a_whole_room(tmp_path: Path) -> None:
    root = machine(tmp_path)
    with at_a_terminal("--root", root) as person:
        person.answers("Naam van de kamer")
        person.waits_for("Dat kan niet")
        person.answers("Naam van de kamer", "Spreekkamer 2")
        person.answers("Gebouw", "Stadhuis")
        person.answers("Wanneer mag", "1")
        person.answers("Welke camera", "2")
        person.answers("Seconden", "61")
        person.waits_for("Dat kan niet")
        person.answers("Seconden", "20")
        person.answers("Geluid", "2")
        person.answers("Welke microfoon", "1")
        answers_the_record(person)
        person.answers("Openbare sleutel", "AGE-SECRET-KEY-1XYZ")
        person.waits_for("Dat kan niet")
        person.answers("Openbare sleutel", RECIPIENT)
        person.answers("Nog een openbare sleutel")
        answers_the_wires(person)
        person.answers("Wachtwoord van de statuspagina", "kort")
        person.waits_for("15 to 128")
        person.answers("Wachtwoord van de statuspagina", PASSWORD)
        person.answers("Nog eens", PASSWORD + "x")
        person.waits_for("niet gelijk")
        person.answers("Wachtwoord van de statuspagina", PASSWORD)
        person.answers("Nog eens", PASSWORD)
        person.answers("Poort 8080", "j")
        person.answers("SSH", "n")
        person.answers("nu proberen", "n")
        assert not (root / "etc").exists()
        person.answers("opschrijven", "j")
        assert person.sees_the_end() == 0
        shown = person.shown
    config = load(root / "etc/spreekkamer/config.toml")
    assert config.camera.source == "v4l2:/dev/v4l/by-id/usb-Cam_1-video-index0"
    assert (config.microphone.mode, config.microphone.source) == ("from_press", "alsa:USB PnP Sound Device")
    assert config.ring.seconds == 20
    assert config.governance is not None
    assert config.governance.purpose == "antwoord purpose"
    assert config.seal.recipients == (RECIPIENT,)
    assert (config.panel.panic.pin, config.panel.panic.pin_closed, config.panel.alarm.pin) == (5, 6, 26)
    assert config.panel.reset is not None
    assert config.panel.test_key is None
    assert config.panel.lamp_resident is None
    assert read_hash(root / "etc/credstore/spreekkamer.page-password-hash").fits(PASSWORD.encode())
    assert PASSWORD not in shown
    assert [file.name for file in (root / "etc/spreekkamer/firewall.d").iterdir()] == ["page.nft"]


def wires_of_alarm_button(person: Person) -> None:
    person.answers("Naam van de kamer", "Kamer 1")
    person.answers("Gebouw")
    person.answers("Wanneer mag")
    person.answers("Welke camera", "1")
    person.answers("Soort noodknop")
    for wire in (
        "Noodknop",
        "Alarmrelais",
        "Herstelknop",
        "Privacy",
        "Gespreks",
        "Aandacht",
        "Proef",
        "medewerker",
        "bezoeker",
    ):
        person.answers(wire)


def alarm_button_alone(person: Person) -> None:
    wires_of_alarm_button(person)
    person.answers("Wachtwoord")
    person.answers("Poort")
    person.answers("SSH")


def test_a_second_set_up_proposes_the_room_as_it_is(tmp_path: Path) -> None:
    with at_a_terminal("--root", tmp_path) as person:
        alarm_button_alone(person)
        person.answers("nu proberen", "n")
        person.answers("opschrijven")
        assert person.sees_the_end() == 0
    config = tmp_path / "etc/spreekkamer/config.toml"
    before = tomllib.loads(config.read_text("utf-8"))
    with at_a_terminal("--root", tmp_path) as person:
        person.answers("Naam van de kamer [Kamer 1]", "")
        for question in ("Gebouw", "Wanneer mag", "Welke camera", "Soort noodknop"):
            person.answers(question)
        for wire in (
            "Noodknop",
            "Alarmrelais",
            "Herstelknop",
            "Privacy",
            "Gespreks",
            "Aandacht",
            "Proef",
            "medewerker",
        ):
            person.answers(wire)
        person.answers("bezoeker", "-")
        for question in ("Wachtwoord", "Poort", "SSH"):
            person.answers(question)
        person.answers("nu proberen", "n")
        person.answers("opschrijven")
        assert person.sees_the_end() == 0
    del before["panel"]["lamp_resident"]
    assert tomllib.loads(config.read_text("utf-8")) == before


def gets_to(person: Person, stage: str) -> None:
    if stage == "Wachtwoord":
        wires_of_alarm_button(person)
    if stage == "opschrijven":
        alarm_button_alone(person)
        person.answers("nu proberen", "n")
    person.waits_for(stage)
    person.waits_for(": ")


@pytest.mark.parametrize(
    ("stage", "ending"),
    [("Naam van de kamer", CTRL_D), ("Wachtwoord", CTRL_C), ("Wachtwoord", CTRL_D), ("opschrijven", CTRL_C)],
)
def test_breaking_off_leaves_nothing(tmp_path: Path, stage: str, ending: str) -> None:
    with at_a_terminal("--root", tmp_path) as person:
        gets_to(person, stage)
        person.types(ending)
        assert person.sees_the_end() == EXIT_REFUSED
        assert texts.INTERRUPTED in person.shown
        assert "Traceback" not in person.shown
    assert list(tmp_path.iterdir()) == []


def test_without_pins_the_set_up_goes_on_and_says_so(tmp_path: Path) -> None:
    with at_a_terminal("--root", tmp_path, pins="none-such") as person:
        alarm_button_alone(person)
        person.answers("nu proberen", "j")
        person.waits_for("geen aansluitingen")
        person.answers("opschrijven")
        assert person.sees_the_end() == 0
