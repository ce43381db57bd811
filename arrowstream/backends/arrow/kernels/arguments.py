"""Questions of a kernel about a call's arguments, before it agrees to compute the call."""

from __future__ import annotations

import pyarrow as pa

from arrowstream.expressions.program import Call, Literal


def is_text(dtype: pa.DataType) -> bool:
    """True for Arrow's string types with offsets."""
    return bool(pa.types.is_large_string(dtype) or pa.types.is_string(dtype))


def constant_text(call: Call, index: int) -> str | None:
    """Argument `index` where it is constant text; None where it is a column, computed, null or not text."""
    argument = call.arguments[index]
    return argument.value if isinstance(argument, Literal) and isinstance(argument.value, str) else None


def constant_int(call: Call, index: int) -> int | None:
    """Argument `index` where it is a constant integer; None where it is anything else, null too."""
    argument = call.arguments[index]
    return argument.value if isinstance(argument, Literal) and isinstance(argument.value, int) else None
