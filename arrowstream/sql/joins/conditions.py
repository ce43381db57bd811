"""The conditions of a join: keys, bounds of times, and the rest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import polars as pl
from sqlglot import exp

from arrowstream.errors import QueryError
from arrowstream.sql.joins.time_bounds import TimeBound, time_bound
from arrowstream.sql.places import QueryText
from arrowstream.sql.relation import Relation, bind


@dataclass(slots=True)
class Conditions:
    """What joins two tables.

    Parameters
    ----------
    keys
        Pairs of expressions, of the left and of the right, that are equal.
    bounds
        Bounds of times, each with the conditions that set it.
    left, right
        Conditions of one side alone.
    both
        Other conditions of both.
    """

    keys: list[tuple[exp.Expr, exp.Expr]] = field(default_factory=list)
    bounds: dict[tuple[str, str], tuple[TimeBound, list[exp.Expr]]] = field(default_factory=dict)
    left: list[exp.Expr] = field(default_factory=list)
    right: list[exp.Expr] = field(default_factory=list)
    both: list[exp.Expr] = field(default_factory=list)


def conjuncts(node: exp.Expr | None) -> list[exp.Expr]:
    """Return the conditions that AND joins."""
    if node is None:
        return []
    while isinstance(node, exp.Paren):
        node = node.this
    return (
        [part for each in node.flatten() for part in conjuncts(each)] if isinstance(node, exp.And) else [node]
    )


def columns_of(node: exp.Expr) -> set[str]:
    """Return the physical columns of an expression."""
    return {column.name for column in node.find_all(exp.Column)}


def resolvable(query: QueryText, node: exp.Expr, relation: Relation) -> exp.Expr | None:
    """Return a condition with physical names; None if it names columns of other tables."""
    try:
        return bind(query, node, relation)
    except QueryError:
        return None


def sorted_out(query: QueryText, found: Iterable[exp.Expr], left: Relation, right: Relation) -> Conditions:
    """Return conditions, with physical names, by what they do.

    Parameters
    ----------
    query
        The text.
    found
        The conditions.
    left, right
        Both sides.
    """
    conditions = Conditions()
    sides = set(physical(left)), set(physical(right))
    for each in found:
        columns = columns_of(each)
        if columns <= sides[0]:
            conditions.left.append(each)
        elif columns <= sides[1]:
            conditions.right.append(each)
        elif (bound := time_bound(query, each, left.schema, right.schema)) is not None:
            at = (bound.left, bound.right)
            known, causes = conditions.bounds.get(at, (TimeBound(*at), []))
            conditions.bounds[at] = known & bound, [*causes, each]
        elif (pair := key_pair(each, sides)) is not None:
            conditions.keys.append(pair)
        else:
            conditions.both.append(each)
    return conditions


def physical(relation: Relation) -> list[str]:
    """Return the physical columns, with those of windows that are not computed yet."""
    return list(dict.fromkeys([*relation.schema, *(name.physical for name in relation.names)]))


def key_pair(node: exp.Expr, sides: Sequence[set[str]]) -> tuple[exp.Expr, exp.Expr] | None:
    """Return the expressions of an equation, that of the left first; None if it is none of both sides."""
    if not isinstance(node, exp.EQ):
        return None
    one, other = node.this, node.expression
    ones, others = columns_of(one), columns_of(other)
    if not ones or not others:
        return None
    if ones <= sides[0] and others <= sides[1]:
        return one, other
    return (other, one) if ones <= sides[1] and others <= sides[0] else None


def unused_columns(schema: pl.Schema, names: Iterable[str]) -> list[str]:
    """Return the columns that are not among `names`."""
    kept = set(names)
    return [name for name in schema if name not in kept]
