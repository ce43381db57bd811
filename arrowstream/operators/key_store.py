"""The keys themselves, in the order in which they came: a queue of frames that only grows and is merged lazily."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import polars as pl

from arrowstream.operators.key_table import Array

_Run = TypeVar("_Run", pl.DataFrame, pl.Series)

RATIO = 8
"""How much longer a run is than the one after it.

Up to 8 chunks Polars gathers from a chunked column as it is; from more it would first copy the whole column.
With this ratio a million keys have some 7 runs.
"""


class KeyStore:
    """Frames of keys, numbered from 0 in the order of appending; old ones can be dropped from the front.

    Appending costs O(log n) copies a key, amortised: a run is merged with the one before it once that is
    not 8 times as long (a log-structured merge of appended runs; O'Neil et al., 1996).
    """

    __slots__ = ("_columns", "_first", "_runs", "_schema")

    def __init__(self, schema: pl.Schema) -> None:
        self._schema = schema
        self._runs: list[pl.DataFrame] = []
        self._first = 0
        self._columns: list[pl.Series] = []

    @property
    def stop(self) -> int:
        """The number that the next key gets."""
        return self._first + sum(run.height for run in self._runs)

    def append(self, keys: pl.DataFrame, oldest: int) -> None:
        """Number these keys on; those before number `oldest` are not asked for any more."""
        runs = self._runs
        runs.append(keys)
        while runs and self._first + runs[0].height <= oldest:
            self._first += runs.pop(0).height
        while len(runs) > 1 and runs[-2].height < RATIO * runs[-1].height:
            last, before = runs.pop(), runs.pop()
            if not runs:
                # The longest run is copied anyway: leave out what is not needed any more.
                before = before.slice(oldest - self._first)
                self._first = oldest
            runs.append(pl.concat([before, last]).rechunk())
        self._columns = pl.concat(runs, rechunk=False).get_columns()

    def equal(self, numbers: Array, keys: pl.DataFrame) -> Array:
        """Whether each of `keys` is the key of its number."""
        return rows_equal(self._columns, numbers - self._first, keys)

    def frame(self, oldest: int) -> pl.DataFrame:
        """All keys from number `oldest` on."""
        if not self._runs:
            return pl.DataFrame(schema=self._schema)
        return pl.concat(self._runs).slice(oldest - self._first)


def join_runs(runs: list[_Run]) -> None:
    """Make the last run one with that before it, as long as this is not `RATIO` times as long."""
    while len(runs) > 1 and len(runs[-2]) < RATIO * len(runs[-1]):
        last, before = runs.pop(), runs.pop()
        runs.append(pl.concat([before, last]).rechunk())


def rows_equal(columns: list[pl.Series], places: Array, keys: pl.DataFrame) -> Array:
    """Whether the row of `columns` at each place equals that of `keys`; null equals null, NaN equals NaN."""
    index = pl.Series(places.astype(np.uint32))
    same = np.ones(len(places), np.bool_)
    for column, key in zip(columns, keys.get_columns(), strict=True):
        same &= column.gather(index).eq_missing(key).to_numpy()
    return same
