"""The batches of a run, one by one, for loops of the surrounding program."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

from arrowstream.core.channel import Receiver
from arrowstream.core.clock import Clock, PausingClock
from arrowstream.core.failures import FAILURES
from arrowstream.core.waiting import running_loop, until_done
from arrowstream.errors import PeerGone, PlanError
from arrowstream.runtime.report import RunReport, log_losses

T = TypeVar("T")
R = TypeVar("R")


async def iterate(
    run: Callable[[], Coroutine[Any, Any, RunReport]], stop: Callable[[], None], received: Receiver[T]
) -> AsyncGenerator[T, None]:
    """Run a pipeline and yield what its sink sends into a channel.

    Parameters
    ----------
    run
        Runs the pipeline to its end.
    stop
        Stops the run gently.
    received
        The receiving end of the channel, whose capacity bounds how far the run is ahead of the loop.

    Raises
    ------
    ArrowstreamError
        The run failed, also while it was being stopped.
    """
    running: asyncio.Future[RunReport] = asyncio.ensure_future(run())
    try:
        try:
            with suppress(PeerGone):  # the failure that it names is that of the run
                async for item in received:
                    yield item
        except GeneratorExit:
            stop()
            with suppress(PeerGone):
                async for _ in received:
                    pass
            log_losses(await running)
            raise
        log_losses(await running)
    finally:
        # Cancelled, also while the run was being stopped, or an error was thrown in: nobody receives its batches.
        if not running.done():
            running.cancel()
            with suppress(asyncio.CancelledError, *FAILURES):
                await until_done([running])
                await running


def iterate_blocking(stream: Callable[[Clock], AsyncGenerator[T, None]]) -> Iterator[T]:
    """Yield the items of an async generator on an event loop that runs while the next one is waited for.

    Parameters
    ----------
    stream
        Returns the generator, given the clock of the run. It stands still while the event loop does: the time that
        the loop over the items takes counts for no time limit, and no source is idle meanwhile.

    Raises
    ------
    PlanError
        An event loop runs on this thread, and would be blocked.
    """
    _check_no_loop()
    return _items(stream)


def _items(stream: Callable[[Clock], AsyncGenerator[T, None]]) -> Iterator[T]:
    clock = PausingClock()
    runner = asyncio.Runner()
    items = stream(clock)

    async def following() -> tuple[T] | None:
        try:
            return (await anext(items),)
        except StopAsyncIteration:
            return None

    def run(work: Coroutine[Any, Any, R]) -> R:
        with clock.running():
            return runner.run(work)

    def close() -> None:
        with runner:
            run(items.aclose())

    try:
        while found := run(following()):
            yield found[0]
            _check_no_loop()
    finally:
        _outside_a_loop(close)


def _check_no_loop() -> None:
    """Raise if an event loop runs on this thread."""
    if running_loop() is not None:
        raise PlanError(
            "a for loop over a builder would block the event loop that runs on this thread",
            expected="async for batch in builder",
            hint="in a notebook write async for as well, or collect_sync() for one frame",
        )


def _outside_a_loop(work: Callable[[], None]) -> None:
    """Do `work`, which runs an event loop, and wait for it: on a new thread if an event loop runs on this one.

    A generator is also closed by a program that has meanwhile started a loop, or by the garbage collector.
    """
    if running_loop() is None:
        return work()
    with ThreadPoolExecutor(1, "arrowstream-loop") as threads:
        threads.submit(work).result()
