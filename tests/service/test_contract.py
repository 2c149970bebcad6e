"""The API and its OpenAPI say the same: asked by schemathesis, and the examples are real answers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from service import examples
from service.figures import Figures
from service.rooms import ClipList, FaultList, RoomStatus
from tests.service.test_app import House, calm  # noqa: F401 - a fixture
from tests.support.processes import IS_LONG


@pytest.mark.parametrize(
    ("kind", "example"),
    [
        (RoomStatus, examples.STATUS),
        (ClipList, examples.CLIPS),
        (FaultList, examples.FAULTS),
        (Figures, examples.FIGURES),
    ],
)
def test_each_example_is_an_answer(kind: type, example: dict[str, object]) -> None:
    adapter: TypeAdapter[object] = TypeAdapter(kind)
    assert adapter.dump_python(adapter.validate_python(example), mode="json") == example


def test_every_operation_has_an_example(calm: House) -> None:  # noqa: F811
    paths = calm.client.get("/api/v1/openapi.json").json()["paths"]
    for path, operation in paths.items():
        if path.startswith("/api/"):
            [content] = operation["get"]["responses"]["200"]["content"].values()
            assert content["example"], path


# A period of the right form may be one that is not known, which only the device's history tells.
_UNKNOWN_PERIODS = """
[[operations]]
include-path = "/api/v1/figures"
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", 422]
"""


def test_the_api_answers_as_its_openapi_says(calm: House, tmp_path: Path) -> None:  # noqa: F811
    (tmp_path / "schemathesis.toml").write_text(_UNKNOWN_PERIODS, "utf-8")
    url = f"http://127.0.0.1:{calm.config.page.port}/api/v1/openapi.json"
    command = [sys.executable, "-m", "schemathesis.cli", "run", url, "--exclude-path=/api/v1/events"]
    settings = ["--checks=all", "--phases=examples,coverage,fuzzing", f"--max-examples={200 if IS_LONG else 5}"]
    done = subprocess.run([*command, *settings], capture_output=True, text=True, timeout=300, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No issues found" in done.stdout
