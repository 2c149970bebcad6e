"""Sealing to public keys with age. pyrage only. The officer's keys are elsewhere: nothing here can open a clip.

`OneTimeKey` opens what the self-test sealed to it, and is gone with the test.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pyrage

from edge.errors import Refused, SealFailed


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
        """The age file of `plain`. Whole segments only: pyrage's streaming form may lose its last write's error."""
        try:
            sealed: bytes = pyrage.encrypt(plain, self._recipients)
        except pyrage.EncryptError as err:
            raise SealFailed(f"sealing {len(plain)} bytes failed: {err}") from err
        return sealed


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
