"""Arithmetic on numbers, and on dates, timestamps and durations if it is plain integer arithmetic.

Floating point follows Polars to the bit: like Polars, these kernels divide by a constant by a multiplication with its
reciprocal.
"""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from arrowstream.backends.arrow.kernels.base import Evaluate, Kernel, Values
from arrowstream.backends.arrow.kernels.integer_division import divide_integers, remainder_of_integers
from arrowstream.backends.arrow.kernels.scalars import scalar
from arrowstream.backends.arrow.kernels.types import differing, is_float, is_integer, is_number
from arrowstream.expressions.program import Call, Expression, Literal, is_constant

_types = pa.types
_US_PER_DAY = scalar(86_400_000_000)
_MOST_DAYS = scalar((2**63 - 1) // 86_400_000_000)


def _add(call: Call) -> Evaluate | str:
    left, right = (argument.dtype for argument in call.arguments)
    if _types.is_duration(right) and (_types.is_timestamp(left) or _types.is_duration(left)):
        return pc.add if left == call.dtype and left.unit == right.unit else _units(call)
    if _types.is_duration(left) and _types.is_timestamp(right):
        return pc.add if right == call.dtype and left.unit == right.unit else _units(call)
    return _plus_or_minus(call, pc.add, lambda other: other)


def _subtract(call: Call) -> Evaluate | str:
    left, right = (argument.dtype for argument in call.arguments)
    if _types.is_date32(left) and _types.is_date32(right) and call.dtype == pa.duration("us"):
        return _days_between
    subtract: Evaluate = pc.subtract
    if _types.is_timestamp(left) and left == right and call.dtype == pa.duration(left.unit):
        return subtract
    if _types.is_duration(right) and (_types.is_timestamp(left) or _types.is_duration(left)):
        return subtract if left == call.dtype and left.unit == right.unit else _units(call)
    return _plus_or_minus(call, subtract, pc.negate)


def _plus_or_minus(call: Call, function: Evaluate, after_zero: Evaluate) -> Evaluate | str:
    """Return `function` of numbers, but do not add a constant zero to floats: in Polars -0.0 + 0 is -0.0."""
    evaluate = _on_numbers(function)(call)
    if isinstance(evaluate, str) or not is_float(call.dtype):
        return evaluate
    left, right = call.arguments
    if is_constant(left) and not is_constant(right):
        return _unless_zero(left, evaluate, lambda _, other: after_zero(other))
    if is_constant(right) and not is_constant(left):
        return _unless_zero(right, evaluate, lambda other, _: other)
    return evaluate


def _unless_zero(constant: Expression, function: Evaluate, with_zero: Evaluate) -> Evaluate | str:
    if not isinstance(constant, Literal):
        return "a constant is added or subtracted, but not known"
    is_zero = constant.value is not None and not scalar(float(constant.value), constant.dtype).as_py()
    return with_zero if is_zero else function


def _days_between(left: Values, right: Values) -> Values:
    return pc.subtract(_midnight(left), _midnight(right)).view(pa.duration("us"))


def _midnight(dates: Values) -> Values:
    """Return the microseconds since 1970 of dates; null if 64 bits cannot hold them, as in Polars."""
    # Through casts, not views, because either side may be a scalar.
    days = pc.cast(pc.cast(dates, pa.int32()), pa.int64())
    try:
        return pc.multiply_checked(days, _US_PER_DAY)
    except pa.ArrowInvalid:
        fits = pc.less_equal(pc.abs(days), _MOST_DAYS)
        return pc.multiply(pc.if_else(fits, days, scalar(None, pa.int64())), _US_PER_DAY)


def _units(call: Call) -> str:
    return f"{' and '.join(str(argument.dtype) for argument in call.arguments)} have different units"


def _on_numbers(function: Evaluate) -> Kernel:
    """Return a kernel for numbers that all have the result's type."""

    def kernel(call: Call) -> Evaluate | str:
        if not is_number(call.dtype):
            return f"not for {call.dtype}"
        return differing(call) or function

    return kernel


def _true_divide(call: Call) -> Evaluate | str:
    left, right = call.arguments
    if not (is_number(left.dtype) and is_number(right.dtype) and is_float(call.dtype)):
        return f"not for {left.dtype} and {right.dtype}"
    if any(is_integer(side.dtype) for side in (left, right)) and not _types.is_float64(call.dtype):
        return f"integers are not divided as {call.dtype}"
    target = call.dtype
    if is_constant(right):
        if (reciprocal := _reciprocal(call)) is None:
            return "the divisor is constant, but not known"
        if left.dtype == target:
            return lambda values, _: pc.multiply(values, reciprocal)
        return lambda values, _: pc.multiply(pc.cast(values, target, safe=False), reciprocal)
    return lambda x, y: pc.divide(pc.cast(x, target, safe=False), pc.cast(y, target, safe=False))


def _reciprocal(call: Call) -> pa.Scalar | None:
    """Return 1 over a constant divisor, in the precision of the result; None if its value is not known."""
    divisor = call.arguments[1]
    if not isinstance(divisor, Literal) or divisor.value is None:
        return None
    return pc.divide(scalar(1.0, call.dtype), scalar(float(divisor.value), call.dtype))


def _floor_divide(call: Call) -> Evaluate | str:
    return differing(call) or _whole(call, divide_integers, _floor_quotient, lambda x, y, floor: floor)


def _modulo(call: Call) -> Evaluate | str:
    return differing(call) or _whole(
        call,
        remainder_of_integers,
        _floor_quotient,
        lambda x, y, floor: pc.subtract(x, pc.multiply(y, floor)),
    )


def _floor_quotient(call: Call) -> Evaluate | str:
    if is_constant(call.arguments[1]):
        if (reciprocal := _reciprocal(call)) is None:
            return "the divisor is constant, but not known"
        return lambda x, _: pc.floor(pc.multiply(x, reciprocal))
    return lambda x, y: pc.floor(pc.divide(x, y))


def _whole(
    call: Call,
    integers: Kernel,
    quotient: Kernel,
    finish: Callable[[Values, Values, Values], Values],
) -> Evaluate | str:
    if is_integer(call.dtype):
        return integers(call)
    if not is_float(call.dtype):
        return f"not for {call.dtype}"
    floor = quotient(call)
    return floor if isinstance(floor, str) else lambda x, y: finish(x, y, floor(x, y))


def _multiply(call: Call) -> Evaluate | str:
    kinds = [argument.dtype for argument in call.arguments]
    if _types.is_duration(call.dtype):
        if sorted(map(_is_whole, kinds)) != [False, True] or call.dtype not in kinds:
            return f"not for {kinds[0]} and {kinds[1]}"
        # Through casts, not views, because either side may be a scalar.
        return lambda x, y: pc.multiply(_as_int64(x), _as_int64(y)).view(call.dtype)
    return _on_numbers(pc.multiply)(call)


def _is_whole(dtype: pa.DataType) -> bool:
    return is_integer(dtype) and not _types.is_uint64(dtype)


def _as_int64(values: Values) -> Values:
    return pc.cast(values, pa.int64())


def _negate(call: Call) -> Evaluate | str:
    dtype = call.dtype
    if _types.is_duration(dtype):
        return lambda values: pc.negate(values.view(pa.int64())).view(dtype)
    if _types.is_unsigned_integer(dtype):
        return f"{dtype} has no negative values"
    return _on_numbers(pc.negate)(call)


def _absolute(call: Call) -> Evaluate | str:
    dtype = call.dtype
    if _types.is_duration(dtype):
        return lambda values: pc.abs(values.view(pa.int64())).view(dtype)
    return _on_numbers(pc.abs)(call)


def _sign(call: Call) -> Evaluate | str:
    dtype = call.dtype
    if is_integer(dtype):
        return lambda values: pc.cast(pc.sign(values), dtype)
    zero = scalar(0, dtype)
    # Arrow loses the sign of a negative zero.
    signed = lambda values: pc.if_else(pc.equal(values, zero), values, pc.sign(values))  # noqa: E731
    return _on_numbers(signed)(call)


def _clip(call: Call) -> Evaluate | str:
    has_low, has_high = call.options
    values, *bounds = call.arguments
    dtype = values.dtype
    if dtype != call.dtype or not is_number(dtype):
        return f"not for {dtype}"
    limits = [bound.value for bound in bounds if isinstance(bound, Literal) and _fits(bound, dtype)]
    if len(limits) != len(bounds) or limits != sorted(limits):
        return f"the limits must be constants of type {dtype}, in order"
    low = scalar(limits[0], dtype) if has_low else None
    high = scalar(limits[-1], dtype) if has_high else None

    def evaluate(values: Values, *_: Values) -> Values:
        if low is not None:
            values = pc.if_else(pc.less(values, low), low, values)
        return values if high is None else pc.if_else(pc.greater(values, high), high, values)

    return evaluate


def _fits(bound: Literal, dtype: pa.DataType) -> bool:
    """Return whether a constant is a number, and exactly the same number in `dtype`."""
    if not is_number(bound.dtype) or bound.value is None:
        return False
    try:
        same = scalar(bound.value, dtype).as_py() == bound.value
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        return False
    return bool(same)


KERNELS: dict[str, Kernel] = {
    "add": _add,
    "subtract": _subtract,
    "multiply": _multiply,
    "true_divide": _true_divide,
    "floor_divide": _floor_divide,
    "modulo": _modulo,
    "negate": _negate,
    "abs": _absolute,
    "sign": _sign,
    "clip": _clip,
}
