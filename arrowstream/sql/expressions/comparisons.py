"""Comparisons: of which types, and with a text in place of a time or number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import polars as pl
from sqlglot import exp

from arrowstream.sql.expressions import literals
from arrowstream.sql.expressions.typed import Typed, common, name_of
from arrowstream.sql.places import QueryText

_COMPARISONS: dict[type[exp.Expr], Callable[[pl.Expr, pl.Expr], pl.Expr]] = {
    exp.EQ: pl.Expr.eq,
    exp.NEQ: pl.Expr.ne,
    exp.GT: pl.Expr.gt,
    exp.GTE: pl.Expr.ge,
    exp.LT: pl.Expr.lt,
    exp.LTE: pl.Expr.le,
    exp.NullSafeEQ: pl.Expr.eq_missing,
    exp.NullSafeNEQ: pl.Expr.ne_missing,
}


def compared(query: QueryText, node: exp.Expr, kind: type[exp.Expr], one: Typed, other: Typed) -> Typed:
    """Return a comparison; with NULL on a side it is NULL, but for IS [NOT] DISTINCT FROM.

    Raises
    ------
    QueryError
        The types cannot be compared.
    """
    left, right = operands(query, node, one, other)
    if left.is_null and right.is_null:
        left, right = left.cast(pl.Boolean()), right.cast(pl.Boolean())
    return Typed(_COMPARISONS[kind](left.expr, right.expr), pl.Boolean())


def operands(query: QueryText, node: exp.Expr, one: Typed, other: Typed) -> tuple[Typed, Typed]:
    """Return two values as they are compared.

    Raises
    ------
    QueryError
        The types cannot be compared.
    """
    one, other = _converted(query, node, one, other), _converted(query, node, other, one)
    if one.is_number and other.is_number:
        return _numbers(one, other)
    dtype = common(one.dtype, other.dtype)
    if dtype is None or isinstance(dtype, pl.List | pl.Struct | pl.Array):
        raise query.error(
            node,
            "values of these types cannot be compared",
            expected="two values of one type",
            found=f"{name_of(one.dtype)} and {name_of(other.dtype)}, in {query.source(node)}",
            hint="write CAST(... AS ...) around one of them",
        )
    if dtype in (pl.Categorical, pl.Enum):
        dtype = pl.String()
    return one.cast(dtype), other.cast(dtype)


def _numbers(one: Typed, other: Typed) -> tuple[Typed, Typed]:
    """Return two numbers: a constant takes the type of what it is compared with, where that holds it."""
    if one.constant or other.constant:
        return _plain(one), _plain(other)
    if one.dtype == other.dtype:
        return one, other
    dtype = common(one.dtype, other.dtype)
    assert dtype is not None
    # UInt64 against a signed type: a value that BIGINT does not hold ends the run.
    return one.cast(dtype), other.cast(dtype)


def _plain(value: Typed) -> Typed:
    """Return a number that is written in the query without a type, so that no column is cast to it."""
    return replace(value, expr=pl.lit(value.value)) if value.constant else value


def _converted(query: QueryText, node: exp.Expr, value: Typed, other: Typed) -> Typed:
    """Return a text that is written in the query in the type of the other side, if that is a time or a number."""
    if not (value.constant and isinstance(value.value, str)):
        return value
    if other.is_time:
        return literals.time(query, node, value.value, other.dtype)
    if other.is_number and not other.constant:
        try:
            number = int(value.value) if other.is_integer else float(value.value)
        except ValueError:
            raise query.error(
                node, "the text is not a number", expected=name_of(other.dtype), found=repr(value.value)
            ) from None
        return Typed(pl.lit(number), pl.Int64() if other.is_integer else pl.Float64(), number, True)
    return value
