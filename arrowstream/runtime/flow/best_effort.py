"""The queue and port of a best-effort sink, which applies no backpressure."""

from __future__ import annotations

import asyncio
from collections import deque

from arrowstream.core.batch import Barrier, Batch, Element
from arrowstream.core.channel import Receiver, Sender, WouldBlock, channel
from arrowstream.core.failures import FAILURES
from arrowstream.metrics.counters import Queue, StageCounters
from arrowstream.runtime.endpoints.sink import RunningSink
from arrowstream.runtime.flow.ports import Received, WaitingOutput


class BestEffortQueue(WaitingOutput):
    """Both ends of the queue before a best-effort sink: batches and marks that find it full are dropped.

    Barriers are never dropped, or the checkpoint would not end. One that finds the queue full waits in a separate
    queue; until it has been received, all elements that come after it are dropped.

    Parameters
    ----------
    counters
        The counters of the sink, which count dropped rows.
    capacity
        Queue capacity, in elements.
    """

    __slots__ = ("_barriers", "_receiver", "_sender", "counters", "queue")

    blocking = False

    def __init__(self, counters: StageCounters, capacity: int) -> None:
        self._sender: Sender[Element]
        self._receiver: Receiver[Element]
        self._sender, self._receiver = channel(capacity)
        self._barriers: deque[Barrier] = deque()
        self.counters = counters
        self.queue: Queue = self._receiver.statistics

    async def send(self, element: Element) -> None:
        """Put `element` into the queue, or drop it; count dropped rows."""
        for turn in range(2):
            try:
                if not self._barriers:
                    return self._sender.send_nowait(element)
            except WouldBlock:
                pass
            # A sink may be fast enough, and only have had no turn on the loop yet.
            if turn == 0:
                await asyncio.sleep(0)
        if isinstance(element, Barrier):
            self._barriers.append(element)
        elif isinstance(element, Batch):
            self.counters.dropped_rows += element.num_rows

    async def end(self) -> None:
        """End the stream; elements in the queue are still received."""
        self._sender.close()

    async def receive(self) -> Element | None:
        """Return the next element; None at the end of the stream."""
        if self._barriers and not self.queue().length:
            return self._barriers.popleft()
        return await anext(self._receiver, None)

    def begin_receive(self) -> Received:
        """Return the coroutine that receives the next element."""
        return self.receive()


class BestEffortSink(WaitingOutput):
    """A best-effort sink as a port: its first failure is logged, and nothing is written after it."""

    __slots__ = ("_sink", "blocking", "counters")

    def __init__(self, sink: RunningSink) -> None:
        self._sink = sink
        self.blocking = sink.blocking
        self.counters = sink.counters

    async def send(self, element: Element) -> None:
        """Write a batch, or count its rows as dropped if the sink is lost; pass marks on in both cases."""
        if not isinstance(element, Batch):
            await self._sink.send(element)
            return
        if not self._sink.lost:
            try:
                return await self._sink.send(element)
            except FAILURES as error:
                self._sink.lose(error)
        self.counters.dropped_rows += element.num_rows

    async def end(self) -> None:
        """End the rows of the sink."""
        await self._sink.end()
