"""Rows that replace others, as changes."""

from __future__ import annotations

import numpy as np
import polars as pl

from arrowstream.core.rows.changes import AFTER, BEFORE, CHANGE, CHANGE_TYPE, INSERT
from arrowstream.state.arrays import Array


def replaced(before: pl.DataFrame, after: pl.DataFrame, there: Array) -> pl.DataFrame:
    """Return rows that replace others as changes, without those that stay as they are.

    Parameters
    ----------
    before
        The rows that were there.
    after
        The rows that are there now, of which some replace those, in the same order.
    there
        Whether each row of `after` replaces one (rows,), bool.
    """
    place = np.flatnonzero(there)
    now = after[pl.Series(place.astype(np.uint32))]
    pairs = (
        one.ne_missing(other) for one, other in zip(before.get_columns(), now.get_columns(), strict=True)
    )
    differs = np.logical_or.reduce([np.zeros(len(place), np.bool_), *(pair.to_numpy() for pair in pairs)])
    new = np.flatnonzero(~there)
    rows = pl.concat(
        [before.filter(pl.Series(differs)), now.filter(pl.Series(differs)), after.filter(pl.Series(~there))]
    )
    count = int(differs.sum())
    words = np.repeat([BEFORE, AFTER, INSERT], [count, count, len(new)])
    order = np.argsort(np.concatenate([place[differs], place[differs], new]), kind="stable")
    rows = rows.with_columns(pl.Series(CHANGE, words).cast(CHANGE_TYPE))
    return rows[pl.Series(order.astype(np.uint32))]
