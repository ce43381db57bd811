"""The surface: build a pipeline, look at it, run it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, Unpack

import polars as pl

from arrowstream.backends.arrow import ArrowBackend
from arrowstream.backends.base import Backend
from arrowstream.backends.polars import PolarsBackend
from arrowstream.clock import Clock, MonotonicClock
from arrowstream.duration import Duration, seconds
from arrowstream.errors import PlanError
from arrowstream.io.base import SinkSpec, SourceSpec
from arrowstream.io.function_sink import CollectSink
from arrowstream.metrics import Metrics
from arrowstream.metrics_server import MetricsServer, serve
from arrowstream.operators.base import Expressions, Operator
from arrowstream.operators.buffer import Buffer
from arrowstream.operators.cast import Cast
from arrowstream.operators.debounce import Debounce
from arrowstream.operators.drop import Drop
from arrowstream.operators.explode import Explode
from arrowstream.operators.filter import Filter
from arrowstream.operators.filter_map import filter_mapping
from arrowstream.operators.flat_map import flat_mapping
from arrowstream.operators.keyed_state import OnFull
from arrowstream.operators.map_function import mapping
from arrowstream.operators.map_zero_copy import MapZeroCopy
from arrowstream.operators.parallel_map import ParallelMap
from arrowstream.operators.processor import Processor, ProcessorStep
from arrowstream.operators.rebatch import Rebatch
from arrowstream.operators.reduce import Reduce
from arrowstream.operators.rename import Rename
from arrowstream.operators.scan import Scan
from arrowstream.operators.scan_function import ScanFunction, is_scan_function
from arrowstream.operators.select import Select
from arrowstream.operators.throttle import Throttle
from arrowstream.operators.unnest import Unnest
from arrowstream.operators.window import WindowOptions, Windows, windows
from arrowstream.operators.with_columns import WithColumns
from arrowstream.operators.zero_copy_columns import ZeroCopyColumns
from arrowstream.plan.compile import check_graph, compile_plan, output_schema
from arrowstream.plan.explain import explain_graph, explain_plan
from arrowstream.plan.graph import Graph, Union
from arrowstream.plan.locality import check
from arrowstream.plan.physical import Plan
from arrowstream.plan.policies import Policies
from arrowstream.plan.settle import settle
from arrowstream.policy import ErrorHandler
from arrowstream.runtime.blocking import run_blocking
from arrowstream.runtime.executor import Options, Prepared, Run
from arrowstream.runtime.report import Progress, RunReport
from arrowstream.runtime.wiring import Room
from arrowstream.settings import Settings
from arrowstream.splitting import Splitting

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
        """Rows transformed by expressions, as `with_columns`; or batches by ``fn``, see `MapFunction`."""
        return self._then(mapping(*exprs, **named))

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

    def batch(
        self, rows: int | None = None, *, nbytes: int | None = None, max_delay: Duration | None = None
    ) -> Builder:
        """The same rows in batches of `rows` or `nbytes`, none held longer than `max_delay`; slices share memory."""
        return self._then(Rebatch(rows, nbytes, max_delay))

    def throttle(
        self, rows: int | None = None, *, batches: int | None = None, per: Duration = "1s"
    ) -> Builder:
        """At most so many rows or batches in a time; what comes before is slowed down."""
        return self._then(Throttle(rows, batches, per))

    def debounce(self, quiet: Duration, *, by: Any = None) -> Builder:
        """The last row of every run of events, by key, once nothing came for `quiet`."""
        return self._then(Debounce.of(quiet, by))

    def flat_map(self, what: Any, **options: Any) -> Builder:
        """One batch to many by ``fn``, see `FlatMap`; or a row for each element of a list column."""
        return self._then(flat_mapping(what, **options))

    def filter_map(self, what: Any, **options: Any) -> Builder:
        """A filter and the expressions after it; or batches by ``fn``, see `FilterMap`."""
        return self._then(filter_mapping(what, **options))

    def process(self, processor: Processor | Callable[[], Processor]) -> Builder:
        """Batches by a `Processor` of your own, with state and resources; see `ProcessorStep`."""
        return self._then(ProcessorStep(processor))

    def parallel_map(self, fn: Callable[[Any], Any], **options: Any) -> Builder:
        """Several batches at a time by `fn`, in order; see `ParallelMap`."""
        return self._then(ParallelMap(fn, **options))

    def map_zero_copy(self, *fns: Callable[[ZeroCopyColumns], Any]) -> Builder:
        """Columns changed in place as NumPy arrays; see `MapZeroCopy`."""
        return self._then(MapZeroCopy(fns))

    def window(
        self, size: Duration | None = None, *, late: SinkSpec | None = None, **options: Unpack[WindowOptions]
    ) -> Windows[Builder]:
        """Windows of event time, sessions or rows, for `.agg(...)`; see `arrowstream.operators.window.windows`.

        Rows that come too late for their windows leave by `late`.
        """
        return windows(partial(self._then, late=late), size, **options)

    def scan(
        self,
        *exprs: Any,
        by: Any = None,
        state: Any = None,
        max_keys: int | None = None,
        on_full: OnFull = "error",
        **named: Any,
    ) -> Builder:
        """Running values, a row out for a row in, by expressions or ``fn(frame, state)``."""
        if is_scan_function(exprs):
            return self._then(ScanFunction.of(*exprs, state=state, by=by, named=named))
        return self._then(Scan.of(check, exprs, named, by=by, max_keys=max_keys, on_full=on_full))

    def reduce(self, *exprs: Any, by: Any = None, **named: Any) -> Builder:
        """Aggregates over the stream so far for each key; see `arrowstream.operators.reduce.Reduce`."""
        return self._then(Reduce.of(*exprs, by=by, **named))

    def backend(self, name: str) -> Builder:
        """Pin the step before this to a backend: ``"auto"``, ``"arrow"`` or ``"polars"``."""
        return Builder(self.graph.with_backend(name))

    def buffer(self, capacity: int) -> Builder:
        """Room for `capacity` batches here, so that what comes before may run ahead."""
        return self._then(Buffer(capacity))

    def split(self, selector: Any) -> Splitting[Builder]:
        """Send each row down the branch that `selector` names; see `Splitting`."""
        return Splitting.of(self, selector)

    def merge(self, *others: Builder) -> Builder:
        """The rows of other pipelines without a sink, of the same schema, added as they come."""
        return Builder(self.graph.with_step(Union.of(other.graph for other in others)))

    def on_error(self, handler: ErrorHandler) -> Builder:
        """What to do when the step before this fails, or the sink; after several calls, in their order."""
        return Builder(self.graph.with_policies("on_error", Policies(handlers=(handler,))))

    def timeout(self, duration: Duration, on_timeout: Literal["fail", "skip"] = "fail") -> Builder:
        """Fail, or leave the batch out, if the step before this takes longer for one batch."""
        return Builder(self.graph.with_policies("timeout", Policies.time_limit(duration, on_timeout)))

    def sink(self, sink: SinkSpec) -> Builder:
        """Write to `sink`; see `Sink`."""
        return Builder(self.graph.with_sink(sink))

    def build(self, *, clock: Clock | None = None, settings: Settings | None = None) -> Pipeline:
        """Check names and types of the whole pipeline and plan it; no data moves.

        Parameters
        ----------
        clock
            Time for the runs; a `arrowstream.testing.ManualClock` in tests.
        settings
            What holds where the pipeline says nothing, such as ``Settings.load("arrowstream.toml")``.

        Raises
        ------
        SchemaError, PlanError
            A column, type, expression, source or sink does not fit; the error names the stage.
        """
        settings = settings or Settings()
        return Pipeline(settle(self.graph, settings), clock or MonotonicClock(), settings)

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

    def _then(self, operator: Expressions | Operator, late: SinkSpec | None = None) -> Builder:
        return Builder(self.graph.with_step(operator, late=late))


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

    def __init__(self, graph: Graph, clock: Clock, settings: Settings) -> None:
        self._graph = graph
        self._clock = clock
        self._settings = settings
        self._plan: Plan | None = None
        self._runs: dict[Run, asyncio.AbstractEventLoop] = {}
        self._metrics = Metrics.of(graph.name)
        self._source = check_graph(graph, BACKENDS)
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
            ``progress=True`` without the library it draws with, or the setting `export_prometheus` without
            prometheus-client.
        """
        if limit is not None and limit < 0:
            raise PlanError("limit is negative", expected="0 or more rows", found=str(limit))
        options = Options(
            limit,
            None if duration is None else seconds(duration),
            room=Room(self._settings.default_buffer_size, self._settings.buffer_mb * 2**20),
            workers=self._settings.worker_threads,
            log_seconds=self._settings.metrics_interval_secs or None,
        )
        with ExitStack() as stack:
            if self._settings.export_prometheus:
                stack.enter_context(
                    self.serve_metrics(self._settings.prometheus_port, self._settings.prometheus_host)
                )
            if progress is True:
                from arrowstream.display import progress_bar

                progress = stack.enter_context(progress_bar(self.name))
            return await self._execute(replace(options, on_progress=progress or None))

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

    def metrics(self) -> Metrics:
        """A frozen picture of the run that began last, or of the one that ended last; from any thread."""
        runs = list(self._runs)
        return runs[-1].metrics(self.name) if runs else self._metrics

    def serve_metrics(self, port: int = 9464, host: str = "127.0.0.1") -> MetricsServer:
        """Serve metrics to Prometheus until the server is closed; see `arrowstream.metrics_server.serve`."""
        return serve(self.metrics, port=port, host=host)

    async def _execute(self, options: Options) -> RunReport:
        run = Run(self._clock, options)
        self._runs[run] = asyncio.get_running_loop()
        try:
            plan = self._plan if self._planned_ahead else None
            return await run.execute(
                Prepared(self.name, self._source, self._graph.sinks, plan, self._compile)
            )
        finally:
            self._metrics = run.metrics(self.name)
            del self._runs[run]

    def _compile(self, schema: pl.Schema) -> Plan:
        # A later run over the same schema keeps the plan, and with it the fitted costs.
        if self._plan is None or self._plan.source_schema != schema:
            self._plan = compile_plan(self._graph, schema, BACKENDS)
        return self._plan


__all__ = ["Builder", "Pipeline"]
