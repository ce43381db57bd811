"""The rows of a batch ordered by slot, for the running functions of `scan`."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from arrowstream.state.arrays import Array


class RowsBySlot:
    """Rows sorted by slot, those of one slot in the order in which they came.

    Parameters
    ----------
    slots
        The slot of each row (rows,), int64.
    order
        The numbers of the rows to look at, sorted by slot (places,), int64; all rows if not given.

    Attributes
    ----------
    order
        The row at each place of the sorted order (places,), int64.
    begins, lengths
        The place where the run of rows of each slot begins, and its number of rows (runs,), int64.
    owners
        The slot of each run (runs,), int64.
    """

    def __init__(self, slots: Array, order: Array | None = None) -> None:
        self.slots = slots
        self.order = _sorted(slots) if order is None else order
        ordered = slots[self.order]
        changes = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
        self.begins = np.concatenate([np.zeros(min(len(ordered), 1), np.int64), changes])
        self.lengths = np.diff(self.begins, append=len(ordered))
        self.owners = ordered[self.begins]

    def only(self, rows: Array) -> RowsBySlot:
        """Return the same for the rows that are True in `rows` (rows,), bool."""
        return self if rows.all() else RowsBySlot(self.slots, self.order[rows[self.order]])

    @cached_property
    def runs(self) -> Array:
        """The number of the run that each place belongs to (places,), int64."""
        return np.repeat(np.arange(len(self.begins)), self.lengths)

    @cached_property
    def offsets(self) -> Array:
        """Rows of the same slot before each place in this batch (places,), int64."""
        firsts: Array = np.repeat(self.begins, self.lengths)
        return np.arange(len(self.order)) - firsts

    @property
    def lasts(self) -> Array:
        """The place of the last row of each run (runs,), int64."""
        lasts: Array = self.begins + self.lengths - 1
        return lasts

    def back(self, ordered: Array) -> Array:
        """Return values by place (places, ...) in the order of the rows (rows, ...); 0 for rows not in `order`."""
        rows: Array = np.zeros((len(self.slots), *ordered.shape[1:]), ordered.dtype)
        rows[self.order] = ordered
        return rows


def _sorted(slots: Array) -> Array:
    """Return a stable order by slot (rows,), int64.

    Up to 16 bits numpy sorts by radix. Wider ones are sorted with their rows in the low bits, as plain numbers,
    which numpy does by vector instructions: half the time of two passes of radix, for any number of slots.
    """
    if not len(slots) or bool((slots[0] == slots).all()):
        return np.arange(len(slots))
    if slots.max() <= 0xFFFF:
        return np.argsort(slots.astype(np.uint16), kind="stable")
    bits = len(slots).bit_length()
    packed: Array = (slots << bits) | np.arange(len(slots))
    packed.sort()
    packed &= (1 << bits) - 1
    return packed
