"""`throttle`: an upper limit on rows, or batches, per unit of time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import polars as pl
import pyarrow as pa

from arrowstream.core.batch import Batch, Element, Idle, Watermark
from arrowstream.core.checks import check_whole
from arrowstream.core.duration import Duration, nanoseconds
from arrowstream.core.step_context import StepContext
from arrowstream.errors import PlanError
from arrowstream.operators.base import Operator, Process, TimedProcess
from arrowstream.state.limit import NO_LIMIT
from arrowstream.state.memory import StateMemory
from arrowstream.state.row_queue import RowQueue
from arrowstream.state.snapshot import SnapshotFormat

_FORMAT = SnapshotFormat("throttle", 1)


@dataclass(frozen=True, slots=True)
class Throttle(Operator):
    """Pass `rows` rows, or `batches` batches, per time `per`, and up to twice that at first and after a pause.

    Backpressure slows the source down. A token bucket (Turner, "New directions in communications", 1986): it holds at
    most `rows` tokens, is full at first, and fills at an even rate, so that at the start and after a pause `rows`
    rows pass at once, and as many again in the time `per` after that. A batch of more rows than there are tokens is
    cut into slices, each of a tenth of `rows` at least; a watermark waits for the rows before it, and so does the end
    of the stream.

    Parameters
    ----------
    rows, batches
        Rows, or batches, that may pass in the time `per`; give one of the two, at least 1.
    per
        The time for this number, such as ``"1s"``.

    Raises
    ------
    PlanError
        Not exactly one of `rows` and `batches` is given, it is below 1, or `per` isn't a duration above 0.
    """

    name: ClassVar[str] = "throttle"
    rows: int | None = None
    batches: int | None = None
    per: Duration = "1s"

    def __post_init__(self) -> None:
        if (self.rows is None) == (self.batches is None):
            raise PlanError("throttle() limits rows or batches", expected="one of rows= and batches=")
        check_whole(
            f"throttle({'batches' if self.rows is None else 'rows'}=...)",
            self.batches if self.rows is None else self.rows,
        )
        if not self._per_ns:
            raise PlanError("throttle(per=...) is not a time", expected="more than 0", found=str(self.per))

    def output_schema(self, schema: pl.Schema) -> pl.Schema:
        return schema

    def start(self, schema: pl.Schema, context: StepContext) -> Process:
        return _Throttling(self._count, self._per_ns, self.rows is None, NO_LIMIT.memory(context))

    @property
    def identity(self) -> str:
        return self.name

    def describe(self) -> str:
        return f"throttle({'batches' if self.rows is None else 'rows'}={self._count}, per={self.per})"

    @property
    def _count(self) -> int:
        return self.rows or self.batches or 0

    @property
    def _per_ns(self) -> int:
        return nanoseconds(self.per)


class _Throttling(TimedProcess):
    """A token bucket; credit is tokens times `per`, so that it fills by a whole number, `count`, each nanosecond."""

    __slots__ = ("_count", "_credit", "_full", "_now", "_per", "_queue", "_whole")

    def __init__(self, count: int, per_ns: int, whole: bool, memory: StateMemory) -> None:
        self._count = count
        self._per = per_ns
        self._whole = whole
        self._queue = RowQueue(memory)
        self._full = count * per_ns
        self._credit = self._full
        self._now: int | None = None

    def set_time(self, now_ns: int) -> None:
        passed = 0 if self._now is None else now_ns - self._now
        self._credit = min(self._full, self._credit + passed * self._count)
        self._now = now_ns

    @property
    def accepts_input(self) -> bool:
        return not self._queue.rows

    @property
    def deadline_ns(self) -> int | None:
        if not self._queue.rows:
            return None
        missing = self._least() * self._per - self._credit
        return (self._now or 0) + max(-(-missing // self._count), 0)

    def on_timer(self, now_ns: int) -> Iterator[Element]:
        self.set_time(now_ns)
        return self._drain()

    def process(self, batch: Batch) -> Iterator[Element]:
        if batch.num_rows:
            self._queue.push(batch)
        return self._drain()

    def on_watermark(self, time_us: int) -> Iterator[Element]:
        return self._queue.mark(Watermark(time_us))

    def on_idle(self) -> Iterator[Element]:
        return self._queue.mark(Idle())

    def snapshot(self) -> Iterator[pa.RecordBatch]:
        return self._queue.snapshot(_FORMAT, credit=self._credit)

    def restore(self, batches: Iterator[pa.RecordBatch]) -> None:
        values, rows = _FORMAT.read(batches)
        self._queue.restore(rows, values["marks"])
        self._credit = min(self._full, values["credit"])  # the limit may be another one than before

    def finish(self) -> Iterator[Element]:
        return self._queue.take(self._queue.rows)

    def _least(self) -> int:
        """Return the tokens that the next part needs: all its rows, or a tenth of `rows` for a slice."""
        return 1 if self._whole else min(self._queue.rows, max(self._count // 10, 1))

    def _drain(self) -> Iterator[Element]:
        while self._queue.rows and (tokens := self._credit // self._per) >= self._least():
            spent = 1 if self._whole else min(tokens, self._queue.rows)
            self._credit -= spent * self._per
            yield from self._queue.take_batch() if self._whole else self._queue.take(spent)
