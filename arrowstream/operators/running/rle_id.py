"""Numbers of runs of equal values: rle_id."""

from __future__ import annotations

import polars as pl

from arrowstream.operators.running.base import RunningFunction, counted
from arrowstream.operators.running.cumulative import Cumulative
from arrowstream.operators.running.rows_by_slot import RowsBySlot
from arrowstream.operators.running.shift import RowsBefore
from arrowstream.state.arrays import Array
from arrowstream.state.memory import StateMemory


class RunIds(RunningFunction):
    """The number of changes of a key's value so far; null counts as a value."""

    __slots__ = ("_before", "_runs")

    def __init__(self, memory: StateMemory, dtype: pl.DataType) -> None:
        self._before = RowsBefore(memory, 1, dtype)
        self._runs = Cumulative(memory, "CumSum", pl.Int64())

    def begin(self, fresh: Array, capacity: int) -> None:
        self._before.begin(fresh, capacity)
        self._runs.begin(fresh, capacity)

    def run(self, column: pl.Series, by_slot: RowsBySlot) -> pl.Series:
        begins = column.ne_missing(self._before.run(column, by_slot)).to_numpy(writable=True)
        new = self._runs.totals(by_slot.owners) == 0
        begins[by_slot.order[by_slot.begins[new]]] = True
        ids = self._runs.run(pl.Series(begins), by_slot) - 1
        return counted(
            ids.to_numpy(), "count in 64 bits: pl.col(...).ne_missing(...shift(1)).cast(pl.Int64).cum_sum()"
        )

    def snapshot(self, slots: Array) -> list[pl.Series]:
        return [*self._runs.snapshot(slots), *self._before.snapshot(slots)]

    def restore(self, columns: list[pl.Series], slots: Array) -> None:
        self._runs.restore(columns[:1], slots)
        self._before.restore(columns[1:], slots)
