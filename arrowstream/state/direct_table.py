"""Integer keys that lie close together, looked up without hashing in an array indexed by key."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from arrowstream.state.arrays import Array
from arrowstream.state.close_integers import as_integers, bounds, distances, is_integer
from arrowstream.state.memory import PIECE, StateMemory

SPARSE = 8
"""Keys lie close together while their range has at most this many values for each key."""

FLOOR = 65_536
"""Further values that the range may have, however few keys there are."""


class DirectTable:
    """A map from keys to key numbers, read with one gather.

    Key k has the place k - base of an array, null has the last place. A key outside the array's range gets a place
    past its end (see `distances`).

    Parameters
    ----------
    kind
        The unsigned dtype of the numbers.
    memory
        The memory that holds the array.
    """

    __slots__ = ("_base", "_entries", "_memory")

    def __init__(self, kind: Any, memory: StateMemory) -> None:
        self._base = 0
        self._memory = memory
        # An entry is the number + 1; 0 is empty, so that only memory with keys is touched.
        self._entries = memory.array((2,), kind)

    @staticmethod
    def takes(keys: pl.Schema) -> bool:
        """Return whether the keys are a single column stored as integers."""
        return len(keys) == 1 and is_integer(keys.dtypes()[0])

    @property
    def places(self) -> int:
        """The number of places."""
        return len(self._entries)

    @property
    def place_bytes(self) -> int:
        """The bytes of one entry."""
        return int(self._entries.itemsize)

    def places_of(self, keys: pl.Series) -> Array | None:
        """Return the place of each key (rows,), int64; None if a key is out of range."""
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
        """Rebuild the table for a range that holds these keys.

        Costs O(held + range), and leaves a quarter of the range free on either side, so that growing costs
        amortised O(1) per key.

        Parameters
        ----------
        held
            The keys that have numbers, in their order. Any other key loses its number.
        first
            The number of the first of `held`.
        coming
            The next keys.
        count
            The number of keys that the table will hold.

        Returns
        -------
        bool
            False, and nothing changes, if the range is too wide for `count` keys or for the memory.
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
        """Release the memory; the table is not used afterwards."""
        self._memory.let_go(self._entries)

    def find(self, places: Array) -> Array:
        """Return the numbers at `places` (rows,), int64, -1 for none; a key may since have been evicted."""
        found: Array = self._entries.take(places).astype(np.int64)
        found -= 1
        return found

    def look_up(self, keys: pl.Series) -> Array:
        """Return the number of each key (rows,), int64, -1 for none; keys out of range have none."""
        whole = as_integers(keys)
        places = distances((whole.fill_null(0) if whole.null_count() else whole).to_numpy(), self._base)
        null = len(self._entries) - 1
        outside = places.view(np.uint64) >= null
        places[outside] = 0
        numbers = self.find(places)
        numbers[outside] = -1
        if whole.null_count():
            numbers[whole.is_null().to_numpy()] = int(self._entries[null]) - 1
        return numbers

    def claim(self, places: Array) -> Array:
        """Claim places for keys without number; return for each row the first row of its key (rows,), int64."""
        rows = np.arange(len(places))
        # Of several values for one place numpy keeps the last; written in reverse, the first row wins.
        self._entries[places[::-1]] = rows[::-1]
        first: Array = self._entries.take(places).astype(np.int64)
        return first

    def settle(self, places: Array, numbers: Array) -> None:
        """Write the numbers of claimed places."""
        self._entries[places] = numbers + 1

    def release(self, places: Array) -> None:
        """Empty claimed places."""
        self._entries[places] = 0
