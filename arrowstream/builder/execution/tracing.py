"""How the trace of a pipeline is made: every beginning of the pipeline is run over the same first rows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import polars as pl

from arrowstream.builder.execution.trace import Trace, TraceStep
from arrowstream.errors import ArrowstreamError, PlanError
from arrowstream.io.memory.frame_source import FrameSource
from arrowstream.operators.base import Expressions
from arrowstream.operators.joins.tables import LooksUp
from arrowstream.operators.messages.decode import Decode
from arrowstream.plan.graph import Composite, Graph, Step
from arrowstream.plan.part_of import beginning, writing_nothing

_ROW = "__source_row__"

_KEEP_ROWS = ("batch", "scan", "throttle", "event_time")
"""Steps that hold rows or state, and let a row out for each row that comes in, in their order."""

Collect = Callable[[Graph, int | None], Awaitable[pl.DataFrame]]
"""Runs a graph without a sink and returns the rows that come out, up to a number of them."""


async def trace_of(graph: Graph, rows: int, collect: Collect) -> Trace:
    """Return the trace of the first `rows` rows of a pipeline.

    Parameters
    ----------
    graph
        The pipeline. Its sinks get nothing.
    rows
        Number of rows to read from its source.
    collect
        Runs a graph.
    """
    source = graph.source
    if source is None:
        raise PlanError("the pipeline has no source", hint="begin with Pipeline.builder().source(...)")
    graph = writing_nothing(graph)
    first = 1 if graph.steps and isinstance(graph.steps[0].operator, Decode) else 0
    came = await collect(beginning(graph, first), rows)
    before = TraceStep("source", source.label, came, tuple(range(came.height)))
    traced = [before]
    # The same rows for every beginning of the pipeline, in one batch.
    again = replace(graph, source=FrameSource.of(came), steps=graph.steps[first:])
    for place, (id, step) in enumerate(zip(graph.ids[first:], again.steps, strict=True), 1):
        text = step.operator.describe()
        if isinstance(step.operator, Composite) and step.operator.ended:
            break
        try:
            out = await collect(beginning(again, place), None)
        except ArrowstreamError as error:
            traced.append(TraceStep(id, text, came.clear(), None, error=str(error)))
            break
        numbers = await _passed_on(step, before, out, replace(again, steps=(step,)), collect)
        dropped = () if numbers is None else tuple(sorted(set(before.rows or ()) - set(numbers)))
        before = TraceStep(id, text, out, numbers, dropped)
        traced.append(before)
    return Trace(graph.name, tuple(traced))


async def _passed_on(
    step: Step, before: TraceStep, out: pl.DataFrame, alone: Graph, collect: Collect
) -> tuple[int, ...] | None:
    """Return the source row of each row that has come out of a step; None if they are the step's own.

    `alone` is a graph of this step, which `collect` runs over rows with their numbers if it keeps all columns.
    """
    if before.rows is None:
        return None
    operator = step.operator
    if isinstance(operator, Expressions):
        numbers = _with_numbers(operator, before, out)
        if numbers is not None:
            return numbers
    elif isinstance(operator, Composite) or not (operator.passes_rows_on or operator.name in _KEEP_ROWS):
        return None
    elif isinstance(operator, LooksUp):
        joined = await collect(beginning(replace(alone, source=FrameSource.of(_numbered(before))), 1), None)
        return tuple(joined[_ROW].to_list()) if joined.height == out.height else None
    # A step of other columns, or a function: with as many rows as came in, they are the same ones in their order.
    return before.rows if out.height == before.frame.height else None


def _with_numbers(operator: Expressions, before: TraceStep, out: pl.DataFrame) -> tuple[int, ...] | None:
    """Run a step of expressions over rows with their numbers; None if it does not pass these on."""
    try:
        passed = operator.apply(_numbered(before))
    except pl.exceptions.PolarsError:  # its handler has left out rows, or the name of a column is taken
        return None
    if _ROW not in passed.columns or passed.height != out.height:
        return None
    return tuple(passed[_ROW].to_list())


def _numbered(step: TraceStep) -> pl.DataFrame:
    """Return the rows of a step with the numbers of their source rows."""
    return step.frame.with_columns(pl.Series(_ROW, step.rows, dtype=pl.Int64))
