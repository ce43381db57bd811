"""Parts of dates and times: year to nanosecond, the ISO calendar, lengths of months."""

from __future__ import annotations

import pyarrow as pa

from arrowstream.expressions.program import Call
from arrowstream.gpu.kernels.base import Kernel
from arrowstream.gpu.kernels.conversion import as_date
from arrowstream.gpu.kernels.temporal.calls import calendar, component
from arrowstream.gpu.kernels.temporal.settled import days, is_universal, settled
from arrowstream.gpu.kernels.tree import Constant, Node, NodeFunction, apply, bits, cast, labelled
from arrowstream.gpu.kernels.tree import call as call_of

_types = pa.types
_DATE, _INT16, _INT32 = pa.date32(), pa.int16(), pa.int32()


def _part(part: NodeFunction, dates: bool) -> Kernel:
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


def part_of(name: str) -> NodeFunction:
    """Return the part of moments that libcudf gives by this name, as int16."""
    return lambda moments: call_of(name, component(name), moments, dtype=_INT16)


def of_calendar(name: str, dtype: pa.DataType = _INT16) -> NodeFunction:
    """Return what a function of libcudf's calendar gives of moments."""
    return lambda moments: call_of(name.upper(), calendar(name), moments, dtype=dtype)


def _fraction(*names: str) -> NodeFunction:
    """Return the part that counts the finest of units in the second: libcudf gives each within the next larger."""

    def part(moments: Node) -> Node:
        first, *finer = [cast(part_of(name)(moments), _INT32) for name in names]
        for node in finer:
            first = apply("ADD", apply("MUL", first, Constant(1_000, _INT32)), node)
        return first

    return part


def _nth(years: int) -> NodeFunction:
    """Return the part that numbers periods of `years` years from year 1 on; no settled date is earlier."""

    def part(moments: Node) -> Node:
        year = cast(part_of("YEAR")(moments), _INT32)
        shifted = apply("ADD", year, Constant(years - 1, _INT32))
        return apply("FLOOR_DIV", shifted, Constant(years, _INT32))

    return part


def _thursday(moments: Node) -> Node:
    """Return the Thursday of each date's week, whose year is that of the week."""
    ahead = apply("SUB", Constant(4, _INT32), cast(part_of("WEEKDAY")(moments), _INT32), dtype=_INT32)
    return bits(apply("ADD", days(moments), ahead), _DATE)


def _week(moments: Node) -> Node:
    of_year = cast(of_calendar("day_of_year")(_thursday(moments)), _INT32)
    before = apply("FLOOR_DIV", apply("SUB", of_year, Constant(1, _INT32)), Constant(7, _INT32))
    return apply("ADD", before, Constant(1, _INT32))


def _date_of(call: Call, moments: Node) -> Node | str:
    dtype = moments.dtype
    if not is_universal(dtype):
        return f"the local time of {dtype} is computed on the CPU"
    return as_date(settled(labelled(moments, pa.timestamp(dtype.unit))), strict=True)


KERNELS: dict[str, Kernel] = {
    "dt.year": _part(part_of("YEAR"), dates=True),
    "dt.month": _part(part_of("MONTH"), dates=True),
    "dt.day": _part(part_of("DAY"), dates=True),
    "dt.week_day": _part(part_of("WEEKDAY"), dates=True),
    "dt.quarter": _part(of_calendar("extract_quarter"), dates=True),
    "dt.ordinal_day": _part(of_calendar("day_of_year"), dates=True),
    "dt.is_leap_year": _part(of_calendar("is_leap_year", pa.bool_()), dates=True),
    "dt.days_in_month": _part(of_calendar("days_in_month"), dates=True),
    "dt.week": _part(_week, dates=True),
    "dt.iso_year": _part(lambda moments: part_of("YEAR")(_thursday(moments)), dates=True),
    "dt.century": _part(_nth(100), dates=True),
    "dt.millennium": _part(_nth(1_000), dates=True),
    "dt.hour": _part(part_of("HOUR"), dates=False),
    "dt.minute": _part(part_of("MINUTE"), dates=False),
    "dt.second": _part(part_of("SECOND"), dates=False),
    "dt.millisecond": _part(part_of("MILLISECOND"), dates=False),
    "dt.microsecond": _part(_fraction("MILLISECOND", "MICROSECOND"), dates=False),
    "dt.nanosecond": _part(_fraction("MILLISECOND", "MICROSECOND", "NANOSECOND"), dates=False),
    "dt.date": _date_of,
}
