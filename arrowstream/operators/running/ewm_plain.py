"""An exponentially weighted running mean whose weights always sum to 1: the mean alone is its state."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from arrowstream.operators.running.base import RunningFunction, known_where
from arrowstream.operators.running.round_robin import RoundRobin
from arrowstream.operators.running.rows_by_slot import RowsBySlot
from arrowstream.state.arrays import Array
from arrowstream.state.memory import StateMemory

_MANY = 128
"""Keys with at least this many values in a batch are computed by Polars, others by numpy in rounds."""


class PlainMean(RunningFunction):
    """`ewm_mean` with ``adjust=False`` and ``ignore_nulls=True``: equal to that of Polars bit for bit.

    Every value moves the mean by the same share of the distance, so a stream goes on from a mean as from a first
    value. The state of each slot is its mean (slots,), in the type of the values, and its number of values
    (slots,), int64.
    """

    __slots__ = ("_counts", "_expr", "_least", "_means", "_memory", "_share", "_type")

    def __init__(self, memory: StateMemory, options: dict[str, Any], dtype: pl.DataType) -> None:
        self._memory = memory
        alpha = options["alpha"]
        kind = pl.Series(dtype=dtype).to_numpy().dtype
        self._expr = pl.col("x").ewm_mean(alpha=alpha, adjust=False, ignore_nulls=True)
        self._least = max(options["min_periods"], 1)
        self._type = dtype
        self._share = kind.type(alpha)
        self._counts = memory.array((0,), np.int64)
        self._means = memory.array((0,), kind)

    def begin(self, fresh: Array, capacity: int) -> None:
        self._counts = self._memory.longer(self._counts, capacity, 0)
        self._means = self._memory.longer(self._means, capacity, 0)
        self._counts[fresh] = 0

    def run(self, column: pl.Series, by_slot: RowsBySlot) -> pl.Series:
        known = by_slot.only(column.is_not_null().to_numpy())
        values = column.cast(self._type).fill_null(0).to_numpy()[known.order]
        many = known.lengths >= _MANY
        if many.all():
            means = self._by_polars(values, known.owners, known.lengths)
        elif not many.any():
            means = self._in_turn(values, known.owners, known.lengths)
        else:
            means = np.empty_like(values)
            for runs, walk in ((many, self._by_polars), (~many, self._in_turn)):
                rows = np.repeat(runs, known.lengths)
                means[rows] = walk(values[rows], known.owners[runs], known.lengths[runs])
        before = self._counts[known.owners]
        self._means[known.owners] = means[known.lasts]
        self._counts[known.owners] += known.lengths
        enough = np.repeat(before, known.lengths) + known.offsets >= self._least - 1
        return known_where(known.back(means), known.back(enough))

    def snapshot(self, slots: Array) -> list[pl.Series]:
        return [pl.Series(self._counts[slots]), pl.Series(self._means[slots])]

    def restore(self, columns: list[pl.Series], slots: Array) -> None:
        counts, means = (column.to_numpy() for column in columns)
        self._counts[slots], self._means[slots] = counts, means

    def _by_polars(self, values: Array, owners: Array, lengths: Array) -> Array:
        """Return the means of runs of values (values,); each run goes on from its owner's mean, if it has one."""
        earlier = self._counts[owners] > 0
        firsts = np.cumsum(lengths) - lengths
        going_on = np.insert(values, firsts[earlier], self._means[owners[earlier]])
        frame = pl.DataFrame({"x": going_on})
        if len(owners) > 1:
            runs = pl.Series("run", np.repeat(np.arange(len(owners)), lengths + earlier))
            means = frame.with_columns(runs).select(self._expr.over("run"))
        else:
            means = frame.select(self._expr)
        result: Array = means.to_series().to_numpy()
        return np.delete(result, firsts[earlier] + np.arange(np.count_nonzero(earlier)))

    @np.errstate(all="ignore")
    def _in_turn(self, values: Array, owners: Array, lengths: Array) -> Array:
        """Return the same as `_by_polars`, walking all runs side by side."""
        rounds = RoundRobin(lengths)
        means = np.empty_like(values)
        means[rounds.places] = values
        owners = owners[rounds.longest]
        now, new = self._means[owners], self._counts[owners] == 0
        for round_, (going, rows) in enumerate(rounds):
            now = now[:going]
            moved = now + (means[rows] - now) * self._share
            # Do not update an empty state: with an infinite value 0 * inf would give NaN.
            now = np.where(new, means[rows], moved) if round_ == 0 else moved
            means[rows] = now
        walked: Array = means[rounds.places]
        return walked
