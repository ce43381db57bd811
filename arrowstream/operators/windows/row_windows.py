"""`window(...).rows()`: each row with the bounds of its windows."""

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
from arrowstream.expressions.lineage import Names
from arrowstream.operators.aggregation.reserved_names import check_names
from arrowstream.operators.base import Operator, Process
from arrowstream.operators.windows.columns import GivesWindows, time_bounds, window_schema
from arrowstream.operators.windows.event_time import EventTimeColumn
from arrowstream.operators.windows.late_rows import LateRows
from arrowstream.operators.windows.panes import PANE
from arrowstream.operators.windows.spacing import Spacing
from arrowstream.operators.windows.timeless_rows import NullTimes, TimelessRows
from arrowstream.state.snapshot import SnapshotFormat

_FORMAT = SnapshotFormat("row windows", 1)


@dataclass(frozen=True, slots=True, eq=False)
class RowWindows(GivesWindows, Operator):
    """Each row with the bounds of each of its windows; holds no row.

    Parameters
    ----------
    spacing
        The length of windows, and where they begin.
    on
        The event-time column.
    lateness_us
        Allowed lateness, in microseconds: a window closes once the watermark is this far past its end.
    null_times
        What is done with rows without an event time.
    """

    name: ClassVar[str] = "window"
    spacing: Spacing
    on: str
    lateness_us: int
    null_times: NullTimes = "error"

    def output_schema(self, schema: pl.Schema) -> pl.Schema:
        check_names("window", schema)
        time = EventTimeColumn.of("window", self.on, schema)
        self.spacing.grid(time)
        return window_schema(time.dtype, pl.Schema(), schema)

    def names_after(self, names: Names) -> Names:
        return names | GivesWindows.names_after(self, names)

    def start(self, schema: pl.Schema, context: StepContext) -> Process:
        return _RowWindows(self, EventTimeColumn.of("window", self.on, schema), schema)

    @property
    def identity(self) -> str:
        return replace(self, null_times="error").describe()

    def describe(self) -> str:
        late = f", allowed_lateness={seconds_text(self.lateness_us)}s" if self.lateness_us else ""
        nulls = f", null_times={self.null_times}" if self.null_times != "error" else ""
        return f"window({self.spacing.describe()}, on={self.on}{late}{nulls}).rows()"


class _RowWindows(Process):
    __slots__ = ("_grid", "_late", "_lateness_us", "_open", "_schema", "_time", "_timeless")

    def __init__(self, operator: RowWindows, time: EventTimeColumn, schema: pl.Schema) -> None:
        self._time = time
        self._grid = operator.spacing.grid(time)
        self._lateness_us = operator.lateness_us
        self._schema = schema
        self._late = LateRows(schema)
        self._timeless = TimelessRows(operator.null_times, time, self._late)
        self._open: int | None = None
        """The first open window, as a multiple of `every`; None before the first watermark."""

    @property
    def notes(self) -> tuple[ReaderNote, ...]:
        return self._timeless.notes

    def process(self, batch: Batch) -> Iterator[Element]:
        rows = self._timeless.sift(batch)
        if not rows.height:
            return
        self._grid.span(rows)
        rows = rows.with_columns(self._grid.panes().alias(PANE))
        every, size = self._grid.per_every, self._grid.per_size
        if self._open is not None:
            rows = self._late.sift(rows, pl.col(PANE) < self._open * every)
        # The last window that a row is in, and those that begin before it, the first of them first.
        for back in reversed(range(-(-size // every))):
            number = pl.col(PANE) // every - back
            inside = pl.col(PANE) < number * every + size
            if self._open is not None:
                inside &= number >= self._open
            starts = (number * every).alias(PANE)
            part = rows.filter(inside).with_columns(starts)
            if part.height:
                start = pl.col(PANE)
                bounds = time_bounds(self._time, self._grid.starts(start), self._grid.starts(start + size))
                yield batch.with_rows(part.select(*bounds, *self._schema))

    def on_watermark(self, time_us: int) -> Iterator[Element]:
        until = self._grid.closed_before(time_us - self._lateness_us)
        self._open = until if self._open is None else max(until, self._open)
        yield Watermark(self._grid.start_us(self._open * self._grid.per_every))

    def take_late(self) -> Batch | None:
        return self._late.take()

    def snapshot(self) -> Iterator[pa.RecordBatch]:
        return _FORMAT.write(open=self._open)

    def restore(self, batches: Iterator[pa.RecordBatch]) -> None:
        values, _ = _FORMAT.read(batches)
        self._open = values["open"]

    def finish(self) -> Iterator[Element]:
        return iter(())
