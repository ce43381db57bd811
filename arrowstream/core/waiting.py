"""Waiting for work that cannot be interrupted, who would be blocked by it, and how long a thread waited."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from threading import current_thread, local, main_thread
from time import monotonic_ns
from typing import Any

_thread = local()


async def until_done(futures: Iterable[asyncio.Future[Any]]) -> None:
    """Wait until all futures are done, with or without failure, even if the caller is cancelled meanwhile.

    Raises
    ------
    CancelledError
        The caller was cancelled; raised only once all futures are done.
    """
    waiting = {future for future in futures if not future.done()}
    cancelled: asyncio.CancelledError | None = None
    while waiting:
        try:
            await asyncio.wait(waiting)
        except asyncio.CancelledError as error:
            cancelled = error
        waiting = {future for future in waiting if not future.done()}
    if cancelled is not None:
        raise cancelled


def call_on(loop: asyncio.AbstractEventLoop, function: Callable[..., object], *arguments: object) -> None:
    """Call a function on a loop, from any thread; do nothing if the loop has ended meanwhile."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(function, *arguments)


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the event loop that runs on this thread, or None."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def in_cell() -> bool:
    """Return whether IPython runs the caller, in a notebook or its terminal, on the thread that it interrupts."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and current_thread() is main_thread()


@contextmanager
def waits_outside() -> Iterator[None]:
    """Count the time of the block as time in which this thread waits for something outside, such as a pipe."""
    begin = monotonic_ns()
    try:
        yield
    finally:
        _thread.waited_ns = waited_outside_ns() + monotonic_ns() - begin


def waited_outside_ns() -> int:
    """Return the nanoseconds for which this thread has waited for something outside so far."""
    waited_ns: int = getattr(_thread, "waited_ns", 0)
    return waited_ns
