"""Expressions that queries of pipelines do not have, and what to write instead."""

from __future__ import annotations

from sqlglot import exp

from arrowstream.errors import QueryError
from arrowstream.sql.places import QueryText


def refused(query: QueryText, node: exp.Expr) -> QueryError:
    """Return the error for an expression that no reader is for."""
    what, hint = _REFUSED.get(type(node), ("this is not part of the SQL of pipelines", None))
    return query.error(node, what, found=query.source(node), hint=hint)


_REFUSED: dict[type[exp.Expr], tuple[str, str | None]] = {
    exp.Window: (
        "OVER looks at other rows",
        "ROW_NUMBER() OVER (PARTITION BY ... ORDER BY ...) <= k finds the first k; others need .scan(...)",
    ),
    exp.Subquery: ("a subquery stands in FROM", "join it, as in JOIN (SELECT ...) AS t ON ..."),
    exp.Select: ("a subquery stands in FROM", "join it, as in JOIN (SELECT ...) AS t ON ..."),
    exp.Exists: (
        "EXISTS is not part of the SQL of pipelines",
        "write SEMI JOIN ... ON, or ANTI JOIN for NOT EXISTS",
    ),
    exp.CurrentTimestamp: (
        "the time of the clock differs from run to run",
        "compare with a column, or with TIMESTAMP '2026-01-31 12:00:00'",
    ),
    exp.Interval: (
        "an INTERVAL is added to a time or subtracted from it",
        "such as ts + INTERVAL '10' SECOND",
    ),
    exp.Star: ("* stands in SELECT or in COUNT(*)", None),
    **dict.fromkeys(
        (exp.CurrentDate, exp.CurrentTime, exp.Localtime, exp.Localtimestamp),
        ("the time of the clock differs from run to run", "compare with a column, or with DATE '2026-01-31'"),
    ),
    **dict.fromkeys(
        (exp.SimilarTo, exp.RegexpLike, exp.RegexpILike, exp.Glob),
        (
            "of patterns, queries have LIKE and ILIKE",
            "write REGEXP_MATCHES(text, '...'), or REGEXP_FULL_MATCH for the whole text",
        ),
    ),
    **dict.fromkeys(
        (exp.Any, exp.All),
        ("ANY and ALL are not part of the SQL of pipelines", "write the comparisons with OR or AND"),
    ),
    **dict.fromkeys(
        (exp.BitwiseAnd, exp.BitwiseOr, exp.BitwiseXor, exp.BitwiseNot),
        ("queries do not compute with bits", "compute it with .with_columns(...) in Python"),
    ),
    **dict.fromkeys(
        (exp.BitwiseLeftShift, exp.BitwiseRightShift),
        ("queries do not compute with bits", "write x * 2 or x // 2 for a shift by one"),
    ),
    **dict.fromkeys(
        (exp.Bracket, exp.Dot),
        (
            "queries take no parts of lists, structs and texts",
            "write SUBSTRING(text, 1, 1) of a text; take parts with .with_columns(...) or .unnest(...) before",
        ),
    ),
    **dict.fromkeys(
        (exp.Array, exp.Struct, exp.Map, exp.Tuple),
        ("queries make no lists, structs and tuples", "name the values as columns of their own"),
    ),
    **dict.fromkeys(
        (exp.Placeholder, exp.Parameter),
        ("a query has no parameters", "put the value into the text of the query"),
    ),
    exp.AtTimeZone: (
        "AT TIME ZONE is not part of the SQL of pipelines",
        "convert the column with .with_columns(pl.col(...).dt.convert_time_zone(...)) before",
    ),
    exp.Collate: ("COLLATE is not part of the SQL of pipelines", "compare LOWER(x)"),
    exp.WithinGroup: ("WITHIN GROUP is not part of the SQL of pipelines", "MEDIAN(x) is the only quantile"),
    exp.Order: ("functions of many rows take no ORDER BY", "rows have no order in a group"),
    **dict.fromkeys(
        (exp.IgnoreNulls, exp.RespectNulls),
        ("IGNORE NULLS is not part of the SQL of pipelines", "write FILTER (WHERE x IS NOT NULL)"),
    ),
    **dict.fromkeys(
        (exp.ByteString, exp.RawString, exp.HexString, exp.BitString, exp.National),
        ("a text stands in single quotes", "write 'it''s' for a quote inside a text"),
    ),
}
