"""Changes: rows with a column that says what became of them, for steps whose results change."""

from __future__ import annotations

from collections.abc import Collection

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


class RowsThatChange:
    """A step that knows whether one of its rows takes the place of another."""

    __slots__ = ()

    def that_come_again(self, columns: Collection[str]) -> frozenset[str] | None:
        """Return columns in which several rows of the output have the same values, whatever these are.

        Parameters
        ----------
        columns
            The columns of the output.

        Returns
        -------
        The columns; None if no row comes again.
        """
        return None

    def left_behind(self, key: Collection[str]) -> str | None:
        """Return which rows stay in a table that replaces rows by `key`, though they are no longer right; or None."""
        return None
