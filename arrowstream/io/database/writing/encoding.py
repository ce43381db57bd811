"""Rows in the form that a table takes: named and typed as its columns, with nothing that it would change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl
import pyarrow as pa

from arrowstream.errors import SinkError
from arrowstream.io.database.systems.column_types import ColumnTypes, Stored

_NO_NAN = "make NaN null before, or leave such rows out"


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A column of the rows and of the table.

    Parameters
    ----------
    name
        Its name in the rows.
    target
        Its name in the table.
    stored
        How the table stores it.
    """

    name: str
    target: str
    stored: Stored


class RowEncoding:
    """Makes rows of Polars into rows for a table.

    Parameters
    ----------
    types
        Types of the database.
    table
        Name of the table, for errors.
    schema
        Schema of the rows.
    columns
        Its columns, in order.
    key
        Columns of which a batch keeps the last row for each value, and which are never null; none to keep all.
    """

    def __init__(
        self,
        types: ColumnTypes,
        table: str,
        schema: pl.Schema,
        columns: Sequence[TableColumn],
        key: Sequence[str] = (),
    ) -> None:
        self._table = table
        self._key = tuple(key)
        self._expressions = []
        self._refused: list[tuple[str, str, str | None]] = []
        checks = []
        for column in columns:
            value, dtype, stored = pl.col(column.name), schema[column.name], column.stored.dtype
            made = types.encoded(value if dtype == stored else value.cast(stored), stored)
            self._expressions.append(made.alias(column.target))
            for reason, found in types.refused(value, dtype, stored):
                hint = _NO_NAN if dtype.is_float() and stored.is_float() else None
                self._refused.append((column.name, reason, hint))
                checks.append(found.any())
        for name in self._key:
            hint = (
                f'put a value in place of null before: .with_columns(pl.col("{name}").fill_null(...)), '
                f'or leave such rows out: .filter(pl.col("{name}").is_not_null())'
            )
            self._refused.append((name, "a key that is never null", hint))
            checks.append(pl.col(name).is_null().any())
        self._checks = [check.alias(str(number)) for number, check in enumerate(checks)]

    def encode(self, frame: pl.DataFrame) -> pa.Table:
        """Return rows for the table.

        Raises
        ------
        SinkError
            A value cannot be stored as it is.
        """
        try:
            if self._checks:
                for (name, reason, hint), found in zip(
                    self._refused, frame.select(self._checks).row(0), strict=True
                ):
                    if found:
                        raise SinkError(
                            f"the table {self._table} cannot hold a value of the column {name!r}",
                            expected=reason,
                            hint=hint,
                        )
            if self._key:
                frame = frame.unique(self._key, keep="last", maintain_order=True)
            encoded = frame.select(self._expressions)
        except pl.exceptions.PolarsError as error:
            raise SinkError(
                f"the table {self._table} cannot hold a value",
                expected="values in the range of their columns",
                found=str(error).splitlines()[0],
            ) from error
        return encoded.to_arrow(compat_level=pl.CompatLevel.oldest())
