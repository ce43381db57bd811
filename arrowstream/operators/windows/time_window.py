"""`window(size=...)`: aggregates over tumbling or hopping windows of event time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import polars as pl
import pyarrow as pa

from arrowstream.core.batch import Batch, Element, Watermark
from arrowstream.core.duration import seconds_text
from arrowstream.core.notes import ReaderNote
from arrowstream.core.rows.grouping import Grouping
from arrowstream.core.step_context import StepContext
from arrowstream.expressions.text import columns_text, expression_text
from arrowstream.operators.aggregation.aggregation import Aggregation
from arrowstream.operators.aggregation.made_groups import made_groups
from arrowstream.operators.aggregation.mergeable import numbered
from arrowstream.operators.aggregation.once import aggregation_of
from arrowstream.operators.aggregation.reserved_names import check_names
from arrowstream.operators.arguments import key_schema
from arrowstream.operators.base import Operator, Process
from arrowstream.operators.windows.columns import GivesWindows, time_bounds, window_schema
from arrowstream.operators.windows.event_time import EventTimeColumn
from arrowstream.operators.windows.late_rows import LateRows
from arrowstream.operators.windows.pane_store import PaneStore, PartialAggregates
from arrowstream.operators.windows.panes import PANE, SortedGroups, cut, in_order
from arrowstream.operators.windows.run_store import PaneStatistics
from arrowstream.operators.windows.spacing import Spacing
from arrowstream.operators.windows.summed_windows import SummedWindows
from arrowstream.operators.windows.timeless_rows import NullTimes, TimelessRows
from arrowstream.state.close_integers import is_integer
from arrowstream.state.limit import NO_LIMIT, StateLimit
from arrowstream.state.memory import StateMemory
from arrowstream.state.owned_rows import owned
from arrowstream.state.snapshot import SnapshotFormat

_FORMAT = SnapshotFormat("time window", 1)


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class TimeWindow(GivesWindows, Operator):
    """Aggregates over tumbling or hopping windows of event time; see `arrowstream.operators.window`.

    Parameters
    ----------
    spacing
        The length of windows, and where they begin.
    on
        The event-time column.
    by
        The key columns.
    lateness_us
        Allowed lateness, in microseconds: a window closes once the watermark is this far past its end.
    exprs
        The aggregations.
    limit
        Limit on the state.
    null_times
        What becomes of rows without an event time.
    """

    name: ClassVar[str] = "window"
    spacing: Spacing
    on: str
    by: tuple[str, ...]
    lateness_us: int
    exprs: tuple[pl.Expr, ...]
    limit: StateLimit = NO_LIMIT
    null_times: NullTimes = "error"

    def output_schema(self, schema: pl.Schema) -> pl.Schema:
        time, keys = EventTimeColumn.of("window", self.on, schema), key_schema("window", self.by, schema)
        self.spacing.grid(time)
        aggregation = aggregation_of(self, schema)
        return window_schema(time.dtype, keys, aggregation.output)

    def start(self, schema: pl.Schema, context: StepContext) -> Process:
        time, memory = EventTimeColumn.of("window", self.on, schema), self.limit.memory(context)
        return _TimeWindows(self, time, schema, aggregation_of(self, schema), memory)

    def grouping(self, schema: pl.Schema) -> Grouping | None:
        panes = self.spacing.grid(EventTimeColumn.of("window", self.on, schema)).even(PANE, None)
        return None if panes is None else aggregation_of(self, schema).grouping(schema, self.by, panes)

    @property
    def identity(self) -> str:
        # A job that a row without a time has ended may go on with another policy.
        return replace(self, limit=self.limit.lasting, null_times="error").describe()

    def describe(self) -> str:
        by = f", by=[{columns_text(self.by)}]" if self.by else ""
        late = f", allowed_lateness={seconds_text(self.lateness_us)}s" if self.lateness_us else ""
        nulls = f", null_times={self.null_times}" if self.null_times != "error" else ""
        arguments = f"{self.spacing.describe()}, on={self.on}{by}{late}{nulls}{self.limit.describe()}"
        return f"window({arguments}).agg({', '.join(map(expression_text, self.exprs))})"

    def split_aggregation(self, schema: pl.Schema) -> Aggregation:
        """Check and split the expressions for rows of `schema`."""
        check_names("window", schema, self.by)
        # The panes of a hopping window are merged one after the other, not in the order in which rows arrived.
        return Aggregation.of(
            "window", self.exprs, schema, self.by, in_order=self.spacing.every == self.spacing.size
        )


class _TimeWindows(Process):
    """Time windows at work: rows are aggregated by pane, the gcd of size and every, and panes merged into windows."""

    __slots__ = (
        "_aggregation",
        "_by",
        "_grid",
        "_grouping",
        "_late",
        "_lateness_us",
        "_memory",
        "_next_row",
        "_open",
        "_pane_of_row",
        "_per_every",
        "_per_size",
        "_store",
        "_summed",
        "_time",
        "_timeless",
    )

    def __init__(
        self,
        operator: TimeWindow,
        time: EventTimeColumn,
        schema: pl.Schema,
        aggregation: Aggregation,
        memory: StateMemory,
    ) -> None:
        self._time = time
        self._grid = grid = operator.spacing.grid(time)
        self._by = operator.by
        self._aggregation = aggregation
        self._lateness_us = operator.lateness_us
        self._per_size, self._per_every = grid.per_size, grid.per_every
        self._pane_of_row = grid.panes()
        self._memory = memory
        self._grouping = operator.grouping(schema)
        self._store = PaneStore(
            operator.by,
            PartialAggregates(operator.by, aggregation),
            self._pane_of_row,
            memory,
            in_parts=aggregation.in_parts and not operator.by,
            # Only keys that are integers are merged in the order of their panes (`slotted_groups`).
            ordered=grid.per_size > 1 and all(is_integer(schema[name]) for name in operator.by),
        )
        self._summed = None
        """The windows from running sums, if they can be made so."""
        keys = key_schema("window", operator.by, schema)
        overlap = grid.per_size, grid.per_every
        if SummedWindows.take(keys, aggregation, *overlap) and not memory.is_limited:
            self._summed = SummedWindows(operator.by[0], *overlap)
        self._late = LateRows(schema)
        self._timeless = TimelessRows(operator.null_times, time, self._late)
        self._next_row = 0
        self._open: int | None = None
        """The first open window, as a multiple of `every`; None before the first watermark."""

    @property
    def notes(self) -> tuple[ReaderNote, ...]:
        return self._timeless.notes

    def statistics(self) -> PaneStatistics:
        """Return the sizes of the state."""
        return self._store.statistics()

    def process(self, batch: Batch) -> Iterator[Element]:
        self._memory.check()
        groups = self._groups_of(batch)
        if groups is not None:
            self._timeless.skip(batch.num_rows)
            self._next_row += batch.num_rows
            self._note(groups[PANE][0])
            self._store.add_groups(groups)
            return iter(())
        frame = self._timeless.sift(batch)
        if not frame.height:
            return iter(())
        low, high = self._panes(frame)
        rows = numbered(frame, self._next_row)
        self._next_row += frame.height
        if self._open is not None and low < self._open * self._per_every:
            rows = self._late.sift(rows, self._pane_of_row < self._open * self._per_every)
            if not rows.height:
                return iter(())
            low, high = self._panes(rows)
        self._note(low)
        self._store.add(rows, low, high)
        return iter(())

    def _note(self, pane: int) -> None:
        """Take note of the first pane of rows."""
        if self._summed is not None:
            self._summed.note(pane)

    def _groups_of(self, batch: Batch) -> pl.DataFrame | None:
        """Return the groups of a batch that are made where its rows lie, if none is late and each has a time."""
        if self._grouping is None:
            return None
        panes = self._grid.even(PANE, None if self._open is None else self._open * self._per_every)
        return made_groups(batch, replace(self._grouping, panes=panes), self._next_row)

    def on_watermark(self, time_us: int) -> Iterator[Element]:
        until = self._grid.closed_before(time_us - self._lateness_us)
        if self._open is None or until > self._open:
            yield from self._close_all(until)
            self._open = until
        # No later output begins before the first open window.
        yield Watermark(self._grid.start_us(self._open * self._per_every))

    def take_late(self) -> Batch | None:
        return self._late.take()

    def finish(self) -> Iterator[Element]:
        return self._close_all(None)

    def snapshot(self) -> Iterator[pa.RecordBatch]:
        self._memory.check_whole()
        return _FORMAT.write(self._store.saved(), self._by, next_row=self._next_row, open=self._open)

    def restore(self, batches: Iterator[pa.RecordBatch]) -> None:
        values, groups = _FORMAT.read(batches)
        self._next_row, self._open = values["next_row"], values["open"]
        self._store.restore(batch.polars() for batch in groups)

    def _close_all(self, until: int | None) -> Iterator[Batch]:
        """Close the windows before `until` (None: all), a few at a time where memory holds no more."""
        self._memory.check()
        while (few := self._few(until)) is not None:
            yield from self._close(few)
            self._open = few
        yield from self._close(until)

    def _few(self, until: int | None) -> int | None:
        """Return the end of the first windows, at least one, that fit in memory together; None if all fit."""
        overlap = -(-self._per_size // self._per_every)
        panes = self._store.first_few(self._end_of(until), overlap)
        if panes is None:
            return None
        # Windows that end at or before the pane up to which groups may be taken.
        first, most = ((pane - self._per_size) // self._per_every + 1 for pane in panes)
        few = max(most, (first if self._open is None else max(first, self._open)) + 1)
        return few if until is None or few < until else None

    def _close(self, until: int | None) -> Iterator[Batch]:
        """Close the open windows before `until`, a multiple of `every`; None closes all."""
        end = self._end_of(until)
        in_files = self._store.in_files(end)
        panes = self._store.take(end, None if until is None else until * self._per_every)
        if panes is None:
            return
        groups = None if self._summed is None else self._summed.close(panes, self._open, until)
        if groups is None:
            groups = in_order(panes.frame if self._per_size == 1 else self._windows(panes, until))
        windows = self._emit(groups)
        yield Batch(owned(windows) if in_files else windows)

    def _end_of(self, until: int | None) -> int | None:
        """Return the pane after the last one of the windows before `until`."""
        return None if until is None else (until - 1) * self._per_every + self._per_size

    def _panes(self, rows: pl.DataFrame) -> tuple[int, int]:
        """Return the first and the last pane of rows."""
        return self._grid.span(rows)

    def _windows(self, panes: SortedGroups, until: int | None) -> pl.DataFrame:
        """Merge panes into their windows, from the first open one to before `until`."""
        every = self._per_every
        parts = []
        # A pane belongs to the last window that begins before it ends, and to `back` windows before that one.
        for back in range(-(-self._per_size // every)):
            part, _ = cut(panes, None if until is None else (until + back) * every)
            if self._open is not None:
                _, part = cut(part, (self._open + back) * every)
            room = self._per_size - back * every
            if part is not None and room < every:
                part = part.only(pl.col(PANE) % every < room)
            if part is not None:
                parts.append(part.moved(every, back))
        return self._store.merged(parts)

    def _emit(self, windows: pl.DataFrame) -> pl.DataFrame:
        start = pl.col(PANE) * self._per_every
        bounds = time_bounds(self._time, self._grid.starts(start), self._grid.starts(start + self._per_size))
        return self._aggregation.results(windows, [*bounds, *map(pl.col, self._by)])
