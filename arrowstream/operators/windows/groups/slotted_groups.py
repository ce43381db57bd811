"""Grouping at computed places where nearly every row may have a group of its own.

A group gets the next slot when its first row comes. The state of the groups then lies together, in the order in which
windows give their results, however many places are empty: nothing is sorted afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import polars as pl

from arrowstream.core.rows.frame_of import frame_of
from arrowstream.operators.aggregation.folded_column import FoldedColumn
from arrowstream.operators.aggregation.state_columns import Fold
from arrowstream.operators.windows.groups.slots import Slots
from arrowstream.state.arrays import Array
from arrowstream.state.frame_log import rows_equal
from arrowstream.state.memory import StateMemory


def slotted_groups(
    places: Iterable[Array],
    size: int,
    keys: pl.DataFrame,
    values: Sequence[pl.Series],
    folds: Sequence[Fold],
    same: Sequence[str] = (),
) -> pl.DataFrame | None:
    """Return the keys and the state of each group, in the order of first rows.

    Parameters
    ----------
    places
        The places of the groups of rows, in parts (rows,), int64.
    size
        The number of places.
    keys
        Columns of all rows, of which a group has the values of its first row.
    values
        The value of each row for each column of state, without nulls where it is folded by minimum or maximum.
    folds
        How values are folded, one for each of `values`.
    same
        The columns among `keys` that all rows of a group must have in common; None is returned if some have not.

    Examples
    --------
    >>> import numpy as np
    >>> import polars as pl
    >>> from arrowstream.operators.windows.groups.slotted_groups import slotted_groups
    >>> places = [np.array([7, 2]), np.array([7, 5])]
    >>> keys, values = pl.DataFrame({"k": [7, 2, 7, 5]}), pl.Series("x", [1, 2, 3, 4])
    >>> slotted_groups(places, 8, keys, [values], ["add"]).rows()
    [(7, 4), (2, 2), (5, 4)]
    """
    memory = StateMemory()
    columns = [
        FoldedColumn(fold, column, min(size, keys.height) + 1, memory)
        for fold, column in zip(folds, values, strict=True)
    ]
    slots = Slots(size)
    firsts: list[pl.DataFrame] = []
    others: list[tuple[Array, Array]] = []
    """The rows that are not the first ones of their groups, and the numbers of these groups."""
    start = 0
    for part in places:
        numbers, new = slots.of(part)
        later = np.ones(len(part), np.bool_)
        later[new] = False
        rest = np.flatnonzero(later)
        at, again = pl.Series(new.astype(np.uint32)), pl.Series(rest.astype(np.uint32))
        known = numbers[rest].astype(np.int64)
        for folded, column in zip(columns, values, strict=True):
            coming = column.slice(start, len(part))
            folded.put(slots.used - len(new), coming[at])
            folded.add(known, coming[again])
        firsts.append(keys.slice(start, len(part))[at])
        others.append((rest + start, known - 1))
        start += len(part)
    groups = pl.concat(firsts, rechunk=True)
    if same and not _alike(keys[same], groups[same], others):
        return None
    state = (pl.Series(folded.name, folded.values[1 : slots.used]).cast(folded.dtype) for folded in columns)
    return frame_of([*groups, *state])


def _alike(rows: pl.DataFrame, groups: pl.DataFrame, others: Sequence[tuple[Array, Array]]) -> bool:
    """Return whether rows are equal to those of their groups."""
    columns = groups.get_columns()
    return all(
        rows_equal(columns, numbers, rows[pl.Series(some.astype(np.uint32))]).all()
        for some, numbers in others
        if len(some)
    )
