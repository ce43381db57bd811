"""Rows of any types for each slot number, only ever appended."""

from __future__ import annotations

import numpy as np
import polars as pl

from arrowstream.operators.key_store import join_runs
from arrowstream.operators.key_table import Array

_WASTE = 2
"""The rows are written anew once there are so many times more of them than slots, and some more for few slots."""
_SPARE = 65_536


class RowLog:
    """An array tells where the last row of each slot is; old rows are left behind until they are half of all.

    So a batch costs what it has itself, and its share of copying the living rows now and then, however
    many slots there are.
    """

    def __init__(self) -> None:
        self._places: Array = np.full(0, -1, np.int64)
        self._runs: list[pl.DataFrame] = []
        self._rows = 0

    def get(self, slots: Array) -> pl.DataFrame:
        """The rows of slots that have one, at least one of them, in this order."""
        places = pl.Series(self._places[slots].astype(np.uint32))
        return pl.concat(self._runs, rechunk=False)[places]

    def put(self, slots: Array, rows: pl.DataFrame, living: Array) -> None:
        """Give each slot, none twice, its row; `living` tells by slot which ones are to be kept."""
        if len(living) > len(self._places):
            more = np.full(len(living) - len(self._places), -1, np.int64)
            self._places = np.concatenate([self._places, more])
        self._places[slots] = np.arange(self._rows, self._rows + len(slots))
        self._rows += len(slots)
        self._runs.append(rows)
        join_runs(self._runs)
        if self._rows > _WASTE * np.count_nonzero(living) + _SPARE:
            kept = np.flatnonzero(living)
            self._runs = [self.get(kept)]
            self._places[kept] = np.arange(len(kept))
            self._rows = len(kept)
