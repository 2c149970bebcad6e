"""Which processes serve this room: by what they hold, not by what they are called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeVar

from edge.config import Config
from edge.errors import BadMessage
from edge.machine.sandbox import Unit
from edge.messages import decode
from edge.prove import kernel
from edge.prove.kernel import Process
from edge.status import PanelStatus, RecorderStatus, VaultStatus
from edge.wire import connect, peer_pid, receive_snapshot

Name = Literal["panel", "recorder", "vault", "service"]
NAMES: Final[tuple[Name, ...]] = ("panel", "recorder", "vault", "service")
_PATIENCE_S: Final = 3.0

S = TypeVar("S", PanelStatus, RecorderStatus, VaultStatus)


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """One of the four: what the kernel says of it, None when there is no such process, and whether it answers."""

    name: Name
    process: Process | None
    answers: bool


def answer(config: Config, name: Literal["panel", "recorder", "vault"], kind: type[S]) -> tuple[Running, S | None]:
    """The process at a status socket and what it says of itself."""
    path = config.paths.status_socket(name)
    try:
        sock = connect(path, patience_s=_PATIENCE_S)
    except OSError:
        return Running(name=name, process=None, answers=False), None
    with sock:
        process = kernel.look(peer_pid(sock))
        try:
            said = decode(kind, receive_snapshot(sock, path.name))
        except (OSError, BadMessage):
            return Running(name=name, process=process, answers=False), None
    return Running(name=name, process=process, answers=True), said


def service(config: Config, unit: Unit | None) -> Running:
    """The process behind the page: the unit's, else whoever holds its port. It has no status socket to answer at."""
    of_unit = unit.shown.get("MainPID", "0") if unit else "0"
    pid = int(of_unit) if of_unit.isdigit() and of_unit != "0" else kernel.holder_of(config.page.port)
    process = None if pid is None else kernel.look(pid)
    return Running(name="service", process=process, answers=process is not None)
