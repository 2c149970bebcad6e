"""The recorder process: puts the parts together, and takes them apart in the right order.

No network, no writable path but the folder of its status socket, no key that opens a clip.
"""

from __future__ import annotations

import gc
import logging
import sys
import threading
from contextlib import ExitStack
from typing import Final

from edge.clock import SystemClock
from edge.config import Config
from edge.machine.finding import Finding, wrong
from edge.machine.preflight import Today, preflight
from edge.messages import encode
from edge.packet import Format
from edge.ports import Clock
from edge.recorder.capture.encode import silence
from edge.recorder.capture.sources import sources
from edge.recorder.loop import TICK_S, Recorder
from edge.recorder.memory import Heap, hide_process
from edge.recorder.mux import Mux
from edge.recorder.outbox import Outbox
from edge.recorder.panel_link import PanelLink
from edge.recorder.ring import Ring
from edge.recorder.seal import Sealer
from edge.recorder.selftest import FIRST_S, SelfTest
from edge.recorder.vault_link import VaultLink
from edge.recorder.verdict import Verdict
from edge.status import RecorderState
from edge.systemd import Notifier
from edge.wire import SnapshotSocket

_MIB: Final = 1024 * 1024
# How long one thread computes while another waits for its turn (5 ms unless told otherwise): putting a clip together
# takes all there is, and handing over what is sealed already waits some five times for each answer.
_TURN_S: Final = 0.0001
_log = logging.getLogger(__name__)


def run(
    config: Config, stop: threading.Event, *, clock: Clock | None = None, first_self_test_s: float = FIRST_S
) -> None:
    """Listen until `stop` is set, or until the machine's verdict changes and another process is to act on it.

    Raises Refused when the status socket cannot be opened.
    """
    heap = Heap()
    sys.setswitchinterval(_TURN_S)
    clock = clock or SystemClock()
    today = Today.of(clock)
    findings = (*_preflight(config, today), *_locked(heap))
    may_listen = _may_listen(findings)
    sealer = None
    if may_listen:
        sealer = Sealer(config.seal.recipients)
        sealer.seal(b"")  # a key that parses and cannot be sealed to is found now, not at a press
    ring = Ring(cap_bytes=config.ring.mebibytes * _MIB)
    outbox = Outbox(VaultLink(config.paths.vault_socket), clock, cap_bytes=config.ring.mebibytes * _MIB)
    recorder = Recorder(
        config,
        sources=sources(config, ring, clock),
        ring=ring,
        sealer=sealer,
        outbox=outbox,
        clock=clock,
        findings=findings,
        silence=silence(),
        container=_container,
        heap=heap,
        self_test=_self_test(config, sealer, clock, heap, first_self_test_s),
    )
    verdict = Verdict(
        may_listen=may_listen, today=today, ask=lambda day: _may_listen(_preflight(config, day)), clock=clock
    )
    _warm_up()
    encode(recorder.status())
    hide_process()
    # What lives now lives until the end: a full collection over it at a press would cost as much as the sealing.
    gc.collect()
    gc.freeze()
    heap.give_back()
    with ExitStack() as stack:
        stack.callback(outbox.close)
        stack.callback(recorder.stop)
        notifier = stack.enter_context(Notifier(clock))
        stack.enter_context(SnapshotSocket(config.paths.status_socket("recorder"), lambda: encode(recorder.status())))
        link = PanelLink(config.paths.panel_socket, recorder.hear, recorder.report)
        stack.callback(link.close)
        while not stop.is_set():
            recorder.tick()
            if link.is_alive and outbox.is_alive:  # without either no clip is made, and only a restart brings it back
                notifier.alive(recorder.state().value)
            # Not in the midst of a clip: what can be recorded is recorded.
            if recorder.state() is not RecorderState.RECORDING and verdict.has_changed(
                is_in_conversation=recorder.is_in_conversation
            ):
                _log.warning("whether this room may listen has changed: ending, to be started anew")
                return
            recorder.wake.wait(TICK_S)
            recorder.wake.clear()


def _preflight(config: Config, today: Today) -> tuple[Finding, ...]:
    return preflight(config, seal=Sealer, today=today)


def _may_listen(findings: tuple[Finding, ...]) -> bool:
    return not any(finding.refuses for finding in findings)


def _locked(heap: Heap) -> tuple[Finding, ...]:
    if heap.lock():
        return ()
    return (
        wrong(
            "memory-partly-locked",
            "only the ring is locked in RAM, not what passes through the rest of this process",
            "raise the limit: LimitMEMLOCK=infinity in the unit, or `ulimit -l unlimited` in a shell",
        ),
    )


def _container(picture: Format, has_sound: bool) -> Mux:
    return Mux(picture, has_sound=has_sound)


def _self_test(config: Config, sealer: Sealer | None, clock: Clock, heap: Heap, first_s: float) -> SelfTest | None:
    """None for a recorder that never makes a clip."""
    if sealer is None or config.camera.source == "none":
        return None
    return SelfTest(
        vault=VaultLink(config.paths.vault_socket),
        sealer=sealer,
        clock=clock,
        heap=heap,
        container=_container,
        silence=None if config.microphone.mode == "off" else silence(),
        first_s=first_s,
    )


def _warm_up() -> None:
    """Go once through what the first press needs, so that no library loads its tables then.

    Once a camera is open nothing of the program is read any more: it could count as written (access times).
    """
    mux = Mux(Format(codec="mjpeg", width=16, height=16), has_sound=True)
    mux.put_sound(silence(), at=0)
    mux.put_picture(b"\xff\xd8\xff\xd9", pts_ns=0, dts_ns=0, duration_ns=1, is_key=True)
    mux.close()
