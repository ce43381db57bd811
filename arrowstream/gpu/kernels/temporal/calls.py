"""The calls of libcudf's functions of dates and times."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from arrowstream.gpu import libraries as cuda
from arrowstream.gpu.kernels.tree import OperationFunction
from arrowstream.gpu.work import Work

if TYPE_CHECKING:
    import pylibcudf as plc


def component(name: str) -> OperationFunction:
    """Return the call that gives a part of timestamps as int16, such as ``"YEAR"``; Monday is weekday 1."""

    def run(work: Work, moments: plc.Column) -> plc.Column:
        part = cuda.plc.datetime.DatetimeComponent[name]
        return cuda.plc.datetime.extract_datetime_component(moments, part, stream=work.stream)

    return run


def _day_of_year(work: Work, moments: plc.Column) -> plc.Column:
    return cuda.plc.datetime.day_of_year(moments, stream=work.stream)


def _days_in_month(work: Work, moments: plc.Column) -> plc.Column:
    return cuda.plc.datetime.days_in_month(moments, stream=work.stream)


def _extract_quarter(work: Work, moments: plc.Column) -> plc.Column:
    return cuda.plc.datetime.extract_quarter(moments, stream=work.stream)


def _is_leap_year(work: Work, moments: plc.Column) -> plc.Column:
    return cuda.plc.datetime.is_leap_year(moments, stream=work.stream)


def _last_day_of_month(work: Work, moments: plc.Column) -> plc.Column:
    return cuda.plc.datetime.last_day_of_month(moments, stream=work.stream)


_CALENDAR: dict[str, Callable[[Work, plc.Column], plc.Column]] = {
    "day_of_year": _day_of_year,
    "days_in_month": _days_in_month,
    "extract_quarter": _extract_quarter,
    "is_leap_year": _is_leap_year,
    "last_day_of_month": _last_day_of_month,
}


def calendar(name: str) -> OperationFunction:
    """Return the call of a function of the calendar, by libcudf's name."""
    return _CALENDAR[name]
