"""A query is read whole: a part that no step reads is refused, as leaving it out would give other rows.

sqlglot reads more than pipelines can do, such as ``FOR SYSTEM_TIME AS OF`` after a table or ``LIMIT 3 BY a``, and
keeps it as an argument of a node. Each kind of node has the arguments here that are read, or that change no row.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlglot import exp

from arrowstream.sql.expressions.refused import refused
from arrowstream.sql.grammar import WINDOWS
from arrowstream.sql.places import QueryText
from arrowstream.sql.strict import check_comparisons

_CLAUSES = ("with_", "where", "order", "limit", "offset")
_WITH_ERRORS = ("laterals", "joins", "pivots", "sample")
"""What is refused later, with more to say."""

_READ: Mapping[type[exp.Expr], frozenset[str]] = {
    kind: frozenset(arguments)
    for kind, arguments in {
        exp.Select: (
            *_CLAUSES,
            *_WITH_ERRORS,
            *("expressions", "from_", "distinct", "group", "having", "qualify", "hint"),
            *("windows", "connect", "into", "locks"),
        ),
        exp.Union: (*_CLAUSES, "this", "expression", "distinct", "by_name"),
        exp.Subquery: (*_CLAUSES, *_WITH_ERRORS, "this", "alias"),
        exp.Table: (*_WITH_ERRORS, "this", "alias", "db", "catalog", "hints", "only"),
        exp.CTE: ("this", "alias", "materialized"),
        exp.With: ("expressions", "recursive"),
        exp.Join: ("this", "on", "side", "kind", "using", "method", "hint"),
        exp.Star: ("except_", "replace", "rename"),
        exp.Ordered: ("this", "desc", "nulls_first"),
        exp.Order: ("expressions", "this"),  # of SUM(x ORDER BY y), which says more
        exp.Limit: ("expression", "limit_options"),
        exp.Offset: ("expression",),
        exp.Group: ("expressions", "grouping_sets", "cube", "rollup", "totals", "all"),
        exp.Between: ("this", "low", "high", "negate"),
        exp.In: ("this", "expressions", "query", "negate"),
        exp.Cast: ("this", "to"),
        exp.TryCast: ("this", "to", "safe"),
        exp.Trim: ("this", "expression", "position"),
        exp.Substring: ("this", "start", "length"),
        exp.StrPosition: ("this", "substr"),
        exp.Ceil: ("this",),
        exp.Floor: ("this",),
    }.items()
}

_NAMED: Mapping[str, tuple[str, str | None]] = {
    "version": (
        "FOR SYSTEM_TIME AS OF",
        "in Python, .join_asof(versions, on=...) joins the version that is valid at a time",
    ),
    "symmetric": ("BETWEEN SYMMETRIC", "write the smaller bound first"),
    "ordinality": ("WITH ORDINALITY", None),
    "ilike": ("* ILIKE", "name the columns, or write * EXCLUDE (...)"),
    "with_fill": ("WITH FILL", None),
    "field": ("IN without brackets", "write x IN (1, 2, 3)"),
    "unnest": ("IN UNNEST(...)", "write x IN (1, 2, 3)"),
    "kind": ("SELECT AS", "name the columns"),
    "expressions": (
        "LIMIT ... BY",
        "QUALIFY ROW_NUMBER() OVER (PARTITION BY a ORDER BY x) <= 3 does it",
    ),
    **dict.fromkeys(
        ("cluster", "distribute", "sort"), ("an order of partitions", "write ORDER BY with LIMIT")
    ),
}


def check_whole(query: QueryText, node: exp.Expr) -> None:
    """Raise for a part of a query that no step reads.

    Parameters
    ----------
    query
        The text.
    node
        The whole query.

    Raises
    ------
    QueryError
        There is such a part.
    """
    for each in node.walk():
        if isinstance(each, exp.Exists) or (isinstance(each, exp.Subquery) and _is_value(each)):
            raise refused(query, each)
        check_comparisons(query, each)
        read = _READ.get(type(each))
        if read is None:
            continue
        for name, value in each.args.items():
            if not value or name in read:
                continue
            part = value[0] if isinstance(value, list) else value
            place = part if isinstance(part, exp.Expr) else each
            default = f"{name.strip('_').upper().replace('_', ' ')} of {each.key.upper()}"
            word, hint = _NAMED.get(name, (default, None))
            raise query.error(
                place, f"{word} is not part of the SQL of pipelines", found=query.source(place), hint=hint
            )


def _is_value(node: exp.Expr) -> bool:
    """Return whether a subquery stands in place of a value."""
    around = node.parent
    if isinstance(around, exp.Anonymous):
        return around.name.upper() not in WINDOWS
    return around is not None and not isinstance(around, _HOLD_QUERIES)


_HOLD_QUERIES = (exp.From, exp.Join, exp.CTE, exp.Subquery, exp.SetOperation, exp.Lateral, exp.In)
