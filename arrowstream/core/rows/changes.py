"""Changes: rows with a column that says what became of them, for steps whose results change."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from arrowstream.errors import PlanError

CHANGE = "_change"
"""The column that says what a row is; the last one."""

INSERT, BEFORE, AFTER, DELETE = CHANGES = ("insert", "update_before", "update_after", "delete")
"""A row that is new, a row that is replaced, the row in its place, and a row that is no longer there."""

CHANGE_TYPE = pl.Enum(CHANGES)
"""The type of the column."""


def changes_schema(step: str, schema: pl.Schema) -> pl.Schema:
    """Return the schema of changes of rows of a schema.

    Parameters
    ----------
    step
        Name of the operator, for errors.
    schema
        The schema of the rows.

    Raises
    ------
    PlanError
        The rows have a column of this name, as changes have.
    """
    if CHANGE in schema:
        raise PlanError(
            f'{step}(emit="changes") gives a column {CHANGE} itself',
            expected="rows without a column of this name",
            found=", ".join(schema),
            hint=f"rows that are changes already cannot change once more: add up their signs, or drop {CHANGE}",
        )
    return pl.Schema({**schema, CHANGE: CHANGE_TYPE})


def replaced(
    before: pl.DataFrame, after: pl.DataFrame, there: np.ndarray[Any, np.dtype[np.bool_]]
) -> pl.DataFrame:
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
