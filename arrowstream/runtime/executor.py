"""One run of a plan: a task for each stage, channels between them, and three ways to end.

The source's task runs the first stage too if the source does not block, and the last task writes to
the sink if the sink does not block: passing a batch between tasks costs some 10 us, which only pays
where the two sides can really work at the same time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

import polars as pl

from arrowstream.batch import Batch, Element
from arrowstream.channel import Receiver, Sender, channel
from arrowstream.clock import Clock
from arrowstream.errors import SchemaError, SinkError, SourceError
from arrowstream.ingest import schema_of
from arrowstream.io.base import SinkSpec, SourceSpec
from arrowstream.plan.physical import Plan
from arrowstream.runtime.ends import RunningSink, RunningSource, opened
from arrowstream.runtime.report import Progress, RunReport
from arrowstream.runtime.section import Read, drive
from arrowstream.runtime.stage import RunningStage, start_stage
from arrowstream.runtime.threads import Threads

PROGRESS_NS = 100_000_000
CHANNEL_BATCHES = 2
"""Batches between two stages: enough to keep both busy, little enough to keep memory small."""

WORKERS = 8
"""Threads of a run at most; they are started only when needed, one for each party that blocks."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to run.

    Parameters
    ----------
    limit
        Stop once so many rows have come out.
    seconds
        Stop after this time.
    on_progress
        Called on the loop at most ten times a second, and at the end.
    """

    limit: int | None = None
    seconds: float | None = None
    on_progress: Callable[[Progress], None] | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """What to run: a plan, or how to make one once the first batch has told its schema."""

    name: str
    source: SourceSpec
    sink: SinkSpec
    plan: Plan | None
    compile: Callable[[pl.Schema], Plan]


class Run:
    """One execution. Make a new one for each."""

    __slots__ = (
        "_begin_ns",
        "_clock",
        "_options",
        "_reported_ns",
        "_sink_reached",
        "_source",
        "_stop_reason",
    )

    def __init__(self, clock: Clock, options: Options) -> None:
        self._clock = clock
        self._options = options
        self._source: RunningSource | None = None
        self._sink_reached = False
        self._stop_reason: str | None = None
        self._begin_ns = self._reported_ns = clock.now_ns()

    def stop(self, reason: str = "stop") -> None:
        """End gently: the source stops, what is in flight is delivered, the sink commits.

        Call it on the run's own loop. Idempotent; the first reason stays.
        """
        if self._stop_reason is None:
            self._stop_reason = reason
            if self._source is not None:
                self._source.stop()

    async def execute(self, prepared: Prepared) -> RunReport:
        """Run to the end of the stream, or until stopped.

        Raises
        ------
        ArrowstreamError
            The first failure; everything else was cancelled and the sink aborted.
        """
        threads = Threads(WORKERS)
        if self._options.limit == 0:
            self.stop("limit")
        try:
            async with asyncio.TaskGroup() as group:
                timer = group.create_task(self._stop_in_time(), name="duration")
                report = await self._with_source(prepared, threads)
                timer.cancel()
            if not self._sink_reached:
                prepared.sink.left_out(None)
            return report
        except BaseException as raised:
            failure = _root(raised)
            if not self._sink_reached:
                prepared.sink.left_out(failure)
        finally:
            threads.close()
        raise failure  # out here, so that it keeps its own cause and drags no group along

    async def _stop_in_time(self) -> None:
        if self._options.seconds is not None:
            await self._clock.sleep(self._options.seconds)
            self.stop("duration")

    async def _with_source(self, prepared: Prepared, threads: Threads) -> RunReport:
        plan, spec = prepared.plan, prepared.source
        query = plan.query if plan is not None else None
        reader = opened("source", SourceError, lambda: spec.open(query))
        source = self._source = RunningSource(reader, self._clock, threads)
        if self._stop_reason is not None:
            source.stop()
        try:
            report = await self._from_source(prepared, plan, source, threads)
        except BaseException as failure:
            await _despite(failure, source.close)
            raise
        finally:
            self._source = None
        await source.close()
        return report

    async def _from_source(
        self, prepared: Prepared, plan: Plan | None, source: RunningSource, threads: Threads
    ) -> RunReport:
        held: list[Element] = []
        while plan is None:
            element = await source.read()
            if element is None:
                if self._stop_reason is not None or not prepared.sink.needs_schema:
                    return self._report(prepared.name, source, [], None)
                raise SchemaError(
                    "the stream ended before its first batch, so nobody knows its columns",
                    stage="source",
                    expected="at least one batch, or a declared schema",
                    hint="pass schema=... to the source: an empty stream then gives an empty result",
                )
            held.append(element)
            if isinstance(element, Batch):
                plan = prepared.compile(schema_of(element))
        return await self._with_sink(plan, source, _after(held, source.read), threads)

    async def _with_sink(self, plan: Plan, source: RunningSource, read: Read, threads: Threads) -> RunReport:
        self._sink_reached = True
        writer = opened("sink", SinkError, lambda: plan.sink.open(plan.output))
        sink = RunningSink(
            writer,
            self._clock,
            threads,
            limit=self._options.limit,
            on_write=lambda: self._written(source, sink),
        )
        try:
            stages = [start_stage(stage, self._clock, threads) for stage in plan.stages]
            async with asyncio.TaskGroup() as group:
                _start(group, source, stages, sink, read)
            await sink.finish()
        except BaseException as failure:
            await _despite(failure, sink.abort)
            raise
        self._tell(source, sink)
        return self._report(plan.name, source, stages, sink)

    def _written(self, source: RunningSource, sink: RunningSink) -> None:
        if sink.full:
            self.stop("limit")
        if self._options.on_progress is not None:
            now = self._clock.now_ns()
            if now - self._reported_ns >= PROGRESS_NS:
                self._reported_ns = now
                self._tell(source, sink)

    def _tell(self, source: RunningSource, sink: RunningSink) -> None:
        if self._options.on_progress is not None:
            self._options.on_progress(
                Progress(source.tally.rows_in, sink.tally.rows_out, self._seconds(), source.total_rows)
            )

    def _seconds(self) -> float:
        return (self._clock.now_ns() - self._begin_ns) / 1e9

    def _report(
        self, name: str, source: RunningSource, stages: list[RunningStage], sink: RunningSink | None
    ) -> RunReport:
        tallies = [source.tally, *(stage.tally for stage in stages), *([sink.tally] if sink else [])]
        return RunReport(
            name,
            source.tally.rows_in,
            sink.tally.rows_out if sink else 0,
            self._seconds(),
            tuple(tally.report() for tally in tallies),
            self._stop_reason,
        )


def _start(
    group: asyncio.TaskGroup,
    source: RunningSource,
    stages: list[RunningStage],
    sink: RunningSink,
    read: Read,
) -> None:
    """A task for each stage; an end that does not block shares its neighbour's task."""
    sections: list[RunningStage | None] = list(stages)
    if source.blocking or not sections:
        sections.insert(0, None)
    if sink.blocking and (source.blocking or stages):
        sections.append(None)
    *before, last = sections
    for stage in before:
        sender: Sender[Element]
        receiver: Receiver[Element]
        sender, receiver = channel(CHANNEL_BATCHES)
        group.create_task(drive(read, stage, sender.send, sender.close), name=_name(stage))
        read = _receive(receiver)
    group.create_task(drive(read, last, sink.write, lambda: None), name=_name(last))


def _name(stage: RunningStage | None) -> str:
    return stage.tally.name if stage is not None else "end"


def _receive(receiver: Receiver[Element]) -> Read:
    async def read() -> Element | None:
        return await anext(receiver, None)

    return read


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


async def _despite(failure: BaseException, clean_up: Callable[[], Awaitable[None]]) -> None:
    """Clean up after `failure`, which must stay what the user sees if that fails, too."""
    try:
        await clean_up()
    except Exception as error:
        next(_leaves(failure)).add_note(f"and: {error}")


def _root(failure: BaseException) -> BaseException:
    """The failure that came first; the others, if any, become notes on it."""
    first, *others = _leaves(failure)
    for other in others:
        first.add_note(f"and: {other}")
    return first


def _leaves(failure: BaseException) -> Iterator[BaseException]:
    if isinstance(failure, BaseExceptionGroup):
        for inner in failure.exceptions:
            yield from _leaves(inner)
    else:
        yield failure
