"""The key index, which maps keys to dense slots a batch at a time: the base of every keyed operator."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from arrowstream.errors import StageError
from arrowstream.state.arrays import Array
from arrowstream.state.direct_table import DirectTable
from arrowstream.state.frame_log import FrameLog, KeyStatistics
from arrowstream.state.hashed_keys import HashedKeys
from arrowstream.state.memory import PIECE, StateMemory
from arrowstream.state.slot_ring import SlotRing

_MOST = 4_000_000_000  # rows of a part: a table entry has 32 bits for a slot
_NEVER = 1 << 62
"""A key number that is never reached."""

_SELDOM = 1_024
"""The least number of new keys between two checks whether keys lie close together."""


@dataclass(frozen=True, slots=True)
class Assigned:
    """The slots of consecutive rows of a batch.

    Parameters
    ----------
    start
        The index of the first of these rows in the batch.
    slots
        The slot of each row (rows,), int64.
    fresh
        The slots given to new keys in these rows (keys,), int64, in the order in which the keys came. State kept by
        slot starts again there: the slot may have belonged to an evicted key.
    """

    start: int
    slots: Array
    fresh: Array


class KeyIndex:
    """A map from keys, rows of one or more columns, to slots, for state kept in arrays by slot.

    Slots are dense: n keys have the slots 0 to n - 1, in order of first appearance. Null is a key, NaN equals NaN,
    and 0.0 equals -0.0, as in Polars' `group_by`.

    Keys of a single column of integers, Booleans, times or an `Enum` are looked up directly while they lie close
    together (`direct_table`): one random read per row. Other keys are hashed (`hashed_keys`), as are integers once
    a key lies too far off; whether they lie close together again is checked from time to time. A new key costs
    amortised O(log n) copies (`frame_log`).

    Parameters
    ----------
    schema
        Names and types of the key columns, at least one; see `arrowstream.operators.arguments` for the types.
    max_keys
        The most keys to hold; None for as many as memory allows (up to 24 bytes per key, and the key itself).
    on_full
        What one key more does: ``"error"`` raises; ``"evict"`` evicts the key that first came the longest ago and
        gives its slot to the new key. Keys are evicted row by row, so the result does not depend on how the rows
        are cut into batches. An evicted key that comes again is a new one.
    memory
        The memory that holds keys and table; by default without limit.

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
        "_renewed",
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
        self._renewed = False
        """Whether most rows of the last batch had keys that were new, and came more than once. Looking up each such
        row in the table costs more than finding the first rows of keys in the batch."""
        self._direct: DirectTable | None = None
        self._hashed = HashedKeys(self._store, self._ring, self._memory)
        """Empty and unused while there is a direct table."""
        # The key number from which it is checked whether keys lie close together.
        self._ask_from = 0 if DirectTable.takes(schema) else _NEVER

    def __len__(self) -> int:
        """Return the number of keys held."""
        return len(self._ring)

    @property
    def capacity(self) -> int:
        """One more than the highest slot given so far."""
        return min(self._ring.stop, self._ring.size or self._ring.stop)

    def statistics(self) -> KeyStatistics:
        """Return the sizes of the index."""
        places, nbytes = (
            (None, 0) if self._direct is None else (self._direct.places, self._direct.place_bytes)
        )
        return KeyStatistics(len(self), self._hashed.places, places, nbytes, self._store.statistics())

    def assign(self, keys: pl.DataFrame) -> Iterator[Assigned]:
        """Yield the slots of rows, and add their new keys; in several parts only if keys are evicted in between.

        Update the state kept by slot with one part before asking for the next: a slot may then have another key.

        Parameters
        ----------
        keys
            The key columns of a batch.

        Raises
        ------
        StageError
            There are more keys than `max_keys`, and `on_full` is ``"error"``; no key of `keys` was added.
        """
        marks = self._lookup_codes(keys)
        if self._ring.size is None and keys.height:
            yield self._assign_all(keys, marks)
            return
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

    def find(self, keys: pl.DataFrame) -> Array:
        """Return the slot of each row (rows,), int64, -1 for keys that are not held; no key is added."""
        if self._direct is None:
            return self._hashed.find(keys, self._hashed.marks(keys))[0]
        return self._slots_of(self._direct.look_up(keys.to_series()))

    def keys(self, start: int = 0, stop: int | None = None) -> pl.DataFrame:
        """Return the keys held, the oldest first, from position `start` to before `stop`."""
        oldest = self._ring.oldest
        return self._store.frame(oldest + start, None if stop is None else oldest + stop)

    def slots(self) -> Array:
        """Return the slots of `keys()`, in the same order (keys,), int64."""
        return self._ring.slots(np.arange(self._ring.oldest, self._ring.stop))

    def pieces(self) -> Iterator[Array]:
        """Yield `slots()` in pieces of at most `PIECE`."""
        ring = self._ring
        for start in range(ring.oldest, ring.stop, PIECE):
            yield ring.slots(np.arange(start, min(start + PIECE, ring.stop)))

    def close(self) -> None:
        """Release the memory of keys and table; the index is not used afterwards."""
        self._hashed.close()
        if self._direct is not None:
            self._direct.close()
        self._store.keep(())

    def check_room(self, count: int) -> None:
        """Raise if `count` more keys do not fit. Call before restoring their state, of which none may be evicted.

        Raises
        ------
        StageError
            There would be more keys than `max_keys`.
        """
        if self._ring.missing(count):
            raise StageError(
                "the snapshot has more keys than there may be",
                expected=f"at most {self._ring.size:,}",
                found=f"{len(self._ring) + count:,} or more",
                hint="go on with a max_keys, or max_bytes, at least as large as when it was made",
            )

    def _lookup_codes(self, keys: pl.DataFrame) -> Array:
        """Return the rows' places in the direct table (rows,), int64, or their hashes (rows,), uint64."""
        places = None
        if self._direct is not None:
            places = self._direct.places_of(keys.to_series())
        if places is None and self._ring.stop >= self._ask_from:
            places = self._go_direct(keys.to_series())
        return self._hashed.marks(keys) if places is None else places

    def _go_direct(self, coming: pl.Series) -> Array | None:
        """Return places in a direct table that covers `coming` too; None, for hashing, if keys lie too far apart."""
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
        # The check costs O(all keys), so the next one waits for a fourth as many new keys.
        self._ask_from = ring.stop + max(len(ring) // 4, _SELDOM)
        return None

    def _assign_piece(self, start: int, keys: pl.DataFrame, marks: Array) -> Assigned | int:
        """Assign slots to rows; return how many rows to try instead if a key of theirs would be evicted."""
        ring = self._ring
        slots, places = self._find(keys, marks)
        unknown = np.flatnonzero(slots < 0)
        if not len(unknown):
            return Assigned(start, slots, unknown)
        if len(unknown) < len(slots):
            keys, marks, places = keys[unknown], marks[unknown], places[unknown]
        if ring.size is not None and len(unknown) > ring.size and (count := keys.n_unique()) > ring.size:
            # Checked before a table grows for more keys than allowed.
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

    def _assign_all(self, keys: pl.DataFrame, marks: Array) -> Assigned:
        """Assign slots to all rows, where no key is refused or evicted."""
        before = self._ring.stop
        groups = self._hashed.first_rows(keys, marks) if self._renewed and self._direct is None else None
        if groups is None:
            part = self._assign_piece(0, keys, marks)
        else:
            first, firsts = groups
            part = self._assign_piece(0, keys[firsts], marks[firsts])
            assert isinstance(part, Assigned)
            slots = np.empty(len(first), np.int64)
            slots[firsts] = part.slots
            part = Assigned(0, slots.take(first), part.fresh)
        assert isinstance(part, Assigned)
        new = int(np.count_nonzero(part.slots >= before))
        self._renewed = 2 * new > len(marks) and 2 * len(part.fresh) < new
        return part

    def _find(self, keys: pl.DataFrame, marks: Array) -> tuple[Array, Array]:
        """Return the slot of each row (rows,), int64, -1 for none, and its place in the table (rows,)."""
        if self._direct is None:
            return self._hashed.find(keys, marks)
        return self._slots_of(self._direct.find(marks)), marks

    def _slots_of(self, numbers: Array) -> Array:
        """Return the slots of key numbers (rows,), int64, -1 for those of evicted keys and for -1."""
        ring = self._ring
        if not ring.oldest:
            return numbers
        slots: Array = np.where(numbers < ring.oldest, -1, ring.slots(numbers))
        return slots

    def _make_room(self, new: Array, slots: Array) -> int:
        """Evict keys for the new ones if all rows may pass; return the number of leading rows that may.

        Rows pass until a key that one of them has would have to be evicted, as a slot must not have two keys in one
        part.

        Parameters
        ----------
        new
            The rows in which new keys first come, int64.
        slots
            The slot of each row (rows,), int64; -1 for new keys.
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
        """Raise, as `count` new keys do not fit, unless keys are evicted: then fewer rows at a time may pass."""
        if self._on_full == "evict":
            return
        raise StageError(
            "there are more keys than max_keys allows",
            expected=f"at most {self._ring.size:,}",
            found=f"{len(self._ring):,} and {count:,} new ones in one batch",
            hint='raise max_keys, or let the oldest go with on_full="evict"',
        )
