"""Aggregates that read only the rows with the largest or smallest value of a column: the others need not be kept.

``pl.col("bidder").filter(pl.col("price") == pl.col("price").max())`` is such an aggregate. A row that has a smaller
price than another one of its group never counts, whatever rows come later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import polars as pl

from arrowstream.core.rows.number_types import NUMBERS, TIMES
from arrowstream.expressions.tree import DEEPEST, is_row_wise, levels, tree_of
from arrowstream.operators.aggregation.mergeable import unsorted_floats

_ORDERED = NUMBERS | TIMES | {pl.String}
"""Types of which the extreme of a part of the rows, taken again, is that of all rows."""


@dataclass(frozen=True, slots=True)
class ExtremeRows:
    """The rows of a group in which a column has its extreme.

    Parameters
    ----------
    column
        The column.
    extreme
        The largest value, or the smallest one. That of floats is NaN only where all values are.
    floats
        Whether the values are floats.
    """

    column: str
    extreme: Literal["max", "min"]
    floats: bool = False

    @classmethod
    def of(cls, exprs: Sequence[pl.Expr], schema: pl.Schema) -> ExtremeRows | None:
        """Return the rows that all expressions read, and no others; None if there are none such.

        Examples
        --------
        >>> import polars as pl
        >>> from arrowstream.operators.aggregation.extreme_rows import ExtremeRows
        >>> price, schema = pl.col("price"), pl.Schema({"price": pl.Int64, "bidder": pl.Int64})
        >>> ExtremeRows.of([pl.col("bidder").filter(price == price.max()).first()], schema)
        ExtremeRows(column='price', extreme='max', floats=False)
        >>> ExtremeRows.of([pl.col("bidder").filter(price == price.max()), pl.col("bidder")], schema) is None
        True
        """
        found = {_read_by(expr) for expr in exprs}
        rows = found.pop() if len(found) == 1 else None
        if rows is None or schema[rows.column].base_type() not in _ORDERED:
            return None
        return replace(rows, floats=schema[rows.column].is_float())

    def among(self, values: pl.Expr) -> pl.Expr:
        """Return the predicate of these rows, given the column's values; all rows of a group without a value."""
        compared = unsorted_floats(values) if self.floats and self.extreme == "max" else values
        return values.eq_missing(getattr(compared, self.extreme)())

    def is_each_of(self, plain: Sequence[tuple[str, str, str | None]], count: int) -> bool:
        """Return whether each of `count` aggregates is this extreme itself, which its rows alone give.

        Parameters
        ----------
        plain
            The name, the function and the column of those aggregates that are a function of a plain column.
        count
            The number of all aggregates.
        """
        if self.floats and count:
            return False  # the largest float is one with NaN, and another one without
        return len(plain) == count and all((how, of) == (self.extreme, self.column) for _, how, of in plain)


def _read_by(expr: pl.Expr) -> ExtremeRows | None:
    try:
        tree = tree_of(expr)
    except pl.exceptions.PolarsError:
        return None  # it holds a Python function
    return _filtered(tree) if levels(tree) <= DEEPEST else None


def _filtered(node: Any) -> ExtremeRows | None:
    """Return the rows to which a node filters everything that it reads.

    Counts are left out: before Polars 2, whether nulls count depends on the other rows.
    """
    match node:
        case {"Filter": {"input": values, "by": predicate}}:
            return _extreme(predicate) if is_row_wise(values) else None
        case {"Alias": [inner, _]} | {"Sort": {"expr": inner}}:
            return _filtered(inner)
        case {"Agg": {"First": inner} | {"Last": inner}}:
            return _filtered(inner)
        case _:
            return None


def _extreme(predicate: Any) -> ExtremeRows | None:
    match predicate:
        case {"BinaryExpr": {"left": values, "op": "Eq", "right": {"Agg": extreme}}}:
            pass
        case {"BinaryExpr": {"left": {"Agg": extreme}, "op": "Eq", "right": values}}:
            pass
        case _:
            return None
    match values, extreme:
        case {"Column": str(column)}, {"Max": {"input": same, "propagate_nans": False}} if same == values:
            return ExtremeRows(column, "max")
        case {"Column": str(column)}, {"Min": {"input": same, "propagate_nans": False}} if same == values:
            return ExtremeRows(column, "min")
        case _:
            return None
