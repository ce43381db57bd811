"""One run of a plan: it opens sources and sinks, runs the tasks, and ends in a commit or in aborts."""

from __future__ import annotations

import asyncio

import polars as pl

from arrowstream.checkpoints.folder import CheckpointFolder
from arrowstream.core.batch import Batch, Element
from arrowstream.core.clock import Clock
from arrowstream.core.failures import is_failure
from arrowstream.core.memory_budget import MemoryBudget
from arrowstream.errors import SchemaError, SourceError
from arrowstream.io.open_source import open_source
from arrowstream.io.source import SourceSpec
from arrowstream.metrics.counters import StageCounters
from arrowstream.metrics.snapshot import Metrics
from arrowstream.plan.physical import Input, Plan, SinkBinding
from arrowstream.runtime.checkpoints.coordinator import Coordinator
from arrowstream.runtime.checkpoints.opening import open_folder
from arrowstream.runtime.checkpoints.snapshots import Snapshots, check_saved
from arrowstream.runtime.endpoints.acknowledge import Acknowledgements, passes_rows_on
from arrowstream.runtime.endpoints.allowance import Allowance
from arrowstream.runtime.endpoints.sink import RunningSink
from arrowstream.runtime.endpoints.sinks import RunningSinks
from arrowstream.runtime.endpoints.source import RunningSource
from arrowstream.runtime.failure.cleanup import despite, first_failure, in_turn, never_opened, root
from arrowstream.runtime.failure.stage_error import opened
from arrowstream.runtime.flow.ports import InputPort, ReplayInput
from arrowstream.runtime.limits import Limits
from arrowstream.runtime.options import Options, Prepared
from arrowstream.runtime.report import RunReport
from arrowstream.runtime.resources import Resources
from arrowstream.runtime.task_group import task_group
from arrowstream.runtime.threads import Threads
from arrowstream.runtime.totals import Totals
from arrowstream.runtime.wiring import Wiring


class Run:
    """One execution of a plan: it opens sources and sinks, runs the tasks, and commits or cleans up.

    An instance runs once.

    Parameters
    ----------
    clock
        The run's monotonic clock.
    options
        The options of the run.
    """

    __slots__ = (
        "_acknowledgements",
        "_acknowledges",
        "_allowance",
        "_cancelling",
        "_coordinator",
        "_limits",
        "_opened",
        "_options",
        "_report",
        "_resources",
        "_sinks",
        "_stop_reason",
        "_threads",
        "_totals",
    )

    def __init__(self, clock: Clock, options: Options) -> None:
        self._options = options
        self._threads = Threads(options.workers)
        self._resources = Resources(
            clock,
            self._threads,
            MemoryBudget(options.state_bytes),
            options.snapshots,
            self._on_sink_barrier,
        )
        self._sinks = RunningSinks(self._resources)
        self._totals = Totals(clock, self._sinks)
        self._acknowledgements = Acknowledgements(
            clock, lambda: self._totals.sources, lambda: self._totals.final_sinks
        )
        self._cancelling = 0
        """Number of requests to cancel the task of the run when it began."""
        self._limits = Limits(clock, options, self._totals, self.stop)
        self._allowance = None if options.limit is None else Allowance(options.limit)
        self._opened: list[SourceSpec] = []
        self._acknowledges = False
        """True if a source waits for acknowledgements."""
        self._coordinator: Coordinator | None = None
        self._stop_reason: str | None = None
        self._report: RunReport | None = None

    def _on_sink_barrier(self, name: str, epoch: int) -> None:
        self._options.on_sink_barrier(name, epoch)
        self._acknowledgements.on_sink_barrier(name, epoch)

    def stop(self, reason: str = "stop") -> None:
        """End gently: the sources stop, rows in flight are delivered, the sinks commit.

        With checkpoints, what the steps hold stays in the last one, for the next run. Tables of joins that are still
        being loaded are given up, as no row has been read. Call it on the run's loop. Idempotent; the first reason
        stays.
        """
        if self._stop_reason is None:
            self._stop_reason = reason
            if self._totals.wiring is not None:
                self._totals.wiring.give_up_loads()
            if self._options.checkpoint is not None:
                if self._coordinator is not None:
                    self._coordinator.stop()
                return
            for source in self._totals.sources:
                source.stop()

    def metrics(self, name: str) -> Metrics:
        """Return a frozen copy of all counters; callable from any thread."""
        return self._totals.metrics(name)

    @property
    def counters(self) -> dict[str, StageCounters]:
        """The counters of what has been opened, by name: sources, stages, sinks; readable from any thread."""
        return self._totals.counters

    @property
    def seconds(self) -> float:
        """Time since the run began, in seconds; its duration once it has ended."""
        return self._totals.seconds

    def report(self, name: str) -> RunReport:
        """Return the report of what has been done so far. From any thread."""
        return self._totals.report(name, self._stop_reason)

    @property
    def stop_reason(self) -> str | None:
        """The reason for which the run is stopping, or has stopped; None for none."""
        return self._stop_reason

    @property
    def commit_begun(self) -> bool:
        """True once the sinks begin to make their rows visible, which nothing stops; readable from any thread."""
        return self._sinks.commit_begun

    async def execute(self, prepared: Prepared) -> RunReport:
        """Run to the end of the stream, or until stopped.

        Raises
        ------
        ArrowstreamError
            The first failure; all other tasks were cancelled and the sinks aborted.
        CancelledError
            The run was cancelled before its sinks began to commit. A later cancellation has no effect: every row
            becomes visible.
        """
        task = asyncio.current_task()
        assert task is not None
        self._cancelling = task.cancelling()
        if self._options.limit == 0:
            self.stop("limit")
        failure: BaseException | None = None
        try:
            async with task_group() as group:
                timers = [
                    group.create_task(self._limits.stop_in_time(), name="duration"),
                    group.create_task(self._limits.log_metrics(prepared.name), name="metrics"),
                ]
                await self._with_checkpoints(prepared)
                for timer in timers:
                    timer.cancel()
        except BaseException as raised:
            failure = root(raised)
        self._totals.end()
        self._threads.close()
        if self._report is not None and (failure is None or _only_cancelled(failure)):
            failure = None  # its traceback refers to this frame: a cycle
            self._notify_never_opened(prepared, None)
            return self._report
        assert failure is not None
        self._notify_never_opened(prepared, failure)
        try:
            raise failure  # outside of the except block, so that it keeps its cause and has no group as context
        finally:
            del failure  # as above

    def _notify_never_opened(self, prepared: Prepared, failure: BaseException | None) -> None:
        """Notify sources and sinks that were never opened."""
        never_opened(
            [each for each in prepared.sources if not any(each is opened for opened in self._opened)],
            [each for each in prepared.sinks if not any(each is reached for reached in self._sinks.reached)],
            failure,
        )

    async def _with_checkpoints(self, prepared: Prepared) -> None:
        options, resources = self._options.checkpoint, self._resources
        if options is None:
            return await self._with_sources(prepared)
        opened_folders: list[CheckpointFolder] = []
        try:
            # A cancellation comes once the folder is open.
            await self._threads.call(lambda: opened_folders.append(open_folder(options, prepared)))
            [folder] = opened_folders
            resources.snapshots = resources.checkpoint = folder
            self._coordinator = self._totals.coordinator = Coordinator(
                folder,
                options.every_s,
                resources.clock,
                self._threads,
                lambda: self._totals.sources,
                self._sinks,
                resources.state_writes,
            )
            if self._stop_reason is not None:
                self._coordinator.stop()
            await self._with_sources(prepared)
        finally:
            try:
                await resources.state_writes.ended()
            finally:
                for folder in opened_folders:
                    folder.close()

    async def _with_sources(self, prepared: Prepared) -> None:
        try:
            await self._from_source(prepared)
        except BaseException as failure:
            for source in self._totals.sources:
                source.on_failure(first_failure(failure))
            await despite(failure, (source.close for source in self._totals.sources))
            raise
        await in_turn(source.close for source in self._totals.sources)

    async def _open_source(self, name: str, start: Input) -> RunningSource:
        resume = await Snapshots(name, start.state_id, self._resources).position()
        context = self._resources.context(name)
        spec = start.source if self._coordinator is None else start.source.with_checkpoints()
        reader = opened(name, SourceError, lambda: open_source(spec, context, start.query, resume))
        inside = () if start.absorbed is None else start.absorbed.steps
        source = RunningSource(
            name, reader, self._resources, inside, start.state_id, barriers=self._acknowledges
        )
        self._totals.sources.append(source)
        self._opened.append(start.source)
        if self._stop_reason is not None and self._coordinator is None:
            source.stop()
        return source

    async def _from_source(self, prepared: Prepared) -> None:
        held: list[Element] = []
        plan = prepared.plan
        self._acknowledges = any(source.acknowledged for source in prepared.sources)
        unknown = pl.Schema()
        source = await self._open_source(
            "source", plan.input if plan is not None else Input(prepared.sources[0], unknown)
        )
        while plan is None:
            element = await source.receive()
            if element is None:
                # Without a plan the other sources cannot be read, and their rows would be lost.
                alone = len(prepared.sources) == 1 and not any(sink.needs_schema for sink in prepared.sinks)
                if self._stop_reason is not None or alone:
                    self._report = self._totals.report(prepared.name, self._stop_reason)
                    return
                raise SchemaError(
                    "the stream ended before its first batch, so its columns are unknown",
                    stage="source",
                    expected="at least one batch, or a declared schema",
                    hint="pass schema=... to the source: an empty stream then gives an empty result",
                )
            held.append(element)
            if isinstance(element, Batch):
                # A decoder that waits for a registry would hold up the loop, and the heartbeats of a Kafka group.
                waits = any(each.decoder is not None and each.decoder.waits for each in prepared.sources)
                if waits:
                    plan = await self._threads.call(prepared.compile, element)
                else:
                    plan = prepared.compile(element)
        await self._with_sinks(prepared, plan, ReplayInput(held, source) if held else source)

    async def _with_sinks(self, prepared: Prepared, plan: Plan, source: InputPort) -> None:
        # Checkpoints send barriers of their own.
        regularly = self._acknowledges and self._resources.snapshots is None
        regularly = regularly and passes_rows_on(plan) and all(sink.shows_at_once for sink in prepared.sinks)
        try:
            wiring = self._totals.wiring = Wiring(
                self._resources,
                self._sinks,
                self._open_source,
                self._open_sink,
                self._options.limits,
            )
            await check_saved(plan.state_ids, self._resources)
            await wiring.wire(source, plan)
            coordinator = self._coordinator
            if coordinator is not None:
                await coordinator.recover()
            # Rows that were read to learn the schema need the tables also if the run is stopped.
            needed = isinstance(source, ReplayInput)
            if needed or self._stop_reason is None:
                await wiring.load(needed=needed)
            async with (
                self._sinks.keeping_time(),
                self._acknowledgements.regularly(regularly)
                if coordinator is None
                else coordinator.regularly(),
                task_group() as group,
            ):
                wiring.start(group, self._cancelling)
            await self._resources.state_writes.done()
            await (self._sinks.commit() if coordinator is None else coordinator.end())
        except BaseException as failure:
            await despite(failure, self._sinks.aborts(first_failure(failure)))
            raise
        # Of a batch that a limit cut, the sinks have only a part.
        if self._acknowledges and coordinator is None and self._stop_reason != "limit":
            await self._acknowledgements.at_end()
        self._limits.report_progress()
        self._report = self._totals.report(plan.name, self._stop_reason)

    def _open_sink(self, binding: SinkBinding, exit_: object) -> RunningSink:
        """Open a sink at an end of the pipeline; the limit holds for it, and its rows count as output."""
        on_write = self._limits.on_write if self._limits.look_at_writes else None
        share = None if self._allowance is None else self._allowance.share(exit_)
        sink = self._sinks.open(binding, share, on_write)
        self._totals.exits.setdefault(exit_, []).append(sink)
        return sink


def _only_cancelled(failure: BaseException) -> bool:
    """Return whether the run was cancelled from outside, and nothing else failed."""
    cancelled = isinstance(failure, asyncio.CancelledError) and not is_failure(failure)
    return cancelled and not getattr(failure, "__notes__", ())
