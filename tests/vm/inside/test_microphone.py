"""The real sound library on a simulated sound card: its own clock, and a plug that can be pulled."""

from __future__ import annotations

import os
import subprocess
import threading
import time
import wave as wav
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from edge.clock import SECOND, SystemClock
from edge.errors import SourceLost
from edge.packet import SOUND_RATE, Packet, RawPacket
from edge.recorder.capture.microphone import Microphone
from edge.recorder.capture.timestamps import Timeline
from tests.recorder.test_microphone import in_a_clip, waves

CLOCK = SystemClock()
CARD = "alsa:Loopback"
DRIVER = Path("/sys/bus/platform/drivers/snd_aloop")
TONE_HZ = 440
PATIENCE_S = 60.0  # for a machine under load


@pytest.fixture(autouse=True)
def _card() -> Iterator[None]:
    plug(0)
    yield
    plug(0)


def plug(index: int) -> None:
    """The card under this number, anew."""
    subprocess.run(["modprobe", "--remove", "snd-aloop"], check=True)
    subprocess.run(["modprobe", "snd-aloop", f"index={index}"], check=True)
    subprocess.run(["udevadm", "settle"], check=True)


@contextmanager
def played(folder: Path) -> Iterator[None]:
    """A tone at the other end of the card, until the end or until the card is gone."""
    tone = (np.sin(2 * np.pi * TONE_HZ * np.arange(120 * SOUND_RATE) / SOUND_RATE) * 8000).astype("<i2")
    with wav.open(str(folder / "tone.wav"), "wb") as file:
        file.setparams((1, 2, SOUND_RATE, 0, "NONE", ""))
        file.writeframes(tone.tobytes())
    command = ["aplay", "--quiet", "-D", "plughw:Loopback,1", str(folder / "tone.wav")]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as player:
        try:
            yield
        finally:
            player.kill()


def open_cards() -> list[str]:
    """The sound devices that this process holds."""
    return [target for file in Path("/proc/self/fd").iterdir() if "/snd/" in (target := os.path.realpath(file))]


def opened() -> Microphone:
    return Microphone(CARD, clock=CLOCK, in_use=threading.Lock())


def heard(microphone: Microphone, seconds: float) -> list[RawPacket]:
    """So much of good sound; what is muted before the tone is passed over."""
    packets: list[RawPacket] = []
    while sum(bool(packet.data) for packet in packets) < seconds * SOUND_RATE / 1024:
        packets.append(microphone.read())
    return [packet for packet in packets if packet.data]


def placed(packets: list[RawPacket]) -> tuple[list[Packet], Timeline]:
    timeline = Timeline(1)
    return [found for packet in packets if (found := timeline.place(packet)) is not None], timeline


def dominant_hz(packets: list[RawPacket]) -> float:
    """What is loudest in the second half of it, as a player has it."""
    found, _ = placed(packets)
    wave = waves(in_a_clip(found, found[0].pts_ns)[0])
    part = wave[len(wave) // 2 :]
    return float(np.argmax(np.abs(np.fft.rfft(part)))) * SOUND_RATE / len(part)


def within(patience_s: float, attempt: Callable[[], Microphone]) -> Microphone:
    """Open again and again, as the supervisor does."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return attempt()
        except SourceLost:
            assert time.monotonic() < deadline
            time.sleep(0.2)


def test_a_tone_that_is_played_is_heard_without_gaps(tmp_path: Path) -> None:
    microphone = opened()
    try:
        with played(tmp_path):
            packets = heard(microphone, 4)
    finally:
        microphone.close()
    found, timeline = placed(packets)
    assert (timeline.jumps, timeline.rejected) == (0, 0)
    assert in_a_clip(found, found[0].pts_ns)[1].gaps_ns == []
    assert dominant_hz(packets) == pytest.approx(TONE_HZ, abs=2)
    assert abs(packets[-1].arrival_ns - CLOCK.boot_ns()) < 10 * SECOND


def test_unplugged_it_is_lost_in_one_line_and_back_under_another_number_heard_again(tmp_path: Path) -> None:
    microphone = opened()
    with played(tmp_path):
        heard(microphone, 1)
        gone_ns = CLOCK.boot_ns()
        # The kernel waits in there until everybody has let the card go; a thread would keep this process from ending.
        unplugging = subprocess.Popen(["tee", DRIVER / "unbind"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        assert unplugging.stdin is not None
        unplugging.stdin.write(b"snd_aloop.0")
        unplugging.stdin.close()
        with pytest.raises(SourceLost) as lost:
            heard(microphone, PATIENCE_S)
        assert CLOCK.boot_ns() - gone_ns < 10 * SECOND
    microphone.close()
    assert open_cards() == [], "the card is let go"
    assert unplugging.wait(PATIENCE_S) == 0
    assert str(lost.value).startswith("microphone Loopback: ")
    assert "\n" not in str(lost.value)
    with pytest.raises(SourceLost, match="is not there"):
        opened()
    plug(3)
    again = within(PATIENCE_S, opened)
    try:
        with played(tmp_path):
            assert dominant_hz(heard(again, 4)) == pytest.approx(TONE_HZ, abs=2)
    finally:
        again.close()


@pytest.mark.parametrize("ppm", [-200, 200])
def test_a_card_whose_clock_runs_fast_or_slow_is_measured_and_evened_out(tmp_path: Path, ppm: int) -> None:
    """The card's own control: 100,000 is right, and more is slower."""
    control = "iface=PCM,name=PCM Rate Shift 100000"
    subprocess.run(["amixer", "-c", "Loopback", "cset", control, str(100_000 - ppm // 10)], check=True, stdout=-3)
    microphone = opened()
    try:
        with played(tmp_path):
            packets = heard(microphone, 30)
            drift_ppm = microphone.drift_ppm
    finally:
        microphone.close()
    found, timeline = placed(packets)
    assert (timeline.jumps, timeline.rejected) == (0, 0)
    assert in_a_clip(found, found[0].pts_ns)[1].gaps_ns == []
    print(f"{ppm} ppm set, {drift_ppm:.0f} ppm measured")
    assert drift_ppm == pytest.approx(ppm, abs=100)
