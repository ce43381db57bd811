"""Movement of dates and times: rounding, offsets, first and last days of months."""

from __future__ import annotations

import re

import pyarrow as pa

from arrowstream.expressions.program import Call
from arrowstream.gpu.kernels.base import Kernel, text_of
from arrowstream.gpu.kernels.conversion import DAY, TICKS
from arrowstream.gpu.kernels.temporal.fields import of_calendar, part_of
from arrowstream.gpu.kernels.temporal.settled import days, is_universal, settled
from arrowstream.gpu.kernels.tree import Constant, Node, NodeFunction, apply, bits, cast

_types = pa.types
_DATE, _INT32, _INT64 = pa.date32(), pa.int32(), pa.int64()
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
    day = part_of("DAY") if unit == "mo" else of_calendar("day_of_year")
    before = apply("SUB", cast(day(moments), _INT32), Constant(1, _INT32))
    return cast(bits(apply("SUB", days(moments), before), _DATE), moments.dtype)


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


def _same_time_on(ahead: NodeFunction) -> Kernel:
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
    return apply("SUB", Constant(1, _INT32), cast(part_of("DAY")(moments), _INT32), dtype=_INT32)


def _to_month_end(moments: Node) -> Node:
    last = bits(of_calendar("last_day_of_month", _DATE)(moments), _INT32)
    return apply("SUB", last, days(moments))


KERNELS: dict[str, Kernel] = {
    "dt.truncate": _truncate,
    "dt.round": _round,
    "dt.offset_by": _offset_by,
    "dt.month_start": _same_time_on(_to_month_start),
    "dt.month_end": _same_time_on(_to_month_end),
}
