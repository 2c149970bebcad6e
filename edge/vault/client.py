"""What `spreekkamer clips` and `drill` need: asking the vault, and copying what is sealed out of it. No access to the store."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from edge.config import Paths
from edge.durable import Disk, refuse_used
from edge.errors import BadMessage, Refused, VaultAway
from edge.messages import Reply, Request, Verb, decode, encode
from edge.vault.drill import SEALED
from edge.vault.reading import may_be_fetched
from edge.vault.store import DEVICE_PUBLIC, checked
from edge.wire import connect, receive_frame, send_frame

_PATIENCE_S: Final = 30.0  # a deletion may wait 10 s for a lock, and a worn card for its fsync


def ask(paths: Paths, request: Request) -> Reply:
    """One request, one reply; `list` has its rows in `data["clips"]`. Raises VaultAway; a refusal is in the reply."""
    with _line(paths) as sock:
        reply, payload = _exchange(paths, sock, request)
    if request.verb is Verb.LIST and not reply.error:
        return Reply(data={**(reply.data or {}), "clips": json.loads(bytes(payload))})
    return reply


def fetch(paths: Paths, clip: str, to: Path, *, actor: str = "", disk: Disk | None = None) -> int:
    """Copy the sealed folder of a clip to the folder `to`, which must not exist or be empty; how many files it holds.

    Everything is copied to a folder beside it first, which then gets its name: nothing half-made is left.
    Raises VaultAway, Refused (the vault's own words), StoreError (the disk of the copy).
    """
    disk = Disk() if disk is None else disk
    checked(clip)
    refuse_used(to)
    with _line(paths) as sock:
        names = _fetched(paths, sock, Request(verb=Verb.FETCH, clip=clip, actor=actor))[0].get("names")
        if not isinstance(names, list) or not all(
            isinstance(name, str) and (may_be_fetched(name) or name == DEVICE_PUBLIC) for name in names
        ):
            raise VaultAway(f"the vault at {paths.clips_socket} answers something else; is it of this version?")
        with disk.made_whole(to) as half:
            for name in names:
                disk.create(half / name, _fetched(paths, sock, Request(verb=Verb.FETCH, clip=clip, name=name))[1])
    return len(names)


def fetch_drill(paths: Paths, to: Path, *, disk: Disk | None = None) -> None:
    """Copy the drill that waits, still sealed, to the folder `to`, as `fetch` copies a clip. Raises what `fetch` does."""
    disk = Disk() if disk is None else disk
    refuse_used(to)
    with _line(paths) as sock:
        _, sealed = _fetched(paths, sock, Request(verb=Verb.DRILL_FETCH))
    with disk.made_whole(to) as half:
        disk.create(half / SEALED, sealed)


def _fetched(paths: Paths, sock: socket.socket, request: Request) -> tuple[dict[str, object], memoryview]:
    reply, payload = _exchange(paths, sock, request)
    if reply.error:
        raise Refused(reply.error)
    return reply.data or {}, payload


def _exchange(paths: Paths, sock: socket.socket, request: Request) -> tuple[Reply, memoryview]:
    try:
        send_frame(sock, encode(request))
        frame = receive_frame(sock)
    except (OSError, BadMessage) as err:
        raise _away(paths) from err
    if frame is None:
        raise _away(paths)
    try:
        return decode(Reply, frame[0]), frame[1]
    except BadMessage as err:
        raise VaultAway(f"the vault at {paths.clips_socket} answers something else; is it of this version?") from err


@contextmanager
def _line(paths: Paths) -> Iterator[socket.socket]:
    try:
        sock = connect(paths.clips_socket, patience_s=_PATIENCE_S)
    except PermissionError as err:
        raise Refused(f"{paths.clips_socket}: you may not ask the vault; ask the administrator for the group") from err
    except OSError as err:
        raise _away(paths) from err
    with sock:
        yield sock


def _away(paths: Paths) -> VaultAway:
    return VaultAway(f"the vault does not answer at {paths.clips_socket}; is `spreekkamer keep` running?")
