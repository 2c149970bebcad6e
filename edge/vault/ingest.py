"""What the recorder sends, from one message to its answer, and how a clip ends: functions on a Keeper, no sockets.

An answer that says durable comes after the disk. A refusal that is final makes the recorder stop telling it again.
Callers: the connections' threads (`answer`, `lost`), the vault's main thread by way of `passes` (`end`).
"""

from __future__ import annotations

import hashlib
from concurrent.futures import Future
from dataclasses import replace
from typing import Final, Literal

from edge.errors import NoSuchClip, StoreError
from edge.messages import (
    Answer,
    Birth,
    ClipFacts,
    Close,
    DrillMade,
    Happened,
    PanelEvent,
    Ping,
    Probe,
    ProbeResult,
    Segment,
    Step,
    ToVault,
    Trial,
    TrialAnswer,
)
from edge.vault import clips, manifest, reading, records, snapshot
from edge.vault.keeper import Keeper
from edge.vault.ledger import Action
from edge.vault.reading import Clip
from edge.vault.retention import Now
from edge.vault.selftest import StepFailed
from edge.vault.store import checked

_SEGMENT_LIMIT: Final = 9999  # four digits keep `cat *.age` in order; a clip of 15 minutes has a tenth of it
_RECORD_BYTES: Final = 512 * 1024  # more than a birth, or the manifest of a clip of full length
_UNHASHED: Final = 8  # segments that may wait in RAM for their hash; beyond it the next one waits
_RUNS_KEPT: Final = 64  # panel runs of one boot; beyond it the oldest is forgotten
_EVENTS_KEPT: Final = 4096  # numbers of a run; the panel repeats its newest 64, so an older one was written

_DONE: Final = Answer(is_durable=True)


def answer(keeper: Keeper, message: ToVault, payload: bytes | memoryview, *, uid: int, link: object) -> Answer:
    """Do what one message asks; the answer comes after it is on disk. Never raises for what the disk does.

    `link` stands for the connection, and is the same object for all its messages.
    """
    try:
        match message:
            case Birth():
                return _born(keeper, message, uid, link)
            case Segment():
                return _segment(keeper, message, payload, link)
            case Close():
                return _close(keeper, message, link)
            case Happened():
                return _happened(keeper, message.event)
            case Ping():
                return _DONE
    except NoSuchClip as err:
        return _refused(str(err))
    except StoreError as err:
        return Answer(is_durable=False, error=str(err))


def attempt(keeper: Keeper, message: Trial, payload: bytes | memoryview, *, uid: int) -> tuple[TrialAnswer, bytes]:
    """Do one step of a self-test, or take a drill; the answer, and what was read back. Touches no clip and no lock."""
    found, is_drill_due = b"", False
    try:
        match message:
            case Probe():
                found = keeper.self_test.probe(payload)
            case ProbeResult():
                keeper.self_test.conclude(message, uid=uid)
                is_drill_due = keeper.drill.is_due(message.recipients)
            case DrillMade():
                keeper.drill.make(message, payload, uid=uid)
    except StepFailed as err:
        return TrialAnswer(failed=err.step, error=str(err), is_drill_due=False), b""
    except StoreError as err:
        return TrialAnswer(failed=Step.DRILL, error=str(err), is_drill_due=False), b""
    return TrialAnswer(failed=None, error="", is_drill_due=is_drill_due), found


def lost(keeper: Keeper, link: object) -> None:
    """A recorder's connection ended: what it was writing waits for its return."""
    with keeper.lock:
        for state in keeper.open_clips.values():
            if state.link is link:
                state.link, state.lost_ns = None, keeper.clock.boot_ns()


def end(keeper: Keeper, number: str, state: Literal["complete", "interrupted"], facts: ClipFacts | None) -> None:
    """Procedure CLOSE. Nothing when the clip is not open. Raises StoreError, and NoSuchClip when it goes meanwhile.

    Segments of before a restart are hashed first, outside the lock, as it can take long.
    """
    while True:
        with keeper.lock:
            clip = keeper.find(number)
            if clip is None or clip.state != "open":
                return
            hashes = keeper.opened(number).hashes
            missing = [segment for segment in range(clip.segments) if segment not in hashes]
            if not missing:
                _finish(keeper, clip, [hashes[segment].result() for segment in range(clip.segments)], state, facts)
                return
        for segment in missing:
            found: Future[tuple[str, int]] = Future()
            found.set_result(reading.hash_of(keeper.store.clip(number) / manifest.segment_name(segment)))
            with keeper.lock:
                hashes[segment] = found


def _refused(error: str) -> Answer:
    return Answer(is_durable=False, error=error, is_final=True)


def _born(keeper: Keeper, message: Birth, uid: int, link: object) -> Answer:
    with keeper.lock:
        clip = checked(message.clip)
        if keeper.is_gone(clip):
            return _refused(f"clip {clip} was deleted")
        known = keeper.find(clip)
        if known is not None:
            if known.birth is None or not known.birth.is_birth_of(message):
                return _refused(f"clip {clip} was born before, with other facts")
            _attach(keeper, clip, link)
            return _DONE
        now = keeper.now()
        same = [other for other in keeper.all() if other.birth and other.birth.incident == message.incident]
        before = snapshot.newest_first(same)
        birth = _birth_record(keeper, message, now, before[0].id if before else None)
        keeper.note(Action.CLIP_BORN, clip, "born", uid=uid, detail={"retention_s": birth.retention_s})
        keeper.reserve.give(_RECORD_BYTES)
        clips.create(keeper.disk, keeper.store, keeper.key, birth)
        keeper.take_up(clip, None)
        _attach(keeper, clip, link)
        for other in before:
            # Its recorder began anew, so it will not come back: the next tick closes it as interrupted.
            if (state := keeper.open_clips.get(other.id)) is not None:
                state.give_up(now.boot_ns)
        return _DONE


def _birth_record(keeper: Keeper, message: Birth, now: Now, continues: str | None) -> records.BirthRecord:
    # A press of another boot was before this one began; one in the future is now. Neither may lengthen a life.
    pressed_ns = min(message.pressed_ns, now.boot_ns)
    counter = keeper.powered_on
    powered_on_ns = counter.at_ns(pressed_ns) if message.boot_id == now.boot_id else counter.at_boot_ns
    return records.BirthRecord(
        clip=message.clip,
        incident=message.incident,
        pressed_ns=message.pressed_ns,
        pressed_wall_ns=message.pressed_wall_ns,
        is_wall_trusted=message.is_wall_trusted,
        boot_id=message.boot_id,
        powered_on_ns=max(0, powered_on_ns),
        born_powered_on_ns=now.powered_on_ns,
        retention_s=keeper.terms.retention_s,
        continues=continues,
        pre_roll_asked_ms=message.pre_roll_asked_ms,
        sources=message.sources,
        software=message.software,
    )


def _segment(keeper: Keeper, message: Segment, payload: bytes | memoryview, link: object) -> Answer:
    with keeper.lock:
        clip = keeper.clip(message.clip)
        if not 0 <= message.number <= min(clip.segments, _SEGMENT_LIMIT):
            # Final, because the recorder sends in order: what is missing before it will not come any more.
            return _refused(f"segment {message.number} of {clip.id}: {clip.segments} is the next")
        if message.number < clip.segments:
            if _hash(keeper, clip.id, message.number) != _hash_of(payload):
                return _refused(f"segment {message.number} of {clip.id} is stored with other bytes")
            _attach(keeper, clip.id, link)
            return _DONE
        if not keeper.store.clip(clip.id).is_dir():  # the other enforcer was here, and no pass has seen it yet
            return _refused(f"clip {clip.id} was deleted")
        clip = _reopened(keeper, clip)
        keeper.reserve.give(len(payload))
        clips.append(keeper.disk, keeper.store, clip.id, message.number, payload)
        _attach(keeper, clip.id, link)
        hashes = keeper.opened(clip.id).hashes
        if (earlier := hashes.get(message.number - _UNHASHED)) is not None:
            earlier.result()
        hashes[message.number] = keeper.hashing.submit(_hash_of, payload)
        keeper.put(
            replace(
                clip,
                segments=clip.segments + 1,
                size=clip.size + len(payload),
                safe_ms=message.media_until_ms,
            )
        )
        return _DONE


def _close(keeper: Keeper, message: Close, link: object) -> Answer:
    with keeper.lock:
        clip = keeper.clip(message.clip)
        if clip.state == "complete":
            return _DONE
        clip = _reopened(keeper, clip)
        _attach(keeper, clip.id, link)
    is_whole = clip.segments == message.segments
    end(keeper, clip.id, "complete" if is_whole else "interrupted", message.facts)
    if is_whole:
        return _DONE
    # What is missing will not come any more (a refused segment), so the clip ended as what it is.
    return _refused(f"clip {clip.id} holds {clip.segments} of {message.segments} segments; kept as interrupted")


def _happened(keeper: Keeper, event: PanelEvent) -> Answer:
    with keeper.lock:
        written = keeper.panel_events.setdefault(event.run, set())
        if len(keeper.panel_events) > _RUNS_KEPT:
            keeper.panel_events.pop(next(iter(keeper.panel_events)))
        if event.seq in written or (len(written) >= _EVENTS_KEPT and event.seq < min(written)):
            return _DONE
        keeper.ledger.append(
            Action.PANEL,
            event.incident or "",
            event.event.value,
            origin="panel",
            detail={
                "run": event.run,
                "number": event.seq,
                "at_ns": event.at_ns,
                "wall_ns": event.wall_ns,
                "is_wall_trusted": int(event.is_wall_trusted),
            },
        )
        keeper.button.happened(event.event, keeper.now())
        written.add(event.seq)
        if len(written) > _EVENTS_KEPT:
            written.remove(min(written))
        return _DONE


def _attach(keeper: Keeper, number: str, link: object) -> None:
    """From now on this connection writes the clip."""
    if keeper.clip(number).state == "open":
        keeper.opened(number).link = link


def _hash(keeper: Keeper, number: str, segment: int) -> tuple[str, int]:
    state = keeper.open_clips.get(number)
    if state is not None and segment in state.hashes:
        return state.hashes[segment].result()
    return reading.hash_of(keeper.store.clip(number) / manifest.segment_name(segment))


def _hash_of(payload: bytes | memoryview) -> tuple[str, int]:
    return hashlib.sha256(payload).hexdigest(), len(payload)


def _reopened(keeper: Keeper, clip: Clip) -> Clip:
    """The clip, open. Raises NoSuchClip (a final refusal) when it is complete."""
    if clip.state == "complete":
        raise NoSuchClip(f"clip {clip.id} is complete")
    if clip.state == "interrupted":
        keeper.note(Action.CLIP_REOPENED, clip.id, "open")
        clips.reopen(keeper.disk, keeper.store, clip.id)
        clip = replace(clip, state="open")
        keeper.put(clip)
    return clip


def _finish(
    keeper: Keeper,
    clip: Clip,
    hashes: list[tuple[str, int]],
    state: Literal["complete", "interrupted"],
    facts: ClipFacts | None,
) -> None:
    if clip.birth is None:
        # Nothing can be signed about a clip whose birth is not ours; it goes at its hour as it is.
        keeper.open_clips.pop(clip.id, None)
        return
    keeper.note(Action.CLIP_CLOSED, clip.id, state, detail={"segments": clip.segments, "bytes": clip.size})
    folder = keeper.store.clip(clip.id)
    try:
        birth_bytes = (folder / records.BIRTH).read_bytes()
    except OSError as err:
        raise StoreError(f"{folder}: the birth cannot be read: {err.strerror}") from err
    finished = manifest.build(
        clip.birth,
        birth_bytes,
        hashes,
        state=state,
        true_wall_ns=clip.wall_ns,
        media_ms=clip.safe_ms,
        facts=facts,
        ledger_head=keeper.ledger.head,
    )
    keeper.reserve.give(_RECORD_BYTES)
    clips.write_signed(keeper.disk, folder, keeper.key, records.MANIFEST, records.to_bytes(finished))
    keeper.open_clips.pop(clip.id, None)
    keeper.put(replace(clip, state=state))
