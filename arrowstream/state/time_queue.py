"""Rows that wait for a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from arrowstream.state.arrays import Array
from arrowstream.state.frame_log import RATIO
from arrowstream.state.memory import StateMemory
from arrowstream.state.owned_rows import held_bytes, owned


@dataclass(slots=True)
class _Run:
    """Rows sorted by time, of which those before `start` have left."""

    rows: pl.DataFrame
    times: Array
    nbytes: int
    filed: bool = False
    start: int = 0


class TimeQueue:
    """Rows with a time, taken out once that has passed; those of one time in the order in which they came.

    Rows are in a few runs that are sorted by time, merged as in a log-structured merge tree (O'Neil et al., 1996).
    Each row is copied O(log n) times; taking rows out costs them alone. Runs in files are not merged any more.

    Parameters
    ----------
    memory
        The memory that holds the rows.

    Examples
    --------
    >>> queue = TimeQueue(StateMemory())
    >>> queue.append(pl.DataFrame({"x": ["a", "b", "c"]}), np.array([7, 3, 5]))
    >>> [rows["x"].to_list() for rows in queue.take(6)], queue.first
    ([['b', 'c']], 7)
    """

    __slots__ = ("_memory", "_runs")

    def __init__(self, memory: StateMemory) -> None:
        self._memory = memory
        self._runs: list[_Run] = []

    @property
    def first(self) -> int | None:
        """The earliest time of all rows; None without rows."""
        return min((int(run.times[run.start]) for run in self._runs), default=None)

    def append(self, rows: pl.DataFrame, times: Array) -> None:
        """Add at least one row.

        Parameters
        ----------
        rows
            The rows.
        times
            Their times (rows,), int64.
        """
        if (times[1:] < times[:-1]).any():
            order = np.argsort(times, kind="stable")
            rows, times = rows[_index(order)], times[order]
        self._push(owned(rows), times.copy())
        while len(self._runs) > 1 and self._mergeable(*self._runs[-2:]):
            newer, older = self._pop(), self._pop()
            rows = pl.concat([older.rows[older.start :], newer.rows[newer.start :]])
            times = np.concatenate([older.times[older.start :], newer.times[newer.start :]])
            order = np.argsort(times, kind="stable")  # linear, as both halves are sorted
            self._push(rows[_index(order)], times[order])
        self._spill()

    def take(self, before: int) -> Iterator[pl.DataFrame]:
        """Yield the rows with an earlier time, which leave; those of a time in the order in which they came."""
        passed: list[pl.DataFrame] = []
        for run in self._runs:
            stop = int(np.searchsorted(run.times, before))
            if stop > run.start:
                passed.append(run.rows[run.start : stop])
                run.start = stop
        self._drop_empty()
        yield from passed

    def frames(self) -> Iterator[pl.DataFrame]:
        """Yield all rows; those of a time in the order in which they came."""
        for run in self._runs:
            yield run.rows[run.start :]

    def _push(self, rows: pl.DataFrame, times: Array) -> None:
        run = _Run(rows, times, held_bytes(rows) + times.nbytes)
        self._memory.reserve(run.nbytes)
        self._runs.append(run)

    def _pop(self) -> _Run:
        run = self._runs.pop()
        self._memory.reserve(-run.nbytes)
        return run

    def _mergeable(self, older: _Run, newer: _Run) -> bool:
        return not older.filed and len(older.times) - older.start < RATIO * len(newer.times)

    def _drop_empty(self) -> None:
        """Release runs without rows, and the rows of a run that have left once they are more than half of it."""
        kept: list[_Run] = []
        for run in self._runs:
            if run.start == len(run.times):
                self._memory.reserve(-run.nbytes)
                continue
            if not run.filed and run.start > len(run.times) // 2:
                self._memory.reserve(-run.nbytes)
                rows, times = owned(run.rows[run.start :]), run.times[run.start :].copy()
                run = _Run(rows, times, held_bytes(rows) + times.nbytes)
                self._memory.reserve(run.nbytes)
            kept.append(run)
        self._runs = kept

    def _spill(self) -> None:
        """Move the rows in memory to files if they are too many; their times stay."""
        in_memory = [run for run in self._runs if not run.filed]
        filed = sum(run.rows.height for run in self._runs if run.filed)
        if self._memory.is_full_with(sum(run.nbytes for run in in_memory), filed):
            for run in in_memory:
                rows = run.rows[run.start :]
                run.rows, run.times, run.start = self._memory.in_file([rows]).frame, run.times[run.start :], 0
                self._memory.reserve(run.times.nbytes - run.nbytes)
                run.nbytes, run.filed = run.times.nbytes, True


def _index(places: Array) -> pl.Series:
    return pl.Series(places.astype(np.uint32))
