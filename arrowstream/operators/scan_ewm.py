"""A running exponentially weighted mean."""

from __future__ import annotations

import numpy as np
import polars as pl

from arrowstream.operators.key_table import Array
from arrowstream.operators.scan_fold import Fold
from arrowstream.operators.scan_layout import Layout
from arrowstream.operators.scan_running import Running, grown


class EwmMean(Running):
    """`ewm_mean` with ``adjust=False`` and ``ignore_nulls=True``: the mean alone is its whole state.

    Polars itself goes on from there: each key's last mean goes before its rows as if it were a first value.
    With the other options the mean would also depend on a weight that no value in front can stand for.
    """

    __slots__ = ("_counts", "_expr", "_least", "_means", "_type")

    def __init__(self, alpha: float, least: int, dtype: pl.DataType) -> None:
        self._expr = pl.col("x").ewm_mean(alpha=alpha, adjust=False, min_samples=1, ignore_nulls=True)
        self._least = least
        self._type = dtype
        self._counts = Fold("CumCount", pl.UInt32())
        # NaN where there is none yet: a mean that is NaN itself is told from that by the count.
        self._means = np.empty(0, pl.Series(dtype=dtype).to_numpy().dtype)

    def begin(self, fresh: Array, capacity: int) -> None:
        self._means = grown(self._means, capacity, np.nan)
        self._counts.begin(fresh, capacity)

    def run(self, column: pl.Series, layout: Layout) -> pl.Series:
        earlier = layout.owners[self._counts.totals(layout.owners) > 0]
        before = pl.DataFrame({"slot": earlier, "x": self._means[earlier]})
        rows = pl.DataFrame({"slot": layout.slots, "x": column.cast(self._type)})
        means = pl.concat([before, rows]).select(self._expr.over("slot")).to_series().slice(before.height)
        counts = self._counts.run(column, layout)
        known = np.flatnonzero(column.is_not_null().to_numpy())
        # Of several values for one slot numpy keeps the last.
        self._means[layout.slots[known]] = means.to_numpy()[known]
        return pl.select(pl.when(column.is_not_null() & (counts >= self._least)).then(means)).to_series()

    def snapshot(self, slots: Array) -> list[pl.Series]:
        return [pl.Series(self._means[slots]), *self._counts.snapshot(slots)]

    def restore(self, columns: list[pl.Series], count: int) -> None:
        self._means = columns[0].to_numpy(writable=True)
        self._counts.restore(columns[1:], count)
