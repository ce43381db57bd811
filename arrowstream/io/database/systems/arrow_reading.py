"""Queries of PostgreSQL and DuckDB: columns whose types the driver gives."""

from __future__ import annotations

from typing import Any

import polars as pl
import pyarrow as pa

from arrowstream.core.rows.arrow_types import polars_schema
from arrowstream.errors import SchemaError
from arrowstream.io.database.systems.read_columns import ReadColumn, each_once

_TYPE, _MODIFIER = b"POSTGRESQL:type", b"POSTGRESQL:typmod"
"""The keys under which PostgreSQL's driver says the type of a column, and the number in parentheses after it."""
_AS_TEXT = {b"oid", b"money", b"interval"}
"""Types whose values the driver changes, or that Polars lacks."""
_US_2000, _DAYS_2000 = 946_684_800_000_000, 10_957


def read_columns(label: str, schema: pa.Schema, given: pl.Schema) -> list[ReadColumn]:
    """Return the columns of a query.

    Parameters
    ----------
    label
        The query, for errors.
    schema
        Its columns, as the driver says.
    given
        Types that the user declares.

    Raises
    ------
    SchemaError
        A column has a type that is not read, or two have one name.
    """
    each_once(schema.names)
    columns = []
    for field in schema:
        column = _column(label, field, given.get(field.name))
        columns.append(column.declared(given[field.name]) if field.name in given else column)
    return columns


def _column(label: str, field: pa.Field, given: pl.DataType | None) -> ReadColumn:
    metadata: dict[bytes, bytes] = field.metadata or {}
    name, value, kind = field.name, pl.col(field.name), metadata.get(_TYPE, b"")
    if kind == b"numeric":
        return ReadColumn(name, _numeric(label, name, metadata, given), _number(value, given, metadata))
    stored: Any = field.type.storage_type if isinstance(field.type, pa.BaseExtensionType) else field.type
    if kind == b"uuid":
        return ReadColumn(name, pl.String(), _uuid(value))
    opaque = isinstance(field.type, pa.BaseExtensionType) and kind not in (b"json", b"jsonb")
    if kind in _AS_TEXT or opaque or _is_interval(stored) or kind == b"_numeric":
        raise SchemaError(
            f"{label} has a type that is not read in the column {name!r}",
            expected="types that Polars has",
            found=kind.decode() or str(field.type),
            hint=f'write CAST("{name}" AS text) in the query, or EXTRACT(EPOCH FROM "{name}") for an interval',
        )
    dtype = polars_schema(pa.schema([(name, stored)]))[name]
    return ReadColumn(name, dtype, value, _infinite(value, dtype) if kind else ())


def _is_interval(dtype: pa.DataType) -> bool:
    return bool(dtype == pa.month_day_nano_interval()) or pa.types.is_duration(dtype)


def _digits(metadata: dict[bytes, bytes]) -> tuple[int, int] | None:
    modifier = int(metadata.get(_MODIFIER, b"-1")) - 4
    return None if modifier < 0 else (modifier >> 16, modifier & 0x7FF)


def _numeric(label: str, name: str, metadata: dict[bytes, bytes], given: pl.DataType | None) -> pl.DataType:
    digits = _digits(metadata)
    if given is not None:
        return given
    if digits is None or digits[0] > 38:
        raise SchemaError(
            f"{label} has numbers of any precision in the column {name!r}",
            expected="numeric(p, s) with at most 38 digits",
            found="numeric" if digits is None else f"numeric({digits[0]}, {digits[1]})",
            hint=f"write CAST(... AS numeric(38, 9)) or double precision in the query, or declare the type: "
            f"schema={{{name!r}: pl.Decimal(38, 9)}}",
        )
    return pl.Decimal(*digits)


def _number(value: pl.Expr, given: pl.DataType | None, metadata: dict[bytes, bytes]) -> pl.Expr:
    """Return the values of numeric, which come as texts."""
    if given is not None:
        return value.cast(given)
    digits = _digits(metadata)
    return value if digits is None else value.cast(pl.Decimal(*digits))


def _uuid(value: pl.Expr) -> pl.Expr:
    text = value.bin.encode("hex")
    parts = [text.str.slice(start, length) for start, length in ((0, 8), (8, 4), (12, 4), (16, 4), (20, 12))]
    return pl.concat_str(parts, separator="-")


def _infinite(value: pl.Expr, dtype: pl.DataType) -> tuple[tuple[str, pl.Expr], ...]:
    """Return what finds PostgreSQL's infinite times, which the driver makes other times of."""
    if isinstance(dtype, pl.Datetime):
        number, bits, offset = value.cast(pl.Int64), 64, _US_2000
    elif isinstance(dtype, pl.Date):
        number, bits, offset = value.cast(pl.Int32), 32, _DAYS_2000
    else:
        return ()
    least = -(1 << bits - 1) + offset
    return (("times that are not infinite", number.is_between(least - 1, least)),)
