"""Movement of dates and times: rounding, offsets, first and last days of months."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from arrowstream.backends.arrow.kernels.arguments import constant_text
from arrowstream.backends.arrow.kernels.base import Evaluate, Kernel, Values
from arrowstream.backends.arrow.kernels.fallback import InPolars, fast_where
from arrowstream.backends.arrow.kernels.scalars import scalar
from arrowstream.backends.arrow.kernels.temporal.fields import days, month_start, next_month, to_date
from arrowstream.backends.arrow.kernels.temporal.zones import (
    DAY,
    TICKS,
    is_plain,
    is_settled,
    ticks_per_second,
    wall_clock,
)
from arrowstream.expressions.program import Call

_SECOND = TICKS["ns"]
_FIXED = {
    "ns": (1, "nanosecond"),
    "us": (1_000, "microsecond"),
    "ms": (1_000_000, "millisecond"),
    "s": (_SECOND, "second"),
    "m": (60 * _SECOND, "minute"),
    "h": (3_600 * _SECOND, "hour"),
    "d": (DAY * _SECOND, "day"),
    "w": (7 * DAY * _SECOND, "week"),
}
"""Polars' units of fixed length: nanoseconds, and Arrow's name."""
_CALENDAR = {"mo": "month", "q": "quarter", "y": "year"}
_TERM = re.compile(r"(\d+)(ns|us|ms|mo|s|m|h|d|w|q|y)")
_LONGEST_OFFSET = 366 * DAY * _SECOND
"""Longest offset, in nanoseconds; a longer one could move a settled date out of the range that is computed alike."""


def _tick(dtype: pa.DataType) -> int:
    """Return the nanoseconds in the smallest step of a date or timestamp type."""
    return DAY * _SECOND if pa.types.is_date32(dtype) else _SECOND // ticks_per_second(dtype)


def _unmovable(dtype: pa.DataType) -> str | None:
    """Return the reason why dates or times of a type are left to Polars, or None."""
    if pa.types.is_date32(dtype) or (pa.types.is_timestamp(dtype) and is_plain(dtype)):
        return None
    return (
        f"how far {dtype} moves depends on its zone"
        if pa.types.is_timestamp(dtype)
        else f"{dtype} has no date"
    )


def _moved(call: Call, move: Callable[[Values], Values], slow: InPolars) -> Evaluate:
    """Return a function that applies `move` to settled dates, or timestamps less their zone; Polars moves others."""

    def fast(values: Values, *_: Values) -> Values:
        return move(wall_clock(values)).view(call.dtype)

    return fast_where(is_settled(call.dtype), fast, slow, call.dtype)


def _shift(values: Values, ticks: int | Values) -> Values:
    """Move dates or timestamps by a number of ticks of their type."""
    ints = pa.int32() if pa.types.is_date32(values.type) else pa.int64()
    by = scalar(ticks, ints) if isinstance(ticks, int) else ticks
    return pc.add(values.view(ints), by).view(values.type)


@dataclass(frozen=True, slots=True)
class _Bucket:
    """The period that dates are rounded to.

    Parameters
    ----------
    text
        The period as Polars writes it.
    count, unit
        The period as a number of an Arrow unit.
    ticks
        The period in ticks of the dates' type; None for months, quarters and years.
    """

    text: str
    count: int
    unit: str
    ticks: int | None


def _bucket(call: Call) -> _Bucket | str:
    dtype, every = call.arguments[0].dtype, constant_text(call, 1)
    if reason := _unmovable(dtype):
        return reason
    if every is None or not (term := _TERM.fullmatch(every)) or (count := int(term[1])) == 0:
        return "only one constant period above 0 is cut alike"
    if unit := _CALENDAR.get(term[2]):
        # Arrow counts from 1970 and Polars from year 0: this gives the same months, and the same years if they
        # divide 1970.
        differs = unit == "year" and 1970 % count
        return f"{every} starts elsewhere in Arrow" if differs else _Bucket(every, count, unit, None)
    nanoseconds, unit = _FIXED[term[2]]
    ticks, rest = divmod(count * nanoseconds, _tick(dtype))
    if rest or count * nanoseconds > _LONGEST_OFFSET or (unit == "week" and count > 1):
        return f"{every} of {dtype} is not cut alike"
    return _Bucket(every, count, unit, ticks)


def _truncate(call: Call) -> Evaluate | str:
    bucket = _bucket(call)
    if isinstance(bucket, str):
        return bucket
    return _moved(
        call,
        lambda values: pc.floor_temporal(values, bucket.count, bucket.unit),
        lambda s: s.dt.truncate(bucket.text),
    )


def _round(call: Call) -> Evaluate | str:
    bucket = _bucket(call)
    if isinstance(bucket, str):
        return bucket
    if bucket.ticks is None:
        return "months have no middle to round at"
    half = bucket.ticks // 2
    return _moved(
        call,
        lambda values: pc.floor_temporal(_shift(values, half), bucket.count, bucket.unit),
        lambda s: s.dt.round(bucket.text),
    )


def _offset_by(call: Call) -> Evaluate | str:
    dtype, by = call.arguments[0].dtype, constant_text(call, 1)
    if reason := _unmovable(dtype):
        return reason
    if by is None or not re.fullmatch(f"-?({_TERM.pattern})+", by):
        return "the offset must be constant"
    terms = _TERM.findall(by)
    if any(unit in _CALENDAR for _, unit in terms):
        return "Arrow does not add calendar months"
    nanoseconds = sum(int(count) * _FIXED[unit][0] for count, unit in terms)
    ticks, rest = divmod(nanoseconds, _tick(dtype))
    if rest or nanoseconds > _LONGEST_OFFSET:
        return f"an offset of {by} does not fit {dtype}"
    signed = -ticks if by.startswith("-") else ticks
    return _moved(call, lambda values: _shift(values, signed), lambda s: s.dt.offset_by(by))


def _same_time_on(day: Callable[[Values], Values], slow: InPolars) -> Kernel:
    """Return the kernel of a move to another day of the same month; a timestamp keeps its time of day."""

    def kernel(call: Call) -> Evaluate | str:
        dtype = call.arguments[0].dtype
        if reason := _unmovable(dtype):
            return reason
        if pa.types.is_date32(dtype):
            return _moved(call, day, slow)
        ticks_per_day = scalar(DAY * ticks_per_second(dtype))

        def move(values: Values) -> Values:
            dates = to_date(values)
            ahead = pc.subtract(days(day(dates)), days(dates)).cast(pa.int64())
            return _shift(values, pc.multiply(ahead, ticks_per_day))

        return _moved(call, move, slow)

    return kernel


KERNELS: dict[str, Kernel] = {
    "dt.truncate": _truncate,
    "dt.round": _round,
    "dt.offset_by": _offset_by,
    "dt.month_start": _same_time_on(month_start, lambda s: s.dt.month_start()),
    "dt.month_end": _same_time_on(lambda dates: _shift(next_month(dates), -1), lambda s: s.dt.month_end()),
}
