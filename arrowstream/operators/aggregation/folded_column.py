"""A column of aggregation state, folded by numpy in an array."""

from __future__ import annotations

import numpy as np
import polars as pl

from arrowstream.operators.aggregation.state_columns import Fold
from arrowstream.state.arrays import Array
from arrowstream.state.close_integers import as_integers
from arrowstream.state.memory import StateMemory

_FOLDS: dict[Fold, np.ufunc] = {"add": np.add, "min": np.minimum, "max": np.maximum}


class FoldedColumn:
    """The sum, minimum or maximum of the values added at each place of an array.

    Parameters
    ----------
    fold
        Sum, minimum or maximum.
    like
        A column with the name and type of the state; its values are not added.
    places
        The initial number of places.
    memory
        The memory that holds the array.

    Attributes
    ----------
    values
        The state by place, shape (places,), in the physical type of the column.
    """

    __slots__ = ("_fold", "_is_sum", "_memory", "_neutral", "dtype", "name", "values")

    def __init__(self, fold: Fold, like: pl.Series, places: int, memory: StateMemory) -> None:
        self.name, self.dtype = like.name, like.dtype
        self._memory = memory
        self._fold = _FOLDS[fold]
        self._is_sum = fold == "add"
        kind = _physical(like.clear()).to_numpy().dtype
        self._neutral = 0
        """The neutral element of the fold."""
        if not self._is_sum:
            self._neutral = int(np.iinfo(kind).max if fold == "min" else np.iinfo(kind).min)
        self.values = memory.array((places,), kind, self._neutral)

    def add(self, places: Array, values: pl.Series) -> None:
        """Fold values (rows,) in row order into `places` (rows,), int64; null changes nothing."""
        with np.errstate(all="ignore"):
            self._fold.at(self.values, places, self._filled(values))

    def put(self, start: int, values: pl.Series) -> None:
        """Fold values (rows,) into as many places, from `start` on; null changes nothing."""
        places = self.values[start : start + len(values)]
        with np.errstate(all="ignore"):
            self._fold(places, self._filled(values), out=places)

    def reach(self, places: int) -> None:
        """Grow the array to at least this many places."""
        self.values = self._memory.longer(self.values, places, self._neutral)

    def _filled(self, values: pl.Series) -> Array:
        """Return values in the physical type, and the neutral element for null."""
        plain = _physical(values)
        filled: Array = (plain.fill_null(self._neutral) if plain.null_count() else plain).to_numpy()
        return filled


class SlotColumn(FoldedColumn):
    """A folded column by slot that tracks which slots have values: a minimum or maximum of none is null."""

    __slots__ = ("_has",)

    def __init__(self, fold: Fold, like: pl.Series, places: int, memory: StateMemory) -> None:
        super().__init__(fold, like, places, memory)
        self._has: Array | None = None
        """Flags of the slots with values (places,), bool; None while all have some. Unused for sums."""

    def fold(self, slots: Array, values: pl.Series, used: int) -> None:
        """Fold values (rows,) into `slots` (rows,), int64; the first `used` slots had values before."""
        self.reach(int(slots.max()) + 1)
        self._note_nulls(slots, values, used)
        self.add(slots, values)

    def get(self, slots: Array) -> pl.Series:
        """Return the state of `slots` (int64), one row each, in the type of the column."""
        column = pl.Series(self.name, self.values.take(slots))
        if self._has is not None:
            # Before the cast: the placeholder of a missing value may be out of the type's range.
            has = pl.lit(pl.Series(self._has[slots]))
            column = column.to_frame().select(pl.when(has).then(pl.first())).to_series()
        return column.cast(self.dtype)

    def reach(self, places: int) -> None:
        super().reach(places)
        if self._has is not None:
            self._has = self._memory.longer(self._has, len(self.values))

    def _note_nulls(self, slots: Array, values: pl.Series, used: int) -> None:
        if self._is_sum:
            return
        if not values.null_count():
            if self._has is not None:
                self._has[slots] = True
            return
        if self._has is None:
            self._has = self._memory.array(self.values.shape, np.bool_)
            self._has[:used] = True
        self._has[slots[values.is_not_null().to_numpy()]] = True


def _physical(column: pl.Series) -> pl.Series:
    return column if column.dtype.is_numeric() else as_integers(column)
