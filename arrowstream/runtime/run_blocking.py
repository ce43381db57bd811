"""A blocking call of a coroutine, also on a thread whose event loop is running (Jupyter)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from arrowstream.core.waiting import running_loop

T = TypeVar("T")


def run_blocking(start: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run ``start()`` to its end and return its result.

    Without a running loop this is `asyncio.run`. Inside one (a notebook's) it runs on a new thread with a separate
    loop, while this thread waits; an interrupt cancels it there and waits for its clean-up.
    """
    results: list[T] = []
    failures: list[Exception] = []

    async def kept() -> None:
        # The result must not be the task's: asyncio.run formats it (the signal module puts the old handler, which
        # refers to the task, into an unused message). For a frame this takes longer than a small run, and if Polars
        # cannot format a value, the rows and the handler are lost. Nor may a failure be the task's: a frame of
        # asyncio.run refers to the task, and the failure's traceback would refer to the frame, a cycle.
        try:
            results.append(await start())
        except Exception as error:
            failures.append(error)

    if running_loop() is None:
        asyncio.run(kept())
    else:
        _run_on_thread(kept)
    if failures:
        raise failures.pop()
    return results[0]


def _run_on_thread(start: Callable[[], Coroutine[Any, Any, None]]) -> None:
    failures: list[BaseException] = []
    running: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = []

    async def noted() -> None:
        task = asyncio.current_task()
        assert task is not None
        running.append((asyncio.get_running_loop(), task))
        await start()

    def run() -> None:
        try:
            asyncio.run(noted())
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
        raise failures.pop()
