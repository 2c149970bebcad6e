"""Run in the guest by its own Python, with nothing of the product: wait until a process's snapshot says something.

watch.py SOCKET PATIENCE_S KEY=JSON... prints the first snapshot in which each KEY (`ring.seconds`; `>5` for more than 5)
has this value; after so long the last one, and exit 1.
"""

import json
import socket
import sys
import time


def snapshot(path: str) -> object:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        return json.loads(b"".join(iter(lambda: connection.recv(65536), b"")))


def holds(told: object, key: str, wanted: str) -> bool:
    for name in key.split("."):
        told = told.get(name) if isinstance(told, dict) else None
    if wanted.startswith(">"):
        return isinstance(told, int | float) and told > float(wanted[1:])
    return bool(told == json.loads(wanted))


def watch(path: str, patience_s: float, wanted: list[list[str]]) -> bool:
    deadline = time.monotonic() + patience_s
    while True:
        try:
            told = snapshot(path)
        except (OSError, ValueError) as err:  # it is not there yet
            told = repr(err)
        is_done = all(holds(told, key, value) for key, value in wanted)
        if is_done or time.monotonic() > deadline:
            print(json.dumps(told))
            return is_done
        time.sleep(0.1)


sys.exit(not watch(sys.argv[1], float(sys.argv[2]), [one.split("=", 1) for one in sys.argv[3:]]))
