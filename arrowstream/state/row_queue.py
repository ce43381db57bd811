"""A queue of rows that an operator holds back, with the marks that must wait for them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa

from arrowstream.core.batch import Batch, Idle, Watermark
from arrowstream.state.memory import StateMemory
from arrowstream.state.snapshot import SnapshotFormat

Held = Batch | Watermark | Idle


class RowQueue:
    """A first-in, first-out queue of rows and marks: a mark leaves after all rows that came before it.

    Parameters
    ----------
    memory
        The memory that counts the bytes of the rows, if it has a limit.
    """

    __slots__ = ("_held", "_memory", "_rows")

    def __init__(self, memory: StateMemory) -> None:
        self._memory = memory
        self._held: deque[Held] = deque()
        self._rows = 0

    @property
    def rows(self) -> int:
        """The number of rows held. Without rows, no mark is held either."""
        return self._rows

    def push(self, batch: Batch) -> None:
        """Hold a batch of at least one row.

        Raises
        ------
        StageError
            The memory's limit is exceeded already.
        """
        self._memory.check()
        wake(self._held)
        self._held.append(batch)
        self._rows += batch.num_rows
        if self._memory.is_limited:
            self._memory.reserve(batch.nbytes)

    def mark(self, mark: Watermark | Idle) -> Iterator[Held]:
        """Hold a mark, or yield it at once if no row is held."""
        if not self._rows:
            yield mark
            return
        put_mark(self._held, mark)

    def take(self, rows: int) -> Iterator[Held]:
        """Yield and remove the first `rows` rows, as batches or slices of them, and the marks that follow them."""
        while self._held:
            head = self._held[0]
            if not isinstance(head, Batch):
                yield head
                self._held.popleft()
                continue
            if not rows:
                return
            part = head if head.num_rows <= rows else head.slice(0, rows)
            if part is head:
                self._held.popleft()
            else:
                self._held[0] = head.slice(rows, head.num_rows - rows)
            rows -= part.num_rows
            # By the share of rows: the bytes of a batch's slices do not add up to those of the batch.
            self._memory.reserve(-(self._memory.held * part.num_rows // self._rows))
            self._rows -= part.num_rows
            yield part

    def take_batch(self) -> Iterator[Held]:
        """Yield and remove the first batch, whole, and the marks that follow it."""
        head = self._held[0]
        assert isinstance(head, Batch)
        return self.take(head.num_rows)

    @property
    def nbytes(self) -> int:
        """The bytes of the rows held."""
        return sum(batch.nbytes for batch in self._batches())

    def snapshot(self, form: SnapshotFormat, **values: Any) -> Iterator[pa.RecordBatch]:
        """Return a snapshot of the rows and watermarks held, with more values of the process.

        A held `Idle` is left out: a restored run measures the silence again.

        Parameters
        ----------
        form
            The format to write.
        values
            Further values of the process, which have a form in JSON.
        """
        marks, rows = [], 0
        for item in self._held:
            if isinstance(item, Watermark):
                marks.append((rows, item.time_us))
            elif isinstance(item, Batch):
                rows += item.num_rows
        return form.write(self._batches(), marks=marks, **values)

    def restore(self, rows: Iterable[Batch], marks: Sequence[tuple[int, int]]) -> None:
        """Add the rows and marks of a snapshot; see `with_marks` for their form."""
        for item in with_marks(rows, marks):
            if isinstance(item, Batch):
                self.push(item)
            else:
                put_mark(self._held, item)

    def _batches(self) -> Iterator[Batch]:
        return (item for item in self._held if isinstance(item, Batch))


def put_mark(held: deque[Any], mark: Watermark | Idle) -> None:
    """Append a mark; a watermark directly after another one replaces it."""
    wake(held)
    if isinstance(mark, Watermark) and held and isinstance(held[-1], Watermark):
        held.pop()
    held.append(mark)


def wake(held: deque[Any]) -> None:
    """Drop a held `Idle` at the end, because the input is no longer silent."""
    if held and isinstance(held[-1], Idle):
        held.pop()


def with_marks(rows: Iterable[Batch], marks: Iterable[tuple[int, int]]) -> Iterator[Batch | Watermark]:
    """Yield rows and watermarks in order.

    Parameters
    ----------
    rows
        Batches.
    marks
        For each watermark the number of rows before it, and its time in microseconds.
    """
    waiting = deque(marks)
    count = 0
    for batch in rows:
        start = 0
        while waiting and waiting[0][0] < count + batch.num_rows:
            place, time_us = waiting.popleft()
            if place - count > start:
                yield batch.slice(start, place - count - start)
                start = place - count
            yield Watermark(time_us)
        yield batch.slice(start, batch.num_rows - start) if start else batch
        count += batch.num_rows
    for _, time_us in waiting:
        yield Watermark(time_us)
