"""Keyed state by ranges of slots: the keys of a range do not change, so that they are cut by shard and saved once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa

from arrowstream.core.batch import Batch
from arrowstream.state.arrays import Array
from arrowstream.state.key_index import KeyIndex
from arrowstream.state.memory import PIECE, StateMemory
from arrowstream.state.snapshots.key_shards import SHARD, SHARDS, shards_of
from arrowstream.state.snapshots.sharded_rows import free_name

VALUE_BYTES = 4 << 20
"""The approximate bytes of the values of a range."""

_LEAST = 1024
"""The initial number of slots of the array of shards, and the least number of keys of a range."""


@dataclass(slots=True)
class SavedKeys:
    """What the writer of checkpoints knows of the keys of a range.

    Attributes
    ----------
    stop : int
        The slot after the last one of the range.
    name : str
        The name of the keys' content; empty until they have been written.
    nbytes : int
        The bytes of this content.
    """

    stop: int
    name: str = ""
    nbytes: int = 0


@dataclass(frozen=True, slots=True)
class KeyRange:
    """A range of slots in the order of their key shards, and of their numbers within a shard.

    Parameters
    ----------
    slots
        The slots (rows,), int64.
    sizes
        Number of keys of each shard (SHARDS,), int64.
    held
        The keys in the order of their slots, sharing the memory of the state.
    saved
        What is known from earlier checkpoints; the same object while the range has the same keys.
    """

    slots: Array
    sizes: Array
    held: pl.DataFrame
    saved: SavedKeys


@dataclass(frozen=True, slots=True)
class RangeRows:
    """The state of the keys of a range, a row for each, in the order of `KeyRange.slots`.

    Parameters
    ----------
    range
        The keys.
    values
        All columns but the keys.
    """

    range: KeyRange
    values: pl.DataFrame

    @property
    def nbytes(self) -> int:
        """Bytes of memory of the values."""
        return int(self.values.estimated_size())

    def keys(self) -> pl.DataFrame:
        """Return the keys, and a last column with the slots: the order in which the keys came."""
        slots, held = self.range.slots, self.range.held
        order = pl.Series(free_name([*self.values.columns, *held.columns]), slots.astype(np.uint32))
        start = self.range.saved.stop - len(slots)
        return held[pl.Series((slots - start).astype(np.uint32))].with_columns(order)


@dataclass(frozen=True, slots=True)
class RangePart:
    """A part of a snapshot, in a record batch for each key shard, whose columns of keys are saved apart.

    Parameters
    ----------
    rows
        The rows.
    metadata
        The metadata that all batches of the snapshot have.
    """

    rows: RangeRows
    metadata: Mapping[bytes, bytes]

    @property
    def shards(self) -> list[int]:
        """The key shards that have rows, ascending."""
        return [int(shard) for shard in np.flatnonzero(self.rows.range.sizes)]

    @property
    def saved(self) -> SavedKeys:
        """What is known of the keys from earlier checkpoints."""
        return self.rows.range.saved

    def values(self) -> list[pa.RecordBatch]:
        """Return the columns without the keys, a batch for each of `shards`."""
        return self._cut(self.rows.values)

    def keys(self) -> list[pa.RecordBatch]:
        """Return the columns of the keys and of their order, a batch for each of `shards`."""
        return self._cut(self.rows.keys())

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows as batches of the snapshot."""
        for shard, values, keys in zip(self.shards, self.values(), self.keys(), strict=True):
            own = {SHARD: str(shard).encode()}
            yield joined(values, keys).replace_schema_metadata({**self.metadata, **own})

    def _cut(self, frame: pl.DataFrame) -> list[pa.RecordBatch]:
        record, sizes = Batch(frame).arrow(), self.rows.range.sizes
        starts = np.cumsum(sizes) - sizes
        return [record.slice(int(starts[shard]), int(sizes[shard])) for shard in self.shards]


class KeyRanges:
    """The state of the keys of a `KeyIndex` that evicts none, in ranges.

    The shard of a key is found once, in the first snapshot that has it, and kept in a byte.

    Parameters
    ----------
    index
        The keys.
    names
        The names of the key columns in snapshots.
    memory
        The memory that holds the shards.
    """

    __slots__ = ("_index", "_memory", "_names", "_rows", "_saved", "_shards", "_stop")

    def __init__(self, index: KeyIndex, names: Sequence[str], memory: StateMemory) -> None:
        self._index = index
        self._names = names
        self._memory = memory
        self._shards = memory.array((_LEAST,), np.uint8)
        self._stop = 0
        """The slot before which the shards are known."""
        self._rows = 0
        """The keys of a range, which stay the same; 0 before the first one."""
        self._saved: list[SavedKeys] = []

    def saved(self, values: Callable[[Array], pl.DataFrame]) -> Iterator[RangeRows]:
        """Yield the state, the oldest keys first.

        Parameters
        ----------
        values
            Returns the state of slots (rows,), int64, in their order, without the keys.
        """
        stop = len(self._index)
        if not stop:
            return
        self._shards = self._memory.longer(self._shards, stop)
        for start in range(self._stop, stop, PIECE):
            until = min(start + PIECE, stop)
            self._shards[start:until] = shards_of(self._index.keys(start, until))
        self._stop = stop
        if not self._rows:
            width = max(int(values(np.zeros(1, np.int64)).estimated_size()), 1)
            self._rows = min(max(VALUE_BYTES // width, _LEAST), PIECE)
        for number, start in enumerate(range(0, stop, self._rows)):
            until = min(start + self._rows, stop)
            shards = self._shards[start:until]
            slots = start + np.argsort(shards, kind="stable")
            held = self._index.keys(start, until)
            held.columns = list(self._names)
            sizes = np.bincount(shards, minlength=SHARDS)
            keys = KeyRange(slots, sizes, held, self._saved_of(number, until))
            yield RangeRows(keys, values(slots))

    def _saved_of(self, number: int, stop: int) -> SavedKeys:
        if number == len(self._saved):
            self._saved.append(SavedKeys(stop))
        elif self._saved[number].stop != stop:
            self._saved[number] = SavedKeys(stop)
        return self._saved[number]


def joined(values: pa.RecordBatch, keys: pa.RecordBatch) -> pa.RecordBatch:
    """Return the rows of a key shard of a range from their two parts."""
    schema = pa.schema([*values.schema, *keys.schema])
    return pa.RecordBatch.from_arrays([*values.columns, *keys.columns], schema=schema)
