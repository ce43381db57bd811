"""The sinks of a run: opened together, and finished or aborted together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator

from arrowstream.core.batch import Batch, Element
from arrowstream.core.channel import Receiver, Sender, WouldBlock, channel
from arrowstream.core.clock import Clock
from arrowstream.errors import SinkError
from arrowstream.io.sink import SinkSpec
from arrowstream.metrics.counters import Queue
from arrowstream.plan.physical import SinkBinding
from arrowstream.runtime.failure.stage_error import FAILURES
from arrowstream.runtime.source_and_sink import RunningSink, opened
from arrowstream.runtime.task_loop import Read
from arrowstream.runtime.threads import Threads


class Outlets:
    """Every sink of one run, in the order in which they were opened."""

    def __init__(self, clock: Clock, threads: Threads) -> None:
        self._clock = clock
        self._threads = threads
        self._sinks: list[RunningSink] = []
        self._asides: list[tuple[SinkBinding, Callable[[Batch], Awaitable[None]]]] = []
        self._finished = 0
        self.reached: list[SinkSpec] = []
        """The specs whose turn to be opened has come."""

    def __iter__(self) -> Iterator[RunningSink]:
        return iter(self._sinks)

    def open(
        self, outlet: SinkBinding, limit: int | None = None, on_write: Callable[[], None] = lambda: None
    ) -> RunningSink:
        """Open a sink."""
        self.reached.append(outlet.sink)
        writer = opened(outlet.name, SinkError, lambda: outlet.sink.open(outlet.schema))
        sink = RunningSink(
            outlet.name,
            writer,
            self._clock,
            self._threads,
            limit=limit,
            on_write=on_write,
            best_effort=outlet.best_effort_capacity is not None,
        )
        self._sinks.append(sink)
        return sink

    def aside(self, outlet: SinkBinding) -> Callable[[Batch], Awaitable[None]]:
        """Where a stage puts rows aside: a sink that others may share, if they put aside rows of one schema.

        What is given back takes one batch at a time, whoever calls it.
        """
        for known, write in self._asides:
            if known.sink is outlet.sink and known.schema == outlet.schema:
                return write
        write = _in_turn(self.open(outlet))
        self._asides.append((outlet, write))
        return write

    async def finish(self) -> None:
        """Make everything visible and durable, one sink after the other."""
        for sink in self._sinks:
            await sink.finish()
            self._finished += 1

    def aborts(self) -> Iterator[Callable[[], Awaitable[None]]]:
        """What leaves nothing half-written visible; what has been finished stays."""
        return (sink.abort for sink in self._sinks[self._finished :])


def _in_turn(sink: RunningSink) -> Callable[[Batch], Awaitable[None]]:
    lock = asyncio.Lock()

    async def write(batch: Batch) -> None:
        async with lock:
            await sink.write(batch)

    return write


class Spare:
    """The way to a sink that never holds others back: what finds no room is dropped."""

    def __init__(self, sink: RunningSink, buffer: int) -> None:
        self._sink = sink
        self._sender: Sender[Element]
        receiver: Receiver[Element]
        self._sender, receiver = channel(buffer)
        self.read: Read = lambda: _next(receiver)
        self.queue: Queue = receiver.statistics

    async def offer(self, element: Element) -> None:
        """Put `element` in line, or drop it."""
        for turn in range(2):
            try:
                return self._sender.send_nowait(element)
            except WouldBlock:
                # A sink that is quick enough, and only has had no turn yet, gets one.
                if turn == 0:
                    await asyncio.sleep(0)
        if isinstance(element, Batch):
            self._sink.tally.dropped_rows += element.num_rows

    async def write(self, element: Element) -> None:
        """Write what stood in line; the first failure is logged, and nothing is written after it."""
        if self._sink.lost:
            return
        try:
            await self._sink.write(element)
        except FAILURES as error:
            self._sink.lose(error)

    async def end(self) -> None:
        """Nothing more comes."""
        self._sender.close()


async def _next(receiver: Receiver[Element]) -> Element | None:
    return await anext(receiver, None)
