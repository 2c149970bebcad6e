"""A microphone: 20 ms blocks through PortAudio, laid on BOOTTIME and encoded. Only this file imports sounddevice.

Importing it already looks through the machine's sound devices, so even that is done only when the microphone may be
opened. No callbacks: cffi makes them in memory that is both writable and executable, which the unit forbids. Nor does
a read wait: on a device that has vanished it may wait for ever. One thread reads; `close` may come from any.
"""

from __future__ import annotations

import ctypes
import re
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import av
import numpy as np
import sounddevice

from edge.clock import MILLISECOND, SECOND
from edge.errors import SourceLost
from edge.packet import SOUND, SOUND_FRAME, SOUND_RATE, RawPacket, Track
from edge.ports import Clock
from edge.recorder.capture.drift import Evener, PhaseLock
from edge.recorder.capture.encode import AacEncoder, Encoded

_NANOSECOND: Final = (1, SECOND)
# Tried in this order; the first is the ring's own form, the last what the cheapest headsets give.
_RATES: Final = (48_000, 44_100, 32_000, 16_000)  # samples a second
_CHANNELS: Final = (1, 2)
_BLOCKS_A_SECOND: Final = 50
_LATENCY_S: Final = 0.2  # asked of PortAudio; with its own default an ALSA loopback lost 60 % of the samples
_POLL_NS: Final = 10 * MILLISECOND
_PATIENCE_NS: Final = 2 * SECOND  # for one block
# No real microphone gives nothing but zeros, unless it is muted or cuts off what is faint; that for so long is a fault.
_MUTED_NS: Final = 2 * SECOND
_TOLD_NS: Final = 3 * SECOND
_STREAM_MAGIC: Final = 0x18273645  # PA_STREAM_MAGIC: what a stream of PortAudio begins with until it is closed


class _Stream(ctypes.Structure):
    """How a stream of PortAudio begins: PaUtilStreamRepresentation of its pa_stream.h. `functions`: Close is the first."""

    _fields_ = (("magic", ctypes.c_ulong), ("next", ctypes.c_void_p), ("functions", ctypes.POINTER(ctypes.c_void_p)))


_Close: Final = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)


class Microphone:
    """Reads one device. Raises SourceLost when it is not there or cannot be opened.

    `source` is `default` or `alsa:NAME`. `in_use` is shared by all openings: PortAudio is stopped with each closing, so
    that it looks for devices anew with each opening, and that would pull the memory from under a thread still in it.
    What is muted comes out of `read` as a packet without bytes, which `timestamps` counts and rejects.
    """

    def __init__(self, source: str, *, clock: Clock, in_use: threading.Lock, library: Any = sounddevice) -> None:
        self.name = "microphone" if source == "default" else f"microphone {source.removeprefix('alsa:')}"
        self._library = library
        self._clock = clock
        self._in_use = in_use
        self._closed = threading.Event()
        self._reading = threading.Lock()
        self._stream: Any = None
        if not in_use.acquire(blocking=False):
            raise SourceLost(f"{self.name}: the sound library hangs in it; restart spreekkamer record")
        try:
            self._open(source)
        except BaseException:
            self.close()
            raise
        self._lock = PhaseLock(self._rate)
        self._evener = Evener()
        self._resampler = av.AudioResampler(format="fltp", layout="mono", rate=SOUND_RATE)
        self._encoder = AacEncoder()
        self._zero_ns: int | None = None  # of the samples counted at 48 kHz
        self._opened_ns = clock.boot_ns()
        self._heard_ns: int | None = None  # when something but zeros came last
        self._made: deque[RawPacket] = deque()  # bounded by what one block completes

    @property
    def drift_ppm(self) -> float:
        """How much faster its clock runs than this machine's, as measured since it was opened."""
        return self._lock.drift_ppm

    def _open(self, source: str) -> None:
        library = self._library
        try:
            if not library._initialized:
                library._initialize()
            is_usual = source == "default"
            device = library.query_devices(kind="input") if is_usual else find(library.query_devices(), source)
            if device is None:
                raise SourceLost(f"{self.name}: is not there; plug it in, or take a name that `arecord -l` gives")
            self._rate, self._channels = self._negotiate(device)
            self._block = self._rate // _BLOCKS_A_SECOND
            self._stream = library.RawInputStream(
                samplerate=self._rate,
                blocksize=self._block,
                device=device["index"],
                channels=self._channels,
                dtype="int16",
                latency=_LATENCY_S,
            )
            self._stream.start()
        except (library.PortAudioError, ValueError) as err:  # ValueError: it vanished between two questions
            raise SourceLost(f"{self.name}: cannot be opened: {_words(err)}") from err

    def _negotiate(self, device: Mapping[str, Any]) -> tuple[int, int]:
        refusal: Exception | None = None
        for rate in (*_RATES, int(device["default_samplerate"])):
            for channels in _CHANNELS:
                try:
                    self._library.check_input_settings(
                        device=device["index"], channels=channels, dtype="int16", samplerate=rate
                    )
                except self._library.PortAudioError as err:
                    refusal = err
                else:
                    return rate, channels
        raise SourceLost(f"{self.name}: takes no usual rate, or another program uses it: {_words(refusal)}")

    def read(self) -> RawPacket:
        """The next packet. Raises SourceLost when nothing comes in time, when it stays muted, or after `close`."""
        with self._reading:
            while not self._made:
                self._made.extend(self._hear())
            return self._made.popleft()

    def close(self) -> None:
        """Let the device go; a read in another thread ends first, and its thread then comes here itself. Idempotent."""
        self._closed.set()
        if not self._reading.acquire(blocking=False):
            return
        try:
            if self._library is not None:
                library, self._library = self._library, None
                _let_go(library, self._stream)
                self._in_use.release()
        finally:
            self._reading.release()

    def _hear(self) -> Iterator[RawPacket]:
        seen_ns = self._wait()
        try:
            data, is_torn = self._stream.read(self._block)
        except self._library.PortAudioError as err:
            raise SourceLost(f"{self.name}: {_words(err)}") from err
        raw, now_ns = bytes(data), self._clock.boot_ns()
        span = self._lock.place(self._block, seen_ns, is_torn=is_torn)
        if self._is_muted(raw, now_ns):
            yield self._packet(b"", None, now_ns)
            return
        if self._zero_ns is None:
            self._zero_ns = round(span.start_ns)
        start, end = (self._ticks(moment_ns) for moment_ns in (span.start_ns, span.end_ns))
        for frame in self._resampler.resample(self._frame(raw)):
            at, evened = self._evener.put(frame.to_ndarray()[0], start=start, end=end)
            for made in self._encoder.put(evened, at):
                yield self._sound(made, now_ns)

    def _wait(self) -> int:
        """Wait for a block; when its first sample was heard, or a little later. BOOTTIME."""
        give_up_ns = self._clock.boot_ns() + _PATIENCE_NS
        while not self._closed.is_set():
            try:
                available = self._stream.read_available
            except self._library.PortAudioError as err:
                raise SourceLost(f"{self.name}: {_words(err)}") from err
            now_ns = self._clock.boot_ns()
            if available >= self._block:
                return now_ns - int(available) * SECOND // self._rate
            if now_ns >= give_up_ns:
                raise SourceLost(f"{self.name}: gives nothing; check its cable")
            self._clock.sleep_until(now_ns + _POLL_NS, self._closed)
        raise SourceLost(f"{self.name}: closed")

    def _is_muted(self, raw: bytes, now_ns: int) -> bool:
        if raw.strip(b"\0"):
            self._heard_ns = now_ns
            return False
        since_ns = self._opened_ns if self._heard_ns is None else self._heard_ns
        if now_ns - since_ns >= _TOLD_NS:
            raise SourceLost(f"{self.name}: is muted, nothing but zeros come; switch it on")
        # Until it was heard once it counts as muted: else one that stays muted were good again each time it is opened.
        return self._heard_ns is None or now_ns - since_ns >= _MUTED_NS

    def _frame(self, raw: bytes) -> av.AudioFrame:
        samples = np.frombuffer(raw, np.int16).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono" if self._channels == 1 else "stereo")
        frame.sample_rate = self._rate
        return frame

    def _ticks(self, moment_ns: float) -> float:
        return (moment_ns - (self._zero_ns or 0)) * SOUND_RATE / SECOND

    def _sound(self, made: Encoded, now_ns: int) -> RawPacket:
        assert self._zero_ns is not None  # noqa: S101 - for the type checker; nothing is encoded before it is set
        return self._packet(made.data, self._zero_ns + made.at * SECOND // SOUND_RATE, now_ns)

    def _packet(self, data: bytes, heard_ns: int | None, now_ns: int) -> RawPacket:
        return RawPacket(
            track=Track.SOUND,
            format=SOUND,
            data=data,
            pts=heard_ns,
            dts=None,
            duration=SOUND_FRAME * SECOND // SOUND_RATE,
            tick=_NANOSECOND,
            is_key=True,
            # Its moment is on BOOTTIME already: dated by it, `timestamps` has nothing to lead back.
            arrival_ns=now_ns if heard_ns is None else heard_ns,
        )


def _let_go(library: Any, stream: Any) -> None:
    """Close the stream, and stop the library so that it looks for devices anew when it is started."""
    if stream is not None:
        address = int(sounddevice._ffi.cast("uintptr_t", stream._ptr))
        try:
            stream.close(ignore_errors=False)
        except library.PortAudioError:
            _close_anyway(_Stream.from_address(address))
    try:
        if library._initialized:
            library._terminate()
    except library.PortAudioError:
        library._initialized = 0  # it says that it was not running: then the next opening must start it


def _close_anyway(stream: _Stream) -> None:
    """Close a stream that PortAudio has refused to close.

    It first stops a stream, which fails for a device that is gone, and then returns without closing it ("shouldn't we close
    anyway?", pa_front.c): each unplugging would leave the device open in here and in the kernel, until the process ends.
    """
    if stream.magic == _STREAM_MAGIC:
        _Close(stream.functions[0])(ctypes.addressof(stream))


def find(devices: Sequence[Mapping[str, Any]], source: str) -> Mapping[str, Any] | None:
    """The input device that `alsa:NAME` names: a card as `arecord -l` has it in brackets, or a PCM of asound.conf.

    PortAudio writes a card's device as `CARD: DEVICE (hw:1,0)`; the number changes with each plugging, the name stays.
    None when there is none. Raises SourceLost when two cards have this name.
    """
    wanted = source.removeprefix("alsa:")
    named = [
        device
        for device in devices
        if device["max_input_channels"] > 0
        and (device["name"] == wanted or re.sub(r" \(hw:\d+,\d+\)$", "", device["name"]).split(": ")[0] == wanted)
    ]
    cards = {card.group(1) for device in named if (card := re.search(r"\(hw:(\d+),\d+\)$", device["name"]))}
    if len(cards) > 1:
        raise SourceLost(f"microphone {wanted}: {len(cards)} cards have this name; unplug all but one")
    return named[0] if named else None


def _words(err: Exception | None) -> str:
    """What PortAudio says, in one line: its text is the first argument, numbers follow."""
    return str(err.args[0]).replace("\n", " ") if err is not None and err.args else "no reason given"
