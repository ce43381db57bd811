"""The sinks of a run: opened one by one, and committed or aborted together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

from arrowstream.core.batch import Batch, Element
from arrowstream.core.channel import Receiver, Sender, WouldBlock, channel
from arrowstream.core.clock import Clock
from arrowstream.errors import SinkError
from arrowstream.io.sink import SinkSpec
from arrowstream.metrics.counters import Queue
from arrowstream.plan.physical import Outlet
from arrowstream.runtime.failure.cleanup import despite, in_turn, uninterrupted
from arrowstream.runtime.failure.stage_error import FAILURES, opened
from arrowstream.runtime.running_sink import RunningSink
from arrowstream.runtime.task_loop import Read
from arrowstream.runtime.threads import Threads

END_OF_RUN = 0
"""Epoch of the one commit of a run without checkpoints."""


class RunningSinks:
    """Every sink of one run, in the order in which they were opened."""

    def __init__(self, clock: Clock, threads: Threads) -> None:
        self._clock = clock
        self._threads = threads
        self._sinks: list[RunningSink] = []
        self._side: list[RunningSink] = []
        self._shared: list[tuple[Outlet, Callable[[Batch], Awaitable[None]]]] = []
        self.reached: list[SinkSpec] = []
        """The specs whose turn to be opened has come."""

    def __iter__(self) -> Iterator[RunningSink]:
        return iter(self._sinks)

    def open(
        self, outlet: Outlet, limit: int | None = None, on_write: Callable[[], None] = lambda: None
    ) -> RunningSink:
        """Open a sink."""
        self.reached.append(outlet.sink)
        writer = opened(outlet.name, SinkError, lambda: outlet.sink.open(outlet.schema))
        sink = RunningSink(
            outlet.name,
            outlet.sink.label,
            writer,
            self._clock,
            self._threads,
            limit=limit,
            on_write=on_write,
            best_effort=outlet.sink.spare is not None,
        )
        self._sinks.append(sink)
        return sink

    def side_output(self, outlet: Outlet) -> RunningSink:
        """Open a sink for rows that a stage puts aside."""
        sink = self.open(outlet)
        self._side.append(sink)
        return sink

    def shared_side_output(self, outlet: Outlet) -> Callable[[Batch], Awaitable[None]]:
        """Where a stage puts rows aside: a sink that others may share, if they put aside rows of one schema.

        What is given back takes one batch at a time, whoever calls it.
        """
        for known, write in self._shared:
            if known.sink is outlet.sink and known.schema == outlet.schema:
                return write
        write = _in_turn(self.side_output(outlet))
        self._shared.append((outlet, write))
        return write

    def _in_order(self) -> list[RunningSink]:
        """The sinks at ends first: a stage may put rows aside until its last row has come to an end."""
        ends = [sink for sink in self._sinks if sink not in self._side]
        return [*ends, *self._side]

    async def commit(self) -> None:
        """Commit the rows of every sink, or of none: all prepare, then all commit, then all close.

        Once every sink has prepared, nothing stops the commits: a cancellation that comes then has no effect.

        Raises
        ------
        SinkError
            A sink could not prepare, and none shows anything; or one could not commit, and the error says which
            sinks show their rows and which do not.
        """
        for sink in self._in_order():
            await sink.prepare(END_OF_RUN)
        await uninterrupted(self._commit_prepared())

    async def _commit_prepared(self) -> None:
        failed: dict[RunningSink, BaseException] = {}
        for sink in self._in_order():
            try:
                await sink.commit()
            except BaseException as error:
                failed[sink] = error
        shown = [sink for sink in self._in_order() if sink not in failed]
        try:
            if failed:
                raise _partly_committed(shown, failed)
        except BaseException as failure:
            await despite(failure, [*(sink.abort for sink in failed), *(sink.close for sink in shown)])
            raise
        await in_turn(sink.close for sink in shown)

    def aborts(self) -> Iterator[Callable[[], Awaitable[None]]]:
        """Leave nothing half-written visible; sinks that have committed keep their rows."""
        return (sink.abort for sink in self._sinks)


def _partly_committed(
    shown: Sequence[RunningSink], failed: Mapping[RunningSink, BaseException]
) -> BaseException:
    """The error of a run some of whose sinks could not commit; the first failure is its cause."""
    first, *others = failed.values()
    if shown:
        lost = "; ".join(f"{_named(sink)}: {error}" for sink, error in failed.items())
        error = SinkError(
            f"{len(failed)} of {len(failed) + len(shown)} sinks could not commit",
            expected="every sink of the run shows its rows",
            found=f"visible: {', '.join(map(_named, shown))}; not visible: {lost}",
            hint="delete what is visible, or run again: it is complete, but the rest is missing",
        )
        error.__cause__ = first
        return error
    for other in others:
        first.add_note(f"and: {other}")
    return first


def _named(sink: RunningSink) -> str:
    return f"{sink.tally.name} ({sink.label})"


def _in_turn(sink: RunningSink) -> Callable[[Batch], Awaitable[None]]:
    lock = asyncio.Lock()

    async def write(batch: Batch) -> None:
        async with lock:
            await sink.write(batch)

    return write


class BestEffortQueue:
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
