"""Coroutines that live and end together. As asyncio.TaskGroup, but it ends for certain.

`asyncio.wait_for` of Python 3.11, which aiomqtt stands on, forgets a cancellation that comes just when its answer does
(python/cpython#86296); a group that cancels once would then wait for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


async def together(*works: Coroutine[Any, Any, None], again_s: float) -> None:
    """Run all until one ends or fails or this is cancelled, and end the others: cancelled anew every `again_s`.

    Raises what the first one raised.
    """
    tasks = {asyncio.create_task(work) for work in works}
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        left = tasks
        while left:
            for task in left:
                task.cancel()
            _, left = await asyncio.wait(left, timeout=again_s)
        await asyncio.gather(*tasks, return_exceptions=True)  # each has ended; what it raised is looked at
