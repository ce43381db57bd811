"""Watermarks derived from a column of event times."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import polars as pl
import pyarrow as pa

from arrowstream.core.batch import Batch, Element, Idle, Watermark
from arrowstream.core.duration import Duration, microseconds, nanoseconds
from arrowstream.core.hints import did_you_mean
from arrowstream.core.step_context import StepContext
from arrowstream.errors import SchemaError
from arrowstream.operators.base import Operator, Process, TimedProcess
from arrowstream.operators.windows.event_time import how_to_convert
from arrowstream.state.snapshot import SnapshotFormat

_FORMAT = SnapshotFormat("event time", 1)


@dataclass(frozen=True, slots=True)
class Watermarks(Operator):
    """A watermark after each batch: the latest event time so far, less `lateness`.

    Parameters
    ----------
    column
        The event time: a Datetime, a Date, or whole microseconds since 1970 (UTC).
    lateness_us
        Microseconds by which rows may come out of order.
    idle_ns
        Nanoseconds without a row after which other streams no longer wait for this one; None if they always wait.

    Raises
    ------
    SchemaError
        The column is missing, or does not hold times.
    """

    name: ClassVar[str] = "event_time"
    column: str
    lateness_us: int = 0
    idle_ns: int | None = None

    @classmethod
    def of(cls, column: str, lateness: Duration = 0.0, idle: Duration | None = None) -> Watermarks:
        """Make the step from what users write.

        Parameters
        ----------
        column
            The event time: a Datetime, a Date, or whole microseconds since 1970 (UTC).
        lateness
            The most event time by which a row may be out of order (``"5s"``, seconds, a timedelta).
        idle
            Time without a row after which other streams no longer wait for this one where streams meet; by default
            they always do.

        Raises
        ------
        PlanError
            `lateness` or `idle` isn't a duration.
        """
        return cls(column, microseconds(lateness), None if idle is None else nanoseconds(idle))

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
        return _Marking(self) if self.idle_ns is None else _IdlingMarking(self, self.idle_ns)

    def describe(self) -> str:
        idle = "" if self.idle_ns is None else f", idle={self.idle_ns / 1e9:g} s"
        return f"event_time({self.column}, lateness={self.lateness_us / 1e6:g} s{idle})"


class _Marking(Process):
    __slots__ = ("_latest", "_operator")

    def __init__(self, operator: Watermarks) -> None:
        self._operator = operator
        self._latest: int | None = None

    def process(self, batch: Batch) -> Iterator[Element]:
        yield batch
        latest = latest_us(batch.polars()[self._operator.column])
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


class _IdlingMarking(_Marking, TimedProcess):
    """Counts only time spent waiting for input: the source isn't idle while later stages are busy."""

    __slots__ = ("_deadline_ns", "_idle_ns", "_left_ns")

    def __init__(self, operator: Watermarks, idle_ns: int) -> None:
        super().__init__(operator)
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
        if (
            batch.num_rows
        ):  # a source that polls and finds nothing gives an empty batch: it is idle all the same
            self._left_ns = self._idle_ns
        return super().process(batch)

    def on_timer(self, now_ns: int) -> Iterator[Element]:
        self._deadline_ns, self._left_ns = None, 0
        yield Idle()


def latest_us(times: pl.Series) -> int | None:
    """Return the latest of some times, in microseconds since 1970 UTC (rounded down); None without any."""
    if times.dtype == pl.Datetime:
        # Cast to the unit, not to the zone: only the instant matters.
        latest = times.dt.epoch("us").max()
    elif times.dtype == pl.Date:
        latest = times.cast(pl.Datetime("us")).dt.epoch("us").max()
    else:
        latest = times.max()
    assert latest is None or isinstance(latest, int)
    return latest
