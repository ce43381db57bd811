"""An open-addressing hash table in numpy that looks up a whole batch at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from arrowstream.state.arrays import Array
from arrowstream.state.memory import StateMemory

Same = Callable[[Array, Array], Array]
"""``same(rows, slots)`` says for each row of the batch whether its key is the one with that slot (bool)."""

_LOW = np.uint64(0xFFFF_FFFF)
"""The bits of an entry that hold its slot + 1."""

_HIGH = np.uint64(32)
"""The shift, in bits, to an entry's tag."""

_LEAST = 1024
"""The least number of places."""


class KeyTable:
    """A map from hashes to slots that probes linearly for all rows of a batch at once.

    Entries are an array (places,) of uint64, where the number of places is a power of 2. The upper 32 bits of an
    entry are those of the key's hash, its tag; the lower 32 bits are its slot + 1; 0 is an empty place. Every round
    gathers one entry per row, and rows that found neither their tag nor an empty place move to the next place. A
    third of the places stays empty, so a few rounds suffice. The tag only saves comparisons: `Same` decides whether
    keys are equal, so no collision merges two keys, and an entry whose slot now has another key is skipped.

    Linear probing is Knuth's (The Art of Computer Programming 3, 6.4, algorithm L), run over vectors.

    Parameters
    ----------
    memory
        The memory that holds the entries.
    expected
        The number of keys to make room for.
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
        """The number of places."""
        return len(self._entries)

    def has_room(self, count: int) -> bool:
        """Return whether a third of the places stays empty with `count` more entries."""
        return 3 * (self._used + count) <= 2 * len(self._entries)

    def find(self, hashes: Array, same: Same) -> tuple[Array, Array]:
        """Look up the slot and the place of each row.

        Parameters
        ----------
        hashes
            The hashes of the rows' keys (rows,), uint64.
        same
            Decides whether a row has the key of a slot.

        Returns
        -------
        slots : numpy.ndarray
            The slots (rows,), int64; -1 for none.
        places : numpy.ndarray
            The place of the entry, or the empty place where it would go (rows,), uint64.
        """
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
            # The others met another key with the same tag, or a slot that now has another key.
            rows = rows[~right]
            places[rows] = (places[rows] + np.uint64(1)) & self._mask
        return slots, places

    def claim(self, hashes: Array, places: Array, slot: int, same: Same) -> tuple[Array, Array]:
        """Claim places for keys that `find` did not find; rows of one key share the place of its first row.

        Parameters
        ----------
        hashes, places
            The hashes of the rows, and the places that `find` gave (rows,), uint64.
        slot
            A claim by row i is marked by the provisional slot ``slot + i``, until `settle` writes the real one.
        same
            ``same(rows, others)`` says for each row whether it has the key of another row.

        Returns
        -------
        first : numpy.ndarray
            The first row of each row's key (rows,), int64.
        places : numpy.ndarray
            The claimed place (rows,), uint64.
        """
        tags = _tags(hashes)
        marks = tags | np.arange(slot + 1, slot + 1 + len(hashes), dtype=np.uint64)
        first = np.full(len(hashes), -1, np.int64)
        rows = np.arange(len(hashes))
        while len(rows):
            at = places[rows]
            free = self._entries[at] == 0
            # Of several values for one place numpy keeps the last; written in reverse, the first row wins.
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
        """Empty claimed places."""
        self._entries[places] = 0

    def close(self) -> None:
        """Release the memory; the table is not used afterwards."""
        self._memory.let_go(self._entries)

    def _probe(self, places: Array, hashes: Array) -> tuple[Array, Array]:
        """Return the first place, from each place on, that is empty or has the hash's tag, and its entry."""
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
