"""The panel's one loop: takes up what comes, decides with `incident.step`, performs it.

Called by the main loop only, and with the time as a parameter it could be called by anybody. The order after a press
is fixed: relay, memory, recorder, lamps, status.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Final, Self

from edge.clock import SECOND
from edge.config import Paths
from edge.errors import Refused, StoreError
from edge.messages import Wanted, encode
from edge.panel import incident, saved, state
from edge.panel.contact import Contact, Edge
from edge.panel.faults import Faults
from edge.panel.findings import Known
from edge.panel.hearing import DEAF_LOOK_NS, LOOK_NS, RESTART_NS, is_thread_deaf, is_thread_lost
from edge.panel.inbox import Heard, Inbox, Overflow
from edge.panel.inputs import Inputs
from edge.panel.lamps import Output
from edge.panel.outlets import Outlets
from edge.panel.reading import Reading, Use
from edge.panel.showing import Alarm, Recorder, Showing
from edge.panel.state import Input, Moment, PanelState
from edge.panel.table import Do
from edge.ports import Clock
from edge.status import PanelStatus

REPEAT_NS: Final = SECOND // 4  # how often what is wanted is said again
MAINTENANCE_HOLD_NS: Final = 10 * SECOND  # with the test key on: nobody holds the reset for so long by mistake


def moment(clock: Clock, at_ns: int) -> Moment:
    """An instant of this boot on both clocks."""
    wall_ns = clock.wall_ns() - (clock.boot_ns() - at_ns)
    return Moment(at_ns=at_ns, wall_ns=wall_ns, is_wall_trusted=clock.is_trusted())


class Guard:
    """Performs what `incident.step` decides, and has it shown."""

    def __init__(
        self,
        *,
        paths: Paths,
        clock: Clock,
        inbox: Inbox,
        inputs: Inputs,
        relay: Output,
        showing: Showing,
        faults: Faults,
        panel: PanelState,
    ) -> None:
        self._paths = paths
        self._clock = clock
        self._inbox = inbox
        self._inputs = inputs
        self._relay = relay
        self._showing = showing
        self._faults = faults
        self._panel = panel
        self._reading = Reading(inputs.contacts)
        self._outlets = Outlets(paths, clock, inbox, faults, lambda: self._status)
        self._recorder = Recorder()
        self._started_ns = clock.boot_ns()
        self._alarm_on_ns = self._started_ns if state.is_alarm_on(panel) else None
        self._latency_ns: int | None = None
        self._pressed_ns = self._started_ns
        self._fresh_id = secrets.token_hex(6)  # made beforehand: a press waits for no entropy
        self._saved: saved.Saved | None = None
        self._is_saved = False
        self._unwatched: tuple[str, ...] = ()
        self._unreadable: tuple[Contact, ...] = ()
        self._restarted_ns: int | None = None
        self._maintenance_asked_ns: int | None = None  # since when the reset was held that asked for it
        self._look_due_ns = 0
        self._repeat_due_ns = 0
        self._show_due_ns = 0
        self._status = self._snapshot(self._started_ns)

    # ---- the start

    def tell_problems(self, problems: Iterable[str], loaded: saved.Loaded) -> None:
        """Show what is wrong before the room is guarded."""
        now_ns = self._clock.boot_ns()
        for problem in problems:
            self._faults.show(
                "configuration", problem, "mend the configuration file; spreekkamer check", at_ns=now_ns, key=problem
            )
        for problem in self._inputs.problems:
            self._faults.show("contact", problem, "check the wiring and [panel]", at_ns=now_ns, key=problem)
        if loaded.problem:
            fix = "an incident that was open is forgotten; press again if it is not over"
            self._faults.show("panel-memory", loaded.problem, fix, at_ns=now_ns)

    def start(self, loaded: saved.Loaded) -> None:
        """Take the levels as they are, then watch. What changed while nobody watched is acted upon."""
        before = loaded.saved.used if loaded.saved is not None else ()
        now_ns = self._clock.boot_ns()
        self._act(self._reading.begin(self._levels(), before, now_ns, is_boot=loaded.is_first_start))
        self._unwatched = self._inputs.watch()

    def warm_up(self) -> None:
        """Everything that is slow the first time is done now and not at the first press.

        This also leaves the trace that a panel has run in this boot: were it killed now, a button that is closed at
        the next start has been pressed.
        """
        now_ns = self._clock.boot_ns()
        self._remember(now_ns)
        encode(self._wanted(now_ns))
        self._show(now_ns)
        encode(self._status)

    # ---- the loop

    def turn(self) -> None:
        """Wait for the next thing or the next due moment, and deal with it."""
        wait_ns = max(0, self._next_ns() - self._clock.boot_ns())
        item = self._inbox.get(wait_ns / SECOND)
        match item:
            case Edge():
                self._act(self._reading.edge(item))
            case Overflow():
                self._act(self._reading.read_anew(self._levels(), self._clock.boot_ns()))
            case Heard(report=report, at_ns=at_ns):
                self._recorder = Recorder(report=report, heard_ns=at_ns if report else self._recorder.heard_ns)
            case None:
                pass
        now_ns = self._clock.boot_ns()
        # A loop that was held up finds a whole bounce waiting. Taken as quiet, each bounce in it would be a press.
        for edge in self._inbox.take_panic():
            self._act(self._reading.edge(edge))
        self._time(now_ns)
        if now_ns >= self._look_due_ns:
            self._look(now_ns)
        has_changed = self._remember(now_ns)
        if has_changed or now_ns >= self._repeat_due_ns:
            self._outlets.publish(self._wanted(now_ns))
            self._repeat_due_ns = now_ns + REPEAT_NS
        if has_changed or item is not None or now_ns >= self._show_due_ns:
            self._show(now_ns)
        self._outlets.open(now_ns, lambda: self._wanted(now_ns))

    @property
    def is_sound(self) -> bool:
        """Nothing is wrong that only a restart of the process could mend. Never while the alarm is on: it drops the relay."""
        return state.is_relay_on(self._panel) or not is_thread_lost(self._inputs.beat_ns, self._clock.boot_ns())

    @property
    def summary(self) -> str:
        """One line for who administers the machine."""
        return f"{self._status.mode}, {len(self._status.faults)} faults"

    def _next_ns(self) -> int:
        """When the loop has something to do even if nothing comes."""
        dues = (self._look_due_ns, self._show_due_ns, incident.due_ns(self._panel), self._reading.due_ns())
        return min(due for due in dues if due is not None)

    # ---- reading

    def _levels(self) -> dict[Contact, bool]:
        levels = self._inputs.levels()
        self._unreadable = tuple(sorted(self._inputs.contacts - levels.keys()))
        return levels

    def _look(self, now_ns: int) -> None:
        """Read the levels, and have edges brought by a new thread if they are not heard. The alarm stays as it is."""
        self._act(self._reading.look(self._levels(), now_ns))
        is_deaf = self._is_deaf(now_ns)
        is_recent = self._restarted_ns is not None and now_ns - self._restarted_ns < RESTART_NS
        if is_deaf and not is_recent:
            self._unwatched = self._inputs.watch_anew()
            self._reading.restarted()
            self._restarted_ns = now_ns
        self._look_due_ns = now_ns + (DEAF_LOOK_NS if is_deaf or self._reading.unproven else LOOK_NS)

    def _is_deaf(self, now_ns: int) -> bool:
        is_deaf = self._reading.is_deaf(now_ns) or is_thread_deaf(self._inputs.beat_ns, now_ns)
        return is_deaf or bool(self._unwatched)

    def _time(self, now_ns: int) -> None:
        """What is due: the end of glitches and bounce, a reset that is held, and the incident's own limits."""
        self._act(self._reading.time(now_ns, self._inbox.waiting()))
        held_ns = self._reading.since_ns(Contact.RESET)
        if held_ns is not None and held_ns != self._maintenance_asked_ns and now_ns - held_ns >= MAINTENANCE_HOLD_NS:
            self._maintenance_asked_ns = held_ns
            self._take(state.ResetHeld(when=moment(self._clock, now_ns)))
        due_ns = incident.due_ns(self._panel)
        if due_ns is not None and due_ns <= now_ns:
            self._take(state.Tick(when=moment(self._clock, now_ns)))
        self._relay_as_decided(now_ns)

    # ---- deciding and performing

    def _act(self, uses: Iterable[Use]) -> None:
        for use in uses:
            self._take(self._input(use))
            if use.contact is Contact.PANIC:
                self._fresh_id = secrets.token_hex(6)
            if use.contact in {Contact.PANIC, Contact.RESET}:
                self._faults.clear("panel-memory")  # somebody has said how things stand now

    def _input(self, use: Use) -> Input:
        when = moment(self._clock, use.at_ns)
        match use.contact:
            case Contact.PRIVACY:
                return state.Private(when=when, is_on=use.is_used)
            case Contact.CONVERSATION:
                return state.Conversation(when=when, is_on=use.is_used)
            case Contact.TEST_KEY:
                return state.TestKey(when=when, is_on=use.is_used)
            case Contact.ATTENTION:
                return state.Attention(when=when)
            case Contact.RESET:
                return state.Reset(when=when)
            case Contact.PANIC | Contact.PANIC_CLOSED:
                return state.Press(when=when, fresh_id=self._fresh_id)

    def _take(self, given: Input) -> None:
        """Decide, and switch the relay before anything else happens."""
        self._panel, effects = incident.step(self._panel, given)
        for effect in effects:
            is_on = effect in {Do.ALARM_ON, Do.PULSE_ON}
            if not self._switch(is_on=is_on) or not is_on:
                continue
            now_ns = self._clock.boot_ns()
            self._latency_ns = now_ns - given.when.at_ns
            self._pressed_ns = given.when.at_ns
            if effect is Do.ALARM_ON:
                self._alarm_on_ns = now_ns

    def _switch(self, *, is_on: bool) -> bool:
        try:
            self._relay.set(is_on=is_on)
        except Refused as err:
            fix = "call for help by other means; check the relay and restart the panel"
            self._faults.show("relay", str(err), fix, at_ns=self._clock.boot_ns())
            return False
        self._faults.clear("relay")
        return True

    def _relay_as_decided(self, now_ns: int) -> None:
        """A relay that did not obey is told again, as long as it takes."""
        is_on = state.is_relay_on(self._panel)
        if self._relay.is_on != is_on and self._switch(is_on=is_on) and state.is_alarm_on(self._panel):
            self._alarm_on_ns = now_ns

    # ---- what is remembered, and what others are told

    def _remember(self, now_ns: int) -> bool:
        """Save what has changed since it was last saved, trying again each turn; True when something has changed."""
        to_save = saved.Saved(boot_id=self._clock.boot_id, panel=self._panel, used=self._reading.used)
        has_changed = to_save != self._saved
        if has_changed or not self._is_saved:
            self._saved = to_save
            try:
                self._paths.panel_state.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
                saved.save(self._paths.panel_state, to_save)
                self._is_saved = True
                self._faults.clear("panel-memory-write")
            except (StoreError, OSError) as err:
                self._is_saved = False
                fix = "check paths.run, its owner and its space; until then a restart of the panel ends the incident"
                self._faults.show("panel-memory-write", str(err), fix, at_ns=now_ns)
        return has_changed

    def _wanted(self, now_ns: int) -> Wanted:
        mode, of_incident = state.wanted(self._panel)
        return Wanted(mode=mode, incident=of_incident, events=self._panel.events, sent_ns=now_ns)

    def _show(self, now_ns: int) -> None:
        """Faults, lamps, status."""
        lamp_due_ns = self._showing.show(self._panel, self._recorder, self._alarm(), self._known(now_ns))
        self._show_due_ns = min(self._repeat_due_ns, now_ns + REPEAT_NS if lamp_due_ns is None else lamp_due_ns)
        self._status = self._snapshot(now_ns)

    def _snapshot(self, now_ns: int) -> PanelStatus:
        return self._showing.status(self._panel, self._recorder, self._alarm(), now_ns)

    def _alarm(self) -> Alarm:
        is_obeyed = self._relay.is_on == state.is_relay_on(self._panel)
        return Alarm(
            is_on=state.is_alarm_on(self._panel) and is_obeyed,
            on_ns=self._alarm_on_ns,
            pressed_ns=self._pressed_ns,
            latency_ns=self._latency_ns,
        )

    def _known(self, now_ns: int) -> Known:
        heard_ns = self._recorder.heard_ns
        return Known(
            now_ns=now_ns,
            heard_ns=self._started_ns if heard_ns is None else heard_ns,
            held_since_ns=self._reading.panic_since_ns(),
            was_closed_at_boot=self._reading.was_closed_at_boot,
            wiring=self._reading.wiring(now_ns),
            is_edge_lost=self._inputs.has_failed,
            is_deaf=self._is_deaf(now_ns),
            unproven=self._reading.unproven,
            restarted_ns=self._restarted_ns,
            unwatched=self._unwatched,
            unreadable=self._unreadable,
        )

    def close(self) -> None:
        """Stop telling others. Idempotent. The relay and the lamps are put off by who made them."""
        self._outlets.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
