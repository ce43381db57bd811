"""How Polars' types are stored in PostgreSQL."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar

import polars as pl

from arrowstream.io.database.systems.column_types import (
    MICROSECONDS,
    MICROSECONDS_UTC,
    TEXTS,
    ColumnTypes,
    Stored,
    fits,
    unsupported,
)

_CREATED: dict[type[pl.DataType], tuple[str, pl.DataType]] = {
    pl.Int8: ("smallint", pl.Int16()),
    pl.Int16: ("smallint", pl.Int16()),
    pl.Int32: ("integer", pl.Int32()),
    pl.Int64: ("bigint", pl.Int64()),
    pl.UInt8: ("smallint", pl.Int16()),
    pl.UInt16: ("integer", pl.Int32()),
    pl.UInt32: ("bigint", pl.Int64()),
    pl.UInt64: ("numeric(20,0)", pl.Decimal(20, 0)),
    pl.Float32: ("real", pl.Float32()),
    pl.Float64: ("double precision", pl.Float64()),
    pl.Boolean: ("boolean", pl.Boolean()),
    pl.String: ("text", pl.String()),
    pl.Categorical: ("text", pl.String()),
    pl.Enum: ("text", pl.String()),
    pl.Binary: ("bytea", pl.Binary()),
    pl.Date: ("date", pl.Date()),
    pl.Time: ("time without time zone", pl.Time()),
}
_FOUND: dict[str, pl.DataType] = {
    **dict(_CREATED.values()),
    "character varying": pl.String(),
    "timestamp without time zone": MICROSECONDS,
    "timestamp with time zone": MICROSECONDS_UTC,
    "timestamp(6) without time zone": MICROSECONDS,
    "timestamp(6) with time zone": MICROSECONDS_UTC,
    "timestamp(3) without time zone": pl.Datetime("ms"),
    "timestamp(3) with time zone": pl.Datetime("ms", "UTC"),
    "time(6) without time zone": pl.Time(),
}
_NUMERIC = re.compile(r"numeric\((\d+),(\d+)\)")
_VARYING = re.compile(r"character varying\(\d+\)")
_ROUNDS = re.compile(r"(?:time|timestamp)\(\d\)|character\(|numeric\(|interval|\[\]|\"char\"|bit")
"""Types that would change a text: they round it, fill it up or cut it off."""


class PostgresqlTypes(ColumnTypes):
    """The types of PostgreSQL."""

    name: ClassVar[str] = "PostgreSQL"
    days: ClassVar[tuple[int, int]] = (-2_440_588, 106_751_990)
    folds: ClassVar[bool] = False

    def created(self, dtype: pl.DataType) -> Stored:
        if isinstance(dtype, pl.Datetime):
            if dtype.time_zone is None:
                return Stored("timestamp without time zone", MICROSECONDS)
            return Stored("timestamp with time zone", MICROSECONDS_UTC)
        if isinstance(dtype, pl.Decimal):
            return Stored(f"numeric({dtype.precision or 38},{dtype.scale})", dtype)
        if type(dtype) not in _CREATED:
            raise unsupported(self.name, dtype)
        return Stored(*_CREATED[type(dtype)])

    def found(self, sql: str, dtype: pl.DataType) -> Stored | None:
        if (numeric := _NUMERIC.fullmatch(sql)) is not None:
            stored: pl.DataType | None = (
                pl.Decimal(int(numeric[1]), int(numeric[2])) if int(numeric[1]) <= 38 else None
            )
        elif sql == "numeric":
            scale = dtype.scale if isinstance(dtype, pl.Decimal) else 0
            stored = pl.Decimal(38, scale)
        else:
            stored = pl.String() if _VARYING.fullmatch(sql) else _FOUND.get(sql)
        if stored is not None:
            return Stored(sql, stored) if fits(dtype, stored) else None
        if isinstance(dtype, TEXTS) and not _ROUNDS.search(sql):
            return Stored("text", pl.String(), cast=sql)
        return None

    def refused(
        self, column: pl.Expr, dtype: pl.DataType, stored: pl.DataType
    ) -> Iterator[tuple[str, pl.Expr]]:
        yield from super().refused(column, dtype, stored)
        yield from fine_times(column, dtype)


def fine_times(column: pl.Expr, dtype: pl.DataType) -> Iterator[tuple[str, pl.Expr]]:
    """Yield what finds times of day that are not whole microseconds."""
    if isinstance(dtype, pl.Time):
        yield "times of whole us", column.to_physical() % 1_000 != 0
