"""`window(session=...)`: aggregates over stretches of activity of a key."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import polars as pl
import pyarrow as pa

from arrowstream.core.batch import Batch, Element, Watermark
from arrowstream.core.duration import seconds_text
from arrowstream.core.notes import ReaderNote
from arrowstream.core.step_context import StepContext
from arrowstream.expressions.text import columns_text, expression_text
from arrowstream.operators.aggregation.aggregation import Aggregation
from arrowstream.operators.aggregation.mergeable import ROW, numbered
from arrowstream.operators.aggregation.once import aggregation_of
from arrowstream.operators.aggregation.reserved_names import check_names
from arrowstream.operators.arguments import key_schema
from arrowstream.operators.base import Operator, Process
from arrowstream.operators.windows.columns import GivesWindows, time_bounds, window_schema
from arrowstream.operators.windows.event_time import EventTimeColumn
from arrowstream.operators.windows.late_rows import LateRows
from arrowstream.operators.windows.run_store import PaneStatistics
from arrowstream.operators.windows.session_store import FIRST, LAST, SessionStore
from arrowstream.operators.windows.timeless_rows import NullTimes, TimelessRows
from arrowstream.state.limit import NO_LIMIT, StateLimit
from arrowstream.state.memory import StateMemory
from arrowstream.state.snapshot import SnapshotFormat

_FORMAT = SnapshotFormat("session window", 1)
_PASSES = 4
"""The most searches for closed sessions per gap of event time."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class SessionWindow(GivesWindows, Operator):
    """Aggregates over the rows of every session; see `arrowstream.operators.window`.

    Parameters
    ----------
    gap_us
        The gap between sessions, in microseconds: rows of a key this far apart or further are of different sessions.
    on
        The event-time column.
    by
        The key columns; each key has its own sessions.
    lateness_us
        Allowed lateness, in microseconds: a row at most this far before the watermark is still counted.
    exprs
        The aggregations.
    limit
        Limit on the state.
    null_times
        What becomes of rows without an event time.
    """

    name: ClassVar[str] = "window"
    ends_repeat: ClassVar[bool] = True
    gap_us: int
    on: str
    by: tuple[str, ...]
    lateness_us: int
    exprs: tuple[pl.Expr, ...]
    limit: StateLimit = NO_LIMIT
    null_times: NullTimes = "error"

    def output_schema(self, schema: pl.Schema) -> pl.Schema:
        time, keys = EventTimeColumn.of("window", self.on, schema), key_schema("window", self.by, schema)
        time.ticks(self.gap_us)
        return window_schema(time.dtype, keys, aggregation_of(self, schema).output)

    def start(self, schema: pl.Schema, context: StepContext) -> Process:
        time, memory = EventTimeColumn.of("window", self.on, schema), self.limit.memory(context)
        return _SessionWindows(self, time, schema, aggregation_of(self, schema), memory)

    @property
    def identity(self) -> str:
        # A job that a row without a time has ended may go on with another policy.
        return replace(self, limit=self.limit.lasting, null_times="error").describe()

    def describe(self) -> str:
        by = f", by=[{columns_text(self.by)}]" if self.by else ""
        late = f", allowed_lateness={seconds_text(self.lateness_us)}s" if self.lateness_us else ""
        nulls = f", null_times={self.null_times}" if self.null_times != "error" else ""
        arguments = (
            f"session={seconds_text(self.gap_us)}s, on={self.on}{by}{late}{nulls}{self.limit.describe()}"
        )
        return f"window({arguments}).agg({', '.join(map(expression_text, self.exprs))})"

    def split_aggregation(self, schema: pl.Schema) -> Aggregation:
        """Check and split the expressions for rows of `schema`."""
        check_names("window", schema, self.by)
        # Sessions are merged by time, not in the order in which their rows arrived.
        return Aggregation.of("window", self.exprs, schema, self.by, in_order=False)


class _SessionWindows(Process):
    """Session windows at work, which search for closed sessions only a few times per gap.

    Within one gap of event time every session gets a row or closes. So a few searches per gap cost a bounded
    multiple of the rows' cost, where a search at every watermark would scan the open sessions each time. The
    watermark for the next stage advances only with a search.
    """

    __slots__ = (
        "_aggregation",
        "_by",
        "_gap",
        "_late",
        "_lateness_us",
        "_looked_us",
        "_memory",
        "_next_row",
        "_passed_us",
        "_pause_us",
        "_store",
        "_taken_from_us",
        "_time",
        "_timeless",
    )

    def __init__(
        self,
        operator: SessionWindow,
        time: EventTimeColumn,
        schema: pl.Schema,
        aggregation: Aggregation,
        memory: StateMemory,
    ) -> None:
        self._time = time
        self._by = [pl.col(name) for name in operator.by]
        self._aggregation = aggregation
        self._gap = time.ticks(operator.gap_us)
        self._pause_us = operator.gap_us // _PASSES
        self._lateness_us = operator.lateness_us
        self._memory = memory
        self._store = SessionStore(operator.by, aggregation, self._gap, self._memory)
        self._late = LateRows(schema)
        self._timeless = TimelessRows(operator.null_times, time, self._late)
        self._next_row = 0
        self._taken_from_us: int | None = None
        """Rows before this time are late."""
        self._looked_us: int | None = None
        """The time of the last search for closed sessions."""
        self._passed_us: int | None = None
        """The watermark that was passed on last."""

    @property
    def notes(self) -> tuple[ReaderNote, ...]:
        return self._timeless.notes

    def statistics(self) -> PaneStatistics:
        """Return the sizes of the state."""
        return self._store.statistics()

    def process(self, batch: Batch) -> Iterator[Element]:
        self._memory.check()
        frame = self._timeless.sift(batch)
        if not frame.height:
            return iter(())
        self._time.check_room(*self._time.span(frame), self._gap, "window")
        rows = numbered(self._aggregation.rows(frame), self._next_row)
        self._next_row += frame.height
        if self._taken_from_us is not None:
            is_late = self._time.expression() < self._time.first_tick(self._taken_from_us)
            rows = self._late.sift(rows, is_late)
        if rows.height:
            self._store.add(rows, self._time.expression())
        return iter(())

    def on_watermark(self, time_us: int) -> Iterator[Element]:
        until = time_us - self._lateness_us
        if self._taken_from_us is None or until > self._taken_from_us:
            self._taken_from_us = until
        if self._looked_us is None or until >= self._looked_us + self._pause_us:
            self._looked_us = until
            yield from self._close(self._time.first_tick(until))
            self._passed_us = self._earliest(until)
        assert self._passed_us is not None
        yield Watermark(self._passed_us)

    def take_late(self) -> Batch | None:
        return self._late.take()

    def finish(self) -> Iterator[Element]:
        return self._close(None)

    def snapshot(self) -> Iterator[pa.RecordBatch]:
        return _FORMAT.write(
            map(Batch, self._store.frames()),
            self._store.keys,
            next_row=self._next_row,
            taken_from_us=self._taken_from_us,
            looked_us=self._looked_us,
            passed_us=self._passed_us,
        )

    def restore(self, batches: Iterator[pa.RecordBatch]) -> None:
        values, sessions = _FORMAT.read(batches)
        self._next_row, self._taken_from_us = values["next_row"], values["taken_from_us"]
        self._looked_us, self._passed_us = values["looked_us"], values["passed_us"]
        self._store.restore(batch.polars() for batch in sessions)

    def _earliest(self, until: int) -> int:
        """Return a time before which no session begins that is open or may still open."""
        sessions = self._store.merge()
        if sessions is None:
            return until
        first = sessions[FIRST].min()
        assert isinstance(first, int)
        return min(until, self._time.to_us(first))

    def _close(self, until: int | None) -> Iterator[Batch]:
        self._memory.check()
        sessions = self._store.take(until)
        if sessions is None or not sessions.height:
            return
        bounds = time_bounds(self._time, pl.col(FIRST), pl.col(LAST) + self._gap)
        yield Batch(self._aggregation.results(sessions.sort(FIRST, ROW), [*bounds, *self._by]))
