"""Is nobody being helped or recorded just now? install.sh asks before it restarts anything: `python -m edge.setup.idle`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from edge.config import Paths, load_panel
from edge.errors import EXIT_REFUSED, BadConfig, BadMessage
from edge.messages import Mode, decode
from edge.status import PanelStatus, RecorderState, RecorderStatus
from edge.wire import read_snapshot


def why_not_idle(paths: Paths) -> str | None:
    """The reason to leave everything running; None when there is none. Who does not answer may be busy: a reason."""
    try:
        panel = decode(PanelStatus, read_snapshot(paths.status_socket("panel")))
        recorder = decode(RecorderStatus, read_snapshot(paths.status_socket("recorder")))
    except (OSError, BadMessage) as err:
        return f"panel or recorder do not say what they do ({err}): sudo systemctl stop spreekkamer.target, then again"
    # Not by `panel.incident`: that is told until the next one begins.
    if panel.is_alarm_on or panel.mode is Mode.RECORD:
        return "an alarm is on: wait until the room is reset"
    if recorder.state is RecorderState.RECORDING or (recorder.clip is not None and recorder.clip.is_open):
        return "a clip is being recorded: wait until it is safe"
    if panel.is_conversation:
        return "a conversation is on, and there would be no button for some seconds: wait until it is over"
    return None


def main() -> None:
    """Exit 0 when idle; else 1, with the reason in a line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path, required=True)
    try:
        paths = load_panel(parser.parse_args().config)[0].paths
    except BadConfig:
        paths = Paths()
    reason = why_not_idle(paths)
    if reason is not None:
        sys.stderr.write(f"install: {reason}\n")
        raise SystemExit(EXIT_REFUSED)


if __name__ == "__main__":
    main()
