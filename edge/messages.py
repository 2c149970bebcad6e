"""What the processes say to each other: values, and their JSON. No sockets here (`wire.py`).

    panel -> recorder   Wanted, repeated (level, not edge)
    recorder -> panel   Report, repeated: what the lamps need
    recorder -> vault   Birth, Segment + sealed bytes, Close, Happened, Ping     each answered by an Answer
                        Probe + sealed bytes, ProbeResult, DrillMade + sealed bytes     on a line of their own, each
                        answered by a TrialAnswer + bytes
    command -> vault    Request, answered by a Reply

All times are nanoseconds; `*_ns` on BOOTTIME unless the name says `wall`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from edge.errors import BadMessage

# 20261122T101502Z-k3f9: the press in UTC and four random characters without look-alikes.
CLIP_ID: Final = re.compile(r"\d{8}T\d{6}Z-[23456789abcdefghjkmnpqrstuvwxyz]{4}", re.ASCII)
CLIP_ID_ALPHABET: Final = "23456789abcdefghjkmnpqrstuvwxyz"


class Mode(StrEnum):
    """What the panel wants of the recorder."""

    PRIVATE = "private"  # the hardware switch: nothing may be seen or heard
    OFF = "off"  # no conversation
    LISTEN = "listen"  # hold the last seconds in RAM
    RECORD = "record"  # make a clip


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """One incident, from its first press until it is reset or its time is up."""

    id: str  # random, not a clip number: an incident that outlives a recorder has several clips
    pressed_ns: int  # the first press
    pressed_wall_ns: int
    is_wall_trusted: bool
    until_ns: int  # when the clip ends; moves on with each press, moves to the reset
    presses: int  # how often the button was pressed in it


class Event(StrEnum):
    """What happened at the panel, counted for the ledger and the yearly figures."""

    PRESS = "press"
    PRESS_PRIVATE = "press-private"  # alarm yes, footage no
    PRESS_TEST = "press-test"
    ATTENTION = "attention"
    RESET = "reset"
    INCIDENT_OVER = "incident-over"  # by time, without a reset
    PRIVATE_ON = "private-on"
    PRIVATE_OFF = "private-off"
    CONVERSATION_START = "conversation-start"
    CONVERSATION_END = "conversation-end"
    MAINTENANCE_START = "maintenance-start"  # nothing is listened to; the alarm works all the same
    MAINTENANCE_END = "maintenance-end"  # by its time
    PANEL_START = "panel-start"


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelEvent:
    """One event with its place in the panel's count, so that it is written down exactly once.

    `seq` rises by one within a `run`; a run lives as long as the panel's state folder (it survives the panel's
    own restart, not a reboot).
    """

    run: str
    seq: int
    event: Event
    at_ns: int
    wall_ns: int
    is_wall_trusted: bool
    incident: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The panel's wish, whole, each time. Losing one message loses nothing."""

    mode: Mode
    incident: Incident | None  # the open one while mode is RECORD, else the last one, kept so that its end is known
    events: tuple[PanelEvent, ...]  # the newest 64, oldest first
    sent_ns: int


class Lamp(StrEnum):
    """What the official is told about footage. The panel merges it with what it knows itself."""

    NOT_READY = "not-ready"
    READY = "ready"  # listening, or able to record from the press
    RECORDING = "recording"
    SAFE = "safe"  # the last clip is stored, complete
    FAULT = "fault"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What the recorder tells the panel."""

    lamp: Lamp
    is_camera_on: bool
    clip: str | None
    sent_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Birth:
    """A clip comes to exist. The vault adds what it alone knows (boot id, powered-on time, terms, `continues`)."""

    kind: Literal["birth"] = "birth"
    clip: str
    incident: str
    pressed_ns: int
    pressed_wall_ns: int
    is_wall_trusted: bool
    boot_id: str
    pre_roll_asked_ms: int
    sources: tuple[str, ...]  # described without address or credentials
    software: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One sealed segment; its bytes follow on the wire. Sending it again is harmless."""

    kind: Literal["segment"] = "segment"
    clip: str
    number: int  # from 0, without gaps
    media_until_ms: int  # the clip's picture reaches to here, from its first frame


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipFacts:
    """What the recorder knows of a finished clip, for the signed manifest."""

    pre_roll_asked_ms: int
    pre_roll_delivered_ms: int
    post_roll_ms: int
    picture_frames: int
    picture_gaps_ms: tuple[tuple[int, int], ...]  # start and length, on the clip's time line
    sound_gaps_ms: tuple[tuple[int, int], ...]
    frames_dropped: int
    sound_dropped: int  # packets that came too late, or twice
    sound_offset_ms: float | None  # largest correction that put the sound on the picture's clock; None without sound
    picture: str  # "h264 1920x1080"
    sound: str | None
    ended_by: str  # until | private | stop | source-changed | failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Close:
    """A clip is complete: `segments` of them were sent."""

    kind: Literal["close"] = "close"
    clip: str
    segments: int
    facts: ClipFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """A panel event for the ledger, relayed by the recorder. Written once, however often it is sent."""

    kind: Literal["happened"] = "happened"
    event: PanelEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping:
    """Are you there? Said when there is nothing else to say, so that a vault that is away shows before a press."""

    kind: Literal["ping"] = "ping"


ToVault: TypeAlias = Annotated[Birth | Segment | Close | Happened | Ping, Field(discriminator="kind")]


class Step(StrEnum):
    """The steps of a self-test, in their order; a failed one is told by the step that failed."""

    MAKE = "make"  # draw, encode and mux
    SEAL = "seal"
    HAND_OVER = "hand-over"  # the way to the vault and back
    STORE = "store"
    READ_BACK = "read-back"
    DELETE = "delete"
    COMPARE = "compare"  # what came back is what was sent
    OPEN = "open"
    WATCH = "watch"  # decode, and see what was drawn
    DRILL = "drill"  # not a step of the test: a drill that was due could not be made


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """Synthetic pictures sealed to a key that nobody keeps follow on the wire: store, give back and delete them."""

    kind: Literal["probe"] = "probe"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """How the self-test ended. `recipients` names the keys that clips are sealed to, so that new ones are drilled."""

    kind: Literal["probe-result"] = "probe-result"
    failed: Step | None  # None: passed
    detail: str  # one line, empty when it passed
    recipients: str  # SHA-256, hex


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillMade:
    """A drill's sealed clip follows on the wire. The code that it shows is known here only by its salted hash."""

    kind: Literal["drill-made"] = "drill-made"
    salt: str
    code_sha256: str  # of salt and code, hex
    recipients: str  # as in ProbeResult


Trial: TypeAlias = Probe | ProbeResult | DrillMade
FromRecorder: TypeAlias = Annotated[
    Birth | Segment | Close | Happened | Ping | Probe | ProbeResult | DrillMade, Field(discriminator="kind")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialAnswer:
    """The vault's word on a Trial, which never touches a clip. What it read back from the disk follows on the wire."""

    failed: Step | None
    error: str
    is_drill_due: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The vault's word on one message: durable, or why not.

    `is_final` marks a refusal that sending again cannot change (a second birth with other facts, a segment whose
    hash does not match).
    """

    is_durable: bool
    error: str = ""
    is_final: bool = False


class HoldReason(StrEnum):
    """The closed list of R19: never a benefit file, enforcement or staff assessment."""

    POLICE_REPORT = "police-report"
    ACCESS_REQUEST = "access-request"
    COURT_OR_AUTHORITY = "court-or-authority"


class Outcome(StrEnum):
    """The closed list of R42."""

    PHYSICAL = "physical"
    VERBAL = "verbal"
    THREAT = "threat"
    FALSE_PRESS = "false-press"
    TEST = "test"
    NO_INCIDENT = "no-incident"


class DeleteReason(StrEnum):
    """Why a clip goes before its hour."""

    FALSE_PRESS = "false-press"
    TEST = "test"
    NO_INCIDENT = "no-incident"
    OBJECTION = "objection"


class Verb(StrEnum):
    """What may be asked of the vault."""

    LIST = "list"
    FETCH = "fetch"
    HOLD = "hold"
    RELEASE = "release"
    OUTCOME = "outcome"
    DELETE = "delete"
    DRILL_FETCH = "drill-fetch"
    DRILL_CONFIRM = "drill-confirm"
    LEDGER_HEAD = "ledger-head"
    LEDGER_ANCHOR = "ledger-anchor"
    PROOF_SIGN = "proof-sign"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request of a person at a command. Who asks is read from the socket, not from here; `actor` is the role."""

    verb: Verb
    clip: str = ""
    actor: str = ""
    reason: str = ""
    days: int = 0  # hold: from now; the vault caps the end at 28 days after the press
    name: str = ""  # fetch: one file of the clip's folder; empty asks for their names
    code: str = ""  # drill-confirm: the six digits that the drill's picture shows
    head: str = ""  # ledger-anchor: what was noted outside the device
    digest: str = ""  # proof-sign: SHA-256 of the list of a pack's files, hex


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The vault's reply; the bytes of a fetched file follow on the wire."""

    error: str = ""  # empty when done
    data: dict[str, Any] | None = None


M = TypeVar("M")


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def encode(message: object) -> bytes:
    """The JSON of a message: one line, no newline inside."""
    kind: Any = type(message)
    raw: bytes = _adapter(kind).dump_json(message)
    return raw


def decode(kind: type[M], raw: bytes | str) -> M:
    """The message in `raw`, checked field by field.

    Raises BadMessage when it is not a `kind` (missing field, wrong type, not JSON); an unknown field is passed
    over, so that the processes can be upgraded one after the other.
    """
    value: M = _decode(kind, raw)
    return value


def decode_to_vault(raw: bytes | str) -> FromRecorder:
    """Any of the messages from recorder to vault, told apart by `kind`. Raises BadMessage as `decode` does."""
    value: FromRecorder = _decode(FromRecorder, raw)
    return value


def _decode(kind: Any, raw: bytes | str) -> Any:
    try:
        return _adapter(kind).validate_json(raw)
    except ValidationError as err:
        first = err.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "message"
        raise BadMessage(f"{where}: {first['msg']}") from err
