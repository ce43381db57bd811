"""The columns of SELECT by their names, and what GROUP BY and HAVING mean by those names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlglot import exp

from arrowstream.sql.groups.aggregates import aggregates_in
from arrowstream.sql.groups.grouping import QueryExpression
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


def items_of(query: QueryText, node: exp.Expr, relation: Relation) -> list[Item]:
    """Return the columns of SELECT, with those that ``*`` stands for."""
    items: list[Item] = []
    for each in node.expressions:
        star = each if isinstance(each, exp.Star) else each.this if isinstance(each, exp.Column) else None
        if isinstance(star, exp.Star):
            items += _star(query, each, star, relation)
            continue
        inner = each.unalias()
        items.append(Item(each.alias or _name(query, inner, relation), inner))
    if not items:
        raise query.error(node, "SELECT names no column", expected="SELECT k FROM t, or SELECT *")
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


def keys_of(
    query: QueryText, node: exp.Expr, relation: Relation, items: Sequence[Item]
) -> list[QueryExpression]:
    """Return what GROUP BY names: expressions, names of SELECT, and their numbers."""
    group = node.args.get("group")
    if group is None:
        return []
    for clause in ("grouping_sets", "rollup", "cube", "totals"):
        if group.args.get(clause) or any(each.key == clause.replace("_", "") for each in group.expressions):
            raise query.error(
                query.clause(group, "GROUP", "GROUP BY"),
                f"GROUP BY has no {clause.replace('_', ' ').upper()} here",
                expected="GROUP BY a, b, or GROUP BY ALL",
                hint="write a query for each, with UNION ALL",
            )
    if group.args.get("all"):
        # All columns of SELECT but those of functions of many rows.
        written = [item.node for item in items if not aggregates_in(item.node)]
    else:
        written = [_written(query, each, items) for each in group.expressions]
    return [_key(query, each, relation, items) for each in written]


def _written(query: QueryText, node: exp.Expr, items: Sequence[Item]) -> exp.Expr:
    """Return what GROUP BY names: a number stands for a column of SELECT."""
    if not isinstance(node, exp.Literal) or node.is_string:
        return node
    number = int(node.name) if node.name.isdigit() else 0
    if not 1 <= number <= len(items):
        raise query.error(
            node, "GROUP BY counts the columns of SELECT", expected=f"1 to {len(items)}", found=node.name
        )
    return items[number - 1].node


def _key(query: QueryText, node: exp.Expr, relation: Relation, items: Sequence[Item]) -> QueryExpression:
    written = with_aliases(node, relation, items)
    if aggregates_in(written):
        raise query.error(node, "GROUP BY names no function of many rows", found=query.source(written))
    return QueryExpression(written, bind(query, written, relation))


def with_aliases(node: exp.Expr, relation: Relation, items: Sequence[Item]) -> exp.Expr:
    """Return an expression with those of SELECT in place of their names, where no column has such a name."""

    def expanded(part: exp.Expr) -> exp.Expr:
        if not isinstance(part, exp.Column) or part.table:
            return part
        if any(same(name.column, part.name) for name in relation.names):
            return part
        return next((item.node.copy() for item in items if same(item.name, part.name)), part)

    changed: exp.Expr = node.transform(expanded)
    return changed
