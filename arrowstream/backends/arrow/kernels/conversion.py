"""Casts for which Arrow can give the same values as Polars, and fail for the same ones."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from arrowstream.backends.arrow.kernels.base import Evaluate, Kernel, Values
from arrowstream.backends.arrow.kernels.scalars import scalar
from arrowstream.backends.arrow.kernels.types import is_float, is_integer, is_number
from arrowstream.expressions.program import Call

_DAY_TICKS = {"s": 86_400, "ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}
_TICKS = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_types = pa.types


def convert(source: pa.DataType, target: pa.DataType, strict: bool) -> Evaluate | str:
    """Return the function that casts `source` to `target`, or the reason to refuse it.

    Parameters
    ----------
    source, target
        The Arrow types to cast from and to.
    strict
        True if a value that does not fit is an error (`pyarrow.ArrowInvalid`); it becomes null otherwise.
    """
    if source == target:
        return _unchanged
    if _types.is_null(source):
        return lambda values: pa.nulls(len(values), target)
    if is_integer(source) and is_integer(target):
        return _narrow(source, target, strict)
    if is_float(source) and is_integer(target):
        return _truncate(target, strict)
    if _types.is_boolean(target) and is_number(source):
        zero = scalar(0, source)
        return lambda values: pc.not_equal(values, zero)
    if is_number(target) and (is_number(source) or _types.is_boolean(source)):
        return _unsafe(target)
    if _types.is_large_string(target) and (is_integer(source) or _types.is_boolean(source)):
        return _unsafe(target)
    if _types.is_large_binary(target) and _types.is_large_string(source):
        return _unsafe(target)
    return _between_moments(source, target, strict) or f"a cast of {source} to {target} may differ"


def _unchanged(values: Values) -> Values:
    return values


def _unsafe(target: pa.DataType) -> Evaluate:
    return lambda values: pc.cast(values, target, safe=False)


def _bounds(dtype: pa.DataType) -> tuple[int, int]:
    """Return the smallest and the largest value of an integer type."""
    if _types.is_signed_integer(dtype):
        return -(1 << (dtype.bit_width - 1)), (1 << (dtype.bit_width - 1)) - 1
    return 0, (1 << dtype.bit_width) - 1


def _narrow(source: pa.DataType, target: pa.DataType, strict: bool) -> Evaluate:
    (least, most), (low, high) = _bounds(source), _bounds(target)
    if low <= least and most <= high:
        return _unsafe(target)
    if strict:
        return lambda values: pc.cast(values, target)
    floor, ceiling = scalar(max(least, low), source), scalar(min(most, high), source)
    nothing = scalar(None, target)

    def evaluate(values: Values) -> Values:
        fits = pc.and_(pc.greater_equal(values, floor), pc.less_equal(values, ceiling))
        return pc.if_else(fits, pc.cast(values, target, safe=False), nothing)

    return evaluate


def _truncate(target: pa.DataType, strict: bool) -> Evaluate:
    low, high = _bounds(target)

    def evaluate(values: Values) -> Values:
        whole = pc.trunc(values)
        # Both ends are powers of two or 0, and so exact in every float type; NaN fails both comparisons.
        fits = pc.and_(
            pc.greater_equal(whole, scalar(float(low), values.type)),
            pc.less(whole, scalar(float(high + 1), values.type)),
        )
        if not pc.all(fits, min_count=0).as_py():
            if strict:
                wrong = pc.filter(values, pc.invert(fits))[0]
                raise pa.ArrowInvalid(f"{wrong} does not fit {target}")
            whole = pc.if_else(fits, whole, scalar(None, values.type))
        return pc.cast(whole, target, safe=False)

    return evaluate


def _between_moments(source: pa.DataType, target: pa.DataType, strict: bool) -> Evaluate | None:
    """Return a cast among dates, timestamps, durations and the integers that store them; None if it is another."""
    if _types.is_date32(source):
        if _types.is_int32(target):
            return lambda values: values.view(target)
        if _types.is_timestamp(target) and target.tz is None:
            return _scaled(_DAY_TICKS[target.unit], target, strict)
    if _types.is_timestamp(source) and _types.is_date32(target) and source.tz is None:
        return _date(_DAY_TICKS[source.unit], strict)
    if _types.is_int64(target) and _is_ticks(source):
        return lambda values: values.view(target)
    if _types.is_int64(source) and _is_ticks(target):
        return lambda values: values.view(target)
    same_kind = _types.is_duration(source) and _types.is_duration(target)
    if _types.is_timestamp(source) and _types.is_timestamp(target):
        same_kind = source.tz == target.tz
    if same_kind:
        finer = _TICKS[target.unit] // _TICKS[source.unit]
        if finer:
            return _scaled(finer, target, strict)
        # Polars rounds timestamps down, durations towards zero.
        ratio = _TICKS[source.unit] // _TICKS[target.unit]
        return _floored(ratio, target) if _types.is_timestamp(source) else _cut(ratio, target)
    return None


def _is_ticks(dtype: pa.DataType) -> bool:
    return bool(_types.is_timestamp(dtype) or _types.is_duration(dtype))


def _ticks(values: Values) -> Values:
    ints = pa.int32() if _types.is_date32(values.type) else pa.int64()
    return pc.cast(values.view(ints), pa.int64())


def _scaled(factor: int, target: pa.DataType, strict: bool) -> Evaluate:
    """Return the cast of ticks to a unit `factor` times as fine; ticks that overflow 64 bits do not fit."""
    by = scalar(factor, pa.int64())
    low, high = _bounds(pa.int64())
    # Towards zero: the last tick whose multiple fits.
    among = -(-low // factor), high // factor

    def evaluate(values: Values) -> Values:
        ticks = _ticks(values)
        try:
            return pc.multiply_checked(ticks, by).view(target)
        except pa.ArrowInvalid as error:
            return pc.multiply(_fitting(ticks, among, target, strict, error), by).view(target)

    return evaluate


def _fitting(
    ticks: Values, among: tuple[int, int], target: pa.DataType, strict: bool, error: pa.ArrowInvalid
) -> Values:
    """Replace ticks outside of two limits, both included, by null; raise if the cast is strict."""
    if strict:
        raise pa.ArrowInvalid(f"a value does not fit {target}") from error
    low, high = (scalar(limit, pa.int64()) for limit in among)
    fits = pc.and_(pc.greater_equal(ticks, low), pc.less_equal(ticks, high))
    return pc.if_else(fits, ticks, scalar(None, pa.int64()))


def _cut(ratio: int, target: pa.DataType) -> Evaluate:
    by = scalar(ratio, pa.int64())
    return lambda values: pc.divide(_ticks(values), by).view(target)


def _floored(ratio: int, target: pa.DataType) -> Evaluate:
    floor = _floor(ratio)
    return lambda values: floor(_ticks(values)).view(target)


def _date(ratio: int, strict: bool) -> Evaluate:
    """Return the cast of ticks to the 32-bit date of their day; `ratio` ticks make a day."""
    floor, days, date = _floor(ratio), pa.int32(), pa.date32()

    def evaluate(values: Values) -> Values:
        whole = floor(_ticks(values))
        try:
            return pc.cast(whole, days).view(date)
        except pa.ArrowInvalid as error:
            return pc.cast(_fitting(whole, _bounds(days), date, strict, error), days).view(date)

    return evaluate


def _floor(ratio: int) -> Evaluate:
    by = scalar(ratio, pa.int64())

    def evaluate(ticks: Values) -> Values:
        whole = pc.divide(ticks, by)
        before = pc.less(ticks, pc.multiply(whole, by))
        return pc.subtract(whole, pc.cast(before, pa.int64()))

    return evaluate


def _wrapping_cast(call: Call) -> Evaluate | str:
    """Compile a cast that keeps the low bits of integers; the plan also uses it to widen types."""
    source, target = call.arguments[0].dtype, call.dtype
    if is_integer(source) and is_integer(target):
        return _unsafe(target)
    if is_number(source) and is_float(target):
        return _unsafe(target)
    return f"a wrapping cast of {source} to {target} may differ"


KERNELS: dict[str, Kernel] = {"wrapping_cast": _wrapping_cast}
