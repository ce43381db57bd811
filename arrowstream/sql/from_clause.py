"""FROM: tables, subqueries, functions of windows, and joins of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from sqlglot import exp

from arrowstream.sql.groups.ranking import checked, limited
from arrowstream.sql.groups.windows import in_from, is_window
from arrowstream.sql.joins.conditions import columns_of, conjuncts, physical, resolvable
from arrowstream.sql.joins.join import How, Join, apart, filtered
from arrowstream.sql.places import QueryText
from arrowstream.sql.relation import Relation, bind, find, same


@dataclass(frozen=True, slots=True)
class FromClause:
    """Reads FROM.

    Parameters
    ----------
    query
        The text.
    table
        Gives the rows of a table by its name.
    subquery
        Gives the rows of a query.
    """

    query: QueryText
    table: Callable[[exp.Expr, str], Relation]
    subquery: Callable[[exp.Expr], Relation]

    def read(self, node: exp.Expr) -> Relation:
        """Return the rows of FROM and WHERE of a SELECT.

        Raises
        ------
        QueryError
            There is no FROM, or a join is not possible.
        """
        first = node.args.get("from_")
        if first is None:
            raise self.query.error(node, "a SELECT reads from something", expected="SELECT ... FROM table")
        items = [self._item(first.this)]
        joins = node.args.get("joins") or []
        items += [self._item(join.this) for join in joins]
        where = node.args.get("where")
        conditions = conjuncts(None if where is None else where.this)
        items, conditions = self._limited(node, items, conditions)
        self._check_names(conditions, items, joins)
        relation = items[0]
        hows = [self._how(join) for join in joins]
        for number, (join, item) in enumerate(zip(joins, items[1:], strict=True)):
            # A condition holds before a join as after it, unless a FULL JOIN is still to add rows of nulls.
            later = conditions if "full" in hows[number:] else []
            if not later:
                conditions, relation = self._filtered(conditions, relation)
            relation, conditions = self._joined(join, relation, item, [] if later else conditions)
            conditions = later or conditions
        bound = [bind(self.query, each, relation) for each in conditions]
        return filtered(self.query, relation, bound)

    def _limited(
        self, node: exp.Expr, items: list[Relation], conditions: list[exp.Expr]
    ) -> tuple[list[Relation], list[exp.Expr]]:
        """Return tables with the first rows of those that are numbered, and the other conditions."""
        made = []
        for item in items:
            ranking = item.ranking
            wanted = ranking is not None and _asks(node, ranking.name)
            limited_item, conditions = limited(self.query, item, conditions, wanted)
            made.append(limited_item)
        return made, conditions

    def _check_names(self, conditions: list[exp.Expr], items: list[Relation], joins: list[exp.Expr]) -> None:
        """Raise for a name without a table that several tables of this FROM have."""
        shared = {name.name.lower() for join in joins for name in join.args.get("using") or ()}
        for condition in conditions:
            for column in condition.find_all(exp.Column):
                if column.table or column.name.lower() in shared:
                    continue
                tables = [
                    item for item in items if any(same(name.column, column.name) for name in item.names)
                ]
                if len(tables) > 1:
                    names = tuple(name for item in tables for name in item.names)
                    find(self.query, column, replace(tables[0], names=names))

    def _filtered(self, conditions: list[exp.Expr], relation: Relation) -> tuple[list[exp.Expr], Relation]:
        kept, applied = [], []
        for each in conditions:
            bound = resolvable(self.query, each, relation)
            if bound is None or not columns_of(bound) <= set(relation.schema):
                kept.append(each)
            else:
                applied.append(bound)
        return kept, filtered(self.query, relation, applied)

    def _item(self, node: exp.Expr) -> Relation:
        for clause in ("joins", "laterals", "pivots", "sample", "match_recognize"):
            if node.args.get(clause):
                raise self.query.error(
                    node, f"{clause.upper()} of a table is not part of the SQL of pipelines"
                )
        if not isinstance(node, exp.Table | exp.Subquery):
            raise self.query.error(
                node,
                f"{node.key.upper()} is not part of the SQL of pipelines",
                expected="FROM t, or FROM (SELECT ...) AS t",
                found=self.query.source(node),
                hint=_INSTEAD.get(node.key),
            )
        alias = node.args.get("alias")
        if alias is not None and alias.args.get("columns"):
            raise self.query.error(
                alias,
                "names of columns do not stand here",
                expected="AS t",
                hint="name them in the subquery, by AS",
            )
        if isinstance(node, exp.Subquery):
            found = self.subquery(node.this)
            return found.called(node.alias) if node.alias else found
        if is_window(node.this):
            return self._windows(node)
        if not isinstance(node.this, exp.Identifier):
            raise self.query.error(
                node,
                "FROM takes tables and subqueries",
                expected="FROM t, or FROM TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '10' SECOND)",
                found=self.query.source(node.this),
                hint="TUMBLE, HOP and SESSION are the functions of windows"
                if same(node.this.name, "CUMULATE")
                else None,
            )
        if node.args.get("db"):
            raise self.query.error(
                node, "a table has one name", expected=node.name, found=self.query.source(node)
            )
        return self.table(node, node.name).called(node.alias or node.name)

    def _windows(self, node: exp.Expr) -> Relation:
        call = node.this
        first = call.expressions[0] if call.expressions else None
        match first:
            case exp.Column() if not first.table:
                relation = self.table(first, first.name)
            case exp.Subquery():
                relation = checked(self.query, self.subquery(first.this))
            case _:
                raise self.query.error(
                    call,
                    f"{call.name.upper()} takes a table",
                    expected=f"{call.name.upper()}(TABLE t, DESCRIPTOR(ts), INTERVAL '10' SECOND)",
                    found=self.query.source(call),
                )
        name = node.alias or (first.name if isinstance(first, exp.Column) else "")
        found = in_from(self.query, call, relation)
        return found.called(name) if name else found

    def _joined(
        self, node: exp.Expr, left: Relation, right: Relation, conditions: list[exp.Expr]
    ) -> tuple[Relation, list[exp.Expr]]:
        """Return a join, and the conditions of WHERE that it has not taken over."""
        how = self._how(node)
        right = apart(left, right)
        # Conditions may name columns of both, whatever comes out.
        both = replace(left, names=left.names + right.names, pending=None)
        using = node.args.get("using") or ()
        found = [self._equal(name, left, right) for name in using]
        found += [bind(self.query, each, both) for each in conjuncts(node.args.get("on"))]
        if using:
            shared = {name.name.lower() for name in using}
            hidden = tuple(
                replace(name, hidden=name.hidden or name.column.lower() in shared) for name in right.names
            )
            right = replace(right, names=hidden)
            both = replace(both, names=left.names + right.names)
        if how == "inner":
            taken = [(each, resolvable(self.query, each, both)) for each in conditions]
            others = set(physical(right))
            moved = [bound for _, bound in taken if bound is not None and columns_of(bound) & others]
            conditions = [each for each, bound in taken if bound is None or not columns_of(bound) & others]
            found += moved
        if left.pending is not None or right.pending is not None:
            both = replace(both, pending=None)
        return Join(self.query, node, how, left, right).on(found), conditions

    def _equal(self, name: exp.Expr, left: Relation, right: Relation) -> exp.Expr:
        """Return the equation of USING."""
        columns = []
        for side in (left, right):
            column = exp.Column(this=name.copy())
            columns.append(bind(self.query, column, side))
        return exp.EQ(this=columns[0], expression=columns[1])

    def _how(self, node: exp.Expr) -> How:
        kind, side = (str(node.args.get(word) or "").upper() for word in ("kind", "side"))
        method = str(node.args.get("method") or "").upper()
        if kind in ("SEMI", "ANTI") and side in ("", "LEFT"):
            return "semi" if kind == "SEMI" else "anti"
        if method or kind not in ("", "INNER", "CROSS", "OUTER") or side == "RIGHT":
            word = " ".join(filter(None, (method, side, kind)))
            raise self.query.error(
                node,
                f"{word} JOIN is not part of the SQL of pipelines",
                expected="JOIN, LEFT JOIN, FULL JOIN, SEMI JOIN or ANTI JOIN, with ON or USING",
                hint="write the tables the other way round, with LEFT JOIN" if side == "RIGHT" else None,
            )
        if side == "FULL" and node.args.get("using"):
            raise self.query.error(node, "FULL JOIN takes ON", expected="ON a.x = b.x", found="USING")
        return "full" if side == "FULL" else "left" if side == "LEFT" else "inner"


def _asks(node: exp.Expr, name: str) -> bool:
    """Return whether a SELECT names a column elsewhere than in WHERE, or all columns."""
    parts = [
        *node.expressions,
        *(node.args.get(clause) for clause in ("group", "having", "qualify", "order")),
    ]
    columns = [part for each in parts if each is not None for part in each.find_all(exp.Column, exp.Star)]
    return any(
        isinstance(part, exp.Star) or isinstance(part.this, exp.Star) or same(part.name, name)
        for part in columns
    )


_INSTEAD = {
    "unnest": "explode a list before, by .explode(...)",
    "lateral": "join it, as in JOIN (SELECT ... GROUP BY x) AS t ON ...",
    "values": "give the rows as a table of the query, such as a frame",
}
