"""Running functions that look back to earlier rows of a key: shift, diff, forward_fill; for any type."""

from __future__ import annotations

import numpy as np
import polars as pl

from arrowstream.operators.key_store import RATIO
from arrowstream.operators.key_table import Array
from arrowstream.operators.scan_layout import Layout
from arrowstream.operators.scan_running import Running, grown, index

_SPARE = 1024
"""So many values that nobody asks for any more are kept at least before they are swept out."""


class RowLog:
    """Values of any one type, numbered as they are added; those no longer asked for are swept out in time."""

    __slots__ = ("_runs",)

    def __init__(self, dtype: pl.DataType) -> None:
        self._runs = [pl.Series(dtype=dtype)]

    def __len__(self) -> int:
        return sum(map(len, self._runs))

    def add(self, values: pl.Series) -> None:
        """Number these on.

        Runs are merged as in `KeyStore`, so that there are few and each value is copied seldom.
        """
        runs = self._runs
        runs.append(values.cast(runs[0].dtype))
        while len(runs) > 1 and len(runs[-2]) < RATIO * len(runs[-1]):
            last, before = runs.pop(), runs.pop()
            runs.append(pl.concat([before, last]).rechunk())

    def take(self, numbers: Array) -> pl.Series:
        """The values of these numbers, null for -1."""
        return pl.concat(self._runs, rechunk=False).gather(index(numbers))

    def sweep(self, numbers: Array) -> None:
        """Once these are less than half of all, keep only them; they are numbered anew, in place. -1 is none."""
        if len(self) > 2 * numbers.size + _SPARE:
            held = np.nonzero(numbers >= 0)
            self._runs = [self.take(numbers[held])]
            numbers[held] = np.arange(len(held[0]))


class RowsBefore(Running):
    """The value of the row `count` rows before in the same key, null where there is none.

    For each slot the numbers, in a log of values, of its last `count` rows. A batch adds to the log what
    the next ones may ask for; what nobody will ask for is swept out when it is more than what is kept.
    """

    __slots__ = ("_count", "_log", "_numbers")

    def __init__(self, count: int, dtype: pl.DataType) -> None:
        self._count = count
        self._log = RowLog(dtype)
        self._numbers = np.empty((0, count), np.int64)

    def begin(self, fresh: Array, capacity: int) -> None:
        self._numbers = grown(self._numbers, capacity, -1)
        self._numbers[fresh] = -1

    def run(self, column: pl.Series, layout: Layout) -> pl.Series:
        count, known = self._count, len(self._log)
        # The row at a place with `offset` rows before it in the batch looks `count - offset` rows into the past.
        offsets, places = layout.offsets, np.arange(len(column))
        inside = offsets >= count
        past = np.full(len(column), -1, np.int64)
        past[~inside] = self._numbers[layout.slots[layout.order[~inside]], offsets[~inside]]
        here = np.full(len(column), -1, np.int64)
        here[inside] = layout.order[places[inside] - count]
        result = either(column.gather(index(layout.back(here))), self._log.take(layout.back(past)))
        # Of every run the last `count` rows are kept.
        ends = np.repeat(layout.lengths, layout.lengths) - offsets
        kept = np.flatnonzero(ends <= count)
        self._log.add(column.gather(pl.Series(layout.order[kept])))
        numbers = np.full(len(column), -1, np.int64)
        numbers[kept] = np.arange(known, known + len(kept))
        self._push(layout, numbers)
        self._log.sweep(self._numbers)
        return result

    def snapshot(self, slots: Array) -> list[pl.Series]:
        return [self._log.take(self._numbers[slots, place]) for place in range(self._count)]

    def restore(self, columns: list[pl.Series], count: int) -> None:
        for column in columns:
            self._log.add(column)
        self._numbers = np.arange(count * self._count).reshape(self._count, count).T.copy()

    def _push(self, layout: Layout, numbers: Array) -> None:
        """The last numbers of each slot, from those before and those of this batch."""
        before = self._numbers[layout.owners]
        rank = np.arange(self._count)
        from_end = layout.lengths[:, None] - self._count + rank
        is_new = from_end >= 0
        new = numbers[np.where(is_new, layout.begins[:, None] + from_end, 0)]
        old = np.take_along_axis(
            before,
            np.where(is_new, 0, rank + np.minimum(layout.lengths, self._count)[:, None]) % self._count,
            1,
        )
        self._numbers[layout.owners] = np.where(is_new, new, old)


class Diff(Running):
    """A row's value less that of the row `count` rows before."""

    __slots__ = ("_before", "_type")

    def __init__(self, count: int, dtype: pl.DataType, result: pl.DataType) -> None:
        self._before = RowsBefore(count, dtype)
        self._type = result

    def begin(self, fresh: Array, capacity: int) -> None:
        self._before.begin(fresh, capacity)

    def run(self, column: pl.Series, layout: Layout) -> pl.Series:
        before = self._before.run(column, layout)
        if self._type.is_numeric():
            column, before = column.cast(self._type), before.cast(self._type)
        return column - before

    def snapshot(self, slots: Array) -> list[pl.Series]:
        return self._before.snapshot(slots)

    def restore(self, columns: list[pl.Series], count: int) -> None:
        self._before.restore(columns, count)


class Forward(Running):
    """A row's value, or the last one of its key that is not null."""

    __slots__ = ("_last", "_log")

    def __init__(self, dtype: pl.DataType) -> None:
        self._log = RowLog(dtype)
        self._last = np.empty(0, np.int64)

    def begin(self, fresh: Array, capacity: int) -> None:
        self._last = grown(self._last, capacity, -1)
        self._last[fresh] = -1

    def run(self, column: pl.Series, layout: Layout) -> pl.Series:
        valid = column.is_not_null().to_numpy()[layout.order]
        latest = np.maximum.accumulate(np.where(valid, np.arange(len(column)), -1))
        inside = latest >= layout.begins[layout.runs]
        here = np.where(inside, layout.order[latest], -1)
        past = np.where(inside, -1, self._last[layout.slots[layout.order]])
        result = either(column.gather(index(layout.back(here))), self._log.take(layout.back(past)))
        ends = here[layout.lasts]
        seen = ends >= 0
        known = len(self._log)
        self._log.add(column.gather(pl.Series(ends[seen])))
        self._last[layout.owners[seen]] = np.arange(known, len(self._log))
        self._log.sweep(self._last)
        return result

    def snapshot(self, slots: Array) -> list[pl.Series]:
        return [self._log.take(self._last[slots])]

    def restore(self, columns: list[pl.Series], count: int) -> None:
        self._log.add(columns[0])
        self._last = np.arange(count)


def either(here: pl.Series, past: pl.Series) -> pl.Series:
    """The value of the batch or else that of the log: at each row at most one of them was asked for."""
    return pl.select(pl.coalesce(here, past)).to_series()
