"""Queries of SQLite: the types of their columns, which SQLite does not have but for the declared ones of tables."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import polars as pl

from arrowstream.errors import SchemaError
from arrowstream.io.database.identifiers import quoted
from arrowstream.io.database.systems.read_columns import ReadColumn
from arrowstream.io.database.systems.sqlite_types import declared


def read_columns(label: str, types: Sequence[tuple[str, str]], given: pl.Schema) -> list[ReadColumn]:
    """Return the columns of a query.

    Parameters
    ----------
    label
        The query, for errors.
    types
        Name and declared type of each column; an empty type for what is computed.
    given
        Types that the user declares.

    Raises
    ------
    SchemaError
        Nothing says the type of a column.
    """
    columns = []
    for name, sql in types:
        known = _known(sql)
        dtype = given.get(name, known)
        if dtype is None:
            raise SchemaError(
                f"{label} does not say the type of the column {name!r}",
                expected="columns of tables with declared types",
                found=sql or "an expression",
                hint=f"declare it, schema={{{name!r}: int}}, or write CAST(... AS INTEGER) in the query",
            )
        is_text = known is not None and isinstance(_driver(known), pl.String)
        columns.append(_column(name, pl.String() if is_text else _driver(dtype), dtype))
    return columns


def _known(sql: str) -> pl.DataType | None:
    if sql.upper().startswith(("NUMERIC", "DECIMAL(")):
        return pl.Float64()
    return declared(sql) if sql else None


def _driver(dtype: pl.DataType) -> pl.DataType:
    """Return the type in which SQLite has values of a type."""
    if dtype.is_integer() or isinstance(dtype, pl.Boolean):
        return pl.Int64()
    if dtype.is_float():
        return pl.Float64()
    return dtype if isinstance(dtype, pl.Binary) else pl.String()


_SAMPLES: dict[pl.DataType, str] = {
    pl.Int64(): "0",
    pl.Float64(): "0.0",
    pl.String(): "''",
    pl.Binary(): "x''",
}


def typed(query: str, columns: Sequence[ReadColumn]) -> str:
    """Return a query with a first row by which the driver knows the types: it takes them from the first rows."""
    first = ", ".join(
        f"{_SAMPLES[column.driver or column.dtype]} AS {quoted(column.name)}" for column in columns
    )
    # The driver would make texts of numbers with six digits.
    values = ", ".join(
        f"CAST({quoted(column.name)} AS TEXT)" if column.driver == pl.String else quoted(column.name)
        for column in columns
    )
    return f"SELECT {first} UNION ALL SELECT {values} FROM ({query}\n)"


def _column(name: str, driver: pl.DataType, dtype: pl.DataType) -> ReadColumn:
    value = pl.col(name)
    refused: tuple[tuple[str, pl.Expr], ...] = ()
    if isinstance(dtype, pl.Boolean):
        refused = (("0 and 1 for a Boolean", ~value.is_in([0, 1])),)
    text = isinstance(driver, pl.String)
    if text and isinstance(dtype, pl.Date):
        value = value.str.to_date("%Y-%m-%d")
    elif text and isinstance(dtype, pl.Time):
        value = value.str.to_time("%H:%M:%S%.f")
    elif text and isinstance(dtype, pl.Datetime):
        value = _time(value, dtype)
    elif dtype != driver:
        value = value.cast(dtype)
    return ReadColumn(name, dtype, value, refused, driver)


def _time(text: pl.Expr, dtype: pl.Datetime) -> pl.Expr:
    text = text.str.replace("T", " ", literal=True)
    parsed = pl.Datetime(dtype.time_unit)
    if dtype.time_zone is None:
        return text.map_batches(partial(_parsed, dtype=parsed), parsed)
    text = text.str.replace(r"(?:Z|\+00:00)$", "")
    utc = text.map_batches(partial(_parsed, dtype=parsed), parsed).dt.replace_time_zone("UTC")
    return utc.dt.convert_time_zone(dtype.time_zone)


_DIGITS = {"ms": 3, "us": 6, "ns": 9}


def _parsed(text: pl.Series, dtype: pl.Datetime) -> pl.Series:
    """Return texts as times. Texts of one length are mostly in a form that Polars parses in a fifth of the time."""
    digits = _DIGITS[dtype.time_unit]
    forms = {19: "%Y-%m-%d %H:%M:%S", 20 + digits: f"%Y-%m-%d %H:%M:%S.%{digits}f"}
    lengths = text.str.len_bytes().unique().drop_nulls()
    if len(lengths) == 1 and lengths[0] in forms:
        found = text.str.to_datetime(forms[lengths[0]], time_unit=dtype.time_unit, strict=False, cache=False)
        if found.null_count() == text.null_count():
            return found
    return text.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit=dtype.time_unit)
