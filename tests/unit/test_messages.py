"""What processes say to each other survives the way, and what is not as agreed is refused in one line."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from enum import Enum
from typing import Any, Literal, Union, get_args, get_origin

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import BadMessage
from edge.messages import (
    CLIP_ID,
    Answer,
    Birth,
    ClipFacts,
    Close,
    DrillMade,
    Event,
    Happened,
    PanelEvent,
    Probe,
    ProbeResult,
    Reply,
    Report,
    Request,
    Segment,
    TrialAnswer,
    Wanted,
    decode,
    decode_to_vault,
    encode,
)
from edge.recorder.recording import new_clip_id
from edge.status import SNAPSHOT_LIMIT, PanelStatus, RecorderStatus, VaultStatus

KINDS = (
    Wanted,
    Report,
    Birth,
    Segment,
    Close,
    Happened,
    Probe,
    ProbeResult,
    DrillMade,
    Answer,
    TrialAnswer,
    Request,
    Reply,
    PanelStatus,
    RecorderStatus,
    VaultStatus,
)
TO_VAULT = (Birth, Segment, Close, Happened, Probe, ProbeResult, DrillMade)


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Any value of a message's type, made from its annotations."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin in (Union, types.UnionType):
        return st.one_of([values(argument) for argument in arguments])
    if origin is tuple and arguments[-1] is Ellipsis:
        return st.lists(values(arguments[0]), max_size=3).map(tuple)
    if origin is tuple:
        return st.tuples(*map(values, arguments))
    if origin is dict:
        return st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=3)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return st.sampled_from(kind)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = typing.get_type_hints(kind)
        return st.builds(kind, **{field.name: values(hints[field.name]) for field in dataclasses.fields(kind)})
    simple: dict[Any, st.SearchStrategy[Any]] = {
        str: st.text(st.characters(codec="utf-8"), max_size=20),
        int: st.integers(-(2**63), 2**63 - 1),
        float: st.floats(allow_nan=False, allow_infinity=False),
        bool: st.booleans(),
        type(None): st.none(),
    }
    return simple[kind]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_a_message_survives_the_way(kind: type[Any], data: st.DataObject) -> None:
    message = data.draw(values(kind))
    raw = encode(message)
    assert decode(kind, raw) == message
    assert b"\n" not in raw


@given(st.one_of([values(kind) for kind in TO_VAULT]))
def test_the_vault_tells_its_messages_apart(message: Any) -> None:
    assert decode_to_vault(encode(message)) == message


@given(raw=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_noise_is_refused_in_one_line_and_never_crashes(raw: bytes) -> None:
    for kind in KINDS:
        try:
            decode(kind, raw)
        except BadMessage as err:
            assert "\n" not in str(err)  # noqa: PT017 - what is no error is as good
    try:
        decode_to_vault(raw)
    except BadMessage as err:
        assert "\n" not in str(err)  # noqa: PT017 - as above


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_a_message_without_one_of_its_fields_is_refused_by_the_field_s_name(
    kind: type[Any], data: st.DataObject
) -> None:
    whole = json.loads(encode(data.draw(values(kind))))
    needed = [field.name for field in dataclasses.fields(kind) if field.default is dataclasses.MISSING]
    for name in needed:
        with pytest.raises(BadMessage, match=name):
            decode(kind, json.dumps({key: value for key, value in whole.items() if key != name}))


def test_a_field_that_this_version_does_not_know_is_passed_over() -> None:
    answer = decode(Answer, b'{"is_durable": true, "since": "next version"}')
    assert answer == Answer(is_durable=True)


@pytest.mark.parametrize(
    "raw", [b"", b"{}", b"[]", b"null", b'{"kind": "press"}', b'{"kind": "segment"}', b'{"kind": 3}', b"{", b"\xff"]
)
def test_what_no_recorder_says_is_refused(raw: bytes) -> None:
    with pytest.raises(BadMessage):
        decode_to_vault(raw)


def test_the_newest_64_events_fit_into_a_snapshot() -> None:
    event = PanelEvent(
        run="0123456789ab",
        seq=2**40,
        event=Event.CONVERSATION_START,
        at_ns=2**62,
        wall_ns=2**62,
        is_wall_trusted=False,
        incident="0123456789ab",
    )
    assert len(encode(event)) * 64 < SNAPSHOT_LIMIT / 2


@given(wall_ns=st.integers(0, 253_402_300_799 * 10**9))
def test_a_clip_s_number_has_its_form_whenever_it_was_pressed(wall_ns: int) -> None:
    assert CLIP_ID.fullmatch(new_clip_id(wall_ns))


@pytest.mark.parametrize(
    "word", ["20261122T101502Z-k3f0", "20261122T101502Z-k3f9\n", "../20261122T101502Z-k3f9", "٢0261122T101502Z-k3f9"]
)
def test_what_only_looks_like_a_clip_s_number_is_none(word: str) -> None:
    assert not CLIP_ID.fullmatch(word)


def test_no_message_has_room_for_a_picture_or_a_person() -> None:
    """Reason, state and outcome come from closed lists; what is free text is a role, a reason why not, or a file's name."""
    free = {
        f"{kind.__name__}.{field.name}"
        for kind in (*TO_VAULT, Request, Answer, TrialAnswer, PanelEvent, ClipFacts)
        for field in dataclasses.fields(kind)
        if typing.get_type_hints(kind)[field.name] is str
        and field.name
        not in ("clip", "incident", "sha256", "boot_id", "salt", "code_sha256", "recipients", "code", "head", "digest")
    }
    assert free == {
        "Birth.software",
        "Request.actor",
        "Request.reason",
        "Request.name",
        "Answer.error",
        "TrialAnswer.error",
        "ProbeResult.detail",
        "PanelEvent.run",
        "ClipFacts.picture",
        "ClipFacts.ended_by",
    }
