"""The surface: build a pipeline, look at it, run it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Unpack

import polars as pl

from arrowstream.backends.arrow import ArrowBackend
from arrowstream.backends.base import Backend
from arrowstream.backends.polars import PolarsBackend
from arrowstream.clock import Clock, MonotonicClock
from arrowstream.duration import seconds
from arrowstream.errors import PlanError
from arrowstream.io.base import SinkSpec, SourceSpec
from arrowstream.io.function_sink import CollectSink
from arrowstream.operators.base import Expressions, Operator
from arrowstream.operators.cast import Cast
from arrowstream.operators.drop import Drop
from arrowstream.operators.explode import Explode
from arrowstream.operators.filter import Filter
from arrowstream.operators.rebatch import Rebatch
from arrowstream.operators.reduce import Reduce
from arrowstream.operators.rename import Rename
from arrowstream.operators.select import Select
from arrowstream.operators.unnest import Unnest
from arrowstream.operators.window import WindowOptions, Windows, windows
from arrowstream.operators.with_columns import WithColumns
from arrowstream.plan.compile import check_graph, compile_plan, output_schema
from arrowstream.plan.explain import explain_graph, explain_plan
from arrowstream.plan.graph import Graph
from arrowstream.plan.physical import Plan
from arrowstream.runtime.blocking import run_blocking
from arrowstream.runtime.executor import Options, Prepared, Run
from arrowstream.runtime.report import Progress, RunReport

Duration = str | float | timedelta
ShowProgress = bool | Callable[[Progress], None]

BACKENDS: tuple[Backend, ...] = (ArrowBackend(), PolarsBackend())
"""The backends of this process, the one for the smallest batches first."""


@dataclass(frozen=True, slots=True)
class Builder:
    """A pipeline being written. Immutable: every call returns a new builder and leaves this one alone."""

    graph: Graph

    def source(self, source: SourceSpec) -> Builder:
        """Read from `source`; see `Source`."""
        return Builder(self.graph.with_source(source))

    def select(self, *exprs: Any, **named: Any) -> Builder:
        """Only these columns and expressions, as in Polars."""
        return self._then(Select.of(*exprs, **named))

    def with_columns(self, *exprs: Any, **named: Any) -> Builder:
        """These columns added or replaced, as in Polars."""
        return self._then(WithColumns.of(*exprs, **named))

    def map(self, *exprs: Any, **named: Any) -> Builder:
        """Rows transformed by expressions: `with_columns` under the name streaming engines use."""
        return self.with_columns(*exprs, **named)

    def filter(self, *predicates: Any, **constraints: Any) -> Builder:
        """Only rows for which every predicate is true, as in Polars."""
        return self._then(Filter.of(*predicates, **constraints))

    def drop(self, *columns: Any) -> Builder:
        """Without these columns, as in Polars."""
        return self._then(Drop.of(*columns))

    def rename(self, mapping: Mapping[str, str]) -> Builder:
        """Columns under new names ``{old: new}``, as in Polars."""
        return self._then(Rename.of(mapping))

    def cast(self, dtypes: Any, *, strict: bool = True) -> Builder:
        """Columns as other types ``{column: type}``, or all as one; strict: what does not fit is an error."""
        return self._then(Cast.of(dtypes, strict=strict))

    def explode(self, *columns: Any) -> Builder:
        """A row for each element of these list columns, as in Polars."""
        return self._then(Explode.of(*columns))

    def unnest(self, *columns: Any) -> Builder:
        """The fields of these struct columns as columns, as in Polars."""
        return self._then(Unnest.of(*columns))

    def batch(self, rows: int) -> Builder:
        """The same rows in batches of `rows`; slices share memory."""
        return self._then(Rebatch(rows))

    def window(self, size: Duration | None = None, **options: Unpack[WindowOptions]) -> Windows[Builder]:
        """Windows of event time, sessions or rows, for `.agg(...)`; see `arrowstream.operators.window.windows`."""
        return windows(self._then, size, **options)

    def reduce(self, *exprs: Any, by: Any = None, **named: Any) -> Builder:
        """Aggregates over the stream so far for each key; see `arrowstream.operators.reduce.Reduce`."""
        return self._then(Reduce.of(*exprs, by=by, **named))

    def backend(self, name: str) -> Builder:
        """Pin the step before this to a backend: ``"auto"``, ``"arrow"`` or ``"polars"``."""
        return Builder(self.graph.with_backend(name))

    def sink(self, sink: SinkSpec) -> Builder:
        """Write to `sink`; see `Sink`."""
        return Builder(self.graph.with_sink(sink))

    def build(self, *, clock: Clock | None = None) -> Pipeline:
        """Check names and types of the whole pipeline and plan it; no data moves.

        Parameters
        ----------
        clock
            Time for the runs; a `arrowstream.testing.ManualClock` in tests.

        Raises
        ------
        SchemaError, PlanError
            A column, type, expression, source or sink does not fit; the error names the stage.
        """
        return Pipeline(self.graph, clock or MonotonicClock())

    def schema(self) -> pl.Schema | None:
        """The schema that comes out of the last step; None if only the first batch will tell."""
        source = self.graph.source
        if source is None:
            raise PlanError("the pipeline has no source", hint="begin with Pipeline.builder().source(...)")
        schema = source.schema()
        return None if schema is None else output_schema(self.graph, schema)

    async def collect(self, limit: int | None = None) -> pl.DataFrame:
        """Run into memory; with `limit`, stop the source once so many rows have come out."""
        sink = CollectSink()
        await self.sink(sink).build().run(limit=limit)
        return sink.frame()

    def collect_sync(self, limit: int | None = None) -> pl.DataFrame:
        """`collect` for scripts and notebooks."""
        return run_blocking(lambda: self.collect(limit))

    def preview(self, rows: int = 10) -> pl.DataFrame:
        """The first `rows` rows that come out."""
        return self.collect_sync(limit=rows)

    def _then(self, operator: Expressions | Operator) -> Builder:
        return Builder(self.graph.with_step(operator))


class Pipeline:
    """A checked and planned pipeline. Begin with `Pipeline.builder()`.

    Examples
    --------
    >>> import polars as pl
    >>> from arrowstream import Pipeline, Sink, Source
    >>> totals = []
    >>> pipeline = (
    ...     Pipeline.builder(name="doubles")
    ...     .source(Source.from_frame(pl.DataFrame({"x": [1, 2, 3]})))
    ...     .with_columns(y=pl.col("x") * 2)
    ...     .sink(Sink.to_fn(lambda batch: totals.append(sum(batch["y"].to_pylist()))))
    ...     .build()
    ... )
    >>> pipeline.run_sync().rows_out, totals
    (3, [12])
    """

    def __init__(self, graph: Graph, clock: Clock) -> None:
        self._graph = graph
        self._clock = clock
        self._plan: Plan | None = None
        self._runs: dict[Run, asyncio.AbstractEventLoop] = {}
        self._source, self._sink = check_graph(graph, BACKENDS)
        schema = self._source.schema()
        self._planned_ahead = schema is not None
        if schema is not None:
            self._compile(schema)

    @staticmethod
    def builder(name: str = "pipeline") -> Builder:
        """Start writing a pipeline."""
        return Builder(Graph(name))

    @property
    def name(self) -> str:
        """The pipeline's name."""
        return self._graph.name

    def explain(self) -> str:
        """The plan as text: stages, fusion, schemas, backends with the reason, and, after a run, fitted costs."""
        return explain_plan(self._plan) if self._plan is not None else explain_graph(self._graph)

    async def run(
        self,
        *,
        progress: ShowProgress = False,
        duration: Duration | None = None,
        limit: int | None = None,
    ) -> RunReport:
        """Run until the stream ends, or as told.

        Parameters
        ----------
        progress
            True for a progress bar on a terminal, or a function that gets a `Progress` now and then.
        duration
            Stop gently after this time (``"10s"``, seconds, a timedelta).
        limit
            Stop gently once so many rows have come out; exactly so many are delivered.

        Raises
        ------
        StageError
            A stage failed; everything else was cancelled, and nothing half-written is visible.
        SchemaError, PlanError
            The first batch of a source without a schema does not fit the pipeline.
        MissingExtra
            ``progress=True`` without the library it draws with.
        """
        if limit is not None and limit < 0:
            raise PlanError("limit is negative", expected="0 or more rows", found=str(limit))
        time = None if duration is None else seconds(duration)
        if progress is True:
            from arrowstream.display import progress_bar

            with progress_bar(self.name) as on_progress:
                return await self._execute(Options(limit, time, on_progress))
        return await self._execute(Options(limit, time, progress or None))

    def run_sync(
        self,
        *,
        progress: ShowProgress = False,
        duration: Duration | None = None,
        limit: int | None = None,
    ) -> RunReport:
        """`run` for scripts and notebooks; inside a running loop it waits for a thread that runs its own."""
        return run_blocking(lambda: self.run(progress=progress, duration=duration, limit=limit))

    def stop(self) -> None:
        """End every run of this pipeline gently, from any thread: what is in flight is delivered."""
        for run, loop in list(self._runs.items()):
            loop.call_soon_threadsafe(run.stop)

    async def _execute(self, options: Options) -> RunReport:
        run = Run(self._clock, options)
        self._runs[run] = asyncio.get_running_loop()
        try:
            plan = self._plan if self._planned_ahead else None
            return await run.execute(Prepared(self.name, self._source, self._sink, plan, self._compile))
        finally:
            del self._runs[run]

    def _compile(self, schema: pl.Schema) -> Plan:
        # A later run over the same schema keeps the plan, and with it the fitted costs.
        if self._plan is None or self._plan.schema != schema:
            self._plan = compile_plan(self._graph, schema, BACKENDS)
        return self._plan


__all__ = ["Builder", "Pipeline"]
