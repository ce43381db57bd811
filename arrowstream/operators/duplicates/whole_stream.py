"""The first or the last row of each key of a whole stream."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
import pyarrow as pa

from arrowstream.core.batch import Batch, Element, Idle, Watermark
from arrowstream.operators.base import Process
from arrowstream.state.arrays import Array
from arrowstream.state.key_index import KeyIndex
from arrowstream.state.memory import PIECE, StateMemory
from arrowstream.state.slot_store import SlotStore
from arrowstream.state.snapshot import SnapshotFormat

_FIRST = SnapshotFormat("first rows", 1)
_LAST = SnapshotFormat("last rows", 1)


class FirstRows(Process):
    """The first row of each key, which comes out at once; holds the keys.

    Parameters
    ----------
    keys
        Names and types of the key columns.
    memory
        The memory that holds the keys.
    """

    __slots__ = ("_index", "_memory", "_names")

    def __init__(self, keys: pl.Schema, memory: StateMemory) -> None:
        self._names = list(keys)
        self._memory = memory
        self._index = KeyIndex(keys, memory=memory)

    def process(self, batch: Batch) -> Iterator[Element]:
        self._memory.check()
        rows = batch.polars()
        known = len(self._index)
        for part in self._index.assign(rows.select(self._names)):
            if len(part.fresh) == rows.height:
                yield batch
            elif len(part.fresh):
                yield batch.with_rows(rows.filter(pl.Series(_is_first(part.slots, known))))

    def snapshot(self) -> Iterator[pa.RecordBatch]:
        self._memory.check_whole()
        return _FIRST.write(map(Batch, self._saved()), self._names)

    def restore(self, batches: Iterator[pa.RecordBatch]) -> None:
        for batch in _FIRST.read(batches)[1]:
            _slots(self._index, batch.polars())

    def finish(self) -> Iterator[Element]:
        return iter(())

    def _saved(self) -> Iterator[pl.DataFrame]:
        for start in range(0, len(self._index), PIECE):
            yield self._index.keys(start, min(start + PIECE, len(self._index)))


class LastRows(Process):
    """The last row of each key, which comes out at the end, in the order of these rows; holds the rows.

    Parameters
    ----------
    keys
        Names and types of the key columns.
    memory
        The memory that holds keys and rows.
    """

    __slots__ = ("_index", "_memory", "_names", "_next", "_numbers", "_rows")

    def __init__(self, keys: pl.Schema, memory: StateMemory) -> None:
        self._names = list(keys)
        self._memory = memory
        self._index = KeyIndex(keys, memory=memory)
        self._rows = SlotStore(memory)
        self._numbers = memory.array((0,), np.int64)
        """The number of the last row of each slot."""
        self._next = 0

    def process(self, batch: Batch) -> Iterator[Element]:
        self._memory.check()
        self._put(batch.polars())
        return iter(())

    def on_watermark(self, time_us: int) -> Iterator[Watermark]:
        """Promise nothing: the rows at the end may be of any time."""
        return iter(())

    def on_idle(self) -> Iterator[Idle]:
        return iter(())

    def snapshot(self) -> Iterator[pa.RecordBatch]:
        self._memory.check_whole()
        return _LAST.write(map(Batch, self._in_order()), self._names, ordered=True)

    def restore(self, batches: Iterator[pa.RecordBatch]) -> None:
        for batch in _LAST.read(batches)[1]:
            self._put(batch.polars())

    def finish(self) -> Iterator[Element]:
        self._memory.check()
        return map(Batch, self._in_order())

    def _put(self, rows: pl.DataFrame) -> None:
        if not rows.height:
            return
        slots = _slots(self._index, rows.select(self._names))
        numbers = np.arange(self._next, self._next + rows.height)
        self._next += rows.height
        self._numbers = self._memory.longer(self._numbers, len(self._index))
        # Of several values for one place numpy keeps the last.
        self._numbers[slots] = numbers
        last = np.flatnonzero(self._numbers[slots] == numbers)
        self._rows.put(slots[last], rows[pl.Series(last.astype(np.uint32))])

    def _in_order(self) -> Iterator[pl.DataFrame]:
        """Yield the rows, each key's last one, in the order in which these came."""
        order = np.argsort(self._numbers[: len(self._index)])
        for start in range(0, len(order), PIECE):
            yield self._rows.get(order[start : start + PIECE])


def _slots(index: KeyIndex, keys: pl.DataFrame) -> Array:
    """Return the slots of at least one key (rows,), int64; no key is evicted, so all rows are one part."""
    (part,) = index.assign(keys)
    return part.slots


def _is_first(slots: Array, known: int) -> Array:
    """Return whether a row is the first one of a slot from `known` on (rows,), bool.

    New slots are numbered in the order in which they come, so that one is new if it is above all before it.
    """
    highest = np.maximum.accumulate(slots)
    first: Array = slots >= known
    first[1:] &= slots[1:] > highest[:-1]
    return first
