"""Moments in another unit or zone, and the length of durations in one unit."""

from __future__ import annotations

import pyarrow as pa

from arrowstream.expressions.program import Call
from arrowstream.gpu.kernels.base import Kernel
from arrowstream.gpu.kernels.conversion import DAY, TICKS, in_unit, is_ticks
from arrowstream.gpu.kernels.temporal.settled import days, is_universal
from arrowstream.gpu.kernels.tree import Constant, Node, apply, bits, cast, labelled, within

_types = pa.types
_INT64 = pa.int64()


def _time_stamp(call: Call, moments: Node) -> Node | str:
    (unit,) = call.options
    dtype = moments.dtype
    if _types.is_date32(dtype):
        per_day = DAY * TICKS[unit]
        most = (2**63 - 1) // per_day
        numbers = cast(days(moments), _INT64)
        # 32 bits of days fit as milliseconds, always.
        fitting = within(numbers, -most, most) if most < 2**31 else numbers
        return apply("MUL", fitting, Constant(per_day, _INT64))
    if not _types.is_timestamp(dtype):
        return f"{dtype} has no date"
    return bits(in_unit(moments, pa.timestamp(unit, dtype.tz), strict=True), _INT64)


def _cast_time_unit(call: Call, moments: Node) -> Node | str:
    if not is_ticks(moments.dtype):
        return f"{moments.dtype} has no unit to change"
    return in_unit(moments, call.dtype, strict=True)


def _replace_time_zone(call: Call, moments: Node, *ambiguous: Node) -> Node | str:
    if not is_universal(call.dtype) or not is_universal(moments.dtype):
        return f"local times of {moments.dtype} or {call.dtype} are computed on the CPU"
    return labelled(moments, call.dtype)


def _total(numerator: int, denominator: int) -> Kernel:
    """Return a kernel that counts whole units, rounded towards zero; a second has `numerator / denominator` units."""

    def kernel(call: Call, lengths: Node) -> Node | str:
        (fractional,) = call.options
        if fractional:
            return "fractions of a unit are not rounded alike"
        if not _types.is_duration(lengths.dtype):
            return f"{lengths.dtype} is not a duration"
        ticks, per = bits(lengths, _INT64), denominator * TICKS[lengths.dtype.unit]
        if numerator >= per:
            # It wraps, as in Polars.
            return ticks if numerator == per else apply("MUL", ticks, Constant(numerator // per, _INT64))
        return apply("DIV", ticks, Constant(per // numerator, _INT64))

    return kernel


KERNELS: dict[str, Kernel] = {
    "dt.time_stamp": _time_stamp,
    "dt.cast_time_unit": _cast_time_unit,
    "dt.replace_time_zone": _replace_time_zone,
    "dt.total_days": _total(1, DAY),
    "dt.total_hours": _total(1, 3_600),
    "dt.total_minutes": _total(1, 60),
    "dt.total_seconds": _total(1, 1),
    "dt.total_milliseconds": _total(TICKS["ms"], 1),
    "dt.total_microseconds": _total(TICKS["us"], 1),
    "dt.total_nanoseconds": _total(TICKS["ns"], 1),
}
