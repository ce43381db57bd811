"""Running sums and extremes of decimals, which numpy has no type for."""

from __future__ import annotations

import numpy as np
import polars as pl

from arrowstream.operators.running.base import RunningFunction
from arrowstream.operators.running.rows_by_slot import RowsBySlot
from arrowstream.state.arrays import Array
from arrowstream.state.memory import StateMemory
from arrowstream.state.value_log import ValueLog

_FUNCTIONS = {"CumSum": pl.Expr.cum_sum, "CumMin": pl.Expr.cum_min, "CumMax": pl.Expr.cum_max}
RESUMED = frozenset(_FUNCTIONS)


class Resumed(RunningFunction):
    """A running total by Polars itself: each key's last total goes before its rows, as a first value.

    The state is the number of each slot's total in a log of values, -1 for none (slots,), int64.
    """

    __slots__ = ("_expr", "_last", "_log", "_memory", "_type")

    def __init__(self, memory: StateMemory, function: str, dtype: pl.DataType) -> None:
        self._memory = memory
        self._expr = _FUNCTIONS[function](pl.col("x")).over("slot")
        self._type = dtype
        self._log = ValueLog(dtype, memory)
        self._last = memory.array((0,), np.int64)

    def begin(self, fresh: Array, capacity: int) -> None:
        self._last = self._memory.longer(self._last, capacity, -1)
        self._last[fresh] = -1

    def run(self, column: pl.Series, by_slot: RowsBySlot) -> pl.Series:
        owners = by_slot.owners
        totals = pl.DataFrame({"slot": owners, "x": self._log.take(self._last[owners])})
        rows = pl.DataFrame({"slot": by_slot.slots, "x": column.cast(self._type)})
        result = pl.concat([totals, rows]).select(self._expr).to_series().slice(len(owners))
        known = by_slot.only(column.is_not_null().to_numpy())
        before = len(self._log)
        self._log.add(result.gather(pl.Series(known.order[known.lasts])))
        self._last[known.owners] = np.arange(before, len(self._log))
        self._log.sweep(self._last)
        return result

    def snapshot(self, slots: Array) -> list[pl.Series]:
        return [self._log.take(self._last[slots])]

    def restore(self, columns: list[pl.Series], slots: Array) -> None:
        known = len(self._log)
        self._log.add(columns[0])
        self._last[slots] = np.arange(known, len(self._log))
