"""The way to a sink that never holds others back."""

from __future__ import annotations

import asyncio
from collections import deque

from arrowstream.core.batch import Barrier, Batch, Element
from arrowstream.core.channel import Receiver, Sender, WouldBlock, channel
from arrowstream.core.failures import FAILURES
from arrowstream.metrics.counters import Queue, StageCounters
from arrowstream.runtime.endpoints.sink import RunningSink


class BestEffortQueue:
    """Both ends of the queue in front of a best-effort sink: what finds it full is dropped and counted.

    Barriers are never dropped, or the checkpoint would not end. One that finds the queue full waits in a line of its
    own; until it has been received, all that comes after it is dropped.

    Parameters
    ----------
    counters
        Those of the sink, where dropped rows are counted.
    capacity
        Elements that wait at most.
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
        """Put `element` in line, or drop it."""
        for turn in range(2):
            try:
                if not self._barriers:
                    return self._sender.send_nowait(element)
            except WouldBlock:
                pass
            # A sink that is quick enough, and only has had no turn yet, gets one.
            if turn == 0:
                await asyncio.sleep(0)
        if isinstance(element, Barrier):
            self._barriers.append(element)
        elif isinstance(element, Batch):
            self.counters.dropped_rows += element.num_rows

    async def end(self) -> None:
        """End the stream: what is in line is still received."""
        self._sender.close()

    async def receive(self) -> Element | None:
        """The next element in line; None at the end."""
        if self._barriers and not self.queue().length:
            return self._barriers.popleft()
        return await anext(self._receiver, None)


class BestEffortSink:
    """A best-effort sink as a port: its first failure is logged, and nothing is written after it."""

    __slots__ = ("_sink", "blocking", "counters")

    def __init__(self, sink: RunningSink) -> None:
        self._sink = sink
        self.blocking = sink.blocking
        self.counters = sink.counters

    async def send(self, element: Element) -> None:
        """Write a batch, unless the sink is lost; marks reach it all the same."""
        if not self._sink.lost or not isinstance(element, Batch):
            try:
                return await self._sink.send(element)
            except FAILURES as error:
                self._sink.lose(error)
        if isinstance(element, Batch):
            self.counters.dropped_rows += element.num_rows

    async def end(self) -> None:
        """Nothing: `RunningSinks.commit` ends the sinks."""
