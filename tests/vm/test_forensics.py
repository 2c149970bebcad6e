"""Nothing of a room reaches its disk: known pictures and a known sound, listened to, recorded and deleted, then searched for.

The camera gives JPEG pictures of noise, which the recorder holds as they are, and the microphone a tone with noise in it; both
are known outside to the byte. All that the machine ever wrote to its disks is kept in the order of its writing, so that what was
overwritten, deleted or discarded counts as well, and the disks are searched besides. What is found when a program does write a
picture shows that the search can find.
"""

from __future__ import annotations

import io
import subprocess
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import av
import cv2
import numpy as np
import pytest

from edge.clock import SECOND
from tests.support import evidence
from tests.support.processes import CLOCK, IS_LONG
from tests.vm.image import Image
from tests.vm.machine import IS_FAST, Hardware, new_machine
from tests.vm.room import LOOPBACK, Room, clip_of
from tests.vm.traces import Media

pytestmark = pytest.mark.vm

LISTENING_S: Final = 600 if IS_LONG else 60
RETENTION_S: Final = 180 if IS_FAST else 420  # long enough to bring the clip out before
WIDTH, HEIGHT, FPS, PICTURES = 320, 240, 5, 48
SOUND_S, RATE, TONE_HZ = 10, 48_000, 1000

# Plays JPEG pictures into the loopback camera for ever. struct v4l2_format and VIDIOC_S_FMT: linux/videodev2.h.
_CAMERA: Final = f"""
import fcntl, glob, itertools, struct, time
pictures = [open(name, "rb").read() for name in sorted(glob.glob("/run/marker/*.jpg"))]
with open("/dev/video10", "wb", buffering=0) as camera:
    form = struct.pack("=I4xII4sIII", 2, {WIDTH}, {HEIGHT}, b"MJPG", 1, 0, {WIDTH * HEIGHT * 2})
    fcntl.ioctl(camera, 0xC0D05605, form.ljust(208, b"\\0"))
    for picture in itertools.cycle(pictures):
        camera.write(picture)
        time.sleep(1 / {FPS})
"""
# Takes memory until the kernel must take some back, and lets none of it go.
_HOG: Final = """
import time
held = []
def available_kib():
    return int(next(line for line in open("/proc/meminfo") if line.startswith("MemAvailable")).split()[1])
while True:
    if available_kib() > 40 * 1024:
        held.append(b"\\xff" * (4 << 20))
    else:
        time.sleep(0.2)
"""
_TAKEN_BACK: Final = "awk '/^pgsteal_(kswapd|direct) / {sum += $2} END {print sum}' /proc/vmstat"


def pictures() -> list[bytes]:
    """JPEG pictures of noise, each unlike the others and well below the size of the camera's buffer."""
    chance = np.random.default_rng(20261122)
    made = []
    for _ in range(PICTURES):
        pixels = chance.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
        made.append(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 60])[1].tobytes())
    return made


def scan_of(picture: bytes) -> bytes:
    """A picture without its tables, which other pictures and every JPEG library have too."""
    return picture[picture.rfind(b"\xff\xda") :]


def brightness_of(picture: bytes) -> bytes:
    """A picture as the recorder decodes it now and then, to see whether the camera is covered; its first plane, row by row."""
    decoder = av.CodecContext.create("mjpeg", "r")
    [frame] = [*decoder.decode(av.Packet(picture)), *decoder.decode(None)]
    return frame.to_ndarray()[:HEIGHT].tobytes()


def tone() -> bytes:
    """1 kHz with noise, 16 bits, one channel: a tone alone would repeat itself."""
    chance = np.random.default_rng(1000)
    samples = 8000 * np.sin(np.arange(SOUND_S * RATE) * 2 * np.pi * TONE_HZ / RATE) + chance.integers(
        -2000, 2000, SOUND_S * RATE
    )
    return samples.astype("<i2").tobytes()


def as_wave(samples: bytes) -> bytes:
    with io.BytesIO() as file:
        with wave.open(file, "wb") as out:
            out.setnchannels(1)
            out.setsampwidth(2)
            out.setframerate(RATE)
            out.writeframes(samples)
        return file.getvalue()


@pytest.fixture
def room(product: Image, tmp_path: Path) -> Iterator[Room]:
    """A room that listens to the known pictures and the known sound, which lie in its RAM; its disks' writes are kept."""
    with new_machine(product) as machine:
        machine.start(Hardware(keeps_writes=True))
        for number, picture in enumerate(pictures()):
            machine.put(picture, f"/run/marker/{number:02}.jpg")
        machine.put(as_wave(tone()), "/run/marker/tone.wav")
        machine.put(_CAMERA.encode(), "/run/camera.py")
        machine.put(_HOG.encode(), "/run/hog.py")
        machine.sh(
            "modprobe v4l2loopback; udevadm settle; systemd-run --quiet --unit camera python3 -ISB /run/camera.py"
        )
        room = Room(machine, tmp_path)
        room.play("/run/marker/tone.wav")
        room.watch()
        room.furnish(
            camera=LOOPBACK,
            width=WIDTH,
            height=HEIGHT,
            fps=FPS,
            microphone="in_ring",
            ring_s=10,
            retention_s=RETENTION_S,
        )
        room.wait_state("listening")
        yield room


def test_nothing_that_was_seen_or_heard_is_ever_on_a_disk(room: Room, tmp_path: Path) -> None:
    machine, known = room.machine, pictures()
    listens_under_pressure(room)
    clip = recorded(room, tmp_path)
    in_clip = packets(clip)
    assert in_clip["video"], "the clip has no picture"
    assert set(in_clip["video"]) <= set(known), "the recorder holds what the camera gave, byte for byte"
    assert evidence.dominant_hz(clip) == pytest.approx(TONE_HZ, abs=3), "the recorder heard the tone"
    room.wait(lambda seen: seen["vault"] and seen["vault"]["deleted"], what="the expiry")
    machine.sh("sync")

    media = Media([*map(scan_of, known), tone(), *in_clip["audio"], *map(brightness_of, known)])
    searched = [media.find(path) for path in (*machine.written, *images(machine.disks, tmp_path))]
    marks = [log.stat().st_size for log in machine.written]
    assert [found.offsets for found in searched] == [()] * len(searched)
    assert has(machine.written[0], b"age-encryption.org/v1"), "the sealed clip is among what was written"
    assert room.machine.sh("swapon --noheadings; ls /var/log/journal 2>/dev/null || true") == ""

    # A program that does write what was seen and heard, in each of its forms, and deletes it: it is found in what was written,
    # and in the slack of the disk.
    leak, forms = tmp_path / "leak", (scan_of(known[7]), brightness_of(known[7]), tone()[: RATE * 2], *in_clip["audio"])
    leak.write_bytes(b"".join(forms))
    expected = len(media.find(leak).offsets)
    machine.put(leak.read_bytes(), "/run/leak")
    machine.sh("cp /run/leak /var/tmp/leak; sync; rm /var/tmp/leak; sync")
    control = media.find(machine.written[0], start=marks[0])
    slack = media.find(images(machine.disks[:1], tmp_path)[0])
    assert expected > leak.stat().st_size // 16 * 0.8  # not what lies across two pieces, nor what could be anything
    assert len(control.offsets) >= expected, "the search finds a picture that was written"
    assert len(slack.offsets) >= expected, "the search finds a picture in the slack of the disk"
    print(
        f"{sum(found.data_bytes for found in searched) / 1e9:.2f} GB searched for {len(media)} windows: none; "
        f"control: {len(control.offsets)} and {len(slack.offsets)} of {expected}"
    )


def listens_under_pressure(room: Room) -> None:
    """So long that the ring is filled anew many times, while the kernel takes memory back wherever it can."""
    before = int(room.machine.sh(_TAKEN_BACK))
    room.machine.sh("systemd-run --quiet --unit hog -p OOMScoreAdjust=1000 python3 -ISB /run/hog.py")
    end_ns = CLOCK.boot_ns() + LISTENING_S * SECOND
    pid = room.machine.sh("systemctl show -p MainPID --value spreekkamer-record")
    while CLOCK.boot_ns() < end_ns:
        seen = room.look()["recorder"]
        assert seen is None or (seen["state"], seen["write_bytes"]) == ("listening", 0), seen
        CLOCK.sleep(1)
    assert room.machine.sh("systemctl show -p MainPID --value spreekkamer-record") == pid, "the recorder lives"
    assert int(room.machine.sh(_TAKEN_BACK)) > before, "there was no pressure"


def recorded(room: Room, to: Path) -> Path:
    """Press, let a clip come to be, end it; the clip as it is outside, opened."""
    room.press()
    room.wait(lambda seen: (clip := clip_of(seen)) and clip["pre_roll_safe_ns"], what="the pre-roll")
    room.reset()
    seen = room.wait(lambda seen: (clip := clip_of(seen)) and clip["safe_ns"], what="the whole clip")
    folder = room.store(to / "store") / "clips" / clip_of(seen)["clip"]
    assert seen["recorder"]["write_bytes"] == 0
    return evidence.opened_file(folder, room.key, to)


def packets(clip: Path) -> dict[str, list[bytes]]:
    """The encoded pictures and sounds in a clip."""
    with av.open(str(clip)) as container:
        found: dict[str, list[bytes]] = {"video": [], "audio": []}
        for packet in container.demux():
            if packet.size:
                found[packet.stream.type].append(bytes(packet))
        return found


def images(disks: tuple[Path, ...], to: Path) -> list[Path]:
    """The disks as the machine sees them, whole, after a sync; and it goes on."""
    raw = [to / f"{disk.stem}.raw" for disk in disks]
    for disk, path in zip(disks, raw, strict=True):
        subprocess.run(["qemu-img", "convert", "-U", "-f", "qcow2", "-O", "raw", str(disk), str(path)], check=True)
    return raw


def has(path: Path, text: bytes) -> bool:
    """Whether these bytes are in a file."""
    return subprocess.run(["grep", "-qaF", text, str(path)], check=False).returncode == 0
