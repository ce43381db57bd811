"""A row of state for each slot, read and replaced a batch at a time."""

from __future__ import annotations

import numpy as np
import polars as pl

from arrowstream.core.rows.frame_of import frame_of
from arrowstream.core.rows.number_types import NUMBERS, TIMES
from arrowstream.state.arrays import Array
from arrowstream.state.memory import StateMemory
from arrowstream.state.row_log import RowLog

SLOT = "__slot__"
"""The column of slots, or of indices of slots, in frames of state."""

_LEAST = 1024
"""The initial number of slots of an array."""

_PLAIN = NUMBERS | TIMES | {pl.Boolean}
"""Types whose values numpy can hold and replace in place."""


class SlotStore:
    """Rows by slot.

    Numbers, times and Booleans are kept in arrays by slot, other columns in a log of rows. Either way a batch costs
    its own rows and an amortised share of growing the arrays.

    Parameters
    ----------
    memory
        The memory that holds the rows.
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
        """Return whether each of `slots` (int64) has a row, as bool."""
        self._reach(slots)
        result: Array = self._has[slots]
        return result

    def get(self, slots: Array) -> pl.DataFrame:
        """Return the rows of `slots` (int64), at least one, in this order; each slot must have a row."""
        assert self._schema is not None
        columns = {name: self._plain(name, slots) for name in self._values}
        if self._log is not None:
            columns |= {column.name: column for column in self._log.get(slots)}
        return frame_of(columns[name] for name in self._schema)

    def put(self, slots: Array, rows: pl.DataFrame) -> None:
        """Set the rows of distinct `slots` (rows,), int64."""
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
        """Delete the rows of `slots` (int64)."""
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
    """The distinct slots of a batch in order of first appearance, found with an array by slot instead of sorting.

    Parameters
    ----------
    memory
        The memory that holds the array.
    """

    def __init__(self, memory: StateMemory) -> None:
        self._memory = memory
        # It holds row numbers of a batch, for which 32 bits are enough.
        self._scratch = memory.array((_LEAST,), np.int32)

    @property
    def capacity(self) -> int:
        """The number of slots that the array has room for before it grows."""
        return len(self._scratch)

    def firsts(self, slots: Array) -> Array:
        """Return the first row of each distinct slot of `slots` (rows,), int64, in row order."""
        self._scratch = self._memory.longer(self._scratch, int(slots.max(initial=-1)) + 1)
        rows = np.arange(len(slots), dtype=np.int32)
        # Of several values for one place numpy keeps the last; written in reverse, the first row wins.
        self._scratch[slots[::-1]] = rows[::-1]
        return np.flatnonzero(self._scratch.take(slots) == rows)

    def of(self, slots: Array) -> tuple[Array, Array]:
        """Return `firsts`, and for each row the index of its slot among them (rows,), int64."""
        firsts = self.firsts(slots)
        self._scratch[slots[firsts]] = np.arange(len(firsts), dtype=np.int32)
        which: Array = self._scratch.take(slots)
        return firsts, which.astype(np.int64)
