"""Durations: their whole length in one unit, and a change of unit."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from arrowstream.backends.arrow.kernels.base import Evaluate, Kernel, Values
from arrowstream.backends.arrow.kernels.scalars import scalar
from arrowstream.backends.arrow.kernels.temporal.zones import DAY, TICKS, ticks_per_second
from arrowstream.expressions.program import Call


def _total(numerator: int, denominator: int) -> Kernel:
    """Return a kernel that counts whole units, rounded towards zero; a second has `numerator / denominator` units."""

    def kernel(call: Call) -> Evaluate | str:
        (fractional,) = call.options
        if fractional:
            return "fractions of a unit are not rounded alike"
        dtype = call.arguments[0].dtype
        if not pa.types.is_duration(dtype):
            return f"{dtype} is not a duration"
        return lambda values: scaled(
            values.cast(pa.int64()), numerator, denominator * ticks_per_second(dtype)
        )

    return kernel


def scaled(values: Values, numerator: int, denominator: int) -> Values:
    """Multiply integers by a ratio, rounded towards zero; they wrap on overflow, as in Polars.

    Parameters
    ----------
    values
        An int64 array.
    numerator, denominator
        The ratio; one of the two divides the other.
    """
    if numerator >= denominator:
        factor = numerator // denominator
        return values if factor == 1 else pc.multiply(values, scalar(factor))
    return pc.divide(values, scalar(denominator // numerator))


KERNELS: dict[str, Kernel] = {
    "dt.total_days": _total(1, DAY),
    "dt.total_hours": _total(1, 3_600),
    "dt.total_minutes": _total(1, 60),
    "dt.total_seconds": _total(1, 1),
    "dt.total_milliseconds": _total(TICKS["ms"], 1),
    "dt.total_microseconds": _total(TICKS["us"], 1),
    "dt.total_nanoseconds": _total(TICKS["ns"], 1),
}
