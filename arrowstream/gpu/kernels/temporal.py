"""Dates, times and durations: their parts, rounding, offsets, other units.

Years of four digits only: outside of them libraries differ, and Polars computes the batch. Local times of zones
other than UTC need a database of zones, and stay on the CPU.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date

import pyarrow as pa

from arrowstream.expressions.program import Call
from arrowstream.gpu.kernels.base import Kernel, text_of
from arrowstream.gpu.kernels.calendar_calls import calendar, component
from arrowstream.gpu.kernels.conversion import DAY, TICKS, as_date, in_unit, is_ticks
from arrowstream.gpu.kernels.tree import Constant, Node, apply, bits, cast, labelled, within
from arrowstream.gpu.kernels.tree import call as call_of

_types = pa.types
_DATE, _INT16, _INT32, _INT64 = pa.date32(), pa.int16(), pa.int32(), pa.int64()
_EPOCH = date(1970, 1, 1)
_SECOND = TICKS["ns"]
_FIXED = {
    "ns": 1,
    "us": 1_000,
    "ms": 1_000_000,
    "s": _SECOND,
    "m": 60 * _SECOND,
    "h": 3_600 * _SECOND,
    "d": DAY * _SECOND,
    "w": 7 * DAY * _SECOND,
}
"""Nanoseconds of Polars' units of fixed length."""
_TERM = re.compile(r"(\d+)(ns|us|ms|mo|s|m|h|d|w|q|y)")
_MONDAY = -3
"""The days from 1970-01-01 to a Monday before it."""
_LONGEST = 366 * DAY * _SECOND
"""Longest period and offset, in nanoseconds: a longer one could leave the years that are computed alike."""

Part = Callable[[Node], Node]


def _over_a_column(kernel: Kernel) -> Kernel:
    """Return `kernel` for calls whose first argument is a column; refuse any other."""

    def checked(call: Call, first: Node, *others: Node) -> Node | str:
        return "a function of constants only" if isinstance(first, Constant) else kernel(call, first, *others)

    return checked


def is_universal(dtype: pa.DataType) -> bool:
    """Return whether a type is a timestamp without a zone, or in UTC."""
    return bool(_types.is_timestamp(dtype)) and dtype.tz in (None, "UTC", "Etc/UTC")


def settled(moments: Node) -> Node:
    """Return dates or timestamps, but leave batches with a year of other than four digits to Polars."""
    dtype = moments.dtype
    first, last = date(1, 1, 2), date(9999, 12, 30)
    if _types.is_timestamp(dtype) and dtype.unit == "ns":
        # The range of 64 bits, less a year for results that lie earlier or later.
        first, last = date(1678, 10, 1), date(2261, 3, 1)
    ticks = 1 if _types.is_date32(dtype) else DAY * TICKS[dtype.unit]
    return within(moments, (first - _EPOCH).days * ticks, (last - _EPOCH).days * ticks)


def _part(part: Part, dates: bool) -> Kernel:
    """Return the kernel of a part of dates and times; `dates`: True if dates have it, too."""

    def kernel(call: Call, moments: Node) -> Node | str:
        dtype = moments.dtype
        if _types.is_timestamp(dtype):
            if not is_universal(dtype):
                return f"the local time of {dtype.tz} is computed on the CPU"
        elif not (dates and _types.is_date32(dtype)):
            return f"{dtype} does not have this part"
        return cast(part(settled(moments)), call.dtype)

    return kernel


def _component(name: str) -> Part:
    return lambda moments: call_of(name, component(name), moments, dtype=_INT16)


def _calendar(name: str, dtype: pa.DataType = _INT16) -> Part:
    return lambda moments: call_of(name.upper(), calendar(name), moments, dtype=dtype)


def _fraction(*names: str) -> Part:
    """Return the part that counts the finest of units in the second: libcudf gives each within the next larger."""

    def part(moments: Node) -> Node:
        first, *finer = [cast(_component(name)(moments), _INT32) for name in names]
        for node in finer:
            first = apply("ADD", apply("MUL", first, Constant(1_000, _INT32)), node)
        return first

    return part


def _nth(years: int) -> Part:
    """Return the part that numbers periods of `years` years from year 1 on; no settled date is earlier."""

    def part(moments: Node) -> Node:
        year = cast(_component("YEAR")(moments), _INT32)
        shifted = apply("ADD", year, Constant(years - 1, _INT32))
        return apply("FLOOR_DIV", shifted, Constant(years, _INT32))

    return part


def _thursday(moments: Node) -> Node:
    """Return the Thursday of each date's week, whose year is that of the week."""
    ahead = apply("SUB", Constant(4, _INT32), cast(_component("WEEKDAY")(moments), _INT32), dtype=_INT32)
    return bits(apply("ADD", _days(moments), ahead), _DATE)


def _week(moments: Node) -> Node:
    of_year = cast(_calendar("day_of_year")(_thursday(moments)), _INT32)
    before = apply("FLOOR_DIV", apply("SUB", of_year, Constant(1, _INT32)), Constant(7, _INT32))
    return apply("ADD", before, Constant(1, _INT32))


def _to_date(moments: Node) -> Node:
    return moments if _types.is_date32(moments.dtype) else cast(moments, _DATE)


def _days(moments: Node) -> Node:
    return bits(_to_date(moments), _INT32)


def _date_of(call: Call, moments: Node) -> Node | str:
    dtype = moments.dtype
    if not is_universal(dtype):
        return f"the local time of {dtype} is computed on the CPU"
    return as_date(settled(labelled(moments, pa.timestamp(dtype.unit))), strict=True)


# Movement -------------------------------------------------------------------------------------------


def _unmovable(dtype: pa.DataType) -> str | None:
    """Return the reason why dates or times of a type are left to the CPU, or None."""
    if _types.is_date32(dtype) or is_universal(dtype):
        return None
    return (
        f"how far {dtype} moves depends on its zone" if _types.is_timestamp(dtype) else f"{dtype} has no date"
    )


def _tick(dtype: pa.DataType) -> int:
    """Return the nanoseconds in the smallest step of a date or timestamp type."""
    return DAY * _SECOND if _types.is_date32(dtype) else _SECOND // TICKS[dtype.unit]


def _number_type(dtype: pa.DataType) -> pa.DataType:
    return _INT32 if _types.is_date32(dtype) else _INT64


def _period(call: Call, moments: Node, every: Node) -> tuple[int, str] | str:
    """Return a constant period as a count and a unit."""
    dtype, text = moments.dtype, text_of(every)
    if reason := _unmovable(dtype):
        return reason
    if text is None or not (term := _TERM.fullmatch(text)) or (count := int(term[1])) == 0:
        return "only one constant period above 0 is cut alike"
    unit = term[2]
    if unit in _FIXED:
        length = count * _FIXED[unit]
        if length % _tick(dtype) or length > _LONGEST or (unit == "w" and count > 1):
            return f"{text} of {dtype} is not cut alike"
    return count, unit


def _floored(moments: Node, ticks: int, origin: int, shift: int) -> Node:
    """Return moments, moved by `shift` ticks, rounded down to `ticks` counted from `origin`."""
    kind = _number_type(moments.dtype)
    number = bits(moments, kind)
    if shift:
        number = apply("ADD", number, Constant(shift, kind))
    since = apply("SUB", number, Constant(origin, kind)) if origin else number
    over = apply("PYMOD", since, Constant(ticks, kind))
    return bits(apply("SUB", number, over), moments.dtype)


def _truncate(call: Call, moments: Node, every: Node) -> Node | str:
    period = _period(call, moments, every)
    if isinstance(period, str):
        return period
    count, unit = period
    if unit in _FIXED:
        return _to_period(moments, count, unit, half=False)
    if count > 1 or unit == "q":
        return f"{text_of(every)}: the GPU counts no calendar periods but 1mo and 1y"
    moments = settled(moments)
    day = _component("DAY") if unit == "mo" else _calendar("day_of_year")
    before = apply("SUB", cast(day(moments), _INT32), Constant(1, _INT32))
    return cast(bits(apply("SUB", _days(moments), before), _DATE), moments.dtype)


def _to_period(moments: Node, count: int, unit: str, half: bool) -> Node:
    tick = _tick(moments.dtype)
    ticks = count * _FIXED[unit] // tick
    origin = _MONDAY * DAY * _SECOND // tick if unit == "w" else 0
    return _floored(settled(moments), ticks, origin, ticks // 2 if half else 0)


def _round(call: Call, moments: Node, every: Node) -> Node | str:
    period = _period(call, moments, every)
    if isinstance(period, str):
        return period
    count, unit = period
    return (
        _to_period(moments, count, unit, half=True) if unit in _FIXED else "months have no middle to round at"
    )


def _offset_by(call: Call, moments: Node, by: Node) -> Node | str:
    dtype, text = moments.dtype, text_of(by)
    if reason := _unmovable(dtype):
        return reason
    if text is None or not re.fullmatch(f"-?({_TERM.pattern})+", text):
        return "the offset must be constant"
    terms = _TERM.findall(text)
    if any(unit not in _FIXED for _, unit in terms):
        return "the GPU does not add calendar months"
    nanoseconds = sum(int(count) * _FIXED[unit] for count, unit in terms)
    ticks, rest = divmod(nanoseconds, _tick(dtype))
    if rest or nanoseconds > _LONGEST:
        return f"an offset of {text} does not fit {dtype}"
    return _moved(settled(moments), Constant(-ticks if text.startswith("-") else ticks, _number_type(dtype)))


def _moved(moments: Node, ticks: Node) -> Node:
    number = bits(moments, _number_type(moments.dtype))
    return bits(apply("ADD", number, ticks), moments.dtype)


def _same_time_on(ahead: Part) -> Kernel:
    """Return the kernel of a move by whole days, in int32; a timestamp keeps its time of day."""

    def kernel(call: Call, moments: Node) -> Node | str:
        dtype = moments.dtype
        if reason := _unmovable(dtype):
            return reason
        moments = settled(moments)
        days = ahead(moments)
        if _types.is_date32(dtype):
            return _moved(moments, days)
        return _moved(moments, apply("MUL", cast(days, _INT64), Constant(DAY * TICKS[dtype.unit], _INT64)))

    return kernel


def _to_month_start(moments: Node) -> Node:
    return apply("SUB", Constant(1, _INT32), cast(_component("DAY")(moments), _INT32), dtype=_INT32)


def _to_month_end(moments: Node) -> Node:
    last = bits(_calendar("last_day_of_month", _DATE)(moments), _INT32)
    return apply("SUB", last, _days(moments))


# Units ----------------------------------------------------------------------------------------------


def _time_stamp(call: Call, moments: Node) -> Node | str:
    (unit,) = call.options
    dtype = moments.dtype
    if _types.is_date32(dtype):
        days = within(cast(_days(moments), _INT64), -(2**31), 2**31 - 1)
        most = (2**63 - 1) // (DAY * TICKS[unit])
        return apply("MUL", within(days, -most, most), Constant(DAY * TICKS[unit], _INT64))
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


_OVER_A_COLUMN: dict[str, Kernel] = {
    "dt.year": _part(_component("YEAR"), dates=True),
    "dt.month": _part(_component("MONTH"), dates=True),
    "dt.day": _part(_component("DAY"), dates=True),
    "dt.week_day": _part(_component("WEEKDAY"), dates=True),
    "dt.quarter": _part(_calendar("extract_quarter"), dates=True),
    "dt.ordinal_day": _part(_calendar("day_of_year"), dates=True),
    "dt.is_leap_year": _part(_calendar("is_leap_year", pa.bool_()), dates=True),
    "dt.days_in_month": _part(_calendar("days_in_month"), dates=True),
    "dt.week": _part(_week, dates=True),
    "dt.iso_year": _part(lambda moments: _component("YEAR")(_thursday(moments)), dates=True),
    "dt.century": _part(_nth(100), dates=True),
    "dt.millennium": _part(_nth(1_000), dates=True),
    "dt.hour": _part(_component("HOUR"), dates=False),
    "dt.minute": _part(_component("MINUTE"), dates=False),
    "dt.second": _part(_component("SECOND"), dates=False),
    "dt.millisecond": _part(_component("MILLISECOND"), dates=False),
    "dt.microsecond": _part(_fraction("MILLISECOND", "MICROSECOND"), dates=False),
    "dt.nanosecond": _part(_fraction("MILLISECOND", "MICROSECOND", "NANOSECOND"), dates=False),
    "dt.date": _date_of,
    "dt.truncate": _truncate,
    "dt.round": _round,
    "dt.offset_by": _offset_by,
    "dt.month_start": _same_time_on(_to_month_start),
    "dt.month_end": _same_time_on(_to_month_end),
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

KERNELS: dict[str, Kernel] = {name: _over_a_column(kernel) for name, kernel in _OVER_A_COLUMN.items()}

REFUSED = {
    "dt.time": "times of day stay in host memory",
    "dt.combine": "times of day stay in host memory",
    "dt.to_string": "the GPU writes dates and times differently",
}
"""Functions that are left to the CPU, and why."""
