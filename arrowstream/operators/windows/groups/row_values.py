"""What rows add to the state of their groups."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from arrowstream.expressions.among_others import among_others, spread
from arrowstream.operators.aggregation.state_columns import Fold


def row_values(
    rows: pl.DataFrame, values: Sequence[pl.Expr], folds: Sequence[Fold]
) -> list[pl.Series] | None:
    """Return the value of each row for each column of state; None if one that is folded by an extreme is null."""
    names = list(dict.fromkeys(name for value in values for name in value.meta.root_names()))
    if all(value.meta.is_column() for value in values):
        columns = rows[names].get_columns()  # plain columns need no query
    else:
        columns = among_others(spread(rows[names]), lambda rows: rows.select(values)).get_columns()
    if any(fold != "add" and column.null_count() for fold, column in zip(folds, columns, strict=True)):
        return None
    return columns
