"""A row of state, of any types, for each slot number: read and replaced a batch at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

Array = np.ndarray[Any, np.dtype[Any]]

SLOT = "__slot__"

_RATIO = 8
"""Up to 8 chunks Polars gathers from a chunked column as it is; from more it would first copy the whole column."""

_WASTE = 2
"""The rows are written anew once there are so many times more of them than slots, and some more for few slots."""
_SPARE = 65_536


class SlotStore:
    """Rows are only ever appended, and an array tells where the last one of each slot is.

    Old rows are left behind until they are half of all; then the living ones are copied. So a batch costs what
    it has itself, however many slots there are.
    """

    def __init__(self) -> None:
        self._places: Array = np.full(1024, -1, np.int64)
        self._runs: list[pl.DataFrame] = []
        self._rows = 0
        self._living = 0

    def has(self, slots: Array) -> Array:
        """Whether each slot has a row."""
        self._reach(slots)
        result: Array = self._places[slots] >= 0
        return result

    def get(self, slots: Array) -> pl.DataFrame:
        """The rows of slots that have one, at least one of them, in this order."""
        places = pl.Series(self._places[slots].astype(np.uint32))
        return pl.concat(self._runs, rechunk=False)[places]

    def put(self, slots: Array, rows: pl.DataFrame) -> None:
        """Give each slot, none twice, its row."""
        self._reach(slots)
        self._living += len(slots) - int(np.count_nonzero(self._places[slots] >= 0))
        self._places[slots] = np.arange(self._rows, self._rows + len(slots))
        self._rows += len(slots)
        runs = self._runs
        runs.append(rows)
        while len(runs) > 1 and runs[-2].height < _RATIO * runs[-1].height:
            last, before = runs.pop(), runs.pop()
            runs.append(pl.concat([before, last]).rechunk())
        if self._rows > _WASTE * self._living + _SPARE:
            living = self.slots()
            self._runs = [self.get(living)]
            self._places[living] = np.arange(len(living))
            self._rows = len(living)

    def drop(self, slots: Array) -> None:
        """Take the rows of slots, none twice, away."""
        self._living -= int(np.count_nonzero(self.has(slots)))
        self._places[slots] = -1

    def slots(self) -> Array:
        """All slots that have a row."""
        return np.flatnonzero(self._places >= 0)

    def _reach(self, slots: Array) -> None:
        needed = int(slots.max(initial=-1)) + 1
        if needed > len(self._places):
            more = np.full(max(needed, 2 * len(self._places)) - len(self._places), -1, np.int64)
            self._places = np.concatenate([self._places, more])


class Touched:
    """Which slots a batch names, in the order in which they first come; keeps an array to be quick at it."""

    def __init__(self) -> None:
        self._scratch: Array = np.empty(1024, np.int64)

    def of(self, slots: Array) -> tuple[Array, Array]:
        """The different slots, and for each row which of them it has."""
        needed = int(slots.max(initial=-1)) + 1
        if needed > len(self._scratch):
            self._scratch = np.empty(max(needed, 2 * len(self._scratch)), np.int64)
        rows = np.arange(len(slots))
        # Of several values for one place numpy keeps the last: backwards, so that the first row wins.
        self._scratch[slots[::-1]] = rows[::-1]
        different = slots[self._scratch[slots] == rows]
        self._scratch[different] = np.arange(len(different))
        return different, self._scratch[slots]
