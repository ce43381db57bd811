"""All functions that look at one row, by name."""

from __future__ import annotations

from sqlglot import exp

from arrowstream.core.hints import did_you_mean
from arrowstream.errors import QueryError
from arrowstream.sql.expressions.functions.call import Function
from arrowstream.sql.expressions.functions.choices import CHOICES
from arrowstream.sql.expressions.functions.forms import PAGE
from arrowstream.sql.expressions.functions.numbers import NUMBERS
from arrowstream.sql.expressions.functions.regexps import REGEXPS
from arrowstream.sql.expressions.functions.texts import TEXTS
from arrowstream.sql.expressions.functions.times import TIMES
from arrowstream.sql.places import QueryText

FUNCTIONS: dict[str, Function] = {**TEXTS, **REGEXPS, **NUMBERS, **TIMES, **CHOICES}
"""The functions by name in upper case."""

AGGREGATES = (
    *(
        "COUNT",
        "SUM",
        "AVG",
        "MIN",
        "MAX",
        "STDDEV",
        "STDDEV_SAMP",
        "STDDEV_POP",
        "VARIANCE",
        "VAR_SAMP",
        "VAR_POP",
    ),
    *("BOOL_AND", "BOOL_OR", "MEDIAN"),
)
"""The functions of many rows."""

_INSTEAD = {
    **dict.fromkeys(
        ("NOW", "CURRENT_TIMESTAMP", "LOCALTIMESTAMP", "PROCTIME", "RANDOM", "UUID"),
        "its result differs from run to run: use a column of the rows",
    ),
    **dict.fromkeys(
        ("FIRST", "LAST", "FIRST_VALUE", "LAST_VALUE"),
        "rows have no order: ROW_NUMBER() OVER (PARTITION BY k ORDER BY ts) = 1 finds the first one",
    ),
    **dict.fromkeys(
        ("STRING_AGG", "LISTAGG", "GROUP_CONCAT", "ARRAY_AGG", "LIST"),
        "rows have no order; write .window(...).agg(...) in Python",
    ),
    **dict.fromkeys(
        ("APPROX_COUNT_DISTINCT", "APPROX_DISTINCT"), "COUNT(DISTINCT x) counts all of them, exactly"
    ),
    **dict.fromkeys(("QUANTILE", "QUANTILE_CONT", "PERCENTILE_CONT"), "MEDIAN(x) is the only quantile"),
    **dict.fromkeys(("NVL", "ISNULL"), "write COALESCE(a, b), or a IS NULL"),
    **dict.fromkeys(("UNNEST", "EXPLODE"), "explode a list before, by .explode(...)"),
    "LOG": "it means another base in each database: write LN or LOG10",
    **dict.fromkeys(
        ("TUMBLE", "HOP", "SESSION"),
        "a function of windows stands in GROUP BY, or in FROM TUMBLE(TABLE t, ...)",
    ),
}


def unknown_function(query: QueryText, node: exp.Expr, name: str) -> QueryError:
    """Return the error for a function that is not in the table."""
    if name in AGGREGATES:
        return query.error(
            node,
            f"{name} does not stand here",
            expected="a function of one row",
            found=query.source(node),
            hint="functions of many rows stand in SELECT and HAVING, not inside one another",
        )
    hint = _INSTEAD.get(name) or did_you_mean(name, [*FUNCTIONS, *AGGREGATES])
    return query.error(
        node,
        f"no function is called {name}",
        expected=f"one of {len(FUNCTIONS) + len(AGGREGATES)} functions, which {PAGE} lists",
        found=query.source(node),
        hint=hint or "compute it with .map(...) in Python, before or after the query",
    )
