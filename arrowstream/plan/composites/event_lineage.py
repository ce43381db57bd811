"""The columns that hold the event time of a stream's rows, through steps that choose and rename columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import polars as pl

from arrowstream.errors import PlanError
from arrowstream.expressions.tree import tree_of
from arrowstream.operators.aggregation.reserved_names import END, START
from arrowstream.operators.base import Expressions, Operator
from arrowstream.operators.explode import Explode
from arrowstream.operators.filter_map import FilterMapExpressions
from arrowstream.operators.join import StreamJoin
from arrowstream.operators.reduce import Reduce
from arrowstream.operators.rename import Rename
from arrowstream.operators.select import Select
from arrowstream.operators.unnest import Unnest
from arrowstream.operators.windows.count_window import CountWindow
from arrowstream.operators.windows.row_windows import RowWindows
from arrowstream.operators.windows.session_window import SessionWindow
from arrowstream.operators.windows.time_window import TimeWindow
from arrowstream.operators.with_columns import WithColumns
from arrowstream.operators.with_event_time import Watermarks
from arrowstream.plan.composites.merge import Merge
from arrowstream.plan.composites.multi_input import MultiInput
from arrowstream.plan.composites.split import Split
from arrowstream.plan.graph import Composite, Graph

Times = frozenset[str]

_ANY = ""
"""A column whose name only a schema tells."""

_UNITS_AND_ZONES = {"CastTimeUnit", "ConvertTimeZone", "ReplaceTimeZone"}
"""Functions that give the same time in another unit or zone."""


def event_times(graph: Graph, coming: Times | None = None) -> Times | None:
    """Return the columns that hold event time; None if any column may be it.

    That is so if no watermark can come, and after columns of event time got names that only a schema tells. A step
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
    if times is None:
        return None
    match operator:
        case Rename():
            names = dict(operator.names)
            return frozenset(names.get(name, name) for name in times)
        case Select():
            return _chosen(operator.exprs, times)
        case WithColumns():
            return _added(operator.exprs, times)
        case FilterMapExpressions():
            return _added(operator.columns.expressions(), times)
        case TimeWindow() | SessionWindow():
            return frozenset({START, END})
        case RowWindows():
            return times | {START, END}
        case CountWindow() | Reduce(emit="end") | Unnest():
            return None
        case Explode():
            # Without one, an item of a list may be what event time was put into.
            return times or None
        case _:
            return times


def _after_composite(operator: Composite, times: Times | None) -> Times | None:
    match operator:
        case Merge():
            return _common([times, *(event_times(child.graph) for child in operator.children)])
        case Split():
            ways = [child.graph for child in operator.children if child.graph.has_output]
            return _common([event_times(graph, times) for graph in ways])
        case MultiInput(operator=StreamJoin(times=(left, right), suffix=suffix)):
            others = [event_times(child.graph) for child in operator.children]
            if times is None and others == [None]:
                return None
            found = {name for each in (times, *others) for name in each or ()} | {left, right}
            # A column of the other side may have got a suffix.
            return frozenset(found | {f"{name}{suffix}" for name in found})
        case _:
            return times


def _common(ways: Iterable[Times | None]) -> Times | None:
    """Return the columns that are event time whichever way a row takes; None if no way has any."""
    known = [each for each in ways if each is not None]
    return frozenset.intersection(*known) if known else None


def _chosen(exprs: Sequence[pl.Expr], times: Times) -> Times | None:
    """Return which of these columns, the only ones, are event time."""
    if any(map(_renames_several, exprs)):
        return None
    # Several columns, which are not known without a schema, have their own names.
    kept = times if any(_name(expr) is None for expr in exprs) else frozenset()
    return kept | _copies(exprs, times)


def _added(exprs: Sequence[pl.Expr], times: Times) -> Times | None:
    """Return which columns are event time once these are added, or take the place of others."""
    if any(map(_renames_several, exprs)):
        return None
    return times.difference(filter(None, map(_name, exprs))) | _copies(exprs, times)


def _copies(exprs: Iterable[pl.Expr], times: Times) -> Times:
    """Return the names of single columns that copy one of `times`, or one that only a schema tells."""
    found = ((_name(expr), _source(expr)) for expr in exprs)
    return frozenset(name for name, source in found if name is not None and source in {*times, _ANY})


def _renames_several(expr: pl.Expr) -> bool:
    """Return whether an expression copies several columns under new names, which only a schema tells."""
    if _name(expr) is not None or _source(expr) != _ANY:
        return False
    try:
        return "RenameAlias" in tree_of(expr)
    except pl.exceptions.PolarsError:
        return True  # a Python function gives the names


def _name(expr: pl.Expr) -> str | None:
    """Return the name of a column; None for several."""
    try:
        return expr.meta.output_name()
    except pl.exceptions.ComputeError:
        return None


def _source(expr: pl.Expr) -> str | None:
    """Return the column that an expression copies, maybe as another type of time; None if it computes something.

    A column that is chosen by its place or type, and each of several columns, is `_ANY`.
    """
    try:
        tree = tree_of(expr.meta.undo_aliases())
    except pl.exceptions.PolarsError:
        return None
    while (inner := _copied(tree)) is not None:
        tree = inner
    match tree:
        case {"Column": str(name)} | {"Selector": {"ByName": {"names": [str(name)]}}}:
            return name
        case {"Selector": _}:
            return _ANY
        case _:
            return None


def _copied(node: Any) -> Any:
    """Return what a node copies as another type; None for any other node."""
    match node:
        case {"Cast": {"expr": inner}}:
            return inner
        case {"Function": {"input": [inner, *_], "function": "ToPhysical" | {"SetSortedFlag": _}}}:
            return inner
        case {"Function": {"input": [inner, *_], "function": {"TemporalExpr": {**named}}}}:
            return inner if _UNITS_AND_ZONES.issuperset(named) else None
        case _:
            return None
