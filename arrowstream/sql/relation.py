"""What stands in FROM: a builder, and what its columns are called and stand for in the query."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import polars as pl
from sqlglot import exp

from arrowstream.core.hints import did_you_mean
from arrowstream.operators.reduce import Reduce
from arrowstream.operators.windows.count_window import CountWindow
from arrowstream.operators.windows.session_window import SessionWindow
from arrowstream.operators.windows.time_window import TimeWindow
from arrowstream.operators.with_event_time import Watermarks
from arrowstream.pipeline import Builder
from arrowstream.plan.graph import Graph
from arrowstream.sql.places import QueryText


@dataclass(frozen=True, slots=True)
class Name:
    """A column as a query may name it.

    Parameters
    ----------
    table
        The table's name in the query; None for a column that no table is asked for.
    column
        Its name in the query.
    physical
        Its name in the rows of the builder.
    hidden
        Whether ``*`` leaves it out.
    """

    table: str | None
    column: str
    physical: str
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class WindowColumns:
    """What is known of columns that hold the bounds of windows.

    Parameters
    ----------
    start, end
        The physical columns.
    every_us
        From one start to the next in microseconds; None if starts may lie anywhere, as those of sessions.
    time, size_us
        Where a row is one of the window, not all of them: its event time, and the length of the window.
    """

    start: str
    end: str
    every_us: int | None
    time: str | None = None
    size_us: int = 0


@dataclass(frozen=True, slots=True)
class PendingWindow:
    """Windows that a query asks for, before it says by what else it groups.

    Parameters
    ----------
    kind
        ``"TUMBLE"``, ``"HOP"`` or ``"SESSION"``.
    on
        The physical column of event times.
    size, every
        Length of a window, or the gap of sessions, and from one start to the next: months and microseconds.
    by
        The physical columns that sessions are of.
    node
        The call in the query.
    """

    kind: str
    on: str
    size: tuple[int, int]
    every: tuple[int, int]
    by: tuple[str, ...]
    node: exp.Expr


@dataclass(frozen=True, slots=True)
class Ranking:
    """The number of each row in its group, which a query asks for before it says how many rows it wants.

    Parameters
    ----------
    name
        The name of the number in the query.
    position
        Where it stands among the columns.
    per, by, reverse
        As `Builder.top_k` takes them.
    helpers
        Physical columns that are there for this only.
    node
        The call in the query.
    """

    name: str
    position: int
    per: tuple[str, ...]
    by: tuple[str, ...]
    reverse: tuple[bool, ...]
    helpers: tuple[str, ...]
    node: exp.Expr


@dataclass(frozen=True, slots=True)
class Relation:
    """Rows that a query reads.

    Parameters
    ----------
    builder
        Gives the rows.
    schema
        Names and types of the builder's columns.
    names
        The columns that the query can name, in order.
    times
        Physical columns of event time: no later row lies before the watermark.
    windows
        Physical columns of the bounds of windows.
    pending
        The windows of a function in FROM, whose columns are not computed yet.
    ranking
        The numbers of rows that only a bound makes possible.
    """

    builder: Builder
    schema: pl.Schema
    names: tuple[Name, ...]
    times: frozenset[str] = frozenset()
    windows: tuple[WindowColumns, ...] = ()
    pending: PendingWindow | None = None
    ranking: Ranking | None = None

    @classmethod
    def of(cls, builder: Builder, schema: pl.Schema) -> Relation:
        """Return the rows of a builder, whose columns have the names that they have there."""
        names = tuple(Name(None, name, name) for name in schema)
        return cls(builder, schema, names, frozenset(event_times(builder.graph) & set(schema)))

    @property
    def has_watermarks(self) -> bool:
        """Whether watermarks come with the rows."""
        return any(isinstance(step.operator, Watermarks) for _, step in self.builder.graph.walk())

    @property
    def endless(self) -> bool:
        """Whether a source of the rows never ends."""
        return any(source.endless for source in self.builder.graph.sources)

    def called(self, table: str) -> Relation:
        """Return the same rows as those of one table of this name."""
        return replace(self, names=tuple(replace(name, table=table) for name in self.names))

    def visible(self, table: str | None = None) -> list[Name]:
        """Return the columns that ``*`` stands for, or ``table.*``."""
        return [name for name in self.names if not name.hidden and (table is None or same(name.table, table))]

    def kept(self, physical: Mapping[str, str]) -> tuple[frozenset[str], tuple[WindowColumns, ...]]:
        """Return times and windows after a step that keeps columns under new names, by their old ones."""
        times = frozenset(physical[name] for name in self.times if name in physical)
        windows = tuple(
            replace(
                each,
                start=physical[each.start],
                end=physical[each.end],
                time=physical.get(each.time) if each.time is not None else None,
                size_us=each.size_us if each.time in physical else 0,
            )
            for each in self.windows
            # Rows of a window without their time cannot be joined with others of it.
            if each.start in physical
            and each.end in physical
            and (each.time is None or each.time in physical)
        )
        return times, windows

    def window_of(self, physical: str) -> WindowColumns | None:
        """Return the window that a column is a bound of."""
        return next((each for each in self.windows if physical in (each.start, each.end)), None)


def event_times(graph: Graph) -> set[str]:
    """Return the column that the last `with_event_time` of a stream names, if it still holds event times."""
    times: set[str] = set()
    for step in graph.steps:
        match step.operator:
            case Watermarks(column=column):
                times = {column}
            case TimeWindow() | SessionWindow():
                times = {"window_start", "window_end"}
            case Reduce() | CountWindow():
                times = set()
    return times


def same(one: str | None, other: str | None) -> bool:
    """Return whether two names of SQL are the same: case does not matter."""
    return one is not None and other is not None and one.lower() == other.lower()


def find(query: QueryText, node: exp.Column, relation: Relation) -> Name:
    """Return the column that a query names.

    Raises
    ------
    QueryError
        No table has it, or more than one.
    """
    table = node.table or None
    among = relation.names if table is None else [name for name in relation.names if same(name.table, table)]
    found = [name for name in among if name.column == node.name]
    found = found or [name for name in among if same(name.column, node.name)]
    if len(found) > 1:
        found = [name for name in found if not name.hidden] or found
    if len(found) == 1:
        return found[0]
    if found:
        raise query.error(
            node,
            f"the column {node.name} is in more than one table",
            expected=" or ".join(f"{name.table}.{name.column}" for name in found),
            found=node.name,
        )
    if table is not None and not among:
        tables = dict.fromkeys(name.table for name in relation.names if name.table is not None)
        raise query.error(
            node,
            f"no table of this FROM is called {table}",
            expected=" or ".join(tables) or None,
            found=f"{table}.{node.name}",
            hint=did_you_mean(table, tables),
        )
    names = [name.column for name in among]
    raise query.error(
        node,
        f"no column is called {node.name}",
        expected=f"one of the columns {', '.join(names)}",
        found=node.name,
        hint=_text_in_quotes(node) or did_you_mean(node.name, names),
    )


def _text_in_quotes(node: exp.Column) -> str | None:
    if not node.this.args.get("quoted"):
        return None
    return f"double quotes enclose the name of a column; a text stands in single quotes: '{node.name}'"


def bind(query: QueryText, node: exp.Expr, relation: Relation) -> exp.Expr:
    """Return an expression whose columns have the names of the builder's rows, and functions theirs in upper case.

    Raises
    ------
    QueryError
        A column is unknown.
    """

    def physical(part: exp.Expr) -> exp.Expr:
        if isinstance(part, exp.Anonymous):
            part.set("this", part.name.upper())
        if not isinstance(part, exp.Column) or isinstance(part.this, exp.Star):
            return part
        name = find(query, part, relation)
        made = exp.Identifier(this=name.physical, quoted=True)
        made.meta.update(part.this.meta)
        return exp.Column(this=made)

    bound: exp.Expr = node.transform(physical)
    return bound


def fresh(name: str, taken: Iterable[str]) -> str:
    """Return a name that is not taken: `name`, or with a number after it."""
    used = set(taken)
    if name not in used:
        return name
    return next(made for made in (f"{name}_{n}" for n in range(2, len(used) + 3)) if made not in used)
