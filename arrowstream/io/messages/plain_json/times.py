"""Dates and times in the usual form of ISO 8601, in compiled loops."""

from __future__ import annotations

from typing import Final

import numpy as np

from arrowstream.io.compiled import inlined
from arrowstream.io.kafka.records.instructions import Array, Integer
from arrowstream.io.messages.plain_json.texts import FAILED

_DAY_SECONDS: Final = 86_400
_CYCLE_DAYS: Final = 146_097
"""Days of 400 years, after which the calendar is the same."""

_EPOCH_DAYS: Final = 719_468
"""Days from 0000-03-01 to 1970-01-01."""

_NS: Final = 1_000_000_000


@inlined
def read_date(data: Array, at: Integer, end: Integer) -> tuple[Integer, Integer]:
    """Read ``YYYY-MM-DD``; return the days since 1970, and the position after it, or `FAILED`."""
    failed = np.int64(0), np.int64(FAILED)
    if end - at < 10 or data[at + 4] != 45 or data[at + 7] != 45:
        return failed
    year = _two_digits(data, at) * 100 + _two_digits(data, at + 2)
    month = _two_digits(data, at + 5)
    day = _two_digits(data, at + 8)
    if year < 1 or month < 1 or month > 12 or day < 1 or day > 31:
        return failed
    if day > 28 and day > _month_days(year, month):
        return failed
    # Years that begin in March end with the day of a leap year.
    if month <= 2:
        year -= 1
        month += 12
    cycle = year // 400
    years = year - cycle * 400
    days = years * 365 + years // 4 - years // 100 + (153 * (month - 3) + 2) // 5 + day - 1
    return cycle * _CYCLE_DAYS + days - _EPOCH_DAYS, at + 10


def _month_days(year: Integer, month: Integer) -> Integer:
    """Return the number of days of a month."""
    if month != 2:
        return 30 + ((month + (month >> 3)) & 1)
    return np.int64(29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28)


@inlined
def read_time(
    data: Array, at: Integer, end: Integer, unit: Integer, zoned: Integer
) -> tuple[Integer, Integer]:
    """Read ``YYYY-MM-DD HH:MM:SS``, also with ``T``, a fraction and a zone.

    Parameters
    ----------
    data, at, end
        The message, and where in it.
    unit
        Number of units in a second, at most 10^9.
    zoned
        1 if a zone must follow, 0 if none may.

    Returns
    -------
    tuple
        The units since 1970, and the position after the time, or `FAILED`.
    """
    failed = np.int64(0), np.int64(FAILED)
    days, at = read_date(data, at, end)
    if at == FAILED or end - at < 9 or (data[at] != 84 and data[at] != 32):
        return failed
    hour = _two_digits(data, at + 1)
    minute = _two_digits(data, at + 4)
    second = _two_digits(data, at + 7)
    if data[at + 3] != 58 or data[at + 6] != 58:
        return failed
    if hour < 0 or hour > 23 or minute < 0 or minute > 59 or second < 0 or second > 59:
        return failed
    at += 9
    fraction = np.int64(0)
    if at < end and data[at] == 46:
        at += 1
        first = at
        left = unit
        while at < end and 48 <= data[at] <= 57:
            if left == 1:
                return failed
            left //= 10
            fraction += (np.int64(data[at]) - 48) * left
            at += 1
        if at == first:
            return failed
    east: Integer = np.int64(0)
    if zoned:
        east, at = _read_zone(data, at, end)
        if at == FAILED:
            return failed
    seconds = days * _DAY_SECONDS + hour * 3_600 + minute * 60 + second - east
    # Nanoseconds of 64 bits reach from 1677 to 2262.
    if unit == _NS and (seconds < -9_223_372_036 or seconds >= 9_223_372_036):
        return failed
    return seconds * unit + fraction, at


@inlined
def _read_zone(data: Array, at: Integer, end: Integer) -> tuple[Integer, Integer]:
    """Read ``Z`` or ``+HH:MM``; return the seconds east of UTC, and the position after it, or `FAILED`."""
    if at < end and data[at] == 90:
        return np.int64(0), at + 1
    if end - at < 6 or (data[at] != 43 and data[at] != 45) or data[at + 3] != 58:
        return np.int64(0), np.int64(FAILED)
    hours = _two_digits(data, at + 1)
    minutes = _two_digits(data, at + 4)
    if hours < 0 or hours > 23 or minutes < 0 or minutes > 59:
        return np.int64(0), np.int64(FAILED)
    east = hours * 3_600 + minutes * 60
    return (east if data[at] == 43 else -east), at + 6


@inlined
def _two_digits(data: Array, at: Integer) -> Integer:
    """Return the number of two digits, or one that is far less than 0."""
    tens = np.int64(data[at]) - 48
    ones = np.int64(data[at + 1]) - 48
    if tens < 0 or tens > 9 or ones < 0 or ones > 9:
        return np.int64(-1_000_000)
    return tens * 10 + ones


TIME_HELPERS: Final = (_two_digits, _month_days, read_date, _read_zone, read_time)
"""The functions of this module."""
