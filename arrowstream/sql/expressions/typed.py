"""An expression of a query with its type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl


@dataclass(frozen=True, slots=True)
class Typed:
    """An expression with its type.

    Parameters
    ----------
    expr
        The expression.
    dtype
        Its type; Null for a NULL.
    value
        Its value, if it is written in the query.
    constant
        Whether it is a value that is written in the query.
    """

    expr: pl.Expr
    dtype: pl.DataType
    value: Any = None
    constant: bool = False

    @property
    def is_null(self) -> bool:
        """Whether it is NULL."""
        return self.dtype == pl.Null

    @property
    def is_integer(self) -> bool:
        """Whether it is a whole number."""
        return self.dtype.is_integer()

    @property
    def is_float(self) -> bool:
        """Whether it is a DOUBLE or FLOAT."""
        return self.dtype.is_float()

    @property
    def is_number(self) -> bool:
        """Whether one can calculate with it."""
        return self.is_integer or self.is_float

    @property
    def is_text(self) -> bool:
        """Whether it is text."""
        return self.dtype in TEXT

    @property
    def is_time(self) -> bool:
        """Whether it is a TIMESTAMP or a DATE."""
        return self.dtype == pl.Date or isinstance(self.dtype, pl.Datetime)

    def cast(self, dtype: pl.DataType) -> Typed:
        """Return the value in another type that holds it."""
        if self.dtype == dtype:
            return self
        if self.is_null:
            return Typed(pl.lit(None, dtype), dtype, None, True)
        return Typed(self.expr.cast(dtype), dtype, self.value, self.constant)


TEXT = (pl.String, pl.Categorical, pl.Enum)

_NAMES = (
    (pl.Boolean, "BOOLEAN"),
    (pl.Int8, "TINYINT"),
    (pl.Int16, "SMALLINT"),
    (pl.Int32, "INTEGER"),
    (pl.Int64, "BIGINT"),
    (pl.Float32, "FLOAT"),
    (pl.Float64, "DOUBLE"),
    (pl.String, "VARCHAR"),
    (pl.Date, "DATE"),
    (pl.Time, "TIME"),
    (pl.Duration, "INTERVAL"),
    (pl.Null, "NULL"),
)


def name_of(dtype: pl.DataType) -> str:
    """Return what SQL calls a type.

    Examples
    --------
    >>> name_of(pl.Int64()), name_of(pl.Datetime("us")), name_of(pl.List(pl.Int64()))
    ('BIGINT', 'TIMESTAMP', 'List(Int64)')
    """
    if isinstance(dtype, pl.Datetime):
        return "TIMESTAMP" if dtype.time_zone is None else "TIMESTAMP WITH TIME ZONE"
    return next((name for kind, name in _NAMES if dtype == kind), str(dtype))


def common(one: pl.DataType, other: pl.DataType) -> pl.DataType | None:
    """Return the type that holds the values of both, as in CASE and UNION ALL; None if SQL has none.

    Examples
    --------
    >>> common(pl.Int32(), pl.Float64()), common(pl.Date(), pl.Datetime("ms")), common(pl.String(), pl.Int64())
    (Float64, Datetime(time_unit='ms', time_zone=None), None)
    """
    if one == other or other == pl.Null:
        return one
    if one == pl.Null:
        return other
    if one.is_integer() and other.is_integer():
        return pl.Int64()
    if one.is_numeric() and other.is_numeric() and not (one.is_decimal() or other.is_decimal()):
        return pl.Float64()
    if one in TEXT and other in TEXT:
        return pl.String()
    return _time(one, other)


def _time(one: pl.DataType, other: pl.DataType) -> pl.DataType | None:
    match one, other:
        case pl.Datetime(), pl.Datetime():
            units = [unit for unit in ("ns", "us", "ms") if unit in (one.time_unit, other.time_unit)]
            return pl.Datetime(units[0], one.time_zone) if one.time_zone == other.time_zone else None
        case pl.Date(), pl.Datetime(time_zone=None):
            return other
        case pl.Datetime(time_zone=None), pl.Date():
            return one
    return None
