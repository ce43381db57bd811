"""Roots, small powers and rounding, which IEEE 754 defines to the bit; other functions are left to the CPU."""

from __future__ import annotations

from math import pi

import pyarrow as pa

from arrowstream.backends.arrow.kernels.types import is_float, is_integer, is_number
from arrowstream.expressions.program import Call
from arrowstream.gpu import libraries as cuda
from arrowstream.gpu.kernels.base import Kernel, value_of
from arrowstream.gpu.kernels.tree import Constant, Node, apply, cast, choose, constant, test
from arrowstream.gpu.kernels.tree import call as call_of
from arrowstream.gpu.work import Work

_LAST_BIT = "a GPU's result may differ in the last bit"


def _sqrt(call: Call, values: Node) -> Node | str:
    if not (is_number(values.dtype) and is_float(call.dtype)):
        return f"not for {values.dtype}"
    return apply("SQRT", cast(values, call.dtype))


def _pow(call: Call, base: Node, exponent: Node) -> Node | str:
    if not is_float(base.dtype) or base.dtype != call.dtype:
        return f"not for {base.dtype}"
    power = value_of(exponent)
    if not isinstance(power, int | float):
        return "the exponent must be constant"
    if power == 0.5:
        return apply("SQRT", base)
    if power not in (2, 3, 4):
        return f"the power of {power}: {_LAST_BIT}"
    found = base
    for _ in range(int(power) - 1):
        found = apply("MUL", found, base)
    return found


def _to_integral(name: str) -> Kernel:
    """Return the kernel of a rounding that leaves integers as they are."""

    def kernel(call: Call, values: Node) -> Node | str:
        if is_integer(call.dtype):
            return values
        return apply(name, values) if is_float(call.dtype) else f"not for {call.dtype}"

    return kernel


_EXACT_POWERS = 22
"""The largest power of ten that is exact in double precision."""


def _round(call: Call, values: Node) -> Node | str:
    digits, mode = call.options
    dtype = call.dtype
    if mode not in ("half_to_even", "half_away_from_zero"):
        return f"rounding by {mode} is not known"
    if is_integer(dtype):
        return values if digits >= 0 else "integers are rounded differently"
    if digits > _EXACT_POWERS:
        return f"rounding to more than {_EXACT_POWERS} decimals scales by a power of ten that is not exact"
    if is_float(dtype) and digits == 0:
        return _rounded(values, mode)
    if pa.types.is_float64(dtype):
        return _to_decimals(values, digits, mode)
    if pa.types.is_float32(dtype) and mode == "half_to_even":
        # Polars rounds single precision to decimals in double precision, but Polars 1 not to halves away from zero.
        return cast(_to_decimals(cast(values, pa.float64()), digits, mode), dtype)
    return f"not for {dtype}"


def _rounded(values: Node, mode: str) -> Node:
    if mode == "half_to_even":
        return apply("RINT", values)
    return call_of("ROUND", _away_from_zero, values, dtype=values.dtype)


def _away_from_zero(work: Work, values: cuda.plc.Column) -> cuda.plc.Column:
    method = cuda.plc.round.RoundingMethod.HALF_UP
    return cuda.plc.round.round(values, 0, method, stream=work.stream)


def _to_decimals(values: Node, digits: int, mode: str) -> Node:
    # As Polars rounds, not as libcudf does: a large value can change in its last bit.
    scale = constant(10.0**digits, values)
    found = apply("DIV", _rounded(apply("MUL", values, scale), mode), scale)
    finite = test("LESS", apply("ABS", found), constant(float("inf"), values))
    return choose(finite, found, values)


def _product(factor: float) -> Kernel:
    """Return the kernel of a multiplication by a constant, for double precision only, as on the Arrow backend."""

    def kernel(call: Call, values: Node) -> Node | str:
        if values.dtype != pa.float64():
            return f"not for {values.dtype}"
        return apply("MUL", values, Constant(factor, values.dtype))

    return kernel


KERNELS: dict[str, Kernel] = {
    "sqrt": _sqrt,
    "pow": _pow,
    "floor": _to_integral("FLOOR"),
    "ceil": _to_integral("CEIL"),
    "round": _round,
    "degrees": _product(180 / pi),
    "radians": _product(pi / 180),
}

REFUSED = dict.fromkeys(
    (
        "exp",
        "log",
        "log1p",
        "sin",
        "cos",
        "tan",
        "arcsin",
        "arccos",
        "arctan",
        "sinh",
        "cosh",
        "tanh",
        "arcsinh",
        "arccosh",
        "arctanh",
        "cbrt",
        "atan2",
    ),
    _LAST_BIT,
)
"""Functions that are left to the CPU, and why."""
