"""Values that are written in a query: numbers, texts, NULL, times, and intervals."""

from __future__ import annotations

import re
from datetime import date, datetime
from decimal import Decimal, InvalidOperation

import polars as pl
from sqlglot import exp

from arrowstream.sql.expressions.typed import Typed
from arrowstream.sql.places import QueryText

_MOST = (1 << 63) - 1


def null() -> Typed:
    """Return NULL."""
    return Typed(pl.lit(None), pl.Null(), None, True)


def whole(value: int) -> Typed:
    """Return a whole number."""
    return Typed(pl.lit(value, pl.Int64), pl.Int64(), value, True)


def text(value: str) -> Typed:
    """Return a text."""
    return Typed(pl.lit(value), pl.String(), value, True)


def read(query: QueryText, node: exp.Expr) -> Typed:
    """Return the value of a literal. A number with a point or an exponent is a DOUBLE.

    Raises
    ------
    QueryError
        A number is larger than a BIGINT.
    """
    match node:
        case exp.Null():
            return null()
        case exp.Boolean():
            return Typed(pl.lit(bool(node.this)), pl.Boolean(), bool(node.this), True)
        case exp.Literal(is_string=True):
            return text(node.this)
    if node.this.isdigit():
        if int(node.this) > _MOST:
            raise query.error(
                node, "a whole number is too large", expected=f"at most {_MOST}", found=node.this
            )
        return whole(int(node.this))
    return Typed(pl.lit(float(node.this), pl.Float64), pl.Float64(), float(node.this), True)


def time(query: QueryText, node: exp.Expr, written: str, dtype: pl.DataType) -> Typed:
    """Return the time that a text stands for, in the type of what it is compared with.

    Raises
    ------
    QueryError
        The text is not a time, or has more digits than the type: which of its neighbours is meant is not said.
    """
    try:
        if dtype == pl.Date:
            day = date.fromisoformat(written.strip())
            return Typed(pl.lit(day), pl.Date(), day, True)
        found = datetime.fromisoformat(written.strip())
        assert isinstance(dtype, pl.Datetime)
        if (found.tzinfo is None) != (dtype.time_zone is None):
            raise ValueError
    except ValueError:
        kind, example = ("DATE", "2026-01-31") if dtype == pl.Date else ("TIMESTAMP", "2026-01-31 12:00:00")
        raise query.error(
            node, f"the text is not a {kind}", expected=f"such as '{example}'", found=repr(written)
        ) from None
    digits = 3 if dtype.time_unit == "ms" else 6
    if re.search(rf"[.,][0-9]{{{digits}}}[0-9]*[1-9]", written):
        raise query.error(
            node,
            "the text has more digits than the type",
            expected=f"at most {digits} digits of a second",
            found=repr(written),
            hint="write TIMESTAMP '...' with up to 6 digits" if digits == 3 else None,
        )
    return Typed(pl.lit(found, dtype), dtype, found, True)


_MICROSECONDS = {
    "MICROSECOND": 1,
    "MILLISECOND": 1_000,
    "SECOND": 1_000_000,
    "MINUTE": 60_000_000,
    "HOUR": 3_600_000_000,
    "DAY": 86_400_000_000,
    "WEEK": 7 * 86_400_000_000,
}
_MONTHS = {"MONTH": 1, "QUARTER": 3, "YEAR": 12}


def interval(query: QueryText, node: exp.Expr) -> tuple[int, int]:
    """Return an interval as months and microseconds.

    Raises
    ------
    QueryError
        It is not written as ``INTERVAL '10' SECOND``.
    """
    months = microseconds = 0
    if not isinstance(node, exp.Interval):
        raise query.error(
            node,
            "an interval is needed here",
            expected="such as INTERVAL '10' SECOND",
            found=query.source(node),
        )
    number, sign = node.this, 1
    while isinstance(number, exp.Neg | exp.Paren):
        sign *= -1 if isinstance(number, exp.Neg) else 1
        number = number.this
    unit = node.args.get("unit")
    words = f"{number.name if number is not None else ''} {unit.name if unit is not None else ''}".split()
    try:
        for amount, word in zip(words[::2], words[1::2], strict=True):
            name = word.upper().removesuffix("S") if word.upper() not in _MONTHS else word.upper()
            if name in _MONTHS:
                months += sign * int(amount) * _MONTHS[name]
                continue
            exact = Decimal(amount) * _MICROSECONDS[name]
            if exact != int(exact):
                raise ValueError
            microseconds += sign * int(exact)
    except (ValueError, KeyError, InvalidOperation):
        raise query.error(
            node,
            "the interval cannot be read",
            expected="such as INTERVAL '10' SECOND or INTERVAL '1' MONTH",
            found=query.source(node),
        ) from None
    return months, microseconds
