"""A recorder whose first self-test does not wait its minute: `record_child.py CONFIG SECONDS`."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path

from edge.config import load
from edge.recorder.process import run

if __name__ == "__main__":
    sys.dont_write_bytecode = True
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    run(load(Path(sys.argv[1])), stop, first_self_test_s=float(sys.argv[2]))
