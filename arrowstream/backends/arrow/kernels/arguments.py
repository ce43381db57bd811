"""Predicates on a call's arguments, for the checks that a kernel makes before it computes the call."""

from __future__ import annotations

import pyarrow as pa

from arrowstream.expressions.program import Call, Literal


def is_text(dtype: pa.DataType) -> bool:
    """Return whether a type is one of Arrow's string types with offsets."""
    return bool(pa.types.is_large_string(dtype) or pa.types.is_string(dtype))


def constant_text(call: Call, index: int) -> str | None:
    """Return argument `index` if it is constant text; None if it is a column, computed, null or not text."""
    argument = call.arguments[index]
    return argument.value if isinstance(argument, Literal) and isinstance(argument.value, str) else None


def constant_int(call: Call, index: int) -> int | None:
    """Return argument `index` if it is a constant integer; None if it is anything else, or null."""
    argument = call.arguments[index]
    return argument.value if isinstance(argument, Literal) and isinstance(argument.value, int) else None
