"""What systemd is told, by real datagrams."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.systemd import Notifier
from tests.panel.support import HandClock
from tests.support.processes import memory_folder

WATCHED = {"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": str(os.getpid())}
HALF_S = 500_000_000


class Ear:
    """Systemd's end."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address.replace("@", "\0", 1))
        self.socket.setblocking(False)
        self.environment = {"NOTIFY_SOCKET": address}

    def fill(self) -> None:
        """Make its queue full, as when systemd is busy."""
        other = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        with other, contextlib.suppress(BlockingIOError):
            while True:
                other.sendto(b"X=1", self.environment["NOTIFY_SOCKET"])

    def heard(self) -> list[str]:
        """Each datagram that has come."""
        found: list[str] = []
        while True:
            try:
                found.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return found


@pytest.fixture
def ear() -> Iterator[Ear]:
    with memory_folder() as folder:
        made = Ear(str(folder / "notify"))
        with made.socket:
            yield made


def test_readiness_is_told_once_and_a_status_when_it_changes(ear: Ear) -> None:
    with Notifier(HandClock(), ear.environment) as notifier:
        notifier.alive("listening")
        notifier.alive("listening")
        notifier.alive("fault")
        assert ear.heard() == ["READY=1\nSTATUS=listening", "STATUS=fault"]
    assert ear.heard() == ["STOPPING=1"]


def test_the_watchdog_is_fed_four_times_within_its_limit_and_only_by_who_is_alive(ear: Ear) -> None:
    clock = HandClock()
    with Notifier(clock, ear.environment | WATCHED) as notifier:
        notifier.alive("")
        clock.now_ns += HALF_S - 1
        notifier.alive("")
        assert ear.heard() == ["READY=1"]
        clock.now_ns += 1
        notifier.alive("")
        notifier.alive("")
        assert ear.heard() == ["WATCHDOG=1"]
        clock.now_ns += 100 * HALF_S
        assert ear.heard() == []


@pytest.mark.parametrize(
    "watched", [{"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": ""}, {"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "1"}, {}]
)
def test_who_is_not_watched_feeds_nobody(ear: Ear, watched: dict[str, str]) -> None:
    clock = HandClock()
    with Notifier(clock, ear.environment | watched) as notifier:
        notifier.alive("")
        clock.now_ns += 100 * HALF_S
        notifier.alive("")
        assert ear.heard() == ["READY=1"]


def test_a_systemd_that_hears_nothing_for_a_while_costs_nothing_and_is_told_later(ear: Ear) -> None:
    with Notifier(HandClock(), ear.environment) as notifier:
        ear.fill()
        notifier.alive("works")
        assert set(ear.heard()) == {"X=1"}
        notifier.alive("works")
        assert ear.heard() == ["READY=1\nSTATUS=works"]


def test_an_abstract_address_is_heard_too() -> None:
    made = Ear(f"@spreekkamer-{os.getpid()}")
    with made.socket, Notifier(HandClock(), made.environment) as notifier:
        notifier.alive("x")
        assert made.heard() == ["READY=1\nSTATUS=x"]


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": "/nonexistent/socket"}])
def test_where_nobody_listens_a_process_works_all_the_same(environment: dict[str, str]) -> None:
    with Notifier(HandClock(), environment) as notifier:
        notifier.alive("works")


def test_a_process_that_ended_leaves_no_socket_file(ear: Ear) -> None:
    Notifier(HandClock(), ear.environment).close()
    assert [path.name for path in Path(ear.environment["NOTIFY_SOCKET"]).parent.iterdir()] == ["notify"]
