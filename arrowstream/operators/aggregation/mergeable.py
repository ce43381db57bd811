"""Aggregations that can be merged: what to keep of a group of rows, how two of these become one, what they say.

Polars' own serialised tree of an expression tells which aggregation it is. What is not known here, or
is over a type for which merging may differ, is no error: it is evaluated from kept rows instead (see
`arrowstream.operators.aggregation.aggregation`), which gives Polars' result whatever the expression is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import polars as pl

from arrowstream.core.number_types import INTEGERS
from arrowstream.expressions.every_row import for_every_row
from arrowstream.expressions.rebuild import rebuild
from arrowstream.operators.aggregation.row_counts import COUNT

ROW = "__row__"
"""The column that numbers the rows as they came; of a group, the number of its first row."""


def numbered(rows: pl.DataFrame, first: int) -> pl.DataFrame:
    """Rows with their numbers, from `first` on, in a column `ROW`."""
    return rows.hstack([pl.int_range(first, first + rows.height, dtype=pl.Int64, eager=True).alias(ROW)])


Fold = Literal["add", "min", "max"]
"""How one more value changes a column of state."""


@dataclass(frozen=True, slots=True)
class Mergeable:
    """An aggregation by its columns of state.

    Parameters
    ----------
    first
        The values of the columns for a group of rows.
    merge
        From the columns' names, their values for a group of such values.
    result
        From the columns' names, what the aggregation says.
    one
        The values for a single row; empty where a row alone has none.
    any_order
        Whether values merged in any order give the same bits.
    folds
        How the columns change with the values of one more row, if that is all there is to it.
    counts
        Whether it says how many rows there are.
    """

    first: tuple[pl.Expr, ...]
    merge: Callable[..., tuple[pl.Expr, ...]]
    result: Callable[..., pl.Expr]
    one: tuple[pl.Expr, ...] = ()
    any_order: bool = True
    folds: tuple[Fold, ...] = ()
    counts: bool = False


_SUMS = INTEGERS | {pl.Float64, pl.Duration}

_Make = Callable[[pl.Expr, pl.DataType], Mergeable | None]


def mergeable(node: Any, schema: pl.Schema, in_order: bool) -> Mergeable | None:
    """The aggregation that a node of an expression's tree stands for, or None if it cannot be merged.

    Parameters
    ----------
    node
        The node, as Polars serialises it.
    schema
        Of the rows, which have a column `ROW` besides.
    in_order
        Whether values are always merged in the order in which their rows came.
    """
    match node:
        case "Len":
            return _count(pl.lit(1), pl.len())
        case {"Cast": {"expr": inner}}:
            return _counted_as(mergeable(inner, schema, in_order), node)
        case {"Agg": {"Sum": inner}}:
            return _over(inner, schema, _sum)
        case {"Agg": {"Count": {"input": inner, "include_nulls": bool(nulls)}}}:
            return _over(inner, schema, _len if nulls else _values)
        case {"Function": {"input": [inner], "function": "NullCount"}}:
            return _over(inner, schema, _nulls)
        case {"Agg": {"Min": {"input": inner, "propagate_nans": bool(nans)}}}:
            return _over(inner, schema, _extreme("nan_min" if nans else "min"))
        case {"Agg": {"Max": {"input": inner, "propagate_nans": bool(nans)}}}:
            return _over(inner, schema, _extreme("nan_max" if nans else "max"))
        case {"Agg": {"Mean": inner}}:
            return _over(inner, schema, _mean)
        case {"Agg": {"Var": [inner, int(ddof)]}}:
            return _over(inner, schema, _variance(ddof, root=False))
        case {"Agg": {"Std": [inner, int(ddof)]}}:
            return _over(inner, schema, _variance(ddof, root=True))
        case {
            "Function": {"input": [inner], "function": {"Boolean": {"Any": {"ignore_nulls": bool(ignore)}}}}
        }:
            return _over(inner, schema, _logic("any", ignore))
        case {
            "Function": {"input": [inner], "function": {"Boolean": {"All": {"ignore_nulls": bool(ignore)}}}}
        }:
            return _over(inner, schema, _logic("all", ignore))
        case {"Agg": {"First": inner}} if row_wise(inner):
            return _over(inner, schema, _first(in_order))
        case {"Agg": {"Last": inner}} if row_wise(inner):
            return _over(inner, schema, _last(in_order))
        case {"Agg": {"NUnique": inner}} if row_wise(inner):
            return _over(inner, schema, _distinct)
        case _:
            return None


def row_wise(node: Any) -> bool:
    """Whether an expression is known to look at one row only; False for any other, which is always safe."""
    match node:
        case {"Literal": {"Dyn": {"Float": None}} | {"Scalar": {"Float64": None} | {"Float32": None}}}:
            return False  # NaN and infinities, which JSON cannot hold apart
        case {"Column": _} | {"Literal": {"Dyn": _} | {"Scalar": _}}:
            return True
        case {"Alias": [inner, _]} | {"Cast": {"expr": inner}}:
            return row_wise(inner)
        case {"BinaryExpr": {"left": left, "right": right}}:
            return row_wise(left) and row_wise(right)
        case {"Ternary": {"predicate": predicate, "truthy": truthy, "falsy": falsy}}:
            return all(map(row_wise, (predicate, truthy, falsy)))
        case {"Function": {"input": [*inputs], "function": function}}:
            return _is_row_wise_function(function) and all(map(row_wise, inputs))
        case _:
            return False


def _is_row_wise_function(function: Any) -> bool:
    match function:
        case "Abs" | "Negate" | "FillNull" | {"Round": _} | {"Pow": "Generic" | "Sqrt"}:
            return True
        case {"Boolean": "Not" | "IsNull" | "IsNotNull" | "IsNan" | "IsNotNan" | "IsFinite"}:
            return True
        case _:
            return False


def _over(inner: Any, schema: pl.Schema, make: _Make) -> Mergeable | None:
    """`make` of the inner expression and its type, if that looks at each row alone, or filters such."""
    values, *predicates = [inner]
    match inner:
        case {"Filter": {"input": values, "by": predicate}}:
            predicates = [predicate]
    if not all(map(row_wise, [values, *predicates])) or not _reads_columns(values):
        return None
    expr = for_every_row(rebuild(inner), read=True)
    (dtype,) = pl.LazyFrame(schema=schema).select(rebuild(values)).collect_schema().dtypes()
    made = make(expr, dtype)
    # A filter may leave nothing of a row, so a row alone has no values then.
    return replace(made, one=()) if made is not None and predicates else made


def _reads_columns(node: Any) -> bool:
    if isinstance(node, dict):
        return "Column" in node or any(map(_reads_columns, node.values()))
    return isinstance(node, list) and any(map(_reads_columns, node))


def _added(*names: str) -> tuple[pl.Expr, ...]:
    return tuple(pl.col(name).sum() for name in names)


def _count(one: pl.Expr, first: pl.Expr) -> Mergeable:
    return Mergeable(
        (first.cast(pl.Int64),),
        _added,
        lambda name: pl.col(name).cast(COUNT),
        (one.cast(pl.Int64),),
        folds=("add",),
        counts=True,
    )


def _counted_as(count: Mergeable | None, casts: Any) -> Mergeable | None:
    """A count cast to other types, which may hold what Polars' own does not; None for anything else."""
    if count is None or not count.counts:
        return None
    return replace(count, result=lambda name: rebuild(_cast_as(casts, {"Column": name})))


def _cast_as(casts: Any, column: Any) -> Any:
    """All casts of a node, one after the other, of a column."""
    match casts:
        case {"Cast": {"expr": inner, **how}}:
            return {"Cast": {"expr": _cast_as(inner, column), **how}}
        case _:
            return column


def _values(expr: pl.Expr, dtype: pl.DataType) -> Mergeable:
    return _count(expr.is_not_null(), expr.count())


def _nulls(expr: pl.Expr, dtype: pl.DataType) -> Mergeable:
    return _count(expr.is_null(), expr.null_count())


def _len(expr: pl.Expr, dtype: pl.DataType) -> Mergeable:
    return _count(pl.lit(1), expr.len())


def _sum(expr: pl.Expr, dtype: pl.DataType) -> Mergeable | None:
    if not (dtype.is_integer() or dtype.is_float() or dtype in (pl.Boolean, pl.Duration)):
        return None
    if dtype == pl.Boolean:
        return _count(expr, expr.sum())
    # 32 bits hold no sum of many rows that are added one by one; the result is cast back.
    values = expr.cast(pl.Float64) if dtype == pl.Float32 else expr
    total = pl.LazyFrame(schema={"x": dtype}).select(pl.col("x").sum()).collect_schema()["x"]
    state = pl.Float64() if dtype == pl.Float32 else total
    folds: tuple[Fold, ...] = ("add",) if state.base_type() in _SUMS else ()
    return Mergeable((values.sum(),), _added, pl.col, (values.cast(state),), not total.is_float(), folds)


def _mean(expr: pl.Expr, dtype: pl.DataType) -> Mergeable | None:
    if not (dtype.is_integer() or dtype.is_float() or dtype == pl.Boolean):
        return None
    values = expr.cast(pl.Float64)
    return Mergeable(
        (values.sum(), expr.count().cast(pl.Int64)),
        _added,
        lambda total, count: pl.when(pl.col(count) > 0).then(pl.col(total) / pl.col(count)),
        (values, expr.is_not_null().cast(pl.Int64)),
        any_order=False,
        folds=("add", "add"),
    )


def _variance(ddof: int, root: bool) -> _Make:
    """From the count, the mean and the squared distances from it, which merge without cancellation."""

    def merge(count: str, mean: str, squares: str) -> tuple[pl.Expr, ...]:
        n, m = pl.col(count), pl.col(mean)
        # Of no values there is no mean; 0 / 0 would be a NaN that spreads.
        middle = pl.when(n.sum() > 0).then((n * m).sum() / n.sum())
        return n.sum(), middle, pl.col(squares).sum() + (n * (m - middle).pow(2)).sum()

    def result(count: str, mean: str, squares: str) -> pl.Expr:
        n = pl.col(count)
        variance = pl.when(n > ddof).then(pl.col(squares) / (n - ddof))
        return variance.sqrt() if root else variance

    def make(expr: pl.Expr, dtype: pl.DataType) -> Mergeable | None:
        if not (dtype.is_integer() or dtype.is_float()):
            return None
        values, count = expr.cast(pl.Float64), expr.count().cast(pl.Int64)
        mean = values.mean()
        # Of one value alone, some of Polars' ways to group say 0.0 even where it is NaN or infinite.
        squares = pl.when(count == 1).then(mean - mean).otherwise(values.var(ddof=0) * count)
        return Mergeable((count, mean, squares), merge, result, any_order=False)

    return make


def _extreme(method: str) -> _Make:
    folds: tuple[Fold, ...] = ("min",) if method in ("min", "nan_min") else ("max",)

    def make(expr: pl.Expr, dtype: pl.DataType) -> Mergeable | None:
        if not (dtype.is_numeric() or dtype.is_temporal() or dtype in (pl.String, pl.Boolean)):
            return None
        first: pl.Expr = getattr(expr, method)()
        # Of a zero and a negative zero, the order decides which one is the smaller.
        any_order = not dtype.is_float()
        return Mergeable(
            (first,),
            lambda name: (getattr(pl.col(name), method)(),),
            pl.col,
            (expr,),
            any_order,
            folds if dtype.is_temporal() or dtype.base_type() in INTEGERS else (),
        )

    return make


def _logic(method: str, ignore_nulls: bool) -> _Make:
    def make(expr: pl.Expr, dtype: pl.DataType) -> Mergeable:
        def of(values: pl.Expr) -> pl.Expr:
            result: pl.Expr = getattr(values, method)(ignore_nulls=ignore_nulls)
            return result

        return Mergeable((of(expr),), lambda name: (of(pl.col(name)),), pl.col, (expr,))

    return make


def _first(in_order: bool) -> _Make:
    def merge(name: str) -> tuple[pl.Expr, ...]:
        return ((pl.col(name) if in_order else pl.col(name).sort_by(ROW)).first(),)

    return lambda expr, dtype: Mergeable((expr.first(),), merge, pl.col, (expr,), any_order=False)


def _last(in_order: bool) -> _Make:
    def merge(name: str, row: str) -> tuple[pl.Expr, ...]:
        values = pl.col(name) if in_order else pl.col(name).sort_by(row)
        return values.last(), pl.col(row).max()

    def make(expr: pl.Expr, dtype: pl.DataType) -> Mergeable:
        first = (expr.last(), pl.col(ROW).last())
        return Mergeable(first, merge, lambda name, row: pl.col(name), (expr, pl.col(ROW)), any_order=False)

    return make


def _distinct(expr: pl.Expr, dtype: pl.DataType) -> Mergeable | None:
    if not (dtype.is_numeric() or dtype.is_temporal() or dtype in (pl.String, pl.Boolean)):
        return None
    # No group is empty, and a null is a value, so no list is.
    return Mergeable(
        (expr.unique(),),
        lambda name: (pl.col(name).explode().unique(),),
        lambda name: pl.col(name).list.len(),
        any_order=False,
    )
