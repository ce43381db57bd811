"""A stage while it runs: one batch in, batches out, timed and counted."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable

import polars as pl

from arrowstream.batch import Batch
from arrowstream.clock import Clock
from arrowstream.errors import ArrowstreamError, StageError
from arrowstream.plan.physical import OperatorStage, SegmentStage, Stage
from arrowstream.runtime.report import StageReport
from arrowstream.runtime.threads import Threads

INLINE_NS = 1_000_000
"""Work predicted to take less runs on the loop's own thread.

A hop to a worker thread and back costs 60-110 us, so at 200 us it would cost a third of the work;
and nothing else on the loop (channel hops, timers) minds waiting a millisecond.
"""

FAILURES = (Exception, pl.exceptions.PanicException)
"""What counts as a failure of a stage: Polars' panics are outside the tree of `Exception`."""


class Tally:
    """Counters of one stage."""

    __slots__ = ("batches", "busy_ns", "name", "rows_in", "rows_out")

    def __init__(self, name: str) -> None:
        self.name = name
        self.rows_in = 0
        self.rows_out = 0
        self.busy_ns = 0
        self.batches: dict[str, int] = {}

    def count(self, kind: str) -> None:
        """One more batch run by `kind`."""
        self.batches[kind] = self.batches.get(kind, 0) + 1

    def report(self) -> StageReport:
        """The counters as they stand."""
        return StageReport(self.name, self.rows_in, self.rows_out, dict(self.batches), self.busy_ns / 1e9)


class RunningStage(ABC):
    """A stage of the plan with its counters."""

    __slots__ = ("tally",)

    def __init__(self, name: str) -> None:
        self.tally = Tally(name)

    @abstractmethod
    async def process(self, batch: Batch) -> Iterable[Batch]:
        """What comes out for this batch."""

    async def on_watermark(self, time_us: int) -> Iterable[Batch]:
        """What comes out when event time has reached `time_us`."""
        return ()

    async def finish(self) -> Iterable[Batch]:
        """What is still held when the stream ends."""
        return ()


class RunningSegment(RunningStage):
    """Fused expressions, on the backend their placement picks for this batch."""

    __slots__ = ("_clock", "_stage", "_threads")

    def __init__(self, stage: SegmentStage, clock: Clock, threads: Threads) -> None:
        super().__init__(stage.name)
        self._stage = stage
        self._clock = clock
        self._threads = threads

    async def process(self, batch: Batch) -> Iterable[Batch]:
        stage, tally, clock = self._stage, self.tally, self._clock
        rows = batch.num_rows
        choice = stage.placement.choose(rows)
        evaluate = stage.evaluators[choice.backend]
        begin = clock.now_ns()
        try:
            if choice.predicted_us * 1000 < INLINE_NS:
                result = evaluate(batch)
            else:
                result = await self._threads.call(evaluate, batch)
        except FAILURES as error:
            raise _failure(stage, batch, error) from error
        taken = clock.now_ns() - begin
        stage.placement.observe(choice, rows, taken / 1e9)
        tally.busy_ns += taken
        tally.rows_in += rows
        tally.rows_out += result.num_rows
        tally.count(choice.backend)
        return (result,)


class RunningOperator(RunningStage):
    """An opaque operator's process."""

    __slots__ = ("_clock", "_last_ns", "_process", "_threads")

    def __init__(self, stage: OperatorStage, clock: Clock, threads: Threads) -> None:
        super().__init__(stage.name)
        self._process = stage.operator.start(stage.schema)
        self._clock = clock
        self._threads = threads
        self._last_ns = 0

    async def process(self, batch: Batch) -> Iterable[Batch]:
        self.tally.rows_in += batch.num_rows
        self.tally.count(self.tally.name.partition(" ")[2])
        return await self._run(lambda: list(self._process.process(batch)), batch)

    async def on_watermark(self, time_us: int) -> Iterable[Batch]:
        return await self._run(lambda: list(self._process.on_watermark(time_us)), None)

    async def finish(self) -> Iterable[Batch]:
        return await self._run(lambda: list(self._process.finish()), None)

    async def _run(self, work: Callable[[], list[Batch]], batch: Batch | None) -> list[Batch]:
        begin = self._clock.now_ns()
        try:
            # The last call is the best guess at this one.
            result = work() if self._last_ns < INLINE_NS else await self._threads.call(work)
        except FAILURES as error:
            raise stage_error(self.tally.name, batch, error) from error
        self._last_ns = self._clock.now_ns() - begin
        self.tally.busy_ns += self._last_ns
        self.tally.rows_out += sum(out.num_rows for out in result)
        return result


def start_stage(stage: Stage, clock: Clock, threads: Threads) -> RunningStage:
    """The running form of a planned stage."""
    if isinstance(stage, SegmentStage):
        return RunningSegment(stage, clock, threads)
    return RunningOperator(stage, clock, threads)


def stage_error(stage: str, batch: Batch | None, error: BaseException) -> ArrowstreamError:
    """`error` as one that names its stage and where in the source the batch came from."""
    if isinstance(error, ArrowstreamError):
        error.stage = error.stage or stage
        return error
    position = str(batch.position) if batch is not None and batch.position is not None else None
    # Polars says so of every strict cast that meets a value it cannot take.
    is_cast = isinstance(error, pl.exceptions.InvalidOperationError) and "conversion" in str(error)
    hint = "cast(..., strict=False), in SQL TRY_CAST, makes null of what does not fit" if is_cast else None
    return StageError(first_line(error), stage=stage, position=position, hint=hint)


def first_line(error: BaseException) -> str:
    """An error's kind and the first line of what it says."""
    return f"{type(error).__name__}: {next(iter(str(error).splitlines()), 'no message')}"


def _failure(stage: SegmentStage, batch: Batch, error: BaseException) -> ArrowstreamError:
    """Name the one step of a fused segment that fails, by running them one at a time."""
    name = stage.name
    if len(stage.segment.steps) > 1:
        frame = batch.polars()
        for step in stage.segment.steps:
            try:
                frame = step.apply(frame)
            except FAILURES:
                name = f"{stage.name}, in {step.describe()}"
                break
    return stage_error(name, batch, error)
