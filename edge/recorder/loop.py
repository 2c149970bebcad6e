"""The recorder's loop: hears what is wanted, asks `plan`, performs the steps, and shows how it is.

One thread (the process's main one) calls `tick`; `hear`, `report` and `status` come from other threads and only
touch what the lock guards.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from edge import __version__
from edge.clock import MILLISECOND, SECOND
from edge.config import Config
from edge.machine.finding import Finding
from edge.messages import Birth, Happened, Incident, Lamp, Mode, Report, Wanted
from edge.packet import Format, Track
from edge.ports import Clock
from edge.recorder.capture.look import Look
from edge.recorder.capture.sources import Sources
from edge.recorder.capture.supervise import SELDOM_KEYS_FIX
from edge.recorder.clip import Clip, Container
from edge.recorder.health import Ailment, Code
from edge.recorder.memory import Heap
from edge.recorder.outbox import Outbox, Parcel
from edge.recorder.plan import Action, Actual, ClipState, Sound, Terms, Wish, plan
from edge.recorder.recording import Recording, new_clip_id
from edge.recorder.ring import Ring
from edge.recorder.seal import Sealer
from edge.recorder.selftest import SelfTest
from edge.status import ClipProgress, Fault, RecorderState, RecorderStatus, RingStatus

TICK_S: Final = 0.25  # the ring is aged, and the plan asked, at least this often; a wish wakes the loop at once
PANEL_PATIENCE_NS: Final = 3 * SECOND  # design: no panel for 3 s, no reason to listen
# While a clip is made the ring is also the way from the source to the clip, even where none is promised.
_TRANSIT_NS: Final = 10 * SECOND
_AGAIN_NS: Final = 2 * SECOND  # after a clip that failed: the plan asks many times a second
_SAFE_SHOWN_NS: Final = 60 * SECOND  # long enough to be seen after things have calmed down
_CUT_PATIENCE_S: Final = 2.0  # reading, sealing and queueing a full ring takes a tenth of this on a Pi
# Two seconds is what cameras come with, and what any of them can be set to; half a second more is arrival.
_KEYS_APART_NS: Final = 5 * SECOND // 2
_UNUSABLE: Final = (Code.DARK, Code.FROZEN)  # a clip would show nothing: the official's lamp says so
_STOP_PATIENCE_S: Final = 12.0  # a clip closed at stop may meet a vault that is restarting


class Recorder:
    """Everything but the process around it: sources, ring, clip and hand-over are given to it, so tests give fakes."""

    def __init__(
        self,
        config: Config,
        *,
        sources: Sources,
        ring: Ring,
        sealer: Sealer | None,
        outbox: Outbox,
        clock: Clock,
        findings: Sequence[Finding],
        silence: bytes,
        container: Callable[[Format, bool], Container],
        heap: Heap,
        self_test: SelfTest | None = None,
    ) -> None:
        self._config = config
        self._sources = sources
        self._ring = ring
        self._sealer = sealer
        self._outbox = outbox
        self._clock = clock
        self._findings = tuple(findings)
        self._silence = silence
        self._make_container = container
        self._heap = heap
        self._self_test = self_test  # None: nothing is ever sealed here
        self._look = Look(ring, clock)
        self._terms = Terms(
            has_camera=sources.has(Track.PICTURE),
            has_ring=config.ring.seconds > 0,
            sound=Sound(config.microphone.mode),
            may_listen=sealer is not None and not any(finding.refuses for finding in findings),
        )
        self._promise_ns = config.ring.seconds * SECOND
        self._started_ns = clock.boot_ns()
        self._lock = threading.Lock()
        self._wanted: Wanted | None = None
        self._heard_ns: int | None = None
        self._recording: Recording | None = None
        self._finished: Recording | None = None  # the last one, still being handed over or safe
        self._has_clip_passed = False  # its pieces were in memory that is free now and not zeroed yet
        self._told: set[tuple[str, int]] = set()  # panel events on their way to the vault, or there
        self._faults_since: dict[str, int] = {}
        # Opened now: a process that is made undumpable may not open it any more, but may go on reading it.
        self._io = Path("/proc/self/io").open(encoding="ascii")  # noqa: SIM115 - held for the life of the process
        # Taken when a camera is first opened. Before, nothing of a room is here; and reading the program's own files may
        # mark them as read today (atime), which counts as bytes that this process wrote.
        self._written_before: int | None = None
        self.wake = threading.Event()

    def hear(self, wanted: Wanted) -> None:
        """The panel's wish, as it comes."""
        with self._lock:
            is_news = self._wanted is None or (wanted.mode, wanted.incident) != (
                self._wanted.mode,
                self._wanted.incident,
            )
            self._wanted, self._heard_ns = wanted, self._clock.boot_ns()
        if is_news:
            self.wake.set()

    def tick(self) -> None:
        """Look at what is wanted and what is, and do what is due."""
        now_ns = self._clock.boot_ns()
        self._ring.expire(now_ns)
        with self._lock:
            wanted = self._wanted
        wish = self._wish(wanted, now_ns)
        self._settle_recording(wanted)
        self._sources.check(now_ns)
        actual = self._actual(wanted, now_ns)
        for action in plan(wish, self._terms, actual):
            self._perform(action, wanted)
        if wanted is not None:
            self._relay_events(wanted)
        is_idle = self._recording is None and wish is not Wish.RECORD and self._outbox.drain(patience_s=0)
        if is_idle and self._has_clip_passed:
            self._has_clip_passed = False
            self._heap.give_back()
        if self._self_test is not None:
            self._self_test.tick(is_idle=is_idle)

    def stop(self) -> None:
        """End well: an open clip is closed and handed over, the sources are closed, the ring is wiped."""
        recording = self._recording
        if recording is not None:
            recording.cut("stop")
            recording.wait(patience_s=_STOP_PATIENCE_S)
        self._look.stop()
        self._sources.stop()
        self._ring.close()
        self._outbox.drain(patience_s=_STOP_PATIENCE_S)
        if self._self_test is not None:
            self._self_test.close()
        self._io.close()

    def report(self) -> Report:
        """What the lamps need."""
        state = self.state()
        progress = self._progress()
        lamp = {
            RecorderState.LISTENING: Lamp.READY,
            RecorderState.RECORDING: Lamp.RECORDING,
            RecorderState.FAULT: Lamp.FAULT,
            RecorderState.ALARM_ONLY: Lamp.READY,
        }.get(state, Lamp.NOT_READY)
        safe_ns = progress.safe_ns if progress else None
        if lamp is Lamp.READY and safe_ns is not None and self._clock.boot_ns() - safe_ns < _SAFE_SHOWN_NS:
            lamp = Lamp.SAFE
        if lamp is Lamp.READY and self._outbox.trouble is not None:
            lamp = Lamp.FAULT  # a clip would wait in RAM, where a power cut ends it
        return Report(
            lamp=lamp,
            is_camera_on=self._sources.is_running,
            clip=progress.clip if progress else None,
            sent_ns=self._clock.boot_ns(),
        )

    def state(self) -> RecorderState:
        """The one word for what it is doing."""
        now_ns = self._clock.boot_ns()
        if not self._terms.has_camera:
            return RecorderState.ALARM_ONLY
        if not self._terms.may_listen:
            return RecorderState.FAULT
        if self._recording is not None:
            return RecorderState.RECORDING
        with self._lock:
            wanted = self._wanted
        wish = self._wish(wanted, now_ns)
        if wish is Wish.NOBODY:
            return RecorderState.STARTING if wanted is None else RecorderState.FAULT
        if wish is Wish.PRIVATE:
            return RecorderState.PRIVATE
        if wish is Wish.OFF or not self._terms.has_ring:
            return RecorderState.OFF
        states = [source.state for source in self._sources.status(now_ns) if source.track == Track.PICTURE.value]
        if "stale" in states or any(each.code in _UNUSABLE for each in self._ailments()):
            return RecorderState.FAULT
        return RecorderState.LISTENING if states and set(states) == {"good"} else RecorderState.STARTING

    @property
    def is_in_conversation(self) -> bool:
        """A conversation is on; in a room that is always listened to nobody tells."""
        with self._lock:
            wanted = self._wanted
        is_on = wanted is not None and wanted.mode in {Mode.LISTEN, Mode.RECORD}
        return is_on and self._config.room.arming == "conversation"

    def status(self) -> RecorderStatus:
        """The snapshot of now."""
        now_ns = self._clock.boot_ns()
        with self._lock:
            heard_ns = self._heard_ns
        return RecorderStatus(
            as_of_ns=now_ns,
            started_ns=self._started_ns,
            state=self.state(),
            ring=RingStatus(
                seconds=round(self._ring.held_ns(now_ns) / SECOND, 2),
                promised_seconds=float(self._config.ring.seconds),
                bytes=self._ring.held_bytes,
                cap_bytes=self._ring.cap_bytes,
                is_locked=self._ring.is_locked,
                is_wiped=self._ring.is_wiped,
                oldest_seconds=round(self._ring.oldest_ns(now_ns) / SECOND, 2),
            ),
            sources=tuple(self._sources.status(now_ns)),
            clip=self._progress(),
            write_bytes=0 if self._written_before is None else self._written_ever() - self._written_before,
            panel_age_ms=None if heard_ns is None else (now_ns - heard_ns) // MILLISECOND,
            is_vault_reached=self._outbox.is_reached,
            faults=tuple(self._faults(now_ns)),
            warnings=tuple(self._warnings()),
        )

    # Deciding

    def _wish(self, wanted: Wanted | None, now_ns: int) -> Wish:
        if wanted is None or self._heard_ns is None or now_ns - self._heard_ns > PANEL_PATIENCE_NS:
            return Wish.NOBODY
        return Wish.of(wanted.mode)

    def _actual(self, wanted: Wanted | None, now_ns: int) -> Actual:
        incident = wanted.incident if wanted else None
        recording, clip = self._recording, ClipState.NONE
        if recording is not None:
            is_same = incident is not None and incident.id == recording.incident
            is_ending = recording.until_ns <= now_ns
            clip = ClipState.ENDING if is_ending else ClipState.OPEN if is_same else ClipState.OTHER
        return Actual(
            is_capturing=self._sources.is_running,
            is_sound_taken=self._sources.takes(Track.SOUND),
            clip=clip,
            is_incident_due=incident is not None and incident.until_ns > now_ns,
        )

    def _settle_recording(self, wanted: Wanted | None) -> None:
        """Follow a moved end, and let go of a clip that is done."""
        recording = self._recording
        if recording is None:
            return
        if recording.is_done:
            self._finished, self._recording = recording, None
            self._has_clip_passed = True
            self._sources.hurry(is_on=False)
        elif wanted and wanted.incident and wanted.incident.id == recording.incident:
            until_ns = wanted.incident.until_ns
            if wanted.mode is Mode.RECORD or until_ns <= self._clock.boot_ns():
                recording.move_end(until_ns)

    # Doing

    def _perform(self, action: Action, wanted: Wanted | None) -> None:
        match action:
            case Action.START_CAPTURE:
                if self._written_before is None:
                    self._written_before = self._written_ever()
                self._ring.open(self._promise_ns or _TRANSIT_NS)
                self._sources.take(Track.PICTURE)
                self._look.start()
            case Action.STOP_CAPTURE:
                if self._recording is not None:  # it was cut, and may not have read what was held at the cut
                    self._recording.wait(patience_s=_CUT_PATIENCE_S)
                self._ring.shut()  # first, and it takes nothing more: closing a camera that hangs takes a while
                self._look.stop()
                self._sources.stop()
                self._heap.give_back()
            case Action.TAKE_SOUND:
                self._sources.take(Track.SOUND)
            case Action.LEAVE_SOUND:
                self._sources.leave(Track.SOUND)
            case Action.END_CLIP if self._recording is not None:
                self._recording.move_end(self._clock.boot_ns())
            case Action.CUT_CLIP if self._recording is not None:
                self._recording.cut("private")
            case Action.OPEN_CLIP if wanted is not None and wanted.incident is not None:
                self._open_clip(wanted.incident)

    def _open_clip(self, incident: Incident) -> None:
        last, now_ns = self._finished, self._clock.boot_ns()
        if self._sealer is None or (last and last.has_failed and now_ns - last.opened_ns < _AGAIN_NS):
            return
        self._sources.hurry(is_on=True)
        floor_ns = max(incident.pressed_ns - self._promise_ns, self._goes_on_from_ns(incident))
        has_sound = self._sources.has(Track.SOUND)
        self._recording = Recording(
            incident=incident,
            birth=Birth(
                clip=new_clip_id(incident.pressed_wall_ns),
                incident=incident.id,
                pressed_ns=incident.pressed_ns,
                pressed_wall_ns=incident.pressed_wall_ns,
                is_wall_trusted=incident.is_wall_trusted,
                boot_id=self._clock.boot_id,
                pre_roll_asked_ms=self._promise_ns // MILLISECOND,
                sources=tuple(capture.name for capture in self._sources.captures),
                software=__version__,
            ),
            clip=Clip(
                pressed_ns=incident.pressed_ns,
                floor_ns=floor_ns,
                until_ns=incident.until_ns,
                has_sound=has_sound,
                silence=self._silence,
                container=lambda picture: self._make_container(picture, has_sound),
            ),
            ring=self._ring,
            sealer=self._sealer,
            outbox=self._outbox,
            clock=self._clock,
        )

    def _goes_on_from_ns(self, incident: Incident) -> int:
        """Where a further clip of an incident goes on: without a gap, so up to one GOP may be in both.

        A new incident has the whole of its pre-roll, whatever clip was made before it.
        """
        last = self._finished
        if last is None or last.incident != incident.id:
            return 0
        if last.is_source_changed or last.has_failed:  # what came before cannot stand in one clip with what comes after
            return last.newest_ns + 1
        return self._ring.key_before(last.newest_ns) or last.newest_ns + 1

    def _relay_events(self, wanted: Wanted) -> None:
        current = {(event.run, event.seq) for event in wanted.events}
        self._told.intersection_update(current)  # what the panel does not repeat any more need not be remembered
        for event in wanted.events:
            key = (event.run, event.seq)
            parcel = Parcel(message=Happened(event=event), on_refused=partial(self._told.discard, key))
            if key not in self._told:
                self._told.add(key)
                if not self._outbox.put(parcel):
                    self._told.discard(key)

    # Showing

    def _progress(self) -> ClipProgress | None:
        recording = self._recording or self._finished
        return recording.progress() if recording is not None else None

    def _written_ever(self) -> int:
        self._io.seek(0)
        for line in self._io:
            if line.startswith("write_bytes:"):
                return int(line.split()[1])
        return -1

    def _faults(self, now_ns: int) -> list[Fault]:
        found = [(finding.code, finding.detail, finding.fix) for finding in self._findings if finding.refuses]
        with self._lock:
            wanted = self._wanted
        if self._wish(wanted, now_ns) is Wish.NOBODY and now_ns - self._started_ns > PANEL_PATIENCE_NS:
            found.append(("panel-silent", "the panel does not speak: the ring is empty", "start spreekkamer guard"))
        for tracks, detail in self._sources.troubles(now_ns):
            found.append((f"source-{tracks}", detail, "check its cable, power and settings"))
        if self._ring.is_short(now_ns):
            held_s, cap = self._ring.held_ns(now_ns) // SECOND, self._config.ring.mebibytes
            found.append(
                (
                    "ring-short",
                    f"only {held_s} of {self._config.ring.seconds} s fit in {cap} MiB",
                    "raise ring.mebibytes, or lower the camera's bit rate",
                )
            )
        key_interval_ns = self._sources.key_interval_ns(now_ns)
        if key_interval_ns > max(self._promise_ns // 2, _KEYS_APART_NS):
            promised = self._config.ring.seconds
            lack = (
                f"hold less than half of {promised} s before a press" if promised else "begin that much after the press"
            )
            detail = f"a clip can begin only every {round(key_interval_ns / SECOND)} s, so it may {lack}"
            found.append(("key-frames", detail, SELDOM_KEYS_FIX))
        found += [(each.code.value, each.detail, each.fix) for each in self._ailments()]
        if self._look.is_asleep(now_ns):
            found.append(("health", "nobody looks whether camera and microphone work", "restart spreekkamer record"))
        if self._outbox.trouble is not None:
            found.append(("vault-away", self._outbox.trouble, "start spreekkamer keep; look at its faults"))
        if self._outbox.refused:
            found.append(
                ("vault-refused", self._outbox.refused, "keep a copy of the clip's folder for the maintainers")
            )
        if self._self_test is not None and self._self_test.trouble is not None:
            found.append(("self-test-failed", self._self_test.trouble, "start spreekkamer keep; look at its faults"))
        recording = self._recording or self._finished
        if recording is not None and recording.trouble is not None:
            found.append(("clip-incomplete", recording.trouble, "see the clip's manifest"))
        self._faults_since = {code: self._faults_since.get(code, now_ns) for code, _, _ in found}
        return [
            Fault(code=code, detail=detail, fix=fix, since_ns=self._faults_since[code]) for code, detail, fix in found
        ]

    def _ailments(self) -> list[Ailment]:
        """What is wrong with what camera and microphone give, as far as it can be told."""
        found = [each for each in self._look.found() if self._is_somebody_there() or not each.is_ambiguous]
        # A recording gives its few key pictures over and over, and a drawn one has no noise.
        is_recording = self._config.camera.source.startswith("fixture:")
        return [each for each in found if not (is_recording and each.code is Code.FROZEN)]

    def _is_somebody_there(self) -> bool:
        """Then it is light. A room that is always listened to is also empty, and dark, at night."""
        return self._config.room.arming == "conversation" or self._recording is not None

    def _warnings(self) -> list[str]:
        lines = [f"{finding.detail}; {finding.fix}" for finding in self._findings if not finding.refuses]
        if not self._is_somebody_there():
            lines += [f"{each.detail}; {each.fix}" for each in self._look.found() if each.is_ambiguous]
        return lines
