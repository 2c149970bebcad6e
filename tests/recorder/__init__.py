"""Tests of the process that listens."""

import pytest

pytest.register_assert_rewrite("tests.recorder.clips", "tests.recorder.room")
