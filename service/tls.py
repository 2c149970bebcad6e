"""The page's certificate: read, tried and judged before anybody else meets it. Called at the start only.

Everything that a browser would refuse is refused here with a line that says so. A renewed certificate is taken at the
next start, which costs each reader's stream a second.
"""

from __future__ import annotations

import ssl
import stat
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Any, Final

from edge.clock import SECOND, iso
from edge.errors import BadConfig

WARN_DAYS: Final = 30
_DAY_NS: Final = 24 * 3600 * SECOND
_NO_CHECK_TIME: Final = 0x200000  # X509_V_FLAG_NO_CHECK_TIME of openssl/x509_vfy.h: times are judged here, by our clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What a certificate says. Names as a browser writes them: `room.example`, `*.example`, `10.1.2.3`, `[fd00::1]`."""

    names: tuple[str, ...]
    from_ns: int  # wall clock
    until_ns: int

    def covers(self, name: str) -> bool:
        """Whether a browser that calls us so would take it; a `*` stands for one label (RFC 6125, 6.4.3)."""
        return name in self.names or f"*.{name.partition('.')[2]}" in self.names

    def refused_at(self, now_ns: int) -> str | None:
        """Why a browser would refuse it at this time."""
        if now_ns >= self.until_ns:
            return f"ended {iso(self.until_ns)}; put a new one in its place and start the page again"
        if now_ns < self.from_ns:
            return f"begins {iso(self.from_ns)}, which is not yet"
        return None

    def warning_at(self, now_ns: int) -> str | None:
        """What the administrator must know of its time."""
        refused = self.refused_at(now_ns)
        if refused is not None:
            return f"page certificate: {refused}"
        days = (self.until_ns - now_ns) // _DAY_NS
        if days >= WARN_DAYS:
            return None
        return (
            f"page certificate: ends {iso(self.until_ns)}, in {days} days; put a renewed one in its place "
            "and start the page again"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """A certificate that works, and the server's side of TLS with it."""

    certificate: Certificate
    context: ssl.SSLContext = field(repr=False)


def load_tls(certificate: Path, key: Path, *, now_wall_ns: int | None) -> Tls:
    """Read both files and try them. `now_wall_ns` is None while nobody keeps the clock right: then no time is judged.

    Raises BadConfig with all that is wrong.
    """
    problems = [
        *_unreadable("page.certificate", certificate),
        *(_unreadable("page.key", key) or _unfit_key(key)),
    ]
    if problems:
        raise BadConfig(problems)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    try:
        context.load_cert_chain(certificate, key, password="")  # else a locked key would ask at a terminal
    except ssl.SSLError as err:
        if err.reason == "KEY_VALUES_MISMATCH":
            raise BadConfig([f"page.key: {key}: is not the key of {certificate}"]) from err
        raise BadConfig(
            [f"page.certificate: {certificate} with {key}: no PEM certificate and key: {err.reason}"]
        ) from err
    found = _certificate(certificate, _as_met(context, certificate))
    if not found.names:
        raise BadConfig([f"page.certificate: {certificate}: holds no name (subjectAltName); browsers want one"])
    if now_wall_ns is not None and (refused := found.refused_at(now_wall_ns)):
        raise BadConfig([f"page.certificate: {certificate}: {refused}"])
    return Tls(certificate=found, context=context)


def _unreadable(setting: str, path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            file.read(1)
    except OSError as err:
        return [f"{setting}: {path}: cannot be read: {err.strerror}"]
    return []


def _unfit_key(path: Path) -> list[str]:
    if path.stat().st_mode & stat.S_IRWXO:
        return [f"page.key: {path}: others may read it; chmod o= it"]
    if b"ENCRYPTED" in path.read_bytes():
        return [f"page.key: {path}: has a passphrase, and nobody is there to type it at a start; store it without"]
    return []


def _as_met(server: ssl.SSLContext, certificate: Path) -> Any:
    """The certificate as a client meets it, in a handshake with ourselves that leaves no memory.

    So nothing but the standard library reads it, and what cannot serve is found now. Raises BadConfig.
    """
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VerifyFlags(ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME)
    client.load_verify_locations(certificate)  # who signed it is the browsers' affair
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = server.wrap_bio(to_server, to_client, server_side=True)
    theirs = client.wrap_bio(to_client, to_server)
    try:
        for end in (theirs, ours, theirs, ours):  # TLS 1.3: hello, hello to finished, finished, done
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    except ssl.SSLError as err:
        why = getattr(err, "verify_message", None) or err.reason
        raise BadConfig([f"page.certificate: {certificate}: browsers would refuse it: {why}"]) from err
    return theirs.getpeercert()


def _certificate(path: Path, met: Any) -> Certificate:
    if not met:
        raise BadConfig([f"page.certificate: {path}: cannot be used for TLS"])
    return Certificate(
        names=tuple(_as_called(kind, name) for kind, name in met.get("subjectAltName", ()) if kind in _CALLABLE),
        from_ns=round(ssl.cert_time_to_seconds(met["notBefore"])) * SECOND,
        until_ns=round(ssl.cert_time_to_seconds(met["notAfter"])) * SECOND,
    )


_CALLABLE: Final = ("DNS", "IP Address")


def _as_called(kind: str, name: str) -> str:
    if kind == "DNS":
        return name.lower()
    address = ip_address(name.strip())
    return f"[{address}]" if isinstance(address, IPv6Address) else str(address)
