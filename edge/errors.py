"""Every error this product raises, on one page.

    SpreekkamerError
    ├── BadConfig         the configuration names things that cannot be (all of them at once)
    ├── Refused           a request or a start that must not go on; the line says what to do
    ├── BadMessage        bytes from another process that are not what the contract says
    ├── SourceError       a camera or microphone
    │   ├── BadSource     it can never work as configured
    │   └── SourceLost    it was there and is not any more; worth another try
    ├── SealFailed        a segment could not be sealed; nothing of it may leave RAM
    ├── VaultAway         the vault does not answer; worth another try
    ├── NotDelivered      a message did not reach who is to be told of it; worth another try
    └── StoreError        the store on disk
        ├── StoreFull     no space left
        └── NoSuchClip    no clip has this number

Libraries' own errors are translated at the adapter that imports the library and kept as the cause.
"""

from __future__ import annotations

from collections.abc import Sequence

EXIT_DONE = 0
EXIT_REFUSED = 1
# 2, wrong usage, is typer's own.
EXIT_CONFIG = 78  # EX_CONFIG of sysexits.h, so that systemd can be told not to restart on it


class SpreekkamerError(Exception):
    """The root: catching it catches everything this product raises on purpose."""


class BadConfig(SpreekkamerError):
    """The configuration cannot be used; `problems` holds one line for each mistake."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


class Refused(SpreekkamerError):
    """Refused with a reason that a person can act on."""


class BadMessage(SpreekkamerError):
    """A message from another process breaks the contract."""


class SourceError(SpreekkamerError):
    """Something about a camera or a microphone."""


class BadSource(SourceError):
    """The source can never work as it is configured."""


class SourceLost(SourceError):
    """The source stopped giving; opening it again may help."""


class SealFailed(SpreekkamerError):
    """A segment could not be sealed to the recipients."""


class VaultAway(SpreekkamerError):
    """The vault cannot be reached or does not answer in time."""


class NotDelivered(SpreekkamerError):
    """A webhook or the broker did not confirm a message; `was_sent`: it may have it all the same."""

    def __init__(self, why: str, *, was_sent: bool = True) -> None:
        super().__init__(why)
        self.was_sent = was_sent


class StoreError(SpreekkamerError):
    """The store on disk failed."""


class StoreFull(StoreError):
    """The store has no space left for this."""


class NoSuchClip(StoreError):
    """No clip in the store has this number."""
