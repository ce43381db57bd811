"""Rows that an operator holds back, in order, with the marks that must wait behind them."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

import polars as pl
import pyarrow as pa

from arrowstream.core.batch import Batch, Idle, Watermark, arrow_schema
from arrowstream.state.memory import StateMemory

Held = Batch | Watermark | Idle

_MARKS = b"arrowstream.marks"


class RowQueue:
    """First in, first out. A mark passes only when all rows that came before it are out.

    Parameters
    ----------
    memory
        Where the bytes of the rows are counted, if it has a limit.
    """

    __slots__ = ("_held", "_memory", "_rows")

    def __init__(self, memory: StateMemory) -> None:
        self._memory = memory
        self._held: deque[Held] = deque()
        self._rows = 0

    @property
    def rows(self) -> int:
        """The rows held; no mark is held where there are none."""
        return self._rows

    def push(self, batch: Batch) -> None:
        """Hold a batch of at least one row.

        Raises
        ------
        StageError
            The memory's limit is exceeded.
        """
        self._memory.check()
        wake(self._held)
        self._held.append(batch)
        self._rows += batch.num_rows
        if self._memory.is_limited:
            self._memory.reserve(batch.nbytes)

    def mark(self, mark: Watermark | Idle) -> Iterator[Held]:
        """Hold a mark, or pass it on at once if nothing is held."""
        if not self._rows:
            yield mark
            return
        put_mark(self._held, mark)

    def take(self, rows: int) -> Iterator[Held]:
        """The first `rows` rows, batches and slices of them, and the marks that need not wait any longer."""
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
            # By the share of rows: what parts of a batch take does not add up to what the batch takes.
            self._memory.reserve(-(self._memory.held * part.num_rows // self._rows))
            self._rows -= part.num_rows
            yield part

    def take_batch(self) -> Iterator[Held]:
        """The first batch as it is, and the marks behind it."""
        head = self._held[0]
        assert isinstance(head, Batch)
        return self.take(head.num_rows)

    def snapshot(self, schema: pl.Schema) -> pa.Table:
        """All that is held."""
        return pack(self._held, schema)

    def restore(self, state: pa.Table) -> None:
        """Take over a snapshot."""
        for item in unpack(state):
            if isinstance(item, Batch):
                self.push(item)
            else:
                put_mark(self._held, item)


def put_mark(held: deque[Any], mark: Watermark | Idle) -> None:
    """Hold a mark behind what is held; of two watermarks with nothing in between the later one says more."""
    wake(held)
    if isinstance(mark, Watermark) and held and isinstance(held[-1], Watermark):
        held.pop()
    held.append(mark)


def wake(held: deque[Any]) -> None:
    """Something has come: that the input was silent before is not worth telling any more."""
    if held and isinstance(held[-1], Idle):
        held.pop()


def pack(held: Iterable[Held], schema: pl.Schema) -> pa.Table:
    """Rows and watermarks as one table; the marks and how many rows are before each stand in its metadata.

    That an input was silent is left out: who goes on from here times the silence anew.
    """
    records, marks, rows = [], [], 0
    for item in held:
        if isinstance(item, Watermark):
            marks.append((rows, item.time_us))
        elif isinstance(item, Batch):
            records.append(item.arrow())
            rows += item.num_rows
    table = pa.Table.from_batches(records, schema=arrow_schema(schema))
    return table.replace_schema_metadata({**(table.schema.metadata or {}), _MARKS: json.dumps(marks)})


def unpack(table: pa.Table) -> Iterator[Held]:
    """The rows and marks of `pack`."""
    start = 0
    for stop, time_us in json.loads(table.schema.metadata[_MARKS]):
        yield from _batches(table.slice(start, stop - start))
        yield Watermark(time_us)
        start = stop
    yield from _batches(table.slice(start))


def _batches(table: pa.Table) -> Iterator[Batch]:
    return (Batch(record.replace_schema_metadata(None)) for record in table.to_batches())
