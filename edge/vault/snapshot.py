"""What the vault shows of itself: pure functions from its values to `status.VaultStatus`, never over the limit."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from edge.clock import SECOND, iso
from edge.messages import encode
from edge.status import CLIPS_SHOWN, SNAPSHOT_LIMIT, ClipStatus, VaultStatus
from edge.vault import retention
from edge.vault.reading import Clip
from edge.vault.retention import Life, Now


def clip_status(clip: Clip, now: Now, *, is_recording: bool) -> ClipStatus:
    """One clip as people see it. An open clip that no recorder is writing counts as interrupted."""
    life = clip.life or Life(powered_on_ns=now.powered_on_ns, wall_ns=None, keep_ns=retention.CAP_NS)
    held = retention.is_held(life, now)
    pressed_wall_ns = clip.wall_ns
    if pressed_wall_ns is None and clip.birth is not None:
        pressed_wall_ns = clip.birth.pressed_wall_ns
    left_ns = retention.left_ns(life, now)
    state = "recording" if is_recording else ("interrupted" if clip.state == "open" else clip.state)
    return ClipStatus(
        id=clip.id,
        pressed_at="" if pressed_wall_ns is None else iso(pressed_wall_ns),
        expires_at=_at(life, retention.end_ns(life), now),
        expires_in_s=round(max(0, left_ns) / SECOND, 3),
        held=held,
        held_until=_at(life, life.hold_ns, now) if held else None,
        state=state,
        safe_seconds=(clip.safe_ms or 0) / 1000,
        bytes=clip.size,
        segments=clip.segments,
        continues=clip.birth.continues if clip.birth else None,
        outcome=clip.outcome,
    )


def newest_first(clips: Iterable[Clip]) -> list[Clip]:
    """By the powered-on counter, which no clock can turn back."""
    return sorted(
        clips,
        key=lambda clip: (clip.birth.born_powered_on_ns, clip.id) if clip.birth else (-1, clip.id),
        reverse=True,
    )


def bounded(status: VaultStatus) -> bytes:
    """The snapshot's JSON, with as many of the newest clips as fit."""
    shown = replace(status, clips=status.clips[:CLIPS_SHOWN])
    while len(raw := encode(shown)) > SNAPSHOT_LIMIT and (shown.clips or shown.faults):
        shown = replace(shown, clips=shown.clips[: len(shown.clips) // 2], faults=shown.faults[:32])
    return raw


def statuses(clips: Iterable[Clip], now: Now, is_recording: Callable[[str], bool]) -> tuple[ClipStatus, ...]:
    return tuple(clip_status(clip, now, is_recording=is_recording(clip.id)) for clip in clips)


def _at(life: Life, age_ns: int, now: Now) -> str:
    """When the clip will have this age, in wall time for people."""
    if life.wall_ns is not None:
        return iso(life.wall_ns + age_ns)
    return iso(now.wall_ns + age_ns - retention.age_ns(life, now))
