"""Running sums, products, extremes and counts."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import polars as pl

from arrowstream.operators.running.base import RunningFunction, counted, index
from arrowstream.operators.running.rows_by_slot import RowsBySlot
from arrowstream.state.arrays import Array
from arrowstream.state.memory import StateMemory

_MANY = 32
"""Keys with at least this many rows in a batch are accumulated one by one, others together in rounds."""

_STEPS: dict[str, np.ufunc] = {
    "CumSum": np.add,
    "CumCount": np.add,
    "CumProd": np.multiply,
    "CumMin": np.fmin,
    "CumMax": np.fmax,
}
CUMULATIVE = frozenset(_STEPS)
_IN_64_BITS = {
    "CumSum": "count in 64 bits: pl.col(...).cast(pl.Int64).cum_sum()",
    "CumCount": "count in 64 bits: pl.col(...).is_not_null().cast(pl.Int64).cum_sum()",
}


class Cumulative(RunningFunction):
    """A running total for each slot, updated with every row's value in the order of the rows.

    The keys of a batch advance together: first every key's first row, then every key's second row, and so
    on, each a single vector operation; the few keys with many rows are accumulated one by one. So each key's
    values are combined one after the other, exactly as over the whole input. The state is a total for each slot
    (slots,), in the physical type of the result; int64 for counts.
    """

    __slots__ = ("_counts", "_empty", "_function", "_memory", "_states", "_step", "_type")

    def __init__(self, memory: StateMemory, function: str, dtype: pl.DataType, counts: bool = False) -> None:
        self._memory = memory
        self._function = function
        self._counts = counts
        self._step = _STEPS[function]
        self._type = dtype
        kind = np.dtype(np.int64) if counts else _kind(function, dtype)
        self._empty = _empty(function, kind)
        self._states = memory.array((0,), kind)

    def begin(self, fresh: Array, capacity: int) -> None:
        self._states = self._memory.longer(self._states, capacity, self._empty)
        self._states[fresh] = self._empty

    def run(self, column: pl.Series, by_slot: RowsBySlot) -> pl.Series:
        if self._function == "CumCount":
            column = column.is_not_null()
        values = column.cast(self._type).to_physical()
        if not values.null_count():
            return self._series(self._fold(self._numbers(values), by_slot))
        # A null gives null and leaves the total unchanged.
        rows = np.flatnonzero(values.is_not_null().to_numpy())
        folded = self._series(self._fold(self._numbers(values.drop_nulls()), RowsBySlot(by_slot.slots[rows])))
        places = np.full(len(values), -1, np.int64)
        places[rows] = np.arange(len(rows))
        return folded.gather(index(places))

    def totals(self, slots: Array) -> Array:
        """Return the current totals of these slots (slots,), int64."""
        totals: Array = self._states[slots]
        return totals

    def snapshot(self, slots: Array) -> list[pl.Series]:
        return [pl.Series(self.totals(slots))]

    def restore(self, columns: list[pl.Series], slots: Array) -> None:
        self._states[slots] = columns[0].to_numpy()

    def _numbers(self, values: pl.Series) -> Array:
        return values.to_numpy().astype(self._states.dtype, copy=False)

    def _series(self, values: Array) -> pl.Series:
        if self._counts:
            return counted(values, _IN_64_BITS[self._function])
        return pl.Series(values).cast(self._type)

    @np.errstate(all="ignore")
    def _fold(self, values: Array, by_slot: RowsBySlot) -> Array:
        ordered = values[by_slot.order]
        folded = np.empty_like(ordered)
        # Numbers of 8 bits are sorted by radix.
        turns = np.minimum(by_slot.lengths, _MANY).astype(np.uint8)
        longest_first = np.argsort(_MANY - turns, kind="stable")
        lengths, begins = by_slot.lengths[longest_first], by_slot.begins[longest_first]
        totals = self._states[by_slot.owners][longest_first]
        many = int(np.count_nonzero(turns == _MANY))
        for run in range(many):
            rows = slice(begins[run], begins[run] + lengths[run])
            alone = np.concatenate([totals[run : run + 1], ordered[rows]])
            folded[rows] = self._step.accumulate(alone)[1:]
        few = slice(many, None)
        lengths, begins, totals = lengths[few], begins[few], totals[few]
        for turn in range(lengths[0] if len(lengths) else 0):
            going = int(np.searchsorted(-lengths, -turn))
            at = begins[:going] + turn
            totals[:going] = self._step(totals[:going], ordered[at])
            folded[at] = totals[:going]
        self._states[by_slot.owners] = folded[by_slot.lasts]
        return by_slot.back(folded)


def _kind(function: str, dtype: pl.DataType) -> np.dtype[Any]:
    """Return the numpy type of the totals."""
    kind = pl.Series(dtype=dtype).to_physical().to_numpy().dtype
    return np.dtype(np.float64) if kind == np.float32 and function == "CumSum" and _sums_in_double() else kind


@cache
def _sums_in_double() -> bool:
    """Return whether this Polars adds single precision numbers in double precision, as version 2 does."""
    return bool(pl.Series([2.0**24, 1.0, 1.0], dtype=pl.Float32).cum_sum()[2] == 2.0**24 + 2)


def _empty(function: str, kind: np.dtype[Any]) -> Any:
    """Return the total before any row."""
    if function in ("CumSum", "CumCount", "CumProd"):
        return kind.type(function == "CumProd")
    if kind.kind == "f":
        return np.nan  # which fmin and fmax ignore
    if kind.kind == "b":
        return function == "CumMin"
    limits = np.iinfo(kind)
    return limits.max if function == "CumMin" else limits.min
