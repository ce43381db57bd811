"""The last value that is not null: forward_fill, for any type."""

from __future__ import annotations

import numpy as np
import polars as pl

from arrowstream.operators.running.base import RunningFunction, index
from arrowstream.operators.running.rows_by_slot import RowsBySlot
from arrowstream.state.arrays import Array
from arrowstream.state.memory import StateMemory
from arrowstream.state.value_log import ValueLog, either


class ForwardFill(RunningFunction):
    """A row's value, or the last one of its key that is not null and at most `limit` rows before.

    The state of each slot is the number of its last value in a log of values, -1 for none, and the rows since then,
    both (slots,), int64.
    """

    __slots__ = ("_ages", "_last", "_limit", "_log", "_memory")

    def __init__(self, memory: StateMemory, dtype: pl.DataType, limit: int | None) -> None:
        self._memory = memory
        self._limit = limit
        self._log = ValueLog(dtype, memory)
        self._last = memory.array((0,), np.int64)
        # The rows since the last value.
        self._ages = memory.array((0,), np.int64)

    def begin(self, fresh: Array, capacity: int) -> None:
        self._last = self._memory.longer(self._last, capacity, -1)
        self._ages = self._memory.longer(self._ages, capacity, 0)
        self._last[fresh] = -1

    def run(self, column: pl.Series, by_slot: RowsBySlot) -> pl.Series:
        places = np.arange(len(column))
        valid = column.is_not_null().to_numpy()[by_slot.order]
        latest = np.maximum.accumulate(np.where(valid, places, -1))
        inside = latest >= by_slot.begins[by_slot.runs]
        here = np.where(inside, by_slot.order[latest], -1)
        ordered = by_slot.slots[by_slot.order]
        past = np.where(inside, -1, self._last[ordered])
        ages = np.where(inside, places - latest, self._ages[ordered] + by_slot.offsets + 1)
        ends = here[by_slot.lasts]
        self._ages[by_slot.owners] = ages[by_slot.lasts]
        if self._limit is not None:
            too_old = ages > self._limit
            here[too_old] = past[too_old] = -1
        result = either(column.gather(index(by_slot.back(here))), self._log.take(by_slot.back(past)))
        seen = ends >= 0
        known = len(self._log)
        self._log.add(column.gather(pl.Series(ends[seen])))
        self._last[by_slot.owners[seen]] = np.arange(known, len(self._log))
        self._log.sweep(self._last)
        return result

    def snapshot(self, slots: Array) -> list[pl.Series]:
        return [self._log.take(self._last[slots]), pl.Series(self._ages[slots])]

    def restore(self, columns: list[pl.Series], slots: Array) -> None:
        known = len(self._log)
        self._log.add(columns[0])
        self._last[slots] = np.arange(known, len(self._log))
        self._ages[slots] = columns[1].to_numpy()
