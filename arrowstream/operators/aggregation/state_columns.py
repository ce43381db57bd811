"""The columns of state of one aggregation: how they are made, combined, folded and turned into its result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import polars as pl

from arrowstream.core.rows.grouping import Function

Fold = Literal["add", "min", "max"]
"""The operation that folds one more value into a column of state."""


@dataclass(frozen=True, slots=True)
class Mergeable:
    """An aggregation as columns of state.

    Parameters
    ----------
    init
        Aggregations from a group of rows to its columns of state.
    combine
        Maps the columns' names to aggregations from several states to one.
    finalize
        Maps the columns' names to the expression of the result.
    init_row
        Expressions from a single row to its state; empty if a single row has none.
    any_order
        Whether states combined in any order give the same bits.
    update
        How each column is folded with the `init_row` of one more row; empty if it cannot be.
    counts
        Whether the result is a number of rows.
    function
        The function of a plain column that the only column of state is, if any order of rows gives the same bits (of
        floats: without NaN and -0.0); else None.
    column
        That column; None for "len".
    """

    init: tuple[pl.Expr, ...]
    combine: Callable[..., tuple[pl.Expr, ...]]
    finalize: Callable[..., pl.Expr]
    init_row: tuple[pl.Expr, ...] = ()
    any_order: bool = True
    update: tuple[Fold, ...] = ()
    counts: bool = False
    function: Function | None = None
    column: str | None = None
