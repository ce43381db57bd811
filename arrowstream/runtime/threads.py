"""Blocking calls on worker threads, always awaited to their end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from arrowstream.core.waiting import until_done

T = TypeVar("T")


class Threads:
    """The worker threads of one run.

    Parameters
    ----------
    workers
        Largest number of threads; each is started when it is first needed.
    """

    __slots__ = ("_pool", "workers")

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="arrowstream")

    async def call(self, function: Callable[..., T], *arguments: object) -> T:
        """Run ``function(*arguments)`` on a thread and wait for it, also when cancelled.

        A thread cannot be interrupted. Returning while it still reads or writes would let `close` or
        `abort` run at the same time, so a cancellation is raised only once the call has ended.
        """
        future = self.begin(function, *arguments)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            try:
                await until_done([future])
            finally:
                future.exception()  # marks it as retrieved; the caller gets the cancellation
            raise

    def begin(self, function: Callable[..., T], *arguments: object) -> asyncio.Future[T]:
        """Begin ``function(*arguments)`` on a thread; the caller waits for its end, whatever happens."""
        return asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)

    def close(self) -> None:
        """End the threads, after every call has returned."""
        self._pool.shutdown(wait=True)


def measured(now_ns: Callable[[], int], function: Callable[..., T], *arguments: object) -> tuple[T, int]:
    """Return the result of ``function(*arguments)`` and the nanoseconds it took.

    Called on a thread, it leaves out the hop there and back, which says nothing about the function.
    """
    begin = now_ns()
    result = function(*arguments)
    return result, now_ns() - begin
