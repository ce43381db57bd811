"""Arithmetic as SQL has it, where Polars differs: remainders and whole quotients round towards zero."""

from __future__ import annotations

import polars as pl
from sqlglot import exp

from arrowstream.sql.expressions import literals
from arrowstream.sql.expressions.casts import as_text
from arrowstream.sql.expressions.typed import Typed, name_of
from arrowstream.sql.places import QueryText

_SIGNS: dict[type[exp.Expr], str] = {
    exp.Add: "+",
    exp.Sub: "-",
    exp.Mul: "*",
    exp.Div: "/",
    exp.IntDiv: "//",
    exp.Mod: "%",
}


def calculated(query: QueryText, node: exp.Expr, one: Typed, other: Typed) -> Typed:
    """Return a sum, difference, product, quotient or remainder.

    Whole numbers are computed as BIGINT. ``/`` gives a DOUBLE, and ``//`` of whole numbers a whole one.

    Raises
    ------
    QueryError
        The types are not those of numbers, or of times.
    """
    if one.is_time or other.is_time:
        return _of_times(query, node, one, other)
    numbers = [each for each in (one, other) if not each.is_null]
    if not all(each.is_number for each in numbers):
        raise _refused(query, node, one, other)
    if isinstance(node, exp.Div):
        return Typed(one.cast(pl.Float64()).expr / other.cast(pl.Float64()).expr, pl.Float64())
    whole = all(each.is_integer for each in numbers)
    if isinstance(node, exp.IntDiv | exp.Mod):
        if not whole:
            raise query.error(
                node,
                f"{_SIGNS[type(node)]} is for whole numbers",
                expected="two BIGINT",
                found=f"{name_of(one.dtype)} and {name_of(other.dtype)}",
                hint="write CAST(... AS BIGINT), or x - y * FLOOR(x / y)",
            )
        return towards_zero(node, one.cast(pl.Int64()), other.cast(pl.Int64()))
    dtype = pl.Int64() if whole else pl.Float64()
    left, right = one.cast(dtype).expr, other.cast(dtype).expr
    match node:
        case exp.Add():
            return Typed(left + right, dtype)
        case exp.Sub():
            return Typed(left - right, dtype)
    return Typed(left * right, dtype)


def towards_zero(node: exp.Expr, one: Typed, other: Typed) -> Typed:
    """Return a whole quotient, or the remainder, which has the sign of the first number. By zero, it is NULL."""
    left, right = one.expr, other.expr
    rest = left % right
    # Polars rounds down: where the signs differ and something is left, the quotient is one too small.
    if other.constant and other.value is not None:
        inexact = ((left < 0) if other.value > 0 else (left > 0)) & (rest != 0)
    else:
        inexact = (rest != 0) & ((left < 0) != (right < 0))
    if isinstance(node, exp.Mod):
        return Typed(pl.when(inexact).then(rest - right).otherwise(rest), pl.Int64())
    down = left // right
    return Typed(pl.when(inexact).then(down + 1).otherwise(down), pl.Int64())


def negative(query: QueryText, node: exp.Expr, value: Typed) -> Typed:
    """Return the negative of a number."""
    if value.constant and value.is_number and value.value is not None:
        negated = -value.value
        return Typed(pl.lit(negated, value.dtype), value.dtype, negated, True)
    if not value.is_number and not value.is_null:
        raise query.error(node, "- is for numbers", expected="a number", found=name_of(value.dtype))
    dtype = pl.Float64() if value.is_float else pl.Int64()
    return Typed(-value.cast(dtype).expr, dtype)


def concatenated(query: QueryText, node: exp.Expr, parts: list[Typed]) -> Typed:
    """Return texts one after the other; NULL if one of them is."""
    texts = [as_text(query, node, part) for part in parts]
    return Typed(pl.concat_str([text.expr for text in texts], ignore_nulls=False), pl.String())


def shifted(query: QueryText, node: exp.Expr, time: Typed, interval: exp.Expr) -> Typed:
    """Return a time plus or minus an interval; a DATE becomes a TIMESTAMP.

    Raises
    ------
    QueryError
        It is not a time, or the interval cannot be read.
    """
    if not time.is_time:
        raise query.error(
            node, "an INTERVAL is added to a time", expected="TIMESTAMP or DATE", found=name_of(time.dtype)
        )
    months, microseconds = literals.interval(query, interval)
    sign = -1 if isinstance(node, exp.Sub) else 1
    dtype = pl.Datetime("us") if time.dtype == pl.Date else time.dtype
    if isinstance(dtype, pl.Datetime) and dtype.time_unit == "ms" and microseconds % 1_000:
        dtype = pl.Datetime("us", dtype.time_zone)
    made = time.cast(dtype).expr
    if months:
        made = made.dt.offset_by(f"{sign * months}mo")
    if microseconds:
        made = made + pl.duration(microseconds=sign * microseconds, time_unit="us")
    return Typed(made.cast(dtype), dtype)


def _of_times(query: QueryText, node: exp.Expr, one: Typed, other: Typed) -> Typed:
    """Return days before or after a date, or the number of days between two."""
    sub = isinstance(node, exp.Sub)
    if one.dtype == pl.Date and other.is_integer and isinstance(node, exp.Add | exp.Sub):
        days = pl.duration(days=-other.expr if sub else other.expr)
        return Typed(one.expr + days, pl.Date())
    if one.dtype == pl.Date and other.dtype == pl.Date and sub:
        return Typed((one.expr - other.expr).dt.total_days(), pl.Int64())
    raise _refused(query, node, one, other)


def _refused(query: QueryText, node: exp.Expr, one: Typed, other: Typed) -> Exception:
    hint = None
    if one.is_time and other.is_time:
        hint = "DATE_DIFF('second', a, b) counts seconds from a to b, or other units"
    elif one.dtype.is_decimal() or other.dtype.is_decimal():
        hint = "write CAST(... AS DOUBLE) or CAST(... AS BIGINT) around a DECIMAL"
    return query.error(
        node,
        f"{_SIGNS[type(node)]} does not go with these types",
        expected="numbers; or a time and an INTERVAL",
        found=f"{name_of(one.dtype)} and {name_of(other.dtype)}, in {query.source(node)}",
        hint=hint,
    )
