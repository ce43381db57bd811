"""How Polars' types are stored in SQLite, whose values are integers, floats, texts and bytes only.

The declared type of a column says what its values mean: SQLite itself only takes a preference from it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar

import polars as pl

from arrowstream.io.database.systems.column_types import (
    TEXTS,
    ColumnTypes,
    Stored,
    fits,
    is_plain,
    unsupported,
)

_DATETIME = {"ms": "DATETIME(3)", "us": "DATETIME", "ns": "DATETIME(9)"}
_DIGITS = {"ms": "%3f", "us": "%6f", "ns": "%9f"}
_DECIMAL = re.compile(r"DECIMAL_TEXT\((\d+), ?(\d+)\)")
_YEARS_1_TO_9999 = (-719_162, 2_932_896)

_DECLARED: dict[str, pl.DataType] = {
    "INTEGER": pl.Int64(),
    "INT": pl.Int64(),
    "BIGINT": pl.Int64(),
    "REAL": pl.Float64(),
    "DOUBLE": pl.Float64(),
    "DOUBLE PRECISION": pl.Float64(),
    "FLOAT": pl.Float64(),
    "TEXT": pl.String(),
    "VARCHAR": pl.String(),
    "BLOB": pl.Binary(),
    "BOOLEAN": pl.Boolean(),
    "BOOL": pl.Boolean(),
    "DATE": pl.Date(),
    "TIME": pl.Time(),
    "DATETIME": pl.Datetime("us"),
    "DATETIME(3)": pl.Datetime("ms"),
    "DATETIME(6)": pl.Datetime("us"),
    "DATETIME(9)": pl.Datetime("ns"),
    "TIMESTAMP": pl.Datetime("us"),
    "DATETIME_UTC": pl.Datetime("us", "UTC"),
    "DATETIME_UTC(3)": pl.Datetime("ms", "UTC"),
    "DATETIME_UTC(9)": pl.Datetime("ns", "UTC"),
}
"""The meaning of a declared type."""
_PARENTHESES = re.compile(r"\s*\((?:\d+|MAX)\)")


def declared(sql: str) -> pl.DataType | None:
    """Return the type of the values of a column with this declared type; None if the type does not say it."""
    text = sql.upper().strip()
    if (decimal := _DECIMAL.fullmatch(text)) is not None:
        return pl.Decimal(int(decimal[1]), int(decimal[2]))
    if text in _DECLARED:
        return _DECLARED[text]
    bare = _PARENTHESES.sub("", text)
    if bare in _DECLARED:
        return _DECLARED[bare]
    if "INT" in bare:
        return pl.Int64()
    return pl.String() if any(part in bare for part in ("CHAR", "CLOB", "TEXT")) else None


class SqliteTypes(ColumnTypes):
    """The types of SQLite."""

    name: ClassVar[str] = "SQLite"
    days: ClassVar[tuple[int, int]] = _YEARS_1_TO_9999

    def created(self, dtype: pl.DataType) -> Stored:
        if isinstance(dtype, pl.Decimal):
            # NUMERIC would make floats of the texts.
            return Stored(f"DECIMAL_TEXT({dtype.precision or 38},{dtype.scale})", dtype)
        if isinstance(dtype, pl.Datetime):
            if dtype.time_zone is None:
                return Stored(_DATETIME[dtype.time_unit], dtype)
            name = _DATETIME[dtype.time_unit].replace("DATETIME", "DATETIME_UTC")
            return Stored(name, pl.Datetime(dtype.time_unit, "UTC"))
        if isinstance(dtype, pl.Time):
            return Stored("TIME", dtype)
        if isinstance(dtype, TEXTS):
            return Stored("TEXT", pl.String())
        if not is_plain(dtype):
            raise unsupported(self.name, dtype)
        if dtype.is_integer():
            return Stored("INTEGER", pl.Int64())
        names = {pl.Boolean: "BOOLEAN", pl.Binary: "BLOB", pl.Date: "DATE"}
        name = names.get(type(dtype), "REAL")
        return Stored(name, pl.Float64() if name == "REAL" else dtype)

    def found(self, sql: str, dtype: pl.DataType) -> Stored | None:
        stored = self.created(dtype).dtype if not sql.strip() else declared(sql)
        return Stored(sql, stored) if stored is not None and fits(dtype, stored) else None

    def encoded(self, column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
        if isinstance(dtype, pl.Date):
            return column.dt.to_string("%Y-%m-%d")
        if isinstance(dtype, pl.Time):
            return column.dt.to_string("%H:%M:%S%.9f")
        if isinstance(dtype, pl.Datetime):
            zone = "" if dtype.time_zone is None else "+00:00"
            digits = _DIGITS[dtype.time_unit]
            return column.dt.replace_time_zone(None).dt.to_string(f"%Y-%m-%d %H:%M:%S%.{digits[1:]}{zone}")
        return column.cast(pl.String) if isinstance(dtype, pl.Decimal) else column

    def refused(
        self, column: pl.Expr, dtype: pl.DataType, stored: pl.DataType
    ) -> Iterator[tuple[str, pl.Expr]]:
        yield from super().refused(column, dtype, stored)
        if dtype.is_float():
            yield "no NaN, in place of which SQLite would store NULL", column.is_nan()
