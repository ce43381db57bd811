"""Boolean logic, bits, nulls, choices between values, and functions across columns."""

from __future__ import annotations

from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc

from arrowstream.backends.arrow.kernels.base import Evaluate, Kernel, Values
from arrowstream.backends.arrow.kernels.conversion import convert
from arrowstream.backends.arrow.kernels.scalars import scalar
from arrowstream.backends.arrow.kernels.types import (
    differing,
    is_bytes,
    is_float,
    is_integer,
    is_moment,
    is_number,
    is_plain,
)
from arrowstream.expressions.program import Call, is_constant

_types = pa.types
_FALSE = scalar(False)


def _bits(on_booleans: Evaluate, on_integers: Evaluate) -> Kernel:
    """Return the kernel of an operator that is logic on booleans and works bit by bit on integers."""

    def kernel(call: Call) -> Evaluate | str:
        if reason := differing(call):
            return reason
        if _types.is_boolean(call.dtype):
            return on_booleans
        return on_integers if is_integer(call.dtype) else f"not for {call.dtype}"

    return kernel


def _any_type(function: Evaluate) -> Kernel:
    return lambda call: function


def _on_floats(function: Evaluate) -> Kernel:
    def kernel(call: Call) -> Evaluate | str:
        dtype = call.arguments[0].dtype
        return function if is_float(dtype) else f"not for {dtype}"

    return kernel


def _first_valid(call: Call) -> Evaluate | str:
    if not is_plain(call.dtype):
        return f"not for {call.dtype}"
    return differing(call) or pc.coalesce


def _when(call: Call) -> Evaluate | str:
    predicate, truthy, falsy = call.arguments
    if is_constant(predicate):
        return "the predicate is constant"
    if not is_plain(call.dtype):
        return f"not for {call.dtype}"
    if truthy.dtype != call.dtype or falsy.dtype != call.dtype:
        return f"{truthy.dtype} and {falsy.dtype} where {call.dtype} is needed"

    def evaluate(predicate: Values, truthy: Values, falsy: Values) -> Values:
        if predicate.null_count:
            predicate = pc.coalesce(predicate, _FALSE)
        return pc.if_else(predicate, truthy, falsy)

    return evaluate


def _same_type(call: Call, function: Evaluate) -> Evaluate | str:
    """Cast every argument to the result's type before `function`: older plans do not hold these casts."""
    casts = [convert(argument.dtype, call.dtype, True) for argument in call.arguments]
    evaluates = [cast for cast in casts if not isinstance(cast, str)]
    if len(evaluates) != len(casts):
        return next(cast for cast in casts if isinstance(cast, str))
    return lambda *values: function(*(cast(value) for cast, value in zip(evaluates, values, strict=True)))


def _extreme(function: Evaluate) -> Kernel:
    def kernel(call: Call) -> Evaluate | str:
        dtype = call.dtype
        if is_float(dtype):
            return "versions of Polars differ in how NaN counts"
        if not (is_integer(dtype) or is_bytes(dtype) or is_moment(dtype)):
            return f"not for {dtype}"
        if _types.is_timestamp(dtype) and dtype.tz is not None:
            return differing(call) or _without_zone(call, function)
        return _same_type(call, function)

    return kernel


def _without_zone(call: Call, function: Evaluate) -> Evaluate | str:
    """Compute `function` on the integers that store timestamps: Arrow does not support it for those with a zone."""
    if any(map(is_constant, call.arguments)):
        return "not for constants with a time zone"
    return lambda *values: function(*(value.view(pa.int64()) for value in values)).view(call.dtype)


def _sum(call: Call) -> Evaluate | str:
    (ignore_nulls,) = call.options
    if not is_number(call.dtype) or any(_types.is_boolean(argument.dtype) for argument in call.arguments):
        return f"not for {', '.join(str(argument.dtype) for argument in call.arguments)}"
    if is_float(call.dtype) and len(call.arguments) > 2:
        return "floats are added in another order"
    if is_float(call.dtype) and any(map(is_constant, call.arguments)):
        return "a constant zero is not added to floats"
    if any(argument.dtype != call.dtype for argument in call.arguments):
        return "the sum has another type than what is added"
    zero = scalar(0, call.dtype)

    def evaluate(*values: Values) -> Values:
        if ignore_nulls:
            values = tuple(pc.coalesce(value, zero) for value in values)
        return reduce(pc.add, values)

    return _same_type(call, evaluate)


def _field(call: Call) -> Evaluate | str:
    (name,) = call.options
    return lambda values: pc.struct_field(values, [name])


KERNELS: dict[str, Kernel] = {
    "and": _bits(pc.and_kleene, pc.bit_wise_and),
    "or": _bits(pc.or_kleene, pc.bit_wise_or),
    "xor": _bits(pc.xor, pc.bit_wise_xor),
    "not": _bits(pc.invert, pc.bit_wise_not),
    "is_null": _any_type(pc.is_null),
    "is_not_null": _any_type(pc.is_valid),
    "is_nan": _on_floats(pc.is_nan),
    "is_not_nan": _on_floats(lambda values: pc.invert(pc.is_nan(values))),
    "is_finite": _on_floats(pc.is_finite),
    "is_infinite": _on_floats(pc.is_inf),
    "fill_null": _first_valid,
    "coalesce": _first_valid,
    "when": _when,
    "max_horizontal": _extreme(pc.max_element_wise),
    "min_horizontal": _extreme(pc.min_element_wise),
    "sum_horizontal": _sum,
    "struct.field_by_name": _field,
}
