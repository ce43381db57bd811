"""One run of a plan, from opening its ends to the report, with three ways to end."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence

import polars as pl

from arrowstream.core.batch import Batch, Element
from arrowstream.core.clock import Clock
from arrowstream.core.failures import is_failure
from arrowstream.core.ingest import schema_of
from arrowstream.core.memory_budget import MemoryBudget
from arrowstream.errors import SchemaError, SourceError
from arrowstream.io.source import SourceSpec, open_source
from arrowstream.metrics.snapshot import Metrics
from arrowstream.plan.physical import Input, Plan, SinkBinding
from arrowstream.runtime.endpoints.sink import RunningSink
from arrowstream.runtime.endpoints.sinks import RunningSinks
from arrowstream.runtime.endpoints.source import RunningSource
from arrowstream.runtime.failure.cleanup import despite, first_failure, in_turn, root
from arrowstream.runtime.failure.stage_error import opened
from arrowstream.runtime.flow.ports import InputPort, ReplayInput
from arrowstream.runtime.flow.router import RunningRouter
from arrowstream.runtime.options import Options, Prepared
from arrowstream.runtime.report import Progress, RunReport
from arrowstream.runtime.resources import Resources
from arrowstream.runtime.snapshots import Snapshots
from arrowstream.runtime.stage import RunningStage
from arrowstream.runtime.task_group import task_group
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
        "_resources",
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
        self._resources = Resources(
            clock,
            self._threads,
            MemoryBudget(options.state_bytes),
            options.snapshots,
            options.on_sink_barrier,
        )
        self._sinks = RunningSinks(self._resources)
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

    @property
    def commit_begun(self) -> bool:
        """Whether the sinks have begun to make their rows visible, which goes on to its end; from any thread."""
        return self._sinks.commit_begun

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
            async with task_group() as group:
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
        try:
            raise failure  # out here, so that it keeps its own cause and drags no group along
        finally:
            del failure  # its traceback holds this frame, and that would hold it

    def _leave_out(self, prepared: Prepared, failure: BaseException | None) -> None:
        """Tell the ends whose turn never came."""
        for source in prepared.sources:
            if not any(source is opened for opened in self._opened):
                source.on_never_opened(failure)
        for sink in prepared.sinks:
            if not any(sink is reached for reached in self._sinks.reached):
                sink.on_never_opened(failure)

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
            sources=[source.counters for source in list(self._sources)],
            between=[] if wiring is None else [stage.counters for stage in list(wiring.stages)],
            sinks=[sink.counters for sink in sinks if sink in self._ends],
            side=[sink.counters for sink in sinks if sink not in self._ends],
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
            for source in self._sources:
                source.on_failure(first_failure(failure))
            await despite(failure, (source.close for source in self._sources))
            raise
        await in_turn(source.close for source in self._sources)
        return report

    async def _open_source(self, name: str, start: Input) -> RunningSource:
        resume = await Snapshots(name, self._resources).position()
        context = self._resources.context(name)
        reader = opened(name, SourceError, lambda: open_source(start.source, context, start.query, resume))
        inside = () if start.absorbed is None else start.absorbed.steps
        source = RunningSource(name, reader, self._resources, inside)
        self._sources.append(source)
        self._opened.append(start.source)
        if self._stop_reason is not None:
            source.stop()
        return source

    async def _from_source(self, prepared: Prepared) -> RunReport:
        held: list[Element] = []
        plan = prepared.plan
        unknown = pl.Schema()
        source = await self._open_source(
            "source", plan.input if plan is not None else Input(prepared.sources[0], unknown)
        )
        while plan is None:
            element = await source.receive()
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
        return await self._with_sinks(plan, ReplayInput(held, source) if held else source)

    async def _with_sinks(self, plan: Plan, source: InputPort) -> RunReport:
        try:
            wiring = self._wiring = Wiring(
                self._resources,
                self._sinks,
                self._open_source,
                self._open_end,
                self._options.limits,
            )
            await wiring.wire(source, plan)
            async with task_group() as group:
                wiring.start(group)
            await self._sinks.commit()
        except BaseException as failure:
            await despite(failure, self._sinks.aborts(first_failure(failure)))
            raise
        self._tell()
        self._committed = self._report(plan.name, wiring.stages)
        return self._committed

    def _open_end(self, outlet: SinkBinding) -> RunningSink:
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
        return sum(source.counters.rows_in for source in self._sources)

    def _rows_out(self) -> int:
        return sum(sink.counters.rows_out for sink in self._ends)

    def _seconds(self) -> float:
        end_ns = self._clock.now_ns() if self._end_ns is None else self._end_ns
        return (end_ns - self._begin_ns) / 1e9

    def _report(self, name: str, stages: Sequence[RunningStage | RunningRouter]) -> RunReport:
        parts = (*self._sources, *stages, *self._sinks)
        wall_us = time.time_ns() // 1_000
        return RunReport(
            name,
            self._rows_in(),
            self._rows_out(),
            self._seconds(),
            tuple(part.counters.snapshot(wall_us) for part in parts),
            self._ended_early(),
        )

    def _ended_early(self) -> str | None:
        """Why the run ended before the stream did; None if every source had ended by itself before it was stopped."""
        complete = self._stop_reason != "limit" and all(source.ended for source in self._sources)
        return None if complete else self._stop_reason


def _only_cancelled(failure: BaseException) -> bool:
    """Whether we were cancelled from outside, and nothing else went wrong."""
    cancelled = isinstance(failure, asyncio.CancelledError) and not is_failure(failure)
    return cancelled and not getattr(failure, "__notes__", ())
