"""`Builder` and `Pipeline`: build, inspect and run pipelines."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

import polars as pl

from arrowstream.backends.base import Backend
from arrowstream.backends.registry import backends
from arrowstream.builder.execution.runs import Runs
from arrowstream.builder.execution.trace import Trace
from arrowstream.builder.from_query import FromQuery
from arrowstream.builder.job_file import FromJobFile
from arrowstream.builder.results import Results
from arrowstream.config.settings import Settings
from arrowstream.core.batch import Batch
from arrowstream.core.clock import Clock, MonotonicClock
from arrowstream.core.defaults import PAGE_PORT
from arrowstream.core.ingest import schema_of
from arrowstream.core.mistakes.explain import ExplainsNames, explain_calls, explain_names, unknown_name
from arrowstream.core.mistakes.other_names import BUILDER, PIPELINE
from arrowstream.errors import NoSuchStep, PlanError
from arrowstream.gpu.absent import AbsentGpu, asks_for_gpu
from arrowstream.gpu.backend import register_if_present
from arrowstream.gpu.presence import missing
from arrowstream.io.memory.function_sink import CollectSink
from arrowstream.plan.apply_settings import apply_settings
from arrowstream.plan.compile import check_graph, compile_line, compile_plan
from arrowstream.plan.explain import explain
from arrowstream.plan.graph import Graph
from arrowstream.plan.messages import message_schema, settled
from arrowstream.plan.outline import Outline
from arrowstream.plan.outline_of import outline, passing_schemas
from arrowstream.plan.physical import Plan
from arrowstream.runtime.failure.cleanup import releasing
from arrowstream.runtime.options import Prepared
from arrowstream.runtime.report import Progress
from arrowstream.shown import Shown, by_display

if TYPE_CHECKING:
    from arrowstream.page.server import PageServer

register_if_present()


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
        return f"Builder {by_display('sentence.sentence', self.graph)}"

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
        return None if schema is None else compile_line(self.graph, schema, backends()).output

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
        return self._complete().explain()

    def outline(self) -> Outline:
        """Return the plan so far as nodes and edges, without a sink where none is set.

        Raises
        ------
        SchemaError, PlanError
            The pipeline has no source, or a column, type or expression does not fit.
        """
        return self._complete().outline()

    def _complete(self) -> Pipeline:
        """Return the pipeline so far, with a sink that `collect` would have if it has none."""
        complete = self.sink(CollectSink()) if self.graph.has_output else self
        return complete._build(MonotonicClock(), Settings())

    if not TYPE_CHECKING:  # a type checker finds the mistake itself

        def __getattr__(self, name: str) -> Any:
            raise unknown_name("a builder", name, dir(type(self)), BUILDER, NoSuchStep)


@explain_names("a pipeline that is built", PIPELINE)
@explain_calls
class Pipeline(FromJobFile, FromQuery[Builder], Runs, Shown):
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

    _shown_by: ClassVar[str] = "pipelines.pipeline"

    def __init__(self, graph: Graph, clock: Clock, settings: Settings) -> None:
        super().__init__(graph, clock, settings)
        self._plan: Plan | None = None
        self._message_schema: pl.Schema | None = None
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

    def __repr__(self) -> str:
        return f"Pipeline {by_display('sentence.sentence', self._graph)}"

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

    def outline(self) -> Outline:
        """Return the plan as nodes and edges: what `explain` says, for programs, with the costs of this moment."""
        return outline(self._graph, self._plan)

    def serve(
        self, port: int = PAGE_PORT, host: str = "127.0.0.1", *, token: str | None = None
    ) -> PageServer:
        """Serve the live page until the server is closed, as ``with`` does at the end of its block.

        The page shows the run that has begun last, however it was started: the graph with rates, queues, times and
        errors of every stage, and the last rows of the one that is chosen. A run that nobody looks at is not slowed
        down.

        Parameters
        ----------
        port
            The port; 0 for any free one, which the server's `url` then has.
        host
            The address to listen on; by default only this machine can reach it.
        token
            A password that the page's address must have as ``?token=``. On an address that other machines can
            reach, one is made if none is given; the server's `url` has it.

        Returns
        -------
        PageServer
            The running server, with `url`, `port` and `close`.

        Raises
        ------
        MissingExtra
            starlette and uvicorn are not installed (extra ``notebook``).
        PlanError
            The server cannot listen there.

        Examples
        --------
        >>> import polars as pl
        >>> from arrowstream import Pipeline, Sink, Source
        >>> builder = Pipeline.builder().source(Source.from_frame(pl.DataFrame({"x": [1, 2]})))
        >>> pipeline = builder.sink(Sink.to_fn(len)).build()
        >>> with pipeline.serve(port=0) as page:
        ...     print(page.url.rpartition(":")[0], pipeline.run_sync().rows_out)
        http://127.0.0.1 2
        """
        from arrowstream.page.server import serve_page

        return serve_page(self.viewer(), port, host, token)

    def trace(self, rows: int = 5) -> Trace:
        """Return what the first rows of the source look like after every step; see `Builder.trace`.

        Parameters
        ----------
        rows
            Number of rows to read from the source. The sinks get nothing.

        Returns
        -------
        Trace
            The rows after every step, side by side.
        """
        return Builder(self._graph).trace(rows)

    def _passing(self) -> dict[str, pl.Schema]:
        return {} if self._plan is None else passing_schemas(self._plan)

    def _prepared(self) -> Prepared:
        graph, plan = self._graph, self._plan if self._planned_ahead else None
        return Prepared(self.name, graph.sources, graph.sinks, plan, self._compile_first)

    def _progress_bar(self) -> AbstractContextManager[Callable[[Progress], None]]:
        from arrowstream.terminal import progress_bar

        return progress_bar(self.name, metrics=self.metrics)

    def _compile_first(self, first: Batch) -> Plan:
        """Return the plan for a source whose columns, or those of its messages, its first batch shows."""
        return self._compile(schema_of(first), settled(self._graph, first))

    def _compile(self, schema: pl.Schema, graph: Graph) -> Plan:
        messages = message_schema(graph)
        # A later run with the same schema keeps the plan and its fitted costs.
        if self._plan is None or (self._plan.source_schema, self._message_schema) != (schema, messages):
            self._plan = compile_plan(graph, schema, self._backends())
            self._message_schema = messages
        return self._plan

    def _backends(self) -> tuple[Backend, ...]:
        """Return the backends, with one that says why no GPU is there if the pipeline asks for it."""
        known, absent = backends(self._settings), missing()
        if absent is None or any(backend.name == AbsentGpu.name for backend in known):
            return known
        kernels = any(step.operator.name == "process_gpu" for _, step in self._graph.walk())
        return (*known, AbsentGpu(absent)) if kernels or asks_for_gpu(self._settings) else known


__all__ = ["Builder", "Pipeline"]
