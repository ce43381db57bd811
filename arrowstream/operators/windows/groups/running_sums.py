"""Sums over hopping windows of keys that are integers close together, from running sums by key.

Every group of a pane remembers the running sums of its key before the pane, and the pane in which the key came last.
A window has a group for each group of its panes whose key has not come since the window began. Its sums are the
running sums after the last pane, less those that this group remembers. So a window reads one place of memory for
each of its groups and column, where merging its panes reads and writes several for each group of each pane.

This is subtract-on-evict (Tangwongsan et al., "General Incremental Sliding-Window Aggregation", 2015), with all sums
subtracted at once. Sums of integers modulo 2**64 are exact. Floats, minima and maxima cannot be subtracted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from arrowstream.core.rows.frame_of import frame_of
from arrowstream.operators.aggregation.mergeable import ROW
from arrowstream.operators.windows.groups.places import Digit
from arrowstream.operators.windows.panes import PANE, by_number, in_order
from arrowstream.state.arrays import Array
from arrowstream.state.close_integers import as_integers, bounds, is_integer

_SPARSE = 8
"""The most places for each group of the panes."""

_NEVER = np.iinfo(np.int64).min
"""The last pane of a key that has not come."""


@dataclass(frozen=True, slots=True)
class _Pane:
    """The groups of a pane, in the order of their first rows.

    Parameters
    ----------
    number
        The pane.
    places
        The place of each group's key (groups,), int64.
    rows
        The number of each group's first row (groups,), int64.
    early
        How many groups, the first ones, have a first row that came before one of an earlier pane.
    before
        The pane in which each key came last before (groups,), int64.
    sums
        The running sums of each key before the pane, a column each (groups,), int64.
    """

    number: int
    places: Array
    rows: Array
    early: int
    before: Array
    sums: tuple[Array, ...]


class RunningSums:
    """The last panes, and the running sums of their keys.

    Parameters
    ----------
    key
        The key column.

    Attributes
    ----------
    end
        The pane after the last one added; None if there is none.

    Examples
    --------
    >>> import polars as pl
    >>> from arrowstream.operators.windows.groups.running_sums import RunningSums
    >>> sums = RunningSums("k")
    >>> first = pl.DataFrame({"__pane__": 5, "k": [7, 8], "__row__": [0, 1], "n": [10, 20]})
    >>> second = pl.DataFrame({"__pane__": 6, "k": [9, 7], "__row__": [3, 4], "n": [3, 4]})
    >>> sums.add(5, first) and sums.add(6, second)
    True
    >>> sums.window(2, 5).rows()
    [(2, 7, 14), (2, 8, 20), (2, 9, 3)]
    >>> sums.forget(6)
    >>> sums.window(3, 6).rows()
    [(3, 9, 3), (3, 7, 4)]
    """

    __slots__ = ("_digit", "_key", "_last", "_latest", "_panes", "_scratch", "_state", "_sums", "end")

    def __init__(self, key: str) -> None:
        self._key = key
        self._scratch = np.empty((2, 0), np.int64)
        """Arrays that windows are made in: memory that is new for each would cost more than what is computed."""
        self.clear()

    @staticmethod
    def take(keys: pl.Schema) -> bool:
        """Return whether the keys are a single column of integers."""
        # Polars cannot make an Enum from codes.
        return len(keys) == 1 and all(is_integer(dtype) and dtype != pl.Enum for dtype in keys.dtypes())

    @property
    def panes(self) -> list[int]:
        """The panes that are held, in order."""
        return [pane.number for pane in self._panes]

    def clear(self) -> None:
        """Forget all panes and sums."""
        self.end: int | None = None
        self._panes: list[_Pane] = []
        self._latest = -1
        """The largest number of a first row."""
        self._digit: Digit | None = None
        """The keys that have places."""
        self._state = pl.Schema()
        """Names and types of the sums."""
        self._last = np.empty(0, np.int64)
        """The last pane of the key of each place (places,), int64."""
        self._sums: list[Array] = []
        """The running sums by place, modulo 2**64, a column each (places,), int64."""

    def forget(self, pane: int) -> None:
        """Forget the panes before `pane`."""
        self._panes = [each for each in self._panes if each.number >= pane]

    def add(self, pane: int, groups: pl.DataFrame) -> bool:
        """Add the groups of a pane later than all others: `PANE`, the key, `ROW` and sums.

        Returns
        -------
        bool
            False, and nothing is held any more, if a key is null or the keys are far apart.
        """
        if not self._cover(groups):
            self.clear()
            return False
        assert self._digit is not None
        groups = in_order(groups)
        places, rows = self._digit.of(groups[self._key]), groups[ROW].to_numpy()
        before = self._last.take(places)
        self._last[places] = pane
        held = tuple(sums.take(places) for sums in self._sums)
        for sums, old, name in zip(self._sums, held, self._state, strict=True):
            sums[places] = old + _whole(groups[name])
        early = int(np.searchsorted(rows, self._latest))
        self._panes.append(_Pane(pane, places, rows, early, before, held))
        self._latest = max(self._latest, int(rows[-1]))
        self.end = pane + 1
        return True

    def window(self, number: int, first: int) -> pl.DataFrame:
        """Return the groups of the panes from `first` on, of which there is one, in the order of their first rows.

        They are those of a pane `number`: the columns are `PANE`, the key and the sums.
        """
        panes = [pane for pane in self._panes if pane.number >= first]
        new = [np.flatnonzero(pane.before < first) for pane in panes]
        count = sum(map(len, new))
        if self._scratch.shape[1] < count:
            self._scratch = np.empty((2, count + count // 4), np.int64)
        places, less = self._scratch[:, :count]
        _join([pane.places for pane in panes], new, places)
        order = self._order(places, panes, new, first)
        if order is not None:
            places[:] = places[order]
        assert self._digit is not None
        columns = [pl.Series(PANE, np.full(count, number)), self._digit.keys(places)]
        for column, (sums, (name, dtype)) in enumerate(zip(self._sums, self._state.items(), strict=True)):
            found = sums.take(places)
            _join([pane.sums[column] for pane in panes], new, less)
            found -= less if order is None else less[order]
            columns.append(_column(name, dtype, found))
        return frame_of(columns)

    def _order(self, places: Array, panes: Sequence[_Pane], new: Sequence[Array], first: int) -> Array | None:
        """Return the indices that sort groups by their first rows, given their places; None if they are in order."""
        if not any(pane.early for pane in panes):
            return None
        rows = np.empty(len(places), np.int64)
        _join([pane.rows for pane in panes], new, rows)
        # Where a key has come before, its group may have an earlier row in a later pane.
        again = [np.flatnonzero(pane.before[: pane.early] >= first) for pane in panes]
        if any(map(len, again)):
            index = np.empty(len(self._last), np.uint32)
            index[places] = np.arange(len(places), dtype=np.uint32)
            for pane, some in zip(panes, again, strict=True):
                # Of a pane, each key is one group.
                at = index.take(pane.places.take(some))
                rows[at] = np.minimum(rows.take(at), pane.rows.take(some))
        return by_number(rows)

    def _cover(self, groups: pl.DataFrame) -> bool:
        """Make places for the keys of groups; return whether that is possible."""
        keys = as_integers(groups[self._key])
        ends = bounds(keys)
        if ends is None or keys.null_count():
            return False
        least, largest = ends
        old = self._digit
        if old is not None and old.least <= least and largest < old.least + old.span:
            return True
        held = [pane.places for pane in self._panes if len(pane.places)]
        if old is not None and held:
            least = min(least, old.least + min(int(places.min()) for places in held))
            largest = max(largest, old.least + max(int(places.max()) for places in held))
        span = largest - least + 1
        if span > _SPARSE * (groups.height + sum(map(len, held))):
            return False
        # Room on both sides, so that keys that count up move the range seldom.
        room = span // 4
        digit = Digit(self._key, groups.schema[self._key], least - room, span + 2 * room)
        self._state = pl.Schema(
            {name: kind for name, kind in groups.schema.items() if name not in (PANE, self._key, ROW)}
        )
        moved = 0 if old is None else old.least - digit.least
        self._last = _moved(self._last, digit.span, moved, _NEVER)
        self._sums = self._sums or [self._last[:0]] * len(self._state)
        self._sums = [_moved(sums, digit.span, moved, 0) for sums in self._sums]
        self._panes = [replace(pane, places=pane.places + moved) for pane in self._panes]
        self._digit = digit
        return True


def _join(parts: Sequence[Array], indices: Sequence[Array], out: Array) -> None:
    """Write the values of parts at indices into `out` (values,), one part after the other."""
    end = 0
    for part, index in zip(parts, indices, strict=True):
        start, end = end, end + len(index)
        # Every index is there: with "raise", numpy would write into an array of its own first.
        part.take(index, out=out[start:end], mode="clip")


def _moved(array: Array, size: int, by: int, fill: int) -> Array:
    """Return a longer or shorter array, with each value moved by some places if it then has one."""
    new = np.full(size, fill, np.int64)
    start, stop = max(by, 0), min(by + len(array), size)
    if start < stop:
        new[start:stop] = array[start - by : stop - by]
    return new


def _whole(column: pl.Series) -> Array:
    """Return whole numbers or durations modulo 2**64 (rows,), int64; null as 0."""
    return (
        as_integers(column.fill_null(0) if column.null_count() else column)
        .to_numpy()
        .astype(np.int64, copy=False)
    )


def _column(name: str, dtype: pl.DataType, values: Array) -> pl.Series:
    """Return values (rows,), int64, modulo the range of a type of integers or durations."""
    if not dtype.is_integer():
        return pl.Series(name, values).cast(dtype)
    kind = pl.Series(dtype=dtype).to_numpy().dtype
    return pl.Series(name, values.astype(kind, copy=False))
