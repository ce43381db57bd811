"""Floor division and remainders as Polars has them: rounded down, null for an integer divisor of 0, wrapping."""

from __future__ import annotations

import pyarrow as pa

from arrowstream.backends.arrow.kernels.types import differing, is_float, is_integer
from arrowstream.expressions.program import Call
from arrowstream.gpu.kernels.arithmetic import reciprocal
from arrowstream.gpu.kernels.base import Kernel
from arrowstream.gpu.kernels.tree import Constant, Node, apply, choose, constant, test


def _floor_divide(call: Call, left: Node, right: Node) -> Node | str:
    if is_integer(call.dtype):
        return differing(call) or _floor_of_integers(call.dtype, left, right)
    if not is_float(call.dtype):
        return f"not for {call.dtype}"
    return differing(call) or _floor_of_floats(call.dtype, left, right)


def _modulo(call: Call, left: Node, right: Node) -> Node | str:
    floor = _floor_divide(call, left, right)
    if isinstance(floor, str):
        return floor
    return apply("SUB", left, apply("MUL", right, floor), dtype=call.dtype)


def _floor_of_floats(dtype: pa.DataType, left: Node, right: Node) -> Node | str:
    if isinstance(right, Constant):
        by = reciprocal(right, dtype)
        return apply("FLOOR", apply("MUL", left, by)) if by else "the divisor is null"
    return apply("FLOOR", apply("DIV", left, right))


def _floor_of_integers(dtype: pa.DataType, left: Node, right: Node) -> Node:
    nothing = Constant(None, dtype)
    signed = pa.types.is_signed_integer(dtype)
    if isinstance(right, Constant):
        if not right.value:
            return apply("FLOOR_DIV", left, nothing)
        if right.value == -1:
            return apply("SUB", constant(0, left), left)
        return apply("FLOOR_DIV", left, right)
    divisor = choose(test("EQUAL", right, constant(0, right)), nothing, right)
    quotient = apply("FLOOR_DIV", left, divisor)
    if not signed:
        return quotient
    # The smallest integer over -1 is not defined in C++; Polars wraps, as negation does.
    negative = apply("SUB", constant(0, left), left, dtype=dtype)
    return choose(test("EQUAL", right, constant(-1, right)), negative, quotient)


KERNELS: dict[str, Kernel] = {"floor_divide": _floor_divide, "modulo": _modulo}
