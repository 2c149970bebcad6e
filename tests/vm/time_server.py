"""A time server on the guest's own loopback: `time_server.py SECONDS_SINCE_1970`, which is what it takes for now.

It tells the same time line whatever becomes of the machine's own clock. A plain script; SNTP as in RFC 4330.
"""

import socket
import struct
import sys
import time

_SINCE_1900 = 2_208_988_800  # seconds from 1900, where NTP begins, to 1970
_SERVER, _STRATUM = 0b00_100_100, 1  # no leap second, version 4, mode 4

offset = float(sys.argv[1]) + _SINCE_1900 - time.clock_gettime(time.CLOCK_BOOTTIME)


def now() -> bytes:
    """32 bits of seconds and 32 of their fraction."""
    return struct.pack(">Q", round((offset + time.clock_gettime(time.CLOCK_BOOTTIME)) * 2**32) % 2**64)


with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
    server.bind(("127.0.0.1", 123))
    while True:
        asked, who = server.recvfrom(1024)
        received = now()
        head = struct.pack(">BBbbII4s", _SERVER, _STRATUM, 4, -20, 0, 0, b"TEST")
        server.sendto(head + received + asked[40:48] + received + now(), who)
