"""Coroutines that end together, also one that forgets that it was told to."""

from __future__ import annotations

import asyncio
from typing import Never

import pytest

from service.notify.together import together


def test_the_first_that_fails_ends_all_and_its_error_is_told() -> None:
    ended = []

    async def fails() -> None:
        raise OSError("lost")

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("waits")

    async def story() -> None:
        with pytest.raises(OSError, match="lost"):
            await together(waits(), fails(), again_s=5)

    asyncio.run(asyncio.wait_for(story(), 20))
    assert ended == ["waits"]


def test_one_that_forgets_its_cancellation_is_cancelled_again() -> None:
    async def forgets() -> Never:
        asked = 0
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                asked += 1
                if asked == 3:
                    raise

    async def story() -> None:
        task = asyncio.create_task(together(forgets(), again_s=0.01))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(asyncio.wait_for(story(), 20))
