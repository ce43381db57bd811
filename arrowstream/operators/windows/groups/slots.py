"""Slots for places, given when the first row of a place comes."""

from __future__ import annotations

import numpy as np

from arrowstream.state.arrays import Array


class Slots:
    """The slot of each place, numbered from 1 in the order in which places first come.

    Parameters
    ----------
    places
        The number of places.

    Examples
    --------
    >>> import numpy as np
    >>> from arrowstream.operators.windows.groups.slots import Slots
    >>> slots = Slots(8)
    >>> [found.tolist() for found in slots.of(np.array([7, 2, 7]))]
    [[1, 2, 1], [0, 1]]
    >>> [found.tolist() for found in slots.of(np.array([5, 2]))]
    [[3, 2], [0]]
    """

    __slots__ = ("_table", "used")

    def __init__(self, places: int) -> None:
        self._table = np.zeros(places, np.uint32)
        """The slot of every place, or 0."""
        self.used = 1
        """The number that the next slot gets."""

    def of(self, places: Array) -> tuple[Array, Array]:
        """Return the slot of each of `places` (rows,), uint32, and the first row of each new slot (slots,), int64."""
        found = self._table.take(places)
        if found.all():
            return found, np.empty(0, np.int64)
        unknown = np.flatnonzero(found == 0)
        at = places[unknown]
        # Every row claims its place. Of several values for one place numpy keeps the last: in reverse, the first row.
        claims = np.arange(self.used, self.used + len(at), dtype=np.uint32)
        self._table[at[::-1]] = claims[::-1]
        owners = self._table.take(at)
        firsts = np.flatnonzero(owners == claims)
        if len(firsts) < len(at):
            slots = np.arange(self.used, self.used + len(firsts), dtype=np.uint32)
            self._table[at[firsts]] = slots
            claims[firsts] = slots
            claims = claims.take(owners - np.uint32(self.used))
        found[unknown] = claims
        self.used += len(firsts)
        return found, unknown[firsts]
