"""A bounded channel between two parties: tasks of one event loop, of several loops, or plain threads.

Two ends share one state. It is bounded in items and in bytes, so that a slow consumer slows its
producer whatever the size of a batch. Three endings are distinguished, because a stream loses data silently
where they are confused:

- *I closed it*: using an end after its own ``close()`` raises `ChannelClosed`;
- *my peer is gone*: the other end failed or closed early, which raises `PeerGone`;
- *the stream ended*: the sender closed, and iteration stops once the buffer is empty.

`send` is `send_nowait`, or, while the channel is full, a wait and another try: an item is either in
the buffer or still the caller's, so cancelling a waiting `send` or `receive` never loses one.

Every method may be called from any thread and any event loop: one lock guards the state, and a waiting task
is woken through its own loop.
"""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Generic, Self, TypeVar

from arrowstream.core.channels.sender import ANOTHER, Sender, WouldBlock, blocks_until
from arrowstream.core.channels.state import ChannelState, ChannelStatistics, wake_one
from arrowstream.core.checks import check_whole
from arrowstream.core.mistakes.explain import explain_call, explain_names
from arrowstream.core.mistakes.other_names import RECEIVER
from arrowstream.errors import ChannelClosed, PeerGone

T = TypeVar("T")
D = TypeVar("D")


@explain_names("the receiving end of a channel", RECEIVER)
class Receiver(Generic[T]):
    """The receiving end: ``async for item in rx``."""

    __slots__ = ("_state",)

    def __init__(self, state: ChannelState[T]) -> None:
        self._state = state

    def receive_nowait(self) -> T:
        """Take the next item without waiting.

        Returns
        -------
        object
            The item.

        Raises
        ------
        WouldBlock
            The channel is empty.
        StopAsyncIteration
            The stream has ended.
        ChannelClosed
            This end was closed.
        PeerGone
            The sender failed; its failure is the cause.
        """
        with self._state.lock:
            taken = self._take()
            if taken is None:
                raise WouldBlock
            return taken[0]

    def poll(self, default: D) -> T | D:
        """Take the next item without waiting.

        Parameters
        ----------
        default
            What to return if the channel is empty.

        Returns
        -------
        object
            The item, or `default`.

        Raises
        ------
        StopAsyncIteration, ChannelClosed, PeerGone
            As for `receive_nowait`.
        """
        with self._state.lock:
            taken = self._take()
            return default if taken is None else taken[0]

    def _take(self) -> tuple[T, int | None] | None:
        """Take the next item, in a tuple with its size; return None if there is none. The caller holds the lock."""
        state = self._state
        if state.receiver_closed:
            raise ChannelClosed("receiving on a channel that this side has closed", hint=ANOTHER)
        if state.buffer:
            taken = state.buffer.popleft()
            state.nbytes -= taken[1] or 0
            if state.senders:
                wake_one(state.senders)
            return taken
        if state.sender_failure is not None:
            raise PeerGone(f"the sender failed: {state.sender_failure}") from state.sender_failure
        if state.sender_closed:
            raise StopAsyncIteration
        return None

    def receive_sync(self, timeout: float | None = None) -> T:
        """Take the next item on a plain thread, blocking it while the channel is empty.

        Parameters
        ----------
        timeout
            Longest wait for an item, in seconds; None for no limit.

        Returns
        -------
        object
            The item.

        Raises
        ------
        TimeoutError
            No item came in time.
        ChannelError
            An event loop runs on this thread, and would be blocked.
        StopAsyncIteration, ChannelClosed, PeerGone
            As for `receive_nowait`.
        """
        state = self._state
        end = blocks_until("receive_sync", "async for item in rx", timeout)
        while True:
            with state.lock:
                if (taken := self._take()) is not None:
                    return taken[0]
                waiter = threading.Event()
                state.receivers.append(waiter)
            if not waiter.wait(end - time.monotonic()):
                state.give_up(waiter, state.receivers)
                raise TimeoutError(f"the channel stayed empty for {timeout} s")

    async def __anext__(self) -> T:
        state = self._state
        while True:
            # Under one lock: a send between the try and the wait would wake no task.
            with state.lock:
                if (taken := self._take()) is not None:
                    return taken[0]
                waiter = asyncio.get_running_loop().create_future()
                state.receivers.append(waiter)
            await state.wait(waiter, state.receivers)

    def __aiter__(self) -> Self:
        return self

    def close(self) -> None:
        """Close: what is buffered is dropped, and the sender gets `PeerGone`. Idempotent."""
        state = self._state
        with state.lock:
            state.receiver_closed = True
            state.buffer.clear()
            state.nbytes = 0
            state.wake_all()

    def fail(self, cause: BaseException) -> None:
        """Close because of a failure.

        Parameters
        ----------
        cause
            The failure, which becomes the cause of the sender's `PeerGone`.
        """
        with self._state.lock:
            if not self._state.receiver_closed:
                self._state.receiver_failure = cause
                self.close()

    def statistics(self) -> ChannelStatistics:
        """Return what the channel holds at this moment."""
        return self._state.statistics()


@explain_call
def channel(capacity: int = 16, *, nbytes: int = 256 * 2**20) -> tuple[Sender[T], Receiver[T]]:
    """Make a channel between two tasks or threads, of the same or of different event loops.

    Parameters
    ----------
    capacity
        Number of items in the channel from which `send` waits.
    nbytes
        Number of bytes in the channel from which `send` waits; an item without an ``nbytes`` attribute counts as
        0 bytes. An item larger than this passes alone.

    Returns
    -------
    tuple of (Sender, Receiver)
        The two ends.

    Raises
    ------
    PlanError
        A limit is not a whole number of at least 1.

    Examples
    --------
    >>> import asyncio
    >>> async def main():
    ...     tx, rx = channel(capacity=2)
    ...     await tx.send("a")
    ...     tx.close()
    ...     return [item async for item in rx]
    >>> asyncio.run(main())
    ['a']
    """
    check_whole("channel(capacity=...)", capacity)
    check_whole("channel(nbytes=...)", nbytes)
    state: ChannelState[T] = ChannelState(capacity, nbytes)
    return Sender(state), Receiver(state)


__all__ = ["ChannelStatistics", "Receiver", "Sender", "WouldBlock", "channel"]
