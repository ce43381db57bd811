"""`batch`: the same rows in batches of another size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import polars as pl
import pyarrow as pa

from arrowstream.core.batch import Batch, Element, Idle, Watermark, joined_batch
from arrowstream.core.checks import check_whole
from arrowstream.core.duration import Duration, nanoseconds
from arrowstream.core.step_context import StepContext
from arrowstream.errors import PlanError
from arrowstream.operators.base import Operator, Process, TimedProcess
from arrowstream.state.limit import NO_LIMIT
from arrowstream.state.memory import StateMemory
from arrowstream.state.row_queue import RowQueue
from arrowstream.state.snapshot import SnapshotFormat

_ENDLESS = 1 << 62
_FORMAT = SnapshotFormat("batch", 1)


@dataclass(frozen=True, slots=True)
class Rebatch(Operator):
    """Re-cut the stream into batches of `rows` rows, of about `nbytes` bytes, or by time.

    A batch that is large enough is only sliced, which shares its memory; smaller ones are collected
    and joined once. Of several limits the first one reached ends a batch; the last batch may be smaller.
    A watermark or idle mark that comes while rows are held waits until they are out: where streams meet, the others
    wait for those rows. Set `max_delay` to bound that wait.

    Parameters
    ----------
    rows
        The most rows of a batch that comes out, at least 1.
    nbytes
        The most bytes of a batch that comes out, at least 1, counting all rows of an input batch as equally
        large; a single row may be larger.
    max_delay
        The longest time that a row is held, such as ``"50ms"``; None for no limit.

    Raises
    ------
    PlanError
        No limit is given, one is below 1, or `max_delay` isn't a duration.
    """

    name: ClassVar[str] = "batch"
    rows: int | None = None
    nbytes: int | None = None
    max_delay: Duration | None = None

    def __post_init__(self) -> None:
        for name, limit in (("rows", self.rows), ("nbytes", self.nbytes)):
            if limit is not None:
                check_whole(f"batch({name}=...)", limit)
        if self.rows is None and self.nbytes is None and self.max_delay is None:
            raise PlanError("batch() has no limit", expected="rows=, nbytes= or max_delay=")
        _delay_ns(self.max_delay)

    def output_schema(self, schema: pl.Schema) -> pl.Schema:
        return schema

    def start(self, schema: pl.Schema, context: StepContext) -> Process:
        delay = _delay_ns(self.max_delay)
        memory = NO_LIMIT.memory(context)
        if delay is None:
            return _Rebatching(self.rows, self.nbytes, memory)
        return _TimedRebatching(self.rows, self.nbytes, memory, delay)

    @property
    def identity(self) -> str:
        return "batch"

    def describe(self) -> str:
        limits = {"rows": self.rows, "nbytes": self.nbytes, "max_delay": self.max_delay}
        return f"batch({', '.join(f'{name}={value}' for name, value in limits.items() if value is not None)})"


def _delay_ns(duration: Duration | None) -> int | None:
    return None if duration is None else nanoseconds(duration)


class _Rebatching(Process):
    __slots__ = ("_bytes", "_most_bytes", "_most_rows", "_queue")

    def __init__(self, rows: int | None, nbytes: int | None, memory: StateMemory) -> None:
        self._most_rows = rows or _ENDLESS
        self._most_bytes = nbytes or _ENDLESS
        self._queue = RowQueue(memory)
        self._bytes = 0.0

    def process(self, batch: Batch) -> Iterator[Element]:
        offset, rows = 0, batch.num_rows
        row_bytes = max(batch.nbytes / rows, 1e-9) if rows and self._most_bytes < _ENDLESS else 1e-9
        # Rows are joined only to fill the one batch that was begun earlier; the rest are slices.
        while offset < rows:
            room = self._room(row_bytes)
            part = batch.slice(offset, min(room, rows - offset))
            if part.num_rows:
                self._hold(part, row_bytes * part.num_rows)
                offset += part.num_rows
            if part.num_rows == room:
                yield from self._release()

    def on_watermark(self, time_us: int) -> Iterator[Element]:
        return self._queue.mark(Watermark(time_us))

    def on_idle(self) -> Iterator[Element]:
        return self._queue.mark(Idle())

    def snapshot(self) -> Iterator[pa.RecordBatch]:
        return self._queue.snapshot(_FORMAT)

    def restore(self, batches: Iterator[pa.RecordBatch]) -> None:
        values, rows = _FORMAT.read(batches)
        self._queue.restore(rows, values["marks"])
        self._bytes = float(self._queue.nbytes)

    def finish(self) -> Iterator[Element]:
        while self._queue.rows:
            yield from self._release()

    def _room(self, row_bytes: float) -> int:
        """Return how many rows of `row_bytes` bytes fit next to the held ones; at least 1 if none is held."""
        by_bytes = int((self._most_bytes - self._bytes) / row_bytes)
        by_rows = max(
            self._most_rows - self._queue.rows, 0
        )  # restored rows may be more than this batch may have
        return min(by_rows, max(by_bytes, 0 if self._queue.rows else 1))

    def _hold(self, batch: Batch, nbytes: float) -> None:
        self._queue.push(batch)
        self._bytes += nbytes

    def _release(self) -> Iterator[Element]:
        held = list(self._queue.take(min(self._queue.rows, self._most_rows)))
        self._bytes = float(self._queue.nbytes) if self._queue.rows else 0.0
        batches = [item for item in held if isinstance(item, Batch)]
        yield batches[0] if len(batches) == 1 else joined_batch(batches)
        yield from [item for item in held if isinstance(item, Watermark)][-1:]
        yield from [item for item in held if isinstance(item, Idle)]


class _TimedRebatching(_Rebatching, TimedProcess):
    __slots__ = ("_delay", "_now", "_since")

    def __init__(self, rows: int | None, nbytes: int | None, memory: StateMemory, delay: int) -> None:
        super().__init__(rows, nbytes, memory)
        self._delay = delay
        self._now = 0
        self._since = 0  # restored rows are due at once

    def set_time(self, now_ns: int) -> None:
        self._now = now_ns

    @property
    def deadline_ns(self) -> int | None:
        return self._since + self._delay if self._queue.rows else None

    def on_timer(self, now_ns: int) -> Iterator[Element]:
        if now_ns >= self._since + self._delay:
            while self._queue.rows:
                yield from self._release()

    def _hold(self, batch: Batch, nbytes: float) -> None:
        if not self._queue.rows:
            self._since = self._now
        super()._hold(batch, nbytes)
