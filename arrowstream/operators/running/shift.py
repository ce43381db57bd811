"""Running functions that look back to earlier rows of a key: shift, diff, pct_change; for any type."""

from __future__ import annotations

import numpy as np
import polars as pl

from arrowstream.operators.running.base import RunningFunction, index
from arrowstream.operators.running.rows_by_slot import RowsBySlot
from arrowstream.state.arrays import Array
from arrowstream.state.memory import StateMemory
from arrowstream.state.value_log import ValueLog, either


class RowsBefore(RunningFunction):
    """The value `count` rows before in the same key; where the key has no such row, `fill` or null.

    The state of each slot is the numbers of its last `count` rows in a log of values, the oldest first, -1 for none
    (slots, count), int64. A batch adds to the log the values that later batches may need; other values are swept
    out once they outnumber those.
    """

    __slots__ = ("_count", "_fill", "_log", "_memory", "_numbers")

    def __init__(
        self, memory: StateMemory, count: int, dtype: pl.DataType, fill: pl.Series | None = None
    ) -> None:
        self._memory = memory
        self._count = count
        self._fill = fill
        self._log = ValueLog(dtype, memory)
        self._numbers = memory.array((0, count), np.int64)

    def begin(self, fresh: Array, capacity: int) -> None:
        self._numbers = self._memory.longer(self._numbers, capacity, -1)
        self._numbers[fresh] = -1

    def run(self, column: pl.Series, by_slot: RowsBySlot) -> pl.Series:
        count, known = self._count, len(self._log)
        # The row at a place with `offset` rows before it in the batch looks `count - offset` rows into the past.
        offsets, places = by_slot.offsets, np.arange(len(column))
        inside = offsets >= count
        past = np.full(len(column), -1, np.int64)
        past[~inside] = self._numbers[by_slot.slots[by_slot.order[~inside]], offsets[~inside]]
        here = np.full(len(column), -1, np.int64)
        here[inside] = by_slot.order[places[inside] - count]
        result = either(column.gather(index(by_slot.back(here))), self._log.take(by_slot.back(past)))
        if self._fill is not None:
            result = result.zip_with(pl.Series(by_slot.back((here >= 0) | (past >= 0))), self._fill)
        # Of every run the last `count` rows are kept.
        ends = np.repeat(by_slot.lengths, by_slot.lengths) - offsets
        kept = np.flatnonzero(ends <= count)
        self._log.add(column.gather(pl.Series(by_slot.order[kept])))
        numbers = np.full(len(column), -1, np.int64)
        numbers[kept] = np.arange(known, known + len(kept))
        self._push(by_slot, numbers)
        self._log.sweep(self._numbers)
        return result

    def snapshot(self, slots: Array) -> list[pl.Series]:
        numbers = self._numbers[slots]
        rows = [self._log.take(numbers[:, place]) for place in range(self._count)]
        # A row that holds null differs from a missing row.
        return [*rows, pl.Series((numbers < 0).sum(1))]

    def restore(self, columns: list[pl.Series], slots: Array) -> None:
        *rows, missing = columns
        for place, column in enumerate(rows):
            known = len(self._log)
            self._log.add(column)
            is_there = place >= missing.to_numpy()
            self._numbers[slots, place] = np.where(is_there, np.arange(known, len(self._log)), -1)

    def _push(self, by_slot: RowsBySlot, numbers: Array) -> None:
        """Update the numbers of each slot from `numbers` (places,), int64, -1 for rows that are not kept."""
        before = self._numbers[by_slot.owners]
        rank = np.arange(self._count)
        from_end = by_slot.lengths[:, None] - self._count + rank
        is_new = from_end >= 0
        new = numbers[np.where(is_new, by_slot.begins[:, None] + from_end, 0)]
        old = np.take_along_axis(
            before,
            np.where(is_new, 0, rank + np.minimum(by_slot.lengths, self._count)[:, None]) % self._count,
            1,
        )
        self._numbers[by_slot.owners] = np.where(is_new, new, old)


class Diff(RunningFunction):
    """A row's value minus that of `count` rows before, divided by the latter if `relative`."""

    __slots__ = ("_before", "_relative", "_type")

    def __init__(
        self, memory: StateMemory, count: int, dtype: pl.DataType, result: pl.DataType, relative: bool
    ) -> None:
        self._before = RowsBefore(memory, count, dtype)
        self._relative = relative
        self._type = result

    def begin(self, fresh: Array, capacity: int) -> None:
        self._before.begin(fresh, capacity)

    def run(self, column: pl.Series, by_slot: RowsBySlot) -> pl.Series:
        before = self._before.run(column, by_slot)
        if self._type.is_numeric():
            column, before = column.cast(self._type), before.cast(self._type)
        return (column - before) / before if self._relative else column - before

    def snapshot(self, slots: Array) -> list[pl.Series]:
        return self._before.snapshot(slots)

    def restore(self, columns: list[pl.Series], slots: Array) -> None:
        self._before.restore(columns, slots)
