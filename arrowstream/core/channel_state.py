"""What the two ends of a channel share: the buffer, who waits, how each end has ended, and the lock around it."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

from arrowstream.core.waiters import Waiter, wake, wake_one

T = TypeVar("T")


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
