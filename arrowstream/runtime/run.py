"""One run of a plan, from opening its ends to the report, with three ways to end."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence

import polars as pl

from arrowstream.core.batch import Batch, Element
from arrowstream.core.clock import Clock
from arrowstream.core.ingest import schema_of
from arrowstream.core.memory_budget import MemoryBudget
from arrowstream.errors import SchemaError, SourceError
from arrowstream.io.source import SourceSpec
from arrowstream.metrics.snapshot import Metrics
from arrowstream.plan.physical import Input, Outlet, Plan
from arrowstream.runtime.failure.cleanup import despite, in_turn, root
from arrowstream.runtime.failure.stage_error import opened
from arrowstream.runtime.options import Options, Prepared
from arrowstream.runtime.ports import Feed
from arrowstream.runtime.report import Progress, RunReport, StageReport
from arrowstream.runtime.running_sink import RunningSink
from arrowstream.runtime.running_source import RunningSource
from arrowstream.runtime.sinks import RunningSinks
from arrowstream.runtime.stage import RunningStage
from arrowstream.runtime.task_loop import Read
from arrowstream.runtime.threads import Threads
from arrowstream.runtime.wiring import Wiring

PROGRESS_NS = 100_000_000
_log = logging.getLogger("arrowstream.metrics")


class Run:
    """One execution. Make a new one for each."""

    __slots__ = (
        "_begin_ns",
        "_clock",
        "_committed",
        "_end_ns",
        "_ends",
        "_opened",
        "_options",
        "_reported_ns",
        "_sinks",
        "_sources",
        "_stop_reason",
        "_threads",
        "_wiring",
    )

    def __init__(self, clock: Clock, options: Options) -> None:
        self._clock = clock
        self._options = options
        self._sources: list[RunningSource] = []
        self._opened: list[SourceSpec] = []
        self._threads = Threads(options.workers)
        self._sinks = RunningSinks(clock, self._threads)
        self._ends: list[RunningSink] = []
        self._wiring: Wiring | None = None
        self._stop_reason: str | None = None
        self._end_ns: int | None = None
        self._committed: RunReport | None = None
        self._begin_ns = self._reported_ns = clock.now_ns()

    def stop(self, reason: str = "stop") -> None:
        """End gently: the sources stop, what is in flight is delivered, the sinks commit.

        Call it on the run's own loop. Idempotent; the first reason stays.
        """
        if self._stop_reason is None:
            self._stop_reason = reason
            for source in self._sources:
                source.stop()

    async def execute(self, prepared: Prepared) -> RunReport:
        """Run to the end of the stream, or until stopped.

        Raises
        ------
        ArrowstreamError
            The first failure; everything else was cancelled and the sinks aborted.
        CancelledError
            The run was cancelled before its sinks began to commit. After that it ends well: every row is visible.
        """
        if self._options.limit == 0:
            self.stop("limit")
        try:
            async with asyncio.TaskGroup() as group:
                timers = [
                    group.create_task(self._stop_in_time(), name="duration"),
                    group.create_task(self._log_metrics(prepared.name), name="metrics"),
                ]
                report = await self._with_sources(prepared)
                for timer in timers:
                    timer.cancel()
            self._leave_out(prepared, None)
            return report
        except BaseException as raised:
            failure = root(raised)
            if self._committed is not None and _only_cancelled(failure):
                return self._committed
            self._leave_out(prepared, failure)
        finally:
            self._end_ns = self._clock.now_ns()
            self._threads.close()
        raise failure  # out here, so that it keeps its own cause and drags no group along

    def _leave_out(self, prepared: Prepared, failure: BaseException | None) -> None:
        """Tell the ends whose turn never came."""
        for source in prepared.sources:
            if not any(source is opened for opened in self._opened):
                source.left_out()
        for sink in prepared.sinks:
            if not any(sink is reached for reached in self._sinks.reached):
                sink.left_out(failure)

    async def _stop_in_time(self) -> None:
        if self._options.seconds is not None:
            await self._clock.sleep(self._options.seconds)
            self.stop("duration")

    async def _log_metrics(self, name: str) -> None:
        while self._options.log_seconds is not None:
            await self._clock.sleep(self._options.log_seconds)
            _log.info("%s", self.metrics(name))

    def metrics(self, name: str) -> Metrics:
        """A picture of all counters as they stand; from any thread."""
        wiring, sinks = self._wiring, list(self._sinks)
        return Metrics.of(
            name,
            sources=[source.tally for source in list(self._sources)],
            between=[] if wiring is None else [stage.tally for stage in list(wiring.stages)],
            sinks=[sink.tally for sink in sinks if sink in self._ends],
            beside=[sink.tally for sink in sinks if sink not in self._ends],
            queues=[] if wiring is None else list(wiring.queues),
            seconds=self._seconds(),
            running=self._end_ns is None,
            # Only the lag of watermarks needs the wall clock: they tell the time of the rows.
            wall_us=time.time_ns() // 1_000,
        )

    async def _with_sources(self, prepared: Prepared) -> RunReport:
        try:
            report = await self._from_source(prepared)
        except BaseException as failure:
            await despite(failure, (source.close for source in self._sources))
            raise
        await in_turn(source.close for source in self._sources)
        return report

    def _open_source(self, name: str, start: Input) -> RunningSource:
        reader = opened(name, SourceError, lambda: start.source.open(start.query))
        inside = () if start.absorbed is None else start.absorbed.steps
        source = RunningSource(name, reader, self._clock, self._threads, inside)
        self._sources.append(source)
        self._opened.append(start.source)
        if self._stop_reason is not None:
            source.stop()
        return source

    async def _from_source(self, prepared: Prepared) -> RunReport:
        held: list[Element] = []
        plan = prepared.plan
        unknown = pl.Schema()
        source = self._open_source(
            "source", plan.input if plan is not None else Input(prepared.sources[0], unknown)
        )
        while plan is None:
            element = await source.read()
            if element is None:
                # Without a plan nobody reads the other sources, whose rows would be lost.
                alone = len(prepared.sources) == 1 and not any(sink.needs_schema for sink in prepared.sinks)
                if self._stop_reason is not None or alone:
                    return self._report(prepared.name, [])
                raise SchemaError(
                    "the stream ended before its first batch, so nobody knows its columns",
                    stage="source",
                    expected="at least one batch, or a declared schema",
                    hint="pass schema=... to the source: an empty stream then gives an empty result",
                )
            held.append(element)
            if isinstance(element, Batch):
                plan = prepared.compile(schema_of(element))
        return await self._with_sinks(plan, source, _after(held, source.read))

    async def _with_sinks(self, plan: Plan, source: RunningSource, read: Read) -> RunReport:
        try:
            wiring = self._wiring = Wiring(
                self._clock,
                self._threads,
                self._sinks,
                self._open_source,
                self._open_end,
                self._options.room,
                MemoryBudget(self._options.state_bytes),
            )
            goal = wiring.goal(plan.outlet) if plan.outlet is not None else None
            wiring.line(Feed(read, source.blocking), plan.stages, goal)
            async with asyncio.TaskGroup() as group:
                wiring.start(group)
            await self._sinks.commit()
        except BaseException as failure:
            await despite(failure, self._sinks.aborts())
            raise
        self._tell()
        self._committed = self._report(plan.name, wiring.stages)
        return self._committed

    def _open_end(self, outlet: Outlet) -> RunningSink:
        """A sink that is an end of the pipeline: its rows have come out, and the limit holds for it."""
        sink = self._sinks.open(outlet, self._options.limit, self._written)
        self._ends.append(sink)
        return sink

    def _written(self) -> None:
        if any(sink.full for sink in self._ends):
            self.stop("limit")
            self._drop_the_rest()
        if self._options.on_progress is not None:
            now = self._clock.now_ns()
            if now - self._reported_ns >= PROGRESS_NS:
                self._reported_ns = now
                self._tell()

    def _drop_the_rest(self) -> None:
        """End at once where no sink takes more: what a step holds back could otherwise take for ever."""
        # Rows that were put aside have been counted, so those sinks get what is under way to them.
        if all(sink.full for sink in self._ends) and len(list(self._sinks)) == len(self._ends):
            assert self._wiring is not None
            self._wiring.cancel()

    def _tell(self) -> None:
        if self._options.on_progress is not None:
            totals = [source.total_rows for source in self._sources]
            known = [total for total in totals if total is not None]
            total = sum(known) if len(known) == len(totals) else None
            self._options.on_progress(Progress(self._rows_in(), self._rows_out(), self._seconds(), total))

    def _rows_in(self) -> int:
        return sum(source.tally.rows_in for source in self._sources)

    def _rows_out(self) -> int:
        return sum(sink.tally.rows_out for sink in self._ends)

    def _seconds(self) -> float:
        end_ns = self._clock.now_ns() if self._end_ns is None else self._end_ns
        return (end_ns - self._begin_ns) / 1e9

    def _report(self, name: str, stages: Sequence[RunningStage]) -> RunReport:
        parts = (*self._sources, *stages, *self._sinks)
        return RunReport(
            name,
            self._rows_in(),
            self._rows_out(),
            self._seconds(),
            tuple(StageReport.of(part.tally) for part in parts),
            self._stop_reason,
        )


def _only_cancelled(failure: BaseException) -> bool:
    """Whether we were cancelled from outside, and nothing else went wrong."""
    task = asyncio.current_task()
    assert task is not None
    cancelled = isinstance(failure, asyncio.CancelledError) and task.cancelling() > 0
    return cancelled and not getattr(failure, "__notes__", ())


def _after(held: list[Element], read: Read) -> Read:
    """Read what was looked at already, then go on."""
    if not held:
        return read
    waiting = iter(held)

    async def first_held() -> Element | None:
        for element in waiting:
            return element
        return await read()

    return first_held
