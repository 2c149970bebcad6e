"""What a clip and a ledger prove, read with the stock tools and never through the product's own reader of them."""

from __future__ import annotations

import hashlib
import itertools
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import av
import numpy as np

from edge.clock import MILLISECOND, SECOND
from tests.fixtures.room import read_frames

ROOM: Final = Path(__file__).parents[1] / "fixtures" / "room.mp4"
ROUND: Final = 400  # frames of ROOM: after the last the first comes again
FRAME_NS: Final = 40 * MILLISECOND


def segments(folder: Path) -> list[Path]:
    """The sealed segments of a clip, in their order."""
    return sorted(folder.glob("[0-9]*.age"))


def opened(folder: Path, key: Path, *, upto: int | None = None) -> bytes:
    """The segments opened with `age` and put together. Each must open by itself."""
    plain = []
    for segment in segments(folder)[:upto]:
        done = subprocess.run(["age", "-d", "-i", str(key), str(segment)], capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, b""), f"{segment}: {done.stderr.decode()}"
        plain.append(done.stdout)
    assert plain, f"{folder} holds no segment"
    return b"".join(plain)


def opened_file(folder: Path, key: Path, to: Path) -> Path:
    """The opened clip as a file in the folder `to`."""
    path = to / f"{folder.name}.mp4"
    path.write_bytes(opened(folder, key))
    return path


def streams(path: Path) -> dict[str, str]:
    """What `ffprobe` sees: kind of track and its codec."""
    command = ["ffprobe", "-v", "error", "-show_entries", "stream=codec_type,codec_name", "-of", "json", str(path)]
    done = subprocess.run(command, capture_output=True, check=True)
    assert done.stderr == b"", done.stderr.decode()
    return {stream["codec_type"]: stream["codec_name"] for stream in json.loads(done.stdout)["streams"]}


def decoding_errors(path: Path, *, is_steady: bool = True) -> str:
    """What ffmpeg says while it plays every picture and sample; nothing, when all is well.

    `is_steady`: else pictures may come at any distance, which only ffmpeg's null output, with its ticks as long as
    a picture, would take for two at the same time.
    """
    ticks = [] if is_steady else ["-enc_time_base:v", "1:90000"]
    command = ["ffmpeg", "-v", "error", "-xerror", "-nostdin", "-i", str(path), *ticks, "-f", "null", "-"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return done.stderr or (f"exit {done.returncode}" if done.returncode else "")


def dominant_hz(path: Path) -> float:
    """What is loudest in the clip's sound."""
    with av.open(str(path)) as clip:
        rate = clip.streams.audio[0].rate
        heard = np.concatenate([frame.to_ndarray()[0] for frame in clip.decode(audio=0)])
    assert np.abs(heard).max() > 0.05
    return float(np.argmax(np.abs(np.fft.rfft(heard)))) * rate / len(heard)


def numbers(path: Path) -> list[int]:
    """The numbers that the clip's frames carry."""
    return [frame.number for frame in read_frames(path)]


def breaks(found: Sequence[int]) -> list[tuple[int, int]]:
    """Where a frame is missing, doubled or out of its order: each pair of neighbours that does not follow."""
    return [(one, two) for one, two in itertools.pairwise(found) if two != (one + 1) % ROUND]


def unrolled(number: int, *, near_ns: int, zero_ns: int) -> int:
    """How many frames after frame 0, played at `zero_ns`, the frame `number` that was played nearest to an instant came."""
    rounds = round(((near_ns - zero_ns) / FRAME_NS - number) / ROUND)
    return number + ROUND * rounds


def record(folder: Path, name: str) -> dict[str, Any]:
    """A JSON record of a clip, whose signature `openssl` has checked against the device's public key."""
    public = folder.parents[1] / "device.pub.pem"
    verify = ["openssl", "pkeyutl", "-verify", "-pubin", "-rawin", "-inkey", str(public)]
    files = ["-in", str(folder / name), "-sigfile", str(folder / f"{name}.sig")]
    done = subprocess.run([*verify, *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{folder / name}: {done.stdout}{done.stderr}"
    return dict(json.loads((folder / name).read_bytes()))


def ledger(store: Path) -> list[dict[str, Any]]:
    """The ledger's entries, each chained to the exact bytes of the one before.

    Whole lines only: a living vault may be in the midst of the next one.
    """
    entries: list[dict[str, Any]] = []
    previous = "0" * 64
    path = store / "ledger.jsonl"
    whole = path.read_bytes().rpartition(b"\n")[0] if path.exists() else b""
    for number, line in enumerate(whole.splitlines(), 1):
        entry = json.loads(line)
        assert (entry["seq"], entry["prev"]) == (number, previous), f"line {number} is not chained"
        previous = hashlib.sha256(line).hexdigest()
        entries.append(entry)
    return entries


def told(store: Path, action: str, obj: str) -> list[str]:
    """What the ledger says of one thing: the results of the entries of this kind, in their order."""
    return [entry["result"] for entry in ledger(store) if (entry["action"], entry["object"]) == (action, obj)]


def folders(store: Path) -> list[Path]:
    """The clips in a store, oldest first; those of one second in any order."""
    return sorted(path for path in (store / "clips").glob("*") if path.is_dir())


def seconds(ns: float) -> float:
    return ns / SECOND
