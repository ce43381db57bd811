"""Values of any type that running functions look back to, numbered as they come."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from arrowstream.state.arrays import Array
from arrowstream.state.frame_log import FrameLog, LogStatistics
from arrowstream.state.memory import PIECE, StateMemory

_SPARE = 1024
"""Values not asked for any more that are kept at least before they are swept out."""


class ValueLog:
    """Values of any one type, numbered as they are added; those no longer asked for are swept out in time."""

    __slots__ = ("_log", "_memory", "_type")

    def __init__(self, dtype: pl.DataType, memory: StateMemory) -> None:
        self._type = dtype
        self._memory = memory
        self._log = FrameLog(pl.Schema({"value": dtype}), memory)

    def __len__(self) -> int:
        return self._log.stop

    def statistics(self) -> LogStatistics:
        """What is held now."""
        return self._log.statistics()

    def add(self, values: pl.Series) -> None:
        """Number these on."""
        if len(values):
            self._log.append(values.cast(self._type).alias("value").to_frame())

    def take(self, numbers: Array) -> pl.Series:
        """The values of these numbers, null for -1."""
        return self._log.gather(numbers).to_series()

    def sweep(self, numbers: Array) -> None:
        """Once these are less than half of all, keep only them, and renumber them in place; -1 is none.

        Where memory is full, others are not kept at all.
        """
        if len(self) > 2 * numbers.size + _SPARE or (
            self._memory.is_full and len(self) > np.count_nonzero(numbers >= 0)
        ):
            self._log.keep(_renumbered(numbers))


def _renumbered(numbers: Array) -> Iterator[Array]:
    """Numbers piece by piece; each is then where it came in this order."""
    count = 0
    for start in range(0, len(numbers), PIECE):
        piece = numbers[start : start + PIECE]
        held = np.nonzero(piece >= 0)
        yield piece[held]
        piece[held] = np.arange(count, count + len(held[0]))
        count += len(held[0])


def either(here: pl.Series, past: pl.Series) -> pl.Series:
    """The value of the batch or else that of the log: at each row at most one of them was asked for."""
    return pl.select(pl.coalesce(here, past)).to_series()
