"""The values of a job that mean something to Polars: SQL expressions and type names."""

from __future__ import annotations

import re

import polars as pl

from arrowstream.job_file import Value
from arrowstream.type_names import dtype

# Double quotes are SQL's own way to write a name with spaces, or one that is also a keyword.
_NAMED = re.compile(
    r'(?P<expression>.+?)\s+AS\s+(?P<name>"[^"]+"|[A-Za-z_]\w*)\s*', re.DOTALL | re.IGNORECASE
)


def expression(value: Value) -> pl.Expr:
    """One SQL expression, as `polars.sql_expr` reads it.

    Raises
    ------
    JobError
        It is no SQL: ``flights.toml:8: 'filter' in [[steps]]: 'a >' is no SQL expression: ...``
    """
    text = value.text()
    try:
        pl.sql_expr(text)  # first as written, so that a position in its message fits
        # A line break closes a comment that runs to the end of its line.
        found = pl.sql_expr(f"({text}\n)")
        followed = pl.sql_expr(f"({text}\n) IS NULL")
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:  # a panic: INTERVAL 'x'
        raise value.error(f"{text!r} is no SQL expression: {error}") from None
    # Polars before 2 reads "a > 1) b" as "a > 1" and says nothing: then it has not come to IS NULL either.
    if not followed.meta.eq(found.is_null()):
        raise value.error(f"{text!r} is no SQL expression: there is more after its end")
    return found


def named_expression(value: Value) -> pl.Expr:
    """One SQL expression that may bring its name, ``distance / 60 AS miles``."""
    named = _NAMED.fullmatch(value.text())
    if named is None:
        return expression(value)
    plain = Value(value.file, value.at, named["expression"])
    return expression(plain).alias(named["name"].strip('"'))


def expressions(value: Value) -> list[pl.Expr]:
    """A string, or an array of strings, each one SQL expression."""
    return [expression(item) for item in value.items()]


def columns(value: Value) -> list[pl.Expr]:
    """What becomes columns: ``{ name = "SQL" }``, or an array of SQL that may say ``AS name``."""
    if isinstance(value.found, dict):
        return [expression(item).alias(name) for name, item in value.table().items()]
    return [named_expression(item) for item in value.items()]


def types(value: Value) -> dict[str, pl.DataType]:
    """A table from columns to type names."""
    return {name: _type(item) for name, item in value.table().items()}


def _type(value: Value) -> pl.DataType:
    try:
        return dtype(value.text())
    except ValueError as error:
        raise value.error(str(error)) from None
