"""A clip comes in pieces of megabytes; a second one takes no fresh pages from the kernel."""

from __future__ import annotations

import subprocess
import sys

import pytest

# On a thread, as the vault's: memory of a thread is another part of the heap.
PIECES = """
import resource, sys, threading
from edge.machine import freed

if "again" in sys.argv:
    freed.use_again()

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def clip():
    for clip in range(3):
        before = faults()
        pieces = [b"x" * (3 << 20) for piece in range(5)]
        del pieces
    print(faults() - before)

thread = threading.Thread(target=clip)
thread.start()
thread.join()
"""


@pytest.mark.parametrize("is_used_again", [True, False])
def test_a_clip_takes_the_pages_of_the_one_before(is_used_again: bool) -> None:
    command = [sys.executable, "-c", PIECES, *(["again"] if is_used_again else [])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    fresh = int(done.stdout)
    assert (fresh < 100) is is_used_again, f"{fresh} of {5 * (3 << 20) // 4096} pages"
