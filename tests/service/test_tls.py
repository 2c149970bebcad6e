"""The page's certificate: what a browser would refuse is refused at the start, in a line that says so."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from edge.clock import SECOND, SystemClock
from edge.config import Page
from edge.errors import BadConfig
from service.entrance import Entrance, open_entrance
from service.tls import load_tls
from tests.support.certificates import NAME, NAMES, Pair, make

DAY_NS = 24 * 3600 * SECOND
NOW_NS = SystemClock().wall_ns()


class KeptClock(SystemClock):
    """A machine whose clock the network keeps right, or not."""

    def __init__(self, *, is_kept: bool) -> None:
        super().__init__()
        self.is_kept = is_kept

    def is_trusted(self) -> bool:
        return self.is_kept


KEPT = KeptClock(is_kept=True)


def told(pair: Pair) -> tuple[str, ...]:
    with pytest.raises(BadConfig) as refused:
        load_tls(pair.certificate, pair.key, now_wall_ns=NOW_NS)
    return refused.value.problems


def opened(pair: Pair, *, clock: SystemClock = KEPT, **page: object) -> Entrance:
    places = {"certificate": str(pair.certificate), "key": str(pair.key)}
    return open_entrance(Page.model_validate({**places, **page}), clock, None)


def test_a_sound_certificate_serves_no_tls_older_than_1_2(tmp_path: Path) -> None:
    pair = make(tmp_path)
    tls = load_tls(pair.certificate, pair.key, now_wall_ns=NOW_NS)
    assert tls.context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert tls.certificate.names == NAMES
    assert tls.certificate.warning_at(NOW_NS) is None
    assert "context" not in repr(tls)


def test_a_certificate_that_is_not_there_or_cannot_be_read_is_told_with_its_key(tmp_path: Path) -> None:
    pair = make(tmp_path)
    pair.certificate.unlink()
    pair.key.unlink()
    pair.key.mkdir()
    assert told(pair) == (
        f"page.certificate: {pair.certificate}: cannot be read: No such file or directory",
        f"page.key: {pair.key}: cannot be read: Is a directory",
    )


def test_the_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    pair, other = make(tmp_path / "a"), make(tmp_path / "b")
    mixed = Pair(certificate=pair.certificate, key=other.key, authority=pair.authority)
    assert told(mixed) == (f"page.key: {other.key}: is not the key of {pair.certificate}",)


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    pair = make(tmp_path)
    pair.key.chmod(0o644)
    assert told(pair) == (f"page.key: {pair.key}: others may read it; chmod o= it",)


def test_a_key_with_a_passphrase_is_refused_and_nobody_is_asked_for_it(tmp_path: Path) -> None:
    pair = make(tmp_path, passphrase=b"geheim")
    [line] = told(pair)
    assert line.startswith(f"page.key: {pair.key}: has a passphrase")


def test_what_is_no_certificate_is_refused(tmp_path: Path) -> None:
    pair = make(tmp_path)
    pair.certificate.write_text("-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----\n", "ascii")
    [line] = told(pair)
    assert line.startswith(f"page.certificate: {pair.certificate} with {pair.key}: no PEM certificate and key: ")


def test_a_certificate_that_is_not_for_servers_is_refused(tmp_path: Path) -> None:
    pair = make(tmp_path, is_for_clients=True)
    problem = f"page.certificate: {pair.certificate}: browsers would refuse it: unsuitable certificate purpose"
    assert told(pair) == (problem,)


def test_a_certificate_without_a_name_is_refused(tmp_path: Path) -> None:
    [line] = told(make(tmp_path, names=()))
    assert "holds no name (subjectAltName)" in line


@pytest.mark.parametrize(
    ("begins", "ends", "why"), [(-9, -1, "ended 20"), (1, 9, "begins 20")], ids=["expired", "early"]
)
def test_a_certificate_of_another_time_is_refused_by_a_clock_that_is_right(
    tmp_path: Path, begins: float, ends: float, why: str
) -> None:
    pair = make(tmp_path, begins_days=begins, ends_days=ends)
    with pytest.raises(BadConfig, match=f"^page.certificate: {pair.certificate}: {why}"):
        opened(pair)
    entrance = opened(pair, clock=KeptClock(is_kept=False))  # a wrong clock does not take the page away
    [warning] = entrance.warnings(NOW_NS)
    assert warning.startswith(f"page certificate: {why}")


def test_the_last_30_days_are_a_warning(tmp_path: Path) -> None:
    entrance = opened(make(tmp_path, ends_days=40))
    assert entrance.tls is not None
    until_ns = entrance.tls.certificate.until_ns
    assert entrance.warnings(until_ns - 30 * DAY_NS) == ()
    [warning] = entrance.warnings(until_ns - 30 * DAY_NS + SECOND)
    assert warning.startswith("page certificate: ends 20")
    assert ", in 29 days; " in warning
    assert "ended" in entrance.warnings(until_ns)[0]
    assert Entrance().warnings(NOW_NS) == ()


def test_the_page_has_the_names_of_its_certificate_and_of_its_settings(tmp_path: Path) -> None:
    pair = make(tmp_path, names=("Room.example", "*.gemeente.example", "10.1.2.3", "fd00::1"))
    assert opened(pair, names=[NAME]).names == {"127.0.0.1", NAME, "room.example", "10.1.2.3", "[fd00::1]"}


def test_a_name_that_the_certificate_has_not_is_refused_but_behind_a_proxy(tmp_path: Path) -> None:
    pair = make(tmp_path, names=("room.example", "*.gemeente.example"))
    for name in ("gemeente.example", "a.b.gemeente.example", "other.example"):
        with pytest.raises(BadConfig, match=rf"^page.names: {name}: the certificate is for room.example, \*"):
            opened(pair, names=[name])
        assert name in opened(pair, names=[name], proxies=["10.1.2.9"]).names


def test_a_certificate_for_any_name_needs_the_one_that_it_is(tmp_path: Path) -> None:
    pair = make(tmp_path, names=("*.gemeente.example",))
    with pytest.raises(BadConfig, match="say which of these names the page has"):
        opened(pair)


def test_a_credential_is_found_where_systemd_put_it(tmp_path: Path) -> None:
    make(tmp_path)
    page = Page(certificate="page.pem", key="page.key")
    assert open_entrance(page, KEPT, tmp_path).tls is not None
    with pytest.raises(
        BadConfig, match=r"^page.certificate: no credentials were handed over; LoadCredential=page.pem:"
    ):
        open_entrance(page, KEPT, None)
