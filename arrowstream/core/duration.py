"""Durations as people write them: ``"10s"``, ``"50ms"``, a number of seconds, a timedelta."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from numbers import Real

from arrowstream.errors import PlanError

Duration = str | float | timedelta
"""A duration as users write it: text with units, a number of seconds, or a timedelta."""

_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|h|d)")
_SPELLED = re.compile(r"(\d+(?:\.\d+)?)([A-Za-z]+)")
_WHOLE = re.compile(f"(?:{_PART.pattern})+")
_SPELLINGS = {
    **dict.fromkeys(("usec", "usecs", "microsecond", "microseconds"), "us"),
    **dict.fromkeys(("msec", "msecs", "millis", "millisecond", "milliseconds"), "ms"),
    **dict.fromkeys(("sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), "m"),
    **dict.fromkeys(("hr", "hrs", "hour", "hours"), "h"),
    **dict.fromkeys(("day", "days"), "d"),
    **dict.fromkeys(("week", "weeks"), "w"),
    **dict.fromkeys(("mon", "month", "months"), "mo"),
    **dict.fromkeys(("quarter", "quarters"), "q"),
    **dict.fromkeys(("yr", "yrs", "year", "years"), "y"),
}


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
        if not is_duration(duration):
            raise not_a_duration(duration)
        value = sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(duration))
    else:
        value = _number(duration)
    if value < 0:
        raise PlanError("a duration is negative", expected="zero or more seconds", found=str(value))
    if math.isinf(value):
        raise PlanError("a duration is infinite", expected="a finite duration", found=repr(duration))
    return value


def period(argument: str, duration: Duration | None) -> float | None:
    """Return the seconds between two looks, None for no more than one look.

    Parameters
    ----------
    argument
        The argument as the user wrote it, such as ``from_delta(follow=...)``.
    duration
        Its value.

    Raises
    ------
    PlanError
        It is not a duration, or it is 0.

    Examples
    --------
    >>> period("from_delta(follow=...)", "500ms")
    0.5
    """
    if duration is None:
        return None
    value = seconds(duration)
    if value == 0:
        raise PlanError(f"{argument} takes a time", expected="more than 0 s", found=repr(duration))
    return value


def is_duration(text: str) -> bool:
    """Return whether a text is a duration."""
    return _WHOLE.fullmatch(text) is not None


def not_a_duration(text: str, calendar: Sequence[str] = ()) -> PlanError:
    """Return the error for a text that is not a duration.

    Parameters
    ----------
    text
        The text.
    calendar
        Units of the calendar that are allowed in its place, such as ``mo``.

    Examples
    --------
    >>> print(not_a_duration("1 month", ["mo"]).hint)
    write '1mo'; units are us, ms, s, m, h, d, and of the calendar mo
    >>> print(not_a_duration("2 Hours").hint)
    write '2h'; units are us, ms, s, m, h, d
    >>> print(not_a_duration("5").hint)
    write '5s', or the number 5 for seconds; units are us, ms, s, m, h, d
    """
    units = [*_SECONDS, *(unit for unit in calendar if unit not in _SECONDS)]
    named = f"units are {', '.join(_SECONDS)}"
    if calendar:
        named += f", and of the calendar {', '.join(units[len(_SECONDS) :])}"
    together = "".join(text.split())
    meant = _respelled(together, units)
    if re.fullmatch(r"\d+(\.\d+)?", together, re.ASCII):
        hint = f"write '{together}s', or the number {together} for seconds; {named}"
    elif meant is None or meant == text:
        hint = named
    elif meant == together:
        hint = f"write {meant!r}, without spaces"
    else:
        hint = f"write {meant!r}; {named}"
    example = "numbers with units, such as '10s', '50ms' or '1m30s'"
    return PlanError(f"{text!r} is not a duration", expected=example, hint=hint)


def _respelled(text: str, units: Sequence[str]) -> str | None:
    """Return a duration with each unit as it is spelled here; None if one is unknown."""
    meant = ""
    for number, word in _SPELLED.findall(text):
        unit = _unit(word, units)
        if unit is None:
            return None
        meant += f"{number}{unit}"
    return meant or None


def _unit(word: str, units: Sequence[str]) -> str | None:
    if word in units:
        return word
    # M is a month in some libraries, and a minute to some people.
    unit = "mo" if word == "M" else _SPELLINGS.get(word.lower(), word.lower())
    return unit if unit in units else None


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


def seconds_text(count: int, digits: int = 6) -> str:
    """Return a time in seconds with all its digits, by which checkpoints tell it from any other.

    Parameters
    ----------
    count
        The time in units of ``10 ** -digits`` seconds: microseconds by default.
    digits
        Decimals of the unit; 9 for nanoseconds.

    Examples
    --------
    >>> seconds_text(10_000_000), seconds_text(500_000), seconds_text(2_592_001_000_001), seconds_text(0)
    ('10', '0.5', '2592001.000001', '0')
    """
    whole, rest = divmod(count, 10**digits)
    return f"{whole}.{rest:0{digits}d}".rstrip("0").rstrip(".")


def _whole(duration: Duration, units: float) -> int:
    value = seconds(duration) * units
    if math.isinf(value):
        raise PlanError("a duration is infinite", expected="a finite duration", found=repr(duration))
    return round(value)
