"""Blocking calls on worker threads, never abandoned half-way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from arrowstream.core.waiting import until_done

T = TypeVar("T")


class Threads:
    """Worker threads of one run, one for each party that may block."""

    __slots__ = ("_pool", "workers")

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="arrowstream")

    async def call(self, function: Callable[..., T], *arguments: object) -> T:
        """Run ``function(*arguments)`` on a thread and wait for it, also when cancelled.

        A thread cannot be interrupted. Returning while it still reads or writes would let `close` or
        `abort` run beside it, so a cancellation is passed on only once the call has ended.
        """
        future = asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            try:
                await until_done([future])
            finally:
                future.exception()  # seen: the cancellation is what the caller gets
            raise

    def close(self) -> None:
        """End the threads; every call has returned by now."""
        self._pool.shutdown(wait=True)
