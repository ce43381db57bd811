"""Parts of dates and times: year to nanosecond, the ISO calendar, lengths of months."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from arrowstream.backends.arrow.kernels.base import Evaluate, Kernel, Values
from arrowstream.backends.arrow.kernels.fallback import InPolars, fast_where
from arrowstream.backends.arrow.kernels.scalars import scalar
from arrowstream.backends.arrow.kernels.temporal.zones import disagreement, is_settled, wall_clock
from arrowstream.expressions.program import Call

_Part = Callable[[Values], Values]
_THOUSAND = scalar(1_000)


def _of(part: _Part, slow: InPolars, *, dates: bool, times: bool) -> Kernel:
    """Return the kernel of a part of a local timestamp; `dates` and `times`: True if dates or times have it, too."""

    def kernel(call: Call) -> Evaluate | str:
        dtype = call.arguments[0].dtype
        if pa.types.is_timestamp(dtype):
            if reason := disagreement(dtype):
                return reason
        elif not (dates and pa.types.is_date32(dtype)) and not (times and pa.types.is_time64(dtype)):
            return f"{dtype} does not have this part"
        return fast_where(
            is_settled(dtype), lambda values: part(wall_clock(values)).cast(call.dtype), slow, call.dtype
        )

    return kernel


def _date_part(part: _Part, slow: InPolars) -> Kernel:
    return _of(part, slow, dates=True, times=False)


def _time_part(part: _Part, slow: InPolars) -> Kernel:
    return _of(part, slow, dates=False, times=True)


def _microsecond(values: Values) -> Values:
    """Return the microseconds in the second; Arrow's function gives those in the millisecond."""
    return pc.add(pc.multiply(pc.millisecond(values), _THOUSAND), pc.microsecond(values))


def _nanosecond(values: Values) -> Values:
    return pc.add(pc.multiply(_microsecond(values), _THOUSAND), pc.nanosecond(values))


def _nth(years: int) -> _Part:
    """Return the part that numbers periods of `years` years from year 1 on; no settled date is earlier."""
    others, all_years = scalar(years - 1), scalar(years)
    return lambda values: pc.divide(pc.add(pc.year(values), others), all_years)


def days(dates: Values) -> Values:
    """Return the days since 1970 of a date32 array, as int32."""
    return dates.view(pa.int32())


def month_start(dates: Values) -> Values:
    """Return the first day of each date's month, of a date32 array."""
    return pc.floor_temporal(dates, 1, "month")


def next_month(dates: Values) -> Values:
    """Return the first day of the month after each date's: 31 days after the first is always in the next month."""
    return month_start(pc.add(days(month_start(dates)), scalar(31, pa.int32())).view(pa.date32()))


def to_date(values: Values) -> Values:
    """Return the dates of timestamps without zone, also before 1970; a date32 array as it is."""
    return values if pa.types.is_date32(values.type) else values.cast(pa.date32(), safe=False)


def _days_in_month(values: Values) -> Values:
    dates = to_date(values)
    return pc.subtract(days(next_month(dates)), days(month_start(dates)))


KERNELS: dict[str, Kernel] = {
    "dt.year": _date_part(pc.year, lambda s: s.dt.year()),
    "dt.month": _date_part(pc.month, lambda s: s.dt.month()),
    "dt.day": _date_part(pc.day, lambda s: s.dt.day()),
    "dt.quarter": _date_part(pc.quarter, lambda s: s.dt.quarter()),
    "dt.week": _date_part(pc.iso_week, lambda s: s.dt.week()),
    "dt.iso_year": _date_part(pc.iso_year, lambda s: s.dt.iso_year()),
    "dt.week_day": _date_part(
        lambda values: pc.day_of_week(values, count_from_zero=False), lambda s: s.dt.weekday()
    ),
    "dt.ordinal_day": _date_part(pc.day_of_year, lambda s: s.dt.ordinal_day()),
    "dt.is_leap_year": _date_part(pc.is_leap_year, lambda s: s.dt.is_leap_year()),
    "dt.century": _date_part(_nth(100), lambda s: s.dt.century()),
    "dt.millennium": _date_part(_nth(1_000), lambda s: s.dt.millennium()),
    "dt.days_in_month": _date_part(_days_in_month, lambda s: s.dt.days_in_month()),
    "dt.hour": _time_part(pc.hour, lambda s: s.dt.hour()),
    "dt.minute": _time_part(pc.minute, lambda s: s.dt.minute()),
    "dt.second": _time_part(pc.second, lambda s: s.dt.second()),
    "dt.millisecond": _time_part(pc.millisecond, lambda s: s.dt.millisecond()),
    "dt.microsecond": _time_part(_microsecond, lambda s: s.dt.microsecond()),
    "dt.nanosecond": _time_part(_nanosecond, lambda s: s.dt.nanosecond()),
    "dt.date": _of(to_date, lambda s: s.dt.date(), dates=False, times=False),
    "dt.time": _of(
        lambda values: values.cast(pa.time64("ns")), lambda s: s.dt.time(), dates=False, times=False
    ),
}
