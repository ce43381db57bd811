"""`debounce`: the last event of a rapid run."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from arrowstream.core.batch import Batch, Element, Idle, Watermark
from arrowstream.core.duration import Duration, nanoseconds
from arrowstream.core.step_context import StepContext
from arrowstream.operators.arguments import key_schema, parse_keys
from arrowstream.operators.base import Operator, Process, TimedProcess
from arrowstream.state.arrays import Array
from arrowstream.state.key_index import KeyIndex
from arrowstream.state.limit import NO_LIMIT
from arrowstream.state.owned_rows import owned_if_few
from arrowstream.state.row_queue import put_mark, wake, with_marks
from arrowstream.state.snapshot import SnapshotFormat

_FORMAT = SnapshotFormat("debounce", 1)
_FORGOTTEN = 65_536
"""The index is rebuilt when it has more than this many keys plus twice the number of held rows."""
_ROWS, _BATCHES = 1024, 16
"""Replaced rows are swept out above this many rows or entries plus twice those left by the last sweep."""


@dataclass(frozen=True, slots=True)
class Debounce(Operator):
    """The latest row of a key, once no other row of that key has come for `quiet`.

    A newer row replaces an older one. Time is when batches arrive, not a column. Rows held at the end of the stream
    come out then. A watermark waits until the rows held when it came are out or replaced, `quiet` at most.

    Parameters
    ----------
    quiet
        Time without a row of the key before its row comes out, such as ``"200ms"``.
    by
        Key columns; without any, all rows have the same key.

    Raises
    ------
    PlanError
        `quiet` is not a duration, or `by` names columns that cannot be keys.
    SchemaError
        A key column is missing.
    """

    name: ClassVar[str] = "debounce"
    quiet: Duration
    by: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        nanoseconds(self.quiet)

    @classmethod
    def of(cls, quiet: Duration, by: Any = None) -> Debounce:
        """Make the step from the builder's arguments."""
        return cls(quiet, parse_keys(cls.name, by))

    def output_schema(self, schema: pl.Schema) -> pl.Schema:
        key_schema(self.name, self.by, schema)
        return schema

    def start(self, schema: pl.Schema, context: StepContext) -> Process:
        keys = key_schema(self.name, self.by, schema)
        return _Debouncing(nanoseconds(self.quiet), keys, context)

    def describe(self) -> str:
        by = f", by=[{', '.join(self.by)}]" if self.by else ""
        return f"debounce({self.quiet}{by})"


@dataclass(frozen=True, slots=True)
class _Entry:
    """The last row of every key of one batch, with slots and arrival numbers, both (rows,) int64."""

    due_ns: int
    batch: Batch
    slots: Array
    numbers: Array


@dataclass(frozen=True, slots=True)
class DebounceStatistics:
    """Counts of what a `debounce` holds.

    Parameters
    ----------
    entries, rows
        Batches and marks in the queue, and rows of these batches, replaced rows included.
    keys
        Keys in the index, keys without a held row included.
    sweeps, rebuilds
        Times that replaced rows were swept out, and that the index was rebuilt.
    """

    entries: int
    rows: int
    keys: int
    sweeps: int
    rebuilds: int


class _Debouncing(TimedProcess):
    """A queue of batches, oldest first; on release only the newest row of each key comes out.

    The newest row's number is kept by slot, so that a batch costs as much as it has rows. The index of keys is
    rebuilt when most of its keys have no held row. Replaced rows are swept out when they are more than half:
    otherwise a key that never rests would leave one row for every batch.
    """

    __slots__ = (
        "_entries",
        "_index",
        "_key_memory",
        "_keys",
        "_memory",
        "_most_batches",
        "_most_rows",
        "_newest",
        "_next",
        "_now",
        "_quiet",
        "_rebuilds",
        "_rows",
        "_sweeps",
    )

    def __init__(self, quiet_ns: int, keys: pl.Schema, context: StepContext) -> None:
        self._quiet = quiet_ns
        self._keys = keys
        self._entries: deque[_Entry | Watermark | Idle] = deque()
        self._rows = 0
        self._most_rows, self._most_batches = _ROWS, _BATCHES
        self._next = 0
        self._sweeps = self._rebuilds = 0
        self._now = 0
        self._memory = NO_LIMIT.memory(context)
        """Accounts for the held rows."""
        self._key_memory = NO_LIMIT.memory(context)
        self._index = KeyIndex(keys, memory=self._key_memory) if keys else None
        self._newest = self._key_memory.array((1,), np.int64, -1)

    def statistics(self) -> DebounceStatistics:
        """Return the counts as of now."""
        keys = 0 if self._index is None else len(self._index)
        return DebounceStatistics(len(self._entries), self._rows, keys, self._sweeps, self._rebuilds)

    def set_time(self, now_ns: int) -> None:
        self._now = now_ns

    @property
    def deadline_ns(self) -> int | None:
        return next((entry.due_ns for entry in self._entries if isinstance(entry, _Entry)), None)

    def process(self, batch: Batch) -> Iterator[Element]:
        self._memory.check()
        if batch.num_rows:
            self._hold(batch, self._now + self._quiet)
            if self._rows > self._most_rows or len(self._entries) > self._most_batches:
                self._sweep()
        # Marks at the front waited for rows that were all replaced.
        out: list[Element] = []
        while self._entries and not isinstance(mark := self._entries[0], _Entry):
            self._entries.popleft()
            out.append(mark)
        return iter(out)

    def on_timer(self, now_ns: int) -> Iterator[Element]:
        return self._release(now_ns)

    def on_watermark(self, time_us: int) -> Iterator[Element]:
        if not self._entries:
            yield Watermark(time_us)
            return
        put_mark(self._entries, Watermark(time_us))

    def on_idle(self) -> Iterator[Element]:
        if self._entries:
            put_mark(self._entries, Idle())
        else:
            yield Idle()

    def snapshot(self) -> Iterator[pa.RecordBatch]:
        entries = [item for item in self._entries if isinstance(item, _Entry)]
        marks, rows = [], 0
        for item in self._entries:
            if isinstance(item, Watermark):
                marks.append((rows, item.time_us))
            elif isinstance(item, _Entry):
                rows += int(np.count_nonzero(self._is_newest(item)))
        newest = (batch for entry in entries for batch in self._newest_of(entry))
        return _FORMAT.write(newest, list(self._keys), ordered=True, marks=marks)

    def restore(self, batches: Iterator[pa.RecordBatch]) -> None:
        values, rows = _FORMAT.read(batches)
        for item in with_marks(rows, values["marks"]):
            if isinstance(item, Batch):
                self._hold(item, 0)  # the silence was long enough
            else:
                self._entries.append(item)

    def finish(self) -> Iterator[Element]:
        return self._release(None)

    def _hold(self, batch: Batch, due_ns: int) -> None:
        frame = batch.polars()
        names = list(self._keys)
        last = frame.unique(names, keep="last", maintain_order=True) if names else frame.tail(1)
        # A key that rests would keep the whole batch in which it came last.
        last = owned_if_few(last, frame.height)
        if self._index is not None and len(self._index) > 2 * self._rows + _FORGOTTEN:
            self._forget()
        wake(self._entries)
        self._add(batch.with_rows(last), due_ns, np.arange(self._next, self._next + last.height))
        self._next += last.height
        if self._memory.is_limited:
            self._memory.reserve(int(last.estimated_size()))

    def _add(self, batch: Batch, due_ns: int, numbers: Array) -> None:
        if self._index is None:
            slots = np.zeros(batch.num_rows, np.int64)
        else:
            (part,) = self._index.assign(batch.polars().select(list(self._keys)))
            slots = part.slots
            self._newest = self._key_memory.longer(self._newest, self._index.capacity, -1)
        self._newest[slots] = numbers
        self._entries.append(_Entry(due_ns, batch, slots, numbers))
        self._rows += batch.num_rows

    def _forget(self) -> None:
        """Rebuild the index with the keys of held rows only."""
        self._rebuilds += 1
        held, self._entries, self._rows = self._entries, deque(), 0
        self._key_memory.close()
        self._index = KeyIndex(self._keys, memory=self._key_memory)
        self._newest = self._key_memory.array((1,), np.int64, -1)
        for item in held:
            if isinstance(item, _Entry):
                self._add(item.batch, item.due_ns, item.numbers)
            else:
                self._entries.append(item)

    def _sweep(self) -> None:
        """Drop rows that a newer row has replaced."""
        self._sweeps += 1
        held, self._entries = self._entries, deque()
        for item in held:
            if not isinstance(item, _Entry):
                put_mark(self._entries, item)
                continue
            is_newest = self._is_newest(item)
            self._let_go(int(np.count_nonzero(~is_newest)))
            if is_newest.any():
                part = item.batch.with_rows(item.batch.polars().filter(pl.Series(is_newest)))
                self._entries.append(
                    _Entry(item.due_ns, part, item.slots[is_newest], item.numbers[is_newest])
                )
        self._most_rows = _ROWS + 2 * self._rows
        self._most_batches = _BATCHES + 2 * len(self._entries)

    def _release(self, now_ns: int | None) -> Iterator[Element]:
        """Yield the rows and marks that are due; all of them if `now_ns` is None."""
        while self._entries:
            head = self._entries[0]
            if isinstance(head, _Entry) and now_ns is not None and head.due_ns > now_ns:
                return
            self._entries.popleft()
            if isinstance(head, _Entry):
                self._let_go(head.batch.num_rows)
                yield from self._newest_of(head)
            else:
                yield head

    def _let_go(self, rows: int) -> None:
        """Take this many rows off the count, and their share of the bytes off the memory account."""
        self._memory.reserve(-(self._memory.held * rows // self._rows))
        self._rows -= rows

    def _is_newest(self, entry: _Entry) -> Array:
        """Return a mask (rows,), bool: True for rows of the entry that no newer row has replaced."""
        newest: Array = self._newest[entry.slots] == entry.numbers
        return newest

    def _newest_of(self, entry: _Entry) -> Iterator[Batch]:
        """Yield the rows of an entry that no newer row has replaced, as one batch if there are any."""
        frame = entry.batch.polars().filter(pl.Series(self._is_newest(entry)))
        if frame.height:
            yield entry.batch.with_rows(frame)
