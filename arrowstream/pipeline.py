"""`Builder` and `Pipeline`: build, inspect and run pipelines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import polars as pl

from arrowstream.backends.registry import backends
from arrowstream.builder.from_query import FromQuery
from arrowstream.builder.job_file import FromJobFile
from arrowstream.builder.results import Results
from arrowstream.builder.served_metrics import ServesMetrics
from arrowstream.config.settings import Settings
from arrowstream.core.batch import Batch
from arrowstream.core.checks import PathLike, check_whole
from arrowstream.core.clock import Clock, MonotonicClock
from arrowstream.core.duration import Duration, seconds
from arrowstream.core.ingest import schema_of
from arrowstream.core.mistakes.explain import ExplainsNames, explain_calls, explain_names, unknown_name
from arrowstream.core.mistakes.other_names import BUILDER, PIPELINE
from arrowstream.core.shown import Shown, html_by
from arrowstream.errors import NoSuchStep, PlanError
from arrowstream.io.memory.function_sink import CollectSink
from arrowstream.metrics.snapshot import Metrics
from arrowstream.plan.apply_settings import apply_settings
from arrowstream.plan.compile import check_graph, compile_plan, output_schema
from arrowstream.plan.explain import explain
from arrowstream.plan.graph import Graph
from arrowstream.plan.messages import message_schema, settled
from arrowstream.plan.physical import Plan
from arrowstream.plan.sentence import sentence
from arrowstream.runtime.checkpoints.options import CheckpointOptions, FromCheckpoint
from arrowstream.runtime.failure.cleanup import releasing
from arrowstream.runtime.options import Options, Prepared
from arrowstream.runtime.report import Progress, RunReport
from arrowstream.runtime.run import Run
from arrowstream.runtime.run_blocking import run_blocking
from arrowstream.runtime.signals import SignalHandling, check_main_thread, ended_by_signals

if TYPE_CHECKING:
    pass

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
        return cast(Pipeline, type.__call__(Pipeline, apply_settings(self.graph, settings), clock, settings))

    def __repr__(self) -> str:
        return f"Builder {sentence(self.graph)}"

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
class Pipeline(FromJobFile, FromQuery[Builder], ServesMetrics, Shown):
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
        self._message_schema: pl.Schema | None = None
        self.checkpoint: CheckpointOptions | None = None
        """The checkpoints of runs that do not ask for others, as a job file has them."""
        self._runs: dict[Run, asyncio.AbstractEventLoop] = {}
        self._metrics = Metrics.of(graph.name)
        schema = check_graph(graph, backends()).schema()
        self._planned_ahead = schema is not None
        if schema is not None:
            self._compile(schema, graph)

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

    def __repr__(self) -> str:
        return f"Pipeline {sentence(self._graph)}"

    def _repr_html_(self) -> str:
        return html_by("pipelines.pipeline_html", (self._graph, self._plan))

    def writes_to(self, path: Path) -> bool:
        """Return True if a sink of the pipeline writes to the file at `path`.

        Parameters
        ----------
        path
            The file.
        """
        return any(sink.place == str(path.resolve()) for sink in self._graph.sinks)

    def explain(self) -> str:
        """Return the plan as text: stages, fusion, schemas, backends with reasons, guarantees; later fitted costs."""
        return explain(self._graph, self._plan)

    async def run(
        self,
        *,
        progress: ShowProgress = False,
        duration: Duration | None = None,
        limit: int | None = None,
        signals: bool | SignalHandling = False,
        checkpoint: PathLike | None = None,
        every: Duration | None = None,
        from_checkpoint: FromCheckpoint = "newest",
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
        checkpoint
            Folder for the state of the pipeline: however a run ended, the next one with the same folder continues
            it; see ``docs/guide/checkpoints.md``.
        every
            Time between two checkpoints, after each of which the sinks show their rows; by default 10 s.
        from_checkpoint
            ``"newest"`` continues from the newest checkpoint, if any; ``"ignore"`` starts from the beginning.

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
            The first batch of a source without a schema does not fit the pipeline, or checkpoints are impossible.
        CheckpointError
            The checkpoint folder is in use, damaged, or of another pipeline.
        MissingExtra
            ``progress=True`` without rich, or the setting `export_prometheus` without prometheus-client.
        """
        with ExitStack() as stack:
            # A run that cannot start is never going to read a channel; another run of this pipeline may.
            idle = not self._runs
            with releasing(self._graph.sources if idle else (), self._graph.sinks if idle else ()):
                if signals is not False:
                    check_main_thread()
                if limit is not None:
                    check_whole("limit", limit, least=0)
                asked = CheckpointOptions.of(checkpoint, every, from_checkpoint, limit, self.checkpoint)
                options = Options.under(
                    self._settings, limit, None if duration is None else seconds(duration), asked
                )
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
        checkpoint: PathLike | None = None,
        every: Duration | None = None,
        from_checkpoint: FromCheckpoint = "newest",
    ) -> RunReport:
        """Run from code that is not async; inside a running loop, on a thread with a separate loop.

        Ctrl-C ends the run at once and raises KeyboardInterrupt, as in any program: nothing is committed, unless the
        commit has begun, which is then completed. With ``signals=True`` the first Ctrl-C stops the run gently.

        Parameters
        ----------
        progress, duration, limit, signals, checkpoint, every, from_checkpoint
            As for `run`, which says what is returned and what may be raised.
        """
        return run_blocking(
            lambda: self.run(
                progress=progress,
                duration=duration,
                limit=limit,
                signals=signals,
                checkpoint=checkpoint,
                every=every,
                from_checkpoint=from_checkpoint,
            )
        )

    def stop(self) -> None:
        """Stop every run of this pipeline gently, from any thread: batches in flight are delivered.

        In flight are the batch in each step and those in the queue before it (setting `default_buffer_size`). If they
        take too long, make batches smaller, or cancel the task of `run`, which aborts the sinks.
        """
        for run, loop in list(self._runs.items()):
            loop.call_soon_threadsafe(run.stop)

    def metrics(self) -> Metrics:
        """Return frozen metrics of the latest current run, or of the run that ended last; from any thread."""
        runs = list(self._runs)
        return runs[-1].metrics(self.name) if runs else self._metrics

    async def _execute(self, options: Options, signals: bool | SignalHandling) -> RunReport:
        run = Run(self._clock, options)
        self._runs[run] = asyncio.get_running_loop()
        try:
            plan = self._plan if self._planned_ahead else None
            graph = self._graph
            work = run.execute(Prepared(self.name, graph.sources, graph.sinks, plan, self._compile_first))
            if signals is False:
                return await work
            return await ended_by_signals(run, work, SignalHandling() if signals is True else signals)
        finally:
            self._metrics = run.metrics(self.name)
            del self._runs[run]

    def _compile_first(self, first: Batch) -> Plan:
        """Return the plan for a source whose columns, or those of its messages, its first batch shows."""
        return self._compile(schema_of(first), settled(self._graph, first))

    def _compile(self, schema: pl.Schema, graph: Graph) -> Plan:
        messages = message_schema(graph)
        # A later run with the same schema keeps the plan and its fitted costs.
        if self._plan is None or (self._plan.source_schema, self._message_schema) != (schema, messages):
            self._plan = compile_plan(graph, schema, backends())
            self._message_schema = messages
        return self._plan


__all__ = ["Builder", "Pipeline"]
