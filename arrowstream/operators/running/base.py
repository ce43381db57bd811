"""What a running function of `scan` is: a state for each slot, brought forward a batch at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod

import polars as pl

from arrowstream.operators.aggregation.row_counts import COUNT, most_rows, too_many
from arrowstream.operators.running.rows_by_slot import RowsBySlot
from arrowstream.state.arrays import Array


class Running(ABC):
    """One running function over one column."""

    __slots__ = ()

    @abstractmethod
    def begin(self, fresh: Array, capacity: int) -> None:
        """These slots (int64), all below `capacity`, belong to new keys now: their state is that before any row."""

    @abstractmethod
    def run(self, column: pl.Series, by_slot: RowsBySlot) -> pl.Series:
        """The values for the rows of a batch, in their order; the states are brought forward."""

    @abstractmethod
    def snapshot(self, slots: Array) -> list[pl.Series]:
        """The states of these slots (int64), in columns with a value for each."""

    @abstractmethod
    def restore(self, columns: list[pl.Series], slots: Array) -> None:
        """Take over what `snapshot` gave for as many slots; `begin` has been called for these."""


def counted(numbers: Array, hint: str) -> pl.Series:
    """Counts in the type that Polars gives them.

    Raises
    ------
    StageError
        One of them is too large for it; `hint` says what to write instead.
    """
    most = int(numbers.max(initial=0))
    if most > most_rows():
        raise too_many(most, hint)
    return pl.Series(numbers).cast(COUNT)


def index(places: Array) -> pl.Series:
    """Places to gather from, null for -1."""
    return pl.Series(places).replace(-1, None)


def known_where(values: Array, known: Array) -> pl.Series:
    """Values, and null where they are not known."""
    series = pl.Series(values)
    return series if known.all() else pl.select(pl.when(pl.Series(known)).then(series)).to_series()
