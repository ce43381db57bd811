"""A task group that leaves neither a request to cancel the task around it nor a cycle of references."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any


class Tasks:
    """The tasks of a group; `create_task` adds one while the group is open."""

    __slots__ = ("_group",)

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group: asyncio.TaskGroup | None = group

    def create_task(self, work: Coroutine[Any, Any, Any], *, name: str | None = None) -> asyncio.Task[Any]:
        """Start `work` as a task of the group."""
        assert self._group is not None
        return self._group.create_task(work, name=name)

    def forget(self) -> None:
        """Drop the reference to the group, which refers to the failures of its tasks."""
        self._group = None


@asynccontextmanager
async def task_group() -> AsyncIterator[Tasks]:
    """Open an `asyncio.TaskGroup` without two things that it leaves when a task fails.

    - The request to cancel the task around it, which Python 3.11 and 3.12 do not withdraw if the group was waiting
      for its tasks then: clean-up could not distinguish it from a request of other code.
    - References from frames to the group, and so to failures whose tracebacks refer to these frames: all that they
      refer to, files of state included, would wait for the garbage collector.
    """
    task = asyncio.current_task()
    assert task is not None
    before = task.cancelling()
    group = asyncio.TaskGroup()
    tasks = Tasks(group)
    try:
        async with group:
            yield tasks
    except BaseExceptionGroup:
        while task.cancelling() > before:
            task.uncancel()
        raise
    finally:
        tasks.forget()
        del group
