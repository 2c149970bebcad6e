"""A microphone: found by its name, laid on our clock for as long as it runs, and never silently dead."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.clock import MILLISECOND, SECOND
from edge.errors import SourceLost
from edge.packet import SOUND, SOUND_FRAME, SOUND_RATE, Packet, RawPacket, Track
from edge.recorder.capture import microphone as module
from edge.recorder.capture.drift import Evener, PhaseLock
from edge.recorder.capture.encode import silence as aac_silence
from edge.recorder.capture.microphone import Microphone, find
from edge.recorder.capture.timestamps import Timeline
from edge.recorder.sound import Placed, SoundTrack
from tests.recorder.streams import IS_LONG, START_NS, SimClock
from tests.support.microphones import Card, Paced, StandInSound, silence, ticks

ROOT = Path(__file__).parents[2]
MIC = "alsa:USB Mic"
HOUR_S = 3600
OFFSET_S = 0.040  # what the ear forgives between lips and voice
Wave: TypeAlias = NDArray[np.float32]
PACKET_NS = SOUND_FRAME * SECOND // SOUND_RATE


def opened(library: StandInSound, source: str = MIC, *, in_use: threading.Lock | None = None) -> Microphone:
    return Microphone(source, clock=library.clock, in_use=in_use or threading.Lock(), library=library)


def heard(microphone: Microphone, seconds: float) -> list[RawPacket]:
    """What comes for so long, by the clock."""
    packets: list[RawPacket] = []
    until_ns = microphone._clock.boot_ns() + round(seconds * SECOND)
    while microphone._clock.boot_ns() < until_ns:
        packets.append(microphone.read())
    return packets


def until_lost(microphone: Microphone) -> tuple[list[RawPacket], str]:
    packets: list[RawPacket] = []
    try:
        while len(packets) < 5_000:
            packets.append(microphone.read())
    except SourceLost as err:
        return packets, str(err)
    return packets, "still there"


def placed(packets: Iterable[RawPacket]) -> tuple[list[Packet], Timeline]:
    timeline = Timeline(1)
    return [found for packet in packets if (found := timeline.place(packet)) is not None], timeline


def in_a_clip(packets: Iterable[Packet], zero_ns: int) -> tuple[list[Placed], SoundTrack]:
    track = SoundTrack(zero_ns, aac_silence())
    return [put for packet in packets for put in track.put(packet)], track


def waves(sounds: Iterable[Placed]) -> Wave:
    """What a player makes of it, from the first sample of the first of them; silence where there is none."""
    decoder = av.CodecContext.create("aac", "r")
    decoder.extradata = bytes([0x11, 0x88])
    given = list(sounds)
    wave: Wave = np.zeros(given[-1].at - given[0].at + SOUND_FRAME, np.float32)
    for sound in given:
        start = sound.at - given[0].at
        for frame in decoder.decode(av.Packet(sound.data)):
            wave[start : start + SOUND_FRAME] = frame.to_ndarray()[0]
    return wave


def tick_offsets_s(wave: Wave, start_s: float) -> list[float]:
    """How much later than its whole second each tick is heard."""
    loud = np.flatnonzero(np.abs(wave) > 0.3)
    onsets = loud[np.concatenate(([True], np.diff(loud) > SOUND_RATE // 2))]
    moments = onsets / SOUND_RATE + start_s
    return [float(moment - round(moment)) for moment in moments]


# --- drift and jitter


@pytest.mark.parametrize("ppm", [-200, 200])
def test_for_an_hour_each_block_is_where_it_was_heard_and_follows_the_one_before(ppm: int) -> None:
    """Blocks are seen up to 12 ms late, as on a busy Pi."""
    lock, random = PhaseLock(48_000), np.random.default_rng(5)
    block_ns = 960 / (48_000 * (1 + ppm / 1e6)) * SECOND
    late_ns = random.uniform(0, 12 * MILLISECOND, HOUR_S * 50)
    worst_ns, last_end_ns, bends = 0.0, None, []
    for number in range(HOUR_S * 50):
        true_ns = START_NS + number * block_ns
        span = lock.place(960, round(true_ns + late_ns[number]))
        worst_ns = max(worst_ns, abs(span.start_ns - true_ns)) if number >= 50 else worst_ns
        assert number < 50 or span.start_ns == last_end_ns, "no gap, no overlap"
        bends.append((span.end_ns - span.start_ns) / block_ns - 1)
        last_end_ns = span.end_ns
    assert worst_ns < OFFSET_S * SECOND / 4
    assert lock.drift_ppm == pytest.approx(ppm, abs=20)
    assert max(map(abs, bends[50 * 60 :])) < 0.001, "a change of pitch that nobody hears"


@pytest.mark.parametrize("ppm", [-200, 200])
def test_in_a_clip_every_tick_is_beside_its_picture_without_gaps_or_clicks(ppm: int) -> None:
    seconds = HOUR_S if IS_LONG else 60
    library = StandInSound([Card(ppm=ppm)])
    packets, timeline = placed(heard(opened(library), seconds))
    assert (timeline.jumps, timeline.rejected) == (0, 0)
    assert {after.pts_ns - before.pts_ns for before, after in pairwise(packets)} <= {PACKET_NS, PACKET_NS + 1}
    sounds, track = in_a_clip(packets, START_NS)
    assert (track.dropped, track.gaps_ns) == (0, [])
    assert track.largest_shift <= 1
    wave = waves(sounds[1:])
    offsets = tick_offsets_s(wave, START_NS / SECOND + sounds[1].at / SOUND_RATE)
    assert len(offsets) >= seconds - 2
    assert max(map(abs, offsets)) < OFFSET_S / 4
    quiet = np.abs(wave[SOUND_RATE:]) < 0.2
    assert np.mean(quiet) > 0.99, "between the ticks nothing crackles"


def test_a_first_block_that_comes_late_does_not_make_all_of_them_late() -> None:
    lock = PhaseLock(48_000)
    spans = [
        lock.place(960, START_NS + number * 20 * MILLISECOND + (90 * MILLISECOND) * (number == 0))
        for number in range(60)
    ]
    assert spans[1].start_ns == START_NS + 20 * MILLISECOND
    assert spans[-1].start_ns == pytest.approx(START_NS + 59 * 20 * MILLISECOND, abs=MILLISECOND)


def test_samples_that_were_lost_are_a_gap_and_what_follows_is_on_time() -> None:
    for is_told in (True, False):
        lock, lost_ns = PhaseLock(48_000), 300 * MILLISECOND
        spans = []
        for number in range(120):
            seen_ns = START_NS + number * 20 * MILLISECOND + lost_ns * (number >= 50)
            spans.append(lock.place(960, seen_ns, is_torn=is_told and number == 50))
        assert spans[49].end_ns == pytest.approx(START_NS + SECOND, abs=MILLISECOND)
        assert spans[-1].start_ns == pytest.approx(START_NS + 119 * 20 * MILLISECOND + lost_ns, abs=MILLISECOND)
        assert spans[50].start_ns - spans[49].end_ns == (pytest.approx(lost_ns, abs=MILLISECOND) if is_told else 0)


@pytest.mark.parametrize("rate", [1.0002, 0.9998, 1.003])
def test_a_tone_keeps_its_form_through_the_evening_out(rate: float) -> None:
    evener, made, at = Evener(), [], []
    for number in range(200):
        numbers = np.arange(number * 960, (number + 1) * 960)
        block = np.sin(2 * np.pi * 1000 * numbers / rate / SOUND_RATE).astype(np.float32)
        first, samples = evener.put(block, start=numbers[0] / rate, end=(numbers[-1] + 1) / rate)
        at.append((first, len(samples)))
        made.append(samples)
    assert all(first + count == after for (first, count), (after, _) in pairwise(at)), "each tick once"
    wave = np.concatenate(made)
    wanted = np.sin(2 * np.pi * 1000 * np.arange(len(wave)) / SOUND_RATE)
    assert np.max(np.abs(wave - wanted)[10:]) < 0.01


# --- muted, dead, gone, back


def test_a_muted_microphone_gives_nothing_good_and_is_told_so_in_time() -> None:
    library = StandInSound([Card(hears=lambda at_s: np.where(at_s < START_NS / SECOND + 5, ticks(at_s), 0.0))])
    packets, error = until_lost(opened(library))
    good = [packet for packet in packets if packet.data]
    muted_ns = START_NS + 5 * SECOND
    assert "is muted" in error
    assert "\n" not in error
    assert good[-1].arrival_ns < muted_ns + 2.1 * SECOND
    assert library.clock.now_ns < muted_ns + 4 * SECOND
    assert len(packets) - len(good) > 40
    assert placed(packets)[1].rejected == len(packets) - len(good)


def test_one_that_is_muted_from_the_start_never_counts_as_good() -> None:
    packets, error = until_lost(opened(StandInSound([Card(hears=silence)])))
    assert "is muted" in error
    assert [packet for packet in packets if packet.data] == []


def test_a_short_silence_of_zeros_is_no_fault_and_no_gap() -> None:
    quiet = Card(hears=lambda at_s: np.where(at_s % 4 < 1.5, 0.0, ticks(at_s)))
    packets, timeline = placed(packet for packet in heard(opened(StandInSound([quiet])), 20))
    assert timeline.rejected <= 76, "but for the first second and a half, in which it was never heard"
    assert {after.pts_ns - before.pts_ns for before, after in pairwise(packets)} <= {PACKET_NS, PACKET_NS + 1}


def test_switched_on_again_it_is_heard_at_its_own_time() -> None:
    library = StandInSound(
        [
            Card(
                ppm=200,
                hears=lambda at_s: np.where(
                    (at_s > START_NS / SECOND + 5.2) & (at_s < START_NS / SECOND + 8), 0.0, ticks(at_s)
                ),
            )
        ]
    )
    packets, _ = placed(heard(opened(library), 15))
    sounds, track = in_a_clip(packets, START_NS)
    assert len(track.gaps_ns) == 1
    wave = waves(sounds)
    offsets = tick_offsets_s(wave, START_NS / SECOND + sounds[0].at / SOUND_RATE)
    assert len(offsets) >= 11
    assert max(map(abs, offsets)) < OFFSET_S / 4


@pytest.mark.parametrize("way", ["is_silent", "is_gone"])
def test_one_that_vanishes_is_lost_at_once_and_found_again_under_another_number(way: str) -> None:
    first, in_use = Card(), threading.Lock()
    library = StandInSound([first])
    microphone = opened(library, in_use=in_use)
    heard(microphone, 1)
    setattr(first, way, True)
    library.cards = [Card(name="Webcam: Audio (hw:0,0)"), Card(name="HDMI: 0 (hw:2,0)", channels=())]
    lost_ns = library.clock.now_ns
    with pytest.raises(SourceLost, match=r"cable|Unanticipated"):
        heard(microphone, 10)
    assert library.clock.now_ns - lost_ns < 3 * SECOND
    microphone.close()
    with pytest.raises(SourceLost, match="is not there"):
        opened(library, in_use=in_use)
    library.cards.append(Card(name="USB Mic: Audio (hw:3,0)"))
    again = opened(library, in_use=in_use)
    assert placed(heard(again, 1))[0]
    again.close()
    assert library.opened == library.closed == 2
    assert not in_use.locked()


def test_a_library_that_a_lost_reader_still_hangs_in_is_not_stopped_under_it() -> None:
    in_use, library = threading.Lock(), StandInSound([Card()])
    held = opened(library, in_use=in_use)
    with pytest.raises(SourceLost, match="restart"):
        opened(library, in_use=in_use)
    assert library._initialized == 1
    heard(held, 1)
    held.close()
    held.close()
    assert library._initialized == 0
    with pytest.raises(SourceLost, match="closed"):
        held.read()


def test_a_buffer_that_ran_over_is_a_gap_and_the_sound_after_it_is_on_time() -> None:
    library = StandInSound([Card()])
    microphone = opened(library)
    packets = heard(microphone, 3.5)
    library.clock.sleep(1.4)  # the process stood still
    found, timeline = placed([*packets, *heard(microphone, 5)])
    assert timeline.jumps == 0
    sounds, track = in_a_clip(found, START_NS)
    assert [length > SECOND for _, length in track.gaps_ns].count(True) == 1
    wave = waves(sounds)
    offsets = tick_offsets_s(wave, START_NS / SECOND + sounds[0].at / SOUND_RATE)
    assert len(offsets) >= 7
    assert max(map(abs, offsets)) < OFFSET_S / 4


# --- names, rates and channels


@pytest.mark.parametrize(
    "card",
    [
        Card(rates=(44_100,), channels=(2,), ppm=150),
        Card(rates=(16_000,), channels=(1, 2)),
        Card(rates=(96_000,), channels=(2,)),
        Card(rates=(8_000, 22_050)),
    ],
    ids=["44100 stereo", "16000", "96000", "8000"],
)
def test_whatever_rate_and_channels_it_has_its_sound_is_on_time(card: Card) -> None:
    packets, timeline = placed(heard(opened(StandInSound([card])), 20))
    assert timeline.rejected == 0
    assert {packet.format for packet in packets} == {SOUND}
    assert {packet.track for packet in packets} == {Track.SOUND}
    sounds, track = in_a_clip(packets, START_NS)
    assert (track.dropped, track.gaps_ns) == (0, [])
    wave = waves(sounds[1:])
    offsets = tick_offsets_s(wave, START_NS / SECOND + sounds[1].at / SOUND_RATE)
    assert len(offsets) >= 18
    assert max(map(abs, offsets)) < OFFSET_S / 4


def test_one_that_takes_no_usual_form_is_told_in_one_line() -> None:
    library = StandInSound([Card(channels=(6,))])
    with pytest.raises(SourceLost, match="Invalid") as refused:
        opened(library)
    assert "\n" not in str(refused.value)
    assert library._initialized == 0


def named(*names: str, inputs: int = 1) -> list[dict[str, object]]:
    return [{"name": name, "index": index, "max_input_channels": inputs} for index, name in enumerate(names)]


def test_a_card_is_found_by_its_name_whatever_its_number() -> None:
    devices = named("HDA: ALC (hw:0,0)", "USB Mic: Audio (hw:2,0)", "USB Mic: Audio #1 (hw:2,1)", "room", "default")
    for source, index in (("alsa:USB Mic", 1), ("alsa:room", 3), ("alsa:HDA", 0), ("alsa:USB Mic: Audio (hw:2,0)", 1)):
        found = find(devices, source)
        assert found is not None
        assert found["index"] == index
    for source in ("alsa:USB", "alsa:Audio", "alsa:usb mic", "alsa:"):
        assert find(devices, source) is None
    assert find(named("USB Mic: Audio (hw:2,0)", inputs=0), MIC) is None, "a loudspeaker"


def test_of_two_cards_with_one_name_none_is_guessed() -> None:
    with pytest.raises(SourceLost, match="2 cards have this name; unplug all but one"):
        find(named("USB Mic: Audio (hw:1,0)", "USB Mic: Audio (hw:2,0)"), MIC)


def test_the_usual_microphone_is_the_one_that_the_system_names() -> None:
    assert placed(heard(opened(StandInSound([Card(name="default")]), "default"), 1))[0]
    with pytest.raises(SourceLost, match="cannot be opened"):
        opened(StandInSound([]), "default")


# --- the real PortAudio, on an ALSA file


def real(folder: Path, source: str) -> tuple[list[RawPacket], str]:
    """Ten seconds of the real library in a process of its own, on PCMs of our own making."""
    tone = np.sin(2 * np.pi * 440 * np.arange(12 * SOUND_RATE) / SOUND_RATE) * 8000
    (folder / "tone.raw").write_bytes(tone.astype("<i2").tobytes())
    file = f'type file slave {{ pcm {{ type null }} }} file "/dev/null" infile "{folder}/tone.raw" format "raw"'
    zeros = 'type file slave { pcm { type null } } file "/dev/null" infile "/dev/zero" format "raw"'
    # PortAudio ends the process when there is no `default`; the distribution's alsa.conf always has one.
    config = folder / "asound.conf"
    config.write_text(f"pcm.tone {{ {file} }}\npcm.zeros {{ {zeros} }}\npcm.!default {{ {file} }}\n")
    command = [sys.executable, "-c", _CHILD, source]
    environment = {**os.environ, "ALSA_CONFIG_PATH": str(config)}
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    packets, error = pickle.loads(done.stdout)
    return packets, error


_CHILD = """\
import pickle, sys
from tests.recorder.test_microphone import from_the_real_library
sys.stdout.buffer.write(pickle.dumps(from_the_real_library(sys.argv[1])))
"""


def from_the_real_library(source: str) -> tuple[list[RawPacket], str]:
    clock, packets = SimClock(), []
    in_use = threading.Lock()
    try:
        for _ in range(2):  # closed and opened again: PortAudio is stopped and started
            microphone = Microphone(source, clock=clock, in_use=in_use, library=Paced(clock))
            try:
                packets = heard(microphone, 5)
            finally:
                microphone.close()
    except SourceLost as err:
        return packets, str(err)
    return packets, ""


@pytest.mark.parametrize("source", ["alsa:tone", "default"])
def test_the_real_library_gives_the_tone_that_the_room_hears(tmp_path: Path, source: str) -> None:
    packets, error = real(tmp_path, source)
    assert error == ""
    found, timeline = placed(packets)
    assert (timeline.jumps, timeline.rejected) == (0, 0)
    wave = waves(in_a_clip(found, found[0].pts_ns)[0])
    strength = np.abs(np.fft.rfft(wave[SOUND_RATE : 4 * SOUND_RATE]))
    assert np.argmax(strength) / 3 == pytest.approx(440, abs=1)
    assert strength.max() ** 2 > 0.9 * np.sum(strength**2), "nothing but the tone"


def test_the_real_library_is_muted_too(tmp_path: Path) -> None:
    packets, error = real(tmp_path, "alsa:zeros")
    assert "is muted" in error
    assert packets == []


def test_the_real_library_does_not_know_the_name(tmp_path: Path) -> None:
    assert "is not there" in real(tmp_path, "alsa:nobody")[1]


def test_no_callback_is_ever_asked_for() -> None:
    """A cffi callback needs memory that is writable and executable."""
    assert "callback=" not in Path(module.__file__).read_text("utf-8")
