"""The real process: its sockets, kills at any instant, a frozen vault, a full disk."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Self

import pytest

from edge.clock import SystemClock
from edge.config import Paths
from edge.desk import verify_clip, verify_ledger
from edge.errors import BadMessage, Refused, VaultAway
from edge.messages import Answer, Birth, Request, ToVault, Verb, decode, encode
from edge.status import VaultStatus
from edge.vault import client, passes
from edge.vault.process import run
from edge.vault.purge import Purged, purge
from edge.wire import connect, read_snapshot, receive_frame, send_frame
from tests.vault.support import CLIP, close, config, segment

LONG = os.environ.get("SPREEKKAMER_LONG") == "1"
DEADLINE_S = 30.0
KEEP_S = 72 * 3600


def until(what: str, condition: Callable[[], bool], *, deadline_s: float = DEADLINE_S) -> None:
    """Wait for a condition, with a deadline on the real clock."""
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, f"not within {deadline_s} s: {what}"
        time.sleep(0.01)


def real_birth(clip: str = CLIP) -> Birth:
    clock = SystemClock()
    return Birth(
        clip=clip,
        incident=f"of {clip}",
        pressed_ns=clock.boot_ns(),
        pressed_wall_ns=clock.wall_ns(),
        is_wall_trusted=clock.is_trusted(),
        boot_id=clock.boot_id,
        pre_roll_asked_ms=30_000,
        sources=("camera",),
        software="spreekkamer 0.1.0",
    )


class Vault:
    """A vault process in a folder of its own; sockets in a short one."""

    def __init__(self, root: Path, runs: Path, retention_s: int) -> None:
        self.root = root
        self.paths = Paths(store=root / "store", run=runs)
        self.retention_s = retention_s
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        arguments = [str(self.paths.store), str(self.paths.run), str(self.retention_s)]
        command = [sys.executable, "-W", "error", "-m", "tests.vault.keep_child", *arguments]
        self.process = subprocess.Popen(command, cwd=Path(__file__).parents[2])
        until("the vault answers", self.is_up)

    def is_up(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, "the vault ended by itself"
        with contextlib.suppress(OSError), connect(self.paths.clips_socket, patience_s=1.0):
            return True
        return False

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def status(self) -> VaultStatus:
        return decode(VaultStatus, read_snapshot(self.paths.status_socket("vault")))

    def folder(self, clip: str = CLIP) -> Path:
        return self.paths.store / "clips" / clip

    def assert_ledger(self) -> None:
        found = verify_ledger.check(self.paths.store / "ledger.jsonl")
        assert found.is_ok, found


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    with tempfile.TemporaryDirectory(prefix="v") as runs:
        vault = Vault(tmp_path, Path(runs), KEEP_S)
        yield vault
        vault.kill()


class Line:
    """The recorder's connection."""

    def __init__(self, vault: Vault) -> None:
        self.sock: socket.socket = connect(vault.paths.vault_socket, patience_s=DEADLINE_S)

    def tell(self, message: ToVault, payload: bytes = b"") -> Answer:
        send_frame(self.sock, encode(message), payload)
        frame = receive_frame(self.sock)
        if frame is None:
            raise BadMessage("the vault went away")
        return decode(Answer, frame[0])

    def must(self, message: ToVault, payload: bytes = b"") -> None:
        answer = self.tell(message, payload)
        assert answer.is_durable, answer.error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()


def test_a_clip_is_kept_listed_fetched_and_shown(vault: Vault, tmp_path: Path) -> None:
    vault.start()
    payloads = [os.urandom(200_000), os.urandom(70_000)]
    with Line(vault) as line:
        line.must(real_birth())
        for number, payload in enumerate(payloads):
            line.must(segment(number), payload)
        line.must(close(2))
    listed = client.ask(vault.paths, Request(verb=Verb.LIST))
    assert listed.data is not None
    assert [(row["id"], row["state"], row["segments"]) for row in listed.data["clips"]] == [(CLIP, "complete", 2)]
    copy = tmp_path / "copy"
    assert client.fetch(vault.paths, CLIP, copy) == 7
    originals = [*vault.folder().iterdir(), vault.paths.store / "device.pub.pem"]
    assert {file.name: file.read_bytes() for file in copy.iterdir()} == {
        file.name: file.read_bytes() for file in originals
    }
    assert verify_clip.check(copy).is_ok
    with pytest.raises(Refused, match="not empty"):
        client.fetch(vault.paths, CLIP, copy)
    with pytest.raises(Refused, match="no clip"):
        client.fetch(vault.paths, CLIP[:-4] + "zzzz", tmp_path / "nothing")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "store"]
    status = vault.status()
    assert (status.clips_total, status.clips[0].id, status.clips[0].safe_seconds) == (1, CLIP, 2.0)
    assert status.last_pass_ns is not None
    assert status.ledger.head == verify_ledger.check(vault.paths.store / "ledger.jsonl").head
    assert vault.paths.store.stat().st_mode & 0o777 == 0o700
    assert vault.paths.vault_socket.parent.stat().st_mode & 0o777 == 0o750
    process = vault.process
    assert process is not None
    vault.send(signal.SIGTERM)
    assert process.wait(DEADLINE_S) == 0
    with pytest.raises(VaultAway, match="is `spreekkamer keep` running"):
        client.ask(vault.paths, Request(verb=Verb.LIST))


def test_a_peers_uid_and_role_are_in_the_ledger(vault: Vault) -> None:
    vault.start()
    with Line(vault) as line:
        line.must(real_birth())
    request = Request(verb=Verb.DELETE, clip=CLIP, actor="officer", reason="false-press")
    assert client.ask(vault.paths, request).error == ""
    assert not vault.folder().exists()
    entry = json.loads((vault.paths.store / "ledger.jsonl").read_bytes().splitlines()[-1])
    assert (entry["action"], entry["actor"], entry["uid"]) == ("clip-deleted", "officer", os.getuid())


def test_nonsense_on_a_socket_ends_that_connection_and_nothing_else(vault: Vault) -> None:
    vault.start()
    for path in (vault.paths.vault_socket, vault.paths.clips_socket):
        with connect(path, patience_s=DEADLINE_S) as sock:
            sock.sendall(b"\xff" * 64)
            with contextlib.suppress(ConnectionResetError):
                assert sock.recv(1) == b""
        with connect(path, patience_s=DEADLINE_S) as sock:
            send_frame(sock, b'{"kind":"nonsense"}')
            frame = receive_frame(sock)
            assert frame is not None
            assert json.loads(frame[0])["error"]
    with Line(vault) as line:
        line.must(real_birth())


def hammer(vault: Vault, clip: str, safe: dict[int, str], seeded: random.Random) -> None:
    """A recorder that sends until the vault dies under it."""
    with contextlib.suppress(OSError, BadMessage), Line(vault) as line:
        if not line.tell(real_birth(clip)).is_durable:
            return
        for number in range(10_000):
            payload = seeded.randbytes(seeded.randint(1, 60_000))
            if line.tell(segment(number, clip=clip), payload).is_durable:
                safe[number] = hashlib.sha256(payload).hexdigest()


def test_kill_9_at_any_instant_loses_nothing_that_was_acknowledged(vault: Vault) -> None:
    seeded = random.Random(20261122)
    everything: dict[str, dict[int, str]] = {}
    for turn in range(100 if LONG else 10):
        clip = f"20261122T{turn:06d}Z-k3f9"
        safe = everything[clip] = {}
        vault.start()
        recorder = threading.Thread(target=hammer, args=(vault, clip, safe, random.Random(turn)), name="hammer")
        recorder.start()
        time.sleep(seeded.uniform(0.0, 0.25))  # the instant of the kill is the test's subject
        vault.kill()
        recorder.join(DEADLINE_S)
        assert not recorder.is_alive()
    vault.start()
    listed = client.ask(vault.paths, Request(verb=Verb.LIST)).data
    assert listed is not None
    states = {row["id"]: row for row in listed["clips"]}
    for clip, safe in everything.items():
        for number, sha256 in safe.items():
            stored = (vault.folder(clip) / f"{number:04d}.age").read_bytes()
            assert hashlib.sha256(stored).hexdigest() == sha256
        if safe:
            assert states[clip]["state"] == "interrupted"
            assert states[clip]["segments"] >= len(safe)
            assert states[clip]["safe_seconds"] >= len(safe)
    assert sum(map(len, everything.values())) > 20
    assert list(vault.paths.store.rglob("*.tmp")) == []
    vault.assert_ledger()


def age(vault: Vault, seconds: int) -> None:
    """Let a stopped vault's clips grow older: the counter says that the device ran longer."""
    file = vault.paths.store / "powered-on.json"
    saved = json.loads(file.read_bytes())
    saved["powered_on_ns"] += seconds * 1_000_000_000
    file.write_text(json.dumps(saved))


@pytest.mark.parametrize("vault_is", ["dead", "frozen"])
def test_purge_deletes_what_is_due_and_nothing_young(vault: Vault, vault_is: str) -> None:
    old, young = CLIP, "20261122T101502Z-zzzz"
    vault.retention_s = 3600
    vault.start()
    vault.kill()
    age(vault, 3600)  # so that a press of an hour ago is within the counter's time
    vault.start()
    with Line(vault) as line:
        for clip, age_s in ((old, 3598), (young, 0)):
            born = real_birth(clip)
            line.must(replace(born, pressed_ns=born.pressed_ns - age_s * 1_000_000_000, is_wall_trusted=False))
            line.must(segment(0, clip=clip), b"sealed")
        if vault_is == "frozen":
            vault.send(signal.SIGSTOP)
        else:
            vault.kill()
            (vault.paths.store / "catalog.sqlite").write_bytes(b"damaged")
            (vault.paths.store / "clips" / "20261122T101502Z-yyyy").mkdir()  # one that is just being born
        settings = config(vault.root, retention_s=3600)
        assert purge(settings, clock=SystemClock()) == Purged()
        until("the old clip is due", lambda: len(purge(settings, clock=SystemClock()).deleted) == 1)
        assert not vault.folder(old).exists()
        assert (vault.folder(young) / "0000.age").read_bytes() == b"sealed"
        assert purge(settings, clock=SystemClock()) == Purged()
        vault.assert_ledger()
        last = json.loads((vault.paths.store / "ledger.jsonl").read_bytes().splitlines()[-1])
        assert (last["action"], last["origin"], last["object"]) == ("clip-deleted", "purge", old)
        if vault_is == "frozen":
            vault.send(signal.SIGCONT)
            line.must(segment(1, clip=young), b"goes on")
            line.must(close(2, clip=young))
            assert line.tell(segment(1, clip=old), b"too late").is_final
            vault.assert_ledger()
            until("the vault forgets the old clip", lambda: [clip.id for clip in vault.status().clips] == [young])


def test_purge_waits_for_a_lock_at_most_ten_seconds(vault: Vault) -> None:
    from edge.durable import Disk
    from tests.vault.support import SimClock, make_clip, open_keeper

    clock = SimClock()
    make_clip(open_keeper(vault.root, clock), clock)
    clock.advance(KEEP_S * 1_000_000_000)
    with Disk().locked(vault.paths.store / "lock", SystemClock()) as got:
        assert got
        begun_ns = clock.boot_ns()
        assert purge(config(vault.root), clock=clock).deleted == (CLIP,)
        assert clock.boot_ns() - begun_ns <= 11 * 1_000_000_000
    assert not vault.folder().exists()
    vault.assert_ledger()


def test_run_refuses_a_store_or_a_run_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    settings = config(tmp_path / "file")
    with pytest.raises(Refused, match=r"paths\.store"):
        run(settings, threading.Event())
    deep = config(tmp_path / ("d" * 60) / ("e" * 60))
    with pytest.raises(Refused, match=r"too long for a socket"):
        run(deep, threading.Event())


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB."""
    mount = tmp_path / "small"
    mount.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(mount)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"cannot mount here: {done.stderr.strip()}")
    yield mount
    subprocess.run(["umount", "--lazy", str(mount)], check=True)


def test_a_full_disk_loses_nothing_acknowledged_and_still_deletes(small: Path) -> None:
    from tests.vault.support import HOUR, Recorder, SimClock, birth, open_keeper

    clock = SimClock()
    keeper = open_keeper(small, clock)
    passes.pass_through(keeper)
    recorder = Recorder(keeper)
    recorder.must(birth(clock))
    safe: list[bytes] = []
    seeded = random.Random(1)
    while True:
        payload = seeded.randbytes(100_000)
        answer = recorder.tell(segment(len(safe)), payload)
        if not answer.is_durable:
            break
        safe.append(payload)
    assert not answer.is_final
    assert len(safe) > 5
    folder = small / "store" / "clips" / CLIP
    (small / "filler").write_bytes(b"")
    with contextlib.suppress(OSError), (small / "filler").open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    assert [(folder / f"{number:04d}.age").read_bytes() for number in range(len(safe))] == safe
    assert list(folder.glob("*.tmp")) == []
    clock.advance(72 * HOUR)
    passes.tick(keeper)
    assert not folder.exists()
    assert verify_ledger.check(small / "store" / "ledger.jsonl").is_ok
    assert b'"clip-deleted"' in (small / "store" / "ledger.jsonl").read_bytes()
    (small / "filler").unlink()
    passes.pass_through(keeper)
    assert (small / "store" / "ledger.reserve").exists()
    again = "20261122T101502Z-zzzz"
    recorder.must(birth(clock, clip=again, incident="next"))
    recorder.must(segment(0, clip=again), b"sealed")
    keeper.stop()


def test_a_store_that_is_read_only_is_refused(small: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
    with pytest.raises(Refused, match="Read-only file system"):
        run(config(small), threading.Event())
