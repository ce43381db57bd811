"""A bounded channel between two tasks of one event loop.

One shared state, two ends. It is bounded twice, by items and by bytes, so that a slow consumer slows
its producer whatever the size of a batch. Three endings are kept apart, because mixing them up is
how streams lose data silently:

- *I closed it*: using an end after its own ``close()`` raises `ChannelClosed`;
- *my peer vanished*: the other end failed or went away early, `PeerGone`;
- *the stream ended*: the sender closed, and iteration stops once the buffer is empty.

`send` is `send_nowait` and, when that would overflow, a wait and another try: an item is either in
the buffer or still the caller's, so cancelling a waiting `send` or `receive` never loses one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Self, TypeVar

from arrowstream.core.checks import check_whole
from arrowstream.errors import ChannelClosed, PeerGone

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ChannelStatistics:
    """What a channel holds right now: items, their bytes, and the tasks waiting on either side."""

    length: int
    nbytes: int
    capacity: int
    waiting_senders: int
    waiting_receivers: int


class WouldBlock(Exception):
    """`send_nowait` found the channel full, or `receive_nowait` found it empty."""


class _State(Generic[T]):
    """What both ends share."""

    __slots__ = (
        "buffer",
        "capacity",
        "failure",
        "max_nbytes",
        "nbytes",
        "receiver_closed",
        "receivers",
        "sender_closed",
        "senders",
    )

    def __init__(self, capacity: int, max_nbytes: int) -> None:
        self.capacity = capacity
        self.max_nbytes = max_nbytes
        self.nbytes = 0
        self.buffer: deque[tuple[T, int]] = deque()
        self.senders: deque[asyncio.Future[None]] = deque()
        self.receivers: deque[asyncio.Future[None]] = deque()
        self.sender_closed = False
        self.receiver_closed = False
        self.failure: BaseException | None = None


class Sender(Generic[T]):
    """The end that puts items in. Use it as ``async with tx:`` to close it, or to pass a failure on."""

    __slots__ = ("_state",)

    def __init__(self, state: _State[T]) -> None:
        self._state = state

    def send_nowait(self, item: T) -> None:
        """Put `item` in, or raise `WouldBlock` if the channel is full."""
        state = self._state
        if state.sender_closed:
            raise ChannelClosed("sending on a channel that this side has closed")
        if state.receiver_closed:
            raise PeerGone("the receiver went away while there was more to send")
        size = _nbytes(item)
        # An item larger than the whole byte budget passes alone: refusing it would block for ever.
        if len(state.buffer) >= state.capacity or (state.buffer and state.nbytes + size > state.max_nbytes):
            raise WouldBlock
        state.buffer.append((item, size))
        state.nbytes += size
        _wake_one(state.receivers)

    async def send(self, item: T) -> None:
        """Put `item` in, waiting while the channel is full.

        Raises
        ------
        ChannelClosed
            This end was closed.
        PeerGone
            The receiver went away; the item was not taken.
        """
        while True:
            try:
                return self.send_nowait(item)
            except WouldBlock:
                await _wait(self._state.senders)

    def close(self) -> None:
        """End the stream: the receiver gets what is buffered, then its iteration stops. Idempotent."""
        self._state.sender_closed = True
        _wake_all(self._state)

    def fail(self, cause: BaseException) -> None:
        """Go away because of `cause`: the receiver gets what is buffered, then `PeerGone`."""
        if not self._state.sender_closed:
            self._state.failure = cause
            self.close()

    def statistics(self) -> ChannelStatistics:
        """What the channel holds right now."""
        return _statistics(self._state)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.fail(error)


class Receiver(Generic[T]):
    """The end that takes items out: ``async for item in rx``."""

    __slots__ = ("_state",)

    def __init__(self, state: _State[T]) -> None:
        self._state = state

    def receive_nowait(self) -> T:
        """The next item, or `WouldBlock` if there is none yet; `StopAsyncIteration` at the end."""
        state = self._state
        if state.receiver_closed:
            raise ChannelClosed("receiving on a channel that this side has closed")
        if state.buffer:
            item, size = state.buffer.popleft()
            state.nbytes -= size
            _wake_one(state.senders)
            return item
        if state.failure is not None:
            raise PeerGone(f"the sender failed: {state.failure}") from state.failure
        if state.sender_closed:
            raise StopAsyncIteration
        raise WouldBlock

    async def __anext__(self) -> T:
        while True:
            try:
                return self.receive_nowait()
            except WouldBlock:
                await _wait(self._state.receivers)

    def __aiter__(self) -> Self:
        return self

    def close(self) -> None:
        """Go away: what is buffered is dropped, and the sender gets `PeerGone`. Idempotent."""
        self._state.receiver_closed = True
        self._state.buffer.clear()
        self._state.nbytes = 0
        _wake_all(self._state)

    def statistics(self) -> ChannelStatistics:
        """What the channel holds right now."""
        return _statistics(self._state)


def channel(capacity: int = 16, *, nbytes: int = 256 * 2**20) -> tuple[Sender[T], Receiver[T]]:
    """A channel between two tasks.

    Parameters
    ----------
    capacity
        Items it holds before `send` waits.
    nbytes
        Bytes it holds before `send` waits (items without an ``nbytes`` count as none). An item larger
        than this passes alone.

    Raises
    ------
    PlanError
        A bound is no whole number of at least 1.

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
    state: _State[T] = _State(capacity, nbytes)
    return Sender(state), Receiver(state)


def _nbytes(item: object) -> int:
    size = getattr(item, "nbytes", 0)
    return size if isinstance(size, int) else 0


def _statistics(state: _State[T]) -> ChannelStatistics:
    return ChannelStatistics(
        len(state.buffer), state.nbytes, state.capacity, len(state.senders), len(state.receivers)
    )


async def _wait(waiters: deque[asyncio.Future[None]]) -> None:
    """Wait to be woken; if cancelled at the very moment of waking, hand the wake-up to the next in line."""
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    waiters.append(future)
    try:
        await future
    except asyncio.CancelledError:
        if future in waiters:
            waiters.remove(future)
        else:
            _wake_one(waiters)
        raise


def _wake_one(waiters: deque[asyncio.Future[None]]) -> None:
    while waiters:
        future = waiters.popleft()
        if not future.done():
            future.set_result(None)
            return


def _wake_all(state: _State[T]) -> None:
    for waiters in (state.senders, state.receivers):
        while waiters:
            _wake_one(waiters)
