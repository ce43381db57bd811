"""`top_k`: the largest rows of each group."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, get_args

import polars as pl

from arrowstream.core.checks import check_whole
from arrowstream.core.hints import did_you_mean
from arrowstream.core.rows.changes import CHANGE, changes_schema
from arrowstream.core.step_context import StepContext
from arrowstream.errors import PlanError
from arrowstream.expressions.text import columns_text
from arrowstream.operators.aggregation.reserved_names import check_names
from arrowstream.operators.base import Operator, Process
from arrowstream.operators.ranking.complete_groups import CompleteGroups, GroupKeys
from arrowstream.operators.ranking.largest import Largest
from arrowstream.operators.ranking.order import RowOrder
from arrowstream.operators.ranking.running_largest import RunningLargest
from arrowstream.operators.windows.timeless_rows import NullTimes, check_null_times, described
from arrowstream.state.limit import NO_LIMIT, StateLimit

TopEmit = Literal["final", "updates", "changes"]


@dataclass(frozen=True, slots=True, eq=False)
class TopK(Operator):
    """The k largest rows of each group; see `Builder.top_k`.

    Parameters
    ----------
    k
        The most rows of a group.
    order
        The order of rows, whose first ones are the largest.
    per
        The columns whose values make a group.
    time
        The column of event time, whose value is part of the group; None if groups are complete at the end.
    emit
        When rows come out.
    limit
        The limit on the state.
    null_times
        What is done with rows without an event time.

    Raises
    ------
    PlanError
        `k` is below 1, `emit` is unknown, or groups are to be evicted.
    """

    name: ClassVar[str] = "top_k"
    k: int
    order: RowOrder
    per: tuple[str, ...] = ()
    time: str | None = None
    emit: TopEmit = "final"
    limit: StateLimit = NO_LIMIT
    null_times: NullTimes = "error"

    def __post_init__(self) -> None:
        check_null_times(self.null_times, self.name)
        check_whole("top_k(k)", self.k)
        if self.emit not in get_args(TopEmit):
            raise PlanError(
                "top_k(emit=...) is unknown",
                expected=" or ".join(map(repr, get_args(TopEmit))),
                found=repr(self.emit),
                hint=did_you_mean(str(self.emit), get_args(TopEmit)),
            )
        if self.limit.on_full == "evict":
            raise PlanError(
                'top_k(on_full="evict") would give groups that lack rows', expected="'error' or 'spill'"
            )

    def output_schema(self, schema: pl.Schema) -> pl.Schema:
        check_names(self.name, schema)
        self.order.check(self.name, schema)
        GroupKeys.of(self.name, schema, self.per, self.time)
        return changes_schema(self.name, schema) if self.emit == "changes" else schema

    def that_come_again(self, columns: Collection[str]) -> frozenset[str] | None:
        if self.emit == "final":
            return None
        # A single row that comes out is larger than those of its group before.
        first = self.emit == "updates" and self.k == 1
        return frozenset(self.per if first else columns) - {CHANGE}

    def left_behind(self, key: Collection[str]) -> str | None:
        # Updates are the rows that are among the first. With one row for a group, and a key of no more columns than
        # the group's, such a row replaces the one before; any other row stays in the table.
        if self.emit != "updates" or not key or (self.k == 1 and len(key) <= len(self.per)):
            return None
        return f"rows that are no longer among the first {self.k}"

    def start(self, schema: pl.Schema, context: StepContext) -> Process:
        grouped = GroupKeys.of(self.name, schema, self.per, self.time)
        memory = self.limit.memory(context)
        if self.emit == "final":
            largest = Largest(self.k, self.order, schema, grouped.within)
            return CompleteGroups(grouped, largest, memory, self.null_times)
        return RunningLargest(grouped, self.k, self.order, self.emit == "changes", self.null_times, memory)

    @property
    def identity(self) -> str:
        return replace(self, limit=self.limit.lasting, null_times="error").describe()

    def describe(self) -> str:
        per = f", per=[{columns_text(self.per)}]" if self.per else ""
        emit = "at the end of the stream" if self.time is None else f"once the watermark passes {self.time}"
        if self.emit != "final":
            emit = f"emit={self.emit}"
        options = f"{described(self.null_times)}{self.limit.describe()}"
        return f"top_k({self.k}, by=[{self.order.describe()}]{per}, {emit}{options})"
