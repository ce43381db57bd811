"""Grouping by hashes: numpy finds the groups of rows, whose keys are compared once.

The hash of a row gives it a place in an array, and the first row that comes to a place owns it. Rows with the owner's
hash are of its group; the others are looked up in a further array, by other bits, until none is left. At last the
keys of all rows are compared with those of their groups, so that different keys with equal hashes are found.

Polars makes the hashes. Integers without nulls in a single column are their own hashes, which need no comparison.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import polars as pl

from arrowstream.core.rows.frame_of import frame_of
from arrowstream.core.rows.number_types import INTEGERS, TIMES
from arrowstream.operators.aggregation.state_columns import Fold
from arrowstream.operators.windows.groups.folds import fold_groups
from arrowstream.operators.windows.groups.row_values import row_values
from arrowstream.operators.windows.groups.slots import Slots
from arrowstream.operators.windows.panes import PANE, Rows, by_panes
from arrowstream.state.arrays import Array
from arrowstream.state.close_integers import as_integers
from arrowstream.state.frame_log import columns_equal

_TYPES = INTEGERS | TIMES | {pl.Boolean, pl.String, pl.Binary}
"""Types of keys of which equal ones have equal bytes."""

_LEAST_ROWS = 100_000
"""Rows from which this takes less time than Polars' `group_by`."""

_PIECE = 32_768
"""Rows that are looked up, compared and added at a time."""

_FIRST = 1_024
"""Rows that are looked up first; each later piece has twice as many. Keys that are known then need not be claimed."""

_LEAST_BITS = 14
"""Bits of the least number of places: the last rows meet few others."""

_PLACES = 8
"""Places for each group that a sample of rows lets expect."""

_SAMPLE = 4_096
"""Rows of such a sample."""

_LAYERS = 16
"""The most arrays that rows are looked up in."""

_FACTOR = 0x9E37_79B9_7F4A_7C15
"""An odd number whose multiples modulo 2**64 have well mixed upper bits; 2**64 divided by the golden ratio."""


def hashed_groups(
    parts: Sequence[Rows], keys: Sequence[str], values: Sequence[pl.Expr], folds: Sequence[Fold]
) -> pl.DataFrame | None:
    """Return the state of each pane and key, as `panes.by_pane` does, sorted by pane and then by first rows.

    Values are folded in row order, so a sum of floats has the bits of adding them one by one.

    Parameters
    ----------
    parts
        The rows; each part has at least one.
    keys
        The key columns, at least one.
    values
        The value of each row for each column of state; the first is `ROW`, of which the minimum is kept.
    folds
        How values are folded, one for each of `values`.

    Returns
    -------
    polars.DataFrame or None
        None if there are few rows, if a key has another type than integers, times, Booleans, text and bytes, if a
        value that is folded by minimum or maximum is null, or if keys have the same hash.

    Examples
    --------
    >>> import polars as pl
    >>> from arrowstream.operators.windows.groups.hashed_groups import hashed_groups
    >>> from arrowstream.operators.windows.panes import Rows
    >>> rows = pl.DataFrame({"__row__": range(100_000), "x": 1}).with_columns(k=pl.lit("a"))
    >>> values = [pl.col("__row__"), pl.col("x")]
    >>> hashed_groups([Rows(7, 7, rows)], ["k"], values, ["min", "add"]).rows()
    [(7, 'a', 0, 100000)]
    """
    schema = parts[0].frame.schema
    if sum(part.frame.height for part in parts) < _LEAST_ROWS:
        return None
    if any(schema[name].base_type() not in _TYPES for name in keys):
        return None
    one_pane = min(part.low for part in parts) == max(part.high for part in parts)
    rows = pl.concat([part.frame if one_pane else part.all() for part in parts], rechunk=False)
    columns = row_values(rows, values, folds)
    if columns is None:
        return None
    asked = rows[list(keys) if one_pane else [PANE, *keys]]
    plain = asked.width == 1 and schema[keys[0]].base_type() not in (pl.String, pl.Binary)
    exact = plain and not asked.to_series().null_count()
    found = _numbered(_integers(asked.to_series()) if exact else _hashes(asked))
    if found is None:
        return None
    numbers, firsts = found
    # Those of each layer are in order already, which this sort makes use of.
    order = np.argsort(firsts, kind="stable")
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order))
    groups = _at(asked.hstack([columns[0]]), firsts[order])
    if not exact and not _alike(asked, groups[asked.columns][pl.Series(ranks)], numbers):
        return None
    if columns[0].is_sorted():
        # The least number of a group is that of its first row.
        columns, folds = columns[1:], folds[1:]
    else:
        groups = groups.drop(columns[0].name)
    parts_of_rows = (ranks.take(numbers[start : start + _PIECE]) for start in range(0, rows.height, _PIECE))
    state = fold_groups(columns, folds, len(order), parts_of_rows)
    kept = [pl.Series(folded.name, folded.values).cast(folded.dtype) for folded in state]
    if one_pane:
        return frame_of([pl.Series(PANE, np.full(groups.height, parts[0].low)), *groups, *kept])
    return by_panes(frame_of([*groups, *kept]))


def _integers(keys: pl.Series) -> pl.Series:
    """Return a number that tells each key (rows,), UInt64."""
    plain = as_integers(keys)
    return plain if plain.dtype == pl.UInt64 else plain.cast(pl.Int64).reinterpret(signed=False)


def _hashes(keys: pl.DataFrame) -> pl.Series:
    """Return the hash of each row (rows,), UInt64."""
    # A single column is not split among threads, which would be waited for.
    return keys.to_series().hash() if keys.width == 1 else keys.hash_rows()


def _at(rows: pl.DataFrame, places: Array) -> pl.DataFrame:
    """Return the rows at `places` (rows,), int64, which are in order."""
    # In pieces: Polars would first copy all rows, if they lie in many chunks.
    starts = np.arange(0, rows.height, _PIECE)
    ends = np.searchsorted(places, starts + _PIECE).tolist()
    found = [
        rows[start : start + _PIECE][pl.Series((places[first:end] - start).astype(np.uint32))]
        for start, (first, end) in zip(starts.tolist(), pairwise([0, *ends]), strict=True)
        if first < end
    ]
    return pl.concat(found, rechunk=True)


def _numbered(marks: pl.Series) -> tuple[Array, Array] | None:
    """Return the number of the group of each row (rows,), uint32, and the first row of each group (groups,), int64.

    Parameters
    ----------
    marks
        The same number for rows of a group, another one for rows of another (rows,), UInt64.

    Returns
    -------
    tuple of numpy.ndarray, or None
        None if too many layers have left rows over.
    """
    numbers, firsts, rows = _layer(marks, _FACTOR, _bits(marks))
    for layer in range(1, _LAYERS):
        if not len(rows):
            return numbers, firsts
        few = marks[pl.Series(rows.astype(np.uint32))]
        found, first, left = _layer(few, _FACTOR ** (2 * layer + 1), _most_bits(len(few)))
        numbers[rows] = found + np.uint32(len(firsts))
        firsts = np.concatenate([firsts, rows[first]])
        rows = rows[left]
    return None


def _layer(marks: pl.Series, factor: int, bits: int) -> tuple[Array, Array, Array]:
    """Look marks up in an array of ``2**bits`` places: the first one at a place owns it.

    Returns
    -------
    numbers : numpy.ndarray
        The number of the owner of each mark's place (rows,), uint32.
    firsts : numpy.ndarray
        The first row of each owner (owners,), int64.
    left : numpy.ndarray
        The rows whose mark is not that of the owner (left,), int64.
    """
    slots = Slots(1 << bits)
    odd, shift = np.uint64(factor % 2**64), np.uint64(64 - bits)
    owners = np.empty(len(marks) + 1, np.uint64)
    numbers = np.empty(len(marks), np.uint32)
    firsts: list[Array] = []
    left: list[Array] = []
    start, size = 0, _FIRST
    while start < len(marks):
        # A series is sliced before, as all its rows would be copied from several chunks, into memory that is new.
        piece = marks[start : start + size].to_numpy()
        places = piece >> np.uint64(32)
        # Multiples of a number, by another one, may lie close together.
        places ^= piece
        places *= odd
        places >>= shift
        found, new = slots.of(places.view(np.int64))
        owners[slots.used - len(new) : slots.used] = piece[new]
        numbers[start : start + len(piece)] = found
        firsts.append(new + start)
        left.append(np.flatnonzero(owners.take(found) != piece) + start)
        start, size = start + size, min(2 * size, _PIECE)
    numbers -= np.uint32(1)
    return numbers, np.concatenate(firsts), np.concatenate(left)


def _most_bits(rows: int) -> int:
    """Return the binary logarithm of two to four places for each row."""
    return max((2 * rows - 1).bit_length(), _LEAST_BITS)


def _bits(marks: pl.Series) -> int:
    """Return the binary logarithm of the number of places for marks; with few groups, few pages are touched."""
    sample = marks.gather_every(max(len(marks) // _SAMPLE, 1)).to_numpy()
    repeated = len(sample) - len(np.unique(sample))
    # Of n rows, about n ** 2 / (2 * groups) repeat the mark of another one, if groups are many and equally frequent.
    groups = len(sample) ** 2 // (2 * repeated) if repeated else len(marks)
    return max(min(_most_bits(len(marks)), (_PLACES * groups).bit_length()), _LEAST_BITS)


def _alike(rows: pl.DataFrame, groups: pl.DataFrame, numbers: Array) -> bool:
    """Return whether each row is equal to the one of `groups` with its number (rows,), uint32."""
    columns, places = groups.get_columns(), pl.Series(numbers)
    return all(
        alike.all()
        for start in range(0, rows.height, _PIECE)
        for alike in columns_equal(columns, places[start : start + _PIECE], rows[start : start + _PIECE])
    )
