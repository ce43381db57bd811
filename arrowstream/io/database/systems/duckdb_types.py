"""How Polars' types are stored in DuckDB, which has nearly all of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar

import polars as pl

from arrowstream.io.database.identifiers import quoted
from arrowstream.io.database.systems.column_types import (
    MICROSECONDS_UTC,
    TEXTS,
    ColumnTypes,
    Stored,
    fits,
    unsupported,
)
from arrowstream.io.database.systems.postgresql_types import fine_times

_CREATED: dict[type[pl.DataType], str] = {
    pl.Int8: "TINYINT",
    pl.Int16: "SMALLINT",
    pl.Int32: "INTEGER",
    pl.Int64: "BIGINT",
    pl.UInt8: "UTINYINT",
    pl.UInt16: "USMALLINT",
    pl.UInt32: "UINTEGER",
    pl.UInt64: "UBIGINT",
    pl.Float32: "FLOAT",
    pl.Float64: "DOUBLE",
    pl.Boolean: "BOOLEAN",
    pl.String: "VARCHAR",
    pl.Binary: "BLOB",
    pl.Date: "DATE",
    pl.Time: "TIME",
}
_DATETIME = {"ms": "TIMESTAMP_MS", "us": "TIMESTAMP", "ns": "TIMESTAMP_NS"}
_ZONED = "TIMESTAMP WITH TIME ZONE"
_FOUND: dict[str, pl.DataType] = {
    **{sql: dtype() for dtype, sql in _CREATED.items()},
    **{sql: pl.Datetime(unit) for unit, sql in _DATETIME.items()},  # type: ignore[arg-type]
    _ZONED: MICROSECONDS_UTC,
}
_DECIMAL = re.compile(r"DECIMAL\((\d+),(\d+)\)")


class DuckdbTypes(ColumnTypes):
    """The types of DuckDB."""

    name: ClassVar[str] = "DuckDB"
    days: ClassVar[tuple[int, int]] = (-106_751_990, 106_751_990)

    def created(self, dtype: pl.DataType) -> Stored:
        if isinstance(dtype, pl.Datetime) and dtype.time_zone is not None:
            return Stored(_ZONED, MICROSECONDS_UTC)
        if isinstance(dtype, pl.Time):
            return Stored("TIME", dtype)
        return self._exact(dtype)

    def _exact(self, dtype: pl.DataType) -> Stored:
        """Return how a type is stored whose values need no look, and which may be within another one."""
        if isinstance(dtype, TEXTS):
            return Stored("VARCHAR", pl.String())
        if isinstance(dtype, pl.Decimal):
            return Stored(f"DECIMAL({dtype.precision or 38},{dtype.scale})", dtype)
        if isinstance(dtype, pl.Datetime) and dtype.time_zone is None:
            return Stored(_DATETIME[dtype.time_unit], dtype)
        if isinstance(dtype, pl.List):
            inner = self._exact(dtype.inner)  # type: ignore[arg-type]
            return Stored(f"{inner.sql}[]", pl.List(inner.dtype))
        if isinstance(dtype, pl.Array):
            inner = self._exact(dtype.inner)  # type: ignore[arg-type]
            return Stored(f"{inner.sql}[{dtype.size}]", pl.Array(inner.dtype, dtype.size))
        if isinstance(dtype, pl.Struct) and dtype.fields:
            parts = {field.name: self._exact(field.dtype) for field in dtype.fields}  # type: ignore[arg-type]
            sql = ", ".join(f"{quoted(name)} {part.sql}" for name, part in parts.items())
            return Stored(f"STRUCT({sql})", pl.Struct({name: part.dtype for name, part in parts.items()}))
        if type(dtype) not in _CREATED or isinstance(dtype, pl.Time):
            raise unsupported(self.name, dtype)
        return Stored(_CREATED[type(dtype)], dtype)

    def found(self, sql: str, dtype: pl.DataType) -> Stored | None:
        if (decimal := _DECIMAL.fullmatch(sql)) is not None:
            stored: pl.DataType | None = pl.Decimal(int(decimal[1]), int(decimal[2]))
        else:
            stored = _FOUND.get(sql)
        if stored is None and dtype.is_nested():
            made = self.created(dtype)
            return made if made.sql.replace('"', "") == sql.replace('"', "") else None
        return Stored(sql, stored) if stored is not None and fits(dtype, stored) else None

    def refused(
        self, column: pl.Expr, dtype: pl.DataType, stored: pl.DataType
    ) -> Iterator[tuple[str, pl.Expr]]:
        yield from super().refused(column, dtype, stored)
        yield from fine_times(column, dtype)
