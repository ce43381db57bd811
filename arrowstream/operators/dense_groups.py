"""Groups of rows whose keys are integers close together: numpy folds at places that are computed from the keys.

What DuckDB calls a perfect hash aggregate (``src/execution/radix_partitioned_hashtable`` is its other way,
``perfect_aggregate_hashtable.cpp`` this one): the distances of a row's keys from the least ones are the digits of a
number, the place of its group in an array. There is nothing to hash, compare or sort, which takes a third of
the time of Polars' `group_by`, and the groups stand in the order of their panes and keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from arrowstream.operators.panes import PANE, Rows
from arrowstream.operators.partials import Fold

Array = npt.NDArray[Any]

_SPARSE = 2
"""The most places a row: more take longer to look through, and more memory, than the rows are worth."""

_LAST = np.iinfo(np.int64).max

_AT = {"add": np.add.at, "min": np.minimum.at, "max": np.maximum.at}

_KEYS = {
    *(pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64),
    *(pl.Boolean, pl.Date, pl.Datetime, pl.Duration, pl.Time),
}
"""Types of keys that are integers below."""


def dense_groups(
    parts: Sequence[Rows], keys: Sequence[str], values: Sequence[pl.Expr], folds: Sequence[Fold]
) -> pl.DataFrame | None:
    """State of each pane and keys, as `panes.by_pane` gives it, sorted by pane and then by keys.

    Values are folded in the order of the rows, so that a sum of floats is the one from the first to the last.

    Parameters
    ----------
    parts
        Rows, at least one in each.
    keys
        The columns rows are grouped by.
    values
        What each row adds to the columns of state; the first is `ROW`, of which the least is kept.
    folds
        How it is added.

    Returns
    -------
    polars.DataFrame or None
        None where that does not work out: a key is null or no integer, they lie too far apart, or a value of
        which the least or the greatest is sought is null.
    """
    digits = _digits(parts, keys)
    if digits is None:
        return None
    columns = _values(parts, values)
    for place, fold in enumerate(folds):
        if columns[place].null_count():
            if fold != "add":
                return None
            columns[place] = columns[place].fill_null(0)
    size = prod(digit.span for digit in digits)
    state = [_nothing(fold, column, size) for fold, column in zip(folds, columns, strict=True)]
    start = 0
    for part in parts:
        places, height = _places(part, digits), part.frame.height
        for array, fold, column in zip(state, folds, columns, strict=True):
            with np.errstate(all="ignore"):
                _AT[fold](array, places, _plain(column.slice(start, height)))
        start += height
    made = [_typed(array, column) for array, column in zip(state, columns, strict=True)]
    groups = pl.DataFrame([*_keys(digits), *made])
    # Each row has a number, and none is the greatest there is.
    found = state[0] < _LAST
    return groups if found.all() else groups.filter(found)


@dataclass(frozen=True, slots=True)
class _Digit:
    """A key as a digit of the place: how far it is from the least one."""

    name: str
    dtype: pl.DataType
    least: int
    span: int

    def of(self, keys: pl.Series) -> Array:
        """The digits of keys."""
        plain = _plain(keys)
        if plain.dtype == np.uint64:
            return (plain - np.uint64(self.least)).view(np.int64)
        return np.subtract(plain, self.least, dtype=np.int64)

    def keys(self, before: int, after: int) -> pl.Series:
        """The key of every place, with so many values of the digits before and after this one."""
        kind = np.uint64 if self.dtype == pl.UInt64 else np.int64
        keys = np.arange(self.span, dtype=kind) + kind(self.least)
        # Without other digits nothing is copied.
        keys = np.broadcast_to(keys[:, None], (before, self.span, after)).ravel()
        physical = _physical(pl.Series(dtype=self.dtype)).dtype
        return pl.Series(self.name, keys).cast(physical).cast(self.dtype)


def _digits(parts: Sequence[Rows], keys: Sequence[str]) -> list[_Digit] | None:
    """The pane and the keys as digits, or None where there would be too many places."""
    low, high = min(part.low for part in parts), max(part.high for part in parts)
    digits = [_Digit(PANE, pl.Int64(), low, high - low + 1)]
    most = _SPARSE * sum(part.frame.height for part in parts) // digits[0].span
    for name in keys:
        digit = _digit([part.frame[name] for part in parts], most)
        if digit is None:
            return None
        digits.append(digit)
        most //= digit.span
    return digits if most else None


def _digit(parts: Sequence[pl.Series], most: int) -> _Digit | None:
    """A key as a digit of at most so many."""
    name, dtype = parts[0].name, parts[0].dtype
    if dtype.base_type() not in _KEYS:
        return None
    least: int | None = None
    greatest = 0
    for part in parts:
        plain = _physical(part)
        low, high = plain.min(), plain.max()
        if plain.null_count():
            return None
        least, greatest = (low, high) if least is None else (min(least, low), max(greatest, high))
        if greatest - least >= most:
            return None
    return _Digit(name, dtype, least, greatest - least + 1)


def _places(rows: Rows, digits: Sequence[_Digit]) -> Array:
    """The place of each row's group."""
    pane, *keys = digits
    places: Array | int = rows.low - pane.least
    if rows.low < rows.high:
        places = pane.of(rows.frame[PANE])
    for digit in keys:
        places = places * digit.span + digit.of(rows.frame[digit.name])
    return np.full(rows.frame.height, places) if isinstance(places, int) else places


def _keys(digits: Sequence[_Digit]) -> list[pl.Series]:
    """The pane and the keys of every place."""
    spans = [digit.span for digit in digits]
    return [digit.keys(prod(spans[:place]), prod(spans[place + 1 :])) for place, digit in enumerate(digits)]


def _values(parts: Sequence[Rows], values: Sequence[pl.Expr]) -> list[pl.Series]:
    names = list(dict.fromkeys(name for value in values for name in value.meta.root_names()))
    rows = pl.concat([part.frame[names] for part in parts])
    # Columns as they are need no query.
    return (rows if all(value.meta.is_column() for value in values) else rows.select(values)).get_columns()


def _nothing(fold: Fold, column: pl.Series, size: int) -> Array:
    """What changes no value that is added to it."""
    kind = _plain(column.clear()).dtype
    if fold == "add":
        return np.zeros(size, kind)
    limits = np.iinfo(kind)
    return np.full(size, limits.max if fold == "min" else limits.min, kind)


def _typed(values: Array, column: pl.Series) -> pl.Series:
    return pl.Series(column.name, values).cast(column.dtype)


def _plain(column: pl.Series) -> Array:
    return _physical(column).to_numpy()


def _physical(column: pl.Series) -> pl.Series:
    if column.dtype == pl.Boolean:
        return column.cast(pl.UInt8)
    return column if column.dtype.is_numeric() else column.to_physical()
