"""Keys of any type, looked up by hash: a table gives a candidate for each row, and the key itself decides."""

from __future__ import annotations

import numpy as np
import polars as pl

from arrowstream.state.arrays import Array
from arrowstream.state.frame_log import FrameLog, rows_equal
from arrowstream.state.hash_table import KeyTable, Same
from arrowstream.state.memory import PIECE, StateMemory
from arrowstream.state.slot_ring import SlotRing


class HashedKeys:
    """Polars hashes the rows, a vectorised open-addressing table (`key_table`) gives a candidate for each, and its
    key is compared with the row's, so that keys with equal hashes stay apart.

    A batch costs a few random reads a row, whatever the number of keys. The table is built again whenever it has
    doubled, so that the cost is flat on average, while the one batch that doubles 1,000,000 keys waits some 0.1 s.

    Parameters
    ----------
    keys
        The keys by number.
    ring
        Their slots.
    memory
        Where the table lies.
    """

    __slots__ = ("_keys", "_memory", "_ring", "_table")

    def __init__(self, keys: FrameLog, ring: SlotRing, memory: StateMemory) -> None:
        self._keys = keys
        self._ring = ring
        self._memory = memory
        self._table = KeyTable(memory)
        if len(ring):
            self._rebuild(0)

    @property
    def places(self) -> int:
        """Places in the table."""
        return self._table.places

    def marks(self, keys: pl.DataFrame) -> Array:
        """What the rows are looked up by."""
        return _hash(keys)

    def find(self, keys: pl.DataFrame, marks: Array) -> tuple[Array, Array]:
        """The slot of each row, or -1, and its place in the table."""
        return self._table.find(marks, self._same(keys))

    def claim(self, keys: pl.DataFrame, marks: Array, places: Array) -> tuple[Array, Array]:
        """Take places for rows that have none: for each which one is the first of its key, and its place."""
        # Of many rows few may be of different keys, and to count these takes longer than to see that all have room.
        if not self._table.has_room(len(keys)) and not self._table.has_room(count := keys.n_unique()):
            self._rebuild(count)
            _, places = self._table.find(marks, self._same(keys))
        columns = keys.get_columns()
        # Claims are marked by numbers that no slot has, while the rows of one key find each other.
        unused = min(self._ring.stop, self._ring.size or self._ring.stop)
        return self._table.claim(
            marks, places, unused, lambda rows, others: rows_equal(columns, others, keys[rows])
        )

    def settle(self, marks: Array, places: Array, numbers: Array) -> None:
        """Write the numbers of claimed places."""
        self._table.settle(marks, places, self._ring.slots(numbers))

    def release(self, places: Array) -> None:
        """Give claimed places back."""
        self._table.release(places)

    def clear(self) -> None:
        """Forget the entries, as nothing is looked up here any more, and give their memory back."""
        self._table.close()
        self._table = KeyTable(self._memory)

    def _same(self, keys: pl.DataFrame) -> Same:
        def same(rows: Array, slots: Array) -> Array:
            asked = keys if len(rows) == keys.height else keys[rows]
            return self._keys.equal(self._ring.numbers(slots), asked)

        return same

    def _rebuild(self, count: int) -> None:
        """A larger table with room for `count` more, without the entries of evicted keys."""
        self._table.close()
        self._table = KeyTable(self._memory, len(self._ring) + count)
        for start in range(self._ring.oldest, self._ring.stop, PIECE):
            stop = min(start + PIECE, self._ring.stop)
            hashes = self.marks(self._keys.frame(start, stop))
            homes = self._table.find(hashes, _never)[1]
            _, places = self._table.claim(hashes, homes, 0, _never)
            self.settle(hashes, places, np.arange(start, stop))


def _hash(keys: pl.DataFrame) -> Array:
    return keys.hash_rows().to_numpy()


def _never(rows: Array, slots: Array) -> Array:
    """No key equals another: they are known to differ."""
    return np.zeros(len(rows), np.bool_)
