"""The other side of a join: a table that is loaded whole, or the source of a stream."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Protocol, cast

import polars as pl

from arrowstream.backends.registry import backends
from arrowstream.builder.base import GraphBuilder
from arrowstream.errors import PlanError
from arrowstream.io.memory.frame_source import FrameSource
from arrowstream.io.memory.function_sink import CollectSink
from arrowstream.io.sink import SinkSpec
from arrowstream.io.source import EventTimeSource, SourceSpec
from arrowstream.metrics.snapshot import Metrics
from arrowstream.operators.joins.tables import FrameTable, JoinTable, TableLoad
from arrowstream.plan.checks.at_hand import not_at_hand
from arrowstream.plan.compile import compile_line
from arrowstream.plan.composites.inputs import checked_inputs
from arrowstream.plan.composites.planned_table import PlannedTable
from arrowstream.plan.graph import Graph
from arrowstream.plan.physical import Line
from arrowstream.runtime.report import RunReport, log_losses


class Runnable(Protocol):
    """The interface of a pipeline that this module needs."""

    def run_sync(self) -> RunReport: ...

    def stop(self) -> None: ...

    def metrics(self) -> Metrics: ...


class Collectable(Protocol):
    """The interface of a builder that this module needs: one whose rows can be collected."""

    @property
    def graph(self) -> Graph: ...

    def sink(self, sink: SinkSpec) -> Collectable: ...

    def build(self) -> Runnable: ...


class BuilderLoad(TableLoad):
    """A load of a table by a run of its pipeline.

    Parameters
    ----------
    builder
        The pipeline, without a sink.
    """

    __slots__ = ("_builder", "_metrics", "_pipeline")

    def __init__(self, builder: Collectable) -> None:
        self._builder = builder
        self._pipeline: Runnable | None = None
        self._metrics: Metrics | None = None

    def rows(self) -> pl.DataFrame:
        sink = CollectSink()
        pipeline = self._pipeline = self._builder.sink(sink).build()
        try:
            log_losses(pipeline.run_sync())
        finally:
            # The pipeline has the sink, and the sink all rows.
            self._metrics, self._pipeline = pipeline.metrics(), None
        return sink.frame()

    def stop(self) -> None:
        if (pipeline := self._pipeline) is not None:
            pipeline.stop()

    @property
    def metrics(self) -> Metrics | None:
        return self._metrics if (pipeline := self._pipeline) is None else pipeline.metrics()


class BuilderTable(PlannedTable):
    """A table that is the output of a pipeline which ends by itself.

    Parameters
    ----------
    step
        Name of the builder's method, for errors.
    builder
        A builder with a source and without a sink.

    Raises
    ------
    PlanError
        It has no source or a sink, or a source never ends.
    """

    __slots__ = ("_builder", "_line", "_step")

    def __init__(self, step: str, builder: Collectable) -> None:
        (graph,) = checked_inputs(step, [builder.graph])
        if endless := [source.label for source in graph.sources if source.endless]:
            raise PlanError(
                f"{step}() takes a table, which ends",
                expected="a frame, a file, or a builder whose sources end",
                found=f"{' and '.join(endless)}, which goes on",
            )
        self._step = step
        self._builder = builder
        self._line: Line | None = None

    @property
    def graph(self) -> Graph:
        return self._builder.graph

    @property
    def line(self) -> Line | None:
        source = self.graph.source
        assert source is not None, "it is an input"
        if self._line is None and (schema := source.schema()) is not None:
            self._line = compile_line(self.graph, schema, backends())
        return self._line

    @property
    def at_hand(self) -> bool:
        return self._line is not None or not_at_hand(self.graph) is None

    @property
    def schema(self) -> pl.Schema:
        line = self.line
        if line is None:
            raise PlanError(
                f"{self._step}() takes a table whose columns are known when the pipeline is built",
                expected="a source with a schema",
                found=f"{self.describe()}, which learns its schema from its first batch",
                hint="give the source a schema=",
            )
        assert line.output is not None, "an input has rows that come out"
        return line.output

    def load(self) -> TableLoad:
        return BuilderLoad(self._builder)

    def describe(self) -> str:
        return " and ".join(source.identity for source in self.graph.sources)

    @property
    def identity(self) -> str:
        steps = (step.operator.identity for _, step in self.graph.walk())
        return ", ".join([super().identity, *steps])


def table_of(step: str, other: Any, builder: Callable[[Graph], GraphBuilder]) -> JoinTable:
    """Return the table that the other side of a join is.

    Parameters
    ----------
    step
        Name of the builder's method, for errors.
    other
        What the user gives.
    builder
        Makes a builder of a graph.

    Raises
    ------
    PlanError
        It is a builder or source that does not end.
    """
    if isinstance(other, pl.DataFrame):
        return FrameTable(other)
    if not isinstance(other, GraphBuilder):
        other = builder(Graph("table").with_source(source_of(other)))
    return BuilderTable(step, cast(Collectable, other))


def stream_of(other: Any) -> Graph:
    """Return the graph of a stream that is joined with: a builder, or a source with event time."""
    return other.graph if isinstance(other, GraphBuilder) else Graph("stream").with_source(source_of(other))


def source_of(other: Any) -> SourceSpec | EventTimeSource:
    """Return the source of a join's other side that is neither a builder nor a frame in memory."""
    if isinstance(other, SourceSpec | EventTimeSource):
        return other
    if isinstance(other, str | os.PathLike):
        from arrowstream.io.files.source import FileSource  # here, to keep importing arrowstream fast

        return FileSource.of(other)
    return FrameSource.of(other)


def only(step: str, what: str, **given: object) -> None:
    """Raise if an argument is given that is for another kind of join."""
    for name, value in given.items():
        if value is not None:
            shown = value.label if isinstance(value, SinkSpec) else repr(value)
            raise PlanError(f"{step}({name}=...) is for a join with {what}", found=f"{name}={shown}")
