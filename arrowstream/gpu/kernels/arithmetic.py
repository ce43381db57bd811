"""Addition, subtraction, multiplication, true division, sign and limits, with Polars' wrap-around.

Operations of floats are single ones, which IEEE 754 defines to the bit on every device. Like Polars, these kernels
divide by a constant by a multiplication with its reciprocal.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pyarrow as pa

from arrowstream.backends.arrow.kernels.types import differing, is_float, is_integer, is_number
from arrowstream.expressions.program import Call
from arrowstream.gpu.kernels.base import Kernel, types, value_of
from arrowstream.gpu.kernels.tree import (
    Constant,
    Node,
    apply,
    bits,
    cast,
    choose,
    constant,
    test,
    within,
)

_types = pa.types
_INT64 = pa.int64()
_MOST_DAYS = (2**63 - 1) // 86_400_000_000


def _is_moment(dtype: pa.DataType) -> bool:
    return bool(_types.is_timestamp(dtype) or _types.is_duration(dtype))


def _shifted(call: Call, name: str, left: Node, right: Node) -> Node | str:
    """Return a timestamp or duration moved by a duration of the same unit."""
    units = {node.dtype.unit for node in (left, right)} | {call.dtype.unit}
    return (
        apply(name, left, right, dtype=call.dtype)
        if len(units) == 1
        else f"{types(call)} have different units"
    )


def _add(call: Call, left: Node, right: Node) -> Node | str:
    if _types.is_duration(right.dtype) and _is_moment(left.dtype):
        return _shifted(call, "ADD", left, right)
    if _types.is_duration(left.dtype) and _types.is_timestamp(right.dtype):
        return _shifted(call, "ADD", right, left)
    zero = _is_zero(call, left, right)
    return zero if zero is not None else _numbers(call, "ADD", left, right)


def _subtract(call: Call, left: Node, right: Node) -> Node | str:
    if _types.is_date32(left.dtype) and _types.is_date32(right.dtype) and call.dtype == pa.duration("us"):
        midnights = [_midnight(side) for side in (left, right)]
        return bits(apply("SUB", *midnights), call.dtype)
    if _types.is_duration(right.dtype) and _is_moment(left.dtype):
        return _shifted(call, "SUB", left, right)
    if (
        _types.is_timestamp(left.dtype)
        and left.dtype == right.dtype
        and call.dtype == pa.duration(left.dtype.unit)
    ):
        return apply("SUB", left, right, dtype=call.dtype)
    zero = _is_zero(call, left, right)
    if zero is not None:
        return _negative(call.dtype, zero) if zero is right else zero
    return _numbers(call, "SUB", left, right)


def _is_zero(call: Call, left: Node, right: Node) -> Node | None:
    """Return the other side if one is a constant zero and the sum a float: in Polars -0.0 + 0 is -0.0."""
    if not is_float(call.dtype) or differing(call):
        return None
    for side, other in ((left, right), (right, left)):
        if not isinstance(side, Constant) or side.value is None:
            continue
        if not pa.scalar(float(side.value), side.dtype).as_py():
            return other
    return None


def _midnight(date: Node) -> Node:
    """Return the microseconds since 1970 of dates; Polars computes those that 64 bits cannot hold."""
    if isinstance(date, Constant):
        return Constant(None if date.value is None else date.value * 86_400_000_000, _INT64)
    days = within(cast(bits(date, pa.int32()), _INT64), -_MOST_DAYS, _MOST_DAYS)
    return apply("MUL", days, Constant(86_400_000_000, _INT64))


def _numbers(call: Call, name: str, left: Node, right: Node) -> Node | str:
    if not is_number(call.dtype):
        return f"not for {call.dtype}"
    return differing(call) or apply(name, left, right)


def _multiply(call: Call, left: Node, right: Node) -> Node | str:
    if not _types.is_duration(call.dtype):
        return _numbers(call, "MUL", left, right)
    kinds = [left.dtype, right.dtype]
    whole = [is_integer(dtype) and not _types.is_uint64(dtype) for dtype in kinds]
    if sorted(whole) != [False, True] or call.dtype not in kinds:
        return f"not for {types(call)}"
    return bits(apply("MUL", *(as_int64(side) for side in (left, right))), call.dtype)


def as_int64(node: Node) -> Node:
    """Return integers, or the ticks of timestamps and durations, as int64."""
    if isinstance(node, Constant):
        return Constant(node.value, _INT64)
    return cast(node, _INT64) if is_integer(node.dtype) else bits(node, _INT64)


def _true_divide(call: Call, left: Node, right: Node) -> Node | str:
    if not (is_number(left.dtype) and is_number(right.dtype) and is_float(call.dtype)):
        return f"not for {types(call)}"
    if any(is_integer(side.dtype) for side in (left, right)) and not _types.is_float64(call.dtype):
        return f"integers are not divided as {call.dtype}"
    if isinstance(right, Constant):
        by = reciprocal(right, call.dtype)
        return apply("MUL", cast(left, call.dtype), by) if by else "the divisor is null"
    if isinstance(left, Constant):
        value = None if left.value is None else float(left.value)
        return apply("DIV", Constant(value, call.dtype), cast(right, call.dtype))
    return apply("DIV", cast(left, call.dtype), cast(right, call.dtype))


def reciprocal(divisor: Constant, dtype: pa.DataType) -> Constant | None:
    """Return 1 over a constant, rounded to a float type; None if the constant is null."""
    if divisor.value is None:
        return None
    scalar = np.float32 if dtype == pa.float32() else np.float64
    with np.errstate(divide="ignore", over="ignore"):
        return Constant(float(scalar(1) / scalar(divisor.value)), dtype)


def _negate(call: Call, values: Node) -> Node | str:
    if _types.is_unsigned_integer(call.dtype):
        return f"{call.dtype} has no negative values"
    if _types.is_duration(call.dtype):
        return bits(_negative(_INT64, as_int64(values)), call.dtype)
    if not is_number(call.dtype):
        return f"not for {call.dtype}"
    return differing(call) or _negative(call.dtype, values)


def _negative(dtype: pa.DataType, values: Node) -> Node:
    # 0 - x loses the sign of a zero; a product with -1 keeps it.
    if is_float(dtype):
        return apply("MUL", values, Constant(-1.0, dtype))
    return apply("SUB", Constant(0, dtype), values)


def _absolute(call: Call, values: Node) -> Node | str:
    if _types.is_duration(call.dtype):
        return bits(apply("ABS", as_int64(values)), call.dtype)
    if not is_number(call.dtype):
        return f"not for {call.dtype}"
    if _types.is_unsigned_integer(call.dtype):
        return differing(call) or values
    return differing(call) or apply("ABS", values)


def _sign(call: Call, values: Node) -> Node | str:
    dtype = call.dtype
    if not is_number(dtype):
        return f"not for {dtype}"
    if reason := differing(call):
        return reason
    above, below = (test(name, values, Constant(0, dtype)) for name in ("GREATER", "LESS"))
    if is_integer(dtype):
        return apply("SUB", cast(above, dtype), cast(below, dtype))
    # A zero keeps its sign, and NaN stays NaN.
    one = choose(above, Constant(1.0, dtype), values)
    return choose(below, Constant(-1.0, dtype), one)


def _clip(call: Call, values: Node, *bounds: Node) -> Node | str:
    has_low, has_high = call.options
    dtype = values.dtype
    if dtype != call.dtype or not is_number(dtype):
        return f"not for {dtype}"
    limits = [limit for bound in bounds if (limit := _fitting(bound, dtype)) is not None]
    if len(limits) != len(bounds) or any(low > high for low, high in pairwise(limits)):
        return f"the limits must be constants of type {dtype}, in order"
    if has_low:
        low = constant(limits[0], values)
        values = choose(test("LESS", values, low), low, values)
    if has_high:
        high = constant(limits[-1], values)
        values = choose(test("GREATER", values, high), high, values)
    return values


def _fitting(bound: Node, dtype: pa.DataType) -> int | float | None:
    """Return a constant number if it is exactly the same number in `dtype`; None if not."""
    value = value_of(bound)
    if not is_number(bound.dtype) or not isinstance(value, int | float) or math.isnan(value):
        return None
    try:
        same: int | float = pa.scalar(value, dtype).as_py()
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        return None
    return same if same == value else None


KERNELS: dict[str, Kernel] = {
    "add": _add,
    "subtract": _subtract,
    "multiply": _multiply,
    "true_divide": _true_divide,
    "negate": _negate,
    "abs": _absolute,
    "sign": _sign,
    "clip": _clip,
}
