"""Watermarks derived from a column of event times."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import polars as pl
import pyarrow as pa

from arrowstream.core.batch import Batch, Element, Idle, Watermark
from arrowstream.core.duration import seconds_text
from arrowstream.core.event_time import EventTime
from arrowstream.core.hints import did_you_mean
from arrowstream.core.notes import ReaderNote
from arrowstream.core.step_context import StepContext
from arrowstream.errors import SchemaError
from arrowstream.operators.base import Operator, Process, TimedProcess
from arrowstream.operators.event_time.latest_time import LatestTime
from arrowstream.operators.event_time.partitioned_time import PartitionedTime
from arrowstream.operators.windows.event_time import how_to_convert
from arrowstream.state.snapshot import SnapshotFormat

_FORMAT = SnapshotFormat("event time", 1)


@dataclass(frozen=True, slots=True)
class Watermarks(EventTime, Operator):
    """A watermark after each batch: the latest event time so far minus `lateness_us`.

    Raises
    ------
    SchemaError
        The column is missing, or does not hold times.
    """

    name: ClassVar[str] = "event_time"
    passes_rows_on: ClassVar[bool] = True
    by_partition: bool = False
    """Whether each partition of the source has a time of its own, and the stream has the least of them."""

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
                f"column {self.column!r} is not a time",
                expected="a Datetime, a Date, or an integer of microseconds since 1970",
                found=str(dtype),
                hint=how_to_convert(self.column, dtype),
            )
        return schema

    @property
    def time_column(self) -> str:
        return self.column

    def start(self, schema: pl.Schema, context: StepContext) -> Process:
        if self.by_partition:
            return PartitionedTime(self, context)
        if self.idle_ns is None:
            return _Marking(self, context)
        return _IdlingMarking(self, context, self.idle_ns)

    def describe(self) -> str:
        parts = [self.column, f"lateness={seconds_text(self.lateness_us)} s"]
        if self.idle_ns is not None:
            parts.append(f"idle={seconds_text(self.idle_ns, 9)} s")
        if self.advance_when_idle:
            parts.append("advance_when_idle")
        if self.max_jump_us is not None:
            parts.append(f"max_jump={seconds_text(self.max_jump_us)} s")
        if self.by_partition:
            parts.append("by partition")
        return f"event_time({', '.join(parts)})"


class _Marking(Process):
    __slots__ = ("_operator", "_time")

    def __init__(self, operator: Watermarks, context: StepContext) -> None:
        self._operator = operator
        self._time = LatestTime(operator, context)

    @property
    def notes(self) -> tuple[ReaderNote, ...]:
        return self._time.notes

    def process(self, batch: Batch) -> Iterator[Element]:
        yield batch
        if self._time.advance(batch):
            yield from self._watermark()

    def _watermark(self) -> Iterator[Element]:
        if self._time.latest_us is not None:
            yield Watermark(self._time.latest_us - self._operator.lateness_us)

    def on_watermark(self, time_us: int) -> Iterator[Element]:
        """Drop watermarks of earlier steps: from here on this column is the event time."""
        return iter(())

    def snapshot(self) -> Iterator[pa.RecordBatch]:
        return _FORMAT.write(latest_us=self._time.latest_us)

    def restore(self, batches: Iterator[pa.RecordBatch]) -> None:
        values, _ = _FORMAT.read(batches)
        self._time.latest_us = values["latest_us"]

    def finish(self) -> Iterator[Element]:
        return iter(())


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
            if self._time.latest_us is not None:
                self._time.latest_us += self._idle_ns // 1_000
            yield from self._watermark()
        yield Idle()
