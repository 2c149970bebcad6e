"""What the API answers, as the OpenAPI shows it: a room in order with one clip of yesterday. Made up."""

from __future__ import annotations

import json
from typing import Any, Final

_CLIP: Final[dict[str, Any]] = {
    "id": "20261121T101502Z-k3f9",
    "pressed_at": "2026-11-21T10:15:02Z",
    "expires_at": "2026-11-24T10:15:02Z",
    "expires_in_seconds": 172801.0,
    "held": False,
    "held_until": None,
    "state": "complete",
    "safe_seconds": 67.0,
    "continues": None,
    "outcome": "threat",
}
_DELETED: Final = {"id": "20261119T134410Z-m7qz", "at": "2026-11-22T09:40:12Z"}

STATUS: Final[dict[str, Any]] = {
    "room": "Spreekkamer 2",
    "building": "Stadhuis",
    "state": "listening",
    "in_order": True,
    "as_of": "2026-11-22T10:15:01Z",
    "age_seconds": 0.1,
    "information": [
        {"process": name, "is_heard": True, "is_stale": False, "age_seconds": 0.1}
        for name in ("panel", "recorder", "vault")
    ],
    "ring": {"seconds": 29.5, "promised_seconds": 30.0, "bytes": 15123456, "is_wiped": False},
    "sources": [{"name": "camera", "track": "picture", "state": "good", "age_ms": 40, "reopened": 0}],
    "written_bytes": 0,
    "alarm": {"is_on": False, "on_since": None, "latency_ms": 1.2},
    "clips": [_CLIP],
    "clips_total": 1,
    "deleted": [_DELETED],
    "storage": {
        "free_bytes": 24000000000,
        "reserved_bytes": 1500000000,
        "reserve_wanted_bytes": 1500000000,
        "checked_at": "2026-11-22T10:14:30Z",
    },
    "faults": [],
    "warnings": [],
    "ledger": {
        "head": "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef",
        "entries": 412,
        "anchored_at": None,
    },
    "self_test": {"result": "passed", "at": "2026-11-22T03:15:02Z", "age_seconds": 25200.0},
    "drill": {
        "is_waiting": False,
        "waiting_since": None,
        "waiting_seconds": None,
        "opened_at": "2026-09-12T10:15:02Z",
        "opened_age_seconds": 6134400.0,
    },
    "button": {"was_pressed": True, "pressed_at": "2026-11-21T10:15:02Z", "age_seconds": 86400.0},
    "notifications": [{"name": "mqtt", "failing_seconds": None, "waiting": 0, "dropped": 0}],
}
CLIPS: Final[dict[str, Any]] = {
    "room": STATUS["room"],
    "as_of": STATUS["as_of"],
    "total": 1,
    "clips": [_CLIP],
    "deleted": [_DELETED],
}
FAULTS: Final[dict[str, Any]] = {
    "room": STATUS["room"],
    "as_of": STATUS["as_of"],
    "in_order": False,
    "faults": [
        {
            "code": "source-picture",
            "process": "recorder",
            "detail": "camera gives no picture for 12 s",
            "fix": "check its cable, power and settings",
            "since": "2026-11-22T10:14:49Z",
        }
    ],
}
FIGURES: Final[dict[str, Any]] = {
    "room": STATUS["room"],
    "period": "2026-11",
    "since": "2026-03-02",
    "until": "2026-11-22",
    "is_over": False,
    "conversations": 212,
    "presses": {"real": 1, "private": 0, "test": 1},
    "attention": 2,
    "private": 3,
    "clips": {
        "made": 1,
        "interrupted": 0,
        "held": 0,
        "exported": 0,
        "viewed": None,
        "outcomes": {"physical": 0, "verbal": 0, "threat": 1, "false-press": 0, "test": 0, "no-incident": 0},
        "deleted": 1,
        "deleted_by_cause": {
            "expired": 1,
            "false-press": 0,
            "test": 0,
            "no-incident": 0,
            "objection": 0,
            "other": 0,
        },
    },
    "deletion_delay": {"median_seconds": 1, "max_seconds": 1},
    "self_tests": {"passed": 21, "failed": 0},
    "drills_opened": 0,
    "downtime_minutes": None,
}
NO_PERIOD: Final = "2027-01 has not come yet; the newest period is 2026-11"
NO_FIGURES: Final = "the vault does not tell the figures now; after a start it counts for up to some minutes"
EVENTS: Final = f"event: status\ndata: {json.dumps(STATUS)}\n\nevent: beat\ndata: ·\n\n"
