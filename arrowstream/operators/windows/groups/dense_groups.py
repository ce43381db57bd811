"""Grouping by keys that are integers close together: numpy folds at array indices computed from the keys.

The index, or place, of a group in an array is computed from its pane and keys (`places`). This is DuckDB's perfect
hash aggregate (``src/execution/perfect_aggregate_hashtable.cpp``), with a range of its own for each pane.
Nothing is hashed, compared or sorted, so it takes a third of the time of Polars' `group_by` for 10,000 keys, and half
for 1,000,000. Groups come out sorted by pane and keys; where there are more places than rows, by pane and then in the
order of first rows (`slotted_groups`).

Keys that are texts may stand beside integers that tell them, such as names beside ids: the texts of a group are then
compared with those of its first row.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from arrowstream.core.rows.frame_of import frame_of
from arrowstream.operators.aggregation.state_columns import Fold
from arrowstream.operators.windows.groups.folds import fold_groups
from arrowstream.operators.windows.groups.places import GroupPlaces
from arrowstream.operators.windows.groups.row_values import row_values
from arrowstream.operators.windows.groups.slotted_groups import slotted_groups
from arrowstream.operators.windows.panes import PANE, Rows, by_panes, in_few_parts

_FEW = 2
"""Groups get slots where there are fewer rows than this for a place: they are then in order."""

_PIECE = 32_768
"""Rows whose places are computed at a time."""

_LAST = np.iinfo(np.int64).max
"""A number that no row has: a place that still holds it has no group."""


def dense_groups(
    parts: Sequence[Rows], keys: Sequence[str], values: Sequence[pl.Expr], folds: Sequence[Fold]
) -> pl.DataFrame | None:
    """Return the state of each pane and key, as `panes.by_pane` does, sorted by pane.

    Values are folded in row order, so a sum of floats has the bits of adding them one by one.

    Parameters
    ----------
    parts
        The rows; each part has at least one.
    keys
        The key columns.
    values
        The value of each row for each column of state; the first is `ROW`, of which the minimum is kept.
    folds
        How values are folded, one for each of `values`.

    Returns
    -------
    polars.DataFrame or None
        None if a key is neither an integer nor a text, if an integer is null, if there is none, or if they lie too
        far apart, if one group of integers has two texts, or if a value that is folded by minimum or maximum is null.

    Examples
    --------
    >>> import polars as pl
    >>> from arrowstream.operators.windows.groups.dense_groups import dense_groups
    >>> from arrowstream.operators.windows.panes import Rows
    >>> rows = pl.DataFrame({"__row__": [0, 1, 2], "k": [5, 3, 5], "x": [1, 2, 3]})
    >>> values = [pl.col("__row__"), pl.col("x")]
    >>> dense_groups([Rows(7, 7, rows)], ["k"], values, ["min", "add"]).rows()
    [(7, 5, 0, 4), (7, 3, 1, 2)]
    >>> apart = rows.with_columns(k=pl.col("k") * 2)
    >>> dense_groups([Rows(7, 7, apart)], ["k"], values, ["min", "add"]).rows()
    [(7, 10, 0, 4), (7, 6, 1, 2)]
    >>> far = rows.with_columns(k=pl.col("k") * 1_000)
    >>> dense_groups([Rows(7, 7, far)], ["k"], values, ["min", "add"]) is None
    True
    """
    schema = parts[0].frame.schema
    integers = [name for name in keys if schema[name] != pl.String]
    if keys and not integers:
        return None
    stretches = in_few_parts(parts)
    pieces = [
        Rows(low, high, frame[start : start + _PIECE])
        for low, high, frame in stretches
        for start in range(0, frame.height, _PIECE)
    ]
    places = GroupPlaces.among(pieces, integers)
    if places is None:
        return None
    names = list(dict.fromkeys(name for value in values for name in value.meta.root_names()))
    columns = row_values(pl.concat([part.frame[names] for part in parts], rechunk=False), values, folds)
    if columns is None:
        return None
    if places.count > len(columns[0]) // _FEW or len(integers) < len(keys):
        rows = pl.concat([stretch.all()[[PANE, *keys]] for stretch in stretches], rechunk=False)
        return _slotted(rows, pieces, places, columns, folds)
    state = fold_groups(columns, folds, places.count, map(places.of, pieces))
    found = np.flatnonzero(state[0].values < _LAST)
    # The placeholder of a missing value, which may be out of the type's range, is left out before the cast.
    kept = (pl.Series(folded.name, folded.values[found]).cast(folded.dtype) for folded in state)
    return frame_of([*places.keys(found), *kept])


def _slotted(
    kept: pl.DataFrame,
    pieces: Sequence[Rows],
    places: GroupPlaces,
    columns: Sequence[pl.Series],
    folds: Sequence[Fold],
) -> pl.DataFrame | None:
    """Return the groups as `dense_groups` does, where there are more places than rows; `kept` has panes and keys."""
    # Where rows come in the order of their numbers, the least number of a group is that of its first row.
    if columns[0].is_sorted():
        kept = kept.hstack([columns[0]])
        columns, folds = columns[1:], folds[1:]
    texts = [name for name in kept.columns if kept.schema[name] == pl.String]
    groups = slotted_groups(map(places.of, pieces), places.count, kept, columns, folds, texts)
    return None if groups is None else by_panes(groups)
