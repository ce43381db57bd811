"""A log of numbered values of any type, which running functions look back to."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from arrowstream.state.arrays import Array
from arrowstream.state.frame_log import FrameLog, LogStatistics
from arrowstream.state.memory import PIECE, StateMemory

_SPARE = 1024
"""The slack, in values: fewer unneeded values are never swept out."""


class ValueLog:
    """Values of one type, numbered from 0 as they are added; unneeded ones are swept out from time to time.

    Parameters
    ----------
    dtype
        The type of the values.
    memory
        The memory that holds them.
    """

    __slots__ = ("_log", "_memory", "_type")

    def __init__(self, dtype: pl.DataType, memory: StateMemory) -> None:
        self._type = dtype
        self._memory = memory
        self._log = FrameLog(pl.Schema({"value": dtype}), memory)

    def __len__(self) -> int:
        return self._log.stop

    def statistics(self) -> LogStatistics:
        """Return the sizes of the log."""
        return self._log.statistics()

    def add(self, values: pl.Series) -> None:
        """Append values; numbering continues from `len`."""
        if len(values):
            self._log.append(values.cast(self._type).alias("value").to_frame())

    def take(self, numbers: Array) -> pl.Series:
        """Return the values of `numbers` (int64); null for -1."""
        return self._log.gather(numbers).to_series()

    def sweep(self, numbers: Array) -> None:
        """Keep only the values of these numbers once they are less than half of all, or memory is full.

        Parameters
        ----------
        numbers
            The numbers still needed, int64, of any shape; -1 for none. Renumbered in place if values are swept out.
        """
        if len(self) > 2 * numbers.size + _SPARE or (
            self._memory.is_full and len(self) > np.count_nonzero(numbers >= 0)
        ):
            self._log.keep(_renumbered(numbers))


def _renumbered(numbers: Array) -> Iterator[Array]:
    """Yield the numbers in pieces without -1, and replace each number in place by its position in this order."""
    count = 0
    for start in range(0, len(numbers), PIECE):
        piece = numbers[start : start + PIECE]
        held = np.nonzero(piece >= 0)
        yield piece[held]
        piece[held] = np.arange(count, count + len(held[0]))
        count += len(held[0])


def either(here: pl.Series, past: pl.Series) -> pl.Series:
    """Return at each row the value of the batch, or else that of the log; at most one of them is not null."""
    return pl.select(pl.coalesce(here, past)).to_series()
