"""A real vault process for tests: `python keep_child.py STORE RUN RETENTION_S`. SIGTERM stops it properly."""

from __future__ import annotations

import signal
import sys
import threading

from edge.config import Config
from edge.errors import Refused
from edge.vault.process import run


def main() -> int:
    store, runs, retention_s = sys.argv[1:4]
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    config = Config.model_validate(
        {
            "room": {"name": "Kamer 1"},
            "panel": {"panic": {"pin": 17}, "alarm": {"pin": 5}},
            "retention": {"seconds": int(retention_s), "reserve_clips": 0},
            "paths": {"store": store, "run": runs},
        }
    )
    try:
        run(config, stop)
    except Refused as err:
        print(err, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
