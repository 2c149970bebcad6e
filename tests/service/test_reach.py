"""What the page process drags in, and what it can reach."""

from __future__ import annotations

import json
import subprocess
import sys

NEVER = ["av", "cv2", "numpy", "sounddevice", "pyrage", "gpiozero", "picamera2", "sqlite3", "cryptography"]
OTHERS = ["edge.panel", "edge.recorder", "edge.vault", "edge.desk", "edge.durable"]


def loaded(code: str) -> set[str]:
    script = f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    return set(json.loads(done.stdout))


def test_the_page_loads_no_media_library_and_none_of_the_other_processes() -> None:
    modules = loaded("import service.app, service.process")
    assert "service.page" in modules
    assert not modules & {*NEVER, *OTHERS}


def test_the_check_above_can_fail() -> None:
    assert "sqlite3" in loaded("import service.app, sqlite3")
