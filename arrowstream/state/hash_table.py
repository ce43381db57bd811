"""An open-addressing hash table in numpy that looks up a whole batch at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from arrowstream.state.arrays import Array
from arrowstream.state.memory import StateMemory

Same = Callable[[Array, Array], Array]
"""``same(rows, slots)``: whether the key of each row of the batch is the one that has that slot."""

_LOW = np.uint64(0xFFFF_FFFF)
_HIGH = np.uint64(32)
_LEAST = 1024


class KeyTable:
    """Hashes to slot numbers, by linear probing of all rows of a batch at once.

    Entries are an array (places,) of uint64, the number of places a power of 2: the upper half of an entry is that of
    the key's hash, a tag, and the lower half its slot + 1; 0 is an empty place. Every round gathers one entry a row,
    and those rows that found neither their tag nor an empty place go on to the next one. A third of the places stays
    empty, so a few rounds do. The tag only saves comparisons: whether a key is the same is asked of `Same`, so that
    no collision merges two keys, and an entry whose slot has gone to another key is passed over like any other
    key's.

    Linear probing is Knuth's (The Art of Computer Programming 3, 6.4, algorithm L), run over vectors.
    """

    __slots__ = ("_entries", "_mask", "_memory", "_used")

    def __init__(self, memory: StateMemory, expected: int = 0) -> None:
        size = max(_LEAST, 1 << (2 * expected).bit_length())
        self._memory = memory
        self._entries = memory.array((size,), np.uint64)
        self._mask = np.uint64(size - 1)
        self._used = 0

    @property
    def places(self) -> int:
        """Places for entries."""
        return len(self._entries)

    def has_room(self, count: int) -> bool:
        """Whether a third of the places stays empty with `count` entries more."""
        return 3 * (self._used + count) <= 2 * len(self._entries)

    def find(self, hashes: Array, same: Same) -> tuple[Array, Array]:
        """For each hash the slot, or -1, and the place: that of the entry, or the empty one where it would go."""
        places = hashes & self._mask
        slots = np.full(len(hashes), -1, np.int64)
        rows = np.arange(len(hashes))
        while len(rows):
            places[rows], entries = self._probe(places[rows], hashes[rows])
            taken = entries != 0
            rows, found = rows[taken], _slots(entries[taken])
            if not len(rows):
                break
            right = same(rows, found)
            slots[rows[right]] = found[right]
            # Another key with the same 32 bits of tag, or a slot that was given away.
            rows = rows[~right]
            places[rows] = (places[rows] + np.uint64(1)) & self._mask
        return slots, places

    def claim(self, hashes: Array, places: Array, slot: int, same: Same) -> tuple[Array, Array]:
        """Take places for keys that `find` did not find; rows of one key share the place of its first row.

        Row ``i`` takes its place for slot ``slot + i`` until `settle` says otherwise; `same` compares with the
        rows ``slot + i``. Returns for each row which row is the first of its key, and the place.
        """
        tags = _tags(hashes)
        marks = tags | np.arange(slot + 1, slot + 1 + len(hashes), dtype=np.uint64)
        first = np.full(len(hashes), -1, np.int64)
        rows = np.arange(len(hashes))
        while len(rows):
            at = places[rows]
            free = self._entries[at] == 0
            # Of several values for one place numpy keeps the last: backwards, so that the first row wins.
            self._entries[at[free][::-1]] = marks[rows[free]][::-1]
            entries = self._entries[at]
            owners = _slots(entries) - slot
            alike = ((entries ^ tags[rows]) >> _HIGH == 0) & (owners >= 0)
            candidates, owners = rows[alike], owners[alike]
            right = owners == candidates
            others = np.flatnonzero(~right)
            right[others] = same(candidates[others], owners[others])
            first[candidates[right]] = owners[right]
            rows = rows[first[rows] < 0]
            places[rows] = (places[rows] + np.uint64(1)) & self._mask
        return first, places

    def settle(self, hashes: Array, places: Array, slots: Array) -> None:
        """Write the slots of claimed places."""
        self._entries[places] = _tags(hashes) | (slots + 1).astype(np.uint64)
        self._used += len(places)

    def release(self, places: Array) -> None:
        """Give claimed places back."""
        self._entries[places] = 0

    def close(self) -> None:
        """Give the memory back; the table is not used any more."""
        self._memory.let_go(self._entries)

    def _probe(self, places: Array, hashes: Array) -> tuple[Array, Array]:
        """From each place on, the first that is empty or has the hash's tag; with its entry."""
        entries = self._entries[places]
        tags = _tags(hashes)
        going = np.flatnonzero(((entries ^ tags) >> _HIGH != 0) & (entries != 0))
        while len(going):
            at = (places[going] + np.uint64(1)) & self._mask
            places[going] = at
            found = self._entries[at]
            entries[going] = found
            going = going[((found ^ tags[going]) >> _HIGH != 0) & (found != 0)]
        return places, entries


def _tags(hashes: Array) -> Array:
    return hashes & ~_LOW


def _slots(entries: Array) -> Array:
    return (entries & _LOW).astype(np.int64) - 1
