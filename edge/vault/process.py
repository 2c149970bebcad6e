"""The vault as a process: folders, start-up, four sockets, and the loop that time drives.

Threads: the caller's (start, ticks, stop), one for each socket (`vault:ingest`, `vault:clips`, `status:…`), one for
each connection. A connection's thread ends when its peer goes, or when the vault stops and shuts its socket.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Self

from edge import credentials
from edge.clock import SECOND, SystemClock
from edge.config import Config
from edge.durable import Disk
from edge.errors import BadMessage, Refused, StoreError
from edge.machine import freed
from edge.messages import (
    Answer,
    DrillMade,
    Probe,
    ProbeResult,
    Reply,
    Request,
    TrialAnswer,
    decode,
    decode_to_vault,
    encode,
)
from edge.ports import Clock
from edge.systemd import Notifier
from edge.vault import catalog, ingest, passes, reading, recovery, requests, signing, snapshot
from edge.vault.faults import Faults
from edge.vault.figures import Figures
from edge.vault.keeper import Keeper, Terms
from edge.vault.ledger import Ledger
from edge.vault.powered_on import PoweredOn
from edge.vault.powered_on import read as saved_counter
from edge.vault.requests import Visit
from edge.vault.reserve import Reserve
from edge.vault.signing import DeviceKey
from edge.vault.store import Store, StoreLock
from edge.wire import SnapshotSocket, listen, peer_uid, receive_frame, send_frame

TICK_NS: Final = SECOND
_CONNECTIONS: Final = 16  # at each socket; one more is closed at once
_VISIT_PATIENCE_S: Final = 30.0  # a person's command that says nothing
_JOIN_S: Final = 15.0  # a lock is waited for at most 10 s

log = logging.getLogger("spreekkamer.vault")

Serve = Callable[[socket.socket], None]


def run(config: Config, stop: threading.Event, *, clock: Clock | None = None, disk: Disk | None = None) -> None:
    """Keep until `stop`. Raises Refused with one line when the store or the sockets cannot be used."""
    freed.use_again()  # a clip comes in pieces of megabytes
    clock = SystemClock() if clock is None else clock
    disk = Disk() if disk is None else disk
    with ExitStack() as stack:
        keeper = open_keeper(config, clock, disk, credentials.folder())
        stack.callback(keeper.stop)
        passes.pass_through(keeper)
        paths = config.paths
        stack.enter_context(SnapshotSocket(paths.status_socket("vault"), lambda: snapshot.bounded(keeper.status())))
        figures = Figures(keeper.store, keeper.key)
        stack.enter_context(SnapshotSocket(paths.figures_socket, lambda: figures.counted(keeper.now())))
        servers = (
            stack.enter_context(_Server(paths.vault_socket, "ingest", lambda sock: _recorder(keeper, sock))),
            stack.enter_context(_Server(paths.clips_socket, "clips", lambda sock: _visit(keeper, sock))),
        )
        notifier = stack.enter_context(Notifier(clock))
        while not stop.is_set():
            passes.tick(keeper)
            figures.catch_up()
            if all(server.is_alive for server in servers) and not passes.is_overdue(keeper):
                notifier.alive(f"{len(keeper.all())} clips kept")
            clock.sleep_until(clock.boot_ns() + TICK_NS, stop)


def open_keeper(config: Config, clock: Clock, disk: Disk, credentials_folder: Path | None) -> Keeper:
    """The keeper of the configured store, after its start-up procedure. Raises Refused when the store cannot be used."""
    store = Store(root=config.paths.store)
    faults = Faults()
    try:
        for folder in (store.root, store.clips, store.trash):
            disk.make_folder(folder)
        lock = StoreLock(disk, store, clock)
        with lock.held():
            key = signing.load_or_make(disk, store, credentials_folder)
            powered_on = PoweredOn(disk, store.powered_on, clock, at_least_ns=_newest_birth_ns(store, key))
            ledger = Ledger(disk, store, lock, clock, origin="vault")
            # On a full disk the start must go on: deleting is what makes space.
            with contextlib.suppress(StoreError):
                powered_on.save()
        keeper = Keeper(
            disk=disk,
            store=store,
            lock=lock,
            key=key,
            clock=clock,
            ledger=ledger,
            powered_on=powered_on,
            catalog=_catalog(disk, store, faults, clock),
            reserve=Reserve(disk, store.clip_reserve, config.reserve_bytes),
            terms=Terms(
                retention_s=config.retention.seconds,
                is_self_tested=config.camera.source != "none" and bool(config.seal.recipients),
            ),
            faults=faults,
        )
        passes.show_faults(keeper, keeper.now(), keeper.failed_at_start)
        return keeper
    except StoreError as err:
        raise Refused(f"the store cannot be used: {err}; check paths.store, its owner and its disk") from err


def _newest_birth_ns(store: Store, key: DeviceKey) -> int:
    """What the clips know of the powered-on counter; looked at only when its file is lost or damaged."""
    if saved_counter(store.powered_on) is not None:
        return 0
    newest_ns, memos = 0, catalog.peek(store)
    for number in reading.ids(store.clips):
        with contextlib.suppress(StoreError):  # recovery tells of it
            clip = recovery.read_or_none(store, number, key, memos.get(number), with_contents=False)
            newest_ns = max(newest_ns, clip.counter_ns if clip else 0)
    return newest_ns


def _catalog(disk: Disk, store: Store, faults: Faults, clock: Clock) -> catalog.Catalog | None:
    try:
        return catalog.open_catalog(disk, store)
    except StoreError as err:
        faults.set("catalog", str(err), "none needed: it is only an index; look at the disk", clock.boot_ns())
        return None


def _recorder(keeper: Keeper, sock: socket.socket) -> None:
    """A recorder's connection, from its first message to its end."""
    uid = peer_uid(sock)
    link = object()
    try:
        while (frame := receive_frame(sock)) is not None:
            answer, payload = _answer(keeper, frame, uid, link)
            del frame  # megabytes: not kept while the next ones come in
            send_frame(sock, encode(answer), payload)
    finally:
        ingest.lost(keeper, link)


def _answer(
    keeper: Keeper, frame: tuple[bytes, memoryview], uid: int, link: object
) -> tuple[Answer | TrialAnswer, bytes]:
    try:
        message = decode_to_vault(frame[0])
    except BadMessage as err:
        return Answer(is_durable=False, error=str(err), is_final=True), b""
    if isinstance(message, Probe | ProbeResult | DrillMade):
        return ingest.attempt(keeper, message, frame[1], uid=uid)
    return ingest.answer(keeper, message, frame[1], uid=uid, link=link), b""


def _visit(keeper: Keeper, sock: socket.socket) -> None:
    """A person's connection."""
    sock.settimeout(_VISIT_PATIENCE_S)
    visit = Visit(uid=peer_uid(sock))
    while (frame := receive_frame(sock)) is not None:
        try:
            answer, payload = requests.reply(keeper, decode(Request, frame[0]), visit)
        except BadMessage as err:
            answer, payload = Reply(error=str(err)), b""
        send_frame(sock, encode(answer), payload)


class _Server:
    """Accepts at one socket; a thread for each connection. `close` ends them all."""

    def __init__(self, path: Path, name: str, serve: Serve) -> None:
        self._path = path
        self._name = name
        self._serve = serve
        self._lock = threading.Lock()
        self._threads: dict[threading.Thread, socket.socket] = {}
        self._closing = False
        self._server = listen(path)
        self._thread = threading.Thread(target=self._accept, name=f"vault:{name}", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """It still accepts."""
        return self._thread.is_alive()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._server.accept()
            except OSError:
                if self._closing:
                    return
                raise
            with self._lock:
                if self._closing or len(self._threads) >= _CONNECTIONS:
                    sock.close()
                    continue
                thread = threading.Thread(target=self._run, args=(sock,), name=f"vault:{self._name}:peer", daemon=True)
                self._threads[thread] = sock
                thread.start()

    def _run(self, sock: socket.socket) -> None:
        try:
            with sock:
                self._serve(sock)
        except (OSError, BadMessage) as err:
            if not self._closing:
                log.warning("a connection at %s ended: %s", self._path.name, err)
        finally:
            with self._lock:
                del self._threads[threading.current_thread()]

    def close(self) -> None:
        """Stop accepting, end every connection, wait for their threads. Idempotent."""
        if self._closing:
            return
        with self._lock:
            self._closing = True
            threads = dict(self._threads)
        for sock in (self._server, *threads.values()):
            with contextlib.suppress(OSError):  # gone already
                sock.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._path.unlink(missing_ok=True)
        for thread in (self._thread, *threads):
            thread.join(_JOIN_S)
            if thread.is_alive():
                raise Refused(f"{thread.name} did not end within {_JOIN_S:.0f} s")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
