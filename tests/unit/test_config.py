"""The room's file: every mistake at once, the nearest name, the limits of the law, and a panel that needs little of it."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from edge.config import Config, load, load_panel
from edge.errors import BadConfig

RECIPIENT = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
LEAST = """\
[room]
name = "Kamer 1"
[panel]
panic = { pin = 17 }
alarm = { pin = 5 }
"""
GOVERNANCE = """\
[governance]
controller = "Gemeente Voorbeeld"
dpo_contact = "fg@voorbeeld.example"
purpose = "Hulp"
criteria = "Druk"
criteria_by = "OR"
less_intrusive = "Geprobeerd"
legal_basis = "Gerechtvaardigd belang"
dpia_reference = "DPIA-1"
dpia_date = 2026-01-15
review_by = 2099-01-15
works_council_consent = "OR-1"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "room.toml"
    path.write_text(text, "utf-8")
    return path


def problems(folder: Path, text: str) -> tuple[str, ...]:
    with pytest.raises(BadConfig) as found:
        load(written(folder, text))
    return found.value.problems


def test_a_room_with_a_button_and_a_relay_is_a_complete_alarm(tmp_path: Path) -> None:
    config = load(written(tmp_path, LEAST))
    assert config.camera.source == "none"
    assert config.microphone.mode == "off"
    assert config.room.arming == "conversation"
    assert config.retention.seconds == 72 * 3600
    assert config.has_only_fixtures


def test_the_parts_of_a_whole_file_arrive_where_they_belong(tmp_path: Path) -> None:
    text = LEAST + GOVERNANCE + f'[seal]\nrecipients = ["{RECIPIENT}"]\n[paths]\nstore = "/s"\nrun = "/r"\n'
    config = load(written(tmp_path, text))
    assert config.governance is not None
    assert config.governance.dpia_date.isoformat() == "2026-01-15"
    assert config.seal.recipients == (RECIPIENT,)
    assert config.paths.vault_socket == Path("/r/vault-ingest/ingest.sock")
    assert config.paths.status_socket("panel") == Path("/r/panel/status.sock")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[rom]\nname = 'x'", "rom: no such setting; did you mean room?"),
        ("[ring]\nsecond = 3", "ring.second: no such setting; did you mean seconds?"),
        ("[ring]\nzzzz = 3", "ring.zzzz: no such setting"),
        ("[clip]\nmax_minute = 3", "clip.max_minute: no such setting; did you mean max_minutes?"),
        ("[page]\npasword = 'geheim'", "page.pasword: no such setting; did you mean password_hash?"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_one(tmp_path: Path, text: str, problem: str) -> None:
    assert problems(tmp_path, f"{LEAST}{text}\n") == (problem,)


def test_an_unknown_name_inside_a_pin_is_refused_with_the_nearest_one(tmp_path: Path) -> None:
    text = LEAST.replace("{ pin = 17 }", "{ pin = 17, contract = 'no' }")
    assert problems(tmp_path, text) == ("panel.panic.contract: no such setting; did you mean contact?",)


@pytest.mark.parametrize(
    ("section", "inside", "beyond"),
    [
        ("ring", "seconds = 60", "seconds = 61"),
        ("ring", "seconds = 0", "seconds = -1"),
        ("ring", "mebibytes = 512", "mebibytes = 513"),
        ("ring", "mebibytes = 8", "mebibytes = 7"),
        ("clip", "post_press_seconds = 5", "post_press_seconds = 4"),
        ("clip", "post_press_seconds = 900", "post_press_seconds = 901"),
        ("clip", "max_minutes = 15", "max_minutes = 16"),
        ("clip", "max_minutes = 1", "max_minutes = 0"),
        ("retention", "seconds = 2419200", "seconds = 2419201"),
        ("retention", "seconds = 10", "seconds = 9"),
        ("retention", "reserve_clips = 20", "reserve_clips = 21"),
        ("page", "port = 65535", "port = 65536"),
        ("page", 'bind = "::1"', 'bind = "localhost"'),
        ("page", 'theme = "/x.css"', 'theme = "x.css"'),
        ("microphone", 'mode = "in_ring"', 'mode = "always"'),
        ("microphone", 'source = "fixture:/x"', 'source = "fixture:"'),
        ("camera", 'source = "fixture:/x"', 'source = "/dev/video0"'),
        ("camera", 'source = "v4l2:/dev/v4l/by-id/usb-x-index0"', 'source = "v4l2:/etc/passwd"'),
        ("camera", 'source = "v4l2:/dev/video0"', 'source = "v4l2:/dev/../etc/passwd"'),
        ("camera", 'source = "v4l2:/dev/video0"', 'source = "v4l2:"'),
        ("camera", 'source = "picamera"', 'source = "picamera:1"'),
        ("camera", "width = 160", "width = 159"),
        ("camera", "width = 1920", "width = 1921"),
        ("camera", "height = 120", "height = 119"),
        ("camera", "height = 1080", "height = 1081"),
        ("camera", "fps = 5", "fps = 4"),
        ("camera", "fps = 30", "fps = 31"),
        ("microphone", 'source = "default"', 'source = "hw:1,0"'),
        ("microphone", 'source = "alsa:USB Mic"', 'source = "alsa:"'),
        ("microphone", 'source = "alsa:USB Mic"', 'source = "alsa:a\\nb"'),
        ("paths", 'store = "/x"', 'store = "x"'),
        ("paths", 'run = "/x"', 'run = ""'),
        ("seal", f'recipients = ["{RECIPIENT}"]', f'recipients = ["{RECIPIENT}x"]'),
        ("seal", "recipients = []", 'recipients = "age1"'),
        ("ring", "seconds = 3", "seconds = 3.0"),
        ("ring", "seconds = 3", 'seconds = "3"'),
        ("ring", "seconds = 3", "seconds = true"),
    ],
)
def test_a_limit_holds_to_the_last_value_and_not_beyond(tmp_path: Path, section: str, inside: str, beyond: str) -> None:
    load(written(tmp_path, f"{LEAST}[{section}]\n{inside}\n"))
    name = beyond.partition(" = ")[0]
    (problem,) = problems(tmp_path, f"{LEAST}[{section}]\n{beyond}\n")
    assert problem.startswith(f"{section}.{name}")


@pytest.mark.parametrize(
    "address",
    [
        "rtsp://camera.local/",
        "rtsp://192.0.2.7:8554/live?channel=1&subtype=0",
        "rtsp://[2001:db8::7]/a",
        "rtsp://camera",
    ],
)
def test_a_network_camera_is_an_address_and_where_its_login_lies(tmp_path: Path, address: str) -> None:
    for login in ("/etc/spreekkamer/camera", "camera"):
        config = load(written(tmp_path, f'{LEAST}[camera]\nsource = "{address}"\nlogin = "{login}"\n'))
        assert (config.camera.source, config.camera.login) == (address, login)
        assert not config.has_only_fixtures


@pytest.mark.parametrize(
    ("section", "told"),
    [
        (
            "source = 'rtsp://admin:s3cret@camera/live'",
            "leave user and password out of the address; camera.login names",
        ),
        ("source = 'rtsp://camera/live?user=admin&password=s3cret'", "leave user and password out"),
        ("source = 'rtsp:/s3cret'", "is no address of a network camera"),
        ("source = 'rtsp://camera:0/s3cret'", "is no address of a network camera"),
        ("source = 'rtsp://camera:65536/s3cret'", "is no address of a network camera"),
        ("source = 'rtsp://camera/s3cret x'", "is no address of a network camera"),
        ("source = 'rtsp://'", "is no address of a network camera"),
        ("source = 'rtsps://camera/s3cret'", "not a source this version knows"),
        ("source = ['rtsp://admin:s3cret@camera']", "input should be a valid string"),
        ("source = 'rtsp://camera/'\nlogin = 'admin:s3cret'", "is neither the whole path of a file nor the name"),
        ("source = 'rtsp://camera/'\nlogin = ['s3cret']", "input should be a valid string"),
        ("source = 'none'\nlogin = 'camera'", "login is for a network camera"),
    ],
)
def test_what_is_no_network_camera_is_told_without_what_may_be_a_password(
    tmp_path: Path, section: str, told: str
) -> None:
    (problem,) = problems(tmp_path, f"{LEAST}[camera]\n{section}\n")
    assert problem.startswith("camera")
    assert told in problem
    assert "s3cret" not in problem


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    text = (
        LEAST.replace("pin = 5", "pin = 28") + "[ring]\nseconds = 99\n[clip]\nmax = 3\n[retention]\nseconds = 1\n[x]\n"
    )
    assert len(problems(tmp_path, text)) == 5


def test_consent_is_no_basis(tmp_path: Path) -> None:
    text = LEAST + GOVERNANCE.replace("Gerechtvaardigd belang", "Toestemming")
    (problem,) = problems(tmp_path, text)
    assert problem.startswith("governance.legal_basis: consent is no basis")


def test_each_missing_part_of_the_governance_record_is_named(tmp_path: Path) -> None:
    found = problems(tmp_path, LEAST + "[governance]\ncontroller = 'x'\n")
    assert len(found) == 10
    assert "governance.purpose: is missing" in found


def test_a_private_key_in_the_wrong_place_is_not_printed(tmp_path: Path) -> None:
    found = problems(tmp_path, LEAST + '[seal]\nrecipients = ["AGE-SECRET-KEY-1QQQQ"]\n')
    assert "SECRET" not in "".join(found)
    found = problems(tmp_path, LEAST + '[seal]\nrecipients = "AGE-SECRET-KEY-1QQQQ"\n')
    assert "SECRET" not in "".join(found)
    found = problems(tmp_path, LEAST + "[seal]\nrecipients = [1]\n")
    assert len(found) == 1


@pytest.mark.parametrize("content", [b"[room", b"\xff\xfe[room]", b"a = 1\na = 2\n"])
def test_a_file_that_is_no_toml_is_one_problem_with_its_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "room.toml"
    path.write_bytes(content)
    for reader in (load, load_panel):
        with pytest.raises(BadConfig) as found:
            reader(path)
        (problem,) = found.value.problems
        assert problem.startswith(str(path))


def test_a_file_that_is_not_there_is_one_problem_with_its_name(tmp_path: Path) -> None:
    for reader in (load, load_panel):
        with pytest.raises(BadConfig, match=r"none\.toml: cannot be read: No such file"):
            reader(tmp_path / "none.toml")
        with pytest.raises(BadConfig, match="cannot be read: Is a directory"):
            reader(tmp_path)


# --- the panel


def test_the_panel_works_whatever_else_is_broken_and_says_what(tmp_path: Path) -> None:
    text = LEAST.replace('name = "Kamer 1"', "name = 7") + "[ring]\nseconds = 999\n[camera]\nsource = 3\n[nonsense]\n"
    panel, told = load_panel(written(tmp_path, text))
    assert panel.panel.panic.pin == 17
    assert panel.panel.alarm.pin == 5
    assert {problem.split(":")[0] for problem in told} == {"room.name", "ring.seconds", "camera.source", "nonsense"}


def test_the_panel_takes_what_is_sound_of_the_rest(tmp_path: Path) -> None:
    text = LEAST + '[clip]\npost_press_seconds = 60\n[paths]\nrun = "/r"\nstore = "s"\n'
    panel, told = load_panel(written(tmp_path, text))
    assert panel.clip.post_press_seconds == 60
    assert panel.paths.run == Path("/run/spreekkamer"), "a section with a mistake counts as absent"
    assert len(told) == 1


def test_the_panel_of_a_sound_file_has_nothing_to_tell(tmp_path: Path) -> None:
    panel, told = load_panel(written(tmp_path, LEAST))
    assert (panel.room.name, told) == ("Kamer 1", ())


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[room]\nname = 'x'\n", "panel: is missing"),
        ("[panel]\nalarm = { pin = 5 }\n[room]\nname = 'x'\n", "panel.panic: is missing"),
        (LEAST.replace("17", "5"), "panel: pin 5 is used for both panic and alarm"),
        (LEAST.replace("17", "'17'"), "panel.panic.pin: "),
        ("panel = 3\n[room]\nname = 'x'\n", "panel: "),
        (LEAST + "resett = { pin = 6 }\n", "panel.resett: no such setting; did you mean reset?"),
    ],
)
def test_without_a_sound_panel_section_there_is_no_button_to_guard(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(BadConfig) as found:
        load_panel(written(tmp_path, text))
    (only,) = found.value.problems
    assert only.startswith(problem)


def test_a_section_that_only_begins_like_the_panel_does_not_silence_it(tmp_path: Path) -> None:
    panel, told = load_panel(written(tmp_path, LEAST + "[panels]\nx = 1\n"))
    assert panel.panel.panic.pin == 17
    assert told == ("panels: no such setting; did you mean panel?",)


def test_sound_of_a_usb_camera_needs_a_name_of_its_own(tmp_path: Path) -> None:
    camera = '[camera]\nsource = "v4l2:/dev/video0"\n[microphone]\nmode = "in_ring"\n'
    (problem,) = problems(tmp_path, LEAST + camera)
    assert problem.startswith("microphone.source: a USB camera gives its sound as a sound card")
    load(written(tmp_path, LEAST + camera + 'source = "alsa:USB Camera"\n'))
    load(written(tmp_path, LEAST + camera.replace("in_ring", "off")))
    panel, told = load_panel(written(tmp_path, LEAST + camera))
    assert (panel.panel.panic.pin, told) == (17, (problem,))


def test_a_raspberry_pi_camera_has_no_sound(tmp_path: Path) -> None:
    camera = '[camera]\nsource = "picamera"\n[microphone]\nmode = "in_ring"\n'
    (problem,) = problems(tmp_path, LEAST + camera)
    assert problem.startswith("microphone.source: a Raspberry Pi camera has no microphone; use")
    load(written(tmp_path, LEAST + camera + 'source = "default"\n'))


@pytest.mark.parametrize(
    ("camera", "microphone", "is_recorded"),
    [
        ("none", {"mode": "off"}, True),
        ("fixture:/x", {"mode": "in_ring"}, True),
        ("fixture:/x", {"mode": "in_ring", "source": "fixture:/y"}, True),
        ("fixture:/x", {"mode": "in_ring", "source": "default"}, False),
        ("fixture:/x", {"mode": "off", "source": "default"}, True),
        ("v4l2:/dev/video0", {"mode": "off"}, False),
        ("picamera", {"mode": "off"}, False),
    ],
)
def test_a_room_of_recordings_only_is_known_as_one(
    camera: str, microphone: dict[str, Any], *, is_recorded: bool
) -> None:
    config = Config.model_validate({**tomllib.loads(LEAST), "camera": {"source": camera}, "microphone": microphone})
    assert config.has_only_fixtures is is_recorded


HOOK = '{ url = "https://meldkamer.example/hook?key=s3cret", secret = "/etc/spreekkamer/hook" }'


def test_who_is_told_and_where_the_secrets_lie(tmp_path: Path) -> None:
    broker = '[notify.mqtt]\nhost = "broker.example"\ntopic = "spreekkamer/hal/2"\nlogin = "mqtt"\n'
    config = load(written(tmp_path, f"{LEAST}[notify]\nwebhooks = [{HOOK}]\n{broker}"))
    [hook] = config.notify.webhooks
    assert (hook.secret, config.notify.mqtt is not None) == ("/etc/spreekkamer/hook", True)
    assert "s3cret" not in repr(config), "the address of a webhook is often its secret"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('webhooks = [{ url = "https://me:s3cret@host/", secret = "a" }]', "leave user and password out"),
        ('webhooks = [{ url = "http://host/s3cret", secret = "a" }]', "http:// is for this device itself only"),
        ('webhooks = [{ url = "ftp://host/s3cret", secret = "a" }]', "is no address of a web server"),
        ('webhooks = [{ url = "https://host:99999/s3cret", secret = "a" }]', "is no address of a web server"),
        ('webhooks = [{ url = "https://host/\\u0000s3cret", secret = "a" }]', "is no address of a web server"),
        ('webhooks = [{ url = "https://host/", secret = "whsec_s3cret=" }]', "name of a credential"),
        ("webhooks = [" + ", ".join([HOOK] * 9) + "]", "at most 8 items"),
        ("webhooks = 3", "valid tuple"),
        ('mqtt = { host = "broker", topic = "a/#" }', "is no topic of one room"),
        ('mqtt = { host = "broker", topic = "/a" }', "is no topic of one room"),
        ('mqtt = { host = "me:s3cret@broker", topic = "a" }', "is no name or address of a host"),
        ('mqtt = { host = "broker", topic = "a", tls = false }', "tls = false is for a broker on this device only"),
        ('mqtt = { host = "broker", topic = "a", port = 70000 }', "less than or equal to 65535"),
        ('mqtt = { host = "broker", topic = "a", pasword = "s3cret" }', "no such setting"),
        ('mqtt = { host = "broker", topic = "a", login = "a b" }', "name of a credential"),
        ('mqqt = { host = "broker", topic = "a" }', "did you mean mqtt?"),
    ],
)
def test_a_mistake_in_who_is_told_is_named_without_a_secret(tmp_path: Path, text: str, told: str) -> None:
    [problem] = problems(tmp_path, f"{LEAST}[notify]\n{text}\n")
    assert told in problem
    assert problem.startswith("notify.")
    assert "s3cret" not in problem


def test_a_broker_on_this_device_needs_no_tls(tmp_path: Path) -> None:
    text = f'{LEAST}[notify]\nmqtt = {{ host = "localhost", topic = "a", tls = false }}\n'
    assert load(written(tmp_path, text)).notify.mqtt is not None


ROOMS = '[[page.rooms]]\nname = "Kamer 2"\nurl = "https://kamer2.voorbeeld.example"\n'


def test_other_rooms_have_a_name_an_address_and_if_need_be_a_login_and_a_certificate(tmp_path: Path) -> None:
    more = (
        '[[page.rooms]]\nname = "Kamer 3"\nurl = "http://[::1]:8081/"\ncredential = "k3"\ncertificate = "/etc/k3.pem"\n'
    )
    rooms = load(written(tmp_path, LEAST + ROOMS + more)).page.rooms
    assert [(room.name, room.url) for room in rooms] == [
        ("Kamer 2", "https://kamer2.voorbeeld.example"),
        ("Kamer 3", "http://[::1]:8081"),
    ]
    assert (rooms[1].credential, rooms[1].certificate) == ("k3", Path("/etc/k3.pem"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (ROOMS.replace("https:", "http:"), "page.rooms.0.url: must begin with https://"),
        (ROOMS.replace("https://", "https://page:s3cret@"), "is no address of a room's page"),
        (ROOMS.replace(".example", ".example/s3cret"), "is no address of a room's page"),
        (ROOMS.replace(".example", ".example:99999"), "is no address of a room's page"),
        (ROOMS.replace("https", "ftp"), "is no address of a room's page"),
        (ROOMS + ROOMS, "page.rooms: two rooms have the same name"),
        (ROOMS + ROOMS.replace("Kamer 2", "Kamer 3"), "page.rooms: two rooms have the same url"),
        (ROOMS + 'credential = "s3cret s3cret"\n', "is neither the whole path of a file nor the name of a credential"),
        (ROOMS + 'certificate = "k2.pem"\n', "page.rooms.0.certificate: 'k2.pem' is not an absolute path"),
        (ROOMS + 'certificat = "/k2.pem"\n', "page.rooms.0.certificat: no such setting; did you mean certificate?"),
        (
            "".join(ROOMS.replace("2", str(number)) for number in range(33)),
            "page.rooms: tuple should have at most 32 items",
        ),
    ],
)
def test_other_rooms_that_cannot_be_are_told_without_a_secret(tmp_path: Path, text: str, told: str) -> None:
    found = problems(tmp_path, LEAST + text)
    assert any(told in line for line in found), found
    assert "s3cret" not in "".join(found)
