"""`sort`: the rows of complete groups in order."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import polars as pl

from arrowstream.core.step_context import StepContext
from arrowstream.errors import PlanError
from arrowstream.expressions.text import columns_text
from arrowstream.operators.aggregation.reserved_names import check_names
from arrowstream.operators.base import Operator, Process
from arrowstream.operators.ranking.complete_groups import CompleteGroups, GroupKeys
from arrowstream.operators.ranking.order import RowOrder
from arrowstream.operators.ranking.whole_groups import WholeGroups
from arrowstream.operators.windows.panes import PANE
from arrowstream.operators.windows.timeless_rows import NullTimes, check_null_times, described
from arrowstream.state.limit import NO_LIMIT, StateLimit


@dataclass(frozen=True, slots=True, eq=False)
class Sort(Operator):
    """The rows of each group in order, once it is complete; see `Builder.sort`.

    Parameters
    ----------
    order
        The order of rows.
    per
        The columns whose values make a group.
    time
        The column of event time, whose value is part of the group; None if groups are complete at the end.
    limit
        The limit on the state.
    null_times
        What is done with rows without an event time.

    Raises
    ------
    PlanError
        Groups are to be evicted.
    """

    name: ClassVar[str] = "sort"
    order: RowOrder
    per: tuple[str, ...] = ()
    time: str | None = None
    limit: StateLimit = NO_LIMIT
    null_times: NullTimes = "error"

    def __post_init__(self) -> None:
        check_null_times(self.null_times, self.name)
        if self.limit.on_full == "evict":
            raise PlanError('sort(on_full="evict") would lose rows', expected="'error' or 'spill'")

    def output_schema(self, schema: pl.Schema) -> pl.Schema:
        check_names(self.name, schema)
        self.order.check(self.name, schema)
        GroupKeys.of(self.name, schema, self.per, self.time)
        return schema

    def start(self, schema: pl.Schema, context: StepContext) -> Process:
        grouped = GroupKeys.of(self.name, schema, self.per, self.time)

        def finish(groups: pl.DataFrame) -> pl.DataFrame:
            return self.order.sorted(groups, [PANE, *grouped.within]).drop(PANE)

        groups_of = WholeGroups(schema, finish)
        return CompleteGroups(grouped, groups_of, self.limit.memory(context), self.null_times)

    @property
    def identity(self) -> str:
        return replace(self, limit=self.limit.lasting, null_times="error").describe()

    def describe(self) -> str:
        per = f", per=[{columns_text(self.per)}]" if self.per else ""
        emit = "at the end of the stream" if self.time is None else f"once the watermark passes {self.time}"
        nulls = f", nulls_last={list(self.order.nulls_last)}" if any(self.order.nulls_last) else ""
        return f"sort({self.order.describe()}{nulls}{per}, {emit}{described(self.null_times)}{self.limit.describe()})"
