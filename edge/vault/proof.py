"""What the vault signs under a proof: a statement in its own words, never bytes that somebody hands it.

The context stands in the first line, and every other thing that the device signs is a JSON object: so a statement is
never taken for a birth, a hold, a manifest or a checkpoint, nor one of these for a statement. Format: docs/prove.md.
"""

from __future__ import annotations

from typing import Final

from edge.clock import iso
from edge.vault.ledger import Head
from edge.vault.retention import Now

CONTEXT: Final = "spreekkamer proof 1"


def statement(digest: str, now: Now, last: Head) -> bytes:
    """Four lines of ASCII about the files whose list has the SHA-256 `digest` (hex); `last` is the ledger's end."""
    clock = "trusted" if now.is_trusted else "untrusted"
    lines = (CONTEXT, f"files {digest}", f"at {iso(now.wall_ns)} {clock}", f"ledger {last.seq} {last.sha256}")
    return "".join(f"{line}\n" for line in lines).encode("ascii")
