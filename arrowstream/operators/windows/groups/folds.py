"""Values that are folded into the groups of their rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import polars as pl

from arrowstream.operators.aggregation.folded_column import FoldedColumn
from arrowstream.operators.aggregation.state_columns import Fold
from arrowstream.state.arrays import Array
from arrowstream.state.memory import StateMemory


def fold_groups(
    values: Sequence[pl.Series], folds: Sequence[Fold], size: int, groups: Iterable[Array]
) -> list[FoldedColumn]:
    """Return the state of groups, a column for each of `values`, folded in row order.

    Parameters
    ----------
    values
        The value of each row for each column of state, without nulls where it is folded by minimum or maximum.
    folds
        How values are folded, one for each of `values`.
    size
        The number of groups, or of places for them.
    groups
        The group, or place, of each row, in parts (rows,), int64.

    Examples
    --------
    >>> import numpy as np
    >>> import polars as pl
    >>> from arrowstream.operators.windows.groups.folds import fold_groups
    >>> parts = [np.array([1, 0]), np.array([1])]
    >>> fold_groups([pl.Series("x", [5, 7, 3])], ["add"], 2, parts)[0].values.tolist()
    [7, 8]
    """
    memory = StateMemory()
    state = [FoldedColumn(fold, column, size, memory) for fold, column in zip(folds, values, strict=True)]
    start = 0
    for part in groups:
        for folded, column in zip(state, values, strict=True):
            folded.add(part, column.slice(start, len(part)))
        start += len(part)
    return state
