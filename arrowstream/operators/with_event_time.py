"""Watermarks derived from a column of event times."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from arrowstream.core.batch import Batch, Element, Idle, Watermark
from arrowstream.core.event_time import EventTime
from arrowstream.core.hints import did_you_mean
from arrowstream.core.notes import ReaderNote
from arrowstream.core.step_context import StepContext
from arrowstream.errors import SchemaError
from arrowstream.operators.base import Operator, Process, TimedProcess
from arrowstream.operators.windows.event_time import how_to_convert
from arrowstream.operators.windows.jumps import advanced
from arrowstream.state.snapshot import SnapshotFormat

_FORMAT = SnapshotFormat("event time", 1)

TOO_FAR = "rows too far ahead to move event time (max_jump)"
STANDS_STILL = (
    "rows at the end all too far ahead, as after a gap: choose max_jump longer than it, or advance_when_idle"
)

STILL_ROWS = 1_000
"""Rows one after the other, all of them too far ahead, after which event time counts as standing still."""


@dataclass(frozen=True, slots=True)
class Watermarks(EventTime, Operator):
    """A watermark after each batch: the latest event time so far minus `lateness_us`.

    Raises
    ------
    SchemaError
        The column is missing, or does not hold times.
    """

    name: ClassVar[str] = "event_time"

    def output_schema(self, schema: pl.Schema) -> pl.Schema:
        dtype = schema.get(self.column)
        if dtype is None:
            raise SchemaError(
                "the event time names a column that is not there",
                expected=f"one of the columns {', '.join(schema)}",
                found=self.column,
                hint=did_you_mean(self.column, schema),
            )
        if not (dtype.is_integer() or dtype == pl.Date or dtype == pl.Datetime):
            raise SchemaError(
                f"column {self.column!r} is no time",
                expected="a Datetime, a Date, or an integer of microseconds since 1970",
                found=str(dtype),
                hint=how_to_convert(self.column, dtype),
            )
        return schema

    def start(self, schema: pl.Schema, context: StepContext) -> Process:
        if self.idle_ns is None:
            return _Marking(self, context)
        return _IdlingMarking(self, context, self.idle_ns)

    def describe(self) -> str:
        parts = [self.column, f"lateness={self.lateness_us / 1e6:g} s"]
        if self.idle_ns is not None:
            parts.append(f"idle={self.idle_ns / 1e9:g} s")
        if self.advance_when_idle:
            parts.append("advance_when_idle")
        if self.max_jump_us is not None:
            parts.append(f"max_jump={self.max_jump_us / 1e6:g} s")
        return f"event_time({', '.join(parts)})"


class _Marking(Process):
    __slots__ = (
        "_context",
        "_first_ahead",
        "_first_still",
        "_latest",
        "_operator",
        "_rows",
        "_rows_ahead",
        "_rows_still",
    )

    def __init__(self, operator: Watermarks, context: StepContext) -> None:
        self._operator = operator
        self._context = context
        self._latest: int | None = None
        """The latest event time so far, and what the clock has added to it; None before the first row."""
        self._rows = 0
        self._rows_ahead = 0
        self._first_ahead = ""
        self._rows_still = 0
        """Number of the last rows that are all too far ahead, without any other between them."""
        self._first_still = ""

    @property
    def notes(self) -> tuple[ReaderNote, ...]:
        if not self._rows_ahead:
            return ()
        found = [ReaderNote(TOO_FAR, self._rows_ahead, self._first_ahead, lost=False)]
        if self._rows_still >= STILL_ROWS:
            found.append(ReaderNote(STANDS_STILL, self._rows_still, self._first_still, lost=False))
        return tuple(found)

    def process(self, batch: Batch) -> Iterator[Element]:
        yield batch
        latest = self._latest_with(batch)
        self._rows += batch.num_rows
        if latest is not None and (self._latest is None or latest > self._latest):
            self._latest = latest
            yield Watermark(latest - self._operator.lateness_us)

    def on_watermark(self, time_us: int) -> Iterator[Element]:
        """Drop watermarks of earlier steps: from here on this column is the event time."""
        return iter(())

    def snapshot(self) -> Iterator[pa.RecordBatch]:
        return _FORMAT.write(latest_us=self._latest)

    def restore(self, batches: Iterator[pa.RecordBatch]) -> None:
        values, _ = _FORMAT.read(batches)
        self._latest = values["latest_us"]

    def finish(self) -> Iterator[Element]:
        return iter(())

    def _latest_with(self, batch: Batch) -> int | None:
        """Return the event time after the rows of `batch`; None if they have none."""
        times = batch.polars()[self._operator.column]
        latest, jump = latest_us(times), self._operator.max_jump_us
        if latest is None or jump is None:
            return latest
        if self._latest is not None and latest <= self._latest + jump:
            self._rows_still = 0
            return latest
        known = times.is_not_null()
        microseconds = _in_us(times).filter(known).cast(pl.Int64, strict=False).fill_null(_LAST).to_numpy()
        before = int(microseconds[0]) if self._latest is None else self._latest
        latest, ahead = advanced(microseconds, before, jump)
        rows = np.flatnonzero(known.to_numpy())
        self._note(batch, rows[ahead])
        self._note_still(batch, rows, ahead)
        return latest

    def _note_still(self, batch: Batch, rows: npt.NDArray[np.int64], ahead: npt.NDArray[np.bool_]) -> None:
        """Count the rows at the end of the stream so far that are all too far ahead; log once that they are many.

        After a gap that is longer than `max_jump` no row moves event time. A correction by itself would make rows
        late that come after those of a wrong clock.
        """
        before = self._rows_still
        near = np.flatnonzero(~ahead)
        start = int(near[-1]) + 1 if len(near) else 0
        if start or not before:
            before = 0
            self._first_still = self._place(batch, int(rows[start])) if start < len(rows) else ""
        self._rows_still = before + len(rows) - start
        if before < STILL_ROWS <= self._rows_still:
            self._context.logger.warning(
                "%s: event time stands still: %s, first in %s",
                self._context.id,
                STANDS_STILL,
                self._first_still,
            )

    def _note(self, batch: Batch, ahead: np.ndarray[tuple[int], np.dtype[np.int64]]) -> None:
        """Count rows that are too far ahead; log the first."""
        if not self._rows_ahead and len(ahead):
            self._first_ahead = self._place(batch, int(ahead[0]))
            self._context.logger.warning(
                "%s: a row is too far ahead to move event time; the report counts further ones: %s",
                self._context.id,
                self._first_ahead,
            )
        self._rows_ahead += len(ahead)

    def _place(self, batch: Batch, row: int) -> str:
        """Return where a row of the batch comes from, and its time."""
        position = batch.slice(row, 1).position
        if position is None:
            place = f"row {self._rows + row + 1} of the stream"
        else:
            place = f"row {position.start + 1} of {position.origin}" if position.exact else str(position)
        column = self._operator.column
        return f"{place}, {column} = {batch.polars()[column][row]}"


class _IdlingMarking(_Marking, TimedProcess):
    """Counts only time spent waiting for input: the source isn't idle while later stages are busy."""

    __slots__ = ("_deadline_ns", "_idle_ns", "_left_ns")

    def __init__(self, operator: Watermarks, context: StepContext, idle_ns: int) -> None:
        super().__init__(operator, context)
        self._idle_ns = idle_ns
        self._left_ns = idle_ns
        self._deadline_ns: int | None = None

    def set_time(self, now_ns: int) -> None:
        # Marks of the source itself do not end idleness.
        if self._deadline_ns is not None:
            self._left_ns = max(self._deadline_ns - now_ns, 0)

    def on_waiting(self, now_ns: int) -> None:
        if self._left_ns:
            self._deadline_ns = now_ns + self._left_ns

    @property
    def deadline_ns(self) -> int | None:
        return self._deadline_ns

    def process(self, batch: Batch) -> Iterator[Element]:
        # A source that polls and finds nothing gives an empty batch: it is idle all the same.
        if batch.num_rows:
            self._left_ns = self._idle_ns
        return super().process(batch)

    def on_timer(self, now_ns: int) -> Iterator[Element]:
        """Report that the stream is idle; let event time advance by the silence if asked for.

        The watermark comes before the mark: where streams meet, it counts for this stream, which after the mark holds
        no other back.
        """
        self._deadline_ns, self._left_ns = None, 0
        if self._operator.advance_when_idle:
            self._left_ns = self._idle_ns
            if self._latest is not None:
                self._latest += self._idle_ns // 1_000
                yield Watermark(self._latest - self._operator.lateness_us)
        yield Idle()


_LAST = 2**63 - 1


def latest_us(times: pl.Series) -> int | None:
    """Return the latest of some times, in microseconds since 1970 UTC (rounded down); None without any."""
    latest = _in_us(times).max()
    assert latest is None or isinstance(latest, int)
    return latest


def _in_us(times: pl.Series) -> pl.Series:
    """Return times as whole microseconds since 1970 UTC, rounded down."""
    if times.dtype == pl.Datetime:
        # Cast to the unit, not to the zone: only the instant matters.
        return times.dt.epoch("us")
    return times.cast(pl.Datetime("us")).dt.epoch("us") if times.dtype == pl.Date else times
