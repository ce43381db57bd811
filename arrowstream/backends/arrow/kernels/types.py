"""Predicates on Arrow types, under names that read well in a kernel."""

from __future__ import annotations

import pyarrow as pa

from arrowstream.expressions.program import Call

_types = pa.types


def is_integer(dtype: pa.DataType) -> bool:
    return bool(_types.is_integer(dtype))


def is_float(dtype: pa.DataType) -> bool:
    """Single or double precision; half precision is left to Polars."""
    return bool(_types.is_float32(dtype) or _types.is_float64(dtype))


def is_number(dtype: pa.DataType) -> bool:
    return is_integer(dtype) or is_float(dtype)


def is_bytes(dtype: pa.DataType) -> bool:
    """Strings and binary: Arrow and Polars both order them by their bytes."""
    return bool(
        _types.is_large_string(dtype)
        or _types.is_string(dtype)
        or _types.is_large_binary(dtype)
        or _types.is_binary(dtype)
    )


def is_moment(dtype: pa.DataType) -> bool:
    """Dates, times, timestamps and durations: integers underneath."""
    return bool(_types.is_temporal(dtype))


def is_plain(dtype: pa.DataType) -> bool:
    """Every type that is not nested, not coded by a dictionary, and not null."""
    return (
        is_number(dtype)
        or is_bytes(dtype)
        or is_moment(dtype)
        or bool(_types.is_boolean(dtype) or _types.is_decimal(dtype))
    )


def differing(call: Call) -> str | None:
    """Why the arguments' types do not all equal the result's, or None where they do."""
    others = [str(argument.dtype) for argument in call.arguments if argument.dtype != call.dtype]
    return f"{', '.join(others)} where {call.dtype} is needed" if others else None
