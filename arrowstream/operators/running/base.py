"""The contract of running functions of `scan`: a state for each slot, updated batch by batch."""

from __future__ import annotations

from abc import ABC, abstractmethod

import polars as pl

from arrowstream.operators.aggregation.row_counts import COUNT, most_rows, too_many
from arrowstream.operators.running.rows_by_slot import RowsBySlot
from arrowstream.state.arrays import Array


class RunningFunction(ABC):
    """One running function over one column, with a state for each slot of the key index."""

    __slots__ = ()

    @abstractmethod
    def begin(self, fresh: Array, capacity: int) -> None:
        """Reset the states of `fresh` slots (slots,), int64, all below `capacity`: they belong to new keys now."""

    @abstractmethod
    def run(self, column: pl.Series, by_slot: RowsBySlot) -> pl.Series:
        """Return a value for each row of a batch, in the order of the rows, and update the states."""

    @abstractmethod
    def snapshot(self, slots: Array) -> list[pl.Series]:
        """Return the states of these slots (slots,), int64, as columns with one value for each slot."""

    @abstractmethod
    def restore(self, columns: list[pl.Series], slots: Array) -> None:
        """Take over the columns that `snapshot` gave, one value for each of `slots`; called after `begin`."""


def counted(numbers: Array, hint: str) -> pl.Series:
    """Return counts (rows,), int64, in the type that Polars gives them.

    Raises
    ------
    StageError
        A count exceeds that type; `hint` says what to write instead.
    """
    most = int(numbers.max(initial=0))
    if most > most_rows():
        raise too_many(most, hint)
    return pl.Series(numbers).cast(COUNT)


def index(places: Array) -> pl.Series:
    """Return places (rows,), int64, to gather from, with null for -1."""
    return pl.Series(places).replace(-1, None)


def known_where(values: Array, known: Array) -> pl.Series:
    """Return `values` (rows,) as a series, with null where `known` (rows,), bool, is False."""
    series = pl.Series(values)
    return series if known.all() else pl.select(pl.when(pl.Series(known)).then(series)).to_series()
