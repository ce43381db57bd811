"""The columns of a table that a query names: only these are read and carried along."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from sqlglot import exp

from arrowstream.operators.select import Select
from arrowstream.operators.with_event_time import Watermarks
from arrowstream.pipeline import Builder
from arrowstream.plan.graph import Step


def columns_used(query: exp.Expr) -> tuple[set[str], set[str]]:
    """Return the names of columns anywhere in a query, and the tables of which it takes all, in lower case.

    A column counts for every table that has one of its name.
    """
    names = {column.name.lower() for column in query.find_all(exp.Column)}
    names |= {name.name.lower() for join in query.find_all(exp.Join) for name in join.args.get("using") or ()}
    tables: set[str] = set()
    for select in query.find_all(exp.Select):
        if any(_is_star(each) for each in select.expressions):
            sources = [select.args.get("from_"), *(select.args.get("joins") or ())]
            tables |= {table for source in sources if source is not None for table in _tables(source.this)}
    return names, tables


def _is_star(item: exp.Expr) -> bool:
    return isinstance(item, exp.Star) or (isinstance(item, exp.Column) and isinstance(item.this, exp.Star))


def _tables(source: exp.Expr) -> list[str]:
    """Return the table that a part of FROM reads; a subquery says itself what it reads."""
    if not isinstance(source, exp.Table):
        return []
    if isinstance(source.this, exp.Anonymous):
        return [each.name.lower() for each in source.this.expressions[:1]]
    return [source.name.lower()]


def only(builder: Builder, columns: Collection[str], kept: Collection[str]) -> Builder:
    """Return a builder without the columns that a query does not name.

    Parameters
    ----------
    builder
        Gives the rows.
    columns
        Its columns.
    kept
        Those that the query names. If its last step gives event time, columns are left out before it, where a source
        can leave them out of its read.
    """
    steps = builder.graph.steps
    last = steps[-1].operator if steps else None
    wanted = {*kept, last.column} if isinstance(last, Watermarks) else set(kept)
    chosen = [name for name in columns if name in wanted] or [next(iter(columns))]
    if len(chosen) == len(columns):
        return builder
    if not isinstance(last, Watermarks):
        return builder.select(*chosen)
    return Builder(replace(builder.graph, steps=(*steps[:-1], Step(Select.of(*chosen)), steps[-1])))
