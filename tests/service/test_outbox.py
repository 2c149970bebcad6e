"""What waits for one receiver: bounded, in an order that helps, and honest about what was not told."""

from __future__ import annotations

import asyncio
import threading
from itertools import pairwise

from edge.clock import SECOND
from service.notify.events import Event, Kind
from service.notify.outbox import LIMIT, Outbox, pause_s


class StandingClock:
    """Stands until it is set."""

    boot_id = "b00t1d00-0000"

    def __init__(self) -> None:
        self.now_ns = 10**12

    def boot_ns(self) -> int:
        return self.now_ns

    def wall_ns(self) -> int:
        return self.now_ns

    def is_trusted(self) -> bool:
        return True

    def sleep(self, seconds: float) -> None:
        raise AssertionError

    def sleep_until(self, until_ns: int, wake: threading.Event) -> bool:
        raise AssertionError


def outbox() -> tuple[Outbox, StandingClock]:
    clock = StandingClock()
    return Outbox("webhook-1", clock), clock


def fault(name: str) -> Event:
    return Event(kind=Kind.FAULT, id=name)


def gone(name: str) -> Event:
    return Event(kind=Kind.FAULT_GONE, id=f"{name}-gone", ends=name)


def press(name: str) -> Event:
    return Event(kind=Kind.PRESS, id=name)


def taken(box: Outbox) -> list[str]:
    """Everything in the order in which it is told to a receiver that takes it all."""

    async def story() -> list[str]:
        found = []
        while box.channel(0).waiting:
            event = await asyncio.wait_for(box.next(), 5)
            found.append(event.id)
            box.delivered(event)
        return found

    return asyncio.run(story())


def tried(box: Outbox, *, was_sent: bool = True) -> Event:
    """The next one, of which nobody says that it has arrived."""

    async def story() -> Event:
        event = await asyncio.wait_for(box.next(), 5)
        box.failed(event, was_sent=was_sent)
        return event

    return asyncio.run(story())


def test_never_more_wait_than_the_limit_and_a_press_is_the_last_to_go() -> None:
    box, clock = outbox()
    for number in range(40):
        box.put(press(f"p{number}"))
    for number in range(1000):
        box.put(fault(f"f{number}"))
    assert box.channel(clock.now_ns).waiting == LIMIT
    assert box.channel(clock.now_ns).dropped == 1040 - LIMIT
    told = taken(box)
    assert [name for name in told if name.startswith("p")] == [f"p{number}" for number in range(40)]
    assert [name for name in told if name.startswith("f")] == [f"f{number}" for number in range(976, 1000)]


def test_what_was_dropped_is_told_when_the_receiver_is_back() -> None:
    box, clock = outbox()
    tried_event = fault("first")
    box.put(tried_event)
    tried(box)
    for number in range(LIMIT + 6):
        box.put(fault(f"f{number}"))
    clock.now_ns += 400 * SECOND
    assert box.channel(clock.now_ns).failing_seconds == 400.0

    async def back() -> Event:
        box.delivered(await box.next())
        return next(event for event in box._waiting if event.kind is Kind.OUTAGE)

    outage = asyncio.run(back())
    assert (outage.seconds, outage.dropped) == (400, 7)
    assert box.channel(clock.now_ns).failing_seconds is None
    box.reached()
    assert [event.kind for event in box._waiting].count(Kind.OUTAGE) == 1, "it is told once"


def test_a_fault_that_is_gone_before_it_was_told_is_not_told() -> None:
    box, _ = outbox()
    box.put(fault("f"))
    tried(box, was_sent=False)
    box.put(gone("f"))
    assert taken(box) == []


def test_a_fault_that_the_receiver_may_have_is_told_to_be_gone() -> None:
    box, _ = outbox()
    box.put(fault("f"))
    tried(box)
    box.put(gone("f"))
    assert taken(box) == ["f-gone"]
    box.put(fault("f"))

    async def in_flight() -> None:
        event = await box.next()
        box.put(gone("f"))
        box.failed(event, was_sent=False)

    asyncio.run(in_flight())
    assert taken(box) == ["f-gone"]
    box.put(fault("g"))
    assert taken(box) == ["g"]
    box.put(gone("g"))
    assert taken(box) == ["g-gone"]


def test_a_press_goes_before_what_waits_and_a_refused_message_lets_others_pass() -> None:
    box, _ = outbox()
    box.put(fault("a"))
    box.put(fault("b"))
    assert tried(box).id == "a"
    box.put(press("p"))
    assert taken(box) == ["p", "b", "a"]


def test_a_refused_press_does_not_hold_up_the_rest() -> None:
    box, _ = outbox()
    box.put(press("p"))
    box.put(fault("a"))
    assert [tried(box).id, tried(box).id, tried(box).id] == ["p", "a", "p"]


def test_what_helps_nobody_any_more_is_dropped_but_never_a_press() -> None:
    box, clock = outbox()
    box.put(Event(kind=Kind.ATTENTION, id="colleague", until_ns=clock.now_ns + SECOND))
    box.put(press("p"))
    clock.now_ns += 10_000 * SECOND
    first, second = taken(box)
    assert first == "p"
    assert second.startswith("outage-webhook-1-"), "who missed something is told that"
    assert box.channel(clock.now_ns).dropped == 1


def test_of_signs_of_life_one_waits() -> None:
    box, clock = outbox()
    for number in range(100):
        box.put(Event(kind=Kind.ALIVE, id=f"alive-{number}", until_ns=clock.now_ns))
    assert taken(box) == ["alive-99"]
    assert box.channel(clock.now_ns).dropped == 0


def test_the_same_event_waits_once() -> None:
    box, _ = outbox()
    box.put(press("p"))
    box.put(press("p"))
    assert taken(box) == ["p"]


def test_pauses_grow_to_a_cap_and_differ_from_device_to_device() -> None:
    longest = [pause_s(failures, 1.0) for failures in range(1, 40)]
    assert longest[0] == 1.0
    assert all(before <= after for before, after in pairwise(longest))
    assert longest[-1] == 30.0
    assert pause_s(1, 0.0) == 0.5
    assert pause_s(10_000_000, 0.0) == 15.0


def test_a_press_ends_a_pause() -> None:
    box, _ = outbox()
    for _ in range(10):
        box.failed()

    async def story() -> None:
        waiting = asyncio.create_task(box.pause())
        await asyncio.sleep(0)
        box.put(fault("f"))
        await asyncio.sleep(0)
        assert not waiting.done()
        box.put(press("p"))
        await asyncio.wait_for(waiting, 5)

    asyncio.run(story())
