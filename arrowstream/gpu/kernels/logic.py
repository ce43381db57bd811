"""Boolean logic, bits, nulls, choices between values, and functions across columns."""

from __future__ import annotations

from functools import reduce

import pyarrow as pa

from arrowstream.backends.arrow.kernels.types import differing, is_float, is_integer, is_number
from arrowstream.expressions.program import Call
from arrowstream.gpu.kernels.base import Kernel
from arrowstream.gpu.kernels.comparison import is_nan
from arrowstream.gpu.kernels.conversion import convert
from arrowstream.gpu.kernels.tree import Constant, Node, apply, choose, constant, test

_types = pa.types


def _bits(on_booleans: str, on_integers: str) -> Kernel:
    """Return the kernel of an operator that is logic on booleans and works bit by bit on integers."""

    def kernel(call: Call, *arguments: Node) -> Node | str:
        if reason := differing(call):
            return reason
        if _types.is_boolean(call.dtype):
            return test(on_booleans, *arguments)
        return apply(on_integers, *arguments) if is_integer(call.dtype) else f"not for {call.dtype}"

    return kernel


def _nullness(name: str) -> Kernel:
    return lambda call, values: test(name, values)


def _on_floats(kernel: Kernel) -> Kernel:
    def checked(call: Call, values: Node) -> Node | str:
        return kernel(values) if is_float(values.dtype) else f"not for {values.dtype}"

    return checked


def _magnitude(comparison: str) -> Kernel:
    """Return a kernel that compares absolute values with infinity; NaN is neither below nor equal to it."""
    return _on_floats(
        lambda values: test(comparison, apply("ABS", values), constant(float("inf"), values)),
    )


def _first_valid(call: Call, *arguments: Node) -> Node | str:
    if reason := differing(call):
        return reason
    found, *others = [node for node in arguments if not (isinstance(node, Constant) and node.value is None)]
    return reduce(lambda x, y: apply("COALESCE", x, y), others, found)


def _when(call: Call, predicate: Node, truthy: Node, falsy: Node) -> Node | str:
    if isinstance(predicate, Constant):
        return "the predicate is constant"
    if truthy.dtype != call.dtype or falsy.dtype != call.dtype:
        return f"{truthy.dtype} and {falsy.dtype} where {call.dtype} is needed"
    return choose(predicate, truthy, falsy)


def _same_type(call: Call, arguments: tuple[Node, ...]) -> list[Node] | str:
    """Cast every argument to the result's type: older plans do not hold these casts."""
    alike = [convert(argument, call.dtype, True) for argument in arguments]
    reasons = [node for node in alike if isinstance(node, str)]
    return reasons[0] if reasons else [node for node in alike if not isinstance(node, str)]


def _extreme(name: str) -> Kernel:
    def kernel(call: Call, *arguments: Node) -> Node | str:
        dtype = call.dtype
        if is_float(dtype):
            return "versions of Polars differ in how NaN counts"
        if _types.is_boolean(dtype):
            return f"not for {dtype}"
        alike = _same_type(call, arguments)
        return alike if isinstance(alike, str) else reduce(lambda x, y: apply(name, x, y), alike)

    return kernel


def _sum(call: Call, *arguments: Node) -> Node | str:
    (ignore_nulls,) = call.options
    if not is_number(call.dtype) or any(_types.is_boolean(argument.dtype) for argument in arguments):
        return f"not for {', '.join(str(argument.dtype) for argument in arguments)}"
    if is_float(call.dtype) and len(arguments) > 2:
        return "floats are added in another order"
    if is_float(call.dtype) and any(isinstance(argument, Constant) for argument in arguments):
        return "a constant zero is not added to floats"
    alike = _same_type(call, arguments)
    if isinstance(alike, str):
        return alike
    if any(argument.dtype != call.dtype for argument in arguments):
        return "the sum has another type than what is added"
    if ignore_nulls:
        alike = [_or_zero(node) for node in alike]
    return reduce(lambda x, y: apply("ADD", x, y), alike)


def _or_zero(node: Node) -> Node:
    if isinstance(node, Constant):
        return Constant(node.value or 0, node.dtype)
    return apply("COALESCE", node, constant(0, node))


KERNELS: dict[str, Kernel] = {
    "and": _bits("NULL_LOGICAL_AND", "BITWISE_AND"),
    "or": _bits("NULL_LOGICAL_OR", "BITWISE_OR"),
    "xor": _bits("NOT_EQUAL", "BITWISE_XOR"),
    "not": _bits("NOT", "BIT_INVERT"),
    "is_null": _nullness("IS_NULL"),
    "is_not_null": _nullness("IS_VALID"),
    "is_nan": _on_floats(is_nan),
    "is_not_nan": _on_floats(lambda values: test("EQUAL", values, values)),
    "is_finite": _magnitude("LESS"),
    "is_infinite": _magnitude("EQUAL"),
    "fill_null": _first_valid,
    "coalesce": _first_valid,
    "when": _when,
    "max_horizontal": _extreme("NULL_MAX"),
    "min_horizontal": _extreme("NULL_MIN"),
    "sum_horizontal": _sum,
}

REFUSED = {"struct.field_by_name": "structs stay in host memory"}
"""Functions that are left to the CPU, and why."""
