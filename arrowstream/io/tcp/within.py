"""Waiting no longer than a time of the run's clock."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from arrowstream.core.clock import Clock
from arrowstream.core.waiting import until_done

T = TypeVar("T")


async def within(seconds: float, work: Awaitable[T], clock: Clock) -> T:
    """Return the result of `work`, which is cancelled if it takes longer.

    Raises
    ------
    TimeoutError
        It took longer.
    """
    task, timer = asyncio.ensure_future(work), asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait((task, timer), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise TimeoutError(f"it took more than {seconds:g} s")
        return task.result()
    finally:
        task.cancel()
        timer.cancel()
        await until_done((task, timer))
