"""TUMBLE, HOP and SESSION: as functions in FROM, and in GROUP BY."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
from sqlglot import exp

from arrowstream.sql.expressions import literals
from arrowstream.sql.expressions.typed import name_of
from arrowstream.sql.grammar import WINDOWS
from arrowstream.sql.groups.lengths import check_lengths
from arrowstream.sql.places import QueryText
from arrowstream.sql.relation import Name, PendingWindow, Relation, WindowColumns, find, fresh

START, END = "window_start", "window_end"
"""The columns of the bounds of a window."""


def is_window(node: exp.Expr | None) -> bool:
    """Return whether a part of the query is a call of a function of windows."""
    return isinstance(node, exp.Anonymous) and node.name.upper() in WINDOWS


def in_from(query: QueryText, call: exp.Expr, relation: Relation) -> Relation:
    """Return the rows of a table with the windows that a function in FROM puts them into.

    Raises
    ------
    QueryError
        The function has other arguments.
    """
    arguments = [each for each in call.expressions[1:] if not _is_call(each, "PARTITION_BY")]
    parts = [each for each in call.expressions[1:] if _is_call(each, "PARTITION_BY")]
    described = arguments[:1]
    if not described or not _is_call(described[0], "DESCRIPTOR") or len(described[0].expressions) != 1:
        raise query.error(
            call,
            f"{call.name.upper()} needs the column of event times",
            expected=f"such as {call.name.upper()}(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' SECOND)",
            found=query.source(call),
        )
    time = described[0].expressions[0]
    pending = _window(query, call, time, arguments[1:], relation)
    by = tuple(find(query, each, relation).physical for part in parts for each in part.expressions)
    if by and pending.kind != "SESSION":
        raise query.error(parts[0], "PARTITION BY is for SESSION", found=pending.kind)
    names = tuple(Name(None, column, fresh(column, relation.schema)) for column in (START, END))
    return replace(relation, names=(*relation.names, *names), pending=replace(pending, by=by))


def in_group_by(query: QueryText, call: exp.Expr, relation: Relation) -> PendingWindow:
    """Return the windows of ``GROUP BY TUMBLE(ts, INTERVAL '10' SECOND)``.

    Raises
    ------
    QueryError
        The function has other arguments.
    """
    first, *others = call.expressions or [None]
    if not isinstance(first, exp.Column):
        raise query.error(
            call,
            f"{call.name.upper()} needs the column of event times",
            expected=f"such as {call.name.upper()}(ts, INTERVAL '10' SECOND)",
            found=query.source(call),
        )
    return _window(query, call, first, others, relation)


def _is_call(node: exp.Expr, name: str) -> bool:
    return isinstance(node, exp.Anonymous) and node.name.upper() == name


def _window(
    query: QueryText, call: exp.Expr, time: exp.Expr, lengths: list[exp.Expr], relation: Relation
) -> PendingWindow:
    kind = call.name.upper()
    wanted = 2 if kind == "HOP" else 1
    if len(lengths) != wanted:
        raise query.error(
            call,
            f"{kind} takes {'two lengths' if wanted == 2 else 'one length'}",
            expected="from one start to the next, and the size" if wanted == 2 else "an INTERVAL",
            found=str(len(lengths)),
        )
    if not isinstance(time, exp.Column):
        raise query.error(call, f"{kind} needs the column of event times", found=query.source(time))
    physical = find(query, time, relation).physical
    dtype = relation.schema.get(physical)
    if not isinstance(dtype, pl.Datetime) and dtype != pl.Date:
        raise query.error(
            time,
            f"{kind} needs event times",
            expected="a TIMESTAMP or DATE",
            found="the bound of a window" if dtype is None else f"{time.name}, {name_of(dtype)}",
        )
    assert dtype is not None, "it is one of those types"
    check_lengths(query, kind, lengths, dtype)
    *every, size = (literals.interval(query, each) for each in lengths)
    return PendingWindow(kind, physical, size, every[0] if every else size, (), call)


def materialized(query: QueryText, relation: Relation) -> Relation:
    """Return rows with the bounds of their windows as columns: for HOP, once for each of its windows.

    Raises
    ------
    QueryError
        Sessions, and windows of months, are known only once rows are grouped.
    """
    window = relation.pending
    if window is None:
        return relation
    dtype = relation.schema[window.on]
    if window.kind == "SESSION" or window.size[0] or window.every[0] or not isinstance(dtype, pl.Datetime):
        raise query.error(
            window.node,
            "these windows are known only once rows are grouped",
            expected="TUMBLE or HOP of a TIMESTAMP, of seconds, minutes, hours or days",
            found=query.source(window.node),
            hint=f"write GROUP BY {START}, {END}, and other columns after them",
        )
    start, end = (name.physical for name in relation.names[-2:])
    per_us = {"ns": 1000.0, "us": 1.0, "ms": 0.001}[dtype.time_unit]
    size, every = (int(length[1] * per_us) for length in (window.size, window.every))
    ticks = pl.col(window.on).dt.epoch(dtype.time_unit)
    first = ticks - ticks % every
    builder = relation.builder
    if window.kind == "TUMBLE":
        builder = builder.with_columns(**{start: first.cast(dtype)})
    else:
        count = -(-size // every)
        starts = pl.concat_list([first - every * number for number in range(count)])
        builder = builder.with_columns(**{start: starts}).explode(start)
        if size % every:
            builder = builder.filter(pl.col(start) + size > ticks)
        builder = builder.with_columns(pl.col(start).cast(dtype))
    builder = builder.with_columns(
        **{end: pl.col(start) + pl.duration(microseconds=window.size[1], time_unit="us")}
    )
    builder = builder.with_columns(pl.col(end).cast(dtype))
    schema = pl.Schema({**relation.schema, start: dtype, end: dtype})
    columns = WindowColumns(start, end, window.every[1], window.on, window.size[1])
    return replace(
        relation, builder=builder, schema=schema, windows=(*relation.windows, columns), pending=None
    )


def length(interval: tuple[int, int]) -> str:
    """Return months or microseconds as the builder takes them.

    Examples
    --------
    >>> length((0, 10_000_000)), length((1, 0)), length((0, 1_500_000))
    ('10s', '1mo', '1500ms')
    """
    months, microseconds = interval
    if months:
        return f"{months}mo"
    units = (("d", 86_400_000_000), ("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1_000))
    return next(
        (f"{microseconds // us}{unit}" for unit, us in units if not microseconds % us), f"{microseconds}us"
    )
