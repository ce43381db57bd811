"""`over`: columns computed over all rows of a complete group."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import polars as pl

from arrowstream.core.rows.arrow_schema import arrow_schema
from arrowstream.core.step_context import StepContext
from arrowstream.errors import PlanError, SchemaError
from arrowstream.expressions.text import columns_text, expression_text
from arrowstream.expressions.tree import serialised
from arrowstream.operators.aggregation.reserved_names import check_names, check_results
from arrowstream.operators.base import Operator, Process
from arrowstream.operators.ranking.complete_groups import CompleteGroups, GroupKeys
from arrowstream.operators.ranking.whole_groups import WholeGroups
from arrowstream.operators.windows.panes import PANE
from arrowstream.operators.windows.timeless_rows import NullTimes, check_null_times, described
from arrowstream.state.limit import NO_LIMIT, StateLimit


@dataclass(frozen=True, slots=True, eq=False)
class Over(Operator):
    """The rows of each group with more columns, once it is complete; see `Builder.over`.

    Parameters
    ----------
    per
        The columns whose values make a group.
    exprs
        The columns, computed over the rows of one group.
    time
        The column of event time, whose value is part of the group; None if groups are complete at the end.
    limit
        The limit on the state.
    null_times
        What is done with rows without an event time.

    Raises
    ------
    PlanError
        No column is given to group by, or groups are to be evicted.
    """

    name: ClassVar[str] = "over"
    per: tuple[str, ...]
    exprs: tuple[pl.Expr, ...]
    time: str | None = None
    limit: StateLimit = NO_LIMIT
    null_times: NullTimes = "error"

    def __post_init__(self) -> None:
        check_null_times(self.null_times, self.name)
        if not self.per:
            raise PlanError("over(per) names no column", expected="a name, or a list of names")
        if self.limit.on_full == "evict":
            raise PlanError('over(on_full="evict") would lose rows', expected="'error' or 'spill'")

    def output_schema(self, schema: pl.Schema) -> pl.Schema:
        check_names(self.name, schema)
        GroupKeys.of(self.name, schema, self.per, self.time)
        try:
            output = pl.LazyFrame(schema=schema).with_columns(self.exprs).collect_schema()
        except pl.exceptions.PolarsError as error:
            raise SchemaError(
                "over() does not fit the columns that come in",
                expected=f"expressions over {', '.join(f'{name}: {dtype}' for name, dtype in schema.items())}",
                found=str(error).splitlines()[0],
            ) from error
        check_results(self.name, list(output))
        arrow_schema(output)
        return output

    def start(self, schema: pl.Schema, context: StepContext) -> Process:
        grouped = GroupKeys.of(self.name, schema, self.per, self.time)
        output = self.output_schema(schema)
        groups = [PANE, *grouped.within]
        # Before Polars 2, an `over` inside of another one is an error, so that each group is computed by itself.
        has_windows = any('"Over"' in serialised(expr) for expr in self.exprs)

        def finish(rows: pl.DataFrame) -> pl.DataFrame:
            if has_windows:
                parts = rows.partition_by(groups, maintain_order=True, include_key=True)
                found = pl.concat([part.drop(PANE).with_columns(self.exprs) for part in parts])
                return found.select(output.names())
            # Each group is known by the number of its first row.
            keys = rows.select(pl.col(name).alias(str(place)) for place, name in enumerate(groups))
            first = pl.col("row").first().over(keys.columns)
            firsts = keys.with_row_index("row").select(first).to_series()
            found = rows.drop(PANE).with_columns(expr.over(pl.lit(firsts)) for expr in self.exprs)
            return (
                found.with_columns(firsts.alias(PANE)).sort(PANE, maintain_order=True).select(output.names())
            )

        groups_of = WholeGroups(schema, finish)
        return CompleteGroups(grouped, groups_of, self.limit.memory(context), self.null_times)

    @property
    def identity(self) -> str:
        return replace(self, limit=self.limit.lasting, null_times="error").describe()

    def describe(self) -> str:
        emit = "at the end of the stream" if self.time is None else f"once the watermark passes {self.time}"
        exprs = ", ".join(map(expression_text, self.exprs))
        return f"over([{columns_text(self.per)}], {exprs}, {emit}{described(self.null_times)}{self.limit.describe()})"
