"""`join_asof`: each row with the version that was valid at its time, from a table or from another stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, get_args

import polars as pl

from arrowstream.core.duration import Duration, seconds, seconds_text
from arrowstream.core.hints import did_you_mean
from arrowstream.core.step_context import StepContext
from arrowstream.errors import PlanError, SchemaError
from arrowstream.operators.base import AsyncProcess, MultiInputOperator, MultiInputProcess, Operator
from arrowstream.operators.joins.asof import Asof, AsofHow, Strategy
from arrowstream.operators.joins.asof_joining import AsofJoining
from arrowstream.operators.joins.asof_table import AsofLookup
from arrowstream.operators.joins.columns import JoinColumns
from arrowstream.operators.joins.keys import JoinKeys
from arrowstream.operators.joins.stream_columns import StreamColumns, StreamHow
from arrowstream.operators.joins.table_joining import TableJoining
from arrowstream.operators.joins.tables import JoinTable, LooksUp
from arrowstream.operators.windows.event_time import EventTimeColumn
from arrowstream.operators.windows.timeless_rows import NullTimes, check_null_times, described
from arrowstream.state.limit import NO_LIMIT, StateLimit


@dataclass(frozen=True, slots=True, eq=False)
class AsofOptions:
    """What `join_asof` is asked for, whatever the other side is.

    Parameters
    ----------
    on
        The column of time of the stream, and that of the other side.
    keys
        The key columns of both, none for one key.
    strategy, how
        See `Builder.join_asof`.
    tolerance_us
        How far apart times may be, in microseconds; None for any distance.
    suffix
        What follows the name of a column of the other side that the stream has, too.

    Raises
    ------
    PlanError
        `strategy` or `how` is unknown.
    """

    on: tuple[str, str]
    keys: JoinKeys
    strategy: Strategy = "backward"
    tolerance_us: int | None = None
    how: AsofHow = "left"
    suffix: str = "_right"

    def __post_init__(self) -> None:
        _check_word("strategy", self.strategy, get_args(Strategy))
        _check_word("how", self.how, get_args(AsofHow))

    def asof(self, left: pl.Schema, right: pl.Schema) -> Asof:
        """Return how versions of one schema are chosen for rows of another.

        Raises
        ------
        SchemaError
            A column is missing, two columns cannot be compared, or two would have the same name.
        """
        ours, theirs = (
            EventTimeColumn.of("join_asof()", name, schema)
            for name, schema in zip(self.on, (left, right), strict=True)
        )
        if ours.dtype != theirs.dtype:
            raise SchemaError(
                "join_asof() cannot compare these times",
                expected="two columns of one type",
                found=f"{ours.column}: {ours.dtype} and {theirs.column}: {theirs.dtype}",
                hint="cast one of them to the type of the other before the join",
            )
        tolerance = None if self.tolerance_us is None else ours.whole_ticks(self.tolerance_us)
        types, columns = self.keys.types(left, right), self.columns(left, right, self.how)
        return Asof(self.keys, types, (ours, theirs), self.strategy, tolerance, columns)

    def columns(self, left: pl.Schema, right: pl.Schema, how: StreamHow) -> StreamColumns:
        """Return the columns that come out, which are those of Polars' `join_asof`."""
        own, other = self.on
        same = ((own,), (other,)) if own == other else ((), ())
        keys = replace(self.keys, left=self.keys.left + same[0], right=self.keys.right + same[1])
        return StreamColumns.of(left, right, keys, how, self.suffix)

    def describe(self) -> str:
        """Return the arguments for `explain()`."""
        own, other = self.on
        by = "".join(f", {text}" for text in _named("by", self.keys))
        near = "" if self.tolerance_us is None else f", tolerance={seconds_text(self.tolerance_us)} s"
        suffix = "" if self.suffix == "_right" else f", suffix={self.suffix!r}"
        on = f"on={own!r}" if own == other else f"left_on={own!r}, right_on={other!r}"
        return f"{on}{by}, strategy={self.strategy!r}{near}, how={self.how!r}{suffix}"


@dataclass(frozen=True, slots=True, eq=False)
class TableAsofJoin(LooksUp, Operator):
    """Each row with the version that a table has at its time.

    Parameters
    ----------
    table
        The table.
    options
        Columns, strategy and tolerance.
    refresh
        Time after which the table is loaded again while the run goes on; None to load it once.
    """

    name: ClassVar[str] = "join_asof"
    repeatable: ClassVar[bool] = True
    passes_rows_on: ClassVar[bool] = True
    table: JoinTable
    options: AsofOptions
    refresh: Duration | None = None

    def __post_init__(self) -> None:
        if self.refresh is not None and not seconds(self.refresh):
            raise PlanError(
                "join_asof(refresh=...) is too short", expected="a duration above 0", found=repr(self.refresh)
            )

    @property
    def at_hand(self) -> bool:
        return self.table.at_hand

    def output_schema(self, schema: pl.Schema) -> pl.Schema:
        return self.options.asof(schema, self.table.schema).columns.schema

    def start(self, schema: pl.Schema, context: StepContext) -> AsyncProcess:
        asof = self.options.asof(schema, self.table.schema)
        columns = JoinColumns(self.options.how, asof.columns.added, asof.columns.schema)
        lookup = AsofLookup(self.table, columns, asof)
        return TableJoining(lookup, None if self.refresh is None else seconds(self.refresh), context)

    @property
    def identity(self) -> str:
        return f"join_asof({self.table.identity}, {self.options.describe()})"

    def describe(self) -> str:
        refresh = "" if self.refresh is None else f", refresh={self.refresh!r}"
        return f"join_asof({self.table.describe()}, {self.options.describe()}{refresh})"


@dataclass(frozen=True, slots=True, eq=False)
class StreamAsofJoin(MultiInputOperator):
    """Each row with the version that another stream has at its time.

    Parameters
    ----------
    options
        Columns, strategy and tolerance.
    limit
        The limit on the rows held.
    null_times
        What is done with rows without a time.
    """

    name: ClassVar[str] = "join_asof"
    options: AsofOptions
    limit: StateLimit = NO_LIMIT
    null_times: NullTimes = "error"

    def __post_init__(self) -> None:
        check_null_times(self.null_times, self.name)

    def output_schema(self, *schemas: pl.Schema) -> pl.Schema:
        return self.options.asof(*schemas).columns.schema

    def late_schema(self, *schemas: pl.Schema) -> pl.Schema:
        left, right = schemas
        return self.options.columns(left, right, "full").schema

    def start(self, schemas: Sequence[pl.Schema], context: StepContext) -> MultiInputProcess:
        left, right = schemas
        late = self.options.columns(left, right, "full")
        return AsofJoining(
            self.options.asof(left, right), late, self.null_times, schemas, self.limit.memory(context)
        )

    @property
    def identity(self) -> str:
        return replace(self, limit=self.limit.lasting, null_times="error").describe()

    def describe(self) -> str:
        return f"join_asof({self.options.describe()}{described(self.null_times)}{self.limit.describe()})"


def _named(argument: str, keys: JoinKeys) -> list[str]:
    """Return the arguments that name the keys of both sides; none without keys."""
    left, right = (names[0] if len(names) == 1 else list(names) for names in (keys.left, keys.right))
    if left == right:
        return [f"{argument}={left!r}"] if keys.left else []
    return [f"{argument}_left={left!r}", f"{argument}_right={right!r}"]


def _check_word(name: str, value: Any, words: tuple[str, ...]) -> None:
    if value not in words:
        raise PlanError(
            f"join_asof({name}=...) is unknown",
            expected=" or ".join(map(repr, words)),
            found=repr(value),
            hint=did_you_mean(str(value), words),
        )
