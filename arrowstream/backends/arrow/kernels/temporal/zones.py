"""Local time from instants, and the instants for which Arrow and Polars agree on it.

Polars has its time zone database built in, Arrow reads the system's. Both follow IANA, in maybe different
releases, so a zone is compared once, hour by hour, over the years in which rules are settled; before 1970
packagings of the database differ, and far in the future the two extrapolate differently.
Polars computes columns with times outside of those years or, without a zone, outside of four-digit years.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from arrowstream.backends.arrow.kernels.base import Values
from arrowstream.backends.arrow.kernels.fallback import in_polars

TICKS = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
"""Ticks in a second, by Arrow's name of the unit."""

DAY = 86_400
"""Seconds in a day."""

_UTC_NAMES = ("UTC", "Etc/UTC")


def ticks_per_second(dtype: pa.DataType) -> int:
    """Return the number of ticks in a second of a timestamp, time or duration type."""
    return TICKS[dtype.unit]


def is_plain(dtype: pa.DataType) -> bool:
    """Return whether a timestamp type needs no time zone database: it has no zone, or UTC."""
    return dtype.tz is None or dtype.tz in _UTC_NAMES


def unzoned(dtype: pa.DataType) -> pa.DataType:
    """Return the timestamp type of the same unit without a zone."""
    return pa.timestamp(dtype.unit)


def wall_clock(values: Values) -> Values:
    """Return local date and time as timestamps without a zone; dates, times and unzoned timestamps as they are."""
    if not pa.types.is_timestamp(values.type) or values.type.tz is None:
        return values
    return values.view(unzoned(values.type)) if is_plain(values.type) else pc.local_timestamp(values)


def is_settled(dtype: pa.DataType, into: pa.DataType | None = None) -> Callable[[Values], bool]:
    """Return a check that is True for an array if Arrow and Polars are known to compute alike with all its dates.

    Parameters
    ----------
    dtype
        The type of the array: date32, a timestamp, or a time of day, for which the check is always True.
    into
        A timestamp type that the dates must fit as well.
    """
    if pa.types.is_time(dtype):
        return lambda values: True
    is_date = pa.types.is_date32(dtype)
    first, last = date(1, 1, 2), date(9999, 12, 30)
    if not is_date and not is_plain(dtype):
        first, last = _SETTLED_SINCE, _SETTLED_UNTIL
    if pa.timestamp("ns") in (into, None if is_date else unzoned(dtype)):
        # The range of 64 bits, less a year for results that lie earlier or later.
        first, last = max(first, date(1678, 10, 1)), min(last, date(2261, 3, 1))
    ticks = 1 if is_date else DAY * ticks_per_second(dtype)
    return within((last - _EPOCH).days * ticks, (first - _EPOCH).days * ticks)


def within(high: int, low: int | None = None) -> Callable[[Values], bool]:
    """Return a check that is True for an array if all its values, as integers, are null or in ``[low, high]``.

    Parameters
    ----------
    high
        The largest value.
    low
        The smallest value; None for ``-high``.
    """
    lowest = -high if low is None else low

    def check(values: Values) -> bool:
        if len(values) == 0:
            return True
        width = values.type.bit_width
        data = np.frombuffer(values.buffers()[1], f"i{width // 8}")[
            values.offset : values.offset + len(values)
        ]
        if lowest <= data.min() and data.max() <= high:
            return True
        if values.null_count == 0:
            return False
        # The value under a null is arbitrary; Arrow's kernel skips it, but takes longer.
        ends = pc.min_max(values.view(f"int{width}"))
        smallest, largest = ends["min"].as_py(), ends["max"].as_py()
        return smallest is None or (lowest <= smallest and largest <= high)

    return check


def disagreement(dtype: pa.DataType) -> str | None:
    """Return the reason why local times of a timestamp type must be left to Polars, or None."""
    if is_plain(dtype) or _databases_agree(dtype.tz):
        return None
    return f"Arrow's and Polars' time zone databases differ for {dtype.tz}"


_EPOCH = date(1970, 1, 1)
_SETTLED_SINCE, _SETTLED_UNTIL = date(1970, 1, 2), date(2036, 12, 30)


@lru_cache
def _databases_agree(zone: str) -> bool:
    hours = range((_SETTLED_SINCE - _EPOCH).days * 24, (_SETTLED_UNTIL - _EPOCH).days * 24)
    content = pa.py_buffer(np.asarray(hours) * 3_600_000)
    instants = pa.Array.from_buffers(pa.timestamp("ms", zone), len(hours), [None, content])
    expected = in_polars(instants, lambda s: s.dt.replace_time_zone(None), pa.timestamp("ms"))
    try:
        return bool(wall_clock(instants).equals(expected))
    except pa.ArrowInvalid:  # the system lacks the zone, or has no database of zones
        return False
