"""Values of any type that running functions look back to, numbered as they come."""

from __future__ import annotations

import numpy as np
import polars as pl

from arrowstream.operators.key_store import join_runs
from arrowstream.operators.key_table import Array
from arrowstream.operators.scan_running import index

_SPARE = 1024
"""So many values that nobody asks for any more are kept at least before they are swept out."""


class ValueLog:
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
        self._runs.append(values.cast(self._runs[0].dtype))
        join_runs(self._runs)

    def take(self, numbers: Array) -> pl.Series:
        """The values of these numbers, null for -1."""
        return pl.concat(self._runs, rechunk=False).gather(index(numbers))

    def sweep(self, numbers: Array) -> None:
        """Once these are less than half of all, keep only them; they are numbered anew, in place. -1 is none."""
        if len(self) > 2 * numbers.size + _SPARE:
            held = np.nonzero(numbers >= 0)
            self._runs = [self.take(numbers[held])]
            numbers[held] = np.arange(len(held[0]))


def either(here: pl.Series, past: pl.Series) -> pl.Series:
    """The value of the batch or else that of the log: at each row at most one of them was asked for."""
    return pl.select(pl.coalesce(here, past)).to_series()
