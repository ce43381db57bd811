"""A task group after whose failure the task around it does not count as cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


@asynccontextmanager
async def task_group() -> AsyncIterator[asyncio.TaskGroup]:
    """`asyncio.TaskGroup`, and nothing of its cancellation is left once it has failed.

    A group cancels the task around it when a child fails. Python 3.11 and 3.12 do not take that request back if the
    group was waiting for its children then, and clean-up could not tell it from a request of somebody else.
    """
    task = asyncio.current_task()
    assert task is not None
    before = task.cancelling()
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup:
        while task.cancelling() > before:
            task.uncancel()
        raise
