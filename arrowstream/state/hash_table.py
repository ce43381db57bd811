"""An open-addressing hash table in numpy that looks up a whole batch at a time, and rows of a batch with one hash."""

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

_FACTOR = np.uint64(0x9E37_79B9_7F4A_7C15)
"""An odd number near 2**64 divided by the golden ratio: times this, other bits of a hash come first."""

_LEAST_BITS = 10
"""The least number of places in which rows of a batch find each other, as a power of 2."""


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
        entries = self._entries.take(_indices(places))
        if entries.all():
            # In most batches every key is known, and most lie in their first place: comparing tags gains nothing.
            rows = np.arange(len(entries))
        else:
            places, entries = self._probe(places, hashes)
            rows = np.flatnonzero(entries)
        slots = _slots(entries)
        while len(rows):
            # All rows stay as they are: in most batches every key is known.
            right = same(rows, slots if len(rows) == len(slots) else slots[rows])
            if right.all():
                break
            # The others met another key with the same tag, or a slot that now has another key.
            rows = rows[~right]
            places[rows], entries = self._probe((places[rows] + np.uint64(1)) & self._mask, hashes[rows])
            slots[rows] = _slots(entries)
            rows = rows[entries != 0]
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
        own = _tags(hashes) | np.arange(slot + 1, slot + 1 + len(hashes), dtype=np.uint64)
        first = np.arange(len(hashes))
        places = places.copy()
        rows, at, marks = first.copy(), places, own
        while len(rows):
            free = self._entries.take(_indices(at)) == 0
            # Of several values for one place numpy keeps the last; written in reverse, the first row wins.
            if free.all():
                self._entries[at[::-1]] = marks[::-1]
            else:
                self._entries[at[free][::-1]] = marks[free][::-1]
            entries = self._entries.take(_indices(at))
            # Rows that won their place are first rows. The others ask whether its owner has their key.
            lost = np.flatnonzero(entries != marks)
            rows, entries = rows[lost], entries[lost]
            owners = _slots(entries) - slot
            alike = np.flatnonzero(((entries ^ marks[lost]) <= _LOW) & (owners >= 0))
            right = alike[same(rows[alike], owners[alike])]
            first[rows[right]] = owners[right]
            rows = np.delete(rows, right)
            at = places[rows] = (places[rows] + np.uint64(1)) & self._mask
            marks = own[rows]
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
        entries = self._entries.take(_indices(places))
        going = np.flatnonzero(((entries ^ hashes) > _LOW) & (entries != 0))
        while len(going):
            at = (places[going] + np.uint64(1)) & self._mask
            places[going] = at
            found = self._entries.take(_indices(at))
            entries[going] = found
            going = going[((found ^ hashes[going]) > _LOW) & (found != 0)]
        return places, entries


def first_rows(hashes: Array) -> Array:
    """Return for each row the first row with its hash (rows,), int64.

    The first bits of a hash give a place in an array, which the first row there owns. Rows with another hash than the
    owner's go on to the next round, where other bits give the place: a fifth of those before, or fewer.

    Parameters
    ----------
    hashes
        The hashes (rows,), uint64.

    Examples
    --------
    >>> first_rows(np.array([7, 8, 7, 8, 9], np.uint64)).tolist()
    [0, 1, 0, 1, 4]
    """
    bits = max(len(hashes).bit_length() + 1, _LEAST_BITS)
    shift = np.uint64(64 - bits)
    # Only places that have just been written are read.
    owners = np.empty(1 << bits, np.int32)
    first = np.empty(len(hashes), np.int64)
    rows, marks, mixed = np.arange(len(hashes)), hashes, hashes
    while len(rows):
        mixed = mixed * _FACTOR
        places = (mixed >> shift).view(np.int64)
        # Of several values for one place numpy keeps the last; written in reverse, the first row wins.
        owners[places[::-1]] = rows[::-1]
        owner = owners.take(places)
        first[rows] = owner
        lost = np.flatnonzero(hashes.take(owner) != marks)
        rows, marks, mixed = rows[lost], marks[lost], mixed[lost]
    return first


def _indices(places: Array) -> Array:
    """Return places as int64, which numpy takes as indices without a copy."""
    return places.view(np.int64)


def _tags(hashes: Array) -> Array:
    return hashes & ~_LOW


def _slots(entries: Array) -> Array:
    return (entries & _LOW).astype(np.int64) - 1
