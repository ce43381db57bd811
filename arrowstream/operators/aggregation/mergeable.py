"""Mergeable aggregations: the state of a group of rows, how states combine, and the result.

An aggregation is recognised in Polars' serialised tree of the expression. One that is unknown here, or over a type
for which merging could give another result, is not an error: it is evaluated from kept rows instead (see
`arrowstream.operators.aggregation.aggregation`), which gives Polars' result for any expression.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import polars as pl

from arrowstream.core.rows.empty_frames import no_rows
from arrowstream.core.rows.grouping import Function
from arrowstream.core.rows.number_types import INTEGERS
from arrowstream.expressions.every_row import for_every_row
from arrowstream.expressions.rebuild import NotRebuilt, column_types, rebuild
from arrowstream.expressions.tree import is_row_wise
from arrowstream.operators.aggregation.row_counts import COUNT
from arrowstream.operators.aggregation.state_columns import Fold, Mergeable

ROW = "__row__"
"""The column of row numbers (Int64) in order of arrival; of a group, the number of its first row."""


def numbered(rows: pl.DataFrame, first: int) -> pl.DataFrame:
    """Return rows with a last column `ROW`: their numbers, from `first` on."""
    return rows.hstack([pl.int_range(first, first + rows.height, dtype=pl.Int64, eager=True).alias(ROW)])


_SUMS = INTEGERS | {pl.Float64, pl.Duration}

_Make = Callable[[pl.Expr, pl.DataType], Mergeable | None]


def mergeable(node: Any, schema: pl.Schema, in_order: bool) -> Mergeable | None:
    """Return the mergeable aggregation that a node of an expression's tree is, or None.

    Parameters
    ----------
    node
        The node, as Polars serialises it.
    schema
        The schema of the rows, without their column `ROW`.
    in_order
        Whether states are always combined in the order in which their rows arrived.
    """
    match node:
        case "Len":
            return _count(pl.lit(1), pl.len(), "len")
        case {"Cast": {"expr": inner}}:
            return _counted_as(mergeable(inner, schema, in_order), node)
        case {"Function": {"input": [inner], "function": "NullCount"}}:
            return _over(inner, schema, _nulls)
        case {
            "Function": {"input": [inner], "function": {"Boolean": {"Any": {"ignore_nulls": bool(nulls)}}}}
        }:
            return _over(inner, schema, _logic("any", nulls))
        case {
            "Function": {"input": [inner], "function": {"Boolean": {"All": {"ignore_nulls": bool(nulls)}}}}
        }:
            return _over(inner, schema, _logic("all", nulls))
        case {"Agg": dict(aggregate)}:
            ((kind, payload),) = aggregate.items()
            return _of_values(kind, payload, schema) or _of_rows(kind, payload, schema, in_order)
        case _:
            return None


def _of_values(kind: str, payload: Any, schema: pl.Schema) -> Mergeable | None:
    """Return an aggregation that computes with values, such as a sum, or None."""
    match kind, payload:
        case "Sum", inner:
            return _over(inner, schema, _sum)
        case "Mean", inner:
            return _over(inner, schema, _mean)
        case "Count", {"input": inner, "include_nulls": bool(nulls)}:
            return _over(inner, schema, _len if nulls else _values)
        case "Min", {"input": inner, "propagate_nans": bool(nans)}:
            return _over(inner, schema, _extreme("nan_min" if nans else "min"))
        case "Max", {"input": inner, "propagate_nans": bool(nans)}:
            return _over(inner, schema, _extreme("nan_max" if nans else "max"))
        case "Var" | "Std", [inner, int(ddof)]:
            return _over(inner, schema, _variance(ddof, root=kind == "Std"))
        case _:
            return None


def _of_rows(kind: str, payload: Any, schema: pl.Schema, in_order: bool) -> Mergeable | None:
    """Return an aggregation that keeps values as they are, such as the first, or None."""
    if not is_row_wise(payload):
        return None
    match kind:
        case "First":
            return _over(payload, schema, _first(in_order))
        case "Last":
            return _over(payload, schema, _last(in_order))
        case "NUnique":
            return _over(payload, schema, _distinct)
        case _:
            return None


def _over(inner: Any, schema: pl.Schema, make: _Make) -> Mergeable | None:
    """Return `make` of the inner expression and its type if that is row-wise, or a filter of row-wise values."""
    values, *predicates = [inner]
    match inner:
        case {"Filter": {"input": values, "by": predicate}}:
            predicates = [predicate]
    if not all(map(is_row_wise, [values, *predicates])) or not _reads_columns(values):
        return None
    types = column_types(values, schema)
    if types is None:
        return None
    try:
        made = make(for_every_row(rebuild(inner), schema, read=True), *types)
    except NotRebuilt:
        return None
    if made is None:
        return None
    if predicates:
        # A filter may drop the row, so a single row may have no state.
        return replace(made, init_row=(), function=None)
    match values:
        case {"Column": str(name)}:
            return made if made.function == "len" else replace(made, column=name)
        case _:
            return replace(made, function=None)


def _reads_columns(node: Any) -> bool:
    if isinstance(node, dict):
        return "Column" in node or any(map(_reads_columns, node.values()))
    return isinstance(node, list) and any(map(_reads_columns, node))


def _added(*names: str) -> tuple[pl.Expr, ...]:
    return tuple(pl.col(name).sum() for name in names)


def _count(init_row: pl.Expr, init: pl.Expr, function: Function | None = None) -> Mergeable:
    return Mergeable(
        (init.cast(pl.Int64),),
        _added,
        lambda name: pl.col(name).cast(COUNT),
        (init_row.cast(pl.Int64),),
        update=("add",),
        counts=True,
        function=function,
    )


def _counted_as(count: Mergeable | None, casts: Any) -> Mergeable | None:
    """Return a count with a cast, which may hold more than Polars' type for counts; None if it is not a count."""
    if count is None or not count.counts:
        return None
    return replace(count, finalize=lambda name: rebuild(_cast_as(casts, {"Column": name})))


def _cast_as(casts: Any, column: Any) -> Any:
    """Apply all casts of a node, one after the other, to a column."""
    match casts:
        case {"Cast": {"expr": inner, **how}}:
            return {"Cast": {"expr": _cast_as(inner, column), **how}}
        case _:
            return column


def _values(expr: pl.Expr, dtype: pl.DataType) -> Mergeable:
    return _count(expr.is_not_null(), expr.count(), "count")


def _nulls(expr: pl.Expr, dtype: pl.DataType) -> Mergeable:
    return _count(expr.is_null(), expr.null_count())


def _len(expr: pl.Expr, dtype: pl.DataType) -> Mergeable:
    return _count(pl.lit(1), expr.len(), "len")


def _sum(expr: pl.Expr, dtype: pl.DataType) -> Mergeable | None:
    if not (dtype.is_integer() or dtype.is_float() or dtype in (pl.Boolean, pl.Duration)):
        return None
    if dtype == pl.Boolean:
        return _count(expr, expr.sum(), "sum")
    # Summed in 64 bits: adding rows one by one in 32 bits loses precision. The result is cast back.
    values = expr.cast(pl.Float64) if dtype == pl.Float32 else expr
    total = no_rows(pl.Schema({"x": dtype})).lazy().select(pl.col("x").sum()).collect_schema()["x"]
    state = pl.Float64() if dtype == pl.Float32 else total
    update: tuple[Fold, ...] = ("add",) if state.base_type() in _SUMS else ()
    # Sums of floats depend on the order in which they are added.
    function: Function | None = None if total.is_float() else "sum"
    return Mergeable(
        (values.sum(),),
        _added,
        pl.col,
        (values.cast(state),),
        not total.is_float(),
        update,
        function=function,
    )


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
        update=("add", "add"),
    )


def _variance(ddof: int, root: bool) -> _Make:
    """Make variance, or its root, of count, mean and squared deviations, which combine without cancellation."""

    def combine(count: str, mean: str, squares: str) -> tuple[pl.Expr, ...]:
        n, m = pl.col(count), pl.col(mean)
        # No values have no mean; 0 / 0 would give a NaN that spreads.
        middle = pl.when(n.sum() > 0).then((n * m).sum() / n.sum())
        return n.sum(), middle, pl.col(squares).sum() + (n * (m - middle).pow(2)).sum()

    def finalize(count: str, mean: str, squares: str) -> pl.Expr:
        n = pl.col(count)
        variance = pl.when(n > ddof).then(pl.col(squares) / (n - ddof))
        return variance.sqrt() if root else variance

    def make(expr: pl.Expr, dtype: pl.DataType) -> Mergeable | None:
        if not (dtype.is_integer() or dtype.is_float()):
            return None
        values, count = expr.cast(pl.Float64), expr.count().cast(pl.Int64)
        mean = values.mean()
        # Of a single value, some of Polars' group-by paths give 0.0 even if it is NaN or infinite.
        squares = pl.when(count == 1).then(mean - mean).otherwise(values.var(ddof=0) * count)
        return Mergeable((count, mean, squares), combine, finalize, any_order=False)

    return make


def unsorted_floats(values: pl.Expr) -> pl.Expr:
    """Return the same floats, of which Polars does not know that they are sorted.

    Of sorted floats of a group, Polars 1 takes the last one, or the first one, for the largest, even if it is NaN.
    Floats are known to be sorted once two batches of one row are joined.
    """
    return values * 1


def _extreme(method: str) -> _Make:
    function: Literal["min", "max"] = "min" if method in ("min", "nan_min") else "max"
    update: tuple[Fold, ...] = (function,)

    def make(expr: pl.Expr, dtype: pl.DataType) -> Mergeable | None:
        if not (dtype.is_numeric() or dtype.is_temporal() or dtype in (pl.String, pl.Boolean)):
            return None

        def extreme(values: pl.Expr) -> pl.Expr:
            compared = unsorted_floats(values) if method == "max" and dtype.is_float() else values
            found: pl.Expr = getattr(compared, method)()
            return found

        # Of 0.0 and -0.0, the order decides which one is kept.
        any_order = not dtype.is_float()
        return Mergeable(
            (extreme(expr),),
            lambda name: (extreme(pl.col(name)),),
            pl.col,
            (expr,),
            any_order,
            update if dtype.is_temporal() or dtype.base_type() in INTEGERS else (),
            function=function,
        )

    return make


def _logic(method: str, ignore_nulls: bool) -> _Make:
    def make(expr: pl.Expr, dtype: pl.DataType) -> Mergeable:
        def of(values: pl.Expr) -> pl.Expr:
            finalize: pl.Expr = getattr(values, method)(ignore_nulls=ignore_nulls)
            return finalize

        return Mergeable((of(expr),), lambda name: (of(pl.col(name)),), pl.col, (expr,))

    return make


def _first(in_order: bool) -> _Make:
    def combine(name: str) -> tuple[pl.Expr, ...]:
        return ((pl.col(name) if in_order else pl.col(name).sort_by(ROW)).first(),)

    return lambda expr, dtype: Mergeable((expr.first(),), combine, pl.col, (expr,), any_order=False)


def _last(in_order: bool) -> _Make:
    def combine(name: str, row: str) -> tuple[pl.Expr, ...]:
        values = pl.col(name) if in_order else pl.col(name).sort_by(row)
        return values.last(), pl.col(row).max()

    def make(expr: pl.Expr, dtype: pl.DataType) -> Mergeable:
        init = (expr.last(), pl.col(ROW).last())
        return Mergeable(init, combine, lambda name, row: pl.col(name), (expr, pl.col(ROW)), any_order=False)

    return make


def _distinct(expr: pl.Expr, dtype: pl.DataType) -> Mergeable | None:
    if not (dtype.is_numeric() or dtype.is_temporal() or dtype in (pl.String, pl.Boolean)):
        return None
    # Polars before 2 gives one of two truth values of a group.
    values = expr.cast(pl.Int8) if dtype == pl.Boolean else expr
    # A group has rows, and null counts as a value, so no list is empty.
    return Mergeable(
        (values.unique(),),
        lambda name: (pl.col(name).explode().unique(),),
        lambda name: pl.col(name).list.len(),
        any_order=False,
    )
