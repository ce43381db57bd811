"""Operators while they run: processes, timed processes, and processes of coroutines."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import TypeVar

from arrowstream.core.batch import Barrier, Batch, Element, Idle, Mark, Partitions, Watermark
from arrowstream.core.failures import is_failure
from arrowstream.core.rows.elsewhere import is_elsewhere
from arrowstream.metrics.inner import RunsPipeline
from arrowstream.operators.base import AsyncProcess, Process, TimedProcess
from arrowstream.operators.joins.loads import Loads
from arrowstream.plan.physical import OperatorStage
from arrowstream.runtime.call_times import INLINE_NS, CallTimes
from arrowstream.runtime.checkpoints.snapshots import Snapshots
from arrowstream.runtime.failure.stage_error import ON_ERROR, stage_error
from arrowstream.runtime.flow.ports import OutputPort
from arrowstream.runtime.resources import Resources
from arrowstream.runtime.stage import RunningStage, begun, emit_all, some_of
from arrowstream.runtime.threads import measured
from arrowstream.runtime.timed import timed

T = TypeVar("T")
WriteLate = Callable[[Batch], Awaitable[None]]


class RunningProcess(RunningStage):
    """A process, on the loop's thread or a worker thread."""

    __slots__ = (
        "_busy_ns",
        "_clock",
        "_kind",
        "_last_ns",
        "_process",
        "_queue_capacity",
        "_snapshots",
        "_threads",
        "_times",
        "_write_late",
    )

    def __init__(
        self,
        name: str,
        state_id: str,
        kind: str,
        process: Process,
        resources: Resources,
        write_late: WriteLate | None = None,
        queue_capacity: int | None = None,
    ) -> None:
        super().__init__(name)
        self._process = process
        self._kind = kind
        self._queue_capacity = queue_capacity
        self._clock = resources.clock
        self._threads = resources.threads
        self._snapshots = Snapshots(name, state_id, resources)
        self._write_late = write_late
        self._times = CallTimes()
        self._busy_ns = 0
        self._last_ns = 0

    @property
    def queue_capacity(self) -> int | None:
        return self._queue_capacity

    async def attempt(self, batch: Batch) -> list[Element]:
        self.finished = False
        out = await self._run(lambda: list(self._process.process(batch)), batch)
        self.counters.record_batch(self._kind, batch.num_rows, self._busy_ns, self._last_ns)
        return out

    async def on_mark(self, mark: Mark, output: OutputPort) -> None:
        self.counters.record_mark(mark)
        if isinstance(mark, Watermark):
            await self._emit_made(lambda: self._process.on_watermark(mark.time_us), output)
        elif isinstance(mark, Idle):
            await self._emit_made(self._process.on_idle, output)
        elif isinstance(mark, Partitions):
            await self._emit_made(lambda: self._process.on_partitions(mark.origins), output)
        else:
            await self._on_barrier(mark, output)

    async def _on_barrier(self, barrier: Barrier, output: OutputPort) -> None:
        """Save the state, then pass the barrier on. The state of a finished step is that it is finished."""
        if not self.finished:
            await self._snapshots.save(barrier.epoch, self._process.snapshot)
        self.halted = barrier.last
        await output.send(barrier)

    async def open(self) -> None:
        self.finished = self._snapshots.finished
        await self._snapshots.restore(self._process.restore)

    async def finish(self, output: OutputPort) -> None:
        await self._emit_made(self._process.finish, output)
        self._snapshots.finish()

    async def close(self) -> None:
        self.counters.notes = self._process.notes
        # Deleting the process releases the files of its state: the stage itself may wait for the garbage collector.
        del self._process

    async def _emit_made(
        self, make: Callable[[], Iterable[Element]], output: OutputPort, batch: Batch | None = None
    ) -> tuple[int, int]:
        """Emit elements in parts, each made once the one before is passed on: all of them may not fit in memory.

        Returns
        -------
        tuple of int
            The time for which it was busy, and the time that it took, in nanoseconds.
        """
        made = begun(make)
        more, busy_ns, taken_ns = True, 0, 0
        while more:
            out, more = await self._run(lambda: some_of(made), batch)
            busy_ns, taken_ns = busy_ns + self._busy_ns, taken_ns + self._last_ns
            self._count(out)
            await emit_all(out, output)
        return busy_ns, taken_ns

    async def _run(self, work: Callable[[], T], batch: Batch | None) -> T:
        rows = 0 if batch is None else batch.num_rows
        begin = self._clock.now_ns()
        try:
            # The time of the last call predicts that of this one.
            if self._times.runs_inline(rows) and not is_elsewhere(batch):
                result, self._busy_ns = measured(self._clock.now_ns, work)
            else:
                result, self._busy_ns = await self._threads.call(measured, self._clock.now_ns, work)
        except BaseException as error:
            if not is_failure(error):
                raise
            self.counters.record_error(error)
            # A call that fails may have done only a part of its work. It predicts others if it was slow all the same;
            # one for a single row predicts those of the search for failing rows.
            taken = self._clock.now_ns() - begin
            if rows == 1 or taken >= INLINE_NS:
                self._times.observe(rows, taken)
            raise stage_error(self.counters.name, batch, error, advice=self.advice) from error
        self._last_ns = self._clock.now_ns() - begin
        self._times.observe(rows, self._busy_ns)
        if batch is None:
            self.counters.busy_ns += self._busy_ns
        late = self._process.take_late()
        if late is not None:
            self.counters.late_rows += late.num_rows
            if self._write_late is not None:
                await self._write_late(late)
                self.counters.late_rows_kept += late.num_rows
        return result


class RunningTimed(RunningProcess):
    """A process that gets the time before every call, and a call at its deadlines."""

    __slots__ = ("_timed",)

    def __init__(
        self,
        name: str,
        state_id: str,
        kind: str,
        process: TimedProcess,
        resources: Resources,
        write_late: WriteLate | None = None,
        queue_capacity: int | None = None,
    ) -> None:
        super().__init__(name, state_id, kind, process, resources, write_late, queue_capacity)
        self._timed = process

    @property
    def deadline_ns(self) -> int | None:
        """Time at which `on_timer` is due, in nanoseconds of the run's clock; None without a deadline."""
        return self._timed.deadline_ns

    @property
    def accepts_input(self) -> bool:
        """True if the next element may come."""
        return self._timed.accepts_input

    def on_waiting(self) -> None:
        """Pass on to the process that the runtime starts to wait for the next element."""
        self._timed.on_waiting(self._clock.now_ns())

    async def open(self) -> None:
        await super().open()
        self._timed.set_time(self._clock.now_ns())

    async def close(self) -> None:
        await super().close()
        del self._timed

    async def on_timer(self, output: OutputPort) -> None:
        """Call the process at a deadline that has passed, and emit the result."""
        now = self._clock.now_ns()
        await self._emit_made(lambda: self._timed.on_timer(now), output)

    async def _run(self, work: Callable[[], T], batch: Batch | None) -> T:
        self._timed.set_time(self._clock.now_ns())
        return await super()._run(work, batch)


class RunningAsync(RunningStage):
    """A process of coroutines, on the loop."""

    __slots__ = ("_clock", "_kind", "_process", "_snapshots")

    def __init__(self, stage: OperatorStage, process: AsyncProcess, resources: Resources) -> None:
        super().__init__(stage.name)
        self._snapshots = Snapshots(stage.name, stage.state_id, resources)
        self._process = process
        self.inner = process if isinstance(process, RunsPipeline) else None
        self._kind = stage.operator.name
        self._clock = resources.clock

    @property
    def concurrency(self) -> int:
        """Number of batches that the process works on at a time."""
        return self._process.concurrency

    async def load(self) -> None:
        """Load what the process needs, before any source of the run is read."""
        if isinstance(self._process, Loads):
            await self._named(self._process.load())

    async def open(self) -> None:
        self.finished = self._snapshots.finished
        await self._snapshots.restore(self._process.restore)
        await self._named(self._process.open())

    async def process(self, batch: Batch) -> Iterable[Element]:
        if self._governed:
            return await super().process(batch)
        return self._counted(await self._output(batch), batch)

    async def attempt(self, batch: Batch) -> list[Element]:
        return list(await self._output(batch))

    def _counted(self, out: Iterable[Batch], batch: Batch) -> Iterator[Element]:
        """Yield output, which may be made while it is passed on, and count it."""
        self.counters.rows_in += batch.num_rows
        for element in out:
            element.ingest_ns = batch.ingest_ns if element.ingest_ns is None else element.ingest_ns
            self.counters.record_output(element)
            yield element

    async def _output(self, batch: Batch) -> Iterable[Batch]:
        self.finished = False
        begin = self._clock.now_ns()
        work = self._process.process(batch)
        if self._process.busy_while_awaited:
            out = await self._named(work, batch)
            busy_ns = self._clock.now_ns() - begin
        else:
            out, busy_ns = await self._named(timed(work, self._clock, self.counters), batch)
        self.counters.record_batch(self._kind, batch.num_rows, busy_ns, self._clock.now_ns() - begin)
        return out

    async def on_mark(self, mark: Mark, output: OutputPort) -> None:
        self.counters.record_mark(mark)
        if isinstance(mark, Watermark):
            await self._emit_made(self._process.on_watermark(mark.time_us), output)
        elif isinstance(mark, Idle):
            await self._emit_made(self._process.on_idle(), output)
        elif isinstance(mark, Partitions):
            await self._emit_made(self._process.on_partitions(mark.origins), output)
        else:
            await self._on_barrier(mark, output)

    async def _on_barrier(self, barrier: Barrier, output: OutputPort) -> None:
        """Save the state, with `snapshot` called on the loop like every other method, then pass the barrier on."""
        if self._snapshots.enabled and not self.finished:
            state = list(self._process.snapshot())
            await self._snapshots.save(barrier.epoch, lambda: iter(state))
        self.halted = barrier.last
        await output.send(barrier)

    async def finish(self, output: OutputPort) -> None:
        await self._emit_made(self._process.finish(), output)
        self._snapshots.finish()

    async def _emit_made(self, work: Awaitable[Iterable[Element]], output: OutputPort) -> None:
        out = list(await self._named(work))
        self._count(out)
        await emit_all(out, output)

    async def close(self) -> None:
        if isinstance(self._process, Loads):
            self.counters.notes = self._process.notes
        await self._named(self._process.close())

    async def _named(self, work: Awaitable[T], batch: Batch | None = None) -> T:
        try:
            return await work
        except BaseException as error:
            if not is_failure(error):
                raise
            self.counters.record_error(error)
            raise stage_error(self.counters.name, batch, error, advice=self.advice) from error


def start_operator(
    stage: OperatorStage,
    resources: Resources,
    write_late: WriteLate | None,
) -> RunningStage:
    """Start an operator with one input; return its running stage.

    Parameters
    ----------
    stage
        The operator in its place.
    resources
        The run's clock, threads, memory budget and snapshot store.
    write_late
        Writes a batch of late rows; None if they are only counted.
    """
    running = _started(stage, resources, write_late)
    if stage.operator.repeatable and not stage.policies.handlers:
        running.advice = ON_ERROR
    return running


def _started(stage: OperatorStage, resources: Resources, write_late: WriteLate | None) -> RunningStage:
    name, id, operator = stage.name, stage.state_id, stage.operator
    process = operator.start(stage.schema, resources.context(name))
    if isinstance(process, AsyncProcess):
        if resources.checkpoint is not None:
            process.check_snapshots()
        return RunningAsync(stage, process, resources)
    if isinstance(process, TimedProcess):
        return RunningTimed(name, id, operator.name, process, resources, write_late, operator.queue_capacity)
    return RunningProcess(name, id, operator.name, process, resources, write_late, operator.queue_capacity)
