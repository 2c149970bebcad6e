"""What the page's configuration asks for at its door, read and judged: TLS, password, names. Called at the start only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge.config import Page
from edge.errors import BadConfig
from edge.ports import Clock
from service.password import PasswordHash, read_hash
from service.tls import Certificate, Tls, load_tls


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrance:
    """How the page is reached. `names`: what browsers may call it, beside the names of loopback."""

    names: frozenset[str] = frozenset()
    tls: Tls | None = None
    password: PasswordHash | None = None

    def warnings(self, now_wall_ns: int) -> tuple[str, ...]:
        """What the administrator must know of it."""
        warning = None if self.tls is None else self.tls.certificate.warning_at(now_wall_ns)
        return () if warning is None else (warning,)


def open_entrance(page: Page, clock: Clock, credentials: Path | None) -> Entrance:
    """Read what the page is guarded with. Raises BadConfig with all that is wrong with it."""
    problems: list[str] = []
    tls = password = None
    names = {f"[{page.bind}]" if ":" in page.bind else page.bind, *page.names}
    try:
        tls = _tls(page, clock, credentials)
        if tls is not None:
            problems += _misnamed(page, tls.certificate)
            names.update(name for name in tls.certificate.names if "*" not in name)
    except BadConfig as err:
        problems += err.problems
    try:
        if page.password_hash is not None:
            password = read_hash(_place("password_hash", page.password_hash, credentials))
    except BadConfig as err:
        problems += err.problems
    if problems:
        raise BadConfig(problems)
    return Entrance(names=frozenset(names), tls=tls, password=password)


def _tls(page: Page, clock: Clock, credentials: Path | None) -> Tls | None:
    if page.certificate is None or page.key is None:
        return None
    now_ns = clock.wall_ns() if clock.is_trusted() else None  # a wrong clock must not take the page away
    return load_tls(
        _place("certificate", page.certificate, credentials), _place("key", page.key, credentials), now_wall_ns=now_ns
    )


def _place(setting: str, name: str, credentials: Path | None) -> Path:
    """The file that a setting names, or the systemd credential of that name."""
    path = Path(name)
    if path.is_absolute():
        return path
    if credentials is None:
        raise BadConfig([f"page.{setting}: no credentials were handed over; LoadCredential={name}:… in the unit"])
    return credentials / name


def _misnamed(page: Page, certificate: Certificate) -> list[str]:
    """Names by which no browser would find the page without a warning. Behind a proxy they are the proxy's affair."""
    if page.proxies:
        return []
    named = ", ".join(certificate.names)
    wrong = [
        f"page.names: {name}: the certificate is for {named}" for name in page.names if not certificate.covers(name)
    ]
    if not page.names and all("*" in name for name in certificate.names):
        wrong.append(f"page.names: the certificate is for {named}; say which of these names the page has")
    return wrong
