"""Rows that wait for a version: until one of their key comes, or a time after which none can be theirs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from arrowstream.operators.joins.asof import END
from arrowstream.state.arrays import Array
from arrowstream.state.frame_log import FrameLog
from arrowstream.state.memory import PIECE, StateMemory

_LEAST_GONE = 65_536
"""Rows that have left before the others are numbered anew, which costs a copy of them."""


class PendingRows:
    """Rows by number, with time, slot and the tick from which on their version is known.

    Parameters
    ----------
    schema
        The schema of the rows.
    memory
        The memory that holds them.
    """

    __slots__ = ("_gone", "_known", "_log", "_memory", "_schema", "slots", "times")

    def __init__(self, schema: pl.Schema, memory: StateMemory) -> None:
        self._schema = schema
        self._memory = memory
        self._log = FrameLog(schema, memory)
        self._known = memory.array((0,), np.int64)
        """`END` as well for a row that has left."""
        self.times = memory.array((0,), np.int64)
        self.slots = memory.array((0,), np.int64)
        self._gone = 0

    def __len__(self) -> int:
        return self._log.stop - self._gone

    def append(self, rows: pl.DataFrame, times: Array, slots: Array, known: Array) -> None:
        """Add at least one row, with its time, its slot, and when its version is known (rows,), int64 each."""
        start, stop = self._log.stop, self._log.stop + rows.height
        self._log.append(rows)
        for name, values in {"times": times, "slots": slots, "_known": known}.items():
            array = self._memory.longer(getattr(self, name), stop)
            array[start:stop] = values
            setattr(self, name, array)

    def ready(self, newest: Array, final: int) -> Array:
        """Return the numbers of rows whose version may be known (rows,), int64.

        Parameters
        ----------
        newest
            The latest time of the versions of each slot (slots,), int64.
        final
            The tick before which no version comes any more.
        """
        stop = self._log.stop
        known = self._known[:stop] <= final
        if final < END:
            known |= newest[self.slots[:stop]] >= self.times[:stop]
        else:
            known[:] = True
        return np.flatnonzero(known & (self.times[:stop] != END))

    def rows(self, numbers: Array) -> pl.DataFrame:
        """Return the rows of these numbers (rows,), int64."""
        return self._log.gather(numbers)

    def leave(self, numbers: Array) -> None:
        """Let rows go."""
        self.times[numbers] = END
        self._known[numbers] = END
        self._gone += len(numbers)
        if self._gone > max(len(self), _LEAST_GONE) or not len(self):
            living = self.living()
            self._log.keep(living[at : at + PIECE] for at in range(0, len(living), PIECE))
            for name in ("times", "slots", "_known"):
                array = getattr(self, name)
                self._memory.let_go(array)
                kept = self._memory.longer(self._memory.array((0,), np.int64), len(living))
                kept[: len(living)] = array[living]
                setattr(self, name, kept)
            self._gone = 0

    def living(self) -> Array:
        """Return the numbers of all rows (rows,), int64."""
        return np.flatnonzero(self.times[: self._log.stop] != END)

    @property
    def first(self) -> int | None:
        """The earliest time of all rows; None without rows."""
        return int(self.times[: self._log.stop].min()) if len(self) else None

    def frames(self) -> Iterator[pl.DataFrame]:
        """Yield all rows."""
        living = self.living()
        for start in range(0, len(living), PIECE):
            yield self._log.gather(living[start : start + PIECE])
