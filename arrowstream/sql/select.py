"""SELECT: columns of the rows of FROM, or of groups of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import polars as pl
from sqlglot import exp

from arrowstream.errors import QueryError
from arrowstream.sql.expressions.reader import Expressions
from arrowstream.sql.groups.aggregates import aggregates_in
from arrowstream.sql.groups.grouping import Part, grouped, selected
from arrowstream.sql.groups.windows import is_window, materialized
from arrowstream.sql.joins.conditions import conjuncts
from arrowstream.sql.places import QueryText
from arrowstream.sql.relation import Name, Relation, bind, same


@dataclass(frozen=True, slots=True)
class Item:
    """A column of SELECT.

    Parameters
    ----------
    name
        Its name.
    node
        Its expression.
    """

    name: str
    node: exp.Expr


def select(query: QueryText, node: exp.Expr, relation: Relation) -> Relation:
    """Return what a SELECT makes of the rows of its FROM and WHERE.

    Raises
    ------
    QueryError
        A clause cannot run as a step, or an expression does not fit.
    """
    items = _items(query, node, relation)
    keys = _keys(query, node, relation, items)
    having = node.args.get("having")
    conditions = [
        _with_aliases(each, relation, items) for each in conjuncts(None if having is None else having.this)
    ]
    calls = [
        call
        for each in (*(item.node for item in items), *conditions)
        for call in _calls(query, each, relation)
    ]
    known: dict[exp.Expr, str] = {}
    missing = None
    scope = relation
    if keys or calls or having is not None:
        relation, known = grouped(query, node, relation, keys, calls)
        missing = _not_grouped(query)
    else:
        relation = scope = materialized(query, relation)
    expressions = Expressions(
        query, relation.schema if not known and missing is None else _only(relation, known), known, missing
    )
    builder = relation.builder
    if conditions:
        bound = [bind(query, each, scope) for each in conditions]
        builder = builder.filter(*(expressions.condition(each).expr for each in bound))
    columns: dict[str, pl.Expr] = {}
    schema: dict[str, pl.DataType] = {}
    kept: dict[str, str] = {}
    for item in items:
        bound_item = bind(query, item.node, scope)
        value = expressions.read(bound_item)
        if value.is_null:
            raise query.error(
                item.node,
                "a column of NULL has no type",
                expected="such as CAST(NULL AS BIGINT)",
                found="NULL",
            )
        columns[item.name] = value.expr.cast(value.dtype) if value.constant else value.expr
        schema[item.name] = value.dtype
        physical = known.get(bound_item) or (bound_item.name if isinstance(bound_item, exp.Column) else None)
        if physical is not None:
            kept.setdefault(physical, item.name)
    times, windows = relation.kept(kept)
    names = tuple(Name(None, name, name) for name in columns)
    if (
        list(columns) != list(relation.schema)
        or any(name != old for old, name in kept.items())
        or len(kept) < len(columns)
    ):
        builder = selected(builder, columns)
    return Relation(builder, pl.Schema(schema), names, times, windows)


def _only(relation: Relation, known: dict[exp.Expr, str]) -> pl.Schema:
    return pl.Schema({name: relation.schema[name] for name in dict.fromkeys(known.values())})


def _not_grouped(query: QueryText):  # type: ignore[no-untyped-def]
    def missing(node: exp.Expr) -> QueryError:
        return query.error(
            node,
            f"{node.name} is neither grouped by nor inside a function of many rows",
            expected="a column of GROUP BY, or such as MAX(...)",
            found=node.name,
        )

    return missing


def _calls(query: QueryText, node: exp.Expr, relation: Relation) -> list[Part]:
    written = aggregates_in(node)
    if not written:
        return []
    return [
        Part(one, other)
        for one, other in zip(written, aggregates_in(bind(query, node, relation)), strict=True)
    ]


def _items(query: QueryText, node: exp.Expr, relation: Relation) -> list[Item]:
    """Return the columns of SELECT, with those that ``*`` stands for."""
    items: list[Item] = []
    for each in node.expressions:
        star = each if isinstance(each, exp.Star) else each.this if isinstance(each, exp.Column) else None
        if isinstance(star, exp.Star):
            items += _star(query, each, star, relation)
            continue
        inner = each.unalias()
        items.append(Item(each.alias or _name(query, inner, relation), inner))
    names: set[str] = set()
    for item in items:
        if item.name.lower() in names:
            raise query.error(
                item.node,
                f"two columns are called {item.name}",
                expected="a name for each",
                found=item.name,
                hint=f"write {query.source(item.node)} AS another_name, or SELECT * EXCLUDE (...)",
            )
        names.add(item.name.lower())
    return items


def _name(query: QueryText, node: exp.Expr, relation: Relation) -> str:
    if not isinstance(node, exp.Column):
        return query.source(node)
    return next((name.column for name in relation.names if same(name.column, node.name)), node.name)


def _star(query: QueryText, node: exp.Expr, star: exp.Expr, relation: Relation) -> list[Item]:
    if star.args.get("replace") or star.args.get("rename"):
        raise query.error(
            node, "* has EXCLUDE alone", found=query.source(node), hint="name the columns instead"
        )
    table = node.table if isinstance(node, exp.Column) else None
    excluded = [each.name for each in star.args.get("except_") or ()]
    found = relation.visible(table or None)
    for name in excluded:
        if not any(same(each.column, name) for each in found):
            raise query.error(
                node, f"no column is called {name}", expected=", ".join(each.column for each in found)
            )
    if table and not found:
        raise query.error(node, f"no table of this FROM is called {table}", found=query.source(node))
    return [
        Item(each.column, _reference(node, each))
        for each in found
        if not any(same(each.column, name) for name in excluded)
    ]


def _reference(star: exp.Expr, name: Name) -> exp.Expr:
    """Return a column that ``*`` stands for, as if it were written in its place."""
    table = None if name.table is None else exp.Identifier(this=name.table, quoted=True)
    made = exp.Column(this=exp.Identifier(this=name.column, quoted=True), table=table)
    made.this.meta.update(next((part.meta for part in star.walk() if part.meta), {}))
    return made


def _keys(query: QueryText, node: exp.Expr, relation: Relation, items: Sequence[Item]) -> list[Part]:
    """Return what GROUP BY names: expressions, names of SELECT, and their numbers."""
    group = node.args.get("group")
    if group is None:
        return []
    for clause in ("grouping_sets", "rollup", "cube", "totals", "all"):
        if group.args.get(clause):
            raise query.error(
                group,
                f"GROUP BY has no {clause.replace('_', ' ').upper()} here",
                hint="write a query for each, with UNION ALL",
            )
    keys = []
    for each in group.expressions:
        written = each
        if isinstance(each, exp.Literal) and not each.is_string:
            number = int(each.name) if each.name.isdigit() else 0
            if not 1 <= number <= len(items):
                raise query.error(
                    each,
                    "GROUP BY counts the columns of SELECT",
                    expected=f"1 to {len(items)}",
                    found=each.name,
                )
            written = items[number - 1].node
        written = _with_aliases(written, relation, items)
        if aggregates_in(written):
            raise query.error(each, "GROUP BY names no function of many rows", found=query.source(written))
        bound = written if is_window(written) else bind(query, written, relation)
        keys.append(Part(written, bind(query, bound, relation) if is_window(written) else bound))
    return keys


def _with_aliases(node: exp.Expr, relation: Relation, items: Sequence[Item]) -> exp.Expr:
    """Return an expression with those of SELECT in place of their names, where no column has such a name."""

    def expanded(part: exp.Expr) -> exp.Expr:
        if not isinstance(part, exp.Column) or part.table:
            return part
        if any(same(name.column, part.name) for name in relation.names):
            return part
        return next((item.node.copy() for item in items if same(item.name, part.name)), part)

    changed: exp.Expr = node.transform(expanded)
    return changed


def without(relation: Relation, *names: str) -> Relation:
    """Return the rows without some columns."""
    kept = [name for name in relation.schema if name not in names]
    return replace(
        relation,
        builder=relation.builder.drop(*names),
        schema=pl.Schema({name: relation.schema[name] for name in kept}),
        names=tuple(name for name in relation.names if name.physical not in names),
    )
