"""Lowering: from Polars' optimised, typed plan of a segment to a program that other backends can run.

The program holds all of the plan, or the segment is refused with every reason: an unknown step, expression or version
is never guessed at.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from arrowstream.core.rows.arrow_schema import arrow_schema
from arrowstream.core.rows.empty_frames import no_rows, nulls
from arrowstream.errors import SchemaError
from arrowstream.expressions.names import snake_case
from arrowstream.expressions.program import Column, Expression, Filter, Program, Project, Refusal, is_constant
from arrowstream.io.source import Query
from arrowstream.plan.lowering.expressions import ExpressionLowering, Unlowered, arrow_type
from arrowstream.plan.lowering.polars_plan import TypedPlan, Unreadable
from arrowstream.plan.segment import Segment

# A filter moved before a cast that can fail would hide the failure, which steps that run one by one show;
# and the columns that it reads would be computed twice.
_OPTIMIZATIONS = pl.QueryOptFlags(predicate_pushdown=False)


def lower(segment: Segment) -> Program | Refusal:
    """Return the segment as a program, or every reason why it has none.

    Functions get Polars' names (see `arrowstream.plan.lowering.names`), with their options in
    Polars' order. A literal date, time or duration is the integer that Arrow stores for it.

    Examples
    --------
    >>> import polars as pl
    >>> from arrowstream.operators.filter import Filter
    >>> from arrowstream.plan.lowering.lower import lower
    >>> from arrowstream.plan.segment import Segment
    >>> schema = pl.Schema({"x": pl.Int64})
    >>> program = lower(Segment((Filter.of(pl.col("x") > 100),), schema, schema))
    >>> program.steps[0].predicate.function
    'gt'
    """
    reasons: list[str] = []
    try:
        plan = TypedPlan(segment.apply_lazy, segment.schema, _OPTIMIZATIONS)
        steps = _steps(plan, reasons)
        if not reasons and plan.schema(plan.steps[-1]) != segment.output:
            reasons.append("Polars' plan gives other columns than the segment was built for")
        if reasons:
            return Refusal(tuple(dict.fromkeys(reasons)))
        return Program(arrow_schema(segment.schema), tuple(steps), arrow_schema(segment.output))
    except (Unreadable, Unlowered) as reason:
        return Refusal((*reasons, str(reason)))
    except SchemaError as error:
        return Refusal((*reasons, f"{error.what}: {error.found}"))


def required_columns(query: Query, schema: pl.Schema) -> tuple[str, ...] | None:
    """Return the columns of its source that a query needs, in the source's order.

    Parameters
    ----------
    query
        A row-wise piece of a pipeline.
    schema
        Schema of the source.

    Returns
    -------
    tuple of str or None
        Names such that `query` gives the same over a source of only these; None if that is not certain.
    """
    try:
        plan = TypedPlan(query, schema, pl.QueryOptFlags())
        chosen = plan.at(plan.steps[0]).projection
    except Unreadable:
        return None
    needed = tuple(name for name in schema if chosen is None or name in chosen)
    narrowed = no_rows(pl.Schema({name: schema[name] for name in needed})).lazy()
    try:
        # A column that no expression reads can still matter: drop() names it, with_columns() keeps its place.
        found, expected = query(narrowed).collect_schema(), plan.schema(plan.steps[-1])
    except pl.exceptions.PolarsError:
        return None
    if list(found.items()) != list(expected.items()):
        return None
    # Nor may an expression name a column by its number: nth(1) of fewer columns is another one.
    return (
        needed
        if _described(query, pl.Schema(narrowed.collect_schema())) == _described(query, schema)
        else None
    )


def _described(query: Query, schema: pl.Schema) -> list[str]:
    """Return the steps of an optimised query as Polars prints them, without mere choices of columns."""
    text = query(nulls(schema, 3).lazy()).explain()
    return [line for line in map(str.strip, text.splitlines()) if not line.startswith(("DF [", "simple π"))]


def _steps(plan: TypedPlan, reasons: list[str]) -> list[Project | Filter]:
    steps: list[Project | Filter] = []
    if plan.at(plan.steps[0]).projection is not None:
        steps.append(Project(_columns(plan.schema(plan.steps[0]))))
    for before, step in zip(plan.steps, plan.steps[1:], strict=False):
        node = plan.at(step)
        expressions = ExpressionLowering(plan.visitor, before, reasons)
        match type(node).__name__:
            case "Select":
                columns = _named(node.expr, expressions)
                if all(is_constant(expression) for expression in columns.values()):
                    reasons.append("constants alone give one row, whatever comes in")
                _project(steps, columns)
            case "HStack":
                _project(steps, dict(_columns(plan.schema(before))) | _named(node.exprs, expressions))
            case "SimpleProjection":
                _project(steps, dict(_columns(plan.schema(step))))
            case "Filter":
                steps.append(Filter(expressions.lower(node.predicate.node)))
            case other:
                # The steps after it read columns that the program would not have.
                reasons.append(f"a program has no {snake_case(other)} step")
                break
    return steps


def _named(roots: list[Any], expressions: ExpressionLowering) -> dict[str, Expression]:
    return {root.output_name: expressions.lower(root.node) for root in roots}


def _columns(schema: pl.Schema) -> tuple[tuple[str, Expression], ...]:
    return tuple((name, Column(name, arrow_type(dtype))) for name, dtype in schema.items())


def _project(steps: list[Project | Filter], columns: dict[str, Expression]) -> None:
    """Add a projection; one that only chooses among computed columns is fused into the one before."""
    if steps and isinstance(last := steps[-1], Project):
        computed = dict(last.columns)
        if all(isinstance(expression, Column) for expression in columns.values()):
            steps[-1] = Project(
                tuple(
                    (name, computed[column.name])
                    for name, column in columns.items()
                    if isinstance(column, Column)
                )
            )
            return
    steps.append(Project(tuple(columns.items())))
