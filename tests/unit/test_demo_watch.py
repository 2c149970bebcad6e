"""What a demo tells: each event once, at its own moment, whatever the order in which the processes are seen."""

from __future__ import annotations

from dataclasses import replace

from edge.clock import SECOND
from edge.demo.watch import Seen, Watcher
from edge.messages import Event, Mode, PanelEvent
from edge.status import (
    ButtonStatus,
    ClipProgress,
    ClipStatus,
    DeletedClip,
    DrillStatus,
    LedgerStatus,
    PanelStatus,
    RecorderState,
    RecorderStatus,
    RingStatus,
    SelfTestStatus,
    VaultStatus,
)

CLIP = "20261122T101502Z-k3f9"
NOBODY = Seen(panel=None, recorder=None, vault=None)

PANEL = PanelStatus(
    as_of_ns=10,
    started_ns=1,
    mode=Mode.LISTEN,
    is_alarm_on=False,
    alarm_on_ns=None,
    alarm_latency_ns=None,
    incident=None,
    is_private=False,
    is_conversation=False,
    is_recorder_heard=True,
    lamp="ready",
    events=(),
    faults=(),
)
RECORDER = RecorderStatus(
    as_of_ns=10,
    started_ns=1,
    state=RecorderState.LISTENING,
    ring=RingStatus(seconds=1, promised_seconds=30, bytes=1, cap_bytes=2, is_locked=True, is_wiped=False),
    sources=(),
    clip=None,
    write_bytes=0,
    panel_age_ms=1,
    is_vault_reached=True,
    faults=(),
    warnings=(),
)
PROGRESS = ClipProgress(
    clip=CLIP,
    incident="i",
    opened_ns=20,
    pre_roll_asked_s=30.0,
    pre_roll_delivered_s=8.0,
    pre_roll_safe_ns=None,
    safe_ns=None,
    is_open=True,
    segments=1,
    segments_safe=0,
    waiting_bytes=0,
)
STORED = ClipStatus(
    id=CLIP,
    pressed_at="",
    expires_at="",
    expires_in_s=1.0,
    held=False,
    held_until=None,
    state="recording",
    safe_seconds=1.0,
    bytes=1,
    segments=1,
    continues=None,
    outcome=None,
)
VAULT = VaultStatus(
    as_of_ns=10,
    started_ns=1,
    clips=(),
    clips_total=0,
    deleted=(),
    free_bytes=1,
    reserved_bytes=1,
    reserve_wanted_bytes=1,
    last_pass_ns=1,
    is_clock_trusted=True,
    ledger=LedgerStatus(head="", entries=0, anchored_at=None),
    self_test=SelfTestStatus(is_passed=None, failed="", at=None, age_s=None),
    drill=DrillStatus(waiting_since=None, waiting_s=None, opened_at=None, opened_s=None),
    button=ButtonStatus(pressed_at=None, age_s=None),
    faults=(),
)


def event(seq: int, what: Event = Event.PRESS, *, run: str = "a") -> PanelEvent:
    return PanelEvent(run=run, seq=seq, event=what, at_ns=seq * SECOND, wall_ns=0, is_wall_trusted=False)


def told(watcher: Watcher, seen: Seen) -> list[str]:
    return [happening.what for happening in watcher.news(seen)]


def test_nobody_answering_is_no_news() -> None:
    assert Watcher().news(NOBODY) == []


def test_an_event_of_the_panel_is_told_once_also_after_its_restart() -> None:
    watcher = Watcher()
    pressed = replace(PANEL, events=(event(1), event(2, Event.RESET)))
    assert told(watcher, replace(NOBODY, panel=pressed)) == ["press", "reset"]
    assert told(watcher, NOBODY) == []
    assert told(watcher, replace(NOBODY, panel=replace(pressed, started_ns=99))) == []
    other_run = replace(pressed, events=(event(1, run="b"),))
    assert told(watcher, replace(NOBODY, panel=other_run)) == ["press"]


def test_the_alarm_is_told_when_it_goes_on_and_when_it_goes_off() -> None:
    watcher = Watcher()
    on = replace(PANEL, is_alarm_on=True, alarm_on_ns=5 * SECOND)
    (happening,) = watcher.news(replace(NOBODY, panel=on))
    assert (happening.what, happening.at_ns) == ("alarm on", 5 * SECOND)
    assert told(watcher, replace(NOBODY, panel=on)) == []
    assert told(watcher, replace(NOBODY, panel=replace(on, is_alarm_on=False))) == ["alarm off"]


def test_a_panel_that_dies_in_an_alarm_has_not_ended_it() -> None:
    watcher = Watcher()
    on = replace(PANEL, is_alarm_on=True, alarm_on_ns=5)
    watcher.news(replace(NOBODY, panel=on))
    assert told(watcher, NOBODY) == []
    assert told(watcher, replace(NOBODY, panel=replace(on, alarm_on_ns=7))) == ["alarm on"]


def test_a_clip_s_life_is_told_step_by_step_with_its_number() -> None:
    watcher = Watcher()
    steps = [
        PROGRESS,
        replace(PROGRESS, pre_roll_safe_ns=30),
        replace(PROGRESS, pre_roll_safe_ns=30, safe_ns=40, is_open=False),
    ]
    happenings = [h for clip in steps for h in watcher.news(replace(NOBODY, recorder=replace(RECORDER, clip=clip)))]
    assert [(h.at_ns, h.what, h.details) for h in happenings if h.what != "listening"] == [
        (20, "clip-opened", {"id": CLIP}),
        (30, "pre-roll-safe", {"id": CLIP, "seconds": 8.0}),
        (40, "clip-safe", {"id": CLIP}),
    ]


def test_a_clip_closed_while_the_recorder_ended_is_told_from_the_vault_and_once() -> None:
    watcher = Watcher()
    watcher.news(replace(NOBODY, recorder=replace(RECORDER, clip=PROGRESS)))
    complete = replace(NOBODY, vault=replace(VAULT, clips=(replace(STORED, state="complete"),)))
    assert told(watcher, complete) == ["clip-safe"]
    assert told(watcher, complete) == []
    late = replace(RECORDER, clip=replace(PROGRESS, safe_ns=50, is_open=False))
    assert told(watcher, replace(NOBODY, recorder=late)) == []


def test_clips_of_an_earlier_run_are_no_news() -> None:
    assert told(Watcher(), replace(NOBODY, vault=replace(VAULT, clips=(replace(STORED, state="complete"),)))) == []


def test_a_deletion_is_told_once_at_its_moment() -> None:
    watcher = Watcher()
    seen = replace(NOBODY, vault=replace(VAULT, deleted=(DeletedClip(id=CLIP, at_ns=7),)))
    (happening,) = watcher.news(seen)
    assert (happening.at_ns, happening.what, happening.details) == (7, "clip-deleted", {"id": CLIP})
    assert told(watcher, seen) == []


def test_news_of_one_look_come_in_the_order_of_time() -> None:
    seen = Seen(
        panel=replace(PANEL, events=(event(3), event(1)), is_alarm_on=True, alarm_on_ns=2 * SECOND),
        recorder=RECORDER,
        vault=replace(VAULT, deleted=(DeletedClip(id=CLIP, at_ns=4 * SECOND),)),
    )
    assert told(Watcher(), seen) == ["listening", "press", "alarm on", "press", "clip-deleted"]
