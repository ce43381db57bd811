"""Who waits at a channel, and how it is woken: a task through its own event loop, a thread through an event."""

from __future__ import annotations

import asyncio
import threading
from collections import deque

Waiter = asyncio.Future[None] | threading.Event
"""A task waits for a future of its own event loop, a plain thread for an event."""


def wake_one(waiters: deque[Waiter]) -> None:
    """Wake the first in line that still waits."""
    while waiters:
        if wake(waiters.popleft()):
            return


def wake(waiter: Waiter) -> bool:
    """Wake a task or thread from any thread; False if it does not wait any more."""
    if isinstance(waiter, threading.Event):
        waiter.set()
        return True
    if waiter.done():
        return False
    loop = waiter.get_loop()
    if running_loop() is loop:
        waiter.set_result(None)
        return True
    try:
        loop.call_soon_threadsafe(_finish, waiter)
    except RuntimeError:  # the loop was closed, and its tasks with it
        return False
    return True


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop that runs on this thread, if there is one."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
