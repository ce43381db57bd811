"""Keys to dense slot numbers, a batch at a time: what every operator with a state for each key is built on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from arrowstream.errors import StageError
from arrowstream.state.arrays import Array
from arrowstream.state.direct_table import DirectTable
from arrowstream.state.frame_log import FrameLog, LogStatistics
from arrowstream.state.hashed_keys import HashedKeys
from arrowstream.state.memory import PIECE, StateMemory
from arrowstream.state.slot_ring import SlotRing

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
        slot starts again there: the slot may have belonged to a key that was evicted.
    """

    start: int
    slots: Array
    fresh: Array


@dataclass(frozen=True, slots=True)
class KeyStatistics:
    """What a `KeyIndex` holds.

    Parameters
    ----------
    keys
        The number of keys.
    hash_places
        Places of the hash table; as few as there can be while keys are looked up directly.
    direct_places, direct_bytes
        Places of the array by key and the bytes of each; None and 0 while keys are hashed.
    log
        The keys themselves.
    """

    keys: int
    hash_places: int
    direct_places: int | None
    direct_bytes: int
    log: LogStatistics


class KeyIndex:
    """Gives every key, a row of one or more columns, a slot number; for states kept in arrays by slot.

    Slots are dense: n keys have the slots 0 to n - 1, in the order in which the keys first came. Null is a
    key like others, NaN equals NaN, and 0.0 equals -0.0, as in Polars' `group_by`.

    Keys of one column of whole numbers (or of truth values, times, an `Enum`) are looked up directly where they
    lie close together (`direct_table`): one random read a row. All others, and those once a key comes that lies
    far off, are hashed (`hashed_keys`); whether they lie close together by then is asked now and then. New keys
    cost O(log n) copies each (`frame_log`).

    Parameters
    ----------
    schema
        The key columns, at least one; see `arrowstream.operators.arguments` for the types.
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
    >>> from arrowstream.state.key_index import KeyIndex
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
        "_hashed",
        "_memory",
        "_on_full",
        "_piece",
        "_ring",
        "_schema",
        "_store",
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
        self._on_full = on_full
        self._ring = SlotRing(max_keys)
        self._store = FrameLog(schema, self._memory)
        self._piece = _MOST
        self._direct: DirectTable | None = None
        self._hashed = HashedKeys(self._store, self._ring, self._memory)
        """Not used, and empty, while there is a direct table."""
        # From which number of keys on it is asked whether they lie close together.
        self._ask_from = 0 if DirectTable.takes(schema) else _NEVER

    def __len__(self) -> int:
        """The keys now held."""
        return len(self._ring)

    @property
    def capacity(self) -> int:
        """One more than the highest slot given so far."""
        return min(self._ring.stop, self._ring.size or self._ring.stop)

    def statistics(self) -> KeyStatistics:
        """What is held now."""
        places, nbytes = (
            (None, 0) if self._direct is None else (self._direct.places, self._direct.place_bytes)
        )
        return KeyStatistics(len(self), self._hashed.places, places, nbytes, self._store.statistics())

    def assign(self, keys: pl.DataFrame) -> Iterator[Assigned]:
        """The slots of these rows, new keys added; in several parts only where keys are evicted in between.

        A state must be brought forward with one part before the next one is asked for.

        Raises
        ------
        StageError
                There are more keys than `max_keys`, and `on_full` is ``"error"``; none of these was added.
        """
        marks = self._lookup_codes(keys)
        start = 0
        while start < keys.height:
            rows = min(self._piece, keys.height - start)
            part = self._assign_piece(start, keys.slice(start, rows), marks[start : start + rows])
            if isinstance(part, int):
                self._piece = part
                continue
            yield part
            start += rows
            self._piece = min(2 * self._piece, _MOST)

    def keys(self, start: int = 0, stop: int | None = None) -> pl.DataFrame:
        """The keys held, the oldest first: those from place `start` up to `stop`."""
        oldest = self._ring.oldest
        return self._store.frame(oldest + start, None if stop is None else oldest + stop)

    def slots(self) -> Array:
        """The slots of `keys`, in the same order: take a state's values from there for a snapshot."""
        return self._ring.slots(np.arange(self._ring.oldest, self._ring.stop))

    def pieces(self) -> Iterator[Array]:
        """The same, some of them at a time."""
        ring = self._ring
        for start in range(ring.oldest, ring.stop, PIECE):
            yield ring.slots(np.arange(start, min(start + PIECE, ring.stop)))

    def check_room(self, count: int) -> None:
        """Raise if `count` more keys do not fit. Call before their state is restored: none of it may be evicted.

        Raises
        ------
        StageError
            These are more than `max_keys`.
        """
        if self._ring.missing(count):
            raise StageError(
                "the snapshot has more keys than there may be",
                expected=f"at most {self._ring.size:,}",
                found=f"{len(self._ring) + count:,} or more",
                hint="go on with a max_keys, or max_bytes, at least as large as when it was made",
            )

    def _lookup_codes(self, keys: pl.DataFrame) -> Array:
        """What the rows are looked up by (rows,): their places in the direct table (int64), or hashes (uint64)."""
        places = None
        if self._direct is not None:
            places = self._direct.places_of(keys.to_series())
        if places is None and self._ring.stop >= self._ask_from:
            places = self._go_direct(keys.to_series())
        return self._hashed.marks(keys) if places is None else places

    def _go_direct(self, coming: pl.Series) -> Array | None:
        """Places in a direct table with room for these; None, and hashes are used, if they lie too far apart."""
        ring = self._ring
        kind = np.uint64 if self._on_full == "evict" else np.uint32
        direct = self._direct or DirectTable(kind, self._memory)
        count = ring.most(len(ring) + coming.n_unique())
        if direct.cover(self.keys().to_series(), ring.oldest, coming, count):
            self._hashed.clear()
            self._direct = direct
            return direct.places_of(coming)
        direct.close()
        if self._direct is not None:
            self._direct = None
            self._hashed = HashedKeys(self._store, ring, self._memory)
        # To ask costs O(all keys), so it waits for a fourth as many new ones.
        self._ask_from = ring.stop + max(len(ring) // 4, _SELDOM)
        return None

    def _assign_piece(self, start: int, keys: pl.DataFrame, marks: Array) -> Assigned | int:
        """The slots of some rows; or how many of them to try, if a key they name would be evicted on the way."""
        ring = self._ring
        slots, places = self._find(keys, marks)
        unknown = np.flatnonzero(slots < 0)
        if not len(unknown):
            return Assigned(start, slots, unknown)
        if len(unknown) < len(slots):
            keys, marks, places = keys[unknown], marks[unknown], places[unknown]
        if ring.size is not None and len(unknown) > ring.size and (count := keys.n_unique()) > ring.size:
            # Before a table is made for more keys than there may be.
            self._refuse(count)
            return len(slots) // 2
        if self._direct is not None:
            first = self._direct.claim(places)
        else:
            first, places = self._hashed.claim(keys, marks, places)
        firsts = np.flatnonzero(first == np.arange(len(first)))
        passing = self._make_room(unknown[firsts], slots)
        if passing < len(slots):
            (self._direct or self._hashed).release(places[firsts])
            self._refuse(len(firsts))
            return passing
        numbers = np.arange(ring.stop, ring.stop + len(firsts))
        ring.stop += len(firsts)
        if self._direct is not None:
            self._direct.settle(places[firsts], numbers)
        else:
            self._hashed.settle(marks[firsts], places[firsts], numbers)
        self._store.forget(ring.oldest)
        self._store.append(keys[firsts])
        fresh = ring.slots(numbers)
        ranks = np.empty(len(first), np.int64)
        ranks[firsts] = fresh
        slots[unknown] = ranks[first]
        return Assigned(start, slots, fresh)

    def _find(self, keys: pl.DataFrame, marks: Array) -> tuple[Array, Array]:
        """The slot of each row, or -1 (int64), and its place in the table."""
        if self._direct is None:
            return self._hashed.find(keys, marks)
        numbers, ring = self._direct.find(marks), self._ring
        if not ring.oldest:
            return numbers, marks
        return np.where(numbers < ring.oldest, -1, ring.slots(numbers)), marks

    def _make_room(self, new: Array, slots: Array) -> int:
        """Evict for the keys that first come in the rows `new`, if all rows may pass; the number of rows that may.

        Those may that come before a row whose key would be evicted for them, or for those before: no slot may be
        that of two keys in one part.
        """
        ring = self._ring
        if ring.size is None or not ring.missing(len(new)):
            return len(slots)
        if self._on_full == "error":
            return 0
        comes = np.zeros(len(slots), np.int64)
        comes[new] = 1
        over = np.maximum(len(ring) + np.cumsum(comes) - ring.size, 0)
        named = np.minimum.accumulate(np.where(slots < 0, _NEVER, ring.numbers(slots)))
        passing = int(np.count_nonzero((named >= ring.oldest + over) & (over <= len(ring))))
        if passing == len(slots):
            ring.oldest += int(over[-1])
        return passing

    def _refuse(self, count: int) -> None:
        """Raise as `count` new keys are too many, unless fewer rows at a time may do."""
        if self._on_full == "evict":
            return
        raise StageError(
            "there are more keys than max_keys allows",
            expected=f"at most {self._ring.size:,}",
            found=f"{len(self._ring):,} and {count:,} new ones in one batch",
            hint='raise max_keys, or let the oldest go with on_full="evict"',
        )
