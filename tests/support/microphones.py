"""Microphones for tests: a stand-in with the interface of `sounddevice`, and the real library on an ALSA file, paced.

Every call to the stand-in is held against the real library's signature, so that it cannot drift away from it.
"""

from __future__ import annotations

import ctypes
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import numpy as np
import sounddevice
from numpy.typing import NDArray

from edge.clock import SECOND
from tests.recorder.streams import SimClock

Sound: TypeAlias = NDArray[np.float64]
TICK_S: Final = 0.005  # of a tone, at each whole second of BOOTTIME
_BUFFER_S: Final = 0.24  # as ALSA gives when 0.2 s is asked for


def ticks(at_s: Sound) -> Sound:
    """What is heard at these moments: faint noise as of a room, and a tick each second."""
    noise = np.sin(at_s * 7919.0) * 0.002
    return noise + np.where(at_s % 1.0 < TICK_S, 0.8 * np.sin(2 * np.pi * 2000 * at_s), 0.0)


def silence(at_s: Sound) -> Sound:
    """As of a microphone that is muted: zeros."""
    return np.zeros_like(at_s)


@dataclass
class Card:
    """A sound card. `ppm`: how much faster than ours its clock runs; `period_s`: its driver counts in steps of this."""

    name: str = "USB Mic: Audio (hw:1,0)"
    rates: tuple[int, ...] = (48_000,)
    channels: tuple[int, ...] = (1,)
    ppm: float = 0.0
    period_s: float = 0.004
    hears: Callable[[Sound], Sound] = ticks
    is_silent: bool = False  # it vanished, and the library does not notice
    is_gone: bool = False  # it vanished, and the library says so

    def describe(self, index: int) -> dict[str, Any]:
        """As `query_devices` does."""
        return {
            "name": self.name,
            "index": index,
            "hostapi": 0,
            "max_input_channels": max(self.channels, default=0),
            "max_output_channels": 0,
            "default_samplerate": float(self.rates[0]),
        }


@dataclass
class StandInSound:
    """`sounddevice`, with the cards that are plugged in now. Like PortAudio it looks only when it is initialised."""

    cards: list[Card]
    clock: SimClock = field(default_factory=SimClock)
    jitter_s: float = 0.003  # the reader looks that much too late, at random
    _initialized: int = 1
    opened: int = 0
    closed: int = 0

    PortAudioError = sounddevice.PortAudioError

    def __post_init__(self) -> None:
        self._known = list(self.cards)
        self.random = np.random.default_rng(11)

    def _initialize(self) -> None:
        self._initialized += 1
        self._known = list(self.cards)

    def _terminate(self) -> None:
        assert self._initialized
        assert self.opened == self.closed, "stopped with a stream open: its memory is gone"
        self._initialized -= 1

    def query_devices(self, *args: Any, **named: Any) -> Any:
        inspect.signature(sounddevice.query_devices).bind(*args, **named)
        assert self._initialized
        devices = [card.describe(index) for index, card in enumerate(self._known)]
        if named.get("kind") != "input":
            return devices
        if not devices:
            raise self.PortAudioError("Error querying device -1")
        return devices[0]

    def check_input_settings(self, **named: Any) -> None:
        inspect.signature(sounddevice.check_input_settings).bind(**named)
        card = self._known[named["device"]]
        if card.is_gone or card not in self.cards:
            raise self.PortAudioError("Device unavailable", -9985)
        if named["channels"] not in card.channels:
            raise self.PortAudioError("Invalid number of channels", -9998)
        if named["samplerate"] not in card.rates:
            raise self.PortAudioError("Invalid sample rate", -9997)

    def RawInputStream(self, **named: Any) -> StandInStream:  # noqa: N802 - as sounddevice spells it
        inspect.signature(sounddevice.RawInputStream).bind(**named)
        self.check_input_settings(**{key: named[key] for key in ("device", "channels", "dtype", "samplerate")})
        assert named["dtype"] == "int16"
        assert "callback" not in named, "cffi callbacks need memory that is writable and executable"
        self.opened += 1
        return StandInStream(self, self._known[named["device"]], named["samplerate"], named["channels"])


class StandInStream:
    """`sounddevice.RawInputStream`, blocking."""

    def __init__(self, library: StandInSound, card: Card, rate: int, channels: int) -> None:
        self._library = library
        self._card = card
        self._rate = rate
        self._channels = channels
        self._start_ns: int | None = None
        self._done = 0
        self._is_torn = False
        self._is_open = True
        # As PortAudio lays it out: a mark, the next stream, and the table of functions that begins with Close.
        self._close = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(self._closed)
        self._functions = (ctypes.c_void_p * 1)(ctypes.cast(self._close, ctypes.c_void_p))
        self._memory = (ctypes.c_ulong * 3)(0x18273645, 0, ctypes.addressof(self._functions))
        self._ptr = ctypes.addressof(self._memory)

    @property
    def true_rate(self) -> float:
        return self._rate * (1 + self._card.ppm / 1e6)

    def start(self) -> None:
        self._start_ns = self._library.clock.boot_ns()

    @property
    def read_available(self) -> int:
        assert self._is_open, "read after close"
        assert self._start_ns is not None
        if self._card.is_gone:
            raise sounddevice.PortAudioError("Unanticipated host error", -9999)
        if self._card.is_silent:
            return 0
        heard_s = (self._library.clock.boot_ns() - self._start_ns) / SECOND
        heard_s -= heard_s % self._card.period_s if self._card.period_s else 0
        heard = int(heard_s * self.true_rate)
        if (
            heard - self._done > _BUFFER_S * self._rate
        ):  # ALSA ran over: PortAudio starts it anew, and says so at the next read
            self._done, self._is_torn = heard, True
        available = heard - self._done
        # What is looked at is told a moment later: the process had to wait for a processor.
        self._library.clock.sleep(self._library.random.uniform(0, self._library.jitter_s))
        return available

    def read(self, frames: int) -> tuple[bytes, bool]:
        assert self._is_open
        assert self._start_ns is not None
        is_torn, self._is_torn = self._is_torn, False
        numbers = np.arange(self._done, self._done + frames)
        self._done += frames
        heard_sound = self._card.hears(self._start_ns / SECOND + numbers / self.true_rate)
        samples = np.round(heard_sound * 32767).astype("<i2")
        return np.repeat(samples, self._channels).tobytes(), is_torn

    def close(self, ignore_errors: bool = True) -> None:
        """Like PortAudio it stops first, and does not close what it cannot stop."""
        if self._card.is_gone or self._card.is_silent:
            if not ignore_errors:
                raise sounddevice.PortAudioError("Error closing stream", -9999)
            return
        self._closed(self._ptr)

    def _closed(self, address: int) -> int:
        assert address == self._ptr
        assert self._is_open, "closed twice"
        self._is_open = False
        self._library.closed += 1
        return 0


class Paced:
    """The real library, but a stream's samples come in simulated time: ALSA's `null` and `file` know none."""

    def __init__(self, clock: SimClock) -> None:
        self._clock = clock

    def __getattr__(self, name: str) -> Any:
        return getattr(sounddevice, name)

    def RawInputStream(self, **named: Any) -> PacedStream:  # noqa: N802
        return PacedStream(sounddevice.RawInputStream(**named), named["samplerate"], self._clock)


class PacedStream:
    def __init__(self, stream: Any, rate: int, clock: SimClock) -> None:
        self._stream, self._rate, self._clock = stream, rate, clock
        self._start_ns, self._done = clock.boot_ns(), 0
        self._ptr = stream._ptr

    def start(self) -> None:
        self._stream.start()

    @property
    def read_available(self) -> int:
        due = (self._clock.boot_ns() - self._start_ns) * self._rate // SECOND - self._done
        return min(due, int(self._stream.read_available))

    def read(self, frames: int) -> tuple[Any, bool]:
        self._done += frames
        data, is_torn = self._stream.read(frames)
        return data, bool(is_torn)

    def close(self, ignore_errors: bool = True) -> None:
        self._stream.close(ignore_errors)
