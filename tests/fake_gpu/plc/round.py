"""Rounding (cpp/src/round/round.cu)."""

from typing import Any

import numpy as np
from pylibcudf import traits
from pylibcudf.round import RoundingMethod

from fake_gpu.calls import call
from fake_gpu.plc.column import Column, made
from fake_gpu.values import Array, array_of, numbers, validity

__all__ = ["RoundingMethod", "round"]


@call
def round(
    source: Column,
    decimal_places: int = 0,
    round_method: RoundingMethod = RoundingMethod.HALF_UP,
    stream: Any = None,
    mr: Any = None,
) -> Column:
    """Round to decimal places; half up is half away from zero."""
    dtype = source.type()
    if traits.is_fixed_point(dtype):
        raise NotImplementedError("the fake rounds no decimals")
    if not traits.is_numeric_not_bool(dtype):
        raise RuntimeError("CUDF failure: Only integral/floating point/fixed point are supported.")
    values = numbers(source.array(), dtype)
    if not traits.is_floating_point(dtype):
        if decimal_places < 0:
            raise NotImplementedError("the fake rounds integers to no tens")
        return made(source.array(), dtype, stream)
    whole = _away if round_method == RoundingMethod.HALF_UP else np.rint
    scale = values.dtype.type(10.0 ** abs(decimal_places))
    with np.errstate(all="ignore"):
        if decimal_places == 0:
            found = whole(values)
        elif decimal_places > 0:
            fraction, integer = np.modf(values)
            found = integer + whole(fraction * scale) / scale
        else:
            found = whole(values / scale) * scale
    return made(array_of(found, validity(source.array()), dtype), dtype, stream)


def _away(values: Array) -> Array:
    """C's round."""
    cut = np.trunc(values)
    return np.where(np.abs(values - cut) >= 0.5, cut + np.copysign(1, values), cut).astype(values.dtype)
