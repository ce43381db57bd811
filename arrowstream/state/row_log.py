"""Rows of any types for each slot number, only ever appended."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from arrowstream.state.arrays import Array
from arrowstream.state.frame_log import FrameLog, LogStatistics
from arrowstream.state.memory import PIECE, StateMemory

_WASTE = 2
"""The rows are copied once they are this many times as many as the slots, and `_SPARE` more."""
_SPARE = 65_536
_SPARE_BYTES = 1 << 25
"""The same for bytes: a few rows may be lists that grow with every batch."""


class RowLog:
    """For each slot the number of its last row in a log, -1 for none (slots,), int64.

    Replaced rows stay in the log until they are half of all. So a batch costs what it has itself, and its share of
    copying the living rows now and then, however many slots there are.
    """

    def __init__(self, schema: pl.Schema, memory: StateMemory) -> None:
        self._memory = memory
        self._places = memory.array((0,), np.int64)
        self._log = FrameLog(schema, memory)
        self._living_bytes = 0
        """The bytes of the rows when they were last copied."""

    def statistics(self) -> LogStatistics:
        """What is held now."""
        return self._log.statistics()

    def get(self, slots: Array) -> pl.DataFrame:
        """The rows of slots that have one, at least one of them, in this order."""
        return self._log.gather(self._places[slots])

    def put(self, slots: Array, rows: pl.DataFrame, living: Array) -> None:
        """Give each slot, none twice, its row; `living` says by slot (bool) which ones are to be kept."""
        self._places = self._memory.longer(self._places, len(living), -1)
        first = self._log.stop
        self._log.append(rows)
        self._places[slots] = np.arange(first, first + len(slots))
        if self._wastes(int(np.count_nonzero(living))):
            self._log.keep(self._renumbered(living))
            self._living_bytes = self._log.nbytes

    def _wastes(self, living: int) -> bool:
        """Whether it is time to copy the rows of the living slots."""
        if self._log.stop > _WASTE * living + _SPARE:
            return True
        too_large = self._log.nbytes > _WASTE * self._living_bytes + _SPARE_BYTES
        return self._log.stop > living and (too_large or self._memory.is_full)

    def _renumbered(self, living: Array) -> Iterator[Array]:
        """The numbers of the rows of living slots, which then have the numbers from 0 on."""
        count = 0
        for start in range(0, len(living), PIECE):
            slots = start + np.flatnonzero(living[start : start + PIECE])
            yield self._places[slots]
            self._places[slots] = np.arange(count, count + len(slots))
            count += len(slots)
