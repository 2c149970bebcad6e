"""Passwords: what is a good one, who has to wait after wrong ones, and that none is left anywhere to be read."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from argon2 import PasswordHasher, Type
from hypothesis import given
from hypothesis import strategies as st

from edge.clock import SECOND, SystemClock
from edge.errors import BadConfig, Refused
from service import logins as logins_module
from service.guesses import FORGOTTEN_S, FREE, REMEMBERED, Guesses, network, normal
from service.logins import MISSES, PROVEN_S, WAITING, Logins, Verdict
from service.password import PasswordHash, hash_of, read_hash

PASSWORD = "vier woorden zijn één"
HASH = PasswordHash(hash_of(PASSWORD))
RIGHT, WRONG = Verdict(is_right=True), Verdict()


# The password


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("", "15 to 128"),
        ("a1b2c3d4e5f6g7", "15 to 128"),
        ("x" * 129, "15 to 128"),
        ("ababababababababab", "over and over"),
        ("vier woorden\tzijn een", "control"),
    ],
)
def test_a_bad_password_is_refused_without_being_told(password: str, why: str) -> None:
    with pytest.raises(Refused, match=why) as refused:
        hash_of(password)
    assert not password or password not in str(refused.value)


def test_the_hash_is_argon2id_as_owasp_asks_and_never_twice_the_same() -> None:
    assert HASH.text.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert hash_of(PASSWORD) != HASH.text
    assert HASH.fits(PASSWORD.encode())
    assert not HASH.fits(PASSWORD.encode()[:-1])
    assert HASH.fits("vier woorden zijn e\u0301e\u0301n".encode()), "the same signs, as another keyboard writes them"
    assert not HASH.fits(b"\xff\xfe")
    assert "argon2" not in repr(HASH)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (PASSWORD, "is no argon2id hash"),
        ("", "is no argon2id hash"),
        ("$2b$12$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "is no argon2id hash"),
        (PasswordHasher(type=Type.I).hash(PASSWORD), "is no argon2id hash"),
        (PasswordHasher(time_cost=1, memory_cost=1024).hash(PASSWORD), "guessing is quick"),
        (HASH.text.replace("m=19456", "m=4194304"), "takes more than"),
        (HASH.text.replace("t=2", "t=200"), "takes more than"),
        (HASH.text.replace("p=1", "p=64"), "takes more than"),
    ],
    ids=["password", "empty", "bcrypt", "argon2i", "cheap", "memory", "rounds", "lanes"],
)
def test_a_file_that_holds_no_fit_hash_is_refused_without_its_content(tmp_path: Path, content: str, why: str) -> None:
    file = tmp_path / "hash"
    file.write_text(f"{content}\n", "utf-8")
    with pytest.raises(BadConfig, match=why) as refused:
        read_hash(file)
    assert refused.value.problems[0].endswith("make one with `spreekkamer page password`")
    assert not content or content not in str(refused.value)


def test_a_hash_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=r"^page.password_hash: /.*/none: cannot be read: No such file"):
        read_hash(tmp_path / "none")


# Who waits


def test_mistyping_costs_nothing_and_guessing_twice_as_long_each_time() -> None:
    guesses, now_ns, waits = Guesses(), 10 * SECOND, []
    for _ in range(FREE + 9):
        guesses.wrong("n", now_ns)
        waits.append(guesses.wait_s("n", now_ns))
        now_ns += waits[-1] * SECOND
        assert guesses.wait_s("n", now_ns) == 0, "then it may try again"
    assert waits == [0] * (FREE - 1) + [1, 2, 4, 8, 16, 32] + [60] * 4
    assert guesses.wait_s("another", now_ns) == 0
    guesses.wrong("n", now_ns)
    assert guesses.wait_s("n", now_ns + 1) == 60, "a part of a second is a whole one"


def test_who_knows_the_password_or_rests_begins_anew() -> None:
    guesses = Guesses()
    for _ in range(2 * FREE):
        guesses.wrong("n", 0)
        guesses.wrong("m", 0)
    guesses.right("n")
    assert guesses.wait_s("n", 0) == 0
    later_ns = (FORGOTTEN_S + 1) * SECOND
    guesses.wrong("m", later_ns)
    assert guesses.wait_s("m", later_ns) == 0


def test_a_patient_guesser_waits_no_more_than_a_minute() -> None:
    guesses = Guesses()
    for now_s in range(1000):
        guesses.wrong("n", now_s * SECOND)
    assert guesses.wait_s("n", now_s * SECOND) == 60


def test_any_number_of_addresses_is_remembered_in_bounded_memory_the_newest_kept() -> None:
    guesses = Guesses()
    for now_ns in range(REMEMBERED + 500):
        for _ in range(FREE):
            guesses.wrong(f"n{now_ns}", now_ns)
    assert len(guesses) == REMEMBERED
    assert guesses.wait_s(f"n{now_ns}", now_ns) == 1
    assert guesses.wait_s("n0", now_ns) == 0


def test_a_v6_customer_is_one_whatever_address_is_chosen() -> None:
    assert network("2001:db8:1:2::1") == network("2001:DB8:1:2:ffff:ffff:ffff:ffff") == "2001:db8:1:2::/64"
    assert network("2001:db8:1:3::1") != network("2001:db8:1:2::1")
    assert network("10.1.2.3") == network("::ffff:10.1.2.3") == normal("::ffff:10.1.2.3") == "10.1.2.3"
    assert network("fe80::1%eth0") == "fe80::/64"


@given(st.text())
def test_an_address_may_be_anything_that_somebody_wrote(text: str) -> None:
    assert isinstance(network(text), str)


# Judging, without a server


class Clock(SystemClock):
    def __init__(self) -> None:
        super().__init__()
        self.now_ns = 0

    def boot_ns(self) -> int:
        return self.now_ns


class Counted:
    """A password whose hashing is counted, and held up while `go` is not set."""

    def __init__(self) -> None:
        self.hashed = 0
        self.go = threading.Event()
        self.go.set()

    def fits(self, guess: bytes) -> bool:
        self.hashed += 1
        assert self.go.wait(3)
        return guess == b"right"


@pytest.fixture
def counted() -> Counted:
    return Counted()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def logins(counted: Counted, clock: Clock) -> Iterator[Logins]:
    with Logins(counted, clock) as logins:  # type: ignore[arg-type]
        yield logins
        counted.go.set()


def test_a_proven_password_is_hashed_once_in_ten_minutes_for_its_network(
    logins: Logins, counted: Counted, clock: Clock
) -> None:
    async def story() -> None:
        for _ in range(5):
            assert await logins.judge("n", b"right") == RIGHT
        assert counted.hashed == 1
        clock.now_ns = PROVEN_S * SECOND
        assert await logins.judge("n", b"right") == RIGHT
        assert counted.hashed == 2
        assert await logins.judge("m", b"right") == RIGHT
        assert counted.hashed == 3, "another network proves it itself"

    asyncio.run(story())


def test_requests_that_come_together_share_one_hash(logins: Logins, counted: Counted) -> None:
    async def story() -> None:
        assert set(await asyncio.gather(*(logins.judge("n", b"right") for _ in range(6)))) == {RIGHT}
        assert counted.hashed == 1

    asyncio.run(story())


def test_who_must_wait_is_not_hashed_and_does_not_wait_longer_for_asking(
    logins: Logins, counted: Counted, clock: Clock
) -> None:
    async def story() -> None:
        for _ in range(FREE):
            assert await logins.judge("n", b"wrong") == WRONG
        for _ in range(50):
            assert await logins.judge("n", b"right") == Verdict(wait_s=1)
        assert counted.hashed == FREE
        clock.now_ns += SECOND
        assert await logins.judge("n", b"right") == RIGHT

    asyncio.run(story())


def test_who_proved_it_still_reads_while_another_program_of_the_same_desk_guesses(logins: Logins) -> None:
    async def story() -> None:
        assert await logins.judge("n", b"right") == RIGHT
        for _ in range(MISSES - 1):
            await logins.judge("n", b"wrong")
        assert await logins.judge("n", b"right") == RIGHT

    asyncio.run(story())


def test_a_proof_is_no_quick_place_to_try_passwords(logins: Logins, counted: Counted) -> None:
    async def story() -> None:
        assert await logins.judge("n", b"right") == RIGHT
        for guess in range(MISSES):
            await logins.judge("n", b"%d" % guess)
        assert (await logins.judge("n", b"right")).wait_s > 0, "it has to prove it again, and to wait for that"
        assert counted.hashed == 1 + FREE

    asyncio.run(story())


def test_a_flood_of_guesses_takes_a_bounded_number_of_places_and_one_thread(logins: Logins, counted: Counted) -> None:
    async def story() -> None:
        assert await logins.judge("reader", b"right") == RIGHT
        counted.go.clear()
        waiting = [asyncio.create_task(logins.judge(f"n{n}", b"wrong")) for n in range(WAITING)]
        await asyncio.sleep(0)
        assert await logins.judge("one more", b"right") == Verdict(wait_s=1)
        assert await logins.judge("n0", b"another") == Verdict(wait_s=1), "one guess a network at a time"
        assert await logins.judge("reader", b"right") == RIGHT, "and who has proved it is not held up"
        assert counted.hashed <= 2, "the others wait behind the one thread"
        counted.go.set()
        assert set(await asyncio.gather(*waiting)) == {WRONG}
        assert await logins.judge("one more", b"right") == RIGHT

    asyncio.run(story())


def test_the_number_of_proofs_is_bounded(logins: Logins, monkeypatch: pytest.MonkeyPatch, counted: Counted) -> None:
    monkeypatch.setattr(logins_module, "PROVEN", 3)

    async def story() -> None:
        for n in (1, 2, 3, 4):
            assert await logins.judge(f"n{n}", b"right") == RIGHT
        assert await logins.judge("n4", b"right") == RIGHT
        assert counted.hashed == 4
        assert await logins.judge("n1", b"right") == RIGHT
        assert counted.hashed == 5

    asyncio.run(story())


def test_no_password_stays_in_memory_that_something_shows(logins: Logins) -> None:
    async def story() -> None:
        await logins.judge("n", b"right")
        assert "right" not in repr(vars(logins))
        assert b"right" not in [proof.digest for proof in logins._proven.values()]
        assert "digest" not in repr(logins._proven)

    asyncio.run(story())
