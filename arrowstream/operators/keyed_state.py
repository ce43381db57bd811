"""Keys to dense slot numbers, a batch at a time: what every operator with a state for each key is built on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
import pyarrow as pa

from arrowstream.batch import to_record
from arrowstream.errors import StageError
from arrowstream.operators.arrays import Array
from arrowstream.operators.direct_table import DirectTable
from arrowstream.operators.frame_log import FrameLog, rows_equal
from arrowstream.operators.key_table import KeyTable, Same
from arrowstream.operators.state_memory import PIECE, StateMemory

_MOST = 4_000_000_000  # more than the slots of 32 bits in the table
_NEVER = 1 << 62
_SELDOM = 1_024


@dataclass(frozen=True, slots=True)
class Assigned:
    """The slots of some rows of a batch.

    Parameters
    ----------
    start
        The first of the rows they belong to.
    slots
        The slot of each row (int64).
    fresh
        The slots that went to new keys with these rows, in the order in which the keys came. A state kept by
        slot begins anew there: the slot may have belonged to a key that was evicted.
    """

    start: int
    slots: Array
    fresh: Array


class KeyIndex:
    """Gives every key, a row of one or more columns, a slot number; for states kept in arrays by slot.

    Slots are dense: n keys have the slots 0 to n - 1, in the order in which the keys first came. Null is a
    key like others, NaN equals NaN, and 0.0 equals -0.0, as in Polars' `group_by`.

    Keys of one column of whole numbers (or of truth values, times, an `Enum`) are looked up directly where they
    lie close together (`direct_table`): one random read a row. All others, and those once a key comes that lies
    far off, are hashed; whether they lie close together by then is asked now and then.

    The algorithm for these: Polars hashes the rows, a vectorised open-addressing table (`key_table`) gives a
    candidate for each, and its key, kept in a few runs of doubling size (`frame_log`), is compared with the row's, so
    that keys with equal hashes stay apart. A batch costs a few random reads a row, whatever the number of
    keys; new keys cost O(log n) copies each, and the table is rebuilt whenever it has doubled, so that
    the cost is flat on average, while the one batch that doubles 1,000,000 keys waits some 0.1 s.

    Parameters
    ----------
    schema
        The key columns, at least one; see `arrowstream.operators.key_columns` for the types.
    max_keys
        The most keys to hold, or None for as many as memory allows (some 24 bytes a key and the key itself).
    on_full
        What to do with one more: ``"error"``, or ``"evict"`` the key that first came the longest ago, whose
        slot then goes to the new key. That happens row by row, so it does not depend on how the rows
        are cut into batches; should the evicted key come again, it is a new one.
    memory
        Where keys and table lie; without limits if not given.

    Examples
    --------
    >>> import polars as pl
    >>> from arrowstream.operators.keyed_state import KeyIndex
    >>> index = KeyIndex(pl.Schema({"k": pl.String}))
    >>> [part] = index.assign(pl.DataFrame({"k": ["a", "b", None, "a"]}))
    >>> part.slots.tolist(), part.fresh.tolist()
    ([0, 1, 2, 0], [0, 1, 2])
    >>> [part] = index.assign(pl.DataFrame({"k": ["c", "b"]}))
    >>> part.slots.tolist(), part.fresh.tolist(), len(index)
    ([3, 1], [3], 4)
    """

    __slots__ = (
        "_ask_from",
        "_direct",
        "_max",
        "_memory",
        "_oldest",
        "_on_full",
        "_piece",
        "_schema",
        "_store",
        "_table",
    )

    def __init__(
        self,
        schema: pl.Schema,
        max_keys: int | None = None,
        on_full: Literal["error", "evict"] = "error",
        memory: StateMemory | None = None,
    ) -> None:
        self._memory = memory or StateMemory()
        self._schema = schema
        self._max = max_keys
        self._on_full = on_full
        self._table = KeyTable(self._memory)
        self._store = FrameLog(schema, self._memory)
        self._oldest = 0
        self._piece = _MOST
        self._direct: DirectTable | None = None
        # From which number of keys on it is asked whether they lie close together.
        self._ask_from = 0 if DirectTable.takes(schema) else _NEVER

    def __len__(self) -> int:
        """The keys now held."""
        return self._store.stop - self._oldest

    @property
    def capacity(self) -> int:
        """One more than the highest slot given so far."""
        return min(self._store.stop, self._max or self._store.stop)

    def assign(self, keys: pl.DataFrame) -> Iterator[Assigned]:
        """The slots of these rows, new keys added; in several parts only where keys are evicted in between.

        A state must be brought forward with one part before the next one is asked for.

        Raises
        ------
        StageError
                There are more keys than `max_keys`, and `on_full` is ``"error"``; none of these was added.
        """
        marks = self._marks(keys)
        start = 0
        while start < keys.height:
            rows = min(self._piece, keys.height - start)
            part = self._try(start, keys.slice(start, rows), marks[start : start + rows])
            if part is None:
                self._piece = rows // 2
                continue
            yield part
            start += rows
            self._piece = min(2 * self._piece, _MOST)

    def keys(self, start: int = 0, stop: int | None = None) -> pl.DataFrame:
        """The keys held, the oldest first: those from place `start` up to `stop`."""
        until = None if stop is None else self._oldest + stop
        return self._store.frame(self._oldest + start, until)

    def slots(self) -> Array:
        """The slots of `keys`, in the same order: take a state's values from there for a snapshot."""
        return self._slots_of(np.arange(self._oldest, self._store.stop))

    def pieces(self) -> Iterator[Array]:
        """The same, some of them at a time."""
        stop = self._store.stop
        for start in range(self._oldest, stop, PIECE):
            yield self._slots_of(np.arange(start, min(start + PIECE, stop)))

    def snapshot(self) -> pa.Table:
        """The keys as Arrow. Once restored, they have the slots 0 to n - 1 in this order."""
        return pa.Table.from_batches([to_record(self.keys())])

    def restore(self, state: pa.Table) -> None:
        """Take over a snapshot, on an index that has no keys yet."""
        for piece in pl.DataFrame(state, schema=self._schema).iter_slices(PIECE):
            for _ in self.assign(piece):
                pass

    def _marks(self, keys: pl.DataFrame) -> Array:
        """What the rows are looked up by: their places in the direct table, or hashes."""
        places = None
        if self._direct is not None:
            places = self._direct.places(keys.to_series())
        if places is None and self._store.stop >= self._ask_from:
            places = self._go_direct(keys.to_series())
        return _hash(keys) if places is None else places

    def _go_direct(self, coming: pl.Series) -> Array | None:
        """Places in a direct table with room for these; None, and hashes are used, if they lie too far apart."""
        direct = self._direct or DirectTable(
            np.uint64 if self._on_full == "evict" else np.uint32, self._memory
        )
        if direct.cover(self.keys().to_series(), self._oldest, coming, len(self) + len(coming)):
            self._table.close()
            self._direct, self._table = direct, KeyTable(self._memory)
            return direct.places(coming)
        if self._direct is not None:
            direct.close()
            self._direct = None
            self._rebuild(0)
        # To ask costs O(all keys), so it waits for a fourth as many new ones.
        self._ask_from = self._store.stop + max(len(self) // 4, _SELDOM)
        return None

    def _try(self, start: int, keys: pl.DataFrame, marks: Array) -> Assigned | None:
        """The slots of some rows, or None if a key that they name would be evicted before they are through."""
        slots, places = self._find(keys, marks)
        unknown = np.flatnonzero(slots < 0)
        if not len(unknown):
            return Assigned(start, slots, unknown)
        if len(unknown) < len(slots):
            keys, marks, places = keys[unknown], marks[unknown], places[unknown]
        first, places = self._claim(keys, marks, places)
        firsts = np.flatnonzero(first == np.arange(len(first)))
        table = self._direct or self._table
        if not self._make_room(len(firsts), slots):
            table.release(places[firsts])
            if self._on_full == "evict":
                return None
            raise self._full(len(firsts))
        numbers = np.arange(self._store.stop, self._store.stop + len(firsts))
        fresh = self._slots_of(numbers)
        if self._direct is not None:
            self._direct.settle(places[firsts], numbers)
        else:
            self._table.settle(marks[firsts], places[firsts], fresh)
        self._store.forget(self._oldest)
        self._store.append(keys[firsts])
        ranks = np.empty(len(first), np.int64)
        ranks[firsts] = fresh
        slots[unknown] = ranks[first]
        return Assigned(start, slots, fresh)

    def _find(self, keys: pl.DataFrame, marks: Array) -> tuple[Array, Array]:
        """The slot of each row, or -1, and its place in the table."""
        if self._direct is None:
            return self._table.find(marks, self._same(keys))
        numbers = self._direct.find(marks)
        if not self._oldest:
            return numbers, marks
        return np.where(numbers < self._oldest, -1, self._slots_of(numbers)), marks

    def _claim(self, keys: pl.DataFrame, marks: Array, places: Array) -> tuple[Array, Array]:
        """For each row of a new key which one is the first, and its place."""
        if self._direct is not None:
            return self._direct.claim(places), places
        if not self._table.has_room(len(keys)):
            self._rebuild(len(keys))
            _, places = self._table.find(marks, self._same(keys))
        columns = keys.get_columns()
        # Claims are marked by numbers that no slot has, while the rows of one key find each other.
        return self._table.claim(
            marks, places, self.capacity, lambda rows, others: rows_equal(columns, others, keys[rows])
        )

    def _same(self, keys: pl.DataFrame) -> Same:
        def same(rows: Array, slots: Array) -> Array:
            asked = keys if len(rows) == keys.height else keys[rows]
            return self._store.equal(self._numbers_of(slots), asked)

        return same

    def _make_room(self, count: int, slots: Array) -> bool:
        """Evict for so many new keys; False if that may not be, or a row of the same part has an evicted key."""
        over = 0 if self._max is None else len(self) + count - self._max
        if over <= 0:
            return True
        if self._on_full == "error" or over > len(self):
            return False
        if (self._numbers_of(slots[slots >= 0]) < self._oldest + over).any():
            return False
        self._oldest += over
        return True

    def _rebuild(self, count: int) -> None:
        """A larger table with room for so many more, without the entries of evicted keys."""
        self._table.close()
        self._table = KeyTable(self._memory, len(self) + count)
        start = 0
        for slots in self.pieces():
            hashes = _hash(self.keys(start, start + len(slots)))
            homes = self._table.find(hashes, _never)[1]
            _, places = self._table.claim(hashes, homes, 0, _never)
            self._table.settle(hashes, places, slots)
            start += len(slots)

    def _slots_of(self, numbers: Array) -> Array:
        # Before the first eviction they are the same, and dividing takes longer than all else here.
        return numbers if self._max is None or not self._oldest else numbers % self._max

    def _numbers_of(self, slots: Array) -> Array:
        """The numbers, in the order of coming, of the keys that have these slots now."""
        if self._max is None or not self._oldest:
            return slots
        last = self._store.stop - 1
        return last - (last - slots) % self._max

    def _full(self, count: int) -> StageError:
        return StageError(
            "there are more keys than max_keys allows",
            expected=f"at most {self._max:,}",
            found=f"{len(self):,} and {count:,} new ones in one batch",
            hint='raise max_keys, or let the oldest go with on_full="evict"',
        )


def _hash(keys: pl.DataFrame) -> Array:
    return keys.hash_rows().to_numpy()


def _never(rows: Array, slots: Array) -> Array:
    """No key equals another: they are known to differ."""
    return np.zeros(len(rows), np.bool_)
