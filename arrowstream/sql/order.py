"""ORDER BY, LIMIT and OFFSET of a query: its first rows."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
from sqlglot import exp

from arrowstream.core.hints import did_you_mean
from arrowstream.errors import QueryError
from arrowstream.sql.expressions.reader import ExpressionReader
from arrowstream.sql.groups.aggregates import aggregates_in
from arrowstream.sql.groups.ranking import counted, first_rows, order_of
from arrowstream.sql.places import QueryText
from arrowstream.sql.relation import Name, Ranking, Relation, bind, same

_NUMBER = "row number"
_ADD = "add it to SELECT; SELECT * EXCLUDE (...) FROM (...) around the query leaves it out again"


def first(query: QueryText, node: exp.Expr, relation: Relation) -> Relation:
    """Return the first rows of a query, of which some may be skipped.

    Parameters
    ----------
    query
        The text.
    node
        The query with its clauses.
    relation
        Its rows.

    Raises
    ------
    QueryError
        There is no LIMIT, it is not a number, rows to skip have no order, or the order is not that of the columns.
    """
    order, limit, offset = (node.args.get(name) for name in ("order", "limit", "offset"))
    if limit is None:
        raise _unbounded(query, order, offset)
    count = _number(query, limit, "LIMIT")
    if order is None:
        if offset is not None:
            raise query.error(
                query.clause(offset, "OFFSET"),
                "OFFSET needs rows in an order",
                expected="ORDER BY k LIMIT 10 OFFSET 20",
                hint="leave it out: which rows would be skipped differs from run to run",
            )
        return _first_to_come(relation, count)
    skipped = 0 if offset is None else _number(query, offset, "OFFSET")
    if not count:
        return _first_to_come(relation, 0)
    return _ordered(query, node, relation, order, count, skipped)


def _unbounded(query: QueryText, order: exp.Expr | None, offset: exp.Expr | None) -> QueryError:
    """Return the error for a query without LIMIT."""
    if order is None:
        assert offset is not None, "a query with one of the clauses"
        return query.error(
            query.clause(offset, "OFFSET"),
            "OFFSET needs rows in an order, and a LIMIT",
            expected="ORDER BY k LIMIT 10 OFFSET 20",
        )
    return query.error(
        query.clause(order, "ORDER", "ORDER BY"),
        "ORDER BY needs all rows at once",
        expected="ORDER BY with LIMIT, which holds the first rows only",
        hint="leave it out, and sort the rows where they are used",
    )


def _number(query: QueryText, clause: exp.Expr, word: str) -> int:
    """Return the number of rows that LIMIT, FETCH or OFFSET gives."""
    count = clause.args.get("count") if isinstance(clause, exp.Fetch) else clause.expression
    options = clause.args.get("limit_options")
    special = options is not None and (options.args.get("percent") or options.args.get("with_ties"))
    if special or not isinstance(count, exp.Literal) or not count.name.isdigit():
        raise query.error(
            query.clause(clause, word, "FETCH"),
            f"{word} takes a number",
            expected=f"such as {word} 10",
            found=query.source(clause).strip(),
        )
    return int(count.name)


def _first_to_come(relation: Relation, count: int) -> Relation:
    """Return the rows that come first."""
    builder = counted(relation.builder, _NUMBER).filter(pl.col(_NUMBER) <= count).drop(_NUMBER)
    return replace(relation, builder=builder)


def _ordered(
    query: QueryText, node: exp.Expr, relation: Relation, order: exp.Expr, count: int, skipped: int
) -> Relation:
    """Return the first rows of an order, which is that of the columns of SELECT."""
    bound = bind(query, _by_columns(query, node, order, relation), relation)
    found = order_of(query, ExpressionReader(query, relation.schema), (), bound, list(relation.schema))
    builder = relation.builder.with_columns(
        *(value.expr.alias(name) for name, value in found.columns.items())
    )
    schema = pl.Schema({**relation.schema, **{name: value.dtype for name, value in found.columns.items()}})
    place = len(relation.names)
    ranking = Ranking(_NUMBER, place, (), found.by, found.reverse, tuple(found.columns), order)
    ordered = replace(relation, builder=builder, schema=schema)
    if not skipped:
        return first_rows(query, ordered, ranking, count, wanted=False)
    rows = first_rows(query, ordered, ranking, count + skipped, wanted=True)
    number = rows.names[place].physical
    return replace(
        rows,
        builder=rows.builder.filter(pl.col(number) > skipped).drop(number),
        schema=pl.Schema({name: dtype for name, dtype in rows.schema.items() if name != number}),
        names=rows.names[:place],
    )


def _by_columns(query: QueryText, node: exp.Expr, order: exp.Expr, relation: Relation) -> exp.Expr:
    """Return an ORDER BY whose numbers, and expressions of SELECT, are the columns that come out."""
    columns = [_column(name) for name in relation.names]
    items = node.expressions if isinstance(node, exp.Select) else []
    # What a star stands for has the names that come out.
    selected = (
        [(_without_table(item.unalias(), node), column) for item, column in zip(items, columns, strict=True)]
        if len(items) == len(columns) and not any(item.is_star for item in items)
        else []
    )

    def by_column(part: exp.Expr) -> exp.Expr:
        if isinstance(part, exp.Column) and not part.table and _is_named(part, relation):
            return part
        found = next((column for item, column in selected if item == part), None)
        if found is None:
            return part
        made = found.copy()
        made.this.meta.update(next((each.meta for each in part.walk() if each.meta), {}))
        return made

    written: exp.Expr = _without_table(order, node)
    for each in written.expressions:
        if isinstance(each.this, exp.Var):
            raise query.error(
                query.clause(order, "ORDER", "ORDER BY"),
                "ORDER BY names columns",
                expected=f"ORDER BY {', '.join(name.column for name in relation.names)}",
                found=query.source(each),
            )
        if isinstance(each.this, exp.Literal) and not each.this.is_string:
            each.set("this", _numbered(query, each.this, columns))
        else:
            each.set("this", each.this.transform(by_column))
        _check_selected(query, each.this, relation)
    return written


def _without_table(part: exp.Expr, node: exp.Expr) -> exp.Expr:
    """Return a part of a query without the name of its table before columns, if the query has one table only."""
    of = node.args.get("from_")
    only = of.this.alias_or_name if of is not None and not node.args.get("joins") else None

    def plain(column: exp.Expr) -> exp.Expr:
        if isinstance(column, exp.Column) and same(column.table, only):
            column.set("table", None)
        return column

    changed: exp.Expr = part.transform(plain)
    return changed


def _column(name: Name) -> exp.Expr:
    return exp.Column(this=exp.Identifier(this=name.column, quoted=True))


def _numbered(query: QueryText, written: exp.Expr, columns: list[exp.Expr]) -> exp.Expr:
    number = int(written.name) if written.name.isdigit() else 0
    if not 1 <= number <= len(columns):
        raise query.error(
            written,
            "ORDER BY counts the columns of SELECT",
            expected=f"1 to {len(columns)}",
            found=written.name,
        )
    return columns[number - 1].copy()


def _check_selected(query: QueryText, written: exp.Expr, relation: Relation) -> None:
    """Raise for a column, or a function of many rows, that does not come out."""
    others = [
        *aggregates_in(written),
        *(each for each in written.find_all(exp.Column) if not _is_named(each, relation)),
    ]
    for each in others:
        names = ", ".join(name.column for name in relation.names)
        text = query.source(each)
        raise query.error(
            each,
            f"ORDER BY takes the columns of SELECT, and {text} is none of them",
            expected=f"of the columns {names}",
            found=text,
            hint=did_you_mean(each.name, [name.column for name in relation.names]) or _ADD,
        )


def _is_named(node: exp.Column, relation: Relation) -> bool:
    return any(
        same(name.column, node.name) and (not node.table or same(name.table, node.table))
        for name in relation.names
    )
