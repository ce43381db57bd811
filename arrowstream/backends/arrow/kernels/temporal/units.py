"""Moments in another form: another unit or zone, a number, a date joined with a time."""

from __future__ import annotations

from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from arrowstream.backends.arrow.kernels.base import Evaluate, Kernel, Values
from arrowstream.backends.arrow.kernels.fallback import InPolars, fast_where, in_polars
from arrowstream.backends.arrow.kernels.scalars import scalar
from arrowstream.backends.arrow.kernels.temporal.durations import scaled
from arrowstream.backends.arrow.kernels.temporal.fields import days, to_date
from arrowstream.backends.arrow.kernels.temporal.zones import (
    DAY,
    TICKS,
    disagreement,
    is_plain,
    is_settled,
    ticks_per_second,
    unzoned,
    wall_clock,
    within,
)
from arrowstream.expressions.program import Call

_NAMES = {"ms": "millisecond", "us": "microsecond"}
_ROOM = 2**62
"""Half of the largest 64-bit integer: rounding and scaling up to here cannot overflow."""


def _ticks(values: Values, unit: str) -> Values:
    """Return the ticks of `unit` since 1970 of dates and timestamps, or in durations, rounded as Polars does."""
    if pa.types.is_date32(values.type):
        return pc.multiply(days(values).cast(pa.int64()), scalar(DAY * TICKS[unit]))
    here, there = ticks_per_second(values.type), TICKS[unit]
    if pa.types.is_timestamp(values.type) and there < here:
        # Timestamps round to the past; durations towards 0, as integer division does.
        values = pc.floor_temporal(values.view(unzoned(values.type)), 1, _NAMES[unit])
    return scaled(values.view(pa.int64()), there, here)


def _in_unit(call: Call, slow: InPolars) -> Evaluate:
    (unit,) = call.options
    dtype = call.arguments[0].dtype
    here = 1 / DAY if pa.types.is_date32(dtype) else ticks_per_second(dtype)
    limit = int(_ROOM // max(1, TICKS[unit] / here))
    return fast_where(within(limit), lambda values: _ticks(values, unit).view(call.dtype), slow, call.dtype)


def _time_stamp(call: Call) -> Evaluate | str:
    dtype = call.arguments[0].dtype
    if not pa.types.is_date32(dtype) and not pa.types.is_timestamp(dtype):
        return f"{dtype} has no date"
    unit: Any = call.options[0]
    return _in_unit(call, lambda s: s.dt.timestamp(unit))


def _cast_time_unit(call: Call) -> Evaluate | str:
    dtype = call.arguments[0].dtype
    if not pa.types.is_timestamp(dtype) and not pa.types.is_duration(dtype):
        return f"{dtype} has no unit to change"
    unit: Any = call.options[0]
    return _in_unit(call, lambda s: s.dt.cast_time_unit(unit))


def _convert_time_zone(call: Call) -> Evaluate | str:
    return lambda values: values.view(call.dtype)


def _replace_time_zone(call: Call) -> Evaluate | str:
    dtype = call.arguments[0].dtype
    if not is_plain(call.dtype):
        return f"local times may be ambiguous or missing in {call.dtype.tz}"
    return disagreement(dtype) or fast_where(
        is_settled(dtype),
        lambda values, *_: wall_clock(values).view(call.dtype),
        lambda s: s.dt.replace_time_zone(call.dtype.tz),
        call.dtype,
    )


def _combine(call: Call) -> Evaluate | str:
    (unit,) = call.options
    date, time = (argument.dtype for argument in call.arguments)
    if not pa.types.is_date32(date) and not (pa.types.is_timestamp(date) and date.tz is None):
        return f"{date} cannot be joined with a time of day here"
    if not pa.types.is_time64(time):
        return f"{time} is not a time of day"
    settled = is_settled(date, call.dtype)

    def evaluate(dates: Values, times: Values) -> Values:
        if isinstance(times, pa.Scalar):
            times = pa.repeat(times, len(dates))
        if settled(dates):
            midnights = _ticks(to_date(dates), unit)
            return pc.add(midnights, scaled(times.view(pa.int64()), TICKS[unit], TICKS["ns"])).view(
                call.dtype
            )
        clock = pl.Series(values=times)
        return in_polars(
            dates, lambda s: pl.select(pl.lit(s).dt.combine(pl.lit(clock), unit)).to_series(), call.dtype
        )

    return evaluate


KERNELS: dict[str, Kernel] = {
    "dt.time_stamp": _time_stamp,
    "dt.cast_time_unit": _cast_time_unit,
    "dt.convert_time_zone": _convert_time_zone,
    "dt.replace_time_zone": _replace_time_zone,
    "dt.combine": _combine,
}
