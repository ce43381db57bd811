"""A query as a builder: tables by name, WITH, UNION ALL, and SELECT."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import takewhile
from typing import Any

import polars as pl
from sqlglot import exp

from arrowstream.connectors.source import Source
from arrowstream.core.hints import did_you_mean
from arrowstream.errors import PlanError
from arrowstream.io.source import EventTimeSource, SourceSpec
from arrowstream.pipeline import Builder, Pipeline
from arrowstream.sql.columns_used import columns_used, only
from arrowstream.sql.expressions.typed import common, name_of
from arrowstream.sql.from_clause import FromClause
from arrowstream.sql.grammar import parse
from arrowstream.sql.groups.grouping import selected
from arrowstream.sql.groups.ranking import checked
from arrowstream.sql.order import first
from arrowstream.sql.places import QueryText
from arrowstream.sql.relation import Name, Relation, same
from arrowstream.sql.select import select
from arrowstream.sql.whole import check_whole


def build(text: str, tables: Mapping[str, Any], name: str = "sql") -> Builder:
    """Return the builder of a query; `Pipeline.sql` describes the arguments.

    Parameters
    ----------
    text
        The query.
    tables
        Builders, sources, frames and paths by the names that they have in it.
    name
        The pipeline's name.
    """
    if not isinstance(text, str):
        raise PlanError(
            "sql() takes a query as text", expected='"SELECT ... FROM bids"', found=type(text).__name__
        )
    query, node = parse(text)
    check_whole(query, node)
    builders = {table: _builder(table, given) for table, given in tables.items()}
    relation = checked(query, _Queries(query, node, builders).read(node))
    return Builder(replace(relation.builder.graph, name=name, query=text))


def _builder(table: str, given: Any) -> Builder:
    """Return what gives the rows of a table."""
    if isinstance(given, Builder):
        if given.graph.source is None or not given.graph.has_output:
            raise PlanError(
                f"the table {table!r} has no rows",
                expected="a builder with a source and without a sink",
                found="no source" if given.graph.source is None else "a sink",
            )
        return given
    if isinstance(given, SourceSpec | EventTimeSource):
        source: SourceSpec | EventTimeSource = given
    elif isinstance(given, str | os.PathLike):
        source = Source.from_file(given)
    else:
        source = Source.from_frame(given)
    return Pipeline.builder(table).source(source)


class _Queries:
    """Reads queries over tables.

    Parameters
    ----------
    query
        The text.
    node
        The whole query.
    tables
        Builders by name.
    """

    def __init__(self, query: QueryText, node: exp.Expr, tables: Mapping[str, Builder]) -> None:
        self._query = query
        self._tables = tables
        self._read: set[str] = set()
        self._names, self._whole = columns_used(node)
        self._common: dict[str, exp.Expr] = {}

    def read(self, node: exp.Expr) -> Relation:
        """Return the rows of a query."""
        outer = self._common
        with_ = node.args.get("with_")
        if with_ is not None:
            if with_.args.get("recursive"):
                raise self._query.error(
                    with_, "WITH RECURSIVE reads its own rows", hint="write the query without it"
                )
            self._common = {**outer, **self._named(with_.expressions)}
        try:
            return self._limited(node, self._rows(node))
        finally:
            self._common = outer

    def _named(self, tables: Sequence[exp.Expr]) -> dict[str, exp.Expr]:
        """Return the tables of a WITH by their names in lower case."""
        named: dict[str, exp.Expr] = {}
        for each in tables:
            if each.alias.lower() in named:
                raise self._query.error(
                    each.args["alias"],
                    f"WITH has two tables called {each.alias}",
                    expected="a name for each",
                    found=each.alias,
                )
            named[each.alias.lower()] = each
        return named

    def _rows(self, node: exp.Expr) -> Relation:
        match node:
            case exp.Select():
                return self._select(node)
            case exp.SetOperation():
                return self._union(node)
            case exp.Subquery():
                return self.read(node.this)
        raise self._query.error(
            node,
            f"{node.key.upper()} is no query",
            expected="SELECT ... FROM ...",
            found=node.key.upper(),
            hint="rows are written by .sink(...)" if isinstance(node, exp.Insert | exp.Create) else None,
        )

    def _select(self, node: exp.Expr) -> Relation:
        self._refuse(node)
        clause = FromClause(self._query, self._table, self.read)
        return select(self._query, node, clause.read(node))

    def _refuse(self, node: exp.Expr) -> None:
        """Raise for a clause that no step does."""
        for name, (what, hint) in _REFUSED.items():
            clause = node.args.get(name)
            if clause:
                first = clause[0] if isinstance(clause, list) else clause
                raise self._query.error(self._query.clause(first, *_WORDS.get(name, ())), what, hint=hint)

    def _limited(self, node: exp.Expr, relation: Relation) -> Relation:
        if not any(node.args.get(name) for name in ("order", "limit", "offset")):
            return relation
        return first(self._query, node, checked(self._query, relation))

    def _union(self, node: exp.Expr) -> Relation:
        if type(node) is not exp.Union or node.args.get("by_name"):
            raise self._query.error(node, f"{node.key.upper()} needs all rows at once", expected="UNION ALL")
        if node.args.get("distinct"):
            raise self._query.error(
                self._query.clause(node.expression, "UNION"),
                "UNION without ALL compares all rows",
                expected="UNION ALL",
                hint="SELECT DISTINCT over a UNION ALL in FROM",
            )
        left, right = self.read(node.this), self.read(_numbered(node.expression))
        return self._merged(node, left, right)

    def _merged(self, node: exp.Expr, left: Relation, right: Relation) -> Relation:
        left, right = (checked(self._query, side) for side in (left, right))
        if len(left.schema) != len(right.schema):
            raise self._query.error(
                self._query.clause(node.expression, "UNION"),
                "both sides of UNION ALL have the same columns",
                expected=", ".join(left.schema),
                found=", ".join(right.schema),
            )
        types = {}
        for (name, one), (other_name, other) in zip(left.schema.items(), right.schema.items(), strict=True):
            both = common(one, other)
            if both is None:
                raise self._query.error(
                    self._query.clause(node.expression, "UNION"),
                    f"the column {name} has another type on the other side",
                    expected=f"{name} {name_of(one)}",
                    found=f"{other_name} {name_of(other)}",
                    hint="write CAST(... AS ...) in one of the queries",
                )
            types[name] = both
        sides = [
            selected(
                side.builder,
                {name: pl.col(old).cast(types[name]) for name, old in zip(types, side.schema, strict=True)},
            )
            if list(side.schema.items()) != list(types.items())
            else side.builder
            for side in (left, right)
        ]
        positions = dict(zip(right.schema, types, strict=True))
        times = left.times & right.kept(positions)[0]
        windows = tuple(each for each in left.windows if each in right.kept(positions)[1])
        names = tuple(Name(None, name, name) for name in types)
        return Relation(sides[0].merge(sides[1]), pl.Schema(types), names, times, windows)

    def _table(self, node: exp.Expr, name: str) -> Relation:
        cte = self._common.get(name.lower())
        if cte is not None:
            # It sees those before it, and itself only as a table.
            outer = self._common
            before = dict(takewhile(lambda item: item[1] is not cte, outer.items()))
            self._common = before
            try:
                return self._renamed(cte, self.read(cte.this))
            finally:
                self._common = outer
        tables = [table for table in self._tables if table == name]
        tables = tables or [table for table in self._tables if same(table, name)]
        if len(tables) != 1:
            known = [*self._tables, *(each.alias for each in self._common.values())]
            raise self._query.error(
                node,
                f"no table is called {name}",
                expected=" or ".join(known) or "Pipeline.sql(query, name=builder)",
                found=name,
                hint=did_you_mean(name, known),
            )
        return self._relation(node, tables[0])

    def _renamed(self, cte: exp.Expr, relation: Relation) -> Relation:
        """Return the rows of a table of WITH under the names that ``WITH t(a, b)`` gives its columns."""
        columns = cte.args["alias"].args.get("columns")
        if not columns:
            return relation
        relation = checked(self._query, relation)
        new = [each.name for each in columns]
        if len(new) != len(relation.names) or len({name.lower() for name in new}) != len(new):
            raise self._query.error(
                columns[0],
                f"the names in brackets after {cte.alias} are not those of its columns",
                expected=f"{len(relation.names)} different names, for "
                f"{', '.join(name.column for name in relation.names)}",
                found=", ".join(new),
            )
        names = tuple(replace(name, column=other) for name, other in zip(relation.names, new, strict=True))
        return replace(relation, names=names)

    def _relation(self, node: exp.Expr, table: str) -> Relation:
        builder = self._tables[table]
        if table in self._read:
            self._check_twice(node, table, builder)
        self._read.add(table)
        schema = builder.schema()
        if schema is None:
            raise self._query.error(
                node,
                f"the columns of {table} are not known before it runs",
                expected="a source with a schema",
                found=" and ".join(source.label for source in builder.graph.sources),
                hint="give its source a schema=",
            )
        if table.lower() in self._whole:
            return Relation.of(builder, schema)
        kept = [name for name in schema if name.lower() in self._names]
        builder = only(builder, schema, kept)
        found = builder.schema()
        assert found is not None, "a choice of columns leaves their types known"
        return replace(
            Relation.of(builder, found), left_out=tuple(name for name in schema if name not in found)
        )

    def _check_twice(self, node: exp.Expr, table: str, builder: Builder) -> None:
        """Raise if a table is read again whose rows can be read once only."""
        once = [source for source in builder.graph.sources if source.read_once]
        if once:
            raise self._query.error(
                node,
                f"the query reads {table} twice, and its rows come once only",
                expected="a table that can be read again, such as files or a frame",
                found=" and ".join(source.label for source in once),
                hint="write the rows to files first, or the pipeline in Python, where .split(...) parts a stream",
            )


def _numbered(node: exp.Expr) -> exp.Expr:
    """Return a query of UNION ALL with names for its columns, which come from the first one."""
    if isinstance(node, exp.Select):
        for number, each in enumerate(node.expressions, 1):
            if not isinstance(each, exp.Alias) and not each.is_star:
                each.replace(exp.alias_(each.copy(), f"column {number}", quoted=True))
    return node


_REFUSED: dict[str, tuple[str, str | None]] = {
    "laterals": (
        "LATERAL VIEW is not part of the SQL of pipelines",
        "explode a list before, by .explode(...)",
    ),
    "windows": ("WINDOW is not part of the SQL of pipelines", "write OVER (...) in full"),
    "sample": ("a sample differs from run to run", None),
    "connect": ("CONNECT BY is not part of the SQL of pipelines", None),
    "into": ("INTO writes rows", "rows are written by .sink(...)"),
    "locks": ("FOR UPDATE locks rows", "leave it out"),
}
_WORDS = {"windows": ("WINDOW",), "into": ("INTO",)}
