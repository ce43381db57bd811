"""A row of any types for each slot, kept in an append-only log."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from arrowstream.state.arrays import Array
from arrowstream.state.frame_log import FrameLog, LogStatistics
from arrowstream.state.memory import PIECE, StateMemory

_WASTE = 2
"""Living rows are copied once the log has more than `_WASTE` times as many rows, and `_SPARE` rows more."""
_SPARE = 65_536
_SPARE_BYTES = 1 << 25
"""The slack in bytes: a few rows may hold lists that grow with every batch."""


class RowLog:
    """The last row of each slot, in a log of rows.

    For each slot the number of its last row is kept (slots,), int64, -1 for none. Replaced rows stay in the log until
    they are about half of it. So a batch costs its own rows and a share of copying the living rows now and then,
    however many slots there are.

    Parameters
    ----------
    schema
        The schema of the rows.
    memory
        The memory that holds numbers and rows.
    """

    def __init__(self, schema: pl.Schema, memory: StateMemory) -> None:
        self._memory = memory
        self._places = memory.array((0,), np.int64)
        self._log = FrameLog(schema, memory)
        self._living_bytes = 0
        """The bytes of the living rows when they were last copied."""

    def statistics(self) -> LogStatistics:
        """Return the sizes of the log."""
        return self._log.statistics()

    def get(self, slots: Array) -> pl.DataFrame:
        """Return the rows of `slots` (int64), at least one, in this order; each slot must have a row."""
        return self._log.gather(self._places[slots])

    def put(self, slots: Array, rows: pl.DataFrame, living: Array) -> None:
        """Set the rows of slots.

        Parameters
        ----------
        slots
            Distinct slots (rows,), int64.
        rows
            Their rows.
        living
            Whether the row of each slot must be kept (slots,), bool.
        """
        self._places = self._memory.longer(self._places, len(living), -1)
        first = self._log.stop
        self._log.append(rows)
        self._places[slots] = np.arange(first, first + len(slots))
        if self._wastes(int(np.count_nonzero(living))):
            self._log.keep(self._renumbered(living))
            self._living_bytes = self._log.nbytes

    def _wastes(self, living: int) -> bool:
        """Return whether replaced rows take so much that the living rows should be copied."""
        if self._log.stop > _WASTE * living + _SPARE:
            return True
        too_large = self._log.nbytes > _WASTE * self._living_bytes + _SPARE_BYTES
        return self._log.stop > living and (too_large or self._memory.is_full)

    def _renumbered(self, living: Array) -> Iterator[Array]:
        """Yield the row numbers of living slots in pieces, and renumber these rows from 0."""
        count = 0
        for start in range(0, len(living), PIECE):
            slots = start + np.flatnonzero(living[start : start + PIECE])
            yield self._places[slots]
            self._places[slots] = np.arange(count, count + len(slots))
            count += len(slots)
