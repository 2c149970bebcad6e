"""`compose`: what the room's status says for what the three processes say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

import pytest

from edge.clock import MILLISECOND, SECOND
from edge.messages import Mode
from edge.status import (
    ButtonStatus,
    Fault,
    PanelStatus,
    RecorderState,
    RecorderStatus,
    SelfTestStatus,
    SourceStatus,
    VaultStatus,
)
from service.page import tone
from service.rooms import STALE_S, Heard, RoomStatus, Silent, compose, without_paths
from tests.service import saying

NOW_NS = 5_000 * SECOND
WALL_NS = 1_795_342_502 * SECOND  # 2026-11-22T10:15:02Z
GONE = Silent(why="gone")
OLD_NS = NOW_NS - 6 * SECOND

Vary: TypeAlias = Callable[[Heard], Heard]


def room(
    *,
    panel: PanelStatus | Silent | None = None,
    recorder: RecorderStatus | Silent | None = None,
    vault: VaultStatus | Silent | None = None,
) -> RoomStatus:
    heard = Heard(
        panel=saying.panel(NOW_NS) if panel is None else panel,
        recorder=saying.recorder(NOW_NS) if recorder is None else recorder,
        vault=saying.vault(NOW_NS) if vault is None else vault,
    )
    return compose(saying.config(), heard, now_ns=NOW_NS, now_wall_ns=WALL_NS)


def codes(status: RoomStatus) -> list[str]:
    return [fault.code for fault in status.faults]


def doing(state: RecorderState) -> RecorderStatus:
    return saying.recorder(NOW_NS, state=state)


A_FAULT = Fault(code="camera-stale", detail="no picture for 12 s", fix="check the cable", since_ns=NOW_NS - 12 * SECOND)

TABLE: list[tuple[str, RoomStatus, str, list[str], str]] = [
    # what is said                   the room                                      state        faults              colour
    ("all is well", room(), "listening", [], "good"),
    ("private", room(recorder=doing(RecorderState.PRIVATE)), "private", [], "calm"),
    ("off", room(recorder=doing(RecorderState.OFF)), "off", [], "calm"),
    ("starting", room(recorder=doing(RecorderState.STARTING)), "starting", [], "calm"),
    ("alarm only", room(recorder=doing(RecorderState.ALARM_ONLY)), "alarm-only", [], "calm"),
    ("recording", room(recorder=doing(RecorderState.RECORDING)), "recording", [], "recording"),
    ("the recorder cannot", room(recorder=doing(RecorderState.FAULT)), "fault", [], "fault"),
    ("panel gone", room(panel=GONE), "fault", ["panel-silent"], "fault"),
    ("recorder gone", room(recorder=GONE), "fault", ["recorder-silent"], "fault"),
    ("vault gone", room(vault=GONE), "listening", ["vault-silent"], "attention"),
    (
        "vault gone while recording",
        room(recorder=doing(RecorderState.RECORDING), vault=GONE),
        "recording",
        ["vault-silent"],
        "recording",
    ),
    (
        "all gone",
        room(panel=GONE, recorder=GONE, vault=GONE),
        "fault",
        ["panel-silent", "recorder-silent", "vault-silent"],
        "fault",
    ),
    ("panel hangs", room(panel=saying.panel(OLD_NS)), "fault", ["panel-stale"], "stale"),
    ("recorder hangs", room(recorder=saying.recorder(OLD_NS)), "fault", ["recorder-stale"], "stale"),
    ("vault hangs", room(vault=saying.vault(OLD_NS)), "listening", ["vault-stale"], "stale"),
    (
        "recorder hangs in a recording",
        room(recorder=saying.recorder(OLD_NS, state=RecorderState.RECORDING)),
        "fault",
        ["recorder-stale"],
        "stale",
    ),
    (
        "a fault of its own",
        room(recorder=saying.recorder(NOW_NS, faults=(A_FAULT,))),
        "listening",
        ["camera-stale"],
        "attention",
    ),
    (
        "the recorder wrote",
        room(recorder=saying.recorder(NOW_NS, write_bytes=4096)),
        "listening",
        ["recorder-wrote"],
        "attention",
    ),
    (
        "a clip five minutes late",
        room(vault=saying.vault(NOW_NS, saying.clip(expires_in_s=-301))),
        "listening",
        ["overdue"],
        "attention",
    ),
    ("a clip just late", room(vault=saying.vault(NOW_NS, saying.clip(expires_in_s=-60))), "listening", [], "good"),
    (
        "a held clip past its hour",
        room(vault=saying.vault(NOW_NS, saying.clip(expires_in_s=-9999, held=True))),
        "listening",
        [],
        "good",
    ),
]


@pytest.mark.parametrize(
    ("status", "state", "faults", "colour"), [row[1:] for row in TABLE], ids=[row[0].replace(" ", "-") for row in TABLE]
)
def test_the_room_is_what_is_said_of_it(status: RoomStatus, state: str, faults: list[str], colour: str) -> None:
    assert (status.state, codes(status), tone(status)) == (state, faults, colour)
    assert status.in_order == (state != "fault" and not faults)


def test_every_recorder_state_is_in_the_table() -> None:
    assert {row[2] for row in TABLE} == set(RecorderState)


def test_every_fault_says_what_to_do() -> None:
    faults = [fault for row in TABLE for fault in row[1].faults]
    assert faults
    assert all(fault.detail and fault.fix for fault in faults)


def test_one_trouble_is_told_once() -> None:
    away = Fault(code="vault-away", detail="no answer", fix="start it", since_ns=NOW_NS)
    said = saying.recorder(NOW_NS, faults=(away, A_FAULT))
    assert codes(room(recorder=said, vault=GONE)) == ["camera-stale", "vault-silent"]
    assert codes(room(recorder=said)) == ["vault-away", "camera-stale"]
    late = Fault(code="overdue", detail="one", fix="purge", since_ns=NOW_NS)
    assert codes(room(vault=saying.vault(NOW_NS, saying.clip(expires_in_s=-999), faults=(late,)))) == ["overdue"]


def test_bytes_written_that_cannot_be_counted_are_not_known() -> None:
    assert room(recorder=saying.recorder(NOW_NS, write_bytes=-1)).written_bytes is None


def test_information_is_stale_only_beyond_five_seconds() -> None:
    assert not room(vault=saying.vault(NOW_NS - round(STALE_S * SECOND))).faults
    assert room(vault=saying.vault(NOW_NS - round((STALE_S + 0.1) * SECOND))).faults


def test_a_silent_recorder_leaves_nothing_known_of_ring_and_sources() -> None:
    status = room(recorder=GONE)
    assert (status.ring.seconds, status.ring.bytes, status.ring.is_wiped) == (None, None, None)
    assert status.ring.promised_seconds == 30
    assert status.sources == ()
    assert status.written_bytes is None


def test_a_recorder_that_hangs_keeps_no_camera_in_order() -> None:
    camera = room(recorder=saying.recorder(OLD_NS)).sources[0]
    assert (camera.state, camera.age_ms) == ("stale", 6_040)
    fresh = room(recorder=saying.recorder(NOW_NS)).sources[0]
    assert (fresh.state, fresh.age_ms) == ("good", 40)


def test_a_silent_vault_is_not_an_empty_store() -> None:
    assert room(vault=GONE).clips_total is None
    assert room(vault=GONE).ledger.head is None
    assert room().clips_total == 0


def test_self_test_and_drill_are_shown_with_their_age_and_are_unknown_without_the_vault() -> None:
    status = room(vault=saying.vault(NOW_NS - 2 * SECOND))
    assert (status.self_test.result, status.self_test.age_seconds) == ("passed", 3 * 3600 + 2)
    assert (status.drill.is_waiting, status.drill.opened_age_seconds) == (False, 71 * 86400 + 2)
    said = SelfTestStatus(is_passed=False, failed="store", at="2026-11-22T10:15:02Z", age_s=0.0)
    assert room(vault=saying.vault(NOW_NS, self_test=said)).self_test.result == "failed"
    never = SelfTestStatus(is_passed=None, failed="", at=None, age_s=None)
    assert room(vault=saying.vault(NOW_NS, self_test=never)).self_test.result == "never"
    unknown = room(vault=GONE)
    assert (unknown.self_test.result, unknown.self_test.age_seconds) == ("unknown", None)
    assert (unknown.drill.is_waiting, unknown.drill.opened_age_seconds) == (None, None)


def test_a_button_nobody_pressed_is_not_one_of_which_nothing_is_known() -> None:
    pressed = room(vault=saying.vault(NOW_NS - 2 * SECOND)).button
    assert (pressed.was_pressed, pressed.pressed_at) == (True, "2026-11-19T10:15:02Z")
    assert pressed.age_seconds == 3 * 86400 + 2
    never = room(vault=saying.vault(NOW_NS, button=ButtonStatus(pressed_at=None, age_s=None))).button
    assert (never.was_pressed, never.pressed_at, never.age_seconds) == (False, None, None)
    assert room(vault=GONE).button.was_pressed is None


def test_a_silent_panel_leaves_the_alarm_unknown() -> None:
    assert room(panel=GONE).alarm.is_on is None
    assert room().alarm.is_on is False


def test_a_silent_process_is_a_fault_since_it_was_last_heard() -> None:
    status = room(vault=Silent(why="hanging", heard_ns=NOW_NS - 62 * SECOND))
    assert status.faults[0].since == "2026-11-22T10:14:00Z"
    assert status.faults[0].detail == "The vault does not answer."
    assert status.information[2].age_seconds == 62.0
    assert not status.information[2].is_heard


def test_as_of_is_the_age_of_the_oldest_information_that_is_shown() -> None:
    assert room().as_of == "2026-11-22T10:15:02Z"
    status = room(vault=saying.vault(NOW_NS - 3 * SECOND), panel=Silent(why="gone", heard_ns=NOW_NS - 900 * SECOND))
    assert status.as_of == "2026-11-22T10:14:59Z"
    assert status.age_seconds == 3.0
    assert room(panel=GONE, recorder=GONE, vault=GONE).age_seconds is None


def test_information_from_a_moment_ahead_has_no_age() -> None:
    assert room(vault=saying.vault(NOW_NS + SECOND)).information[2].age_seconds == 0.0


def test_the_countdown_goes_on_while_the_vaults_information_ages() -> None:
    status = room(vault=saying.vault(NOW_NS - 4 * SECOND, saying.clip(expires_in_s=60.0)))
    assert status.clips[0].expires_in_seconds == 56.0


def test_the_alarm_tells_since_when_and_how_fast_only_while_it_is_on() -> None:
    facts = {"alarm_on_ns": NOW_NS - 2 * SECOND, "alarm_latency_ns": 1_240_000, "mode": Mode.RECORD}
    on = room(panel=saying.panel(NOW_NS, is_alarm_on=True, **facts)).alarm
    assert (on.is_on, on.on_since, on.latency_ms) == (True, "2026-11-22T10:15:00Z", round(1_240_000 / MILLISECOND, 1))
    assert room(panel=saying.panel(NOW_NS, is_alarm_on=False, **facts)).alarm.on_since is None


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("cannot read /home/jan/room.mp4: no such file", "cannot read …: no such file"),
        ("[Errno 2] No such file: '/home/jan jansen/room.mp4'", "[Errno 2] No such file: …"),
        ("rtsp://user:secret@camera/1 does not answer", "… does not answer"),
        ("store/clips/20261122T101502Z-k3f9/0000.age is short", "… is short"),
        ("0007.age is short", "… is short"),
        ("/var/lib/spreekkamer", "…"),
        ("set Mechanism=none in /etc/rpi/swap.conf.d/", "set Mechanism=none in /etc/rpi/swap.conf.d/"),
        ("picture and/or sound at 4 Mbit/s, 3.5 s late", "picture and/or sound at 4 Mbit/s, 3.5 s late"),
    ],
)
def test_no_path_address_or_file_name_is_shown(said: str, shown: str) -> None:
    assert without_paths(said) == shown


def test_paths_are_taken_out_of_everything_a_process_words_itself() -> None:
    path = "/home/jan/room.mp4"
    fault = Fault(code="x", detail=f"{path} lost", fix=f"look at {path}", since_ns=NOW_NS)
    source = SourceStatus(name=f"fixture {path}", track="picture", state="good", age_ms=1, reopened=0)
    said = saying.recorder(NOW_NS, faults=(fault,), warnings=(f"{path} is a fixture",), sources=(source,))
    assert "jan" not in repr(room(recorder=said))
    assert "jan" not in repr(room(vault=replace(saying.vault(NOW_NS), faults=(fault,))))
    assert "jan" not in repr(room(panel=replace(saying.panel(NOW_NS), faults=(fault,))))
