"""Certificates for tests: an authority, and what it signs for a name; right, or wrong in one way."""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edge.clock import SystemClock, utc

NAME = "spreekkamer-2.gemeente.example"
NAMES = (NAME, "localhost", "127.0.0.1")


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A certificate and its key in files, and the authority that a client trusts."""

    certificate: Path
    key: Path
    authority: Path

    def client(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.authority)


def make(
    folder: Path,
    *,
    names: tuple[str, ...] = NAMES,
    begins_days: float = -1,
    ends_days: float = 90,
    is_for_clients: bool = False,
    passphrase: bytes | None = None,
) -> Pair:
    """A new authority in `folder`, and a server's certificate signed by it."""
    folder.mkdir(exist_ok=True)
    now = utc(SystemClock().wall_ns())
    root, leaf = generate_private_key(SECP256R1()), generate_private_key(SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])

    def builder(subject: x509.Name, key: EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(days=begins_days))
            .not_valid_after(now + timedelta(days=ends_days))
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root.public_key()), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )

    signs = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    authority = (
        builder(issuer, root)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(signs, critical=True)
        .sign(root, hashes.SHA256())
    )
    usage = ExtendedKeyUsageOID.CLIENT_AUTH if is_for_clients else ExtendedKeyUsageOID.SERVER_AUTH
    server = builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)]), leaf).add_extension(
        x509.ExtendedKeyUsage([usage]), critical=False
    )
    if names:
        server = server.add_extension(x509.SubjectAlternativeName([_named(name) for name in names]), critical=False)
    pair = Pair(certificate=folder / "page.pem", key=folder / "page.key", authority=folder / "authority.pem")
    pair.certificate.write_bytes(server.sign(root, hashes.SHA256()).public_bytes(Encoding.PEM))
    lock: KeySerializationEncryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    pair.key.write_bytes(leaf.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock))
    pair.key.chmod(0o600)
    pair.authority.write_bytes(authority.public_bytes(Encoding.PEM))
    return pair


def _named(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
