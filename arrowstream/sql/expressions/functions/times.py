"""Functions of times. Those with a zone are read in it, others in UTC."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import polars as pl

from arrowstream.core.hints import did_you_mean
from arrowstream.sql.expressions.functions.call import Function, FunctionCall, number, text, whole
from arrowstream.sql.expressions.typed import Typed

_PARTS: dict[str, Callable[[pl.Expr], pl.Expr]] = {
    "YEAR": lambda time: time.dt.year(),
    "QUARTER": lambda time: time.dt.quarter(),
    "MONTH": lambda time: time.dt.month(),
    "WEEK": lambda time: time.dt.week(),
    "DAY": lambda time: time.dt.day(),
    "DOY": lambda time: time.dt.ordinal_day(),
    "DOW": lambda time: time.dt.weekday() % 7,
    "ISODOW": lambda time: time.dt.weekday(),
    "HOUR": lambda time: time.dt.hour(),
    "MINUTE": lambda time: time.dt.minute(),
    "SECOND": lambda time: time.dt.second(),
}
_OTHER_NAMES = {"DAYOFWEEK": "DOW", "DAYOFYEAR": "DOY", "DAYOFMONTH": "DAY"}
_UNITS = {
    **{"YEAR": "1y", "QUARTER": "1q", "MONTH": "1mo", "WEEK": "1w", "DAY": "1d"},
    **{"HOUR": "1h", "MINUTE": "1m", "SECOND": "1s", "MILLISECOND": "1ms"},
}
_LENGTHS_US = {
    "MICROSECOND": 1,
    "MILLISECOND": 1_000,
    "SECOND": 1_000_000,
    "MINUTE": 60_000_000,
    "HOUR": 3_600_000_000,
}
_LENGTHS_US |= {"DAY": 24 * _LENGTHS_US["HOUR"]}


def _word(call: FunctionCall, value: Typed, known: tuple[str, ...]) -> str:
    word = str(call.written(value, str, f"{call.name}('hour', ts)")).upper()
    word = word.removesuffix("S") if word not in known else word
    word = _OTHER_NAMES.get(word, word)
    if word not in known:
        raise call.error(
            f"{call.name} knows no part of a time of this name",
            expected=", ".join(known).lower(),
            found=word.lower(),
            hint=did_you_mean(word, known),
        )
    return word


def _time(call: FunctionCall, value: Typed) -> Typed:
    """Return a time as a TIMESTAMP."""
    value = call.time(value)
    return value.cast(pl.Datetime("us")) if value.dtype == pl.Date else value


def _part(call: FunctionCall) -> Typed:
    part, value = call.takes(2)
    time = _time(call, value).expr
    if part.value is not None and str(part.value).upper() == "EPOCH":
        return _seconds(time)
    return whole(_PARTS[_word(call, part, tuple(_PARTS))](time))


def _only(part: str, call: FunctionCall) -> Typed:
    return whole(_PARTS[part](_time(call, call.takes(1)[0]).expr))


def _epoch(call: FunctionCall) -> Typed:
    return _seconds(_time(call, call.takes(1)[0]).expr)


def _seconds(time: pl.Expr) -> Typed:
    return number(time.dt.epoch("us").cast(pl.Float64) / 1_000_000.0)


def _epoch_us(call: FunctionCall) -> Typed:
    return whole(_time(call, call.takes(1)[0]).expr.dt.epoch("us"))


def _epoch_ms(call: FunctionCall) -> Typed:
    """Count milliseconds, rounded as DuckDB does."""
    return whole((_time(call, call.takes(1)[0]).expr.dt.epoch("us") + 500) // 1_000)


def _truncated(call: FunctionCall) -> Typed:
    unit, value = call.takes(2)
    time = _time(call, value)
    return Typed(time.expr.dt.truncate(_UNITS[_word(call, unit, tuple(_UNITS))]), time.dtype)


def _difference(call: FunctionCall) -> Typed:
    """Count the borders of a unit between two times, as DuckDB does: from 10:59 to 11:00 is one hour."""
    unit, begin, end = call.takes(3)
    length = _LENGTHS_US[_word(call, unit, tuple(_LENGTHS_US))]
    times = (_time(call, each).expr.dt.epoch("us") for each in (begin, end))
    first, last = (time // length for time in times)
    return whole(last - first)


def _formatted(call: FunctionCall) -> Typed:
    value, layout = call.takes(2)
    written = str(call.written(layout, str, "STRFTIME(ts, '%Y-%m-%d')"))
    _check_layout(call, written)
    return text(_time(call, value).expr.dt.strftime(written))


def _last_day(call: FunctionCall) -> Typed:
    return Typed(_time(call, call.takes(1)[0]).expr.dt.month_end().dt.date(), pl.Date())


def _named(letter: str, call: FunctionCall) -> Typed:
    return text(_time(call, call.takes(1)[0]).expr.dt.strftime(letter))


_JAVA = {"yyyy": "%Y", "MM": "%m", "dd": "%d", "HH": "%H", "mm": "%M", "ss": "%S"}


def _date_format(call: FunctionCall) -> Typed:
    """Write a time in a layout of Java, as Flink does."""
    value, layout = call.takes(2)
    written = str(call.written(layout, str, "DATE_FORMAT(ts, 'yyyy-MM-dd')"))
    translated = written
    for java, ours in _JAVA.items():
        translated = translated.replace(java, ours)
    if any(
        letter.isalpha()
        for letter in "".join(translated.split("%")[:1])
        + "".join(part[1:] for part in translated.split("%")[1:])
    ):
        raise call.error(
            "DATE_FORMAT knows no such layout",
            expected=", ".join(_JAVA),
            found=written,
            hint="STRFTIME(ts, '%Y-%m-%d') has more",
        )
    return text(_time(call, value).expr.dt.strftime(translated))


_LAYOUT = frozenset("YmdHMSjyBbAa%")


def _check_layout(call: FunctionCall, written: str) -> None:
    parts = written.replace("%%", "").split("%")[1:]
    for part in parts:
        if not part or part[0] not in _LAYOUT:
            raise call.error(
                f"{call.name} knows no such letter",
                expected="one of %Y %m %d %H %M %S %j %y %B %b %A %a",
                found=f"%{part[:1]}",
            )


def _parsed(call: FunctionCall) -> Typed:
    value, layout = call.takes(2)
    written = str(call.written(layout, str, "STRPTIME(text, '%Y-%m-%d %H:%M:%S')"))
    _check_layout(call, written)
    dtype = pl.Datetime("us")
    return Typed(call.text(value).str.to_datetime(written, time_unit="us"), dtype)


TIMES: dict[str, Function] = {
    **{part: partial(_only, part) for part in _PARTS if part != "DOW"},
    **{other: partial(_only, part) for other, part in _OTHER_NAMES.items()},
    "DATE_PART": _part,
    "EPOCH": _epoch,
    "EPOCH_MS": _epoch_ms,
    "EPOCH_US": _epoch_us,
    "DATE_TRUNC": _truncated,
    **dict.fromkeys(("DATE_DIFF", "DATEDIFF"), _difference),
    "LAST_DAY": _last_day,
    "DAYNAME": partial(_named, "%A"),
    "MONTHNAME": partial(_named, "%B"),
    "STRFTIME": _formatted,
    "STRPTIME": _parsed,
    "DATE_FORMAT": _date_format,
}
