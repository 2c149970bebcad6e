"""The panel process: builds the alarm path first, then everything that may fail without it, and lets `Guard` turn."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import secrets
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace

from edge.clock import SECOND, SystemClock
from edge.config import PanelConfig
from edge.errors import Refused
from edge.panel import incident, saved, state
from edge.panel.board import Board, open_board
from edge.panel.faults import Faults
from edge.panel.guard import Guard, moment
from edge.panel.inbox import Inbox
from edge.panel.inputs import Inputs
from edge.panel.keyboard import Keyboard
from edge.panel.lamps import Output
from edge.panel.showing import Showing
from edge.panel.state import PanelState, Rules
from edge.ports import Clock
from edge.systemd import Notifier

_log = logging.getLogger(__name__)


def run(
    config: PanelConfig,
    problems: tuple[str, ...],
    stop: threading.Event,
    *,
    keyboard: bool = False,
    clock: Clock | None = None,
) -> None:
    """Guard the room until `stop` is set; then relay and lamps are off, and what is open is remembered.

    `problems` are mistakes of the configuration elsewhere: faults, no reason not to help. The pins are those of
    GPIOZERO_PIN_FACTORY (lgpio or mock); unset, lgpio, or mock with the keyboard. Raises Refused when the panic
    button or the alarm relay cannot be had.
    """
    clock = SystemClock() if clock is None else clock
    pins = os.environ.get("GPIOZERO_PIN_FACTORY") or ("mock" if keyboard else "lgpio")
    if keyboard and pins != "mock":
        raise Refused(f"GPIOZERO_PIN_FACTORY={pins}: the keyboard moves mock pins only; unset it, or say mock")
    with ExitStack() as stack:

        def set_levels(inputs: Inputs) -> None:
            if not keyboard:
                return
            inputs.let_go()
            typed = Keyboard(sys.stdin.fileno(), lambda contact, is_used: inputs.drive(contact, is_used=is_used), clock)
            if not stack.enter_context(typed).wait_ready():
                _log.warning("keyboard: no line `ready`; starting with the levels told so far")

        if pins == "lgpio":
            _pipes_into(config)
        board = stack.enter_context(open_board(pins, clock))
        guard = build(stack, config, problems, board=board, clock=clock, set_levels=set_levels)
        # What lives now lives until the end; a full collection over it would hold up a press by tens of milliseconds.
        gc.freeze()
        stack.callback(gc.unfreeze)
        _say("alarm ready")
        notifier = stack.enter_context(Notifier(clock))
        while not stop.is_set():
            if guard.is_sound:
                notifier.alive(guard.summary)
            guard.turn()


def build(
    stack: ExitStack,
    config: PanelConfig,
    problems: tuple[str, ...],
    *,
    board: Board,
    clock: Clock,
    set_levels: Callable[[Inputs], None],
) -> Guard:
    """The alarm path, ready to take turns; `stack` takes it apart. Raises Refused without button or relay.

    An alarm that was on is on again before anything else. `set_levels` is called when the pins are there and before
    anybody looks at them.
    """
    loaded = saved.load(config.paths.panel_state, clock.boot_id)
    panel = _resumed(loaded, config, clock)
    relay = stack.enter_context(Output("alarm", config.panel.alarm, board, is_on=state.is_relay_on(panel)))
    inbox = Inbox()
    inputs = stack.enter_context(Inputs(config.panel, board, clock, inbox))
    set_levels(inputs)
    lamps: dict[str, Output] = {}
    faults = Faults()
    for name, pin in (("lamp_official", config.panel.lamp_official), ("lamp_resident", config.panel.lamp_resident)):
        try:
            if pin is not None:
                lamps[name] = stack.enter_context(Output(name, pin, board))
        except Refused as err:
            faults.show("lamp", str(err), f"check the wiring of {name}", at_ns=clock.boot_ns(), key=name)
    guard = Guard(
        paths=config.paths,
        clock=clock,
        inbox=inbox,
        inputs=inputs,
        relay=relay,
        showing=Showing(lamps, faults, clock.boot_ns()),
        faults=faults,
        panel=panel,
    )
    stack.enter_context(guard)
    guard.tell_problems(problems, loaded)
    guard.start(loaded)
    guard.warm_up()
    return guard


def _pipes_into(config: PanelConfig) -> None:
    """Have lgpio make its named pipes in our own tmpfs, or where we are if that cannot be had."""
    folder = config.paths.panel_state.parent
    with contextlib.suppress(OSError):  # the panel's memory will show what is wrong with it
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        os.environ.setdefault("LG_WD", str(folder))


def _say(line: str) -> None:
    with contextlib.suppress(OSError):  # nobody listens on stdout any more, which is no reason not to guard
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def _rules(config: PanelConfig) -> Rules:
    return Rules(
        arming=config.room.arming,
        post_press_ns=config.clip.post_press_seconds * SECOND,
        clip_max_ns=config.clip.max_minutes * 60 * SECOND,
        alarm_signal=config.panel.alarm.signal,
    )


def _resumed(loaded: saved.Loaded, config: PanelConfig, clock: Clock) -> PanelState:
    """The panel as it was, by today's rules and with the time that has passed; or a new one."""
    if loaded.saved is None:
        panel = PanelState(rules=_rules(config), run=secrets.token_hex(6))
    else:
        panel = replace(loaded.saved.panel, rules=_rules(config))
    return incident.step(panel, state.Started(when=moment(clock, clock.boot_ns())))[0]
