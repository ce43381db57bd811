"""Division of integers as Polars does it: rounded down, null for a divisor of 0, wrapping on overflow."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from arrowstream.backends.arrow.kernels.base import Evaluate, Values
from arrowstream.backends.arrow.kernels.scalars import scalar
from arrowstream.expressions.program import Call


def divide_integers(call: Call) -> Evaluate:
    """Compile a division to the quotient rounded down; both arguments have the result's type."""
    floor = _floor(call.dtype)
    return lambda x, y: floor(x, _no_zeros(y))


def remainder_of_integers(call: Call) -> Evaluate:
    """Compile a division to its remainder, which has the divisor's sign; both arguments have the result's type."""
    floor = _floor(call.dtype)

    def evaluate(x: Values, y: Values) -> Values:
        divisor = _no_zeros(y)
        return pc.subtract(x, pc.multiply(floor(x, divisor), divisor))

    return evaluate


def _no_zeros(y: Values) -> Values:
    return pc.if_else(pc.equal(y, scalar(0, y.type)), scalar(None, y.type), y)


def _floor(dtype: pa.DataType) -> Evaluate:
    if pa.types.is_unsigned_integer(dtype):
        return pc.divide  # type: ignore[no-any-return]
    zero, minus_one = scalar(0, dtype), scalar(-1, dtype)

    def floor(x: Values, y: Values) -> Values:
        quotient = pc.divide(x, y)
        rest = pc.subtract(x, pc.multiply(quotient, y))
        # Arrow rounds towards zero: subtract 1 if there is a remainder and the signs differ.
        down = pc.and_(pc.not_equal(rest, zero), pc.xor(pc.less(x, zero), pc.less(y, zero)))
        lower = pc.subtract(quotient, pc.cast(down, dtype))
        # Arrow gives 0 for the smallest integer over -1; Polars wraps, as negation does.
        return pc.if_else(pc.equal(y, minus_one), pc.negate(x), lower)

    return floor
