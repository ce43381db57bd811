"""What both ends of a channel share: the buffer, who waits and how it is woken, how each end has ended, a lock."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

from arrowstream.core.waiting import running_loop

T = TypeVar("T")


Waiter = asyncio.Future[None] | threading.Event
"""A task waits for a future of its own event loop, a plain thread for an event."""


@dataclass(frozen=True, slots=True)
class ChannelStatistics:
    """What a channel holds at one moment.

    Parameters
    ----------
    length, nbytes
        Items in the buffer, and their bytes.
    capacity
        Items the buffer holds at most.
    waiting_senders, waiting_receivers
        Tasks and threads that wait for room, and for an item.
    """

    length: int
    nbytes: int
    capacity: int
    waiting_senders: int
    waiting_receivers: int


class ChannelState(Generic[T]):
    """The state of one channel; its methods and fields are used under `lock`, but for `wait`."""

    __slots__ = (
        "buffer",
        "capacity",
        "lock",
        "max_nbytes",
        "nbytes",
        "receiver_closed",
        "receiver_failure",
        "receivers",
        "sender_closed",
        "sender_failure",
        "senders",
    )

    def __init__(self, capacity: int, max_nbytes: int) -> None:
        # Reentrant: a finaliser or a signal handler may close an end while this thread holds the lock.
        self.lock = threading.RLock()
        self.capacity = capacity
        self.max_nbytes = max_nbytes
        self.nbytes = 0
        self.buffer: deque[tuple[T, int]] = deque()
        self.senders: deque[Waiter] = deque()
        self.receivers: deque[Waiter] = deque()
        self.sender_closed = False
        self.receiver_closed = False
        self.sender_failure: BaseException | None = None
        self.receiver_failure: BaseException | None = None

    def statistics(self) -> ChannelStatistics:
        with self.lock:
            return ChannelStatistics(
                len(self.buffer), self.nbytes, self.capacity, len(self.senders), len(self.receivers)
            )

    def wake_all(self) -> None:
        for waiters in (self.senders, self.receivers):
            while waiters:
                wake(waiters.popleft())

    async def wait(self, waiter: asyncio.Future[None], waiters: deque[Waiter]) -> None:
        """Wait to be woken; if cancelled at the very moment of waking, hand the wake-up to the next in line."""
        try:
            await waiter
        except asyncio.CancelledError:
            self.give_up(waiter, waiters)
            raise

    def give_up(self, waiter: Waiter, waiters: deque[Waiter]) -> None:
        """Stop waiting; a wake-up that came all the same goes to the next in line."""
        with self.lock:
            if waiter in waiters:
                waiters.remove(waiter)
            else:
                wake_one(waiters)


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
