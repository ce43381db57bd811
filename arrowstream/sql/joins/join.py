"""Joins: with a table that ends, in which rows are looked up, or of streams within a time.

A condition on the event times of both sides makes a join of streams, as does one on the windows that their rows are
in. Any other join looks rows up in the right side, which is read to its end before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import polars as pl
from sqlglot import exp

from arrowstream.pipeline import Builder
from arrowstream.sql.expressions.comparisons import operands
from arrowstream.sql.expressions.reader import ExpressionReader
from arrowstream.sql.groups.windows import materialized
from arrowstream.sql.joins.conditions import Conditions, columns_of, sorted_out
from arrowstream.sql.joins.time_bounds import TimeBound
from arrowstream.sql.places import QueryText
from arrowstream.sql.relation import Name, Relation, fresh

How = Literal["inner", "left", "full", "semi", "anti"]

_PAIRED = ("inner", "left", "full")


@dataclass(frozen=True, slots=True)
class Join:
    """Two tables and how they are joined.

    Parameters
    ----------
    query
        The text.
    node
        The JOIN in it.
    how
        ``"inner"``, ``"left"``, ``"full"``, ``"semi"`` or ``"anti"``.
    left, right
        The tables; no physical column of one has the name of one of the other.
    """

    query: QueryText
    node: exp.Expr
    how: How
    left: Relation
    right: Relation

    def on(self, found: list[exp.Expr]) -> Relation:
        """Return the rows of the join.

        Parameters
        ----------
        found
            The conditions, with physical names.

        Raises
        ------
        QueryError
            The conditions need rows that may come at any time, or cannot be checked for rows without a partner.
        """
        left, right = (materialized(self.query, side) for side in (self.left, self.right))
        conditions = sorted_out(self.query, found, left, right)
        join = replace(self, left=left, right=right)._sided(conditions)
        bound = join._stream_bound(conditions)
        if bound is None:
            return join._looked_up(conditions)
        return join._of_streams(conditions, bound)

    def _sided(self, conditions: Conditions) -> Join:
        """Return the join with the conditions of one side put before it, where that gives the same."""
        left, right = self.left, self.right
        if conditions.right:
            if self.how == "full":
                raise self._refused(conditions.right[0], "FULL JOIN takes conditions of both sides")
            right = filtered(self.query, right, conditions.right)
        if conditions.left:
            if self.how in ("inner", "semi"):
                left = filtered(self.query, left, conditions.left)
            else:
                # A row of the left stays, whatever the condition: it meets no partner where that is not true.
                (first, *_) = conditions.left
                raise self._refused(first, f"{self.how.upper()} JOIN takes conditions of the right side")
        return replace(self, left=left, right=right)

    def _refused(self, node: exp.Expr, what: str) -> Exception:
        return self.query.error(
            node,
            what,
            found=self.query.source(node),
            hint="filter in a subquery, as in JOIN (SELECT ... WHERE ...) AS t ON ..., or in WHERE",
        )

    def _stream_bound(self, conditions: Conditions) -> TimeBound | None:
        """Return the bound of event times that makes this a join of streams, and take it out of the conditions."""
        for at, (bound, _) in conditions.bounds.items():
            if bound.is_complete and self._are_times(bound.left, bound.right):
                del conditions.bounds[at]
                return bound
        for left, right in conditions.bounds:
            mine, others = self.left.window_of(left), self.right.window_of(right)
            if mine is None or others is None or mine.time is None or others.time is None:
                continue
            # Rows of one window are less than its size apart.
            size = max(mine.size_us, others.size_us)
            return TimeBound(mine.time, others.time, -size, size)
        return None

    def _are_times(self, left: str, right: str) -> bool:
        return all(
            name in side.times or not side.has_watermarks
            for side, name in ((self.left, left), (self.right, right))
        )

    def _remaining(self, conditions: Conditions) -> list[exp.Expr]:
        """Return conditions on both sides that are checked for pairs, and make keys of the equations among them."""
        remaining = list(conditions.both)
        for _, causes in conditions.bounds.values():
            for cause in causes:
                if isinstance(cause, exp.EQ):
                    pair = (cause.this, cause.expression)
                    left_first = columns_of(cause.this) <= set(self.left.schema)
                    conditions.keys.append(pair if left_first else (pair[1], pair[0]))
                else:
                    remaining.append(cause)
        return remaining

    def _looked_up(self, conditions: Conditions) -> Relation:
        remaining = self._remaining(conditions)
        if not conditions.keys:
            raise self.query.error(
                self.node,
                "a join needs keys",
                expected="ON a.x = b.y, or close event times: a.ts BETWEEN b.ts - INTERVAL '10' SECOND AND b.ts",
                found=self.query.source(self.node),
            )
        if self.right.endless:
            if self.how == "inner" and not self.left.endless:
                return replace(self, left=self.right, right=self.left)._swapped(conditions, remaining)
            raise self.query.error(
                self.node,
                "rows of a stream without an end could meet partners at any time",
                expected="a table that ends on the right, or event times that are close: "
                "a.ts BETWEEN b.ts - INTERVAL '10' SECOND AND b.ts",
                found=" and ".join(s.label for s in self.right.builder.graph.sources if s.endless),
            )
        if self.how == "full":
            raise self.query.error(
                self.node,
                "FULL JOIN is for streams",
                expected="LEFT JOIN, or a condition on event times",
                found=self.query.source(self.node),
            )
        left, right, keys = self._keyed(conditions)
        builder = left.join(right, left_on=keys[0], right_on=keys[1], how=self.how)
        return self._filtered(builder, keys, remaining, streams=False)

    def _swapped(self, conditions: Conditions, remaining: list[exp.Expr]) -> Relation:
        conditions.keys = [(right, left) for left, right in conditions.keys]
        left, right, keys = self._keyed(conditions)
        builder = left.join(right, left_on=keys[0], right_on=keys[1])
        return self._filtered(builder, keys, remaining, streams=False)

    def _of_streams(self, conditions: Conditions, bound: TimeBound) -> Relation:
        remaining = self._remaining(conditions)
        least, most = bound.least_us, bound.most_us
        assert least is not None and most is not None
        if least > 0 or most < 0:
            names = (bound.left, bound.right)
            left, right = (exp.Column(this=exp.Identifier(this=name, quoted=True)) for name in names)
            apart = exp.Interval(
                this=exp.Literal.string(str(abs(least if least > 0 else most))),
                unit=exp.Var(this="MICROSECOND"),
            )
            shifted = (
                exp.Add(this=left, expression=apart) if least > 0 else exp.Sub(this=left, expression=apart)
            )
            remaining.append((exp.GTE if least > 0 else exp.LTE)(this=right, expression=shifted))
        left_rows, right_rows, keys = self._keyed(conditions, bound)
        builder = left_rows.join(
            right_rows,
            left_on=keys[0],
            right_on=keys[1],
            how=self.how,
            within=(f"{max(-least, 0)}us", f"{max(most, 0)}us"),
            time=(bound.left, bound.right),
        )
        return self._filtered(builder, keys, remaining, streams=True)

    def _keyed(
        self, conditions: Conditions, bound: TimeBound | None = None
    ) -> tuple[Builder, Builder, tuple[list[str], list[str]]]:
        """Return both sides with columns to join by, and their names.

        A column is joined by as it is where the join gives it back on both sides; else by a copy.
        """
        sides = (self.left, self.right)
        readers = tuple(ExpressionReader(self.query, side.schema) for side in sides)
        made: tuple[dict[str, pl.Expr], dict[str, pl.Expr]] = ({}, {})
        keys: tuple[list[str], list[str]] = ([], [])
        pairs = conditions.keys or [(exp.true(), exp.true())]
        for number, pair in enumerate(dict.fromkeys(pairs), 1):
            values = operands(
                self.query,
                self.node,
                *(reader.read(part) for reader, part in zip(readers, pair, strict=True)),
            )
            plain = True
            for port, (part, value) in enumerate(zip(pair, values, strict=True)):
                side = sides[port]
                # The key of the right is given back under the name of the left's: a copy there needs one here.
                plain &= isinstance(part, exp.Column) and side.schema[part.name] == value.dtype
                # Outer joins lose the keys of the side that has no partner; a column may be a key once.
                lost = self.how == "full" or (self.how == "left" and port == 1)
                times = () if bound is None else (bound.left, bound.right)
                if plain and not lost and part.name not in keys[port] and part.name not in times:
                    keys[port].append(part.name)
                    continue
                plain = False
                name = fresh(f"key {number}", [*side.schema, *made[port]])
                made[port][name] = value.expr
                keys[port].append(name)
        builders = [
            side.builder.with_columns(*(expr.alias(name) for name, expr in new.items()))
            if new
            else side.builder
            for side, new in zip(sides, made, strict=True)
        ]
        return builders[0], builders[1], keys

    def _filtered(
        self, builder: Builder, keys: tuple[list[str], list[str]], remaining: list[exp.Expr], *, streams: bool
    ) -> Relation:
        """Return the joined rows, once other conditions hold for them, too."""
        if remaining and self.how != "inner":
            raise self.query.error(
                self.node,
                f"{self.how.upper()} JOIN takes equations between its sides, and bounds of event times",
                expected="ON a.x = b.y",
                found=self.query.source(remaining[0]),
            )
        paired = self.how in _PAIRED
        # The key of the right is that of the left, but where it is a copy.
        same = {right: left for left, right in zip(*keys, strict=True) if right in self.right.schema}
        names = self.left.names
        if paired:
            names += tuple(
                replace(name, physical=same.get(name.physical, name.physical)) for name in self.right.names
            )
        schema = dict(self.left.schema)
        if paired:
            schema |= {name: dtype for name, dtype in self.right.schema.items() if name not in same}
        helpers = [name for name in keys[0] if name not in schema]
        if helpers:
            builder = builder.drop(*helpers)
        times, windows = self.left.times, self.left.windows
        if streams and self.how == "inner":
            renamed = {name: same.get(name, name) for name in self.right.schema}
            right_times, right_windows = self.right.kept(renamed)
            times, windows = times | right_times, windows + right_windows
        elif self.how == "full":
            times, windows = frozenset(), ()
        joined = Relation(builder, pl.Schema(schema), names, times, windows)
        return filtered(self.query, joined, [renamed_columns(each, same) for each in remaining])


def renamed_columns(node: exp.Expr, names: Mapping[str, str]) -> exp.Expr:
    """Return an expression with other physical names for some columns."""

    def changed(part: exp.Expr) -> exp.Expr:
        if not isinstance(part, exp.Column) or part.name not in names:
            return part
        made = exp.Identifier(this=names[part.name], quoted=True)
        made.meta.update(part.this.meta)
        return exp.Column(this=made)

    found: exp.Expr = node.transform(changed)
    return found


def filtered(query: QueryText, relation: Relation, conditions: list[exp.Expr]) -> Relation:
    """Return the rows for which conditions, with physical names, are true."""
    if not conditions:
        return relation
    relation = materialized(query, relation) if _names_bounds(relation, conditions) else relation
    expressions = ExpressionReader(query, relation.schema)
    builder = relation.builder.filter(*(expressions.condition(each).expr for each in conditions))
    return replace(relation, builder=builder)


def _names_bounds(relation: Relation, conditions: list[exp.Expr]) -> bool:
    return any(name not in relation.schema for each in conditions for name in columns_of(each))


def apart(left: Relation, right: Relation) -> Relation:
    """Return the right with other physical names for columns that the left has, too."""
    taken = {*left.schema, *(name.physical for name in left.names)}
    renamed: dict[str, str] = {}
    for name in right.names:
        if name.physical in taken and name.physical in right.schema:
            label = f"{name.table}.{name.column}" if name.table else name.column
            renamed[name.physical] = fresh(label, [*taken, *right.schema, *renamed.values()])
    hidden = {
        name: fresh(name, [*taken, *right.schema, *renamed.values()])
        for name in right.schema
        if name in taken
    }
    renamed = {**hidden, **renamed}
    if not renamed:
        return right
    every = {name: renamed.get(name, name) for name in right.schema}
    times, windows = right.kept(every)
    pending = right.pending
    if pending is not None:
        by = tuple(every[name] for name in pending.by)
        pending = replace(pending, on=every[pending.on], by=by)
    return replace(
        right,
        builder=right.builder.rename({old: new for old, new in renamed.items() if old in right.schema}),
        schema=pl.Schema({every[name]: dtype for name, dtype in right.schema.items()}),
        names=tuple(_moved(name, every, taken, right) for name in right.names),
        times=times,
        windows=windows,
        pending=pending,
    )


def _moved(name: Name, every: dict[str, str], taken: set[str], right: Relation) -> Name:
    """Return a name with its new physical column; bounds that are not computed yet have none in the schema."""
    if name.physical in every:
        return replace(name, physical=every[name.physical])
    return replace(name, physical=fresh(name.physical, [*taken, *right.schema, *every.values()]))
