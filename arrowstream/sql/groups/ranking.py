"""The first rows of an order: ROW_NUMBER() with a bound, QUALIFY, and ORDER BY with LIMIT."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import polars as pl
from sqlglot import exp

from arrowstream.pipeline import Builder
from arrowstream.sql.expressions.reader import ExpressionReader
from arrowstream.sql.expressions.typed import Typed
from arrowstream.sql.places import QueryText
from arrowstream.sql.relation import Name, Ranking, Relation, fresh, same


def is_row_number(node: exp.Expr) -> bool:
    """Return whether a part of a query is ``ROW_NUMBER() OVER (...)``."""
    return (
        isinstance(node, exp.Window)
        and isinstance(node.this, exp.Anonymous)
        and node.this.name.upper() == "ROW_NUMBER"
    )


@dataclass(frozen=True, slots=True)
class Order:
    """The columns that a ranking needs, and what they are.

    Parameters
    ----------
    columns
        Expressions by new names, which are computed for each row.
    per
        Names of the columns that rows are numbered by.
    by
        Names of those that say which row is the first.
    reverse
        For each of `by`, whether the smallest is the first.
    """

    columns: dict[str, Typed]
    per: tuple[str, ...]
    by: tuple[str, ...]
    reverse: tuple[bool, ...]


def order_of(
    query: QueryText,
    expressions: ExpressionReader,
    partition: Sequence[exp.Expr],
    order: exp.Expr | None,
    taken: Sequence[str],
) -> Order:
    """Return the order of ``PARTITION BY ... ORDER BY ...``, whose columns are bound.

    Parameters
    ----------
    query
        The text.
    expressions
        Reads the expressions.
    partition
        What follows PARTITION BY.
    order
        The ORDER BY.
    taken
        Names that columns have already.
    """
    columns: dict[str, Typed] = {}

    def added(name: str, value: Typed) -> str:
        new = fresh(name, [*taken, *columns])
        columns[new] = value
        return new

    per = tuple(
        added(f"partition {number}", expressions.read(each)) for number, each in enumerate(partition, 1)
    )
    by: list[str] = []
    reverse: list[bool] = []
    for number, each in enumerate(order.expressions if order is not None else (), 1):
        value = expressions.read(each.this)
        # Polars puts null after all values, as SQL does by default.
        if each.args.get("nulls_first"):
            by.append(added(f"order {number} null", Typed(value.expr.is_null(), pl.Boolean())))
            reverse.append(False)
        by.append(added(f"order {number}", value))
        reverse.append(not each.args.get("desc"))
    return Order(columns, per, tuple(by), tuple(reverse))


def ranking_of(query: QueryText, node: exp.Expr) -> tuple[list[exp.Expr], exp.Expr]:
    """Return what ROW_NUMBER is partitioned by, and its order.

    Raises
    ------
    QueryError
        It has no order, or a frame of rows.
    """
    order = node.args.get("order")
    if order is None or node.args.get("spec") is not None:
        raise query.error(
            node,
            "ROW_NUMBER() numbers rows in an order",
            expected="ROW_NUMBER() OVER (PARTITION BY k ORDER BY x DESC)",
            found=query.source(node),
        )
    return list(node.args.get("partition_by") or ()), order


def bound_of(node: exp.Expr) -> tuple[exp.Expr, int] | None:
    """Return what a condition limits and to which number, such as ``rn`` and 3 of ``rn <= 3``; None for others."""
    one, other, kind = node.this, node.args.get("expression"), type(node)
    if isinstance(one, exp.Literal):
        one, other, kind = other, one, _MIRRORED.get(kind, kind)
    if one is None or not isinstance(other, exp.Literal) or other.is_string or not other.name.isdigit():
        return None
    number = int(other.name)
    match kind:
        case exp.LTE:
            return one, number
        case exp.LT:
            return one, number - 1
        case exp.EQ if number == 1:
            return one, number
    return None


_MIRRORED: dict[type[exp.Expr], type[exp.Expr]] = {exp.GTE: exp.LTE, exp.GT: exp.LT}


def limited(
    query: QueryText, relation: Relation, conditions: list[exp.Expr], wanted: bool
) -> tuple[Relation, list[exp.Expr]]:
    """Return the first rows of each group, and the other conditions.

    Parameters
    ----------
    query
        The text.
    relation
        Rows that are numbered.
    conditions
        Conditions, one of which limits the number.
    wanted
        Whether the number itself is needed.

    Raises
    ------
    QueryError
        No condition limits the number, or the rows never come out.
    """
    ranking = relation.ranking
    if ranking is None:
        return relation, conditions
    for place, each in enumerate(conditions):
        found = bound_of(each)
        if found is not None and isinstance(found[0], exp.Column) and _is_number(found[0], relation, ranking):
            rest = conditions[:place] + conditions[place + 1 :]
            return first_rows(query, relation, ranking, found[1], wanted), rest
    raise query.error(
        ranking.node,
        "ROW_NUMBER() needs a bound, so that not all rows are held",
        expected=f"WHERE {ranking.name} <= 10 in the query around it",
        found=query.source(ranking.node),
    )


def _is_number(column: exp.Expr, relation: Relation, ranking: Ranking) -> bool:
    tables, table = {name.table for name in relation.names}, column.args.get("table")
    return same(column.name, ranking.name) and (
        table is None or any(same(table.name, each) for each in tables)
    )


def first_rows(query: QueryText, relation: Relation, ranking: Ranking, count: int, wanted: bool) -> Relation:
    """Return the first rows of each group, without the columns that only say which they are."""
    if count < 1:
        raise query.error(
            ranking.node, "the bound of ROW_NUMBER() is too low", expected="at least 1", found=str(count)
        )
    time = next((name for name in ranking.per if name in relation.times), None)
    if relation.endless and time is None:
        raise query.error(
            ranking.node,
            "the first rows are known at the end, and a source of the rows has none",
            expected="PARTITION BY window_start, or a source that ends",
            found=" and ".join(source.label for source in relation.builder.graph.sources if source.endless),
            hint='in Python, .top_k(..., emit="updates") gives the first rows so far',
        )
    builder = relation.builder.top_k(
        count, by=ranking.by, reverse=ranking.reverse, per=ranking.per or None, time=time
    )
    schema = dict(relation.schema)
    names = relation.names
    if wanted:
        number = fresh(ranking.name, schema)
        if count == 1:
            builder = builder.with_columns(pl.lit(1, pl.Int64).alias(number))
        else:
            builder = counted(builder, number, ranking.per)
        schema[number] = pl.Int64()
        at = ranking.position
        names = (*names[:at], Name(names[0].table if names else None, ranking.name, number), *names[at:])
    builder = builder.drop(*ranking.helpers)
    schema = {name: dtype for name, dtype in schema.items() if name not in ranking.helpers}
    kept = {name: name for name in schema}
    times, windows = relation.kept(kept)
    # All rows of groups come out at the end, unless one of their columns is event time.
    times = frozenset({time} & set(kept)) if time is not None else frozenset()
    windows = windows if time is not None else ()
    return replace(
        relation,
        builder=builder,
        schema=pl.Schema(schema),
        names=names,
        times=times,
        windows=windows,
        ranking=None,
    )


def counted(builder: Builder, number: str, per: Sequence[str] = ()) -> Builder:
    """Return rows with a column that counts them, from 1 on."""
    one = f"{number} one"
    counts = builder.with_columns(pl.lit(1, pl.Int64).alias(one)).scan(
        pl.col(one).cum_sum().alias(number), by=per or None
    )
    return counts.drop(one)


def checked(query: QueryText, relation: Relation) -> Relation:
    """Return rows; raise if they are numbered without a bound."""
    return limited(query, relation, [], wanted=False)[0]
