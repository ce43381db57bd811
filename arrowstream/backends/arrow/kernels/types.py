"""Predicates on Arrow types, under names that read well in a kernel."""

from __future__ import annotations

import pyarrow as pa

from arrowstream.expressions.program import Call

_types = pa.types


def is_integer(dtype: pa.DataType) -> bool:
    """Return whether a type is an integer of any width and sign."""
    return bool(_types.is_integer(dtype))


def is_float(dtype: pa.DataType) -> bool:
    """Return whether a type is a float of single or double precision; half precision is left to Polars."""
    return bool(_types.is_float32(dtype) or _types.is_float64(dtype))


def is_number(dtype: pa.DataType) -> bool:
    """Return whether a type is an integer, or a float of single or double precision."""
    return is_integer(dtype) or is_float(dtype)


def is_bytes(dtype: pa.DataType) -> bool:
    """Return whether a type is a string or binary, which Arrow and Polars both order by bytes."""
    return bool(
        _types.is_large_string(dtype)
        or _types.is_string(dtype)
        or _types.is_large_binary(dtype)
        or _types.is_binary(dtype)
    )


def is_moment(dtype: pa.DataType) -> bool:
    """Return whether a type is a date, time, timestamp or duration, all stored as integers."""
    return bool(_types.is_temporal(dtype))


def is_plain(dtype: pa.DataType) -> bool:
    """Return whether a type is a number, string, binary, moment, boolean or decimal."""
    return (
        is_number(dtype)
        or is_bytes(dtype)
        or is_moment(dtype)
        or bool(_types.is_boolean(dtype) or _types.is_decimal(dtype))
    )


def differing(call: Call) -> str | None:
    """Return the reason to refuse a call whose arguments do not all have the result's type, or None."""
    others = [str(argument.dtype) for argument in call.arguments if argument.dtype != call.dtype]
    return f"{', '.join(others)} where {call.dtype} is needed" if others else None
