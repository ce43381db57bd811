"""Whether Polars can cast one type to another, which its lazy plan does not tell and no rows do not show."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import polars as pl


def can_cast(source: pl.DataType, target: pl.DataType) -> bool:
    """Whether values of `source` can be cast to `target` at all; tried on one value."""
    try:
        cast = pl.Series([_sample(source)], dtype=source).cast(target, strict=False)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return False
    # Polars takes a struct to binary field by field, and announces otherwise.
    return cast.dtype == target


def _sample(dtype: Any) -> Any:
    """Some value of the type, without nulls inside: Polars casts a null to anything."""
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
