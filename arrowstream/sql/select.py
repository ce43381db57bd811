"""SELECT: columns of the rows of FROM, or of groups of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import polars as pl
from sqlglot import exp

from arrowstream.errors import QueryError
from arrowstream.sql.expressions.reader import ExpressionReader
from arrowstream.sql.expressions.typed import Typed
from arrowstream.sql.groups.aggregates import aggregates_in
from arrowstream.sql.groups.grouping import QueryExpression, grouped, selected
from arrowstream.sql.groups.ranking import bound_of, first_rows, is_row_number, order_of, ranking_of
from arrowstream.sql.groups.windows import materialized
from arrowstream.sql.items import Item, items_of, keys_of, with_aliases
from arrowstream.sql.joins.conditions import conjuncts
from arrowstream.sql.places import QueryText
from arrowstream.sql.relation import Name, Ranking, Relation, bind, same


def select(query: QueryText, node: exp.Expr, relation: Relation) -> Relation:
    """Return what a SELECT makes of the rows of its FROM and WHERE.

    Raises
    ------
    QueryError
        A clause cannot run as a step, or an expression does not fit.
    """
    everything = items_of(query, node, relation)
    items = [item for item in everything if not is_row_number(item.node)]
    qualify = _qualify(query, node, everything)
    number = _number(query, everything) if qualify is None else qualify[0]
    keys = keys_of(query, node, relation, items)
    having = node.args.get("having")
    conditions = [with_aliases(each, relation, items) for each in conjuncts(having and having.this)]
    read = [*(item.node for item in items), *conditions, *([number.node] if number is not None else [])]
    calls = [call for each in read for call in _calls(query, each, relation)]
    if keys or calls or having is not None:
        rows, known = grouped(query, node, relation, keys, calls)
        schema = pl.Schema({name: rows.schema[name] for name in dict.fromkeys(known.values())})
        expressions = ExpressionReader(query, schema, known, _NotGrouped(query))
        scope = relation
    else:
        rows = scope = materialized(query, relation)
        expressions = ExpressionReader(query, rows.schema)
    if conditions:
        bound = [bind(query, each, scope) for each in conditions]
        rows = replace(
            rows, builder=rows.builder.filter(*(expressions.condition(each).expr for each in bound))
        )
    projection = _Projection(query, scope, rows, expressions)
    if number is None:
        found = projection.of(items)
    else:
        found = projection.numbered(items, number, everything)
        if qualify is not None and found.ranking is not None:
            wanted = any(item is number for item in everything)
            found = first_rows(query, found, found.ranking, qualify[1], wanted)
    return _distinct(query, node, found)


@dataclass(frozen=True, slots=True)
class _NotGrouped:
    """Makes the error for a column that is not grouped by."""

    query: QueryText

    def __call__(self, node: exp.Expr) -> QueryError:
        return self.query.error(
            node,
            f"{node.name} is neither grouped by nor inside a function of many rows",
            expected="a column of GROUP BY, or such as MAX(...)",
            found=node.name,
        )


@dataclass(frozen=True, slots=True)
class _Projection:
    """Computes the columns of SELECT.

    Parameters
    ----------
    query
        The text.
    scope
        The rows whose columns the query names.
    rows
        The rows that the columns are computed of, such as groups of those.
    expressions
        Reads the expressions.
    """

    query: QueryText
    scope: Relation
    rows: Relation
    expressions: ExpressionReader

    def of(self, items: Sequence[Item], more: dict[str, Typed] | None = None) -> Relation:
        """Return the rows with these columns, and others that have no name in the query."""
        columns: dict[str, Typed] = {}
        for item in items:
            value = self.expressions.read(self._bound(item.node))
            if value.is_null:
                raise self.query.error(
                    item.node,
                    "a column of NULL has no type",
                    expected="such as CAST(NULL AS BIGINT)",
                    found="NULL",
                )
            columns[item.name] = value
        names = tuple(Name(None, name, name) for name in columns)
        columns |= more or {}
        kept = self._kept(items)
        times, windows = self.rows.kept(kept)
        builder = self.rows.builder
        schema = pl.Schema({name: value.dtype for name, value in columns.items()})
        if list(schema) != list(self.rows.schema) or any(kept.get(name) != name for name in schema):
            builder = selected(
                builder,
                {
                    name: value.expr.cast(value.dtype) if value.constant else value.expr
                    for name, value in columns.items()
                },
            )
        return Relation(builder, schema, names, times, windows)

    def numbered(self, items: Sequence[Item], number: Item, everything: Sequence[Item]) -> Relation:
        """Return the rows with the columns that their numbers need."""
        partition, order = ranking_of(self.query, number.node)
        bound = [self._bound(each) for each in partition]
        taken = [item.name for item in everything]
        found = order_of(self.query, self.expressions, bound, self._bound(order), taken)
        columns, kept = dict(found.columns), self._kept(items)
        per = []
        for each, name in zip(bound, found.per, strict=True):
            # A column that comes out is what rows are numbered by: it may be the event time of a window.
            out = kept.get(self._physical(each) or "")
            if out is not None:
                del columns[name]
            per.append(out or name)
        rows = self.of(items, columns)
        place = next((place for place, item in enumerate(everything) if item is number), len(items))
        ranking = Ranking(
            number.name, place, tuple(per), found.by, found.reverse, tuple(columns), number.node
        )
        return replace(rows, ranking=ranking)

    def _bound(self, node: exp.Expr) -> exp.Expr:
        return bind(self.query, node, self.scope)

    def _physical(self, bound: exp.Expr) -> str | None:
        """Return the column that a part of the query is, or None."""
        name = self.expressions.known.get(bound)
        return name or (bound.name if isinstance(bound, exp.Column) else None)

    def _kept(self, items: Sequence[Item]) -> dict[str, str]:
        """Return the columns of the rows that come out as they are, with their new names."""
        kept: dict[str, str] = {}
        for item in items:
            physical = self._physical(self._bound(item.node))
            if physical is not None:
                kept.setdefault(physical, item.name)
        return kept


def _number(query: QueryText, items: Sequence[Item]) -> Item | None:
    numbers = [item for item in items if is_row_number(item.node)]
    if len(numbers) > 1:
        raise query.error(
            numbers[1].node, "a SELECT numbers rows in one way", found=query.source(numbers[1].node)
        )
    return numbers[0] if numbers else None


def _qualify(query: QueryText, node: exp.Expr, items: Sequence[Item]) -> tuple[Item, int] | None:
    """Return the number that QUALIFY limits, and its bound."""
    clause = node.args.get("qualify")
    if clause is None:
        return None
    found = bound_of(clause.this)
    numbered = _number(query, items)
    if found is not None and numbered is not None and same(numbered.name, found[0].name):
        return numbered, found[1]
    if found is None or not is_row_number(found[0]) or numbered is not None:
        raise query.error(
            clause,
            "QUALIFY limits the number of rows",
            expected="QUALIFY ROW_NUMBER() OVER (PARTITION BY k ORDER BY x DESC) <= 3",
            found=query.source(clause.this),
        )
    return Item("row number", found[0]), found[1]


def _distinct(query: QueryText, node: exp.Expr, relation: Relation) -> Relation:
    distinct = node.args.get("distinct")
    if distinct is None:
        return relation
    if distinct.args.get("on") is not None:
        raise query.error(
            distinct,
            "DISTINCT ON keeps the first row of an order",
            expected="SELECT DISTINCT",
            hint="QUALIFY ROW_NUMBER() OVER (PARTITION BY k ORDER BY x) = 1 finds it",
        )
    if relation.ranking is not None:
        raise query.error(
            relation.ranking.node, "DISTINCT does not go with ROW_NUMBER()", hint="write it in a subquery"
        )
    return replace(relation, builder=relation.builder.unique())


def _calls(query: QueryText, node: exp.Expr, relation: Relation) -> list[QueryExpression]:
    written = aggregates_in(node)
    if not written:
        return []
    return [
        QueryExpression(one, other)
        for one, other in zip(written, aggregates_in(bind(query, node, relation)), strict=True)
    ]
