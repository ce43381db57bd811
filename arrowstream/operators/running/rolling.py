"""Running functions over the last n rows of a key: rolling_sum, rolling_mean, rolling_min, rolling_max."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from arrowstream.operators.running.base import RunningFunction
from arrowstream.operators.running.rows_by_slot import RowsBySlot
from arrowstream.state.arrays import Array
from arrowstream.state.memory import StateMemory

_STEPS: dict[str, np.ufunc] = {"Sum": np.add, "Mean": np.add, "Min": np.minimum, "Max": np.maximum}
ROLLING = frozenset(_STEPS)


class Rolling(RunningFunction):
    """A function of each key's last `rows` rows, without nulls.

    The rows of a batch are laid out key by key, each after the `rows - 1` rows it had before. Windows are then put
    together from blocks of 1, 2, 4, ... rows (a sparse table: Bender and Farach-Colton, 2000), log2(rows) vector
    operations in all. A window's value depends on its own rows alone. Polars adds entering values and
    subtracts leaving ones, so for floats its rounding depends on all earlier rows: the last digits differ.

    The state of each slot is its last `rows - 1` values and a mask of those not null (slots, rows - 1), the oldest
    first.
    """

    __slots__ = ("_least", "_mean", "_memory", "_rows", "_seen", "_step", "_type", "_values")

    def __init__(self, memory: StateMemory, function: str, rows: int, least: int, dtype: pl.DataType) -> None:
        self._memory = memory
        self._step = _STEPS[function]
        self._mean = function == "Mean"
        self._rows = rows
        self._least = least
        self._type = dtype
        kind = np.float64 if dtype.is_float() else pl.Series(dtype=dtype).to_physical().to_numpy().dtype
        self._values = memory.array((0, rows - 1), kind)
        self._seen = memory.array((0, rows - 1), np.bool_)

    def begin(self, fresh: Array, capacity: int) -> None:
        self._values = self._memory.longer(self._values, capacity, 0)
        self._seen = self._memory.longer(self._seen, capacity, False)
        self._seen[fresh] = False

    @np.errstate(all="ignore")
    def run(self, column: pl.Series, by_slot: RowsBySlot) -> pl.Series:
        before = self._rows - 1
        valid = column.is_not_null().to_numpy()[by_slot.order]
        physical = column.cast(self._type).to_physical().fill_null(strategy="zero")
        ordered = physical.to_numpy()[by_slot.order]
        places = np.arange(len(ordered)) + (by_slot.runs + 1) * before
        pasts = (by_slot.begins + np.arange(len(by_slot.begins)) * before)[:, None] + np.arange(before)
        values = np.zeros(len(ordered) + before * len(by_slot.begins), self._values.dtype)
        seen = np.zeros(len(values), np.bool_)
        values[pasts], seen[pasts] = self._values[by_slot.owners], self._seen[by_slot.owners]
        values[places], seen[places] = ordered, valid
        counts = self._windows(np.add, seen.astype(np.int64))[places]
        result = self._results(values, seen, places, counts)
        # The rows kept for the next batch are the last ones of each key.
        kept = (by_slot.begins + by_slot.lengths + np.arange(len(by_slot.begins)) * before)[
            :, None
        ] + np.arange(before)
        self._values[by_slot.owners], self._seen[by_slot.owners] = values[kept], seen[kept]
        enough = pl.Series(by_slot.back(counts >= self._least))
        found = pl.Series(by_slot.back(result)).cast(self._type)
        return pl.select(pl.when(enough).then(found)).to_series()

    def snapshot(self, slots: Array) -> list[pl.Series]:
        return [
            pl.select(
                pl.when(pl.Series(self._seen[slots, place])).then(pl.Series(self._values[slots, place]))
            ).to_series()
            for place in range(self._rows - 1)
        ]

    def restore(self, columns: list[pl.Series], slots: Array) -> None:
        for place, column in enumerate(columns):
            self._values[slots, place] = column.fill_null(strategy="zero").to_numpy()
            self._seen[slots, place] = column.is_not_null().to_numpy()

    def _results(self, values: Array, seen: Array, places: Array, counts: Array) -> Array:
        """Return the results of the windows that end at `places`; arbitrary where a window has too few values."""
        result = self._windows(self._step, np.where(seen, values, self._neutral()))[places]
        return result / counts if self._mean else result

    def _neutral(self) -> Any:
        """Return the neutral value of the step; a window of nulls only is null, as `least` is at least 1."""
        if self._step is np.add:
            return 0
        kind = self._values.dtype
        largest = np.inf if kind.kind == "f" else np.iinfo(kind).max
        smallest = -np.inf if kind.kind == "f" else np.iinfo(kind).min
        return largest if self._step is np.minimum else smallest

    def _windows(self, step: np.ufunc, values: Array) -> Array:
        """Return for each place the result of the window that ends there; meaningless where it crosses keys."""
        result: Array | None = None
        blocks, size, done = values, 1, 0
        while True:
            if self._rows & size:
                shifted = _later(blocks, done)
                result = shifted if result is None else step(shifted, result)
                done += size
            if 2 * size > self._rows:
                assert result is not None
                return result
            blocks = step(_later(blocks, size), blocks)
            size *= 2


def _later(values: Array, count: int) -> Array:
    """Return each value `count` places later; the first `count` values stay and are not used."""
    return values if not count else np.concatenate([values[:count], values[:-count]])
