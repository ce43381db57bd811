"""Opaque operators while they run: pure processes, those that need the time, and those that wait."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import TypeVar

from arrowstream.core.batch import Batch, Element, Idle, Mark, Watermark
from arrowstream.core.clock import Clock
from arrowstream.core.memory_budget import MemoryBudget
from arrowstream.core.step_context import StepContext
from arrowstream.operators.base import AsyncProcess, Process, TimedProcess
from arrowstream.plan.physical import OperatorStage
from arrowstream.runtime.failure.stage_error import FAILURES, stage_error
from arrowstream.runtime.stage import INLINE_NS, Emit, RunningStage, emit_all
from arrowstream.runtime.threads import Threads

_LOGGER = logging.getLogger("arrowstream")

T = TypeVar("T")
WriteLate = Callable[[Batch], Awaitable[None]]

_ROWS_AT_A_TIME = 65_536
"""From so many rows on, what a process gives at a mark or at the end is passed on before it makes more."""


class RunningProcess(RunningStage):
    """A process, on the loop's thread or a worker thread."""

    __slots__ = ("_clock", "_kind", "_last_ns", "_process", "_room", "_threads", "_write_late")

    def __init__(
        self,
        stage: OperatorStage,
        process: Process,
        clock: Clock,
        threads: Threads,
        write_late: WriteLate | None = None,
    ) -> None:
        super().__init__(stage.name)
        self._process = process
        self._kind = stage.operator.name
        self._room = stage.operator.room
        self._clock = clock
        self._threads = threads
        self._write_late = write_late
        self._last_ns = 0

    @property
    def room(self) -> int | None:
        return self._room

    async def attempt(self, batch: Batch) -> list[Element]:
        out = await self._run(lambda: list(self._process.process(batch)), batch)
        self.tally.ran(self._kind, batch.num_rows, self._last_ns, self._last_ns)
        return out

    async def on_mark(self, mark: Mark, emit: Emit) -> None:
        self.tally.saw(mark)
        if isinstance(mark, Watermark):
            await self._emit_made(lambda: self._process.on_watermark(mark.time_us), emit)
        elif isinstance(mark, Idle):
            await self._emit_made(self._process.on_idle, emit)
        else:
            await emit(mark)

    async def finish(self, emit: Emit) -> None:
        await self._emit_made(self._process.finish, emit)

    async def _emit_made(self, make: Callable[[], Iterable[Element]], emit: Emit) -> None:
        """Give what is made, and make more only once that was taken: it may be more than there is memory for."""
        made = _begun(make)
        more = True
        while more:
            out, more = await self._run(lambda: _some(made), None)
            self._count(out)
            await emit_all(out, emit)

    async def _run(self, work: Callable[[], T], batch: Batch | None) -> T:
        begin = self._clock.now_ns()
        try:
            # The last call is the best guess at this one.
            result = work() if self._last_ns < INLINE_NS else await self._threads.call(work)
        except FAILURES as error:
            self.tally.errors += 1
            raise stage_error(self.tally.name, batch, error) from error
        self._last_ns = self._clock.now_ns() - begin
        if batch is None:
            self.tally.busy_ns += self._last_ns
        late = self._process.take_late()
        if late is not None:
            self.tally.late_rows += late.num_rows
            if self._write_late is not None:
                await self._write_late(late)
        return result


class RunningTimed(RunningProcess):
    """A process that is told the time before every call and woken at its deadlines."""

    __slots__ = ("_timed",)

    def __init__(
        self,
        stage: OperatorStage,
        process: TimedProcess,
        clock: Clock,
        threads: Threads,
        write_late: WriteLate | None = None,
    ) -> None:
        super().__init__(stage, process, clock, threads, write_late)
        self._timed = process

    @property
    def deadline_ns(self) -> int | None:
        """When `on_time` is due; None while nothing waits."""
        return self._timed.deadline_ns

    @property
    def wants_input(self) -> bool:
        """Whether the next element may come."""
        return self._timed.wants_input

    def waits(self) -> None:
        """The next element is waited for from now on."""
        self._timed.waits(self._clock.now_ns())

    async def open(self) -> None:
        self._timed.set_time(self._clock.now_ns())

    async def on_time(self, emit: Emit) -> None:
        """Give what comes out now that the deadline has passed."""
        now = self._clock.now_ns()
        await self._emit_made(lambda: self._timed.on_time(now), emit)

    async def _run(self, work: Callable[[], T], batch: Batch | None) -> T:
        self._timed.set_time(self._clock.now_ns())
        return await super()._run(work, batch)


class RunningAsync(RunningStage):
    """An operator of coroutines, on the loop."""

    __slots__ = ("_clock", "_kind", "_process")

    def __init__(self, stage: OperatorStage, process: AsyncProcess, clock: Clock) -> None:
        super().__init__(stage.name)
        self._process = process
        self._kind = stage.operator.name
        self._clock = clock

    @property
    def concurrency(self) -> int:
        """Batches it works on at a time."""
        return self._process.concurrency

    async def open(self) -> None:
        await self._named(self._process.open())

    async def attempt(self, batch: Batch) -> list[Element]:
        begin = self._clock.now_ns()
        out = await self._named(self._process.process(batch), batch)
        taken = self._clock.now_ns() - begin
        self.tally.ran(self._kind, batch.num_rows, taken, taken)
        return list(out)

    async def finish(self, emit: Emit) -> None:
        out = list(await self._named(self._process.finish()))
        self._count(out)
        await emit_all(out, emit)

    async def close(self) -> None:
        await self._named(self._process.close())

    async def _named(self, work: Awaitable[T], batch: Batch | None = None) -> T:
        try:
            return await work
        except FAILURES as error:
            self.tally.errors += 1
            raise stage_error(self.tally.name, batch, error) from error


def _begun(make: Callable[[], Iterable[Element]]) -> Iterator[Element]:
    """What is made, begun where the first of it is asked for."""
    yield from make()


def _some(made: Iterator[Element]) -> tuple[list[Element], bool]:
    """The next elements, and whether there may be more."""
    out: list[Element] = []
    rows = 0
    for element in made:
        out.append(element)
        rows += element.num_rows if isinstance(element, Batch) else 0
        if rows >= _ROWS_AT_A_TIME:
            return out, True
    return out, False


def start_operator(
    stage: OperatorStage,
    clock: Clock,
    threads: Threads,
    memory: MemoryBudget,
    write_late: WriteLate | None,
) -> RunningStage:
    """The running form of an opaque operator."""
    context = StepContext(stage.name, clock, memory, _LOGGER, threads)
    process = stage.operator.start(stage.schema, context)
    if isinstance(process, AsyncProcess):
        return RunningAsync(stage, process, clock)
    if isinstance(process, TimedProcess):
        return RunningTimed(stage, process, clock, threads, write_late)
    return RunningProcess(stage, process, clock, threads, write_late)
