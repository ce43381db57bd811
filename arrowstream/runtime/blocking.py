"""Running a coroutine from plain code, also where a loop is running already (Jupyter)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run_blocking(start: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run ``start()`` to its end and return what it gives.

    Without a running loop that is `asyncio.run`. Inside one (a notebook's) it runs on a thread with a
    loop of its own, while this thread waits; an interrupt cancels it there and waits for its clean-up.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        beside = False
    else:
        beside = True
    return _run_beside(start) if beside else asyncio.run(start())


def _run_beside(start: Callable[[], Coroutine[Any, Any, T]]) -> T:
    results: list[T] = []
    failures: list[BaseException] = []
    running: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = []

    async def noted() -> T:
        task = asyncio.current_task()
        assert task is not None
        running.append((asyncio.get_running_loop(), task))
        return await start()

    def run() -> None:
        try:
            results.append(asyncio.run(noted()))
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run, name="arrowstream-loop")
    thread.start()
    try:
        thread.join()
    except BaseException:
        for loop, task in running:
            loop.call_soon_threadsafe(task.cancel)
        thread.join()
        raise
    if failures:
        raise failures[0]
    return results[0]
