"""The link to the recorder: the main loop never waits for a reader."""

from __future__ import annotations

import contextlib
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.errors import Refused
from edge.messages import Event, Lamp, Mode, PanelEvent, Report, Wanted
from edge.panel.inbox import Heard, Inbox
from edge.panel.link import Link
from tests.panel.support import PATIENCE_S, HandClock, Listener

REPORT = Report(lamp=Lamp.READY, is_camera_on=True, clip=None, sent_ns=1)


def wanted(number: int) -> Wanted:
    """A message of the largest size, told apart by when it was sent."""
    event = PanelEvent(run="0" * 12, seq=1, event=Event.ATTENTION, at_ns=1, wall_ns=10**18, is_wall_trusted=False)
    return Wanted(mode=Mode.LISTEN, incident=None, events=(event,) * 64, sent_ns=number)


class Ends:
    """A link and its inbox."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "wanted.sock"
        self.inbox = Inbox()
        self.link = Link(self.path, HandClock(), self.inbox)

    def heard(self) -> Heard:
        item = self.inbox.get(PATIENCE_S)
        assert isinstance(item, Heard)
        return item


@pytest.fixture
def ends() -> Iterator[Ends]:
    with tempfile.TemporaryDirectory(prefix="sk") as folder:
        both = Ends(Path(folder))
        with both.link:
            yield both


def test_who_connects_is_told_at_once_and_again_on_every_change(ends: Ends) -> None:
    ends.link.publish(wanted(1))
    with Listener(ends.path) as listener:
        assert listener.wanted() == wanted(1)
        ends.link.publish(wanted(2))
        assert listener.wanted_when(lambda said: said.sent_ns == 2) == wanted(2)


def test_a_reader_that_never_reads_is_dropped_and_the_others_are_served(ends: Ends) -> None:
    with Listener(ends.path) as deaf, Listener(ends.path) as good:
        for number in range(1, 1001):  # a thousand are more than any socket buffer holds
            ends.link.publish(wanted(number))
            while good.wanted().sent_ns != number:
                pass
        assert deaf.is_hung_up()


def test_reports_reach_the_main_loop(ends: Ends) -> None:
    with Listener(ends.path) as listener:
        listener.report(REPORT)
        assert ends.heard().report == REPORT


def test_a_recorder_that_hangs_up_is_known_to_be_gone(ends: Ends) -> None:
    ends.link.publish(wanted(1))
    with Listener(ends.path) as listener:
        listener.report(REPORT)
        assert ends.heard().report == REPORT
    assert ends.heard().report is None


def test_a_reader_who_never_spoke_may_go_without_a_word(ends: Ends) -> None:
    with Listener(ends.path) as listener:
        listener.report(REPORT)
        assert ends.heard().report == REPORT
        with Listener(ends.path):
            pass
        listener.report(REPORT)
        assert ends.heard().report == REPORT


@pytest.mark.parametrize(
    "nonsense",
    [
        pytest.param(b"\0\0\0\x02\0\0\0\0{}", id="not a report"),
        pytest.param(b"\xff\xff\xff\xff\0\0\0\0", id="too long"),
        pytest.param(b"\0\0\0\x20\0\0\0\0{", id="half a frame"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="another protocol"),
    ],
)
def test_who_talks_nonsense_is_dropped_and_the_next_is_served(ends: Ends, nonsense: bytes) -> None:
    with Listener(ends.path) as rude:
        rude.socket.sendall(nonsense)
        assert rude.is_hung_up()
    with Listener(ends.path) as listener:
        ends.link.publish(wanted(3))
        assert listener.wanted_when(lambda said: said.sent_ns == 3) == wanted(3)


def test_more_readers_than_a_room_can_have_are_turned_away(ends: Ends) -> None:
    ends.link.publish(wanted(1))
    listeners = [Listener(ends.path) for _ in range(8)]
    for listener in listeners:
        assert listener.wanted() == wanted(1)
    with Listener(ends.path) as late:
        assert late.is_hung_up()
    for listener in listeners:
        listener.socket.close()
    ends.link.publish(wanted(2))
    while True:  # until the link has heard that they went
        with Listener(ends.path) as again, contextlib.suppress(AssertionError, ConnectionResetError):
            assert again.wanted() == wanted(2)
            break


def test_the_link_closes_with_its_readers_and_leaves_no_file(ends: Ends) -> None:
    with Listener(ends.path) as listener:
        ends.link.publish(wanted(1))
        listener.wanted()
        ends.link.close()
        ends.link.close()
        assert listener.is_hung_up()
    assert not ends.path.exists()


def test_a_folder_that_cannot_be_had_is_refused() -> None:
    with pytest.raises(Refused, match=r"check paths\.run"):
        Link(Path("/dev/null/wanted.sock"), HandClock(), Inbox())


def test_a_socket_that_a_dead_panel_left_is_replaced(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="sk") as folder:
        path = Path(folder) / "wanted.sock"
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(path))
        with Link(path, HandClock(), Inbox()) as link, Listener(path) as listener:
            link.publish(wanted(1))
            assert listener.wanted() == wanted(1)
