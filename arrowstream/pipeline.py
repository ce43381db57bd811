"""`Builder` and `Pipeline`: build, inspect and run pipelines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from arrowstream.backends.registry import backends
from arrowstream.builder.job_file import FromJobFile
from arrowstream.builder.results import Results
from arrowstream.config.settings import Settings
from arrowstream.core.checks import check_whole
from arrowstream.core.clock import Clock, MonotonicClock
from arrowstream.core.defaults import PROMETHEUS_HOST, PROMETHEUS_PORT
from arrowstream.core.duration import Duration, seconds
from arrowstream.core.mistakes.explain import ExplainsNames, explain_calls, explain_names, unknown_name
from arrowstream.core.mistakes.other_names import BUILDER, PIPELINE
from arrowstream.errors import NoSuchStep, PlanError
from arrowstream.io.memory.function_sink import CollectSink
from arrowstream.metrics.snapshot import Metrics
from arrowstream.plan.apply_settings import apply_settings
from arrowstream.plan.compile import check_graph, compile_plan, output_schema
from arrowstream.plan.explain import explain_graph, explain_plan
from arrowstream.plan.graph import Graph
from arrowstream.plan.physical import Plan
from arrowstream.runtime.failure.cleanup import releasing
from arrowstream.runtime.flow.ports import ChannelLimits
from arrowstream.runtime.options import Options, Prepared
from arrowstream.runtime.report import Progress, RunReport
from arrowstream.runtime.run import Run
from arrowstream.runtime.run_blocking import run_blocking
from arrowstream.runtime.signals import SignalHandling, check_main_thread, ended_by_signals

if TYPE_CHECKING:
    from arrowstream.metrics.server import MetricsServer

ShowProgress = bool | Callable[[Progress], None]


@explain_calls
@dataclass(frozen=True, slots=True)
class Builder(Results, metaclass=ExplainsNames):
    """A pipeline under construction. Immutable: every call returns a new builder and does not change this one."""

    def build(self, *, clock: Clock | None = None, settings: Settings | None = None) -> Pipeline:
        """Check names and types of the whole pipeline and plan it; no data moves.

        If a check fails, nothing will use the pipeline's channels: whoever waits at their other ends gets `PeerGone`,
        with the error as the cause.

        Parameters
        ----------
        clock
            Clock of the runs; in tests a `arrowstream.testing.ManualClock`.
        settings
            Defaults of the pipeline, such as ``Settings.load()``, which reads ./arrowstream.toml, if it exists, and
            the environment. Without settings, neither is read.

        Returns
        -------
        Pipeline
            The pipeline, ready to run.

        Raises
        ------
        SchemaError, PlanError
            A column, type, expression, source or sink does not fit; the error names the stage.
        """
        with releasing(self.graph.sources, self.graph.sinks):
            return self._build(clock or MonotonicClock(), Settings() if settings is None else settings)

    def _build(self, clock: Clock, settings: Settings) -> Pipeline:
        """Build without releasing channels, which `explain` leaves as they are."""
        if not isinstance(settings, Settings):
            raise PlanError(
                "build(settings=...) takes Settings",
                found=type(settings).__name__,
                hint='write settings=Settings.load(max_retries=1), or Settings.load("production.toml")',
            )
        if self.graph.source is not None and self.graph.has_output:
            self.schema()  # a wrong name is reported before the missing sink
        # Past the metaclass, whose frame would lengthen the traceback of every error of a build.
        made: Pipeline = type.__call__(Pipeline, apply_settings(self.graph, settings), clock, settings)
        return made

    def schema(self) -> pl.Schema | None:
        """Return the schema after the last step; None if the source learns its schema from the first batch.

        Raises
        ------
        SchemaError, PlanError
            The pipeline has no source, or a column, type or expression does not fit.
        """
        source = self.graph.source
        if source is None:
            raise PlanError("the pipeline has no source", hint="begin with Pipeline.builder().source(...)")
        schema = source.schema()
        return None if schema is None else output_schema(self.graph, schema, backends())

    def explain(self) -> str:
        """Return the plan so far as text; without a sink, the plan that `collect` runs.

        Examples
        --------
        >>> import polars as pl
        >>> from arrowstream import Pipeline, Source
        >>> builder = Pipeline.builder().source(Source.from_frame(pl.DataFrame({"x": [1, 2]})))
        >>> "filter(x > 1)" in builder.filter(pl.col("x") > 1).explain()
        True
        """
        complete = self.sink(CollectSink()) if self.graph.has_output else self
        return complete._build(MonotonicClock(), Settings()).explain()

    if not TYPE_CHECKING:  # a type checker finds the mistake itself

        def __getattr__(self, name: str) -> Any:
            raise unknown_name("a builder", name, dir(type(self)), BUILDER, NoSuchStep)


@explain_names("a pipeline that is built", PIPELINE)
@explain_calls
class Pipeline(FromJobFile):
    """A checked and planned pipeline. Make one with `Pipeline.builder()`.

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
        schema = check_graph(graph, backends()).schema()
        self._planned_ahead = schema is not None
        if schema is not None:
            self._compile(schema)

    @staticmethod
    def builder(name: str = "pipeline") -> Builder:
        """Start writing a pipeline.

        Parameters
        ----------
        name
            The pipeline's name in `explain()`, metrics, reports and logs.

        Returns
        -------
        Builder
            A builder without a source.
        """
        return Builder(Graph(name))

    @property
    def name(self) -> str:
        """The pipeline's name."""
        return self._graph.name

    def writes_to(self, path: Path) -> bool:
        """Return True if a sink of the pipeline writes to the file at `path`.

        Parameters
        ----------
        path
            The file.
        """
        return any(sink.place == str(path.resolve()) for sink in self._graph.sinks)

    def explain(self) -> str:
        """Return the plan as text: stages, fusion, schemas, backends with reasons, and after a run, fitted costs."""
        return explain_plan(self._plan) if self._plan is not None else explain_graph(self._graph)

    async def run(
        self,
        *,
        progress: ShowProgress = False,
        duration: Duration | None = None,
        limit: int | None = None,
        signals: bool | SignalHandling = False,
    ) -> RunReport:
        """Run until the stream ends, or one of the arguments ends it.

        Parameters
        ----------
        progress
            True for a progress bar on a terminal, or a function that is called with a `Progress` from time to time.
        duration
            Stop gently after this duration (``"10s"``, seconds, a timedelta).
        limit
            Stop gently at exactly this number of `rows_out`, which a split's sinks share and a fan-out's all get.
        signals
            Whether SIGINT and SIGTERM end the run, on the main thread. The first stops it gently, and the report's
            `stopped` names the signal if rows were left in a source; the second ends it at once, without a commit. A
            commit that has begun is always completed. By default, signals are not handled.

        Returns
        -------
        RunReport
            Rows, seconds, stages and losses of the run.

        Raises
        ------
        RunInterrupted
            A second signal ended the run.
        StageError
            A stage failed; everything else was cancelled, and nothing half-written is visible.
        SchemaError, PlanError
            The first batch of a source without a schema does not fit the pipeline.
        MissingExtra
            ``progress=True`` without rich, or the setting `export_prometheus` without prometheus-client.
        """
        with ExitStack() as stack:
            idle = not self._runs  # another run may read a channel, one that cannot start never does
            with releasing(self._graph.sources if idle else (), self._graph.sinks if idle else ()):
                if signals is not False:
                    check_main_thread()
                if limit is not None:
                    check_whole("limit", limit, least=0)
                options = self._options(limit, None if duration is None else seconds(duration))
                if self._settings.export_prometheus:
                    stack.enter_context(
                        self.serve_metrics(self._settings.prometheus_port, self._settings.prometheus_host)
                    )
                if progress is True:
                    from arrowstream.terminal import progress_bar

                    progress = stack.enter_context(progress_bar(self.name))
            return await self._execute(replace(options, on_progress=progress or None), signals)

    def run_sync(
        self,
        *,
        progress: ShowProgress = False,
        duration: Duration | None = None,
        limit: int | None = None,
        signals: bool | SignalHandling = False,
    ) -> RunReport:
        """Run from code that is not async; inside a running loop, on a thread with a separate loop.

        Ctrl-C ends the run at once and raises KeyboardInterrupt, as in any program: nothing is committed, unless the
        commit has begun, which is then completed. With ``signals=True`` the first Ctrl-C stops the run gently.

        Parameters
        ----------
        progress, duration, limit, signals
            As for `run`, which says what may be raised.

        Returns
        -------
        RunReport
            Rows, seconds, stages and losses of the run.
        """
        return run_blocking(
            lambda: self.run(progress=progress, duration=duration, limit=limit, signals=signals)
        )

    def stop(self) -> None:
        """Stop every run of this pipeline gently, from any thread: batches in flight are delivered.

        In flight are the batch in each step and those in the queue before it (setting `default_buffer_size`); this
        takes as long as the slowest step or sink takes for them. If that is too long, make batches smaller, or cancel
        the task of `run`, which aborts the sinks.
        """
        for run, loop in list(self._runs.items()):
            loop.call_soon_threadsafe(run.stop)

    def metrics(self) -> Metrics:
        """Return frozen metrics of the latest current run, or of the run that ended last; from any thread."""
        runs = list(self._runs)
        return runs[-1].metrics(self.name) if runs else self._metrics

    def serve_metrics(self, port: int = PROMETHEUS_PORT, host: str = PROMETHEUS_HOST) -> MetricsServer:
        """Serve metrics to Prometheus until the server is closed, as ``with`` does at the end of its block.

        Parameters
        ----------
        port
            The port; 0 for any free one, which the server's `port` then names.
        host
            The address; by default only this machine can reach it.

        Returns
        -------
        MetricsServer
            The running server, with `port` and `close`.

        Raises
        ------
        MissingExtra
            prometheus-client is not installed (extra ``metrics``).
        """
        from arrowstream.metrics.server import serve

        return serve(self.metrics, port=port, host=host)

    def _options(self, limit: int | None, duration_s: float | None) -> Options:
        """Return the options of a run under the pipeline's settings."""
        state_mb = self._settings.state_memory_mb
        return Options(
            limit,
            duration_s,
            limits=ChannelLimits(self._settings.default_buffer_size, self._settings.buffer_mb * 2**20),
            workers=self._settings.worker_threads,
            log_seconds=self._settings.metrics_interval_secs or None,
            state_bytes=None if state_mb is None else state_mb * 2**20,
        )

    async def _execute(self, options: Options, signals: bool | SignalHandling) -> RunReport:
        run = Run(self._clock, options)
        self._runs[run] = asyncio.get_running_loop()
        try:
            plan = self._plan if self._planned_ahead else None
            prepared = Prepared(self.name, self._graph.sources, self._graph.sinks, plan, self._compile)
            work = run.execute(prepared)
            if signals is False:
                return await work
            return await ended_by_signals(run, work, SignalHandling() if signals is True else signals)
        finally:
            self._metrics = run.metrics(self.name)
            del self._runs[run]

    def _compile(self, schema: pl.Schema) -> Plan:
        # A later run with the same schema keeps the plan and its fitted costs.
        if self._plan is None or self._plan.source_schema != schema:
            self._plan = compile_plan(self._graph, schema, backends())
        return self._plan


__all__ = ["Builder", "Pipeline"]
