"""The rows of each pane in which a column has its extreme, found by numpy before any other column is touched."""

from __future__ import annotations

import numpy as np
import polars as pl

from arrowstream.core.rows.frame_of import frame_of
from arrowstream.core.rows.number_types import INTEGERS, TIMES
from arrowstream.operators.aggregation.extreme_rows import ExtremeRows
from arrowstream.operators.windows.panes import PANE, Rows
from arrowstream.state.arrays import Array
from arrowstream.state.close_integers import as_integers, distances

_PIECE = 32_768
"""Rows that are compared at a time: larger arrays, which are new, cost five times what is computed."""


def extreme_of_panes(rows: Rows, extreme: ExtremeRows) -> Rows:
    """Return the rows that have the extreme of their pane, in order; of a pane without any value, all rows.

    Polars' threads, on which files are read, are not waited for if values are integers or times without null.

    Examples
    --------
    >>> import polars as pl
    >>> from arrowstream.operators.aggregation.extreme_rows import ExtremeRows
    >>> from arrowstream.operators.windows.groups.extreme_of_panes import extreme_of_panes
    >>> from arrowstream.operators.windows.panes import Rows
    >>> frame = pl.DataFrame({"__pane__": [5, 6, 5, 6], "price": [1, 4, 2, 3]})
    >>> extreme_of_panes(Rows(5, 6, frame), ExtremeRows("price", "max")).frame.rows()
    [(6, 4), (5, 2)]
    """
    values = rows.frame[extreme.column]
    close = rows.high - rows.low < rows.frame.height
    if not close or values.null_count() or values.dtype.base_type() not in INTEGERS | TIMES:
        predicate = extreme.among(pl.col(extreme.column))
        return rows._replace(
            frame=rows.frame.filter(predicate if rows.low == rows.high else predicate.over(PANE))
        )
    found = _places(as_integers(values).to_numpy(), _panes(rows), rows.high - rows.low + 1, extreme)
    index = pl.Series(found.astype(np.uint32))
    return rows._replace(frame=frame_of(column[index] for column in rows.frame.get_columns()))


def _panes(rows: Rows) -> Array | None:
    """Return the pane of each row, counted from the first one (rows,), int64; None if there is only one."""
    return None if rows.low == rows.high else distances(rows.frame[PANE].to_numpy(), rows.low)


def _places(values: Array, panes: Array | None, count: int, extreme: ExtremeRows) -> Array:
    """Return the places of the values that are the extreme of their pane, one of `count` (found,), int64."""
    largest = extreme.extreme == "max"
    if panes is None:
        return np.flatnonzero(values == (values.max() if largest else values.min()))
    ends = np.iinfo(values.dtype)
    of_panes = np.full(count, ends.min if largest else ends.max, values.dtype)
    (np.maximum if largest else np.minimum).at(of_panes, panes, values)
    pieces = [slice(start, start + _PIECE) for start in range(0, len(values), _PIECE)]
    found = [np.flatnonzero(values[piece] == of_panes.take(panes[piece])) + piece.start for piece in pieces]
    return np.concatenate(found)
