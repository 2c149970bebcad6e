"""The device's signing key (Ed25519): what the vault writes about a clip is signed with it.

A signature file holds the raw 64 bytes, so that stock tools check it:
`openssl pkeyutl -verify -pubin -inkey device.pub.pem -rawin -in birth.json -sigfile birth.json.sig`.
The key signs and never decrypts; footage is sealed to other keys, which are not here.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from edge.durable import Disk
from edge.errors import Refused, StoreError
from edge.vault.store import Store

SIGNATURE_SUFFIX = ".sig"
_CREDENTIAL = "device.key"


class DeviceKey:
    """Signs and checks. Any thread. Without its private half it only checks (the second enforcer, at need)."""

    def __init__(self, public: Ed25519PublicKey, private: Ed25519PrivateKey | None) -> None:
        self._public = public
        self._private = private
        # Without the private half no mark can be believed, so every comparison with one must fail.
        raw = (
            os.urandom(32)
            if private is None
            else private.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        )
        self._memo_key = hashlib.sha256(b"spreekkamer catalog memo\0" + raw).digest()

    def __repr__(self) -> str:
        return f"DeviceKey(can_sign={self._private is not None})"

    @property
    def public_pem(self) -> bytes:
        return self._public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def sign(self, data: bytes) -> bytes:
        """The 64 bytes of the signature. Raises StoreError without the private half."""
        if self._private is None:
            raise StoreError("the device's private key is not here, so nothing can be signed")
        return self._private.sign(data)

    def is_signed(self, data: bytes, signature: bytes) -> bool:
        """This device signed exactly these bytes."""
        try:
            self._public.verify(signature, data)
        except InvalidSignature:
            return False
        return True

    def memo(self, data: bytes) -> bytes:
        """A mark that only this device can make: "I checked the signature of these bytes before".

        Checking a mark costs a fiftieth of checking a signature; a hand that edits the catalog cannot make one.
        """
        return hmac.digest(self._memo_key, data, "sha256")


def load_or_make(disk: Disk, store: Store, credentials: Path | None) -> DeviceKey:
    """The device's key: systemd's credential, else the store's own, made at the first start.

    Raises Refused when the key that is there cannot be read: a new one would make every clip look forged.
    """
    path = _private_path(store, credentials)
    if not path.exists() and path == store.device_key:
        fresh = Ed25519PrivateKey.generate()
        disk.create(path, fresh.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    try:
        key = _from_private(path)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as err:
        raise Refused(f"{path}: not a readable Ed25519 key in PEM; put the device's key back") from err
    if not store.device_public.exists() or store.device_public.read_bytes() != key.public_pem:
        disk.replace(store.device_public, key.public_pem)
    return key


def load(store: Store, credentials: Path | None) -> DeviceKey:
    """The key that is there; only its public half when the private one cannot be read. Raises StoreError."""
    try:
        return _from_private(_private_path(store, credentials))
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm):
        pass  # the public half is enough to check what was promised
    try:
        public = load_pem_public_key(store.device_public.read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm) as err:
        raise StoreError(f"{store.device_public}: cannot be read: {err}") from err
    if not isinstance(public, Ed25519PublicKey):
        raise StoreError(f"{store.device_public}: not an Ed25519 key")
    return DeviceKey(public, None)


def _private_path(store: Store, credentials: Path | None) -> Path:
    if credentials is not None and (credentials / _CREDENTIAL).exists():
        return credentials / _CREDENTIAL
    return store.device_key


def _from_private(path: Path) -> DeviceKey:
    private = load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(private, Ed25519PrivateKey):
        raise TypeError("not an Ed25519 key")
    return DeviceKey(private.public_key(), private)
