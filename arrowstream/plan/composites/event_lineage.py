"""The columns that hold the event time of a stream's rows, through steps that choose and rename columns."""

from __future__ import annotations

from collections.abc import Iterable

from arrowstream.errors import PlanError
from arrowstream.operators.base import Expressions, Operator
from arrowstream.operators.with_event_time import Watermarks
from arrowstream.plan.composites.merge import Merge
from arrowstream.plan.composites.multi_input import MultiInput
from arrowstream.plan.graph import Composite, Graph

Times = frozenset[str]


def event_times(graph: Graph, coming: Times | None = None) -> Times | None:
    """Return the columns that hold event time; None if any column may be it.

    That is so if no watermark can come, and after columns of event time got names that only a schema gives. A step
    that cannot be looked into, such as a function, is taken to keep the names of columns of event time.

    Parameters
    ----------
    graph
        The stream, or a branch.
    coming
        The columns of the rows that come into a branch.
    """
    times = coming
    for step in graph.steps:
        times = names_after(step.operator, times)
    return times


def check_event_time(call: str, column: str, graph: Graph, stream: str = "the stream") -> str:
    """Return a column if watermarks speak of it.

    Parameters
    ----------
    call
        The builder's method with its argument, for errors.
    column
        The column that the step takes for event time.
    graph
        The stream that has it.
    stream
        What the stream is called, for errors.

    Raises
    ------
    PlanError
        Watermarks come with the rows, and speak of other columns: rows would be late, or kept too long.
    """
    times = event_times(graph)
    if times is None or column in times:
        return column
    raise PlanError(
        f"{call} names a column that is not the event time of {stream}",
        expected=" or ".join(sorted(times))
        if times
        else "a column of event time, which no column is any more",
        found=column,
        hint=f'put .with_event_time("{column}") before this step, in {stream}, with a lateness that its rows keep',
    )


def names_after(operator: Expressions | Operator | Composite, times: Times | None) -> Times | None:
    """Return the columns that hold event time, or the values of other columns, after a step."""
    if isinstance(operator, Watermarks):
        return frozenset({operator.column})
    if isinstance(operator, Composite):
        return _after_composite(operator, times)
    return None if times is None else operator.names_after(times)


def _after_composite(operator: Composite, times: Times | None) -> Times | None:
    match operator:
        case Merge():
            return _common([times, *(event_times(child.graph) for child in operator.children)])
        case MultiInput():
            return operator.operator.names_after(
                times, *(event_times(child.graph) for child in operator.children)
            )
        case _:  # the children get the rows
            ways = [child.graph for child in operator.children if child.graph.has_output]
            return _common([event_times(graph, times) for graph in ways])


def _common(ways: Iterable[Times | None]) -> Times | None:
    """Return the columns that are event time whichever way a row takes; None if no way has any."""
    known = [each for each in ways if each is not None]
    return frozenset.intersection(*known) if known else None
