"""Rows in the types of a table, and refusals of values that it would change."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import polars as pl

from arrowstream.errors import SinkError
from arrowstream.io.lake.types import changed


class RefusedValues(NamedTuple):
    """Values that a table cannot hold.

    Parameters
    ----------
    column
        Their column.
    expected
        What its values must be.
    found
        Expression that is true for the others.
    """

    column: str
    expected: str
    found: pl.Expr


class LakeEncoding:
    """Converts rows into rows of a table.

    Parameters
    ----------
    table
        The table, for errors.
    schema
        Schema of the rows.
    stored
        Columns of the rows in the types that the table stores.
    required
        Columns that are never null.
    refusals
        Values that this kind of table cannot hold, next to those that every one would change.
    keys
        Columns that are added to the stored ones.
    """

    def __init__(
        self,
        table: str,
        schema: pl.Schema,
        stored: pl.Schema,
        required: Collection[str],
        refusals: Sequence[RefusedValues] = (),
        keys: Sequence[pl.Expr] = (),
    ) -> None:
        self._table = table
        self._columns = [
            *(
                pl.col(name) if schema[name] == dtype else pl.col(name).cast(dtype)
                for name, dtype in stored.items()
            ),
            *keys,
        ]
        self._refusals = [
            *(
                RefusedValues(name, *found)
                for name, dtype in schema.items()
                for found in changed(name, dtype)
            ),
            *(RefusedValues(name, "values that are not null", pl.col(name).is_null()) for name in required),
            *refusals,
        ]
        self._checks = [each.found.any().alias(str(number)) for number, each in enumerate(self._refusals)]

    def encode(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return rows of the table.

        Raises
        ------
        SinkError
            A value cannot be stored as it is.
        """
        if self._checks:
            for refusal, wrong in zip(self._refusals, frame.select(self._checks).row(0), strict=True):
                if wrong:
                    raise SinkError(
                        f"{self._table} cannot hold a value of the column {refusal.column!r}",
                        expected=refusal.expected,
                    )
        return frame.select(self._columns)
