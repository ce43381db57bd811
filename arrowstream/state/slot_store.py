"""A row of state for each slot number, read and replaced a batch at a time."""

from __future__ import annotations

import numpy as np
import polars as pl

from arrowstream.core.rows.number_types import NUMBERS, TIMES
from arrowstream.state.arrays import Array
from arrowstream.state.memory import StateMemory
from arrowstream.state.row_log import RowLog

SLOT = "__slot__"

_LEAST = 1024

_PLAIN = NUMBERS | TIMES | {pl.Boolean}
"""Types whose values numpy can hold and replace in place."""


class SlotStore:
    """Numbers, times and truth values lie in arrays by slot; columns of any other type in a log of rows.

    Either way a batch costs what it has itself, and its share of doubling what has grown.
    """

    def __init__(self, memory: StateMemory) -> None:
        self._memory = memory
        self._has = memory.array((_LEAST,), np.bool_)
        self._schema: pl.Schema | None = None
        self._values: dict[str, Array] = {}
        self._valid: dict[str, Array] = {}
        self._log: RowLog | None = None
        self._logged: list[str] = []

    def has(self, slots: Array) -> Array:
        """Whether each slot has a row."""
        self._reach(slots)
        result: Array = self._has[slots]
        return result

    def get(self, slots: Array) -> pl.DataFrame:
        """The rows of slots that have one, at least one of them, in this order."""
        assert self._schema is not None
        columns = {name: self._plain(name, slots) for name in self._values}
        if self._log is not None:
            columns |= {column.name: column for column in self._log.get(slots)}
        return pl.DataFrame([columns[name] for name in self._schema])

    def put(self, slots: Array, rows: pl.DataFrame) -> None:
        """Give each slot, none twice, its row."""
        if self._schema is None:
            self._begin(rows)
        self._reach(slots)
        self._has[slots] = True
        for name, values in self._values.items():
            column = rows[name].to_physical()
            if column.null_count():
                self._valid[name][slots] = column.is_not_null().to_numpy()
                column = column.fill_null(False if column.dtype == pl.Boolean else 0)
            else:
                self._valid[name][slots] = True
            values[slots] = column.to_numpy()
        if self._log is not None:
            self._log.put(slots, rows.select(self._logged), self._has)

    def drop(self, slots: Array) -> None:
        """Take the rows of slots away."""
        self._reach(slots)
        self._has[slots] = False

    def _plain(self, name: str, slots: Array) -> pl.Series:
        assert self._schema is not None
        column = pl.Series(name, self._values[name][slots]).cast(self._schema[name])
        valid = self._valid[name][slots]
        if valid.all():
            return column
        return column.to_frame().select(pl.when(pl.lit(pl.Series(valid))).then(pl.col(name))).to_series()

    def _begin(self, rows: pl.DataFrame) -> None:
        self._schema = rows.schema
        for name, dtype in rows.schema.items():
            if dtype.base_type() in _PLAIN:
                kind = rows[name].clear().to_physical().to_numpy().dtype
                self._values[name] = self._memory.array(self._has.shape, kind)
                self._valid[name] = self._memory.array(self._has.shape, np.bool_)
            else:
                self._logged.append(name)
        if self._logged:
            self._log = RowLog(rows.select(self._logged).schema, self._memory)

    def _reach(self, slots: Array) -> None:
        needed = int(slots.max(initial=-1)) + 1
        self._has = self._memory.longer(self._has, needed)
        for arrays in (self._values, self._valid):
            for name, array in arrays.items():
                arrays[name] = self._memory.longer(array, len(self._has))


class Touched:
    """Which slots a batch names, in the order in which they first come; keeps an array to be quick at it."""

    def __init__(self, memory: StateMemory) -> None:
        self._memory = memory
        # Rows of a batch: 32 bits are enough, and lie closer together.
        self._scratch = memory.array((_LEAST,), np.int32)

    @property
    def capacity(self) -> int:
        """One more than the highest slot that may come before the array grows."""
        return len(self._scratch)

    def firsts(self, slots: Array) -> Array:
        """The rows that are the first of their slot."""
        self._scratch = self._memory.longer(self._scratch, int(slots.max(initial=-1)) + 1)
        rows = np.arange(len(slots), dtype=np.int32)
        # Of several values for one place numpy keeps the last: backwards, so that the first row wins.
        self._scratch[slots[::-1]] = rows[::-1]
        return np.flatnonzero(self._scratch.take(slots) == rows)

    def of(self, slots: Array) -> tuple[Array, Array]:
        """The same, and for each row which of these slots it has."""
        firsts = self.firsts(slots)
        self._scratch[slots[firsts]] = np.arange(len(firsts), dtype=np.int32)
        which: Array = self._scratch.take(slots)
        return firsts, which.astype(np.int64)
