"""The state that both ends of a channel share: the buffer, the waiters, how each end was closed, and a lock."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

from arrowstream.core.waiting import running_loop

T = TypeVar("T")


Waiter = asyncio.Future[None] | threading.Event
"""A waiting task, as a future of its event loop, or a waiting plain thread, as an event."""


@dataclass(frozen=True, slots=True)
class ChannelStatistics:
    """The contents and waiters of a channel at one moment.

    Parameters
    ----------
    length, nbytes
        Items in the buffer, and their bytes.
    capacity
        Maximum number of items in the buffer.
    waiting_senders, waiting_receivers
        Numbers of tasks and threads that wait for free capacity, and for an item.
    """

    length: int
    nbytes: int
    capacity: int
    waiting_senders: int
    waiting_receivers: int


class ChannelState(Generic[T]):
    """The state of one channel. Hold `lock` to use its methods and fields, except for `wait`."""

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
        self.buffer: deque[tuple[T, int | None]] = deque()
        """Items and their bytes; None for an item that came into the empty buffer and was not measured yet."""
        self.senders: deque[Waiter] = deque()
        self.receivers: deque[Waiter] = deque()
        self.sender_closed = False
        self.receiver_closed = False
        self.sender_failure: BaseException | None = None
        self.receiver_failure: BaseException | None = None

    def measure_first(self) -> None:
        """Add the bytes of the first item to `nbytes`, unless they are in it.

        An item in an empty buffer always fits: its size matters once another one is put next to it. A receiver that
        keeps up never pays for sizes, and those of a RecordBatch take 5 us.
        """
        if self.buffer and self.buffer[0][1] is None:
            item = self.buffer[0][0]
            size = nbytes_of(item)
            self.buffer[0] = (item, size)
            self.nbytes += size

    def statistics(self) -> ChannelStatistics:
        """Return the contents and waiters at this moment; takes the lock."""
        with self.lock:
            self.measure_first()
            return ChannelStatistics(
                len(self.buffer), self.nbytes, self.capacity, len(self.senders), len(self.receivers)
            )

    def wake_all(self) -> None:
        """Wake every waiting task and thread."""
        for waiters in (self.senders, self.receivers):
            while waiters:
                wake(waiters.popleft())

    async def wait(self, waiter: asyncio.Future[None], waiters: deque[Waiter]) -> None:
        """Wait to be woken; if cancelled after the wake-up, pass it to the next waiter."""
        try:
            await waiter
        except asyncio.CancelledError:
            self.give_up(waiter, waiters)
            raise

    def give_up(self, waiter: Waiter, waiters: deque[Waiter]) -> None:
        """Stop waiting; a wake-up that has already come goes to the next waiter."""
        with self.lock:
            if waiter in waiters:
                waiters.remove(waiter)
            else:
                wake_one(waiters)


def nbytes_of(item: object) -> int:
    """Return the ``nbytes`` of an item; 0 if it has none."""
    size = getattr(item, "nbytes", 0)
    return size if isinstance(size, int) else 0


def wake_one(waiters: deque[Waiter]) -> None:
    """Wake the first waiter that still waits."""
    while waiters:
        if wake(waiters.popleft()):
            return


def wake(waiter: Waiter) -> bool:
    """Wake a task or thread, from any thread; return False if it no longer waits."""
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
