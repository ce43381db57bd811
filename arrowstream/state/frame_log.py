"""An append-only log of numbered rows: frames that are merged lazily, and spilled to files when memory is full."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from arrowstream.core.rows.frame_of import frame_of
from arrowstream.core.rows.number_types import NUMBERS, TIMES
from arrowstream.state.arrays import Array
from arrowstream.state.memory import StateMemory
from arrowstream.state.owned_rows import held_bytes, owned

RATIO = 8
"""The least ratio of a run's rows to those of the next run.

Polars gathers from a column of up to 8 chunks as it is; with more chunks it first copies the whole column.
With this ratio a million keys have about 7 runs.
"""

_COPIES = 2
"""Row copies that joining all runs may cost for each row that is compared with one of theirs."""

_COMPARED = NUMBERS | TIMES | {pl.Boolean, pl.String, pl.Binary}
"""Types whose columns Polars compares without a query, which takes less time, if no value is null."""


@dataclass(frozen=True, slots=True)
class LogStatistics:
    """The sizes of a `FrameLog`.

    Parameters
    ----------
    runs, filed
        The number of rows of each run in memory, and of each run in a file; older runs first.
    copied
        The number of row copies so far, made to join runs or to drop rows no longer needed.
    """

    runs: tuple[int, ...]
    filed: tuple[int, ...]
    copied: int


@dataclass(frozen=True, slots=True)
class KeyStatistics:
    """The sizes of a `KeyIndex`.

    Parameters
    ----------
    keys
        The number of keys.
    hash_places
        The number of places of the hash table; the minimum while keys are looked up directly.
    direct_places, direct_bytes
        The number of places of the array by key, and the bytes of one; None and 0 while keys are hashed.
    log
        The sizes of the log that holds the keys.
    """

    keys: int
    hash_places: int
    direct_places: int | None
    direct_bytes: int
    log: LogStatistics


class FrameLog:
    """Rows, numbered from 0 in the order of appending; old ones can be dropped from the front.

    Appending costs amortised O(log n) copies per row: a run is merged with the one before it once that is
    not 8 times as long (a log-structured merge of appended runs; O'Neil et al., 1996). Runs in files stay as they
    are. The log owns its rows: it does not keep the memory of the batches they came in.

    Parameters
    ----------
    schema
        The schema of the rows.
    memory
        The memory that holds the rows.
    """

    __slots__ = (
        "_asked",
        "_columns",
        "_copied",
        "_filed",
        "_filed_bytes",
        "_held",
        "_memory",
        "_oldest",
        "_runs",
        "_schema",
        "_sizes",
        "_starts",
    )

    def __init__(self, schema: pl.Schema, memory: StateMemory) -> None:
        self._schema = schema
        self._memory = memory
        self._oldest = 0
        self._filed: list[pl.DataFrame] = []
        self._filed_bytes = 0
        self._starts = [0]
        """The number of the first row of each run in a file, then of the first row in memory."""
        self._runs: list[pl.DataFrame] = []
        self._sizes: list[int] = []
        """The bytes of each run in memory."""
        self._held = 0
        self._columns: list[pl.Series] = []
        self._copied = 0
        self._asked = 0
        """The number of rows that were compared with since the runs were joined."""

    @property
    def stop(self) -> int:
        """The number that the next row gets."""
        return self._starts[-1] + sum(run.height for run in self._runs)

    @property
    def nbytes(self) -> int:
        """The bytes of all rows, in memory and in files."""
        return self._held + self._filed_bytes

    def statistics(self) -> LogStatistics:
        """Return the sizes of the log."""
        runs, filed = (tuple(run.height for run in kept) for kept in (self._runs, self._filed))
        return LogStatistics(runs, filed, self._copied)

    def append(self, rows: pl.DataFrame) -> None:
        """Append at least one row; numbering continues from `stop`."""
        runs = self._runs
        self._push(owned(rows))
        while len(runs) > 1 and runs[-2].height < RATIO * runs[-1].height:
            last, before = self._pop(), self._pop()
            if not runs and self._oldest > self._starts[-1]:
                # The longest run is copied anyway: drop rows no longer needed.
                before = owned(before.slice(self._oldest - self._starts[-1]))
                self._copied += before.height
                self._starts[-1] = self._oldest
            self._push(pl.concat([before, last]).rechunk())
            self._copied += runs[-1].height
        self._hold(sum(self._sizes))
        if self._memory.is_full_with(self._held, self._filed_bytes):
            self._to_file()
        self._columns = pl.concat(self._runs, rechunk=False).get_columns() if self._runs else []

    def forget(self, oldest: int) -> None:
        """Allow the log to drop the rows before number `oldest`."""
        self._oldest = oldest
        while self._runs and self._starts[-1] + self._runs[0].height <= oldest:
            self._starts[-1] += self._runs.pop(0).height
            self._sizes.pop(0)

    def gather(self, numbers: Array) -> pl.DataFrame:
        """Return the rows of `numbers` (rows,), int64; a row of nulls for -1."""
        if not self._filed or not len(numbers):
            return _gathered(self._columns, self._schema, numbers, self._starts[0])
        runs = [*(run.get_columns() for run in self._filed), self._columns]
        which = np.searchsorted(self._starts, np.maximum(numbers, self._starts[0]), side="right") - 1
        order = np.argsort(which, kind="stable")
        bounds = np.searchsorted(which[order], np.arange(len(runs) + 1))
        parts = [
            _gathered(
                runs[run], self._schema, numbers[order[bounds[run] : bounds[run + 1]]], self._starts[run]
            )
            for run in np.unique(which)
        ]
        back = np.empty(len(order), np.uint32)
        back[order] = np.arange(len(order), dtype=np.uint32)
        return pl.concat(parts, rechunk=True)[pl.Series(back)]

    def equal(self, numbers: Array, rows: pl.DataFrame) -> Array:
        """Compare each row of `rows` with that of its number; null equals null, NaN equals NaN.

        Parameters
        ----------
        numbers
            The numbers to compare with (rows,), int64.
        rows
            The rows.

        Returns
        -------
        numpy.ndarray
            Whether they are equal (rows,), bool.
        """
        if not self._filed:
            self._join_for(len(numbers))
            return rows_equal(self._columns, numbers - self._starts[0], rows)
        return rows_equal(self.gather(numbers).get_columns(), np.arange(len(numbers)), rows)

    def frame(self, start: int, stop: int | None = None) -> pl.DataFrame:
        """Return the rows with numbers from `start` to before `stop`, or to the end."""
        runs = [*self._filed, *self._runs]
        if not runs:
            return pl.DataFrame(schema=self._schema)
        length = None if stop is None else stop - start
        return pl.concat(runs, rechunk=False).slice(start - self._starts[0], length)

    def keep(self, pieces: Iterable[Array]) -> None:
        """Keep only the rows of these numbers (int64), given in pieces, and renumber them from 0 in this order."""
        kept = FrameLog(self._schema, self._memory)
        for numbers in pieces:
            if len(numbers):
                kept.append(self.gather(numbers))
        self._hold(0)
        for name in self.__slots__:
            setattr(self, name, getattr(kept, name))

    def _join_for(self, count: int) -> None:
        """Join the runs in memory if `count` more rows are worth it: strings are gathered five times as fast then."""
        self._asked += count
        rows = self.stop - self._starts[-1]
        if len(self._runs) > 1 and rows <= _COPIES * self._asked:
            self._push(pl.concat([self._pop() for _ in range(len(self._runs))][::-1]).rechunk())
            self._copied += rows
            self._asked = 0
            self._columns = self._runs[0].get_columns()

    def _to_file(self) -> None:
        self._starts.append(self.stop)
        self._filed.append(self._memory.in_file([pl.concat(self._runs)]).frame)
        self._filed_bytes += self._held
        self._runs, self._sizes = [], []
        self._hold(0)

    def _push(self, run: pl.DataFrame) -> None:
        self._runs.append(run)
        self._sizes.append(held_bytes(run))

    def _pop(self) -> pl.DataFrame:
        self._sizes.pop()
        return self._runs.pop()

    def _hold(self, nbytes: int) -> None:
        self._memory.reserve(nbytes - self._held)
        self._held = nbytes


def rows_equal(columns: list[pl.Series], places: Array, rows: pl.DataFrame) -> Array:
    """Compare the row of `columns` at each of `places` (rows,) with `rows`; return (rows,), bool.

    Null equals null, NaN equals NaN.
    """
    same = None
    for alike in columns_equal(columns, pl.Series(places.astype(np.uint32)), rows):
        own = alike.to_numpy()
        same = own if same is None else same & own
    return np.ones(len(places), np.bool_) if same is None else same


def columns_equal(columns: list[pl.Series], places: pl.Series, rows: pl.DataFrame) -> Iterator[pl.Series]:
    """Yield, for each of `columns`, whether its values at `places` (UInt32) are those of `rows` (rows,), Boolean."""
    for column, row in zip(columns, rows.get_columns(), strict=True):
        asked = column[places]
        plain = asked.dtype.base_type() in _COMPARED and not (asked.null_count() or row.null_count())
        yield asked == row if plain else asked.eq_missing(row)


def _gathered(columns: list[pl.Series], schema: pl.Schema, numbers: Array, start: int) -> pl.DataFrame:
    """Gather rows from columns whose first row has number `start`; a row of nulls for -1."""
    if not columns:
        return pl.DataFrame(
            {name: pl.repeat(None, len(numbers), dtype=dtype, eager=True) for name, dtype in schema.items()}
        )
    missing = numbers < 0
    if missing.any():
        holes = pl.Series(np.where(missing, -1, numbers - start)).replace(-1, None)
        return frame_of(column.gather(holes) for column in columns)
    index = pl.Series((numbers - start).astype(np.uint32))
    return frame_of(column[index] for column in columns)
