"""Functions of many rows: what is computed for each row before, for the group, and after.

Polars and SQL differ where a group has no values: a sum is then NULL in SQL. And NaN is the largest number there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl
from sqlglot import exp

from arrowstream.sql.expressions.functions.table import AGGREGATES
from arrowstream.sql.expressions.reader import ExpressionReader
from arrowstream.sql.expressions.typed import Typed, name_of
from arrowstream.sql.places import QueryText


@dataclass(frozen=True, slots=True)
class AggregateFunction:
    """A function of many rows.

    Parameters
    ----------
    argument
        The value for each row: NULL for a row that does not count.
    states
        What is computed for a group of the values of a column, by suffixes of names.
    result
        The result, of the columns of the states.
    dtype
        Its type.
    """

    argument: pl.Expr
    states: dict[str, Callable[[pl.Expr], pl.Expr]]
    result: Callable[..., pl.Expr]
    dtype: pl.DataType


def is_aggregate(node: exp.Expr) -> bool:
    """Return whether a part of a query is a function of many rows, perhaps with FILTER."""
    call = _call(node)
    return isinstance(call, exp.Anonymous) and call.name.upper() in AGGREGATES


def aggregates_in(node: exp.Expr) -> list[exp.Expr]:
    """Return the functions of many rows in an expression, the outermost ones."""
    if is_aggregate(node):
        return [node]
    children = list(node.iter_expressions())
    if isinstance(node, exp.Window) and is_aggregate(node.this):  # SUM(x) OVER (...) makes no groups
        inside = _call(node.this).iter_expressions()
        children = [*inside, *(child for child in children if child is not node.this)]
    return [found for child in children for found in aggregates_in(child)]


def _call(node: exp.Expr) -> exp.Expr:
    """Return the call of a function, without its FILTER."""
    found: exp.Expr = node.this if isinstance(node, exp.Filter) else node
    return found


def aggregate(expressions: ExpressionReader, node: exp.Expr) -> AggregateFunction:
    """Return a function of many rows.

    Raises
    ------
    QueryError
        Its arguments do not fit.
    """
    query = expressions.query
    call, condition = node, None
    if isinstance(node, exp.Filter):
        call, condition = node.this, expressions.condition(node.expression.this).expr
    name = call.name.upper()
    (argument,) = call.expressions if len(call.expressions) == 1 else (None,)
    if argument is None or (isinstance(argument, exp.Star) and name != "COUNT"):
        raise query.error(call, f"{name} takes one argument", found=query.source(call))
    if isinstance(argument, exp.Star):
        return _count_all(condition)
    distinct = isinstance(argument, exp.Distinct)
    if distinct and (len(argument.expressions) != 1 or argument.args.get("on")):
        raise query.error(
            call,
            "DISTINCT takes one argument here",
            found=query.source(call),
            hint="join texts by a || '/' || b, or group a subquery with SELECT DISTINCT a, b",
        )
    value = expressions.read(argument.expressions[0] if distinct else argument)
    made = _AGGREGATES[name](query, call, value, distinct)
    if condition is None:
        return made
    return AggregateFunction(pl.when(condition).then(made.argument), made.states, made.result, made.dtype)


def _count_all(condition: pl.Expr | None) -> AggregateFunction:
    # A row counts if it is there; a row of nulls stands for none where there is nothing to group.
    one = pl.lit(True) if condition is None else pl.when(condition).then(pl.lit(True))
    return AggregateFunction(one, {"": lambda x: x.count().cast(pl.Int64)}, lambda x: x, pl.Int64())


def _count(query: QueryText, node: exp.Expr, value: Typed, distinct: bool) -> AggregateFunction:
    if value.is_null:
        value = value.cast(pl.Boolean())
    if not distinct:
        return AggregateFunction(
            value.expr, {"": lambda x: x.count().cast(pl.Int64)}, lambda x: x, pl.Int64()
        )
    return AggregateFunction(
        value.expr,
        {"": lambda x: x.n_unique().cast(pl.Int64), " nulls": lambda x: x.null_count().cast(pl.Int64)},
        lambda count, nulls: count - (nulls > 0).cast(pl.Int64),
        pl.Int64(),
    )


def _some(result: pl.Expr, count: pl.Expr) -> pl.Expr:
    """Return a result that is NULL for a group without values."""
    return pl.when(count > 0).then(result)


def _values(x: pl.Expr) -> pl.Expr:
    return x.count().cast(pl.Int64)


def _number(query: QueryText, node: exp.Expr, value: Typed) -> Typed:
    name = node.name.upper()
    if value.is_null:
        return value.cast(pl.Int64())
    if value.dtype == pl.Boolean and name == "SUM":
        return value.cast(pl.Int64())
    if value.dtype.is_decimal() and name == "SUM":
        return value
    if not value.is_number:
        raise query.error(
            node, f"{name} is for numbers", expected="BIGINT or DOUBLE", found=name_of(value.dtype)
        )
    return value.cast(pl.Float64() if value.is_float else pl.Int64())


def _sum(query: QueryText, node: exp.Expr, value: Typed, distinct: bool) -> AggregateFunction:
    value = _number(query, node, value)

    def total(x: pl.Expr) -> pl.Expr:
        return x.unique().sum() if distinct else x.sum()

    return AggregateFunction(value.expr, {"": total, " values": _values}, _some, value.dtype)


def _average(query: QueryText, node: exp.Expr, value: Typed, distinct: bool) -> AggregateFunction:
    value = _number(query, node, value)

    def mean(x: pl.Expr) -> pl.Expr:
        return x.unique().mean() if distinct else x.mean()

    return AggregateFunction(value.expr, {"": mean}, lambda x: x, pl.Float64())


def _extreme(query: QueryText, node: exp.Expr, value: Typed, distinct: bool) -> AggregateFunction:
    least = node.name.upper() == "MIN"
    if value.dtype.is_nested() or value.is_null:
        raise query.error(
            node, f"{node.name.upper()} is for values that can be compared", found=name_of(value.dtype)
        )
    if value.is_text:
        value = value.cast(pl.String())

    def extreme(x: pl.Expr) -> pl.Expr:
        if least:
            return x.min()
        return x.nan_max() if value.is_float else x.max()

    return AggregateFunction(value.expr, {"": extreme}, lambda x: x, value.dtype)


def _spread(ddof: int, root: bool) -> _Make:
    def make(query: QueryText, node: exp.Expr, value: Typed, distinct: bool) -> AggregateFunction:
        if distinct:
            raise query.error(
                node,
                f"{node.name.upper()} has no DISTINCT here",
                hint="group a subquery with SELECT DISTINCT",
            )
        value = _number(query, node, value)

        def spread(x: pl.Expr) -> pl.Expr:
            return x.std(ddof=ddof) if root else x.var(ddof=ddof)

        return AggregateFunction(value.expr, {"": spread}, lambda x: x, pl.Float64())

    return make


def _logic(query: QueryText, node: exp.Expr, value: Typed, distinct: bool) -> AggregateFunction:
    value = value.cast(pl.Boolean()) if value.is_null else value
    if value.dtype != pl.Boolean:
        raise query.error(
            node, f"{node.name.upper()} is for conditions", expected="BOOLEAN", found=name_of(value.dtype)
        )
    every = node.name.upper() == "BOOL_AND"
    return AggregateFunction(
        value.expr, {"": lambda x: x.all() if every else x.any(), " values": _values}, _some, pl.Boolean()
    )


def _median(query: QueryText, node: exp.Expr, value: Typed, distinct: bool) -> AggregateFunction:
    value = _number(query, node, value)

    def median(x: pl.Expr) -> pl.Expr:
        return x.unique().median() if distinct else x.median()

    return AggregateFunction(value.expr, {"": median}, lambda x: x, pl.Float64())


_Make = Callable[[QueryText, exp.Expr, Typed, bool], AggregateFunction]
_AGGREGATES: dict[str, _Make] = {
    "COUNT": _count,
    "SUM": _sum,
    "AVG": _average,
    **dict.fromkeys(("MIN", "MAX"), _extreme),
    **dict.fromkeys(("STDDEV", "STDDEV_SAMP"), _spread(1, True)),
    "STDDEV_POP": _spread(0, True),
    **dict.fromkeys(("VARIANCE", "VAR_SAMP"), _spread(1, False)),
    "VAR_POP": _spread(0, False),
    **dict.fromkeys(("BOOL_AND", "BOOL_OR"), _logic),
    "MEDIAN": _median,
}
