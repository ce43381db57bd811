"""`join`: with a table, in which rows are looked up, or with a stream, within a time."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, get_args

import polars as pl

from arrowstream.core.duration import Duration, seconds
from arrowstream.core.mistakes.explain import nearest_value
from arrowstream.core.rows.changes import CHANGE, changes_schema
from arrowstream.core.step_context import StepContext
from arrowstream.errors import PlanError, SchemaError
from arrowstream.expressions.lineage import Names
from arrowstream.operators.base import AsyncProcess, MultiInputOperator, MultiInputProcess, Operator
from arrowstream.operators.joins.columns import JoinColumns, TableHow, table_columns
from arrowstream.operators.joins.interval.joining import Sides, StreamJoining
from arrowstream.operators.joins.interval.results import JoinEmit, JoinResults
from arrowstream.operators.joins.interval.within import Within
from arrowstream.operators.joins.keys import JoinKeys
from arrowstream.operators.joins.stream_columns import StreamColumns, StreamHow
from arrowstream.operators.joins.table_joining import KeyLookup, TableJoining
from arrowstream.operators.joins.tables import JoinTable, LooksUp
from arrowstream.operators.windows.event_time import EventTimeColumn
from arrowstream.operators.windows.timeless_rows import NullTimes, check_null_times, described
from arrowstream.state.limit import NO_LIMIT, StateLimit

Validate = Literal["m:m", "m:1"]


@dataclass(frozen=True, slots=True, eq=False)
class TableJoin(LooksUp, Operator):
    """Each row with the rows of a table that have its key.

    Parameters
    ----------
    table
        The table.
    keys
        The key columns of both.
    how
        ``"inner"``, ``"left"``, ``"semi"`` or ``"anti"``.
    suffix
        What follows the name of a column of the table that the stream has, too.
    validate
        ``"m:1"`` if a key may come only once in the table.
    refresh
        Time after which the table is loaded again while the run goes on; None to load it once.

    Raises
    ------
    PlanError
        `how` or `validate` is unknown, or `refresh` is not a duration above 0.
    """

    name: ClassVar[str] = "join"
    repeatable: ClassVar[bool] = True
    passes_rows_on: ClassVar[bool] = True
    table: JoinTable
    keys: JoinKeys
    how: TableHow = "inner"
    suffix: str = "_right"
    validate: Validate = "m:m"
    refresh: Duration | None = None

    def __post_init__(self) -> None:
        _check_word("how", self.how, get_args(TableHow))
        _check_word("validate", self.validate, get_args(Validate))
        if self.refresh is not None and not seconds(self.refresh):
            raise PlanError(
                "join(refresh=...) is too short", expected="a duration above 0", found=repr(self.refresh)
            )

    @property
    def reads_in_place(self) -> tuple[str, ...]:
        return self.keys.left

    @property
    def at_hand(self) -> bool:
        return self.table.at_hand

    def output_schema(self, schema: pl.Schema) -> pl.Schema:
        self.keys.types(schema, self.table.schema)
        return self._columns(schema).schema

    def start(self, schema: pl.Schema, context: StepContext) -> AsyncProcess:
        types = self.keys.types(schema, self.table.schema)
        lookup = KeyLookup(self.table, self._columns(schema), self.keys, types, self.validate == "m:1")
        return TableJoining(lookup, None if self.refresh is None else seconds(self.refresh), context)

    @property
    def identity(self) -> str:
        return replace(self, refresh=None)._text(self.table.identity)

    def describe(self) -> str:
        return self._text(self.table.describe())

    def _text(self, table: str) -> str:
        options = {
            "suffix": (self.suffix, "_right"),
            "validate": (self.validate, "m:m"),
            "refresh": (self.refresh, None),
        }
        given = "".join(
            f", {name}={value!r}" for name, (value, default) in options.items() if value != default
        )
        return f"join({table}, {self.keys.describe()}, how={self.how!r}{given})"

    def _columns(self, schema: pl.Schema) -> JoinColumns:
        return table_columns(schema, self.table.schema, self.keys, self.how, self.suffix)


@dataclass(frozen=True, slots=True, eq=False)
class StreamJoin(MultiInputOperator):
    """Rows of two streams with equal keys whose event times are at most so far apart.

    Parameters
    ----------
    keys
        The key columns of both.
    times
        The columns of event time of both.
    within
        How far apart two times may be.
    how
        Which rows come out; see `Builder.join`.
    suffix
        What follows the name of a column of the other stream that this one has, too.
    limit
        The limit on the rows held.
    null_times
        What is done with rows without an event time.
    emit
        When rows without a partner come out; see `Builder.join`.
    """

    name: ClassVar[str] = "join"
    keys: JoinKeys
    times: tuple[str, str]
    within: Within
    how: StreamHow = "inner"
    suffix: str = "_right"
    limit: StateLimit = NO_LIMIT
    null_times: NullTimes = "error"
    emit: JoinEmit = "final"

    def __post_init__(self) -> None:
        check_null_times(self.null_times, self.name)
        _check_word("how", self.how, get_args(StreamHow))
        _check_word("emit", self.emit, get_args(JoinEmit))

    def output_schema(self, *schemas: pl.Schema) -> pl.Schema:
        self._event_times(schemas)
        schema = self._columns(schemas, self.how).schema
        if self.emit == "final":
            return schema
        for each in schemas:
            changes_schema(self.name, each)
        return changes_schema(self.name, schema)

    def late_schema(self, *schemas: pl.Schema) -> pl.Schema:
        return self._columns(schemas, "full").schema

    def names_after(self, *names: Names | None) -> Names | None:
        if not any(each is not None for each in names):
            return None
        found = {name for each in (*names, self.times) for name in each or ()}
        # A column of the other side may have got a suffix.
        return frozenset(found | {f"{name}{self.suffix}" for name in found})

    def that_come_again(self, columns: Collection[str]) -> frozenset[str] | None:
        if self.emit == "final" or self.how not in ("left", "right", "full", "anti"):
            return None
        return frozenset(columns) - {CHANGE}

    def start(self, schemas: Sequence[pl.Schema], context: StepContext) -> MultiInputProcess:
        left, right = schemas
        times = self._event_times(schemas)
        reach = (times[0].whole_ticks(self.within.before_us), times[0].whole_ticks(self.within.after_us))
        results = JoinResults(self._columns(schemas, self.how), self.emit == "changes")
        late = self._columns(schemas, "full")
        sides = Sides(self.keys, self.keys.types(left, right), times, reach, results, late, self.null_times)
        return StreamJoining(sides, schemas, self.limit.memory(context))

    @property
    def identity(self) -> str:
        return replace(self, limit=self.limit.lasting, null_times="error").describe()

    def describe(self) -> str:
        left, right = self.times
        times = f"time={left!r}" if left == right else f"times {left!r} and {right!r}"
        emit = "" if self.emit == "final" else f", emit={self.emit!r}"
        how = f"how={self.how!r}{emit}{described(self.null_times)}{self.limit.describe()}"
        return f"join({self.keys.describe()}, {times}, {self.within.describe()}, {how})"

    def _columns(self, schemas: Sequence[pl.Schema], how: StreamHow) -> StreamColumns:
        return StreamColumns.of(schemas[0], schemas[1], self.keys, how, self.suffix)

    def _event_times(self, schemas: Sequence[pl.Schema]) -> tuple[EventTimeColumn, EventTimeColumn]:
        left, right = (
            EventTimeColumn.of("join()", name, schema)
            for name, schema in zip(self.times, schemas, strict=True)
        )
        if left.dtype != right.dtype:
            raise SchemaError(
                "join() cannot compare these event times",
                expected="two columns of one type",
                found=f"{left.column}: {left.dtype} and {right.column}: {right.dtype}",
                hint="cast one of them to the type of the other before the join",
            )
        return left, right


def _check_word(name: str, value: object, words: tuple[str, ...]) -> None:
    if value not in words:
        raise PlanError(
            f"join({name}=...) is unknown",
            expected=" or ".join(map(repr, words)),
            found=repr(value),
            hint=nearest_value(str(value), words),
        )
