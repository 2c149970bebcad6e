"""Sealing to public keys with age. pyrage only. The officer's keys are elsewhere: nothing here can open a clip.

`OneTimeKey` opens what the self-test sealed to it, and is gone with the test.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from typing import Final

import pyrage

from edge.errors import Refused, SealFailed

# age's format (age-encryption.org/v1): a header that ends with a line of its own, 16 bytes, and chunks of 64 KiB that are
# each 16 bytes longer when they are sealed; one of them is there also where nothing is sealed.
_MAC_LINE: Final = b"\n--- "
_NONCE: Final = 16  # bytes
_CHUNK: Final = 64 * 1024
_TAG: Final = 16


class _Taken(io.BytesIO):
    """What is to be sealed, read by the library bit by bit. Each of these calls lets other threads have their turn, which
    the library does not: whoever hands over what is sealed already would wait up to 7 ms for it, several times a press.
    """

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(size)


class Sealer:
    """Makes each segment a complete age file that any one of the recipients can open.

    Raises Refused when there is no recipient or one is not an age public key.
    """

    def __init__(self, recipients: Sequence[str]) -> None:
        if not recipients:
            raise Refused(
                "seal.recipients is empty: no clip could be sealed; make a key with age-keygen and put its public key there"
            )
        # One name for these keys, so that the vault sees when they were changed.
        self.fingerprint = hashlib.sha256("\n".join(sorted(recipients)).encode()).hexdigest()
        self._recipients: list[pyrage.x25519.Recipient] = []
        for number, recipient in enumerate(recipients, start=1):
            try:
                self._recipients.append(pyrage.x25519.Recipient.from_str(recipient))
            except pyrage.RecipientError as err:
                raise Refused(f"seal.recipients: number {number} is not an age public key: {err}") from err

    def __repr__(self) -> str:
        return f"Sealer({len(self._recipients)} recipients)"

    def seal(self, plain: bytes) -> bytes:
        """The age file of `plain`. Raises SealFailed, also when it is not whole: pyrage may lose its last write's error."""
        made = io.BytesIO()
        try:
            pyrage.encrypt_io(_Taken(plain), made, self._recipients)
        except (pyrage.EncryptError, OSError) as err:
            raise SealFailed(f"sealing {len(plain)} bytes failed: {err}") from err
        sealed = made.getvalue()
        if not is_whole(sealed, len(plain)):
            raise SealFailed(f"sealing {len(plain)} bytes failed: only {len(sealed)} bytes came of it")
        return sealed


def is_whole(sealed: bytes, plain_bytes: int) -> bool:
    """It is as long as the age file of so many bytes."""
    mac = sealed.find(_MAC_LINE)
    header = sealed.find(b"\n", mac + 1) + 1
    chunks = max(1, -(-plain_bytes // _CHUNK))
    return mac > 0 and header > 0 and len(sealed) == header + _NONCE + plain_bytes + chunks * _TAG


class OneTimeKey:
    """A fresh age identity that never leaves RAM."""

    def __init__(self) -> None:
        self._identity = pyrage.x25519.Identity.generate()
        self.recipient = str(self._identity.to_public())

    def __repr__(self) -> str:
        return "OneTimeKey()"

    def open(self, sealed: bytes) -> bytes:
        """What was sealed to this key. Raises SealFailed when it is damaged, or was sealed to another one."""
        try:
            plain: bytes = pyrage.decrypt(sealed, [self._identity])
        except pyrage.DecryptError as err:
            raise SealFailed(f"{len(sealed)} sealed bytes cannot be opened: {err}") from err
        return plain
