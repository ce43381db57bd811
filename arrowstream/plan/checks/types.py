"""Checks of casts that Polars' lazy plan and a run over no rows let pass."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import polars as pl


def can_cast(source: pl.DataType, target: pl.DataType) -> bool:
    """Return whether Polars can cast values of `source` to `target`, by a try on one value."""
    try:
        cast = pl.Series([_sample(source)], dtype=source).cast(target, strict=False)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return False
    # Polars casts a struct to binary field by field, although its plan gives binary.
    return cast.dtype == target


def _sample(dtype: Any) -> Any:
    """Return some value of the type, without nulls inside: Polars casts a null to anything."""
    if dtype.is_numeric():
        return Decimal(0) if dtype.is_decimal() else 0
    match dtype:
        case pl.List():
            return [_sample(dtype.inner)]
        case pl.Array():
            return [_sample(dtype.inner)] * dtype.size
        case pl.Struct():
            return {field.name: _sample(field.dtype) for field in dtype.fields}
        case pl.Enum():
            return dtype.categories.to_list()[0] if len(dtype.categories) else None
        case _:
            return _SAMPLES.get(type(dtype))


_SAMPLES: dict[type, Any] = {
    pl.String: "0",
    pl.Categorical: "0",
    pl.Boolean: False,
    pl.Binary: b"0",
    pl.Date: dt.date(1970, 1, 1),
    pl.Datetime: dt.datetime(1970, 1, 1),
    pl.Duration: dt.timedelta(0),
    pl.Time: dt.time(0),
}


def parts_of_type(dtype: Any) -> list[Any]:
    """Return the types directly inside a list, array or struct."""
    match dtype:
        case pl.List() | pl.Array():
            return [dtype.inner]
        case pl.Struct():
            return [field.dtype for field in dtype.fields]
        case _:
            return []


def has_categories(dtype: Any) -> bool:
    """Return whether a type is or holds a Categorical, at any depth."""
    return isinstance(dtype, pl.Categorical) or any(map(has_categories, parts_of_type(dtype)))


def exposes_codes(source: Any, target: Any) -> bool:
    """Return whether a cast from `source` to `target` turns categories into numbers."""
    match source, target:
        case pl.Categorical(), _:
            return not isinstance(target, pl.Categorical | pl.Enum | pl.String)
        case ((pl.List() | pl.Array()), (pl.List() | pl.Array())):
            return exposes_codes(source.inner, target.inner)
        case _:
            return has_categories(source) and not has_categories(target)
