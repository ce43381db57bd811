"""Errors for rows whose columns do not fit the table that they are written to."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import polars as pl

from arrowstream.core.hints import did_you_mean
from arrowstream.errors import SchemaError


def check_needed(table: str, needed: Iterable[str], schema: pl.Schema) -> None:
    """Raise SchemaError if rows of a schema lack columns that a table, such as ``the Delta table x``, needs."""
    missing = [name for name in needed if name not in schema]
    if missing:
        raise SchemaError(
            f"the rows lack columns that {table} needs",
            expected=", ".join(dict.fromkeys(missing)),
            found=f"the columns {', '.join(schema)}",
        )


def no_column(table: str, name: str, columns: Collection[str], adds: str) -> SchemaError:
    """Return the error for a column that a table lacks; `adds` is the method that adds one."""
    return SchemaError(
        f"{table} has no column {name!r}",
        expected=f"columns of {', '.join(columns)}",
        found=name,
        hint=did_you_mean(name, columns) or f"leave it out, or add it with {adds}",
    )


def other_type(table: str, name: str, expected: str, stored: str, dtype: pl.DataType) -> SchemaError:
    """Return the error for a column of a type that is stored as another one than the table has."""
    return SchemaError(
        f"the column {name!r} has another type in {table}",
        expected=expected,
        found=f"{stored}, for {dtype}",
        hint="cast the column to the type of the table first",
    )


def other_partitions(table: str, expected: Sequence[str], found: Sequence[str]) -> SchemaError:
    """Return the error for rows by other partitions than those of a table."""
    return SchemaError(
        f"{table} has other partitions",
        expected=f"partition_by={list(expected)}",
        found=f"partition_by={list(found)}",
    )
