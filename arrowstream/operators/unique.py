"""`unique`: one row of each key, of the whole stream or within a time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal, get_args

import polars as pl

from arrowstream.core.duration import seconds_text
from arrowstream.core.hints import did_you_mean
from arrowstream.core.step_context import StepContext
from arrowstream.errors import PlanError
from arrowstream.expressions.text import columns_text
from arrowstream.operators.arguments import key_schema
from arrowstream.operators.base import Operator, Process
from arrowstream.operators.duplicates.whole_stream import FirstRows, LastRows
from arrowstream.operators.duplicates.within_time import RowsWithin
from arrowstream.operators.windows.event_time import EventTimeColumn
from arrowstream.operators.windows.timeless_rows import NullTimes, check_null_times, described
from arrowstream.state.limit import NO_LIMIT, StateLimit

Keep = Literal["first", "last"]


@dataclass(frozen=True, slots=True, eq=False)
class Unique(Operator):
    """One row of each key; see `Builder.unique`.

    Parameters
    ----------
    by
        The key columns; None for all columns.
    keep
        Which row of a key comes out.
    within_us
        How far apart the event times of duplicates are at most, in microseconds; None for the whole stream.
    time
        The column of event time, with `within_us`.
    limit
        The limit on the state.
    null_times
        What is done with rows without an event time.

    Raises
    ------
    PlanError
        `keep` is unknown, or keys are to be evicted, which would let duplicates through.
    """

    name: ClassVar[str] = "unique"
    by: tuple[str, ...] | None = None
    keep: Keep = "first"
    within_us: int | None = None
    time: str | None = None
    limit: StateLimit = NO_LIMIT
    null_times: NullTimes = "error"

    def __post_init__(self) -> None:
        check_null_times(self.null_times, self.name)
        if self.keep not in get_args(Keep):
            raise PlanError(
                "unique(keep=...) is unknown",
                expected="'first' or 'last'",
                found=repr(self.keep),
                hint=did_you_mean(str(self.keep), get_args(Keep)),
            )
        if self.by is not None and not self.by:
            raise PlanError(
                "unique(by=...) names no column", expected="a name, several, or no by for all columns"
            )
        if self.limit.on_full == "evict":
            raise PlanError(
                'unique(on_full="evict") would let duplicates through',
                expected="'error' or 'spill'",
                hint="within= forgets keys once event time has passed",
            )

    def output_schema(self, schema: pl.Schema) -> pl.Schema:
        key_schema(self.name, self._names(schema), schema)
        if self.time is not None:
            EventTimeColumn.of("unique()", self.time, schema)
        return schema

    def start(self, schema: pl.Schema, context: StepContext) -> Process:
        keys = key_schema(self.name, self._names(schema), schema)
        memory = self.limit.memory(context)
        if self.within_us is not None:
            assert self.time is not None
            time = EventTimeColumn.of("unique()", self.time, schema)
            return RowsWithin(
                schema, keys, time, self.within_us, self.keep == "last", self.null_times, memory
            )
        return FirstRows(keys, memory) if self.keep == "first" else LastRows(keys, memory)

    @property
    def identity(self) -> str:
        return replace(self, limit=self.limit.lasting, null_times="error").describe()

    def describe(self) -> str:
        by = "all columns" if self.by is None else f"by=[{columns_text(self.by)}]"
        within = ""
        if self.within_us is not None:
            within = f", within={seconds_text(self.within_us)} s of {self.time}"
        return f"unique({by}, keep={self.keep}{within}{described(self.null_times)}{self.limit.describe()})"

    def _names(self, schema: pl.Schema) -> tuple[str, ...]:
        return tuple(schema) if self.by is None else self.by
