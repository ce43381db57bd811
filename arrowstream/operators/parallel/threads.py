"""Calls on worker threads, all of which have ended when `close` returns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from arrowstream.core.waiting import until_done

T = TypeVar("T")


class ThreadCalls:
    """A pool of threads for the calls of one process.

    Parameters
    ----------
    workers
        Number of threads: calls that run at a time.
    """

    __slots__ = ("_pool", "_running")

    def __init__(self, workers: int) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="arrowstream-parallel")
        self._running: set[asyncio.Future[Any]] = set()

    async def call(self, function: Callable[..., T], *arguments: object) -> T:
        """Run ``function(*arguments)`` on a thread; a cancellation returns at once while the call runs on."""
        future = asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)
        self._running.add(future)
        future.add_done_callback(self._ended)
        # A thread cannot be interrupted: shielded, the future is done when the call is, and `close` waits for it.
        return await asyncio.shield(future)

    def _ended(self, future: asyncio.Future[Any]) -> None:
        self._running.discard(future)
        if not future.cancelled():
            future.exception()  # retrieved: without a waiter, asyncio would log it

    async def close(self) -> None:
        """Drop the calls that have not begun, wait for the others, and end the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        try:
            await until_done(self._running)
        finally:
            self._pool.shutdown(wait=True)
