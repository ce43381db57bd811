"""GROUP BY: windows where it names their bounds or event times, else groups of the whole stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import polars as pl
from sqlglot import exp

from arrowstream.connectors.source import Source
from arrowstream.pipeline import Builder, Pipeline
from arrowstream.sql.expressions.reader import ExpressionReader
from arrowstream.sql.groups.aggregates import aggregate
from arrowstream.sql.groups.windows import END, START, in_group_by, is_window, length, materialized
from arrowstream.sql.places import QueryText
from arrowstream.sql.relation import Name, PendingWindow, Relation, WindowColumns, fresh


@dataclass(frozen=True, slots=True)
class QueryExpression:
    """An expression of a query.

    Parameters
    ----------
    written
        As the query has it.
    bound
        With the names of the builder's columns.
    """

    written: exp.Expr
    bound: exp.Expr


@dataclass(slots=True)
class _Columns:
    """The columns that a step needs, and what comes out.

    Parameters
    ----------
    before
        Expressions by name, which are computed for each row.
    keys
        Names of those to group by.
    states
        Aggregates by name.
    results
        Expressions of those, by name.
    schema
        Names and types of keys and results.
    known
        The names by the parts of the query that they hold.
    """

    before: dict[str, pl.Expr] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)
    states: dict[str, pl.Expr] = field(default_factory=dict)
    results: dict[str, pl.Expr] = field(default_factory=dict)
    schema: dict[str, pl.DataType] = field(default_factory=dict)
    known: dict[exp.Expr, str] = field(default_factory=dict)

    def fresh(self, name: str) -> str:
        """Return a name that no column has."""
        return fresh(name, (START, END, *self.before, *self.states, *self.results))


def grouped(
    query: QueryText,
    node: exp.Expr,
    relation: Relation,
    keys: Sequence[QueryExpression],
    calls: Sequence[QueryExpression],
) -> tuple[Relation, dict[exp.Expr, str]]:
    """Return one row for each group, and the columns by the parts of the query that they hold.

    Parameters
    ----------
    query
        The text.
    node
        The SELECT, for errors.
    relation
        The rows.
    keys
        What to group by.
    calls
        The functions of many rows.

    Raises
    ------
    QueryError
        The windows do not fit, or groups of a stream without an end would never come out.
    """
    window, keys = _window(query, relation, keys)
    if window is None:
        relation = materialized(query, relation)
    columns = _Columns()
    expressions = ExpressionReader(query, relation.schema)
    for key in keys:
        value = expressions.read(key.bound)
        name = key.bound.name if isinstance(key.bound, exp.Column) else query.source(key.written)
        name = columns.fresh(name)
        columns.before[name] = value.expr.cast(value.dtype) if value.constant else value.expr
        columns.keys.append(name)
        columns.schema[name] = value.dtype
        columns.known[key.bound] = name
    for call in calls:
        if call.bound not in columns.known:
            _add(query, expressions, call, columns)
    if window is not None:
        return _in_windows(relation, window, columns)
    if relation.endless:
        raise query.error(
            node,
            "groups come out at the end, and a source of the rows has none",
            expected="GROUP BY TUMBLE(ts, INTERVAL '10' SECOND), HOP(...) or SESSION(...), or a source that ends",
            found=" and ".join(source.label for source in relation.builder.graph.sources if source.endless),
        )
    return _in_all(relation, columns)


def _add(query: QueryText, expressions: ExpressionReader, call: QueryExpression, columns: _Columns) -> None:
    """Add a function of many rows."""
    made = aggregate(expressions, call.bound)
    result = columns.fresh(query.source(call.written))
    argument = columns.fresh(f"{result} of")
    columns.before[argument] = made.argument
    names = []
    for suffix, state in made.states.items():
        names.append(columns.fresh(f"{result}{suffix}"))
        columns.states[names[-1]] = state(pl.col(argument))
    columns.results[result] = made.result(*map(pl.col, names)).cast(made.dtype)
    columns.schema[result] = made.dtype
    columns.known[call.bound] = result


@dataclass(frozen=True, slots=True)
class _Window:
    """The windows to group by.

    Parameters
    ----------
    on
        The physical column of event times.
    size, every, session
        As the builder takes them.
    by
        Keys besides those of GROUP BY.
    starts, ends
        Parts of the query that stand for the bounds.
    columns
        What is known of the bounds afterwards.
    """

    on: str
    size: str | None
    every: str | None
    session: str | None
    starts: tuple[exp.Expr, ...]
    ends: tuple[exp.Expr, ...]
    every_us: int | None


def _window(
    query: QueryText, relation: Relation, keys: Sequence[QueryExpression]
) -> tuple[_Window | None, list[QueryExpression]]:
    """Return the windows that a GROUP BY names, and its other keys."""
    calls = [key for key in keys if is_window(key.bound)]
    others = [key for key in keys if not is_window(key.bound)]
    if len(calls) > 1:
        raise query.error(
            calls[1].written, "GROUP BY takes one function of windows", found=query.source(calls[1].written)
        )
    if relation.pending is not None:
        start, end = (_column(name.physical) for name in relation.names[-2:])
        bounds = [key for key in others if key.bound in (start, end)]
        if calls:
            raise query.error(
                calls[0].written, "the rows are in windows already", found=query.source(calls[0].written)
            )
        if not bounds:
            return None, others
        pending = relation.pending
        if pending.kind == "SESSION":
            _check_session(query, relation, pending, others, bounds)
        rest = [key for key in others if key.bound not in (start, end)]
        return _of(pending, (start,), (end,)), rest
    if calls:
        pending = in_group_by(query, calls[0].written, relation)
        arguments = calls[0].bound.expressions
        start, end = (
            exp.Anonymous(this=f"{pending.kind}_{bound}", expressions=[each.copy() for each in arguments])
            for bound in ("START", "END")
        )
        return _of(pending, (start,), (end,)), others
    return _of_windows(relation, others)


def _check_session(
    query: QueryText,
    relation: Relation,
    pending: PendingWindow,
    keys: Sequence[QueryExpression],
    bounds: Sequence[QueryExpression],
) -> None:
    """Raise unless a GROUP BY names the columns that sessions are of, and both of their bounds."""
    plain = {key.bound.name for key in keys if isinstance(key.bound, exp.Column)}
    bound_names = {name.physical for name in relation.names[-2:]}
    if len(bounds) < 2 or plain - bound_names != set(pending.by) or len(plain) != len(keys):
        raise query.error(
            bounds[0].written,
            "sessions are grouped by their bounds and by what they are of",
            expected=f"GROUP BY {', '.join([START, END, *pending.by])}",
            found=", ".join(query.source(key.written) for key in keys),
            hint="SESSION(TABLE t PARTITION BY k, DESCRIPTOR(ts), INTERVAL '10' SECOND) has sessions of each k",
        )


def _of(pending: PendingWindow, starts: tuple[exp.Expr, ...], ends: tuple[exp.Expr, ...]) -> _Window:
    if pending.kind == "SESSION":
        return _Window(pending.on, None, None, length(pending.size), starts, ends, None)
    every = None if pending.every == pending.size else length(pending.every)
    apart = None if pending.every[0] else pending.every[1]
    return _Window(pending.on, length(pending.size), every, None, starts, ends, apart)


def _of_windows(
    relation: Relation, keys: Sequence[QueryExpression]
) -> tuple[_Window | None, list[QueryExpression]]:
    """Return windows for rows that are grouped by an event time, such as the bounds of earlier windows.

    Rows of one time are in one window, which closes when the watermark has passed. Bounds of windows at equal
    distances are apart by that distance; others are in windows as short as the unit of the times.
    """
    times = [key for key in keys if isinstance(key.bound, exp.Column) and key.bound.name in relation.times]
    if not times:
        return None, list(keys)
    for key in times:
        known = relation.window_of(key.bound.name)
        if (
            known is not None
            and known.time is None
            and known.every_us is not None
            and key.bound.name == known.start
        ):
            rest = [other for other in keys if other.bound != key.bound]
            return _Window(
                known.start, length((0, known.every_us)), None, None, (key.bound,), (), known.every_us
            ), rest
    dtype = relation.schema[times[0].bound.name]
    tick = (
        "1ms"
        if isinstance(dtype, pl.Datetime) and dtype.time_unit == "ms"
        else "1d"
        if dtype == pl.Date
        else "1us"
    )
    return _Window(times[0].bound.name, tick, None, None, (), (), None), list(keys)


def _column(name: str) -> exp.Expr:
    return exp.Column(this=exp.Identifier(this=name, quoted=True))


def _in_windows(
    relation: Relation, window: _Window, columns: _Columns
) -> tuple[Relation, dict[exp.Expr, str]]:
    on = columns.fresh(window.on)
    before = selected(relation.builder, {on: pl.col(window.on), **columns.before})
    opened = before.window(
        size=window.size, every=window.every, session=window.session, on=on, by=columns.keys
    )
    dtype = relation.schema[window.on]
    states = columns.states or {columns.fresh("rows"): pl.len()}
    builder = opened.agg(*(state.alias(name) for name, state in states.items()))
    kept = [START, END, *columns.keys]
    builder = selected(builder, {**{name: pl.col(name) for name in kept}, **columns.results})
    schema = pl.Schema({START: dtype, END: dtype, **columns.schema})
    known = dict(columns.known)
    known |= dict.fromkeys(window.starts, START) | dict.fromkeys(window.ends, END)
    times: set[str] = {START, END} if window.starts else set()
    windows: tuple[WindowColumns, ...] = (WindowColumns(START, END, window.every_us),) if window.ends else ()
    # What was an event time, and is grouped by, is one afterwards.
    times |= {
        columns.known[key]
        for key in columns.known
        if key.name in relation.times and isinstance(key, exp.Column)
    }
    windows += _kept_windows(relation, window, columns)
    names = tuple(Name(None, name, name) for name in schema)
    return Relation(builder, schema, names, frozenset(times), windows), known


def _kept_windows(relation: Relation, window: _Window, columns: _Columns) -> tuple[WindowColumns, ...]:
    """Return the windows whose rows were grouped by both of their bounds."""
    physical = {key.name: name for key, name in columns.known.items() if isinstance(key, exp.Column)}
    physical |= {start.name: START for start in window.starts if isinstance(start, exp.Column)}
    found = []
    for each in relation.windows:
        if each.time is None and each.start in physical and each.end in physical:
            found.append(replace(each, start=physical[each.start], end=physical[each.end]))
    return tuple(found)


def _in_all(relation: Relation, columns: _Columns) -> tuple[Relation, dict[exp.Expr, str]]:
    """Return groups of all rows. Without keys there is one, also where there is no row."""
    before = columns.before or {"rows": pl.lit(True)}
    builder = selected(relation.builder, before)
    states = columns.states or {columns.fresh("rows"): pl.len()}
    if not columns.keys:
        schema = builder.schema()
        assert schema is not None
        none = pl.DataFrame({name: [None] for name in schema}, schema)
        builder = builder.merge(Pipeline.builder("none").source(Source.from_frame(none)))
    builder = builder.reduce(*(state.alias(name) for name, state in states.items()), by=columns.keys or None)
    builder = selected(builder, {**{name: pl.col(name) for name in columns.keys}, **columns.results})
    schema = pl.Schema(columns.schema)
    names = tuple(Name(None, name, name) for name in schema)
    return Relation(builder, schema, names), dict(columns.known)


def selected(builder: Builder, columns: dict[str, pl.Expr]) -> Builder:
    """Choose columns; those that read no other column are computed next to others first."""
    constant = {name: expr for name, expr in columns.items() if not expr.meta.root_names()}
    if len(constant) == len(columns):
        builder = builder.with_columns(*(expr.alias(name) for name, expr in constant.items()))
        return builder.select(*columns)
    return builder.select(*(expr.alias(name) for name, expr in columns.items()))
