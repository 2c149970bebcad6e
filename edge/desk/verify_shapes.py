"""What both verifiers share: the shapes of fields, public keys, text that a terminal may show. Reads, never writes."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from edge.errors import Refused

PUBLIC_KEY: Final = "device.pub.pem"
HASH: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
Is: TypeAlias = Callable[[object], bool]


def is_text(value: object) -> bool:
    return type(value) is str


def is_claim(value: object) -> bool:
    return type(value) is bool


def is_whole(value: object) -> bool:
    return type(value) is int and abs(value) < 1 << 63


def is_number(value: object) -> bool:
    return is_whole(value) or type(value) is float


def is_hash(value: object) -> bool:
    return isinstance(value, str) and HASH.fullmatch(value) is not None


def each(is_one: Is) -> Is:
    return lambda value: isinstance(value, list) and all(map(is_one, value))


def or_none(is_one: Is) -> Is:
    return lambda value: value is None or is_one(value)


def like(shape: Mapping[str, Is]) -> Is:
    return lambda value: isinstance(value, dict) and not first_unlike(shape, value)


def first_unlike(shape: Mapping[str, Is], fields: Mapping[str, Any]) -> str:
    return next((name for name, is_right in shape.items() if name not in fields or not is_right(fields[name])), "")


def fingerprint_of(key: Ed25519PublicKey) -> str:
    """SHA-256 of the public key (DER, SubjectPublicKeyInfo), as `openssl pkey -pubin -outform DER | sha256sum`."""
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def plain(text: str, limit: int = 200) -> str:
    """What a file says, without what a terminal would obey."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:limit])


def json_object(raw: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):  # ValueError: not JSON, not UTF-8, or a number of thousands of digits
        return None
    return value if isinstance(value, dict) else None


def loaded_key(path: Path) -> Ed25519PublicKey:
    try:
        key = parsed_key(path.read_bytes())
    except OSError as err:
        raise Refused(f"{path}: cannot be read: {err.strerror}") from err
    if key is None:
        raise Refused(f"{path}: not an Ed25519 public key in PEM")
    return key


def parsed_key(raw: bytes) -> Ed25519PublicKey | None:
    try:
        key = load_pem_public_key(raw)
    except (ValueError, UnsupportedAlgorithm):
        return None
    return key if isinstance(key, Ed25519PublicKey) else None
