"""The sending end of a channel."""

from __future__ import annotations

import asyncio
import threading
import time
from types import TracebackType
from typing import Generic, Self, TypeVar

from arrowstream.core.channels.state import ChannelState, ChannelStatistics, nbytes_of, wake_one
from arrowstream.core.mistakes.explain import explain_names
from arrowstream.core.mistakes.other_names import SENDER
from arrowstream.core.waiting import running_loop
from arrowstream.errors import ChannelClosed, ChannelError, PeerGone

T = TypeVar("T")


class WouldBlock(Exception):
    """`send_nowait` found the channel full, or `receive_nowait` found it empty."""


ANOTHER = (
    "a channel carries one stream, and a run closes its end: make a channel() and a pipeline for each run"
)


@explain_names("the sending end of a channel", SENDER)
class Sender(Generic[T]):
    """The sending end of a channel, made by `channel()`.

    ``async with tx:`` closes it at the end, or passes on the failure that ended the block.

    Examples
    --------
    >>> from arrowstream import channel
    >>> tx, rx = channel(capacity=2)
    >>> tx.send_sync({"x": 1})
    >>> tx.offer({"x": 2}), tx.offer({"x": 3})
    (True, False)
    >>> tx.close()
    >>> rx.receive_sync(), rx.poll(None)
    ({'x': 1}, {'x': 2})
    """

    __slots__ = ("_state",)

    def __init__(self, state: ChannelState[T]) -> None:
        self._state = state

    def send_nowait(self, item: T) -> None:
        """Put `item` in without waiting.

        Parameters
        ----------
        item
            The item to send.

        Raises
        ------
        WouldBlock
            The channel is full.
        ChannelClosed, PeerGone
            See `send`.
        """
        with self._state.lock:
            if not self._put(item):
                raise WouldBlock

    def _put(self, item: T) -> bool:
        """Put `item` in and return True, or return False if the channel is full. The caller holds the lock."""
        state = self._state
        if state.sender_closed:
            raise ChannelClosed("sending on a channel that this side has closed", hint=ANOTHER)
        if state.receiver_closed:
            raise _receiver_gone(state.receiver_failure)
        buffer = state.buffer
        # An item larger than the byte limit passes alone: otherwise it would wait for ever.
        if not buffer:
            buffer.append((item, None))
        elif len(buffer) >= state.capacity:
            return False
        else:
            state.measure_first()
            size = nbytes_of(item)
            if state.nbytes + size > state.max_nbytes:
                return False
            buffer.append((item, size))
            state.nbytes += size
        if state.receivers:
            wake_one(state.receivers)
        return True

    def offer(self, item: T) -> bool:
        """Put `item` in without waiting and return True; return False if the channel is full.

        Parameters
        ----------
        item
            The item to send.

        Returns
        -------
        bool
            True if the item was taken.

        Raises
        ------
        ChannelClosed, PeerGone
            See `send`.
        """
        with self._state.lock:
            return self._put(item)

    async def send(self, item: T) -> None:
        """Put `item` in, waiting while the channel is full.

        Parameters
        ----------
        item
            The item to send.

        Raises
        ------
        ChannelClosed
            This end was closed.
        PeerGone
            The receiver was closed or failed; the item was not taken. The receiver's failure, if any, is the cause.
        """
        state = self._state
        while True:
            # Under one lock: a receive between the try and the wait would wake no task.
            with state.lock:
                if self._put(item):
                    return
                waiter = asyncio.get_running_loop().create_future()
                state.senders.append(waiter)
            await state.wait(waiter, state.senders)

    def send_sync(self, item: T, timeout: float | None = None) -> None:
        """Put `item` in from a plain thread, blocking it while the channel is full.

        Parameters
        ----------
        item
            The item to send.
        timeout
            Longest wait for free capacity, in seconds; None for no limit.

        Raises
        ------
        TimeoutError
            The channel stayed full for `timeout` seconds; the item was not taken.
        ChannelError
            An event loop runs on this thread, and would be blocked.
        """
        state = self._state
        end = blocks_until("send_sync", "await tx.send(item)", timeout)
        while True:
            with state.lock:
                if self._put(item):
                    return
                waiter = threading.Event()
                state.senders.append(waiter)
            if not waiter.wait(end - time.monotonic()):
                state.give_up(waiter, state.senders)
                raise TimeoutError(f"the channel stayed full for {timeout} s")

    def close(self) -> None:
        """End the stream: the receiver gets what is buffered, then its iteration stops. Idempotent."""
        with self._state.lock:
            self._state.sender_closed = True
            self._state.wake_all()

    def fail(self, cause: BaseException) -> None:
        """Close because of a failure: the receiver gets what is buffered, then `PeerGone`.

        Parameters
        ----------
        cause
            The failure, which becomes the cause of the receiver's `PeerGone`.
        """
        with self._state.lock:
            if not self._state.sender_closed:
                self._state.sender_failure = cause
                self.close()

    def statistics(self) -> ChannelStatistics:
        """Return what the channel holds at this moment."""
        return self._state.statistics()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.fail(error)


def blocks_until(call: str, instead: str, timeout: float | None) -> float:
    """Return the moment a blocking call must end, on `time.monotonic`; raise if an event loop runs on this thread."""
    if running_loop() is not None:
        what = f"{call} would block the event loop that runs on this thread"
        raise ChannelError(what, hint=f"write {instead}")
    return time.monotonic() + (threading.TIMEOUT_MAX / 2 if timeout is None else timeout)


def _receiver_gone(cause: BaseException | None) -> PeerGone:
    what = "the receiver went away while there was more to send"
    error = PeerGone(what if cause is None else f"the receiver failed: {cause}")
    error.__cause__ = cause
    return error
