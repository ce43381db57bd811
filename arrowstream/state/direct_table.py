"""Keys that are whole numbers, looked up without hashing: an array by key, where keys lie close together."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from arrowstream.state.arrays import Array
from arrowstream.state.close_integers import as_integers, bounds, distances, is_integer
from arrowstream.state.memory import PIECE, StateMemory

SPARSE = 8
"""Keys lie close together while their range has at most this many values for each of them."""

FLOOR = 65_536
"""Values of the range that are allowed besides, however few keys there are."""


class DirectTable:
    """Keys to numbers by one gather: key k has the place k - base of an array, null has the last one.

    Every key out of reach has too great a place (see `distances`).

    Parameters
    ----------
    kind
        The unsigned type that numbers are kept in.
    memory
        Where they lie.
    """

    __slots__ = ("_base", "_entries", "_memory")

    def __init__(self, kind: Any, memory: StateMemory) -> None:
        self._base = 0
        self._memory = memory
        # One more than the number; 0 is none, so that memory is touched only where there are keys.
        self._entries = memory.array((2,), kind)

    @staticmethod
    def takes(keys: pl.Schema) -> bool:
        """Whether these keys are one column of integers, or of a type that is kept as such."""
        return len(keys) == 1 and is_integer(keys.dtypes()[0])

    @property
    def places(self) -> int:
        """Places for numbers."""
        return len(self._entries)

    @property
    def place_bytes(self) -> int:
        """The bytes of a number."""
        return int(self._entries.itemsize)

    def places_of(self, keys: pl.Series) -> Array | None:
        """Where the number of each key is; None if a key is out of reach."""
        whole = as_integers(keys)
        filled = whole.fill_null(0) if whole.null_count() else whole
        places = distances(filled.to_numpy(), self._base)
        null = len(self._entries) - 1
        if whole.null_count():
            nulls = whole.is_null().to_numpy()
            places[nulls] = 0
        if places.view(np.uint64).max(initial=0) >= null:
            return None
        if whole.null_count():
            places[nulls] = null
        return places

    def cover(self, held: pl.Series, first: int, coming: pl.Series, count: int) -> bool:
        """Make room for these keys; False, and no change, if their range is too wide for `count` keys or for memory.

        Costs O(held + range), and leaves a quarter of the range free on either side, so that growing costs
        O(1) a key, amortised.

        Parameters
        ----------
        held
            The keys that have numbers, from `first` on. Others are forgotten.
        first
            The number of the first of them.
        coming
            The keys to come next.
        count
            How many keys there may be then.
        """
        ends = [end for keys in (held, coming) for end in bounds(as_integers(keys)) or ()]
        span = max(ends) - min(ends) + 1 if ends else 1
        places = span + 2 * (span // 4) + 1
        more = places * self._entries.itemsize - self._entries.nbytes
        if span > SPARSE * count + FLOOR or not self._memory.takes(more):
            return False
        self._base = min(ends, default=0) - span // 4
        self.close()
        self._entries = self._memory.array((places,), self._entries.dtype)
        for start in range(0, len(held), PIECE):
            piece = held[start : start + PIECE]
            found = self.places_of(piece)
            assert found is not None
            self.settle(found, np.arange(first + start, first + start + len(piece)))
        return True

    def close(self) -> None:
        """Give the memory back; the table is not used any more."""
        self._memory.let_go(self._entries)

    def find(self, places: Array) -> Array:
        """The numbers, or -1; a key may have been evicted since it got its number."""
        found: Array = self._entries.take(places).astype(np.int64)
        found -= 1
        return found

    def claim(self, places: Array) -> Array:
        """Take places for keys that have no number: for each row, which row is the first of its key."""
        rows = np.arange(len(places))
        # Of several values for one place numpy keeps the last: backwards, so that the first row wins.
        self._entries[places[::-1]] = rows[::-1]
        first: Array = self._entries.take(places).astype(np.int64)
        return first

    def settle(self, places: Array, numbers: Array) -> None:
        """Write the numbers of claimed places."""
        self._entries[places] = numbers + 1

    def release(self, places: Array) -> None:
        """Give claimed places back."""
        self._entries[places] = 0
