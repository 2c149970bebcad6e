"""install.sh asks whether anybody is being helped or recorded; who does not answer may be busy."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge.config import Paths
from edge.messages import Incident, Mode, encode
from edge.setup.idle import why_not_idle
from edge.status import ClipProgress, RecorderState
from edge.wire import SnapshotSocket
from tests.service import saying
from tests.support.processes import CLOCK, memory_folder

CLIP = ClipProgress(
    clip=saying.CLIP_ID,
    incident="i",
    opened_ns=1,
    pre_roll_asked_s=30.0,
    pre_roll_delivered_s=30.0,
    pre_roll_safe_ns=None,
    safe_ns=None,
    is_open=True,
    segments=3,
    segments_safe=1,
    waiting_bytes=0,
)

PAST = Incident(id="i", pressed_ns=1, pressed_wall_ns=1, is_wall_trusted=False, until_ns=2, presses=1)


@contextlib.contextmanager
def room(*, panel: dict[str, Any] | None, recorder: dict[str, Any] | None) -> Iterator[Paths]:
    """Panel and recorder that say this; None: it does not run."""
    now_ns = CLOCK.boot_ns()
    with memory_folder() as run, contextlib.ExitStack() as stack:
        paths = Paths(store=run / "store", run=run)
        for name in ("panel", "recorder"):
            (run / name).mkdir()
        if panel is not None:
            told = encode(saying.panel(now_ns, **{"is_conversation": False, **panel}))
            stack.enter_context(SnapshotSocket(paths.status_socket("panel"), lambda: told))
        if recorder is not None:
            said = encode(saying.recorder(now_ns, **recorder))
            stack.enter_context(SnapshotSocket(paths.status_socket("recorder"), lambda: said))
        yield paths


def test_a_room_that_only_listens_is_idle() -> None:
    with room(panel={}, recorder={}) as paths:
        assert why_not_idle(paths) is None


def test_a_room_whose_last_incident_is_over_is_idle() -> None:
    """The panel goes on telling of it, until the next."""
    safe = replace(CLIP, is_open=False, safe_ns=1)
    with room(panel={"incident": PAST}, recorder={"clip": safe}) as paths:
        assert why_not_idle(paths) is None


BUSY: dict[str, tuple[dict[str, Any] | None, dict[str, Any] | None, str]] = {
    "alarm": ({"is_alarm_on": True}, {}, "an alarm is on"),
    "clip wanted": ({"mode": Mode.RECORD}, {}, "an alarm is on"),
    "recording": ({}, {"state": RecorderState.RECORDING}, "a clip is being recorded"),
    "clip not safe": ({}, {"clip": CLIP}, "a clip is being recorded"),
    "conversation": ({"is_conversation": True}, {}, "a conversation is on"),
    "panel silent": (None, {}, "do not say what they do"),
    "recorder silent": ({}, None, "do not say what they do"),
}


@pytest.mark.parametrize("busy", BUSY.values(), ids=BUSY.keys())
def test_a_room_that_is_busy_says_with_what(busy: tuple[dict[str, Any] | None, dict[str, Any] | None, str]) -> None:
    panel, recorder, told = busy
    with room(panel=panel, recorder=recorder) as paths:
        assert told in (why_not_idle(paths) or "")


def test_the_command_refuses_in_a_line(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f'[panel]\npanic = {{ pin = 5 }}\nalarm = {{ pin = 26 }}\n[paths]\nrun = "{tmp_path}"\n')
    done = subprocess.run(
        [sys.executable, "-m", "edge.setup.idle", "--config", config], capture_output=True, text=True, check=False
    )
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
