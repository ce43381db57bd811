"""Durations as people write them: ``"10s"``, ``"50ms"``, a number of seconds, a timedelta."""

from __future__ import annotations

import math
import re
from datetime import timedelta
from decimal import Decimal
from numbers import Real

from arrowstream.errors import PlanError

Duration = str | float | timedelta
"""A duration as users write it: text with units, a number of seconds, or a timedelta."""

_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|h|d)")
_WHOLE = re.compile(f"(?:{_PART.pattern})+")


def seconds(duration: Duration) -> float:
    """Convert a duration into seconds.

    Parameters
    ----------
    duration
        Text of numbers with units (us, ms, s, m, h, d) such as ``"1m30s"``, a number of seconds, or a timedelta.

    Raises
    ------
    PlanError
        It is not a duration, or it is negative or infinite.

    Examples
    --------
    >>> seconds("1m30s"), seconds("50ms"), seconds(2)
    (90.0, 0.05, 2.0)
    """
    if isinstance(duration, timedelta):
        value = duration.total_seconds()
    elif isinstance(duration, str):
        if not _WHOLE.fullmatch(duration):
            together = "".join(duration.split())
            raise PlanError(
                f"{duration!r} is not a duration",
                expected="numbers with units, such as '10s', '50ms' or '1m30s'",
                hint=f"write {together!r}, without spaces"
                if _WHOLE.fullmatch(together)
                else f"units are {', '.join(_SECONDS)}",
            )
        value = sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(duration))
    else:
        value = _number(duration)
    if value < 0:
        raise PlanError("a duration is negative", expected="zero or more seconds", found=str(value))
    if math.isinf(value):
        raise PlanError("a duration is infinite", expected="a finite duration", found=repr(duration))
    return value


def _number(duration: object) -> float:
    """Return a number of seconds as a float; raise for booleans and NaN."""
    if not isinstance(duration, bool) and isinstance(duration, Real | Decimal):
        try:
            value = float(duration)
        except OverflowError:
            return math.inf
        if not math.isnan(value):
            return value
    raise PlanError(
        f"{duration!r} is not a duration",
        expected="text such as '10s', a number of seconds, or a timedelta",
        found=f"the {type(duration).__name__} {duration!r}",
    )


def microseconds(duration: Duration) -> int:
    """Convert a duration into whole microseconds, the unit of event time.

    Raises
    ------
    PlanError
        It is not a duration, or it is negative or infinite.

    Examples
    --------
    >>> microseconds("1.5ms")
    1500
    """
    return _whole(duration, 1e6)


def nanoseconds(duration: Duration) -> int:
    """Convert a duration into whole nanoseconds, the unit of clocks.

    Raises
    ------
    PlanError
        It is not a duration, or it is negative or infinite.

    Examples
    --------
    >>> nanoseconds("2us")
    2000
    """
    return _whole(duration, 1e9)


def _whole(duration: Duration, units: float) -> int:
    value = seconds(duration) * units
    if math.isinf(value):
        raise PlanError("a duration is infinite", expected="a finite duration", found=repr(duration))
    return round(value)
