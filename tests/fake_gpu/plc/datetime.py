"""Calendar and clock of timestamps (cpp/src/datetime/datetime_ops.cu)."""

from typing import Any

import numpy as np
from pylibcudf.datetime import DatetimeComponent, RoundingFrequency
from pylibcudf.types import DataType, TypeId

from fake_gpu.calls import call
from fake_gpu.plc.column import Column, made
from fake_gpu.types import NUMPY, TICKS, TIMESTAMPS
from fake_gpu.values import Array, array_of, numbers, validity

__all__ = [
    "DatetimeComponent",
    "RoundingFrequency",
    "ceil_datetimes",
    "day_of_year",
    "days_in_month",
    "extract_datetime_component",
    "extract_quarter",
    "floor_datetimes",
    "is_leap_year",
    "last_day_of_month",
    "round_datetimes",
]

_DAY = 86_400 * 10**9

# Nanoseconds of the unit, and of the one above it.
_CLOCK = {
    DatetimeComponent.HOUR: (3_600 * 10**9, _DAY),
    DatetimeComponent.MINUTE: (60 * 10**9, 3_600 * 10**9),
    DatetimeComponent.SECOND: (10**9, 60 * 10**9),
    DatetimeComponent.MILLISECOND: (10**6, 10**9),
    DatetimeComponent.MICROSECOND: (10**3, 10**6),
    DatetimeComponent.NANOSECOND: (1, 10**3),
}

_FREQUENCY = {
    RoundingFrequency.DAY: _DAY,
    RoundingFrequency.HOUR: 3_600 * 10**9,
    RoundingFrequency.MINUTE: 60 * 10**9,
    RoundingFrequency.SECOND: 10**9,
    RoundingFrequency.MILLISECOND: 10**6,
    RoundingFrequency.MICROSECOND: 10**3,
    RoundingFrequency.NANOSECOND: 1,
}


@call
def extract_datetime_component(
    input: Column, component: DatetimeComponent, stream: Any = None, mr: Any = None
) -> Column:
    """One component as INT16: milliseconds of the second, microseconds of the millisecond, and so on.

    Weekdays are ISO's: Monday is 1.
    """
    _require_timestamps(input)
    if component in _CLOCK:
        found = _clock(input, *_CLOCK[component])
    elif component == DatetimeComponent.WEEKDAY:
        # 1970-01-01 was a Thursday.
        found = (_days(input) + 3) % 7 + 1
    else:
        year, month, day = _calendar(input)
        found = {DatetimeComponent.YEAR: year, DatetimeComponent.MONTH: month, DatetimeComponent.DAY: day}[
            component
        ]
    return _answer(found, TypeId.INT16, input, stream)


def _clock(input: Column, unit: int, above: int) -> Array:
    tick = TICKS[input.type().id()]
    values = numbers(input.array(), input.type()).astype(np.int64)
    if tick >= above:
        return np.zeros_like(values)
    within = np.mod(values, above // tick)
    return within * (tick // unit) if tick >= unit else within // (unit // tick)


def _days(input: Column) -> Array:
    per_day = _DAY // TICKS[input.type().id()]
    return np.floor_divide(numbers(input.array(), input.type()).astype(np.int64), per_day)


def _calendar(input: Column) -> tuple[Array, Array, Array]:
    days = _days(input).astype("datetime64[D]")
    months = days.astype("datetime64[M]")
    count = months.astype(np.int64)
    day = (days - months.astype("datetime64[D]")).astype(np.int64) + 1
    return np.floor_divide(count, 12) + 1970, np.mod(count, 12) + 1, day


@call
def day_of_year(input: Column, stream: Any = None, mr: Any = None) -> Column:
    """The day of the year, from 1, as INT16."""
    _require_timestamps(input)
    days = _days(input).astype("datetime64[D]")
    first = days.astype("datetime64[Y]").astype("datetime64[D]")
    return _answer((days - first).astype(np.int64) + 1, TypeId.INT16, input, stream)


@call
def is_leap_year(input: Column, stream: Any = None, mr: Any = None) -> Column:
    _require_timestamps(input)
    year = _calendar(input)[0]
    return _answer((year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0)), TypeId.BOOL8, input, stream)


@call
def last_day_of_month(input: Column, stream: Any = None, mr: Any = None) -> Column:
    """The date of the last day of the month, as TIMESTAMP_DAYS."""
    _require_timestamps(input)
    return _answer(_next_month(input) - 1, TypeId.TIMESTAMP_DAYS, input, stream)


@call
def extract_quarter(input: Column, stream: Any = None, mr: Any = None) -> Column:
    """The quarter, from 1, as INT16."""
    _require_timestamps(input)
    return _answer((_calendar(input)[1] + 2) // 3, TypeId.INT16, input, stream)


@call
def days_in_month(input: Column, stream: Any = None, mr: Any = None) -> Column:
    """The number of days of the month, as INT16."""
    _require_timestamps(input)
    first = (
        _days(input).astype("datetime64[D]").astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    )
    return _answer(_next_month(input) - first, TypeId.INT16, input, stream)


def _next_month(input: Column) -> Array:
    month = _days(input).astype("datetime64[D]").astype("datetime64[M]")
    return (month + 1).astype("datetime64[D]").astype(np.int64)


@call
def ceil_datetimes(input: Column, freq: RoundingFrequency, stream: Any = None, mr: Any = None) -> Column:
    return _rounded(input, freq, lambda values, step: -np.floor_divide(-values, step) * step, stream)


@call
def floor_datetimes(input: Column, freq: RoundingFrequency, stream: Any = None, mr: Any = None) -> Column:
    return _rounded(input, freq, lambda values, step: np.floor_divide(values, step) * step, stream)


@call
def round_datetimes(input: Column, freq: RoundingFrequency, stream: Any = None, mr: Any = None) -> Column:
    """To the nearest; a half to the even one, as std::chrono::round does."""

    def nearest(values: Array, step: int) -> Array:
        below = np.floor_divide(values, step)
        rest = values - below * step
        up = (2 * rest > step) | ((2 * rest == step) & (below % 2 == 1))
        return (below + up) * step

    return _rounded(input, freq, nearest, stream)


def _rounded(input: Column, freq: RoundingFrequency, rule: Any, stream: Any) -> Column:
    if input.type().id() not in TIMESTAMPS:
        raise RuntimeError("CUDF failure: Must be cudf::timestamp")
    values = numbers(input.array(), input.type())
    step = _FREQUENCY[freq] // TICKS[input.type().id()]
    if step > 1:
        with np.errstate(all="ignore"):
            values = rule(values.astype(np.int64), step)
    return _answer(values, input.type().id(), input, stream)


def _require_timestamps(input: Column) -> None:
    if input.type().id() not in TIMESTAMPS:
        raise RuntimeError("CUDF failure: Column type should be timestamp")


def _answer(values: Array, kind: TypeId, input: Column, stream: Any) -> Column:
    dtype = DataType(kind)
    return made(array_of(values.astype(NUMPY[kind]), validity(input.array()), dtype), dtype, stream)
