"""Running a coroutine from plain code, also where a loop is running already (Jupyter)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from arrowstream.core.waiters import running_loop

T = TypeVar("T")


def run_blocking(start: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run ``start()`` to its end and return what it gives.

    Without a running loop that is `asyncio.run`. Inside one (a notebook's) it runs on a thread with a
    loop of its own, while this thread waits; an interrupt cancels it there and waits for its clean-up.
    """
    results: list[T] = []
    failures: list[Exception] = []

    async def kept() -> None:
        # Not as the task's own result: asyncio.run has that written out (the signal module puts the old
        # handler, which holds the task, into a message that nobody reads). Of a frame this takes longer
        # than a small run, and where Polars cannot write a value, the rows and the handler are lost.
        # Nor as its failure: a frame of asyncio.run holds the task, and the failure's traceback would hold the frame.
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
