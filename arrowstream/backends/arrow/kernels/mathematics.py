"""Roots, powers, logarithms, trigonometry and rounding.

Both libraries call the same C functions for these, and the tests allow 2 units in the last place. Functions for which
they do not (inverse hyperbolic functions, powers above 4) stay with Polars. Powers of 2, 3 and 4 are products.
"""

from __future__ import annotations

from collections.abc import Callable
from math import pi

import pyarrow as pa
import pyarrow.compute as pc

from arrowstream.backends.arrow.kernels.base import Evaluate, Kernel, Values
from arrowstream.backends.arrow.kernels.scalars import scalar
from arrowstream.backends.arrow.kernels.types import is_float, is_integer, is_number
from arrowstream.expressions.program import Call, Literal

_types = pa.types


def _of_floats(function: Evaluate) -> Kernel:
    """Return the kernel of a function of floats; integers are cast to the result's type first, as in Polars."""

    def kernel(call: Call) -> Evaluate | str:
        source, target = call.arguments[0].dtype, call.dtype
        if not (is_number(source) and is_float(target)):
            return f"not for {source}"
        if source == target:
            return function
        return lambda values, *others: function(pc.cast(values, target, safe=False), *others)

    return kernel


def _log(call: Call) -> Evaluate | str:
    base = call.arguments[1]
    if not isinstance(base, Literal) or base.value is None or not base.value > 1:
        return "the base must be a constant above 1"
    # Not Arrow's `ln` for base e: in single precision it rounds differently.
    by = scalar(float(base.value), call.dtype)
    return _of_floats(lambda values, _: pc.logb(values, by))(call)


def _pow(call: Call) -> Evaluate | str:
    base, exponent = call.arguments
    if not is_float(base.dtype) or base.dtype != call.dtype:
        return f"not for {base.dtype}"
    if not isinstance(exponent, Literal) or exponent.value is None:
        return "the exponent must be constant"
    match float(exponent.value):
        case 0.5:
            return lambda values, _: pc.sqrt(values)
        case 2.0:
            return lambda values, _: pc.multiply(values, values)
        case 3.0:
            return lambda values, _: pc.multiply(pc.multiply(values, values), values)
        case 4.0:
            return lambda values, _: pc.multiply(pc.multiply(pc.multiply(values, values), values), values)
        case other if other > 4 and other.is_integer():
            return f"the power of {exponent.value} is multiplied out"
        case other:
            power = scalar(other, call.dtype)
            return lambda values, _: pc.power(values, power)


def _to_integral(function: Evaluate) -> Kernel:
    """Return the kernel of a rounding that leaves integers as they are."""

    def kernel(call: Call) -> Evaluate | str:
        if is_integer(call.dtype):
            return lambda values: values
        return function if is_float(call.dtype) else f"not for {call.dtype}"

    return kernel


_ROUND_MODES = {"half_to_even": "half_to_even", "half_away_from_zero": "half_towards_infinity"}


_EXACT_POWERS = 22
# The largest power of ten that is exact in double precision.


def _round(call: Call) -> Evaluate | str:
    digits, mode = call.options
    if mode not in _ROUND_MODES:
        return f"rounding by {mode} is not known"
    if is_integer(call.dtype):
        return (lambda values: values) if digits >= 0 else "integers are rounded differently"
    if digits > _EXACT_POWERS:
        return f"rounding to more than {_EXACT_POWERS} decimals scales by a power of ten that is not exact"
    options = pc.RoundOptions(0, _ROUND_MODES[mode])
    scale = scalar(10.0**digits)

    def rounded(values: Values) -> Values:
        if digits == 0:
            return pc.round(values, options=options)
        # As Polars rounds: a large value can change in its last bit, where Arrow's own rounding would leave it.
        scaled = pc.divide(pc.round(pc.multiply(values, scale), options=options), scale)
        return pc.if_else(pc.is_finite(scaled), scaled, values)

    if _types.is_float64(call.dtype) or (_types.is_float32(call.dtype) and digits == 0):
        return rounded
    if _types.is_float32(call.dtype) and mode == "half_to_even":
        # Polars rounds single precision to decimals in double precision, but Polars 1 not to halves away from zero.
        return lambda values: pc.cast(rounded(pc.cast(values, pa.float64())), pa.float32(), safe=False)
    return f"not for {call.dtype}"


def _scaled(factor: float) -> Kernel:
    """Return the kernel of a multiplication by a constant, for double precision only.

    In single precision the two libraries round the constant differently.
    """

    def kernel(call: Call) -> Evaluate | str:
        if call.arguments[0].dtype != pa.float64():
            return f"not for {call.arguments[0].dtype}"
        by = scalar(factor)
        return lambda values: pc.multiply(values, by)

    return kernel


_FUNCTIONS: dict[str, Callable[..., Values]] = {
    "sqrt": pc.sqrt,
    "exp": pc.exp,
    "log1p": pc.log1p,
    "sin": pc.sin,
    "cos": pc.cos,
    "tan": pc.tan,
    "arcsin": pc.asin,
    "arccos": pc.acos,
    "arctan": pc.atan,
    "sinh": pc.sinh,
    "cosh": pc.cosh,
    "tanh": pc.tanh,
}

KERNELS: dict[str, Kernel] = {name: _of_floats(function) for name, function in _FUNCTIONS.items()} | {
    "log": _log,
    "pow": _pow,
    "floor": _to_integral(pc.floor),
    "ceil": _to_integral(pc.ceil),
    "round": _round,
    "degrees": _scaled(180 / pi),
    "radians": _scaled(pi / 180),
}
