"""What belongs in a clip, packet by packet: where it begins, where it ends, and what it tells of what is missing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from edge.clock import MILLISECOND, SECOND
from edge.packet import SOUND_FRAME, SOUND_RATE, Format, Packet, Track
from edge.recorder.clip import Clip
from tests.recorder.streams import H264, START_NS, packet

PRESSED_NS = START_NS + 3 * SECOND
UNTIL_NS = START_NS + 5 * SECOND
FRAME_NS = SOUND_FRAME * SECOND // SOUND_RATE


@dataclass
class Notes:
    """`clip.Container` that writes down what it is given, in nanoseconds from the clip's zero."""

    pictures: list[tuple[int, bool]] = field(default_factory=list)
    sounds: list[tuple[int, bytes]] = field(default_factory=list)
    last_dts_ns: int = -1

    def put_picture(self, data: bytes, *, pts_ns: int, dts_ns: int, duration_ns: int, is_key: bool) -> None:
        assert dts_ns > self.last_dts_ns
        self.last_dts_ns = dts_ns
        self.pictures.append((pts_ns, is_key))

    def put_sound(self, data: bytes, *, at: int) -> None:
        self.sounds.append((at, data))

    def take(self) -> bytes:
        return b""

    def close(self) -> None:
        """Nothing is open."""


def clip_of(notes: Notes, *, has_sound: bool = False, floor_ns: int = START_NS, until_ns: int = UNTIL_NS) -> Clip:
    return Clip(
        pressed_ns=PRESSED_NS,
        floor_ns=floor_ns,
        until_ns=until_ns,
        has_sound=has_sound,
        silence=b"silence",
        container=lambda _picture: notes,
    )


def pictures(start_ms: int, end_ms: int, *, step_ms: int = 40, gop: int = 25, generation: int = 1) -> list[Packet]:
    return [
        packet(START_NS + at * MILLISECOND, is_key=number % gop == 0, generation=generation)
        for number, at in enumerate(range(start_ms, end_ms, step_ms))
    ]


def sounds(start_ms: int, end_ms: int, *, late_ms: int = 0) -> list[Packet]:
    return [
        packet(at_ns, track=Track.SOUND, data=b"sound", arrival_ns=at_ns + late_ms * MILLISECOND)
        for at_ns in range(START_NS + start_ms * MILLISECOND, START_NS + end_ms * MILLISECOND, FRAME_NS)
    ]


def feed(clip: Clip, packets: Iterable[Packet]) -> None:
    """As they arrive, until the clip has enough."""
    for each in sorted(packets, key=lambda each: each.arrival_ns):
        if clip.is_complete:
            break
        clip.feed(each)
    clip.finish()


def test_it_begins_at_the_oldest_key_picture_not_before_its_floor() -> None:
    notes = Notes()
    clip = clip_of(notes, floor_ns=START_NS + 1)
    feed(clip, pictures(0, 6_000))
    assert notes.pictures[0] == (0, True)
    assert len(notes.pictures) == 100
    assert clip.facts(asked_ms=3_000, ended_by="until").pre_roll_delivered_ms == 2_000


def test_without_a_key_picture_there_is_nothing() -> None:
    notes = Notes()
    clip = clip_of(notes)
    feed(clip, pictures(40, 6_000, gop=1_000_000)[1:])
    assert (notes.pictures, clip.has_begun, clip.media_ms(), clip.pre_roll_ms()) == ([], False, 0, 0)
    assert clip.facts(asked_ms=0, ended_by="until").picture == "none"


def leading(key_ms: int, *, generation: int) -> list[Packet]:
    """A key picture of an open GOP: sent first, then two pictures shown before it that need the group before."""
    base = START_NS + key_ms * MILLISECOND
    shown = [(0, True), (-80, False), (-40, False), (40, False)]
    return [
        packet(
            base + after * MILLISECOND,
            dts_ns=base + (place * 40 - 120) * MILLISECOND,
            arrival_ns=base + place * 40 * MILLISECOND,
            is_key=is_key,
            generation=generation,
        )
        for place, (after, is_key) in enumerate(shown)
    ]


def test_leading_pictures_of_an_open_group_are_left_out_at_the_start_and_after_every_gap() -> None:
    for is_lapped in (False, True):
        notes = Notes()
        clip = clip_of(notes)
        for each in leading(1_000, generation=1):
            clip.feed(each)
        if is_lapped:
            clip.lost(3)
        for each in leading(3_000, generation=1 if is_lapped else 2):
            clip.feed(each)
        shown_ms = [(pts_ns - notes.pictures[0][0]) // MILLISECOND for pts_ns, _ in notes.pictures]
        assert shown_ms == [0, 40, 2_000, 2_040]
        assert clip.facts(asked_ms=0, ended_by="until").picture_gaps_ms == ((80, 1_920),)


def test_leading_pictures_in_the_middle_stay_where_nothing_was_lost() -> None:
    notes = Notes()
    clip = clip_of(notes)
    for each in [*leading(1_000, generation=1), *leading(1_160, generation=1)]:
        clip.feed(each)
    assert len(notes.pictures) == 6


def test_a_new_generation_waits_for_a_key_picture() -> None:
    notes = Notes()
    clip = clip_of(notes)
    feed(clip, [*pictures(0, 1_000), *pictures(1_000, 6_000, generation=2)[10:]])
    assert [pts_ns // MILLISECOND for pts_ns, is_key in notes.pictures if is_key] == [0, 2_000, 3_000, 4_000]
    assert clip.facts(asked_ms=0, ended_by="until").picture_gaps_ms == ((1_000, 1_000),)


def test_another_form_of_picture_ends_it() -> None:
    notes = Notes()
    clip = clip_of(notes)
    larger = Format(codec="h264", width=640, height=360)
    feed(clip, [*pictures(0, 1_000), *(each._replace(format=larger) for each in pictures(1_000, 2_000))])
    assert clip.is_source_changed
    assert len(notes.pictures) == 25


def test_bytes_that_were_lost_are_told_and_the_picture_goes_on_at_a_key_picture() -> None:
    notes = Notes()
    clip = clip_of(notes)
    feed(clip, pictures(0, 1_200))
    clip.cut_out(0, 1_200)
    clip.lost(0)
    feed(clip, pictures(0, 6_000)[30:])
    facts = clip.facts(asked_ms=0, ended_by="until")
    assert facts.picture_gaps_ms[0] == (0, 1_200)
    assert [pts_ns // MILLISECOND for pts_ns, is_key in notes.pictures if is_key] == [0, 1_000, 2_000, 3_000, 4_000]


def test_what_aged_away_before_it_began_is_not_called_lost() -> None:
    clip = clip_of(Notes())
    clip.lost(3)
    feed(clip, pictures(0, 1_000))
    assert clip.facts(asked_ms=0, ended_by="until").frames_dropped == 0
    clip.lost(3)
    assert clip.facts(asked_ms=0, ended_by="until").frames_dropped == 3


# --- sound ----------------------------------------------------------------------------------------------------------


def heard(notes: Notes) -> list[int]:
    return [at for at, data in notes.sounds if data == b"sound"]


def test_the_sound_of_the_last_moments_is_waited_for() -> None:
    """Sound takes longer than pictures on its way: the first picture behind the end must not cut it off."""
    notes = Notes()
    clip = clip_of(notes, has_sound=True)
    feed(clip, [*pictures(0, 6_000), *sounds(0, 6_000, late_ms=300)])
    assert clip.is_complete
    assert max(heard(notes)) * SECOND // SOUND_RATE >= UNTIL_NS - START_NS - 2 * FRAME_NS
    assert max(heard(notes)) * SECOND // SOUND_RATE < UNTIL_NS - START_NS
    assert clip.facts(asked_ms=0, ended_by="until").sound_gaps_ms == ()


def test_the_end_does_not_wait_for_a_dead_microphone() -> None:
    notes = Notes()
    clip = clip_of(notes, has_sound=True)
    for each in pictures(0, 7_000):
        clip.feed(each)
        if clip.is_complete:
            assert each.pts_ns <= UNTIL_NS + 600 * MILLISECOND
            break
    assert clip.is_complete
    clip.finish()
    assert heard(notes) == []
    (gap,) = clip.facts(asked_ms=0, ended_by="until").sound_gaps_ms
    assert gap[0] == 0
    assert gap[1] == pytest.approx(5_000, abs=30)


def test_nothing_is_heard_from_before_the_floor() -> None:
    """A picture of a B-frame stream is decoded before it is seen: what was heard meanwhile is older than the promise."""
    notes, floor_ns = Notes(), START_NS + SECOND
    clip = clip_of(notes, has_sound=True, floor_ns=floor_ns)
    delayed = [each._replace(dts_ns=each.pts_ns - 120 * MILLISECOND) for each in pictures(0, 6_000)]
    feed(clip, [*delayed, *sounds(0, 6_000)])
    zero_ns = floor_ns - 120 * MILLISECOND
    assert min(heard(notes)) * SECOND // SOUND_RATE + zero_ns >= floor_ns - MILLISECOND
    assert clip.facts(asked_ms=0, ended_by="until").sound_gaps_ms == (), "nobody misses what is older than the picture"


def test_sound_that_waits_for_a_picture_is_bounded_and_the_newest_is_kept() -> None:
    clip = clip_of(Notes(), has_sound=True, until_ns=START_NS + 70 * SECOND)
    heard = sounds(0, 60_000)
    for each in heard:
        clip.feed(each)
    bound = 3 * SOUND_RATE // SOUND_FRAME
    assert [each.pts_ns for each in clip._early_sound] == [each.pts_ns for each in heard[-bound:]]


def test_sound_that_comes_twice_is_dropped_and_counted() -> None:
    notes = Notes()
    clip = clip_of(notes, has_sound=True)
    feed(clip, [*pictures(0, 6_000), *sounds(0, 6_000), *sounds(2_000, 2_200)])
    assert clip.facts(asked_ms=0, ended_by="until").sound_dropped == len(sounds(2_000, 2_200))
    places = [at for at, _ in notes.sounds]
    assert all(after - at >= SOUND_FRAME for at, after in pairwise(places))


def test_sound_is_one_unbroken_row_with_silence_where_none_came() -> None:
    notes = Notes()
    clip = clip_of(notes, has_sound=True)
    feed(clip, [*pictures(0, 6_000), *sounds(1_000, 2_000), *sounds(3_000, 6_000)])
    sent = [*sounds(1_000, 2_000), *sounds(3_000, 5_000)]
    meant = [(each.pts_ns - START_NS) * SOUND_RATE // SECOND for each in sent]
    assert heard(notes) == pytest.approx(meant, abs=2), "after a gap at its own time, to the sample"
    places = [at for at, _ in notes.sounds]
    assert all(SOUND_FRAME <= after - at < 2 * SOUND_FRAME for at, after in pairwise(places))
    assert places[0] == 0
    for told, gap in zip(
        clip.facts(asked_ms=0, ended_by="until").sound_gaps_ms, [(0, 1_000), (2_000, 1_000)], strict=True
    ):
        assert told == pytest.approx(gap, abs=45)


def test_the_form_is_named_as_a_person_reads_it() -> None:
    clip = clip_of(Notes())
    feed(clip, pictures(0, 1_000))
    assert clip.facts(asked_ms=0, ended_by="until").picture == str(H264) == "h264 320x180"
