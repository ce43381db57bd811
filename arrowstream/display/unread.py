"""Sources that are not looked at while they are shown: a listing of objects or a query may take long, or do work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import polars as pl

from arrowstream.core.snapshot_store import SourcePosition
from arrowstream.core.step_context import StepContext
from arrowstream.io.sink import SinkSpec
from arrowstream.io.source import BlockingReader, Query, Reader, SourceSpec
from arrowstream.plan.composites.planned_table import PlannedTable
from arrowstream.plan.graph import Composite, Graph, Step
from arrowstream.plan.physical import InputsStage, Line, Plan, SplitStage, Stage

Start = TypeVar("Start", Plan, Line)

UNREAD = "columns and filters are pushed into the read: explain() says which"


@dataclass(frozen=True, slots=True)
class Unread(SourceSpec):
    """A source as far as it is known without a look at it.

    Parameters
    ----------
    source
        The source.
    """

    source: SourceSpec

    @property
    def label(self) -> str:
        return self.source.brief

    def schema(self) -> pl.Schema | None:
        return None

    @property
    def marks_time(self) -> bool:
        return self.source.marks_time

    @property
    def resumable(self) -> bool:
        return self.source.resumable

    @property
    def bad_rows_sink(self) -> SinkSpec | None:
        return self.source.bad_rows_sink

    def explain_read(self, query: Query) -> tuple[str, ...]:
        return (UNREAD,)

    def open(
        self, context: StepContext, query: Query | None = None, resume: SourcePosition | None = None
    ) -> Reader | BlockingReader:
        raise NotImplementedError


def unread(source: SourceSpec) -> SourceSpec:
    """Return the source itself if it is at hand, else what is known of it."""
    return source if source.at_hand else Unread(source)


def unread_graph(graph: Graph) -> Graph:
    """Return a graph whose sources can all be shown."""
    source = None if graph.source is None else unread(graph.source)
    return replace(graph, source=source, steps=tuple(map(_step, graph.steps)))


def _step(step: Step) -> Step:
    if not isinstance(step.operator, Composite):
        return step
    graphs = [unread_graph(child.graph) for child in step.children]
    return replace(step, operator=step.operator.with_children(graphs))


def unread_plan(plan: Start) -> Start:
    """Return a plan, or a line of one, whose sources can all be shown."""
    start = None if plan.input is None else replace(plan.input, source=unread(plan.input.source))
    return replace(plan, input=start, stages=_stages(plan.stages))


def unread_table(table: PlannedTable) -> tuple[Graph, Line | None]:
    """Return the pipeline of a table with sources that can be shown, and its stages if they are at hand."""
    line = table.line if table.at_hand else None
    return unread_graph(table.graph), None if line is None else unread_plan(line)


def _stages(stages: Sequence[Stage]) -> tuple[Stage, ...]:
    return tuple(map(_stage, stages))


def _stage(stage: Stage) -> Stage:
    if isinstance(stage, SplitStage):
        return replace(stage, branches=tuple(map(unread_plan, stage.branches)))
    if isinstance(stage, InputsStage):
        return replace(stage, inputs=tuple(map(unread_plan, stage.inputs)))
    return stage
