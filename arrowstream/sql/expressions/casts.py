"""CAST, and what a value is as text."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from math import isinf

import polars as pl
from sqlglot import exp

from arrowstream.errors import QueryError
from arrowstream.sql.expressions import literals
from arrowstream.sql.expressions.typed import TEXT, Typed, name_of
from arrowstream.sql.places import QueryText

_TYPES: dict[str, pl.DataType] = {
    "BOOLEAN": pl.Boolean(),
    "TINYINT": pl.Int8(),
    "SMALLINT": pl.Int16(),
    "INT": pl.Int32(),
    "BIGINT": pl.Int64(),
    "FLOAT": pl.Float32(),
    "DOUBLE": pl.Float64(),
    "TEXT": pl.String(),
    "VARCHAR": pl.String(),
    "CHAR": pl.String(),
    "DATE": pl.Date(),
    "TIMESTAMP": pl.Datetime("us"),
    "TIMESTAMPNTZ": pl.Datetime("us"),
    "DATETIME": pl.Datetime("us"),
    "TIMESTAMP_MS": pl.Datetime("ms"),
    "TIMESTAMP_NS": pl.Datetime("ns"),
}


def type_of(query: QueryText, node: exp.Expr) -> pl.DataType:
    """Return the type that a CAST names.

    Raises
    ------
    QueryError
        It is none of those that can be cast to.
    """
    target = node.args["to"]
    found = _TYPES.get(target.this.name if hasattr(target.this, "name") else "")
    if found is None or target.expressions:
        raise query.error(
            node,
            "CAST knows no such type",
            expected="BOOLEAN, TINYINT, SMALLINT, INTEGER, BIGINT, FLOAT, DOUBLE, VARCHAR, DATE or TIMESTAMP",
            found=query.source(target),
        )
    return found


def cast(query: QueryText, node: exp.Expr, value: Typed, target: pl.DataType, *, strict: bool) -> Typed:
    """Return a value in another type; what does not fit ends the run, or, unless `strict`, becomes NULL.

    Raises
    ------
    QueryError
        SQL has no such cast, writes the text of such values in another way than Polars, or the value is written in
        the query and does not fit.
    """
    if not value.constant or value.is_null or value.dtype == target:
        result = _cast(query, node, value, target, strict)
        if strict and target == pl.Float32 and value.is_float and not value.expr.meta.root_names():
            # An expression of literals, such as ``1e38 * 100``, has its value already.
            wide = narrow = 0.0
            with suppress(pl.exceptions.PolarsError):  # what else fails in it fails in the run
                wide, narrow = pl.select(wide=value.expr, narrow=result.expr).row(0)
            if wide is not None and narrow is not None and isinf(narrow) and not isinf(wide):
                raise _too_large(query, node, target)
        return result
    # A column of one row: casts of literals are folded by Polars, and some of them to other values.
    column = replace(value, expr=pl.col("value"))
    row = pl.DataFrame({"value": [value.value]}, {"value": value.dtype}, strict=False)
    try:
        found = row.select(_cast(query, node, column, target, strict).expr).item()
    except pl.exceptions.InvalidOperationError:
        raise _too_large(query, node, target) from None
    # Polars gives infinity; that of a text is what SQL reads, too.
    if strict and target == pl.Float32 and value.is_float and isinf(found) and not isinf(value.value):
        raise _too_large(query, node, target)
    return Typed(pl.lit(found, target), target)


def _too_large(query: QueryText, node: exp.Expr, target: pl.DataType) -> QueryError:
    return query.error(
        node,
        f"the value is not of the type {name_of(target)}, or too large for it",
        found=query.source(node),
        hint="TRY_CAST gives NULL for what does not fit",
    )


def _cast(query: QueryText, node: exp.Expr, value: Typed, target: pl.DataType, strict: bool) -> Typed:
    if value.is_null or value.dtype == target:
        return value.cast(target)
    if (
        value.constant
        and isinstance(value.value, str)
        and (target == pl.Date or isinstance(target, pl.Datetime))
    ):
        return literals.time(query, node, value.value, target)
    if target == pl.String:
        return as_text(query, node, value)
    source = value.dtype
    if source in TEXT and target.is_numeric():
        # SQL reads ' 12 ', too.
        text = value.expr.cast(pl.String).str.strip_chars(" ")
        return Typed(
            _whole(text, target, strict) if target.is_integer() else text.cast(target, strict=strict), target
        )
    if isinstance(source, pl.Datetime) and source.time_zone is not None:
        # The clock of its time zone, as HOUR(ts) and STRFTIME(ts, ...) read it.
        value = Typed(value.expr.dt.replace_time_zone(None), pl.Datetime(source.time_unit))
        source = value.dtype
    if source.is_decimal() and target.is_integer():
        nearest = value.expr.round(0, mode="half_away_from_zero")
        return Typed(nearest.cast(target, strict=strict), target)
    if value.is_float and target.is_integer():
        return Typed(value.expr.round(mode="half_to_even").cast(target, strict=strict), target)
    allowed = (
        (source.is_numeric() or source == pl.Boolean)
        and (target.is_numeric() or (target == pl.Boolean and not source.is_decimal()))
    ) or (value.is_time and (target == pl.Date or isinstance(target, pl.Datetime)))
    if not allowed:
        raise query.error(
            node,
            f"{name_of(source)} cannot be cast to {name_of(target)}",
            found=query.source(node),
            hint=_instead(value, target),
        )
    if target == pl.Boolean:
        return Typed(value.expr != 0, target)
    result = value.expr.cast(target, strict=strict)
    if target == pl.Float32 and value.is_float and not strict:
        result = pl.when(result.is_finite() | value.expr.is_finite().not_()).then(result)
    return Typed(result, target)


def _whole(text: pl.Expr, target: pl.DataType, strict: bool) -> pl.Expr:
    """Return the whole numbers that texts stand for, of which SQL rounds ``1.5`` and reads ``1e3``, too."""
    plain = text.cast(target, strict=False)
    number = pl.when(plain.is_null()).then(text).cast(pl.Float64, strict=strict)
    # Beyond, a DOUBLE does not hold each whole number: it would be another one.
    exact = pl.when(number.abs() < _EXACT).then(number).when(number.is_not_null()).then(float("nan"))
    nearest = exact.round(mode="half_away_from_zero").cast(target, strict=strict)
    return pl.coalesce(plain, nearest)


_EXACT = float(1 << 53)


def _instead(value: Typed, target: pl.DataType) -> str | None:
    if value.is_text and (target == pl.Date or isinstance(target, pl.Datetime)):
        return "write STRPTIME(text, '%Y-%m-%d %H:%M:%S'), with the format of the text"
    if value.is_time:
        return "EPOCH(ts) is the number of seconds since 1970"
    return None


def as_text(query: QueryText, node: exp.Expr, value: Typed) -> Typed:
    """Return a value as text.

    Raises
    ------
    QueryError
        Polars writes such values in another way than SQL.
    """
    if value.is_float or (value.is_time and value.dtype != pl.Date) or value.dtype.is_nested():
        hint = (
            "STRFTIME(ts, '%Y-%m-%d %H:%M:%S') writes a time"
            if value.is_time
            else "round it to a BIGINT first"
        )
        raise query.error(
            node,
            f"the text of a {name_of(value.dtype)} is not the same everywhere",
            expected="text, whole numbers, DATE or BOOLEAN",
            found=query.source(node),
            hint=hint,
        )
    return value.cast(pl.String())
