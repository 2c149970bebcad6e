"""The questions of the set-up, in order. Each answer is judged by the configuration's own rules, so there is one truth.

Asks and returns; changes nothing. What the room is now (`before`) gives the proposals.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, Final

from edge import config as configuration
from edge.config import Governance
from edge.errors import BadConfig, Refused
from edge.setup import texts
from edge.setup.answers import Answers, Raw, key_problems, network_camera
from edge.setup.found import Found
from edge.setup.talk import Judge, Talk, choose, confirm
from service.password import hash_of

# The wiring that firmware_config/README.md draws: what is on when high lies on pins that are low at power-on.
STANDARD: Final = {
    "panic": 5,
    "panic_closed": 6,
    "alarm": 26,
    "reset": 16,
    "privacy": 22,
    "conversation": 23,
    "attention": 24,
    "test_key": 25,
    "lamp_official": 20,
    "lamp_resident": 21,
}
_OUTPUTS: Final = frozenset({"alarm", "lamp_official", "lamp_resident"})
_HIGH_AT_START: Final = range(9)
_NOT_WIRED: Final = "-"


def ask_everything(talk: Talk, found: Found, before: Raw) -> Answers:
    """Answers that make a room: the whole configuration by `answers.check` is what remains to be judged."""
    raw: dict[str, Any] = copy.deepcopy(dict(before))
    talk.say(texts.WELCOME)
    _ask_room(talk, raw)
    login = _ask_camera(talk, found, raw)
    if raw["camera"]["source"] != "none":
        _ask_sound(talk, found, raw)
        _ask_record(talk, raw)
        _ask_keys(talk, raw)
    _ask_wires(talk, raw)
    talk.say(texts.PART_ACCESS)
    password_hash = _ask_password(talk)
    port = raw.get("page", {}).get("port", configuration.Page().port)
    is_page_open = confirm(talk, texts.ASK_PAGE.format(port=port), default=False)
    is_ssh_open = confirm(talk, texts.ASK_SSH, default=False)
    return Answers(
        config=raw,
        password_hash=password_hash,
        camera_login=login,
        is_page_open=is_page_open,
        is_ssh_open=is_ssh_open,
    )


def _ask_room(talk: Talk, raw: dict[str, Any]) -> None:
    talk.say(texts.PART_ROOM)
    _set(raw, "room", "name", talk.ask(texts.ASK_NAME, _now(raw, "room", "name"), _judge("room", "name")))
    building = talk.ask(texts.ASK_BUILDING, _now(raw, "room", "building"), _judge("room", "building"))
    _set(raw, "room", "building", building)
    arming = choose(talk, texts.ASK_ARMING, texts.ARMING, _now(raw, "room", "arming") or "conversation")
    _set(raw, "room", "arming", arming)


def _ask_camera(talk: Talk, found: Found, raw: dict[str, Any]) -> str:
    """The camera, and its login if it has one."""
    talk.say(texts.PART_CAMERA)
    now = _now(raw, "camera", "source")
    options = {"none": texts.NO_CAMERA, **{source: source for source in found.cameras}}
    if found.has_picamera:
        options["picamera"] = texts.PI_CAMERA
    options["rtsp"] = texts.NETWORK_CAMERA
    if now and now not in options:
        options[now] = texts.OTHER_CAMERA.format(source=now)
    source = choose(talk, texts.ASK_CAMERA, options, now or next(iter(found.cameras), "none"))
    login = ""
    if source == "rtsp":
        source = talk.ask(texts.ASK_ADDRESS, "", _judge_address)
        login = talk.ask_hidden(texts.ASK_LOGIN)
    _set(raw, "camera", "source", source)
    if login:
        _set(raw, "camera", "login", "camera-login")
    elif not source.startswith("rtsp:"):
        raw["camera"].pop("login", None)
    return login


def _judge_address(said: str) -> str | None:
    problem = _judge("camera", "source")(said)
    return problem or (None if network_camera(said) else texts.NAMED_CAMERA)


def _ask_sound(talk: Talk, found: Found, raw: dict[str, Any]) -> None:
    seconds = _now(raw, "ring", "seconds") or str(configuration.RingSize().seconds)
    _set(raw, "ring", "seconds", int(talk.ask(texts.ASK_RING, seconds, _judge("ring", "seconds", _whole))))
    mode = choose(talk, texts.ASK_SOUND, texts.SOUND, _now(raw, "microphone", "mode") or "off")
    _set(raw, "microphone", "mode", mode)
    if mode == "off":
        raw["microphone"].pop("source", None)
        return
    options = {source: source for source in found.microphones}
    if raw["camera"]["source"].startswith(("rtsp:", "fixture:")):
        options = {"camera": texts.CAMERA_SOUND, **options}
    options["default"] = texts.DEFAULT_SOUND
    now = _now(raw, "microphone", "source")
    _set(raw, "microphone", "source", choose(talk, texts.ASK_MICROPHONE, options, now))


def _ask_record(talk: Talk, raw: dict[str, Any]) -> None:
    talk.say(texts.PART_RECORD)
    for name, field in Governance.model_fields.items():
        read: Callable[[str], Any] = _date if field.annotation is date else _text
        question = texts.SETTINGS[f"governance.{name}"].removesuffix(".")
        said = talk.ask(question, _now(raw, "governance", name), _judge("governance", name, read))
        _set(raw, "governance", name, read(said))


def _ask_keys(talk: Talk, raw: dict[str, Any]) -> None:
    talk.say(texts.PART_KEYS)
    talk.say(texts.KEYS_MADE_ELSEWHERE)
    recipients: list[str] = []
    proposals = list(raw.get("seal", {}).get("recipients", ()))
    while True:
        default = proposals.pop(0) if proposals else ""
        question = texts.ASK_ANOTHER if recipients else texts.ASK_RECIPIENT
        may_end = bool(recipients)

        def judge(said: str, *, may_end: bool = may_end) -> str | None:
            return None if not said and may_end else _key_problem(said)

        said = talk.ask(question, default, judge)
        if not said:
            break
        recipients.append(said)
    _set(raw, "seal", "recipients", recipients)


def _key_problem(said: str) -> str | None:
    if not said:
        return texts.ANSWER_SOMETHING
    problem = _judge("seal", "recipients", lambda one: [one])(said)
    return problem or next(iter(key_problems((said,))), None)


def _ask_wires(talk: Talk, raw: dict[str, Any]) -> None:
    talk.say(texts.PART_WIRES)
    before: Mapping[str, Any] = raw.get("panel", {})
    was: Mapping[str, Any] = before.get("panic", {})
    contact = choose(talk, texts.ASK_CONTACT, texts.CONTACT, was.get("contact", "no"))
    used: dict[int, str] = {}
    panic: dict[str, Any] = {"pin": _ask_pin(talk, "panic", was.get("pin"), used), "contact": contact}
    if contact == "pair":
        panic["pin_closed"] = _ask_pin(talk, "panic_closed", was.get("pin_closed"), used)
    panel: dict[str, Any] = {"panic": panic}
    for wire in STANDARD:
        if wire in {"panic", "panic_closed"}:
            continue
        old = before.get(wire, {})
        may_lack = wire != "alarm"
        proposal = old.get("pin", None if before and may_lack else STANDARD[wire])
        pin = _ask_pin(talk, wire, proposal, used, may_lack=may_lack, is_rerun=bool(before))
        if pin is not None:
            panel[wire] = {**old, "pin": pin}
        if pin in _HIGH_AT_START and wire in _OUTPUTS:
            talk.say(texts.PULLED_UP.format(pin=pin, wire=texts.WIRES[wire]))
    raw["panel"] = panel


def _ask_pin(
    talk: Talk, wire: str, proposal: int | None, used: dict[int, str], *, may_lack: bool = False, is_rerun: bool = False
) -> int | None:
    """A pin that nothing else is on; None when this wire is not there."""

    def judge(said: str) -> str | None:
        if said == _NOT_WIRED and may_lack:
            return None
        problem = _judge("panel", "panic", lambda pin: {"pin": _whole(pin)})(said)
        if problem is not None:
            return problem
        pin = int(said)
        return f"pin {pin}: {texts.WIRES[used[pin]]}" if pin in used else None

    question = (texts.ASK_PIN if may_lack else texts.ASK_NEEDED_PIN).format(wire=texts.WIRES[wire])
    default = (
        _NOT_WIRED
        if proposal is None and may_lack and is_rerun
        else str(STANDARD[wire] if proposal is None else proposal)
    )
    said = talk.ask(question, default, judge)
    if said == _NOT_WIRED:
        return None
    used[int(said)] = wire
    return int(said)


def _ask_password(talk: Talk) -> str:
    """A password asked twice without showing it, as the hash that may be kept; empty when there is to be none."""
    while True:
        password = talk.ask_hidden(texts.ASK_LOCK)
        if not password:
            return ""
        try:
            made = hash_of(password)
        except Refused as err:
            talk.say(texts.AGAIN.format(problem=err))
            continue
        if talk.ask_hidden(texts.ASK_TWICE) == password:
            return made
        talk.say(texts.AGAIN.format(problem=texts.NOT_EQUAL))


# ---- one setting


def _now(raw: Raw, section: str, key: str) -> str:
    value = raw.get(section, {}).get(key, "")
    return value.isoformat() if isinstance(value, date) else str(value)


def _set(raw: dict[str, Any], section: str, key: str, value: Any) -> None:
    raw.setdefault(section, {})[key] = value


def _text(said: str) -> str:
    return said


def _whole(said: str) -> int:
    if not (said.isascii() and said.isdigit()):
        raise ValueError(texts.ANSWER_WHOLE)
    return int(said)


def _date(said: str) -> date:
    try:
        return date.fromisoformat(said)
    except ValueError:
        raise ValueError(texts.ANSWER_DATE) from None


def _judge(section: str, key: str, read: Callable[[str], Any] = _text) -> Judge:
    """What the configuration has against this answer, whatever else is not answered yet."""

    def judge(said: str) -> str | None:
        try:
            value = read(said)
        except ValueError as err:
            return str(err)
        try:
            configuration.checked({section: {key: value}})
        except BadConfig as err:
            path = f"{section}.{key}"
            mine = (problem for problem in err.problems if problem.startswith((f"{path}:", f"{path}.")))
            return next(mine, None)
        return None

    return judge
